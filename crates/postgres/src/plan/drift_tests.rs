use std::collections::BTreeSet;

use proptest::prelude::*;
use tenantdb_api::tenant_database::DeletionPolicy;
use tenantdb_core::{Digest, Generation, Held, Risk, Version};

use super::interpreter::{World, credential};
use super::tests::{
    FULL, IN_PLACE, PASSWORDLESS, applied, claim, database, desired, full_with, heal, only, removing, role,
};
use super::*;
use crate::observe::{Granted, Installed};

/// One way in which a server drifts from what was declared.
type Drift = fn(&mut World);

const DRIFTS: &[(&str, Drift)] = &[
    ("PUBLIC let in", |world| {
        let public = BTreeSet::from(["CONNECT".to_owned()]);
        database(world).grants.insert(None, public);
    }),
    ("a slot shut out", |world| drop(database(world).grants.remove(&Some("cafe_a".to_owned())))),
    ("the tenant kept from creating", |world| drop(database(world).grants.remove(&Some("cafe".to_owned())))),
    ("the comment changed", |world| database(world).comment = Some("other".to_owned())),
    ("the database's limit changed", |world| database(world).connection_limit = 1),
    ("the database closed", |world| database(world).allows_connections = false),
    ("the database given away", |world| {
        role(world, ESTATE).administers.insert("stranger".to_owned());
        "stranger".clone_into(&mut database(world).owner);
    }),
    ("the database dropped", |world| world.drop_database("cafe")),
    ("a slot's limit changed", |world| role(world, "cafe_b").connection_limit = 99),
    ("a slot's role unset", |world| drop(role(world, "cafe_a").settings.remove(&(None, "role".to_owned())))),
    ("a slot's setting changed", |world| {
        let key = (Some("cafe".to_owned()), "statement_timeout".to_owned());
        role(world, "cafe_a").settings.insert(key, "1h".to_owned());
    }),
    ("a slot's setting added", |world| {
        role(world, "cafe_a").settings.insert((None, "search_path".to_owned()), "evil".to_owned());
    }),
    ("a slot made to expire", |world| role(world, "cafe_a").expires = true),
    ("a slot made INHERIT", |world| role(world, "cafe_a").inherit = true),
    ("a slot thrown out of the tenant", |world| {
        role(world, "cafe_b").member_of.remove("cafe");
    }),
    ("the active slot disabled", |world| {
        role(world, "cafe_a").login = false;
        world.accepted.remove("cafe_a");
    }),
    ("the spare slot enabled", |world| role(world, "cafe_b").login = true),
    ("the active slot dropped", |world| drop_role(world, "cafe_a")),
    ("the spare slot dropped", |world| drop_role(world, "cafe_b")),
    ("the tenant's role made LOGIN", |world| role(world, "cafe").login = true),
    ("the credential lost", |world| {
        world.place.held.insert(claim(), Ok(Held::Nothing { version: Version(9) }));
    }),
    ("the credential edited", |world| {
        let forged = credential(Digest::from_stored("cafe_a forged".to_owned()), None, Generation(1), 9);
        world.place.held.insert(claim(), Ok(forged));
    }),
    ("the credential's keys changed", |world| {
        if let Some(Ok(Held::Credential { current, .. })) = world.place.held.get_mut(&claim()) {
            *current = false;
        }
    }),
    ("a slot let into another role", |world| granted(world, "cafe_a", "strangers", ESTATE)),
    ("the tenant let into another role", |world| granted(world, "cafe", "strangers", "admin")),
    ("the tenant thrown out of its shared role", |world| {
        let cafe = role(world, "cafe");
        cafe.inherits.remove("readers");
        cafe.granted.retain(|granted| granted.role != "readers");
    }),
    ("the tenant let switch to its shared role", |world| {
        let cafe = role(world, "cafe");
        cafe.member_of.insert("readers".to_owned());
        let to_readers = cafe.granted.iter_mut().filter(|granted| granted.role == "readers");
        to_readers.for_each(|granted| granted.set = true);
    }),
    ("public given away", |world| {
        role(world, ESTATE).administers.insert("stranger".to_owned());
        schema(world, "public", Some("stranger"));
    }),
    ("a schema dropped", |world| schema(world, "app", None)),
    ("an extension of another version", |world| {
        extension(world, "hstore", |hstore| "1.4".clone_into(&mut hstore.version));
    }),
    ("an extension moved", |world| {
        role(world, "admin").superuser = true;
        extension(world, "hstore", |hstore| "public".clone_into(&mut hstore.schema));
    }),
    ("an extension made by the tenant in another version", |world| {
        role(world, ESTATE).administers.insert("cafe".to_owned());
        extension(world, "hstore", |hstore| {
            "1.4".clone_into(&mut hstore.version);
            "cafe".clone_into(&mut hstore.owner);
        });
    }),
    ("an extension dropped", |world| {
        if let Some(inside) = world.observed.inside.get_mut("cafe") {
            inside.extensions.remove("pg_trgm");
        }
    }),
];

/// Somebody lets a role into another one, which the estate and the administrator may undo.
fn granted(world: &mut World, member: &str, shared: &str, grantor: &str) {
    for admin in [ESTATE, "admin"] {
        role(world, admin).administers.insert(shared.to_owned());
    }
    let member = role(world, member);
    member.inherits.insert(shared.to_owned());
    let (role, grantor) = (shared.to_owned(), grantor.to_owned());
    member.granted.retain(|granted| granted.role != role || granted.grantor != grantor);
    member.granted.push(Granted { role, grantor, inherit: true, set: false, admin: false });
}

fn drop_role(world: &mut World, name: &str) {
    world.observed.shared.roles.remove(name);
    world.accepted.remove(name);
    for database in world.observed.shared.databases.values_mut() {
        database.grants.remove(&Some(name.to_owned()));
    }
}

fn extension(world: &mut World, name: &str, change: fn(&mut Installed)) {
    let inside = world.observed.inside.get_mut("cafe");
    inside.and_then(|inside| inside.extensions.get_mut(name)).into_iter().for_each(change);
}

fn schema(world: &mut World, name: &str, owner: Option<&str>) {
    let Some(inside) = world.observed.inside.get_mut("cafe") else { return };
    match owner {
        Some(owner) => drop(inside.schemas.insert(name.to_owned(), owner.to_owned())),
        None => drop(inside.schemas.remove(name)),
    }
}

/// What a database that was drifted into existence would be: another one, which is a conflict and not drift.
fn settle(world: &mut World) {
    if world.observed.shared.databases.get("cafe").is_some_and(|database| database.oid == 0) {
        world.observed.shared.databases.remove("cafe");
    }
    for role in ["cafe", "cafe_a", "cafe_b"] {
        world.observed.shared.roles.entry(role.to_owned()).or_default();
    }
}

#[test]
fn each_kind_of_drift_is_found_with_a_reason_and_healed() {
    for (name, drift) in DRIFTS {
        let mut world = applied(&desired(FULL));
        drift(&mut world);
        let plan = heal(&mut world, &desired(FULL));
        assert!(only(&plan).shown().next().is_some(), "{name} was not found");
        assert!(only(&plan).steps.iter().all(|step| step.risk == Risk::Safe), "{name} needs no consent");
    }
}

#[test]
fn a_login_that_a_place_names_survives_every_drift_that_leaves_its_place_alone() {
    let in_place = |world: &World| match world.place.held.get(&claim()) {
        Some(Ok(Held::Credential { login, .. })) => login.clone(),
        other => panic!("no credential: {other:?}"),
    };
    for (name, drift) in
        DRIFTS.iter().filter(|(name, _)| !["the credential lost", "the credential edited"].contains(name))
    {
        let mut world = applied(&desired(FULL));
        let before = in_place(&world);
        drift(&mut world);
        heal(&mut world, &desired(FULL));
        assert_eq!(in_place(&world), before, "{name}");
        assert_eq!(world.accepted.get("cafe_a"), Some(&before), "{name}");
    }
}

/// The same for a tenant that logs in itself.
const OWN_DRIFTS: &[(&str, Drift)] = &[
    ("the tenant shut out", |world| drop(database(world).grants.remove(&Some("cafe".to_owned())))),
    ("the database dropped", |world| world.drop_database("cafe")),
    ("its limit changed", |world| role(world, "cafe").connection_limit = 99),
    ("its setting changed", |world| {
        let key = (Some("cafe".to_owned()), "statement_timeout".to_owned());
        role(world, "cafe").settings.insert(key, "1h".to_owned());
    }),
    ("another role set", |world| {
        role(world, "cafe").settings.insert((None, "role".to_owned()), "none".to_owned());
    }),
    ("made to expire", |world| role(world, "cafe").expires = true),
    ("made a superuser", |world| {
        role(world, "admin").superuser = true;
        role(world, "cafe").superuser = true;
    }),
    ("disabled", |world| {
        role(world, "cafe").login = false;
        world.accepted.remove("cafe");
    }),
    ("dropped", |world| drop_role(world, "cafe")),
];

#[test]
fn a_tenant_that_logs_in_itself_is_healed_and_keeps_its_credential() {
    for credentials in [IN_PLACE, PASSWORDLESS] {
        for (name, drift) in OWN_DRIFTS {
            let desired = desired(&full_with(credentials));
            let mut world = applied(&desired);
            let before = world.accepted["cafe"].clone();
            drift(&mut world);
            let plan = heal(&mut world, &desired);
            assert!(only(&plan).shown().next().is_some(), "{name} was not found");
            assert!(only(&plan).steps.iter().all(|step| step.risk == Risk::Safe), "{name} needs no consent");
            assert_eq!(world.accepted.get("cafe"), Some(&before), "{name}");
            assert!(!world.observed.shared.roles.contains_key("cafe_a"), "{name} made a slot");
        }
    }
}

#[test]
fn a_password_that_takes_the_place_of_one_in_use_is_staged_and_asked_about() {
    let desired = desired(&full_with(IN_PLACE));
    let kinds = |plan: &Plan<PostgresStep>| {
        use tenantdb_core::Step as _;
        let steps =
            only(plan).steps.iter().filter(|step| matches!(step.task, Task::Credential(_)) || step.risk > Risk::Safe);
        steps.map(|step| (step.task.kind(), step.risk)).collect::<Vec<_>>()
    };
    let drifts = DRIFTS.iter().filter(|(name, _)| ["the credential lost", "the credential edited"].contains(name));
    for (name, drift) in drifts {
        let mut world = applied(&desired);
        drift(&mut world);
        let plan = heal(&mut world, &desired);
        let stage = (*name == "the credential edited").then_some(("stage-credential", Risk::Disruptive));
        let expected: Vec<_> = std::iter::once(("fence-credential", Risk::Disruptive))
            .chain(stage)
            .chain([
                ("enable-login", Risk::Disruptive),
                ("probe-login", Risk::Safe),
                ("publish-credential", Risk::Safe),
            ])
            .collect();
        assert_eq!(kinds(&plan), expected, "{name}");
    }
}

fn any_policy() -> impl Strategy<Value = DeletionPolicy> {
    prop::sample::select(vec![DeletionPolicy::Orphan, DeletionPolicy::Delete])
}

proptest! {
    #[test]
    fn any_mixture_of_drift_is_healed_in_one_pass(kinds in prop::collection::vec(0..DRIFTS.len(), 1..6)) {
        let mut world = applied(&desired(FULL));
        for kind in kinds {
            DRIFTS[kind].1(&mut world);
        }
        settle(&mut world);
        heal(&mut world, &desired(FULL));
    }

    #[test]
    fn what_was_removed_can_be_declared_again(
        database in any_policy(),
        roles in any_policy(),
        credentials in prop::sample::select(vec!["{}", IN_PLACE, PASSWORDLESS]),
        drift in 0..DRIFTS.len(),
    ) {
        let spec = format!(
            "{{deletionProtection: false, dbDeletionPolicy: {database:?}, roleDeletionPolicy: {roles:?}, \
             credentials: {credentials}}}"
        );
        let mut world = applied(&desired(&spec));
        let removal = removing(desired(&spec), Removal::Asked);
        if drift % 2 == 0 && credentials == "{}" && DRIFTS[drift].0 != "the database dropped" {
            DRIFTS[drift].1(&mut world);
        }
        heal(&mut world, &removal);
        let databases = world.observed.shared.databases.contains_key("cafe");
        prop_assert_eq!(databases, database == DeletionPolicy::Orphan);
        let login = if credentials == "{}" { "cafe_a" } else { "cafe" };
        let logins = world.observed.shared.roles.get(login).is_some_and(|role| role.login);
        prop_assert!(!logins || (database, roles) == (DeletionPolicy::Orphan, DeletionPolicy::Orphan));
        heal(&mut world, &desired(&spec));
    }
}
