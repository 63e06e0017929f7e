//! What a process is killed at: each scenario is there to pass some kinds of steps.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tenantdb_testkit::{query_at, wait_until};

use super::site::{Left, More, SPOILT, Site};
use super::soak;
use crate::recovery::make_anew;
use crate::upgrade::make_earlier;
use crate::world::{Run, query, tenant};

/// The tenants of each scenario: a step of a kind is passed at least once for each.
const TENANTS: [&str; 5] = ["blog", "cafe", "erp", "shop", "wiki"];

/// Enough for one to be done, one to be at work on and one to come; the soak tests take all.
const SOME: usize = 3;

/// One that is there in some of them and is not what they are about.
const HOST: &str = "host";

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

/// Something to be done, and how it is when it is done.
pub struct Scenario {
    pub name: &'static str,
    /// What was declared and applied before.
    before: Option<&'static str>,
    /// What somebody else did then.
    damage: fn(&mut Site),
    task: Task,
    left: Left,
    /// What each tenant has afterwards beside its own.
    more: More,
    /// How many tenants it is about.
    tenants: usize,
}

/// The spec of tenants that let others in.
const SHARED: &str = "{comment: Orders, connectionLimit: 20, settings: {statement_timeout: 30s}, schemas: [app], \
                      extensions: [pg_trgm], memberOf: [readers], \
                      access: [{name: reporting, level: ReadOnly}, {name: worker, level: ReadWrite, schemas: [app]}]}";

/// The same with less to let others do.
const LESS_SHARED: &str = "{comment: Orders, connectionLimit: 20, settings: {statement_timeout: 30s}, schemas: [app], \
                           extensions: [pg_trgm], memberOf: [readers], access: [{name: worker, level: ReadOnly}]}";

pub const NOTHING: More = More { roles: &[], credentials: &[] };

enum Task {
    Apply {
        spec: &'static str,
        options: &'static [&'static str],
    },
    /// Declares a login beside each tenant that has no database of its own.
    Watch,
    Delete,
    Retire,
}

const APPLY: Task = Task::Apply { spec: FULL, options: &[] };

/// Looks at everything, and consents to everything.
const HEAL: Task = Task::Apply { spec: FULL, options: &["--refresh", "--yes"] };

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "creation on an empty server",
        before: None,
        damage: |_| {},
        task: APPLY,
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "creation of tenants that log in themselves",
        before: None,
        damage: |_| {},
        task: Task::Apply { spec: IN_PLACE, options: &[] },
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
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
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "change of everything that is declared",
        before: Some(FULL),
        damage: |_| {},
        task: Task::Apply {
            spec: "{connectionLimit: 5, settings: {work_mem: 8MB}, schemas: [app, shop], extensions: [pg_trgm, hstore], \
                   credentials: {keys: {CAFE_URL: '{uri}'}}, deletionProtection: false}",
            options: &[],
        },
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "credential lost",
        before: Some(FULL),
        damage: |site| {
            for (index, tenant) in site.tenants.iter().enumerate() {
                fs::remove_file(site.world.credential_path("default", &format!("{tenant}-secret"))).unwrap();
                if index.is_multiple_of(2) {
                    fs::remove_file(site.world.credential_path("default", &format!(".{tenant}-secret"))).unwrap();
                }
            }
        },
        task: APPLY,
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "credential lost again",
        before: Some(FULL),
        damage: |site| {
            lose(site);
            site.world.apply(&all(site, FULL)).exits(0);
            site.look();
            lose(site);
        },
        task: APPLY,
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "credential edited",
        before: Some(FULL),
        damage: spoil,
        task: APPLY,
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "others let in",
        before: Some(FULL),
        damage: |_| {},
        task: Task::Apply { spec: SHARED, options: &[] },
        left: Left::Whole,
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
        tenants: SOME,
    },
    Scenario {
        name: "others let in to less",
        before: Some(SHARED),
        damage: |_| {},
        task: Task::Apply { spec: LESS_SHARED, options: &["--yes"] },
        left: Left::Whole,
        more: More {
            roles: &["{}_ro|f", "{}_worker|f", "{}_worker_a|t", "{}_worker_b|f"],
            credentials: &["{}-secret-worker"],
        },
        tenants: SOME,
    },
    Scenario {
        name: "logins that watch the server",
        before: Some(FULL),
        damage: |site| {
            let closed = "GRANT CONNECT ON DATABASE postgres TO tenantdb_owner, admin_user WITH GRANT OPTION; \
                          REVOKE CONNECT ON DATABASE postgres FROM PUBLIC";
            site.server.psql("postgres", closed);
        },
        task: Task::Watch,
        left: Left::Whole,
        more: More { roles: &["watch-{}|f", "watch-{}_a|t", "watch-{}_b|f"], credentials: &["watch-{}-role-secret"] },
        tenants: SOME,
    },
    Scenario {
        name: "another login no longer let in",
        before: Some(FULL),
        damage: |site| {
            let server = site.world.folder().join("server.yaml");
            let plain = fs::read_to_string(&server).unwrap();
            fs::write(&server, format!("{plain}  connectFor: [postgres]\n")).unwrap();
            site.world.apply(&all(site, FULL)).exits(0);
            fs::write(&server, plain).unwrap();
        },
        task: HEAL,
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "login taken away",
        before: Some(FULL),
        damage: |site| {
            for tenant in site.tenants {
                site.server.psql("postgres", &format!("ALTER ROLE {tenant}_a NOLOGIN PASSWORD NULL"));
            }
        },
        task: APPLY,
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "login dropped",
        before: Some(FULL),
        damage: |site| {
            for tenant in site.tenants {
                site.server.psql(tenant, &format!("DROP OWNED BY {tenant}_a; DROP ROLE {tenant}_a"));
            }
        },
        task: APPLY,
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "password changed by hand",
        before: Some(FULL),
        damage: |site| {
            for tenant in site.tenants {
                site.server.psql("postgres", &format!("ALTER ROLE {tenant}_a PASSWORD 'other'"));
            }
        },
        task: HEAL,
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "database and roles dropped by hand",
        before: Some(FULL),
        damage: |site| {
            for tenant in site.tenants {
                site.server.psql("postgres", &format!("DROP DATABASE {tenant}"));
                site.server.psql("postgres", &format!("DROP ROLE {tenant}, {tenant}_a, {tenant}_b"));
            }
        },
        task: APPLY,
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "database dropped halfway",
        before: Some(FULL),
        damage: |site| {
            for tenant in site.tenants {
                let half = format!("UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{tenant}'");
                site.server.psql("postgres", &half);
            }
        },
        task: APPLY,
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "everything meddled with",
        before: Some(FULL),
        damage: |site| {
            for tenant in site.tenants {
                site.server.psql(
                    tenant,
                    &format!(
                        "ALTER ROLE {tenant} LOGIN CREATEROLE; ALTER ROLE {tenant}_a INHERIT CONNECTION LIMIT 3; \
                         ALTER ROLE {tenant}_a SET work_mem = '1MB'; ALTER ROLE {tenant}_b RESET role; \
                         REVOKE {tenant} FROM {tenant}_b GRANTED BY tenantdb_owner; ALTER ROLE {tenant}_b LOGIN VALID UNTIL '2000-01-01'; \
                         ALTER SCHEMA public OWNER TO admin_user; DROP SCHEMA app; DROP EXTENSION pg_trgm; \
                         SET ROLE tenantdb_owner; CREATE EXTENSION pg_trgm VERSION '1.5' SCHEMA public; RESET ROLE; \
                         COMMENT ON DATABASE {tenant} IS 'mine'; ALTER DATABASE {tenant} CONNECTION LIMIT 99 IS_TEMPLATE true; \
                         GRANT readers TO {tenant} WITH ADMIN OPTION GRANTED BY admin_user; \
                         GRANT CONNECT ON DATABASE {tenant} TO PUBLIC; ALTER DATABASE {tenant} OWNER TO admin_user"
                    ),
                );
            }
            // Each is visited by its neighbour.
            for (host, guest) in site.tenants.iter().zip(site.tenants.iter().cycle().skip(1)) {
                stay(site, guest, host);
            }
        },
        task: HEAL,
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "ledger lost",
        before: Some(FULL),
        damage: |site| {
            site.server.psql("postgres", "DROP DATABASE tenantdb WITH (FORCE)");
            site.world.run(&["server", "forget", "shared"]).exits(0);
        },
        task: APPLY,
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "ledger of an earlier version",
        before: Some(FULL),
        damage: |site| make_earlier(&site.server),
        task: Task::Apply { spec: "{connectionLimit: 5, schemas: [app], extensions: [pg_trgm]}", options: &[] },
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "databases restored from a dump",
        before: Some(FULL),
        damage: |site| site.tenants.iter().for_each(|tenant| make_anew(&site.server, tenant)),
        task: Task::Apply { spec: RESTORED, options: &["--yes"] },
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "database closed by hand",
        before: Some(FULL),
        damage: |site| {
            for tenant in site.tenants {
                site.server.psql("postgres", &format!("ALTER DATABASE {tenant} ALLOW_CONNECTIONS false"));
            }
        },
        task: APPLY,
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "deletion of everything",
        before: Some("{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}"),
        damage: in_use,
        task: Task::Delete,
        left: Left::Nothing,
        more: NOTHING,
        tenants: SOME,
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
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "deletion of what another tenant's open transaction holds",
        before: Some("{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}"),
        damage: |site| {
            host(site);
            query_as(site, HOST, "CREATE TABLE shared (id int)");
            let guests = roles(site);
            stay_with(site, HOST, HOST, &format!("BEGIN; GRANT SELECT ON shared TO {guests}"));
        },
        task: Task::Delete,
        left: Left::Nothing,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "deletion of the logins",
        before: Some("{deletionProtection: false, roleDeletionPolicy: Delete}"),
        damage: in_use,
        task: Task::Delete,
        left: Left::Database,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "deletion of the database",
        before: Some("{deletionProtection: false, dbDeletionPolicy: Delete}"),
        damage: in_use,
        task: Task::Delete,
        left: Left::Roles,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "deletion that keeps everything",
        before: Some("{deletionProtection: false}"),
        damage: in_use,
        task: Task::Delete,
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "what another project left behind taken over",
        before: Some(FULL_UNPROTECTED),
        damage: |site| {
            in_use(site);
            Run::of(&mut site.world.command(&DELETE)).exits(0);
            // Where its credentials were is another project's place now.
            fs::remove_dir_all(site.folder()).unwrap();
            site.forget();
            site.world.write("tenantdb.yaml", "project: another\n");
        },
        task: Task::Apply { spec: TAKEN_OVER, options: &["--yes"] },
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
    },
    Scenario {
        name: "adoption",
        before: None,
        damage: |site| {
            make_by_hand(site);
            for tenant in site.tenants {
                site.server.psql("postgres", &format!("GRANT CREATE ON DATABASE {tenant} TO pg_monitor"));
                site.keeps_login(tenant);
            }
        },
        task: Task::Apply { spec: ADOPTED, options: &["--yes"] },
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
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
        left: Left::Whole,
        more: NOTHING,
        tenants: SOME,
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
        task: APPLY,
        left: Left::Whole,
        more: NOTHING,
        tenants: TENANTS.len(),
    },
];

const APPLIED: [&str; 5] = ["apply", "-f", "server.yaml", "-f", "tenants.yaml"];

const DELETE: [&str; 6] = ["delete", "--yes", "-f", "server.yaml", "-f", "tenants.yaml"];

impl Scenario {
    /// A server on which only the task is left to do.
    pub fn site(&self, major: u32) -> Site {
        let tenants = if soak() { &TENANTS[..] } else { &TENANTS[..self.tenants] };
        let mut site = Site::new(major, tenants);
        if let Some(spec) = self.before {
            site.world.apply(&all(&site, spec)).exits(0);
            site.look();
        }
        (self.damage)(&mut site);
        match &self.task {
            Task::Apply { spec, .. } => drop(site.world.write("tenants.yaml", &all(&site, spec))),
            Task::Watch => drop(site.world.write("tenants.yaml", &(all(&site, FULL) + &watching(&site)))),
            Task::Delete | Task::Retire => {}
        }
        site
    }

    /// The task.
    pub fn command(&self, site: &Site) -> Command {
        match &self.task {
            Task::Delete => site.world.command(&DELETE),
            Task::Retire => site.world.command(&[&["rotate", "--retire", "--yes"], site.tenants].concat()),
            Task::Apply { options, .. } => {
                let mut command = site.world.command(&APPLIED);
                command.args(*options);
                command
            }
            Task::Watch => site.world.command(&APPLIED),
        }
    }

    /// Whether the task is done, and nothing else.
    #[track_caller]
    pub fn check(&self, site: &mut Site) {
        let left = site.tenants.iter().map(|tenant| ((*tenant).to_owned(), self.left)).collect();
        site.check(left, self.more);
        if !matches!(self.task, Task::Delete) {
            site.is_as_declared();
        }
    }
}

fn all(site: &Site, spec: &str) -> String {
    site.tenants.iter().map(|name| tenant(name, spec)).collect()
}

fn make_by_hand(site: &mut Site) {
    for tenant in site.tenants {
        site.make_by_hand(tenant);
    }
}

/// A role without a database of its own for each tenant.
fn watching(site: &Site) -> String {
    let role = |tenant: &&str| {
        format!("---\napiVersion: tenantdb.dev/v1alpha1\nkind: TenantRole\nmetadata: {{name: watch-{tenant}}}\n")
    };
    site.tenants.iter().map(role).collect()
}

/// All that the tenants' owners and logins are called.
fn roles(site: &Site) -> String {
    site.tenants.iter().map(|tenant| format!("{tenant}, {tenant}_a")).collect::<Vec<_>>().join(", ")
}

fn lose(site: &mut Site) {
    for tenant in site.tenants {
        fs::remove_file(site.world.credential_path("default", &format!("{tenant}-secret"))).unwrap();
    }
}

/// Somebody writes another password into each credential.
fn spoil(site: &mut Site) {
    for tenant in site.tenants {
        let mut credential = site.world.credential("default", &format!("{tenant}-secret"));
        SPOILT.clone_into(credential.get_mut("password").unwrap());
        let path = site.world.credential_path("default", &format!("{tenant}-secret"));
        fs::write(path, serde_json::to_vec(&credential).unwrap()).unwrap();
    }
}

/// An application is connected, and a slot owns what it should not.
fn in_use(site: &mut Site) {
    for tenant in site.tenants {
        stay(site, tenant, tenant);
        site.server.psql(tenant, &format!("CREATE TABLE odd (id int); ALTER TABLE odd OWNER TO {tenant}_a"));
    }
}

/// A further tenant that stays whole.
fn host(site: &mut Site) {
    site.world.write("host.yaml", &tenant(HOST, "{}"));
    site.world.run(&["apply", "-f", "server.yaml", "-f", "host.yaml"]).exits(0);
    site.keeps(HOST);
}

/// What a tenant does with its own credential.
fn query_as(site: &Site, tenant: &str, sql: &str) {
    let credential = site.world.credential("default", &format!("{tenant}-secret"));
    query(&site.server, &credential, sql).unwrap();
}

/// Opens a session of a tenant's login in a database, which stays until it is ended.
fn stay(site: &Site, tenant: &str, database: &str) {
    stay_with(site, tenant, database, "SELECT 1");
}

/// The same, after some statements.
fn stay_with(site: &Site, tenant: &str, database: &str, sql: &str) {
    let credential = site.world.credential("default", &format!("{tenant}-secret"));
    let (user, password) = (credential["username"].clone(), credential["password"].clone());
    let (port, place) = (site.server.port(), database.to_owned());
    let sessions = format!(
        "SELECT count(*) FROM pg_stat_activity \
         WHERE usename = '{user}' AND datname = '{database}' AND wait_event = 'PgSleep'"
    );
    let sql = format!("SET statement_timeout = 0; {sql}; SELECT pg_sleep(600)");
    thread::spawn(move || query_at(port, &user, &password, &place, &sql));
    wait_until(Duration::from_secs(10), || site.server.psql("postgres", &sessions) != "0");
}
