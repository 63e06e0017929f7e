use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::format::tests::{delivery, holding, login};

fn place() -> (tempfile::TempDir, FilePlace) {
    let folder = tempfile::tempdir().unwrap();
    let place = FilePlace::new(folder.path().join("credentials"), PlaceId("home:test".to_owned()), Encoding::Json);
    (folder, place)
}

fn marker(generation: u64) -> Marker {
    Marker { generation: Generation(generation), writer: "test".to_owned() }
}

fn subject(name: &str, access: Option<&str>) -> Subject {
    Subject { kind: None, name: name.parse().unwrap(), access: access.map(|access| access.parse().unwrap()) }
}

#[test]
fn a_further_login_has_a_credential_of_its_own() {
    let (_folder, place) = place();
    let own = delivery("cafe");
    let further = Delivery {
        claim: Claim { access: Some("reporting".parse().unwrap()), ..own.claim.clone() },
        secret_name: "cafe-secret-reporting".parse().unwrap(),
        ..own.clone()
    };
    for (delivery, username) in [(&own, "cafe_a"), (&further, "cafe_reporting_a")] {
        let version = place.fence_now(delivery, &marker(1), Version(0)).unwrap();
        place.publish_now(delivery, &login(username, "pass"), Generation(1), version).unwrap();
    }
    for (access, username) in [(None, "cafe_a"), (Some("reporting"), "cafe_reporting_a")] {
        let [found]: [Found; 1] =
            place.find(&own.claim.namespace, &subject("cafe", access)).unwrap().try_into().ok().unwrap();
        assert_eq!(found.document.get("username"), Some(username));
    }
    let taken = Delivery { secret_name: own.secret_name.clone(), ..further };
    assert!(matches!(place.read_now(&taken).unwrap(), Held::Foreign { .. }));
}

#[test]
fn a_place_with_only_a_marker_holds_no_credential() {
    let (_folder, place) = place();
    let delivery = delivery("cafe");
    assert_eq!(place.read_now(&delivery).unwrap(), Held::Nothing { version: Version(0) });
    let version = place.fence_now(&delivery, &marker(1), Version(0)).unwrap();
    assert_eq!(place.read_now(&delivery).unwrap(), Held::Nothing { version });
    assert!(place.login_now(&delivery, &login("cafe_a", "pass").digest()).unwrap().is_none());
}

#[test]
fn what_was_published_is_held_and_current_until_the_delivery_changes() {
    let (_folder, place) = place();
    let mut delivery = delivery("cafe");
    let login = login("cafe_a", "pass");
    let version = place.fence_now(&delivery, &marker(1), Version(0)).unwrap();
    let version = place.publish_now(&delivery, &login, Generation(1), version).unwrap();
    let held = holding(&login, 1, None, true, version);
    assert_eq!(place.read_now(&delivery).unwrap(), held);
    delivery.endpoint.address.port += 1;
    let held = holding(&login, 1, None, false, version);
    assert_eq!(place.read_now(&delivery).unwrap(), held);
}

#[test]
fn a_credential_whose_successor_was_only_announced_is_current_again_once_it_is_published_again() {
    let (_folder, place) = place();
    let (delivery, login) = (delivery("cafe"), login("cafe_a", "pass"));
    let version = place.fence_now(&delivery, &marker(1), Version(0)).unwrap();
    let version = place.publish_now(&delivery, &login, Generation(1), version).unwrap();
    let version = place.fence_now(&delivery, &marker(2), version).unwrap();
    let held = holding(&login, 2, None, false, version);
    assert_eq!(place.read_now(&delivery).unwrap(), held);
    let version = place.publish_now(&delivery, &login, Generation(1), version).unwrap();
    let held = holding(&login, 1, None, true, version);
    assert_eq!(place.read_now(&delivery).unwrap(), held);
}

#[test]
fn a_staged_password_is_held_beside_the_other_until_one_of_them_is_published() {
    let (_folder, place) = place();
    let (delivery, now, later) = (delivery("cafe"), login("cafe", "now"), login("cafe", "later"));
    let version = place.fence_now(&delivery, &marker(1), Version(0)).unwrap();
    let next = later.password.clone().unwrap();
    assert!(matches!(place.stage_now(&delivery, &next, version), Err(PlaceError::Moved(_))), "nothing to stage beside");

    let version = place.publish_now(&delivery, &now, Generation(1), version).unwrap();
    let version = place.fence_now(&delivery, &marker(2), version).unwrap();
    let staged = place.stage_now(&delivery, &next, version).unwrap();
    let held = holding(&now, 2, Some(&later), false, staged);
    assert_eq!(place.read_now(&delivery).unwrap(), held);
    for login in [&now, &later] {
        assert!(place.login_now(&delivery, &login.digest()).unwrap().is_some());
    }
    assert!(matches!(place.stage_now(&delivery, &next, version), Err(PlaceError::Moved(_))));

    let version = place.publish_now(&delivery, &later, Generation(2), staged).unwrap();
    let held = holding(&later, 2, None, true, version);
    assert_eq!(place.read_now(&delivery).unwrap(), held);
}

#[test]
fn an_edit_by_hand_is_a_write_like_any_other() {
    let (_folder, place) = place();
    let delivery = delivery("cafe");
    let version = place.fence_now(&delivery, &marker(1), Version(0)).unwrap();
    let version = place.publish_now(&delivery, &login("cafe_a", "pass"), Generation(1), version).unwrap();
    let path = place.paths(&delivery).document;
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("pass", "mine")).unwrap();
    let late = place.publish_now(&delivery, &login("cafe_a", "new"), Generation(2), version);
    assert!(matches!(late, Err(PlaceError::Moved(_))));
}

#[test]
fn what_a_crash_left_half_written_is_replaced_by_the_next_write() {
    let (_folder, place) = place();
    let delivery = delivery("cafe");
    let paths = place.paths(&delivery);
    fs::create_dir_all(&paths.folder).unwrap();
    fs::write(&paths.unfinished, "{\"password\": \"ha").unwrap();
    let version = place.fence_now(&delivery, &marker(1), Version(0)).unwrap();
    place.publish_now(&delivery, &login("cafe_a", "pass"), Generation(1), version).unwrap();
    assert!(!paths.unfinished.exists());
    assert_eq!(fs::metadata(&paths.document).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn of_two_writers_on_one_version_the_second_is_refused() {
    let (_folder, place) = place();
    let delivery = delivery("cafe");
    place.fence_now(&delivery, &marker(1), Version(0)).unwrap();
    assert!(matches!(place.fence_now(&delivery, &marker(2), Version(0)), Err(PlaceError::Moved(_))));
    let late = place.publish_now(&delivery, &login("cafe_a", "pass"), Generation(1), Version(0));
    assert!(matches!(late, Err(PlaceError::Moved(_))));
}

#[test]
fn a_file_that_someone_else_wrote_is_never_touched() {
    let (_folder, place) = place();
    let delivery = delivery("cafe");
    let path = place.paths(&delivery).document;
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "{\"username\": \"theirs\"}").unwrap();
    assert!(matches!(place.read_now(&delivery).unwrap(), Held::Foreign { .. }));
    assert!(matches!(place.fence_now(&delivery, &marker(1), Version(0)), Err(PlaceError::Foreign(_))));
    place.withdraw_now(&delivery).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"username\": \"theirs\"}");
}

#[test]
fn a_credential_of_another_server_or_claim_is_foreign() {
    let (_folder, place) = place();
    let mine = delivery("cafe");
    let version = place.fence_now(&mine, &marker(1), Version(0)).unwrap();
    place.publish_now(&mine, &login("cafe_a", "pass"), Generation(1), version).unwrap();
    let elsewhere = Delivery { server: "other".parse().unwrap(), ..mine.clone() };
    assert!(matches!(place.read_now(&elsewhere).unwrap(), Held::Foreign { .. }));
    let stranger = Claim { name: "erp".parse().unwrap(), ..mine.claim.clone() };
    let theirs = Delivery { claim: stranger, ..mine };
    assert!(matches!(place.read_now(&theirs).unwrap(), Held::Foreign { .. }));
}

#[test]
fn only_the_owner_can_read_it_and_nothing_is_left_over() {
    let (_folder, place) = place();
    let delivery = delivery("cafe");
    let version = place.fence_now(&delivery, &marker(1), Version(0)).unwrap();
    place.publish_now(&delivery, &login("cafe_a", "pass"), Generation(1), version).unwrap();
    let paths = place.paths(&delivery);
    assert_eq!(fs::metadata(&paths.document).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&paths.folder).unwrap().permissions().mode() & 0o777, 0o700);
    place.withdraw_now(&delivery).unwrap();
    let left: Vec<_> = fs::read_dir(&paths.folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".lock"]);
}

#[test]
fn a_credential_is_found_by_the_name_of_its_declaration() {
    let (_folder, place) = place();
    let mut delivery = delivery("cafe");
    delivery.secret_name = "cafe-backend-env".parse().unwrap();
    let version = place.fence_now(&delivery, &marker(1), Version(0)).unwrap();
    place.publish_now(&delivery, &login("cafe_a", "pass"), Generation(1), version).unwrap();
    let namespace = "default".parse().unwrap();
    let Found { path, document, .. } = place.find(&namespace, &subject("cafe", None)).unwrap().pop().unwrap();
    assert!(path.ends_with("default/cafe-backend-env.json"));
    assert_eq!(document.get("username"), Some("cafe_a"));
    assert!(place.find(&namespace, &subject("erp", None)).unwrap().is_empty());
}

#[test]
fn the_longest_name_of_a_secret_becomes_a_file_name_that_fits() {
    let (_folder, place) = place();
    let mut delivery = delivery("cafe");
    delivery.secret_name = "x".repeat(253).parse().unwrap();
    let version = place.fence_now(&delivery, &marker(1), Version(0)).unwrap();
    place.publish_now(&delivery, &login("cafe_a", "pass"), Generation(1), version).unwrap();
    let Found { path, .. } = place.find(&delivery.claim.namespace, &subject("cafe", None)).unwrap().pop().unwrap();
    assert_eq!(path, place.paths(&delivery).document);
}

#[test]
fn a_pipe_in_the_place_of_a_credential_is_told_and_not_waited_for() {
    let (folder, place) = place();
    let delivery = delivery("cafe");
    place.fence_now(&delivery, &marker(1), Version(0)).unwrap();
    let path = folder.path().join("credentials/default/cafe-secret.json");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let told = place.read_now(&delivery).unwrap_err().to_string();
    assert!(told.contains("cafe-secret.json: it is not a regular file"), "{told}");
}
