use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use tenantdb_api::tenant_database::SecretFormat;

use super::*;
use crate::format::tests::{delivery, holding, login};

fn delivery_of(name: &str) -> Delivery {
    let mut delivery = delivery(name);
    delivery.claim.name = name.parse().unwrap();
    delivery.formats = vec![SecretFormat::Env];
    delivery.keys = BTreeMap::from([(format!("{}_POSTGRES_URL", name.to_uppercase()), "{uri}".to_owned())]);
    delivery
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    if !text.is_empty() {
        fs::write(&path, text).unwrap();
    }
    (folder, path)
}

fn marker(generation: u64) -> Marker {
    Marker { generation: Generation(generation), writer: "test".to_owned() }
}

fn deliver(place: &DotenvPlace, delivery: &Delivery, login: &Login, generation: u64) -> Version {
    let version = match place.read_now(delivery).unwrap() {
        Held::Nothing { version } | Held::Credential { version, .. } => version,
        Held::Foreign { what, .. } | Held::Awaited { what, .. } => panic!("{what}"),
    };
    let version = place.fence_now(delivery, &marker(generation), version).unwrap();
    place.publish_now(delivery, login, Generation(generation), version).unwrap()
}

#[test]
fn variables_are_merged_into_what_is_there() {
    let (_folder, path) = file("# mine\nNODE_ENV=production\nexport DB_HOST=\n");
    let place = DotenvPlace::open(&path, "").unwrap();
    let (delivery, login) = (delivery_of("cafe"), login("cafe_user", "pass"));
    let version = deliver(&place, &delivery, &login, 1);
    let uri = "postgresql://cafe_user:pass@db.example:5433/cafe?sslmode=require";
    let text = format!(
        "# mine\nNODE_ENV=production\nexport DB_HOST=db.example\nDATABASE_URL={uri}\nDB_PORT=5433\nDB_NAME=cafe\n\
         DB_USER=cafe_user\nDB_PASSWORD=pass\nCAFE_POSTGRES_URL={uri}\n"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let held = holding(&login, 1, None, true, version);
    assert_eq!(place.read_now(&delivery).unwrap(), held);
    let again = DotenvPlace::open(&path, "").unwrap();
    assert_eq!((again.id(), again.read_now(&delivery).unwrap()), (place.id(), held));
    assert!(again.login_now(&delivery, &login.digest()).unwrap().is_some());
    place.withdraw_now(&delivery).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "# mine\nNODE_ENV=production\n");
}

#[test]
fn services_with_names_of_their_own_share_a_file_and_do_not_disturb_each_other() {
    let (_folder, path) = file("");
    let (cafe, erp) = (DotenvPlace::open(&path, "").unwrap(), DotenvPlace::open(&path, "ERP_").unwrap());
    assert_eq!(cafe.id(), erp.id(), "it is one place");
    let of_cafe = deliver(&cafe, &delivery_of("cafe"), &login("cafe_user", "one"), 1);
    deliver(&erp, &delivery_of("erp"), &login("erp_user", "two"), 1);
    fs::write(&path, fs::read_to_string(&path).unwrap() + "MORE=1\n").unwrap();
    cafe.fence_now(&delivery_of("cafe"), &marker(2), of_cafe).expect("what others write is none of its business");
    let variables = |name: &str| erp.variables(&delivery_of(name).claim).unwrap();
    assert_eq!(variables("cafe").get("DB_PASSWORD"), Some("one"));
    assert_eq!(variables("erp").get("ERP_DB_PASSWORD"), Some("two"));
    assert_eq!(variables("erp").get("DB_PASSWORD"), None);
}

#[test]
fn what_somebody_else_wrote_is_never_overwritten() {
    let refused = |place: &DotenvPlace, delivery: &Delivery| match place.read_now(delivery).unwrap() {
        Held::Foreign { what, .. } => {
            assert!(matches!(place.fence_now(delivery, &marker(1), Version(0)), Err(PlaceError::Foreign(_))));
            what
        }
        held => panic!("{held:?}"),
    };
    let (_folder, path) = file("DATABASE_URL=theirs\n");
    let place = DotenvPlace::open(&path, "").unwrap();
    assert!(refused(&place, &delivery_of("cafe")).ends_with("tenantdb did not write the DATABASE_URL that is in it"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "DATABASE_URL=theirs\n");

    fs::remove_file(&path).unwrap();
    let cafe = delivery_of("cafe");
    deliver(&place, &cafe, &login("cafe_user", "pass"), 1);
    assert!(refused(&place, &delivery_of("erp")).ends_with("DATABASE_URL is that of default/cafe"));
    fs::remove_file(&path).unwrap();
    assert!(refused(&place, &delivery_of("erp")).ends_with("DATABASE_URL is that of default/cafe"), "it will be back");
    let elsewhere = Delivery { server: "other".parse().unwrap(), ..cafe };
    assert!(refused(&place, &elsewhere).ends_with("is the credential on server shared"));
}

#[test]
fn an_edit_of_its_own_variables_is_a_write_like_any_other() {
    let (_folder, path) = file("");
    let place = DotenvPlace::open(&path, "").unwrap();
    let (delivery, login) = (delivery_of("cafe"), login("cafe_user", "pass"));
    let version = deliver(&place, &delivery, &login, 1);
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("DB_HOST=db.example", "DB_HOST=mine")).unwrap();
    assert!(matches!(place.read_now(&delivery).unwrap(), Held::Credential { current: false, .. }));
    assert!(matches!(place.publish_now(&delivery, &login, Generation(1), version), Err(PlaceError::Moved(_))));
    deliver(&place, &delivery, &login, 1);
    assert!(fs::read_to_string(&path).unwrap().contains("DB_HOST=db.example\n"));
}

#[test]
fn a_staged_password_is_held_beside_the_other_and_goes_when_it_is_published() {
    let (_folder, path) = file("");
    let place = DotenvPlace::open(&path, "CAFE_").unwrap();
    let (delivery, now, later) = (delivery_of("cafe"), login("cafe_user", "now"), login("cafe_user", "later"));
    let version = deliver(&place, &delivery, &now, 1);
    let version = place.fence_now(&delivery, &marker(2), version).unwrap();
    let version = place.stage_now(&delivery, later.password.as_ref().unwrap(), version).unwrap();
    let held = holding(&now, 2, Some(&later), false, version);
    assert_eq!(place.read_now(&delivery).unwrap(), held);
    place.publish_now(&delivery, &later, Generation(2), version).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("CAFE_DB_PASSWORD=later\n") && !text.contains("next"), "{text}");
}

#[test]
fn another_prefix_renames_the_variables() {
    let (_folder, path) = file("A=1\n");
    let (delivery, login) = (delivery_of("cafe"), login("cafe_user", "pass"));
    deliver(&DotenvPlace::open(&path, "").unwrap(), &delivery, &login, 1);
    let renamed = DotenvPlace::open(&path, "MY_").unwrap();
    assert!(matches!(renamed.read_now(&delivery).unwrap(), Held::Credential { current: false, .. }));
    deliver(&renamed, &delivery, &login, 1);
    assert!(matches!(renamed.read_now(&delivery).unwrap(), Held::Credential { current: true, .. }));
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("A=1\nMY_DATABASE_URL=") || text.contains("\nMY_DB_HOST="), "{text}");
    assert!(!text.contains("\nDB_HOST=") && text.contains("\nCAFE_POSTGRES_URL="), "{text}");
}

#[test]
fn a_link_stays_one_and_what_is_no_file_is_refused() {
    let (folder, path) = file("");
    let real = folder.path().join("real.env");
    fs::write(&real, "A=1\n").unwrap();
    symlink("real.env", &path).unwrap();
    deliver(&DotenvPlace::open(&path, "").unwrap(), &delivery_of("cafe"), &login("cafe_user", "pass"), 1);
    assert!(path.is_symlink());
    assert!(fs::read_to_string(&real).unwrap().starts_with("A=1\nDATABASE_URL="));

    symlink("nowhere", folder.path().join("dangling")).unwrap();
    for name in ["dangling", ".", "no/such/folder/.env", "/dev/null"] {
        let refused = DotenvPlace::open(&folder.path().join(name), "").unwrap_err();
        assert!(matches!(refused, PlaceError::Failed { hint: Some(_), .. }), "{name}: {refused}");
    }
}

#[test]
fn what_can_not_be_merged_is_refused_and_stays() {
    let delivery = Delivery { database: "it's".parse().unwrap(), ..delivery_of("cafe") };
    let login = login("cafe_user", "pass");
    for text in [&b"A='open\n"[..], b"A=\xff\n"] {
        let (_folder, path) = file("");
        fs::write(&path, text).unwrap();
        let place = DotenvPlace::open(&path, "").unwrap();
        let delivered = place
            .fence_now(&delivery, &marker(1), Version(0))
            .and_then(|version| place.publish_now(&delivery, &login, Generation(1), version));
        assert!(matches!(delivered, Err(PlaceError::Failed { hint: Some(_), .. })));
        assert_eq!(fs::read(&path).unwrap(), text);
    }
}
