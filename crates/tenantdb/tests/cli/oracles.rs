//! Random declarations and random drift on a live server: after `apply`, a closer look finds nothing to do, and every
//! credential logs in as what it was delivered for. The planner's tests do the same with a server in memory.
//!
//! `TENANTDB_SOAK=1` makes more of them; a failure names the seed, and `TENANTDB_SEED` begins with it.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tenantdb_testkit::{TestServer, on_every_server};

use crate::world::{World, query, tenant};

const TENANTS: [&str; 3] = ["blog", "cafe", "erp"];

/// What somebody does to a tenant by hand, in its database; `{}` is its name, `<>` its neighbour's.
const DRIFTS: [&str; 34] = [
    "COMMENT ON DATABASE {} IS 'mine'",
    "COMMENT ON DATABASE {} IS NULL",
    "ALTER ROLE {}_a CONNECTION LIMIT 3",
    "ALTER ROLE {}_b CONNECTION LIMIT -1",
    "ALTER DATABASE {} CONNECTION LIMIT 5",
    "ALTER ROLE {}_a SET work_mem = '1MB'",
    "ALTER ROLE {}_b SET statement_timeout = 0",
    "ALTER ROLE {}_a RESET ALL",
    "ALTER ROLE {}_a IN DATABASE {} SET role = 'none'",
    "ALTER ROLE {}_a INHERIT",
    "ALTER ROLE {}_b LOGIN PASSWORD 'x'",
    "ALTER ROLE {} LOGIN PASSWORD 'x'",
    "ALTER ROLE {}_a VALID UNTIL '2000-01-01'",
    "ALTER ROLE {}_a CREATEDB",
    "ALTER ROLE {} CREATEROLE",
    "ALTER ROLE {}_a PASSWORD 'x'",
    "ALTER ROLE {}_a NOLOGIN",
    "GRANT CONNECT ON DATABASE {} TO PUBLIC",
    "GRANT CONNECT ON DATABASE {} TO <>_a",
    "GRANT ALL ON DATABASE {} TO stranger",
    "REVOKE CONNECT ON DATABASE {} FROM {}_a",
    "REVOKE CREATE ON DATABASE {} FROM {}",
    "ALTER DATABASE {} OWNER TO <>",
    "ALTER DATABASE {} ALLOW_CONNECTIONS false",
    "ALTER SCHEMA public OWNER TO <>",
    "DROP SCHEMA IF EXISTS app CASCADE",
    "DROP EXTENSION IF EXISTS pg_trgm CASCADE",
    "CREATE TABLE odd_{n} (id int); ALTER TABLE odd_{n} OWNER TO {}",
    "DROP OWNED BY {}_b; DROP ROLE {}_b",
    "DO $$ BEGIN REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}_ro; EXCEPTION WHEN undefined_object THEN END $$",
    "DO $$ BEGIN GRANT CREATE ON SCHEMA public TO {}_rw; EXCEPTION WHEN undefined_object THEN END $$",
    "DO $$ BEGIN GRANT {}_rw TO stranger; EXCEPTION WHEN undefined_object THEN END $$",
    "DO $$ BEGIN ALTER ROLE {}_reporting_a NOLOGIN; EXCEPTION WHEN undefined_object THEN END $$",
    "DO $$ BEGIN ALTER ROLE {}_reporting LOGIN; EXCEPTION WHEN undefined_object THEN END $$",
];

/// A declaration of every tenant, and of a role that uses some of their databases.
fn declarations(random: &mut StdRng) -> String {
    let mut all = String::new();
    let mut used = Vec::new();
    for name in TENANTS {
        let consents = random.random_bool(0.5);
        if consents {
            used.push(format!("{{name: {name}, level: ReadOnly}}"));
        }
        all += &tenant(name, &spec(random, consents));
    }
    let databases = used.join(", ");
    all + &format!(
        "---\napiVersion: tenantdb.dev/v1alpha1\nkind: TenantRole\nmetadata: {{name: watcher}}\n\
         spec: {{databases: [{databases}], settings: {{statement_timeout: 9s}}}}\n"
    )
}

fn spec(random: &mut StdRng, consents: bool) -> String {
    let mut access = Vec::new();
    for name in ["reporting", "worker"] {
        let level = ["ReadOnly", "ReadWrite"].choose(random).unwrap();
        let schemas = ["", ", schemas: [public]", ", schemas: [public, app]"].choose(random).unwrap();
        if random.random_bool(0.4) {
            access.push(format!("{{name: {name}, level: {level}{schemas}}}"));
        }
    }
    if consents {
        access.push("{role: default/watcher, level: ReadWrite}".to_owned());
    }
    let some = [
        "comment: Orders",
        "connectionLimit: 7",
        "settings: {statement_timeout: 30s, timezone: UTC}",
        "extensions: [pg_trgm, hstore]",
        "memberOf: [readers]",
        "credentials: {formats: [env]}",
    ];
    let some = some.into_iter().filter(|_| random.random_bool(0.5)).map(str::to_owned);
    let fields = [format!("access: [{}]", access.join(", ")), "schemas: [app]".to_owned()].into_iter().chain(some);
    format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
}

fn meddle(server: &TestServer, random: &mut StdRng) -> Vec<String> {
    let mut done = Vec::new();
    for number in 0..random.random_range(1..5) {
        let index = random.random_range(0..TENANTS.len());
        let (name, neighbour) = (TENANTS[index], TENANTS[(index + 1) % TENANTS.len()]);
        let drift = DRIFTS.choose(random).unwrap();
        let sql = drift.replace("{n}", &number.to_string()).replace("{}", name).replace("<>", neighbour);
        // One drift may stand in another's way, such as a database that is closed.
        if server.try_psql(name, &sql).is_ok() {
            done.push(sql);
        }
    }
    done
}

fn every_credential_logs_in(server: &TestServer, world: &World) {
    for entry in std::fs::read_dir(world.home().join("credentials/default")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name.starts_with('.') || path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let held = world.credential("default", &name);
        let login: BTreeMap<String, String> =
            [("username", "DB_USER"), ("password", "DB_PASSWORD"), ("database", "DB_NAME")]
                .map(|(key, other)| (key.to_owned(), held.get(key).unwrap_or_else(|| &held[other]).clone()))
                .into();
        assert_eq!(query(server, &login, "SELECT session_user"), Ok(login["username"].clone()), "{name}");
    }
}

on_every_server! {
    fn any_declaration_is_reached_from_any_drift(server: TestServer) {
        let soak = std::env::var_os("TENANTDB_SOAK").is_some();
        let first: u64 = std::env::var("TENANTDB_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
        let world = World::on(&server);
        server.psql("postgres", "CREATE ROLE stranger; CREATE ROLE readers");
        if server.admin() == tenantdb_testkit::Admin::Plain {
            server.psql("postgres", &format!("GRANT readers TO {} WITH ADMIN OPTION", server.admin_username()));
        }
        for seed in (0..if soak { 40 } else { 4 }).map(|round| first.wrapping_add(round)) {
            let mut random = StdRng::seed_from_u64(seed);
            let declared = declarations(&mut random);
            world.declare(&declared);
            let by_hand = if world.home().exists() { meddle(&server, &mut random) } else { Vec::new() };
            let what = format!("TENANTDB_SEED={seed}\n{declared}\nafter {by_hand:#?}");
            let mut applied = world.run_on(&["apply", "--refresh", "--yes"]);
            if applied.code == Some(4) && applied.stderr.contains("run it again with --refresh") {
                // Somebody had kept the administrator out of a database, which is looked into once that is mended.
                applied = world.run_on(&["apply", "--refresh", "--yes"]);
            }
            assert_eq!(applied.code, Some(0), "{what}\n{}\n{}", applied.stdout, applied.stderr);
            let planned = world.run_on(&["plan", "--exit-code", "--refresh"]);
            assert_eq!(planned.code, Some(0), "{what}\n{}\n{}", planned.stdout, planned.stderr);
            every_credential_logs_in(&server, &world);
        }
    }
}
