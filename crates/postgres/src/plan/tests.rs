use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tenantdb_api::tenant_database::DeletionPolicy;
use tenantdb_api::{Declared, Source, parse};
use tenantdb_core::{
    Address, Authority, Declarations, Endpoint, Held, PlaceId, Provenance, Recorded, RefusalKind, Request, Risk,
    Script, lint,
};

use super::interpreter::World;
use super::*;
use crate::observe::{AvailableExtension, Database, ExtensionVersion, Granted, Installed, Role, Shared, Upgrade};
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
        world.place.held.insert(claim(), Ok(Held::Nothing { version: tenantdb_core::Version(9) }));
    }),
    ("the credential edited", |world| {
        let login = tenantdb_core::Digest::from_stored("forged".to_owned());
        let (username, generation) = ("cafe_a".parse().unwrap(), tenantdb_core::Generation(1));
        let version = tenantdb_core::Version(9);
        let held = Held::Credential {
            username,
            generation,
            login,
            next: None,
            current: true,
            provenance: Provenance::Claimed,
            version,
        };
        world.place.held.insert(claim(), Ok(held));
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

pub(super) fn database(world: &mut World) -> &mut Database {
    world.observed.shared.databases.entry("cafe".to_owned()).or_default()
}

pub(super) fn role<'a>(world: &'a mut World, name: &str) -> &'a mut Role {
    world.observed.shared.roles.entry(name.to_owned()).or_default()
}

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

pub(super) fn heal(world: &mut World, desired: &Desired) -> Plan<PostgresStep> {
    let plan = planned(world, desired);
    world.apply(&plan);
    let again = planned(world, desired);
    assert!(again.is_empty(), "{again:#?}");
    plan
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

/// The same database, asked for by another project.
fn asked_by_another(spec: &str) -> (Claim, Desired) {
    let mut other = desired(spec);
    let (claim, mut tenant) = other.tenants.pop_first().unwrap();
    let claim = claim.of(&Authority::project("other").unwrap());
    tenant.claim = claim.clone();
    other.tenants.insert(claim.clone(), tenant);
    other.request.authority = claim.authority.clone();
    (claim, other)
}

/// A tenant whose declaration is gone, and who is in its database.
fn orphaned(credentials: &str) -> World {
    let spec = format!("{{deletionProtection: false, credentials: {credentials}}}");
    let mut world = applied(&desired(&spec));
    let removal = removing(desired(&spec), Removal::Asked);
    heal(&mut world, &removal);
    let login = if credentials == "{}" { "cafe_a" } else { "cafe" };
    world.observed.shared.databases.get_mut("cafe").unwrap().sessions.insert(login.to_owned(), 1);
    world
}

#[test]
fn nobody_but_its_declaration_gets_an_orphan_unless_it_asks_for_what_exists() {
    for adopt in ["Never", "IfOrphaned"] {
        let (_, other) = asked_by_another(&format!("{{adopt: {adopt}}}"));
        let plan = planned(&mut orphaned("{}"), &other);
        let refusal = only(&plan).refusal.clone().unwrap();
        assert_eq!(refusal.kind, RefusalKind::Conflict);
        assert!(refusal.hint.unwrap().contains("`adopt: Existing`"));
    }
    let mut living = applied(&desired("{}"));
    let (_, other) = asked_by_another("{adopt: Existing}");
    assert!(only(&planned(&mut living, &other)).steps.is_empty());
}

#[test]
fn an_orphan_is_taken_over_from_any_moment_at_which_that_broke_off() {
    for credentials in ["{}", IN_PLACE, PASSWORDLESS] {
        let (claim, other) = asked_by_another(&format!("{{adopt: Existing, credentials: {credentials}}}"));
        let mut world = orphaned(credentials);
        let plan = planned(&mut world, &other);
        assert!(only(&plan).steps[..3].iter().all(|step| step.risk == Risk::Disruptive));
        let length = only(&plan).steps.len();
        for steps in 0..length {
            let mut world = orphaned(credentials);
            let earlier = world.accepted.clone();
            let plan = planned(&mut world, &other);
            world.apply_first(&plan, steps);
            heal(&mut world, &other);
            let ledger = world.observed.ledger.as_ref().unwrap();
            assert_eq!(ledger.tenants.keys().collect::<Vec<_>>(), [&claim]);
            assert!(ledger.roles.values().all(|holder| *holder == claim));
            if credentials != PASSWORDLESS {
                assert!(earlier.iter().all(|(role, login)| world.accepted.get(role) != Some(login)), "{steps} steps");
            }
        }
    }
}

#[test]
fn an_orphan_is_purged_and_nothing_else_is() {
    let mut world = orphaned("{}");
    let purge = removing(desired("{}"), Removal::Purged);
    let plan = planned(&mut world, &purge);
    assert_eq!(plan.risk(), Risk::Destructive);
    world.apply(&plan);
    assert!(!world.observed.shared.databases.contains_key("cafe"));
    assert!(world.observed.ledger.as_ref().unwrap().tenants.is_empty());

    let living = planned(&mut applied(&desired("{deletionProtection: false}")), &purge);
    assert_eq!(only(&living).refusal.as_ref().unwrap().kind, RefusalKind::Conflict);
    assert!(only(&living).steps.is_empty());

    let mut replaced = orphaned("{}");
    replaced.observed.shared.databases.get_mut("cafe").unwrap().oid = 1;
    assert!(only(&planned(&mut replaced, &purge)).steps.is_empty());
    let (_, other) = asked_by_another("{adopt: Existing}");
    assert!(only(&planned(&mut replaced, &other)).steps.is_empty());
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
