use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::{Declared, Source, parse};
use tenantdb_core::{
    Address, Authority, Declarations, Endpoint, PlaceId, Recorded, RefusalKind, Request, Script, lint,
};

use super::interpreter::World;
use super::*;
use crate::observe::{AvailableExtension, Database, ExtensionVersion, Role, Shared, Upgrade};
use crate::{Postgres, init};

pub(super) fn desired(spec: &str) -> Desired {
    let text = format!(
        "apiVersion: tenantdb.dev/v1alpha1\nkind: DatabaseServer\nmetadata: {{name: shared}}\n\
         spec: {{source: {{endpoint: {{host: db}}}}, admin: {{username: admin, passwordFrom: [{{env: A}}]}}}}\n---\n\
         apiVersion: tenantdb.dev/v1alpha1\nkind: TenantDatabase\nmetadata: {{name: cafe}}\nspec: {spec}\n"
    );
    let manifests = parse(&[Source { name: "test.yaml".to_owned(), text }]).unwrap();
    let [server]: [Declared<_>; 1] = manifests.servers.try_into().unwrap();
    let declarations = Declarations { server: &server, tenants: &manifests.tenants };
    let request = Request::to(&server.resource, &authority(), endpoint());
    let (desired, problems) = Desired::resolve(declarations, "admin", &Recorded::default(), request);
    assert!(problems.is_empty(), "{problems:?}");
    desired
}

/// The same server, where the tenant is declared no more, and to be removed.
pub(super) fn removing(desired: Desired, why: Removal) -> Desired {
    let request = desired.request.removing([claim()], why);
    Desired { tenants: BTreeMap::new(), request, ..desired }
}

/// The same server, with new credentials here for what was delivered elsewhere.
pub(super) fn reissuing(mut desired: Desired) -> Desired {
    desired.request.reissue = true;
    desired
}

fn authority() -> Authority {
    Authority::project("test").unwrap()
}

fn endpoint() -> Endpoint {
    Endpoint {
        scheme: "postgresql",
        address: Address { host: "db".to_owned(), port: 5432 },
        direct: None,
        read_only: None,
        parameters: BTreeMap::new(),
        authority: None,
    }
}

pub(super) fn claim() -> Claim {
    desired("{}").tenants.into_keys().next().unwrap()
}

/// A server that tenantdb has never seen.
pub(super) fn empty_server() -> World {
    let administers = BTreeSet::from(["readers".to_owned()]);
    let admin = Role { login: true, create_db: true, create_role: true, administers, ..Role::default() };
    let shared = Shared {
        version: 18,
        login: "admin".to_owned(),
        extensions: Some([available("hstore", "1.8", true), available("pg_trgm", "1.6", true)].into()),
        roles: BTreeMap::from([("admin".to_owned(), admin), ("readers".to_owned(), Role::default())]),
        ..Shared::default()
    };
    let place = PlaceView {
        id: PlaceId("home:test".to_owned()),
        held: BTreeMap::new(),
        deliveries: BTreeMap::new(),
        locations: BTreeMap::from([(claim(), "cafe-secret.json".to_owned())]),
        refused: BTreeSet::new(),
        accepted: BTreeSet::new(),
    };
    let upgrade = ["hstore", "1.4", "1.8"].map(str::to_owned);
    let [extension, from, to] = upgrade;
    let upgrades = BTreeSet::from([Upgrade { extension, from, to }]);
    World::new(Observed { shared, upgrades, ..Observed::default() }, place)
}

/// An extension of which the server has one version.
fn available(name: &str, version: &str, trusted: bool) -> (String, AvailableExtension) {
    let facts = ExtensionVersion { trusted, relocatable: true, ..ExtensionVersion::default() };
    let versions = BTreeMap::from([(version.to_owned(), facts)]);
    (name.to_owned(), AvailableExtension { default_version: version.to_owned(), versions })
}

pub(super) fn planned(world: &mut World, desired: &Desired) -> Plan<PostgresStep> {
    world.place.deliveries = deliveries(desired, &world.observed);
    world.try_logins(desired);
    let plan = plan(desired, &world.observed, &world.place);
    assert_eq!(lint(&plan), Vec::<String>::new());
    plan
}

pub(super) fn applied(desired: &Desired) -> World {
    let mut world = empty_server();
    let plan = planned(&mut world, desired);
    world.apply(&plan);
    world
}

pub(super) fn only(plan: &Plan<PostgresStep>) -> &PostgresTenantPlan {
    let [tenant] = plan.tenants.as_slice() else { panic!("one tenant, not {}", plan.tenants.len()) };
    tenant
}

pub(super) fn shown(plan: &Plan<PostgresStep>) -> Vec<String> {
    use tenantdb_core::Step as _;
    only(plan).steps.iter().flat_map(|step| step.task.statements()).collect()
}

/// A tenant, and a role that has no database of its own.
pub(super) fn with_a_role(spec: &str) -> Desired {
    let role = "\n---\napiVersion: tenantdb.dev/v1alpha1\nkind: TenantRole\nmetadata: {name: watcher}";
    desired(&format!("{spec}{role}"))
}

pub(super) const FULL: &str = "{comment: Orders, connectionLimit: 20, settings: {statement_timeout: 30s}, schemas: [app], \
                    extensions: [pg_trgm, {name: hstore, version: '1.8', schema: app}], memberOf: [readers]}";

pub(super) const IN_PLACE: &str = "{rotation: {strategy: InPlace}}";
pub(super) const PASSWORDLESS: &str = "{mode: None}";

/// The fullest of tenants that logs in itself.
pub(super) fn full_with(credentials: &str) -> String {
    format!("{}, credentials: {credentials}}}", FULL.trim_end_matches('}'))
}

#[test]
fn a_new_tenant_is_made_with_the_statements_of_the_recipe() {
    let plan = planned(&mut empty_server(), &desired(FULL));
    assert_eq!(only(&plan).change, TenantChange::Create);
    insta::assert_snapshot!(shown(&plan).join("\n"), @r#"
    CREATE DATABASE "cafe" TEMPLATE template0 ALLOW_CONNECTIONS false CONNECTION LIMIT 23
    CREATE ROLE "cafe" NOLOGIN
    CREATE ROLE "cafe_a" NOINHERIT IN ROLE "cafe" LOGIN PASSWORD '<verifier>' CONNECTION LIMIT 20
    ALTER ROLE "cafe_a" SET role = 'cafe'
    ALTER ROLE "cafe_a" IN DATABASE "cafe" SET "statement_timeout" = '30s'
    CREATE ROLE "cafe_b" NOINHERIT IN ROLE "cafe" NOLOGIN CONNECTION LIMIT 20
    ALTER ROLE "cafe_b" SET role = 'cafe'
    ALTER ROLE "cafe_b" IN DATABASE "cafe" SET "statement_timeout" = '30s'
    SET LOCAL ROLE NONE
    GRANT "readers" TO "cafe" WITH INHERIT TRUE, SET FALSE
    SET LOCAL ROLE tenantdb_owner
    REVOKE CONNECT, TEMPORARY ON DATABASE "cafe" FROM PUBLIC
    GRANT CONNECT, TEMPORARY ON DATABASE "cafe" TO "cafe_a", "cafe_b"
    GRANT CREATE, TEMPORARY ON DATABASE "cafe" TO "cafe"
    COMMENT ON DATABASE "cafe" IS 'Orders'
    ALTER DATABASE "cafe" ALLOW_CONNECTIONS true
    ALTER SCHEMA "public" OWNER TO "cafe"
    CREATE SCHEMA IF NOT EXISTS "app" AUTHORIZATION "cafe"
    CREATE EXTENSION IF NOT EXISTS "hstore" WITH SCHEMA "app" VERSION '1.8'
    CREATE EXTENSION IF NOT EXISTS "pg_trgm" WITH SCHEMA "public"
    "#);
}

#[test]
fn a_role_that_nobody_can_let_into_the_servers_database_is_refused_whole() {
    let closed = |doorkeepers: &[&str]| {
        let mut world = empty_server();
        let owner = "postgres".to_owned();
        let doorkeepers = doorkeepers.iter().map(|name| (*name).to_owned()).collect();
        let found = Database { owner: owner.clone(), allows_connections: true, doorkeepers, ..Database::default() };
        world.observed.shared.roles.insert(owner.clone(), Role { superuser: true, ..Role::default() });
        world.observed.shared.databases.insert(owner, found);
        let plan = planned(&mut world, &with_a_role("{}"));
        let watcher = plan.tenants.into_iter().find(|tenant| tenant.claim.name.as_str() == "watcher").unwrap();
        (watcher.change, watcher.steps.len(), watcher.refusal.and_then(|refusal| refusal.hint))
    };
    let (change, steps, hint) = closed(&[]);
    assert_eq!((change, steps), (TenantChange::Refused, 0));
    let statement = "GRANT CONNECT ON DATABASE \"postgres\" TO \"admin\" WITH GRANT OPTION";
    assert!(hint.is_some_and(|hint| hint.ends_with(statement)));
    let (change, steps, hint) = closed(&[ESTATE]);
    assert!(change == TenantChange::Create && steps > 0 && hint.is_none());
}

#[test]
fn a_tenant_without_slots_logs_in_itself() {
    let made = |credentials: &str| {
        let spec = format!("{{connectionLimit: 5, settings: {{work_mem: 8MB}}, credentials: {credentials}}}");
        shown(&planned(&mut empty_server(), &desired(&spec)))
    };
    insta::assert_snapshot!(made(IN_PLACE).join("\n"), @r#"
    CREATE DATABASE "cafe" TEMPLATE template0 ALLOW_CONNECTIONS false CONNECTION LIMIT 8
    CREATE ROLE "cafe" LOGIN PASSWORD '<verifier>' CONNECTION LIMIT 5
    ALTER ROLE "cafe" IN DATABASE "cafe" SET "work_mem" = '8MB'
    REVOKE CONNECT, TEMPORARY ON DATABASE "cafe" FROM PUBLIC
    GRANT CONNECT, TEMPORARY ON DATABASE "cafe" TO "cafe"
    GRANT CREATE, TEMPORARY ON DATABASE "cafe" TO "cafe"
    ALTER DATABASE "cafe" ALLOW_CONNECTIONS true
    ALTER SCHEMA "public" OWNER TO "cafe"
    "#);
    insta::assert_snapshot!(made(PASSWORDLESS)[1], @r#"CREATE ROLE "cafe" LOGIN CONNECTION LIMIT 5"#);
}

#[test]
fn how_a_tenant_logs_in_does_not_change() {
    for (before, after) in [("{}", IN_PLACE), (IN_PLACE, "{}"), (IN_PLACE, PASSWORDLESS), (PASSWORDLESS, "{}")] {
        let mut world = applied(&desired(&format!("{{credentials: {before}}}")));
        let plan = planned(&mut world, &desired(&format!("{{credentials: {after}}}")));
        assert_eq!(only(&plan).refusal.as_ref().map(|refusal| refusal.kind), Some(RefusalKind::Policy));
        assert!(plan.is_empty());
    }
}

#[test]
fn a_plan_is_the_same_for_the_same_input() {
    let (mut one, mut other) = (empty_server(), empty_server());
    assert_eq!(planned(&mut one, &desired(FULL)), planned(&mut other, &desired(FULL)));
}

#[test]
fn after_a_plan_is_carried_out_the_next_one_is_empty() {
    for spec in ["{}", FULL, &full_with(IN_PLACE), &full_with(PASSWORDLESS)] {
        let mut world = applied(&desired(spec));
        assert!(planned(&mut world, &desired(spec)).is_empty());
    }
}

#[test]
fn what_is_no_longer_declared_is_reset_and_what_never_was_is_left_alone() {
    let mut world = applied(&desired(FULL));
    let without = desired("{schemas: [app], extensions: [pg_trgm]}");
    let plan = planned(&mut world, &without);
    world.apply(&plan);
    let database = &world.observed.shared.databases["cafe"];
    assert_eq!((database.comment.as_deref(), database.connection_limit), (None, -1));
    assert!(planned(&mut world, &without).is_empty());

    let database = world.observed.shared.databases.get_mut("cafe").unwrap();
    (database.comment, database.connection_limit) = (Some("by hand".to_owned()), 7);
    assert!(planned(&mut world, &without).is_empty());
}

#[test]
fn another_database_of_the_same_name_is_a_conflict_and_never_dropped() {
    let mut world = applied(&desired("{deletionProtection: false, dbDeletionPolicy: Delete}"));
    world.observed.shared.databases.get_mut("cafe").unwrap().oid += 1;
    let made = planned(&mut world, &desired("{deletionProtection: false, dbDeletionPolicy: Delete}"));
    let removed = planned(&mut world, &removing(desired("{}"), Removal::Asked));
    for plan in [made, removed] {
        let tenant = only(&plan);
        assert_eq!(tenant.refusal.as_ref().map(|refusal| refusal.kind), Some(RefusalKind::Conflict));
        assert!(tenant.steps.is_empty());
    }
}

#[test]
fn a_protected_tenant_is_not_removed() {
    let mut world = applied(&desired("{}"));
    let plan = planned(&mut world, &removing(desired("{}"), Removal::Asked));
    assert_eq!(only(&plan).refusal.as_ref().map(|refusal| refusal.kind), Some(RefusalKind::Protection));
}

pub(super) fn database(world: &mut World) -> &mut Database {
    world.observed.shared.databases.entry("cafe".to_owned()).or_default()
}

pub(super) fn role<'a>(world: &'a mut World, name: &str) -> &'a mut Role {
    world.observed.shared.roles.entry(name.to_owned()).or_default()
}

pub(super) fn heal(world: &mut World, desired: &Desired) -> Plan<PostgresStep> {
    let plan = planned(world, desired);
    world.apply(&plan);
    let again = planned(world, desired);
    assert!(again.is_empty(), "{again:#?}");
    plan
}

/// Two scripts that a database begins with.
pub(super) fn with_scripts(spec: &str, scripts: &[(&str, &str)]) -> Desired {
    let script =
        |(name, text): &(&str, &str)| Script::checked::<Postgres>((*name).to_owned(), (*text).to_owned()).unwrap();
    let mut desired = desired(spec);
    desired.request.scripts.insert(claim(), scripts.iter().map(script).collect());
    desired
}

#[test]
fn each_script_is_run_once_wherever_its_run_breaks_off() {
    for credentials in ["{}", IN_PLACE] {
        let desired = with_scripts(&full_with(credentials), &[("b.sql", "SELECT 1"), ("a.sql", "SELECT 2")]);
        let steps = only(&planned(&mut empty_server(), &desired)).steps.len();
        for done in 0..=steps {
            let mut world = empty_server();
            let mut broken = planned(&mut world, &desired);
            broken.tenants[0].steps.truncate(done);
            world.apply(&broken);
            heal(&mut world, &desired);
            assert_eq!(world.ran, ["b.sql", "a.sql"], "after {done} steps");
            let mut settings = world.observed.shared.roles.values().flat_map(|role| role.settings.values());
            assert!(!settings.any(|value| init::is_mark(value)), "after {done} steps");
        }
    }
}

#[test]
fn a_script_that_changed_or_came_late_is_told_and_a_new_database_begins_anew() {
    let first = with_scripts("{}", &[("a.sql", "SELECT 1")]);
    let mut world = applied(&first);
    let later = with_scripts("{}", &[("a.sql", "SELECT 2"), ("b.sql", "SELECT 3")]);
    let plan = planned(&mut world, &later);
    assert!(plan.is_empty());
    let told: Vec<&str> = only(&plan).conditions.iter().map(|condition| condition.kind.name).collect();
    assert_eq!(told, ["InitChanged", "InitNotRun"]);
    world.drop_database("cafe");
    heal(&mut world, &later);
    assert_eq!(world.ran, ["a.sql", "a.sql", "b.sql"]);
}
