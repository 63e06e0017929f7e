use std::collections::{BTreeMap, BTreeSet};

use tenantdb_core::{Digest, RefusalKind, Risk};

use super::interpreter::World;
use super::tests::{claim, database, desired, empty_server, heal, only, planned, reissuing, removing, role, shown};
use super::*;
use crate::observe::{Inside, Role};

const ADOPT: &str = "{adopt: Existing}";

/// What somebody makes of a role.
type Change = fn(&mut Role);

/// What the tenant's role was let in with before.
fn from_before() -> Digest {
    Digest::from_stored("from before".to_owned())
}

/// A server on which somebody made database `cafe` for role `owner`, which logs in as `cafe`.
fn made_by_hand(owner: &str) -> World {
    let mut world = empty_server();
    *role(&mut world, "postgres") = Role { superuser: true, login: true, ..Role::default() };
    *role(&mut world, "cafe") = Role { login: true, inherit: true, connection_limit: 40, ..Role::default() };
    role(&mut world, "admin").administers.insert("cafe".to_owned());
    *role(&mut world, "grafana") = Role { login: true, ..Role::default() };
    *role(&mut world, "idle") = Role { login: true, ..Role::default() };
    let found = database(&mut world);
    let privileges = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    (found.oid, found.allows_connections, found.connection_limit) = (77, true, -1);
    owner.clone_into(&mut found.owner);
    found.grants.insert(None, privileges(&["CONNECT", "TEMPORARY"]));
    found.grants.insert(Some("idle".to_owned()), privileges(&["CONNECT"]));
    found.sessions = BTreeMap::from([("cafe".to_owned(), 3), ("grafana".to_owned(), 1)]);
    let schemas = [("public", "pg_database_owner"), ("app", "cafe"), ("reports", "grafana")];
    let schemas = schemas.map(|(schema, owner)| (schema.to_owned(), owner.to_owned())).into();
    world.observed.inside.insert("cafe".to_owned(), Inside { schemas, ..Inside::default() });
    world.accepted.insert("cafe".to_owned(), from_before());
    world
}

fn refusal(world: &mut World, spec: &str) -> Refusal {
    let plan = planned(world, &desired(spec));
    assert!(plan.is_empty(), "what is refused is refused whole");
    only(&plan).refusal.clone().expect("a refusal")
}

fn conditions(plan: &Plan<PostgresStep>) -> Vec<&'static str> {
    only(plan).conditions.iter().map(|condition| condition.kind.name).collect()
}

#[test]
fn a_database_passes_to_the_estate_before_anybody_is_shut_out() {
    let plan = planned(&mut made_by_hand("cafe"), &desired(ADOPT));
    assert_eq!(only(&plan).change, TenantChange::Adopt);
    insta::assert_snapshot!(shown(&plan).join("\n"), @r#"
    SET LOCAL ROLE NONE
    GRANT "cafe" TO tenantdb_owner WITH ADMIN OPTION, INHERIT FALSE, SET FALSE
    SET LOCAL ROLE tenantdb_owner
    GRANT "cafe" TO tenantdb_owner WITH INHERIT TRUE, SET TRUE
    ALTER SCHEMA "public" OWNER TO "cafe"
    ALTER DATABASE "cafe" OWNER TO tenantdb_owner
    GRANT CREATE, TEMPORARY ON DATABASE "cafe" TO "cafe"
    GRANT CONNECT ON DATABASE "cafe" TO "cafe"
    REVOKE "cafe" FROM tenantdb_owner
    CREATE ROLE "cafe_a" NOINHERIT IN ROLE "cafe" LOGIN PASSWORD '<verifier>'
    ALTER ROLE "cafe_a" SET role = 'cafe'
    CREATE ROLE "cafe_b" NOINHERIT IN ROLE "cafe" NOLOGIN
    ALTER ROLE "cafe_b" SET role = 'cafe'
    REVOKE CONNECT, TEMPORARY ON DATABASE "cafe" FROM PUBLIC
    GRANT CONNECT, TEMPORARY ON DATABASE "cafe" TO "cafe_a", "cafe_b"
    REVOKE ALL ON DATABASE "cafe" FROM "idle" CASCADE
    "#);
    let told: Vec<String> = {
        use tenantdb_core::Step as _;
        let told =
            |step: &Planned<PostgresStep>| format!("{:?}: {}  # {}", step.risk, step.task.describe(), step.reason);
        only(&plan).shown().map(told).collect()
    };
    insta::assert_snapshot!(told.join("\n"), @"
    Disruptive: database cafe: adopted from cafe, which keeps its login and its password  # somebody else made it, and `adopt` is Existing
    Disruptive: database cafe: owned by tenantdb_owner, schema public owned by cafe, tenantdb_owner decides who joins cafe  # it was owned by cafe
    Safe: login cafe_a  # for the adopted database
    Safe: spare login cafe_b  # for the adopted database
    Disruptive: database cafe: closed to PUBLIC, open to cafe_a, cafe_b  # every login could connect; who loses that, and keeps the sessions that are open: grafana (1 session now)
    Safe: credential generation 1 in cafe-secret.json  # none was delivered yet
    Disruptive: database cafe: no longer open to idle  # nothing declares that
    ");
}

#[test]
fn what_was_adopted_is_as_declared_and_its_role_logs_in_as_before() {
    for spec in [ADOPT, "{adopt: Existing, connectionLimit: 5, settings: {work_mem: 8MB}, schemas: [app, more]}"] {
        for owner in ["cafe", "admin"] {
            let mut world = made_by_hand(owner);
            let before = world.observed.shared.roles["cafe"].clone();
            heal(&mut world, &desired(spec));
            assert_eq!(world.observed.shared.roles["cafe"], before);
            assert_eq!(world.accepted["cafe"], from_before());
            assert!(database(&mut world).grants("cafe", "CONNECT"));
            assert_eq!(database(&mut world).connection_limit, -1, "its sessions are not limited with the slots'");
            let plan = planned(&mut world, &desired(spec));
            assert_eq!(conditions(&plan), ["LegacyLogin"]);
            assert_eq!(world.observed.inside["cafe"].schemas["reports"], "grafana");
        }
    }
}

#[test]
fn an_adoption_that_was_killed_anywhere_is_finished_and_never_dropped() {
    let steps = only(&planned(&mut made_by_hand("cafe"), &desired(ADOPT))).steps.len();
    for killed_after in 0..=steps {
        let mut world = made_by_hand("cafe");
        let plan = planned(&mut world, &desired(ADOPT));
        world.apply_first(&plan, killed_after);
        let login = &world.observed.shared.roles["cafe"];
        assert!(login.login && world.accepted["cafe"] == from_before(), "after {killed_after}");

        let removal = |spec: &str| removing(desired(spec), Removal::Asked);
        let removed = planned(&mut world, &removal("{}"));
        assert!(removed.risk() == Risk::Safe && removed.is_empty(), "after {killed_after}");

        // Who began it may finish it, whatever the declaration says of adopting by now.
        let spec = if killed_after == 0 { ADOPT } else { "{}" };
        heal(&mut world, &desired(spec));
        assert_eq!(world.accepted["cafe"], from_before());
        assert_eq!(database(&mut world).oid, 77);
        assert_eq!(conditions(&planned(&mut world, &desired(spec))), ["LegacyLogin"]);
    }
}

#[test]
fn nothing_is_adopted_unasked() {
    for spec in ["{}", "{adopt: Never}", "{adopt: IfOrphaned}"] {
        assert_eq!(refusal(&mut made_by_hand("cafe"), spec).kind, RefusalKind::Conflict);
    }
}

#[test]
fn another_owner_is_proposed_unless_it_can_not_be_a_tenant() {
    let proposed = |owner: &str, change: Change| {
        let mut world = made_by_hand(owner);
        change(role(&mut world, owner));
        let refusal = refusal(&mut world, ADOPT);
        assert_eq!(refusal.kind, RefusalKind::Conflict);
        refusal.hint.unwrap()
    };
    assert_eq!(proposed("barista", |role| role.login = true), "set `owner: barista`");
    assert!(
        proposed("barista", |role| role.create_db = true).starts_with("`barista` can't be a tenant: it is CREATEDB")
    );
}

#[test]
fn who_reaches_further_is_no_tenant() {
    let powers: [(&str, Change); 7] = [
        ("SUPERUSER", |role| role.superuser = true),
        ("CREATEROLE", |role| role.create_role = true),
        ("CREATEDB", |role| role.create_db = true),
        ("REPLICATION", |role| role.replication = true),
        ("BYPASSRLS", |role| role.bypass_rls = true),
        ("pg_read_all_data", |role| role.inherits.extend(["pg_read_all_data".to_owned()])),
        ("pg_execute_server_program", |role| role.member_of.extend(["pg_execute_server_program".to_owned()])),
    ];
    for (power, give) in powers {
        let mut world = made_by_hand("cafe");
        give(role(&mut world, "cafe"));
        let refusal = refusal(&mut world, ADOPT);
        assert_eq!(refusal.kind, RefusalKind::Policy);
        assert!(refusal.message.contains(power), "{refusal:?}");
    }
}

#[test]
fn a_plain_administrator_is_told_all_that_a_superuser_has_to_do() {
    let mut world = made_by_hand("postgres");
    role(&mut world, "admin").administers.clear();
    if let Some(inside) = world.observed.inside.get_mut("cafe") {
        inside.schemas.insert("public".to_owned(), "postgres".to_owned());
    }
    world.observed.shared.maintenance_database = "postgres".to_owned();
    let refusal = refusal(&mut world, ADOPT);
    insta::assert_snapshot!(refusal.hint.unwrap(), @r#"as a superuser run: in database "postgres": CREATE ROLE tenantdb_owner NOLOGIN CREATEDB CREATEROLE; GRANT tenantdb_owner TO "admin" WITH INHERIT TRUE, SET TRUE; GRANT "cafe" TO tenantdb_owner WITH ADMIN OPTION, INHERIT FALSE, SET FALSE; ALTER DATABASE "cafe" OWNER TO tenantdb_owner; in database "cafe": ALTER SCHEMA "public" OWNER TO pg_database_owner"#);
}

#[test]
fn a_password_that_nobody_told_us_is_replaced_only_when_asked() {
    for credentials in ["{rotation: {strategy: InPlace}}", "{mode: None}"] {
        let mut world = made_by_hand("cafe");
        let adopt = desired(&format!("{{adopt: Existing, credentials: {credentials}}}"));
        for _ in 0..2 {
            let plan = planned(&mut world, &adopt);
            assert_eq!(only(&plan).refusal.as_ref().map(|refusal| refusal.kind), Some(RefusalKind::Deferral));
            world.apply(&plan);
            assert_eq!(world.accepted["cafe"], from_before());
        }
        assert!(planned(&mut world, &adopt).is_empty(), "all else is done");

        let plan = planned(&mut world, &reissuing(adopt.clone()));
        assert_eq!(plan.risk(), Risk::Disruptive);
        world.apply(&plan);
        assert_ne!(world.accepted["cafe"], from_before());
        assert!(planned(&mut world, &adopt).is_empty());
    }
}

#[test]
fn the_earlier_login_is_retired_once_nobody_uses_it() {
    let mut world = made_by_hand("cafe");
    heal(&mut world, &desired(ADOPT));
    let mut retire = Desired::from(desired("{}").request);
    retire.request.retirements.insert(claim());
    let user = crate::observe::User {
        application: "rails".to_owned(),
        address: Some("10.0.0.7".to_owned()),
        database: "cafe".to_owned(),
        since: None,
    };
    world.observed.users.insert("cafe".to_owned(), vec![user]);
    let plan = planned(&mut world, &retire);
    let refusal = only(&plan).refusal.clone().expect("a refusal");
    assert_eq!(refusal.kind, RefusalKind::Deferral);
    assert_eq!(refusal.message, "its login cafe is in use: rails in database cafe from 10.0.0.7");

    world.observed.users.clear();
    let plan = planned(&mut world, &retire);
    assert_eq!(plan.risk(), Risk::Disruptive);
    world.apply(&plan);
    assert!(!world.observed.shared.roles["cafe"].login);
    assert_eq!(conditions(&planned(&mut world, &retire)), ["NothingToRetire"]);
    let plan = planned(&mut world, &desired(ADOPT));
    assert!(plan.is_empty(), "{plan:#?}");
}
