//! What a process is killed at: each scenario is there to pass some kinds of steps.

use std::fs;

use super::damage::{
    HOST, give_to_slots, host, in_use, inside_each, lose, make_by_hand, on_server, query_as, roles, spoil, stay,
    stay_with,
};
use super::scenario::{DELETE, NOTHING, Scenario, TENANTS, Task, all};
use super::site::{Left, More};
use crate::recovery::make_anew;
use crate::upgrade::make_earlier;
use crate::world::{Run, tenant};

/// Enough for one to be done, one to be at work on and one to come; the soak tests take all.
const SOME: usize = 3;

/// All that can be declared.
pub const FULL: &str = "{comment: Orders, connectionLimit: 20, settings: {statement_timeout: 30s}, schemas: [app], \
                        extensions: [{name: pg_trgm, version: '1.6'}], memberOf: [readers], init: [{file: seed.sql}]}";

/// The same for tenants that log in themselves.
const IN_PLACE: &str = "{connectionLimit: 20, settings: {statement_timeout: 30s}, schemas: [app], \
                        credentials: {rotation: {strategy: InPlace}}}";

/// The same, so that it may be deleted.
const FULL_UNPROTECTED: &str = "{comment: Orders, connectionLimit: 20, schemas: [app], extensions: [pg_trgm], \
                                memberOf: [readers], deletionProtection: false}";

/// What is declared of databases that others left behind.
const TAKEN_OVER: &str =
    "{comment: Bills, connectionLimit: 10, settings: {work_mem: 8MB}, schemas: [app], adopt: Existing}";

/// What is declared of databases that a restore made anew.
const RESTORED: &str = "{adopt: Existing, comment: Bills, connectionLimit: 20, settings: {statement_timeout: 30s}, \
                        schemas: [app], extensions: [pg_trgm], memberOf: [readers]}";

/// What is declared of databases that somebody made by hand.
const ADOPTED: &str = "{adopt: Existing, comment: Orders, schemas: [app], extensions: [pg_trgm]}";

/// The spec of tenants that let others in.
const SHARED: &str = "{comment: Orders, connectionLimit: 20, settings: {statement_timeout: 30s}, schemas: [app], \
                      extensions: [pg_trgm], memberOf: [readers], \
                      access: [{name: reporting, level: ReadOnly}, {name: worker, level: ReadWrite, schemas: [app]}]}";

/// The same with less to let others do.
const LESS_SHARED: &str = "{comment: Orders, connectionLimit: 20, settings: {statement_timeout: 30s}, schemas: [app], \
                           extensions: [pg_trgm], memberOf: [readers], access: [{name: worker, level: ReadOnly}]}";

const APPLY: Task = Task::Apply { spec: FULL, options: &[] };

/// Looks at everything, and consents to everything.
const HEAL: Task = Task::Apply { spec: FULL, options: &["--refresh", "--yes"] };

/// Databases that were made, are as declared, and stay.
const USUAL: Scenario = Scenario {
    name: "",
    before: Some(FULL),
    damage: |_| {},
    meanwhile: |_| {},
    task: APPLY,
    left: Left::Whole,
    more: NOTHING,
    tenants: SOME,
};

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "creation on an empty server", before: None, ..USUAL },
    Scenario {
        name: "creation of tenants that log in themselves",
        before: None,
        task: Task::Apply { spec: IN_PLACE, options: &[] },
        ..USUAL
    },
    Scenario {
        name: "password replaced in place",
        before: Some(IN_PLACE),
        damage: |site| {
            spoil(site);
            // One login has one password: what was delivered before goes.
            site.forget();
        },
        task: Task::Apply { spec: IN_PLACE, options: &["--yes"] },
        ..USUAL
    },
    Scenario {
        name: "change of everything that is declared",
        task: Task::Apply {
            spec: "{connectionLimit: 5, settings: {work_mem: 8MB}, schemas: [app, shop], extensions: [pg_trgm, hstore], \
                   credentials: {keys: {CAFE_URL: '{uri}'}}, deletionProtection: false}",
            options: &[],
        },
        ..USUAL
    },
    Scenario {
        name: "credential lost",
        damage: |site| {
            for (index, tenant) in site.tenants.iter().enumerate() {
                site.world.lose(tenant);
                if index.is_multiple_of(2) {
                    fs::remove_file(site.world.credential_path("default", &format!(".{tenant}-secret"))).unwrap();
                }
            }
        },
        ..USUAL
    },
    Scenario {
        name: "credential lost again",
        damage: |site| {
            lose(site);
            site.world.apply(&all(site, FULL)).exits(0);
            site.look();
            lose(site);
        },
        ..USUAL
    },
    Scenario { name: "credential edited", damage: spoil, ..USUAL },
    Scenario {
        name: "others let in",
        task: Task::Apply { spec: SHARED, options: &[] },
        more: More {
            roles: &[
                "{}_ro|f",
                "{}_worker_rw|f",
                "{}_reporting|f",
                "{}_reporting_a|t",
                "{}_reporting_b|f",
                "{}_worker|f",
                "{}_worker_a|t",
                "{}_worker_b|f",
            ],
            credentials: &["{}-secret-reporting", "{}-secret-worker"],
        },
        ..USUAL
    },
    Scenario {
        name: "others let in to less",
        before: Some(SHARED),
        task: Task::Apply { spec: LESS_SHARED, options: &["--yes"] },
        more: More {
            roles: &["{}_ro|f", "{}_worker|f", "{}_worker_a|t", "{}_worker_b|f"],
            credentials: &["{}-secret-worker"],
        },
        ..USUAL
    },
    Scenario {
        name: "logins that watch the server",
        damage: |site| {
            let closed = "GRANT CONNECT ON DATABASE postgres TO tenantdb_owner, admin_user WITH GRANT OPTION; \
                          REVOKE CONNECT ON DATABASE postgres FROM PUBLIC";
            site.server.psql("postgres", closed);
        },
        task: Task::Watch,
        more: More { roles: &["watch-{}|f", "watch-{}_a|t", "watch-{}_b|f"], credentials: &["watch-{}-role-secret"] },
        ..USUAL
    },
    Scenario {
        name: "another login no longer let in",
        damage: |site| {
            let server = site.world.folder().join("server.yaml");
            let plain = fs::read_to_string(&server).unwrap();
            fs::write(&server, format!("{plain}  connectFor: [postgres]\n")).unwrap();
            site.world.apply(&all(site, FULL)).exits(0);
            fs::write(&server, plain).unwrap();
        },
        task: HEAL,
        ..USUAL
    },
    Scenario {
        name: "login taken away",
        damage: |site| on_server(site, "ALTER ROLE {}_a NOLOGIN PASSWORD NULL"),
        ..USUAL
    },
    Scenario { name: "login dropped", damage: |site| inside_each(site, "DROP OWNED BY {}_a; DROP ROLE {}_a"), ..USUAL },
    Scenario {
        name: "password changed by hand",
        damage: |site| on_server(site, "ALTER ROLE {}_a PASSWORD 'other'"),
        task: HEAL,
        ..USUAL
    },
    Scenario {
        name: "database and roles dropped by hand",
        damage: |site| {
            on_server(site, "DROP DATABASE {}");
            on_server(site, "DROP ROLE {}, {}_a, {}_b");
        },
        ..USUAL
    },
    Scenario {
        name: "database dropped halfway",
        damage: |site| on_server(site, "UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{}'"),
        ..USUAL
    },
    Scenario {
        name: "everything meddled with",
        damage: |site| {
            inside_each(
                site,
                "ALTER ROLE {} LOGIN CREATEROLE; ALTER ROLE {}_a INHERIT CONNECTION LIMIT 3; \
                 ALTER ROLE {}_a SET work_mem = '1MB'; ALTER ROLE {}_b RESET role; \
                 REVOKE {} FROM {}_b GRANTED BY tenantdb_owner; ALTER ROLE {}_b LOGIN VALID UNTIL '2000-01-01'; \
                 ALTER SCHEMA public OWNER TO admin_user; DROP SCHEMA app; DROP EXTENSION pg_trgm; \
                 SET ROLE tenantdb_owner; CREATE EXTENSION pg_trgm VERSION '1.5' SCHEMA public; RESET ROLE; \
                 COMMENT ON DATABASE {} IS 'mine'; ALTER DATABASE {} CONNECTION LIMIT 99 IS_TEMPLATE true; \
                 GRANT readers TO {} WITH ADMIN OPTION GRANTED BY admin_user; \
                 GRANT CONNECT ON DATABASE {} TO PUBLIC; ALTER DATABASE {} OWNER TO admin_user",
            );
        },
        // Each is visited by its neighbour.
        meanwhile: |site| {
            for (host, guest) in site.tenants.iter().zip(site.tenants.iter().cycle().skip(1)) {
                stay(site, guest, host);
            }
        },
        task: HEAL,
        ..USUAL
    },
    Scenario {
        name: "ledger lost",
        damage: |site| {
            site.server.psql("postgres", "DROP DATABASE tenantdb WITH (FORCE)");
            site.world.run(&["server", "forget", "shared"]).exits(0);
        },
        ..USUAL
    },
    Scenario {
        name: "ledger of an earlier version",
        damage: |site| make_earlier(&site.server),
        task: Task::Apply { spec: "{connectionLimit: 5, schemas: [app], extensions: [pg_trgm]}", options: &[] },
        ..USUAL
    },
    Scenario {
        name: "databases restored from a dump",
        damage: |site| site.tenants.iter().for_each(|tenant| make_anew(&site.server, tenant)),
        task: Task::Apply { spec: RESTORED, options: &["--yes"] },
        ..USUAL
    },
    Scenario {
        name: "database closed by hand",
        damage: |site| on_server(site, "ALTER DATABASE {} ALLOW_CONNECTIONS false"),
        ..USUAL
    },
    Scenario {
        name: "deletion of everything",
        before: Some("{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}"),
        damage: give_to_slots,
        meanwhile: in_use,
        task: Task::Delete,
        left: Left::Nothing,
        ..USUAL
    },
    Scenario {
        name: "deletion of what was let into another tenant's database",
        before: Some("{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}"),
        damage: |site| {
            host(site);
            let guests = roles(site);
            let sql = format!("SET ROLE {HOST}; CREATE TABLE shared (id int); GRANT SELECT ON shared TO {guests}");
            site.server.psql(HOST, &sql);
        },
        task: Task::Delete,
        left: Left::Nothing,
        ..USUAL
    },
    Scenario {
        name: "deletion of what another tenant's open transaction holds",
        before: Some("{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}"),
        damage: |site| {
            host(site);
            query_as(site, HOST, "CREATE TABLE shared (id int)");
        },
        meanwhile: |site| {
            let guests = roles(site);
            stay_with(site, HOST, HOST, &format!("BEGIN; GRANT SELECT ON shared TO {guests}"));
        },
        task: Task::Delete,
        left: Left::Nothing,
        ..USUAL
    },
    Scenario {
        name: "deletion of the logins",
        before: Some("{deletionProtection: false, roleDeletionPolicy: Delete}"),
        damage: give_to_slots,
        meanwhile: in_use,
        task: Task::Delete,
        left: Left::Database,
        ..USUAL
    },
    Scenario {
        name: "deletion of the database",
        before: Some("{deletionProtection: false, dbDeletionPolicy: Delete}"),
        damage: give_to_slots,
        meanwhile: in_use,
        task: Task::Delete,
        left: Left::Roles,
        ..USUAL
    },
    Scenario {
        name: "deletion that keeps everything",
        before: Some("{deletionProtection: false}"),
        damage: give_to_slots,
        meanwhile: in_use,
        task: Task::Delete,
        ..USUAL
    },
    Scenario {
        name: "what another project left behind taken over",
        before: Some(FULL_UNPROTECTED),
        damage: |site| {
            give_to_slots(site);
            in_use(site);
            Run::of(&mut site.world.command(&DELETE)).exits(0);
            // Where its credentials were is another project's place now.
            fs::remove_dir_all(site.folder()).unwrap();
            site.forget();
            site.world.write("tenantdb.yaml", "project: another\n");
        },
        task: Task::Apply { spec: TAKEN_OVER, options: &["--yes"] },
        ..USUAL
    },
    Scenario {
        name: "adoption",
        before: None,
        damage: |site| {
            make_by_hand(site);
            on_server(site, "GRANT CREATE ON DATABASE {} TO pg_monitor");
            site.tenants.iter().for_each(|tenant| site.keeps_login(tenant));
        },
        task: Task::Apply { spec: ADOPTED, options: &["--yes"] },
        ..USUAL
    },
    Scenario {
        name: "retirement of the login from before an adoption",
        before: None,
        damage: |site| {
            make_by_hand(site);
            site.world.declare(&all(site, ADOPTED)).run_on(&["apply", "--yes"]).exits(0);
            site.look();
        },
        task: Task::Retire,
        ..USUAL
    },
    Scenario {
        name: "declared again after a deletion that was killed",
        before: Some("{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}"),
        damage: |site| {
            // Each at another point.
            let points = ["record-deletion", "withdraw-credential", "close-database", "drop-database", "drop-roles"];
            for (name, point) in site.tenants.iter().zip(points) {
                site.world.write("tenants.yaml", &tenant(name, "{}"));
                let mut delete = site.world.command(&DELETE);
                let killed = Run::of(delete.env("TENANTDB_FAILPOINT", format!("after-{point}")));
                assert_eq!(killed.code, None, "{killed:?}");
            }
            // A deletion takes credentials back: only what it left is promised.
            site.forget();
            site.look();
        },
        tenants: TENANTS.len(),
        ..USUAL
    },
];
