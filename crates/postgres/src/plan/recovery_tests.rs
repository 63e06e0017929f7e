use tenantdb_core::{Digest, Held, RefusalKind, Risk, Slot, Version};
use tenantdb_credentials::SlotState;

use super::interpreter::World;
use super::tests::{
    FULL, IN_PLACE, PASSWORDLESS, applied, claim, database, desired, empty_server, full_with, heal, only, planned,
    reissuing, role, with_a_role, with_scripts,
};
use super::*;

/// Somebody drops the ledger's database.
fn lose_ledger(world: &mut World) {
    world.observed.ledger = None;
    world.observed.shared.databases.remove(LEDGER);
}

fn held(world: &World) -> (String, Digest) {
    match world.place.held.get(&claim()) {
        Some(Ok(Held::Credential { username, login, .. })) => (username.to_string(), login.clone()),
        other => panic!("no credential: {other:?}"),
    }
}

/// Every tenant there can be that has a password, with what it is declared as.
fn every_tenant() -> Vec<Desired> {
    let sharing = "{access: [{name: reporting, level: ReadOnly}, {role: default/watcher, level: ReadWrite, schemas: [app]}], schemas: [app]}";
    let specs = ["{}", FULL, &full_with(IN_PLACE)].map(desired);
    let others = [with_scripts("{}", &[("a.sql", "SELECT 1")]), with_a_role(sharing)];
    specs.into_iter().chain(others).collect()
}

#[test]
fn what_is_proved_by_its_credential_is_in_the_ledger_again_and_nothing_is_made_anew() {
    for desired in every_tenant() {
        let mut made = empty_server();
        let open = Database { owner: "postgres".to_owned(), allows_connections: true, ..Database::default() };
        made.observed.shared.databases.insert("postgres".to_owned(), open);
        heal(&mut made, &desired);
        let mut world = made.clone();
        lose_ledger(&mut world);
        let plan = heal(&mut world, &desired);
        assert_eq!(plan.risk(), Risk::Safe, "{plan:#?}");
        assert_eq!(world.accepted, made.accepted);
        assert_eq!(world.place.held, made.place.held);
        assert_eq!(world.observed.shared, made.observed.shared);
        let (now, before) = (world.observed.ledger.unwrap(), made.observed.ledger.unwrap());
        assert_eq!(now.roles, before.roles);
        for (claim, row) in before.tenants.iter().chain(&before.accounts) {
            let found = now.row(claim).expect("a row");
            let told = TenantRow { id: row.id, epoch: row.epoch, ..found.clone() };
            assert_eq!(told, *row);
        }
    }
}

#[test]
fn a_recovery_that_broke_off_anywhere_is_finished_and_who_logs_in_goes_on() {
    for desired in every_tenant().into_iter().filter(|desired| desired.accounts.is_empty()) {
        let made = applied(&desired);
        let begin = || {
            let mut world = made.clone();
            lose_ledger(&mut world);
            let plan = planned(&mut world, &desired);
            (world, plan)
        };
        for steps in 0..=only(&begin().1).steps.len() {
            let (mut world, plan) = begin();
            world.apply_first(&plan, steps);
            assert_eq!(world.accepted, made.accepted, "after {steps}");
            heal(&mut world, &desired);
            assert_eq!((world.accepted, world.ran), (made.accepted.clone(), made.ran.clone()), "after {steps}");
        }
    }
}

#[test]
fn what_nothing_here_proves_is_left_alone_until_somebody_says_that_it_is_theirs() {
    for spec in ["{}", FULL] {
        let made = applied(&desired(spec));
        let mut world = made.clone();
        lose_ledger(&mut world);
        world.place.held.clear();
        let plan = planned(&mut world, &desired(spec));
        let refusal = only(&plan).refusal.clone().unwrap();
        assert_eq!((refusal.kind, plan.is_empty()), (RefusalKind::Conflict, true));
        assert!(refusal.hint.unwrap().contains("`adopt: Existing`"));

        let adopting = desired(&format!("{}, adopt: Existing}}", spec.trim_end_matches('}')).replace("{, ", "{"));
        let plan = planned(&mut world, &adopting);
        assert_eq!(only(&plan).steps[0].risk, Risk::Disruptive);
        assert_eq!(only(&plan).change, TenantChange::Adopt);
        for steps in 0..=only(&plan).steps.len() {
            let mut world = world.clone();
            world.apply_first(&plan, steps);
            heal(&mut world, &adopting);
            assert_eq!(world.accepted["cafe_a"], made.accepted["cafe_a"], "whoever logs in goes on");
            let (username, login) = held(&world);
            assert_eq!((username != "cafe_a", &world.accepted[&username]), (true, &login));
            let slots = &world.observed.ledger.as_ref().unwrap().tenants[&claim()].slots;
            assert_eq!(slots[&Slot::A].state, SlotState::Draining);
        }
    }
}

#[test]
fn a_name_without_a_password_proves_nothing() {
    let spec = full_with(PASSWORDLESS);
    let mut world = applied(&desired(&spec));
    lose_ledger(&mut world);
    let plan = planned(&mut world, &desired(&spec));
    let refusal = only(&plan).refusal.clone().unwrap();
    assert_eq!((refusal.kind, plan.is_empty()), (RefusalKind::Conflict, true));

    // Nor does it where each login has one: it is as if nothing were there.
    let mut world = applied(&desired("{}"));
    let Some(Ok(Held::Credential { username, login, current, .. })) = world.place.held.get_mut(&claim()) else {
        panic!("no credential")
    };
    *login = tenantdb_core::Login { username: username.clone(), password: None }.digest();
    *current = false;
    let mut lost = world.clone();
    lose_ledger(&mut lost);
    assert_eq!(only(&planned(&mut lost, &desired("{}"))).refusal.clone().unwrap().kind, RefusalKind::Conflict);
    heal(&mut world, &desired("{}"));
    let (username, login) = held(&world);
    assert_eq!((username.as_str(), world.accepted.get("cafe_b")), ("cafe_b", Some(&login)));
}

#[test]
fn a_credential_that_the_server_refuses_proves_nothing_and_is_replaced_by_consent() {
    let mut world = applied(&desired("{}"));
    lose_ledger(&mut world);
    world.accepted.insert("cafe_a".to_owned(), Digest::from_stored("cafe_a changed".to_owned()));
    let plan = planned(&mut world, &desired("{}"));
    assert_eq!(only(&plan).refusal.as_ref().unwrap().kind, RefusalKind::Conflict);
    heal(&mut world, &desired("{adopt: Existing}"));
    assert_eq!(held(&world).0, "cafe_b");
    assert_eq!(world.accepted["cafe_a"].as_str(), "cafe_a changed");
}

#[test]
fn the_only_login_there_is_keeps_a_password_that_nobody_knows() {
    let spec = format!("{{adopt: Existing, credentials: {IN_PLACE}}}");
    let made = applied(&desired(&spec));
    let mut world = made.clone();
    lose_ledger(&mut world);
    world.place.held.clear();
    let plan = heal(&mut world, &desired(&spec));
    let refusal = only(&plan).refusal.as_ref().unwrap();
    assert_eq!(refusal.kind, RefusalKind::Deferral);
    assert!(refusal.hint.as_ref().unwrap().contains("--reissue"));
    assert_eq!(world.accepted, made.accepted);
    let plan = heal(&mut world, &reissuing(desired(&spec)));
    assert_eq!(plan.risk(), Risk::Disruptive);
    assert_eq!(held(&world).1, world.accepted["cafe"]);
}

#[test]
fn what_has_another_shape_is_a_stranger() {
    type Change = fn(&mut World);
    let changes: &[(&str, Change)] = &[
        ("another owner", |world| "admin".clone_into(&mut database(world).owner)),
        ("a database that is closed", |world| database(world).allows_connections = false),
        ("no tenant's role", |world| drop(world.observed.shared.roles.remove("cafe"))),
        ("no slot", |world| world.observed.shared.roles.retain(|name, _| !name.starts_with("cafe_"))),
        ("a slot of another role", |world| {
            role(world, "cafe_b").member_of.clear();
        }),
        ("a slot that acts as itself", |world| {
            role(world, "cafe_a").settings.remove(&(None, "role".to_owned()));
        }),
        ("a role that the estate does not administer", |world| {
            role(world, crate::ESTATE).administers.remove("cafe_a");
        }),
    ];
    for (name, change) in changes {
        let mut world = applied(&desired("{}"));
        lose_ledger(&mut world);
        change(&mut world);
        let plan = planned(&mut world, &desired("{}"));
        assert!(plan.is_empty(), "{name}");
        let refusal = only(&plan).refusal.as_ref().unwrap();
        assert_eq!(refusal.kind, RefusalKind::Conflict, "{name}");
        assert!(refusal.message.contains("tenantdb did not make it"), "{name}: {}", refusal.message);
    }
}

#[test]
fn a_login_from_before_an_adoption_goes_on() {
    let mut world = applied(&desired("{}"));
    role(&mut world, "cafe").login = true;
    world.accepted.insert("cafe".to_owned(), Digest::from_stored("from before".to_owned()));
    database(&mut world).grants.entry(Some("cafe".to_owned())).or_default().insert("CONNECT".to_owned());
    lose_ledger(&mut world);
    let plan = heal(&mut world, &desired("{}"));
    assert!(only(&plan).conditions.iter().any(|condition| condition.kind.name == "LegacyLogin"));
    assert!(world.observed.shared.roles["cafe"].login);
}

#[test]
fn a_ledger_that_is_older_than_a_credential_learns_of_it() {
    for spec in ["{}", FULL, &full_with(IN_PLACE)] {
        let mut world = applied(&desired(spec));
        let older = world.observed.ledger.clone();
        world.place.held.insert(claim(), Ok(Held::Nothing { version: Version(7) }));
        heal(&mut world, &desired(spec));
        let newer = world.clone();
        world.observed.ledger = older;
        let plan = planned(&mut world, &desired(spec));
        assert_eq!(plan.risk(), Risk::Safe);
        for steps in 0..=only(&plan).steps.len() {
            let mut world = world.clone();
            world.apply_first(&plan, steps);
            assert_eq!((&world.accepted, &world.place.held), (&newer.accepted, &newer.place.held), "after {steps}");
            heal(&mut world, &desired(spec));
            assert_eq!((&world.accepted, &world.place.held), (&newer.accepted, &newer.place.held), "after {steps}");
            let (username, login) = held(&world);
            let mut slots = world.observed.ledger.as_ref().unwrap().tenants[&claim()].slots.values();
            let slot = slots.find(|slot| slot.role == username).unwrap();
            assert_eq!((slot.state, slot.generation.0, &slot.login), (SlotState::Active, 2, &Some(login)));
        }
    }
}

#[test]
fn a_database_that_a_restore_made_anew_is_accepted_by_consent_and_another_one_is_not() {
    let adopting = desired("{adopt: Existing}");
    let restored = || {
        let mut world = applied(&desired("{}"));
        database(&mut world).oid = 4711;
        world
    };
    let mut world = restored();
    let refusal = only(&planned(&mut world, &desired("{}"))).refusal.clone().unwrap();
    assert!(refusal.hint.unwrap().contains("`adopt: Existing`"));
    let before = world.accepted.clone();
    let plan = heal(&mut world, &adopting);
    assert_eq!((only(&plan).steps[0].risk, world.accepted), (Risk::Disruptive, before));

    let renamed = |world: &mut World| {
        let found = Database {
            oid: world.observed.ledger.as_ref().unwrap().tenants[&claim()].database_oid.unwrap(),
            ..database(world).clone()
        };
        world.observed.shared.databases.insert("kept".to_owned(), found);
    };
    let changes: [fn(&mut World); 3] = [
        |world| "admin".clone_into(&mut database(world).owner),
        |world| drop(world.observed.shared.roles.remove("cafe_b")),
        |world| database(world).allows_connections = false,
    ];
    let others = changes.into_iter().map(|change| {
        let mut world = restored();
        change(&mut world);
        world
    });
    let mut kept = restored();
    renamed(&mut kept);
    for mut world in others.chain([kept]) {
        let plan = planned(&mut world, &adopting);
        assert_eq!((plan.is_empty(), only(&plan).refusal.as_ref().unwrap().kind), (true, RefusalKind::Conflict));
    }
}
