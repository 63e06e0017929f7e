//! What programs and reviewers read: JSON, SQL and Markdown.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tenantdb_testkit::{TestServer, on_every_server, on_servers};

use crate::world::{Run, World, tenant};

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}:\n{}\n{}", run.stdout, run.stderr))
}

/// Checks a document against the schema that the program prints for it.
#[track_caller]
fn checked(world: &World, of: &str, document: Value) -> Value {
    let schema = json(&world.run(&["schema", of]).exits(0));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
    assert!(faults.is_empty(), "{faults:?}\n{document:#}");
    assert_eq!(document["version"], 1);
    document
}

/// All of a server's catalogs that a plan can change, but for passwords, the right to log in, and the ledger.
fn catalogs(server: &TestServer) -> Vec<String> {
    let shared = [
        "SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolconnlimit, \
         rolvaliduntil FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'",
        "SELECT roleid::regrole::text, member::regrole::text, admin_option, to_jsonb(m) - 'oid' - 'roleid' - 'member' - 'grantor' \
         FROM pg_auth_members m WHERE roleid > 16383",
        "SELECT coalesce(d.datname, '*'), setrole::regrole::text, setconfig FROM pg_db_role_setting s \
         LEFT JOIN pg_database d ON d.oid = setdatabase",
        "SELECT datname, datdba::regrole, datallowconn, datconnlimit, datistemplate, pg_encoding_to_char(encoding), \
         (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(datacl) a), shobj_description(oid, 'pg_database') \
         FROM pg_database WHERE datname <> 'tenantdb'",
    ];
    let rows = |database: &str, query: &str| {
        server.psql(database, query).lines().map(|row| format!("{database}: {row}")).collect::<Vec<_>>()
    };
    let mut found: Vec<String> = shared.iter().flat_map(|query| rows("postgres", query)).collect();
    let databases = server.psql(
        "postgres",
        "SELECT datname FROM pg_database WHERE datallowconn AND datname NOT IN \
                                             ('tenantdb', 'template1', 'postgres')",
    );
    for database in databases.lines() {
        for query in [
            "SELECT nspname, nspowner::regrole, nspacl FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'",
            "SELECT extname, extnamespace::regnamespace FROM pg_extension",
        ] {
            found.extend(rows(database, query));
        }
    }
    found.sort();
    found
}

/// Runs a script with psql, as the administrator.
#[track_caller]
fn psql(server: &TestServer, script: &str) {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut psql = Command::new("psql")
        .args(["-X", "-q", "-h", server.host(), "-p", &server.port().to_string()])
        .args(["-U", server.admin_username(), "-d", "postgres"])
        .env("PATH", format!("{path}:/usr/lib/postgresql/15/bin"))
        .env("PGPASSWORD", server.admin_password())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    psql.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = psql.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let noticed = told.lines().filter(|line| !line.contains("NOTICE:")).collect::<Vec<_>>();
    assert!(output.status.success() && noticed.is_empty(), "{told}\n{script}");
}

const FIRST: &str = "{comment: 'It''s for \\orders', connectionLimit: 5, schemas: [app, \"a \\\"b\\\"\"], extensions: [pg_trgm], \
                     settings: {statement_timeout: 30s}}";
const SECOND: &str = "{connectionLimit: 7, schemas: [app, more], extensions: [pg_trgm, citext], settings: {work_mem: 8MB}, \
                      deletionProtection: false}";

/// Tenants with a name that needs quotes, and with every way to log in.
fn all(spec: &str) -> String {
    let also = |more: &str| format!("{{{more}, {}", &spec[1..]);
    tenant("cafe", spec)
        + &tenant("odd", &also("database: \"O'dd \\\\ \\\"=$ü\""))
        + &tenant("single", &also("credentials: {rotation: {strategy: InPlace}}"))
        + &tenant("trusted", &also("credentials: {mode: None}"))
}

on_every_server! {
    fn the_script_of_a_plan_does_what_apply_does(server: TestServer) {
        let other = TestServer::start(server.major(), server.admin());
        let (applied, scripted) = (World::on(&server), World::on(&other));
        let script = scripted.declare(&all(FIRST)).run_on(&["plan", "-o", "sql"]).exits(0).stdout;
        let logins: Vec<&str> = script.lines().filter(|line| line.contains(" LOGIN")).collect();
        assert_eq!(logins, ["CREATE ROLE \"trusted\" LOGIN CONNECTION LIMIT 5;"]);
        assert!(!script.contains("PASSWORD"), "{script}");
        psql(&other, &script);
        applied.apply(&all(FIRST)).exits(0);
        assert_eq!(catalogs(&other), catalogs(&server));
        other.psql("postgres", "DROP DATABASE cafe");
    }

    fn the_script_of_a_change_does_what_apply_does(server: TestServer) {
        let other = TestServer::start(server.major(), server.admin());
        let (applied, scripted) = (World::on(&server), World::on(&other));
        for (world, server) in [(&applied, &server), (&scripted, &other)] {
            world.apply(&all(FIRST)).exits(0);
            server.psql("postgres", "ALTER ROLE cafe_a INHERIT; ALTER DATABASE cafe ALLOW_CONNECTIONS false; GRANT CONNECT ON DATABASE cafe TO PUBLIC");
        }
        let script = scripted.declare(&all(SECOND)).run_on(&["plan", "-o", "sql"]).exits(0).stdout;
        psql(&other, &script);
        applied.apply(&all(SECOND)).exits(0);
        assert_eq!(catalogs(&other), catalogs(&server));
        let again = scripted.run_on(&["plan", "-o", "sql"]).exits(0).stdout;
        assert!(!again.contains("ALTER"), "the script left something: {again}");
    }
}

on_servers! {
    [18 Plain]

    fn what_is_printed_as_json_has_the_documented_shape(server: TestServer) {
        let world = World::on(&server);
        let both = tenant("cafe", "{connectionLimit: 5}") + &tenant("erp", "{database: postgres2}");
        server.psql("postgres", "CREATE DATABASE postgres2");
        let plan = world.declare(&both).run_on(&["plan", "-o", "json", "--exit-code"]).exits(4);
        let plan = checked(&world, "plan", json(&plan));
        let tenants = &plan["servers"][0]["tenants"];
        assert_eq!((&tenants[0]["change"], &tenants[1]["change"]), (&Value::from("Create"), &Value::from("Refused")));
        assert_eq!(tenants[1]["refusal"]["kind"], "Conflict");
        let kinds: Vec<&str> =
            tenants[0]["steps"].as_array().unwrap().iter().map(|step| step["kind"].as_str().unwrap()).collect();
        assert!(kinds.starts_with(&["claim", "create-database"]), "{kinds:?}");
        let report = checked(&world, "report", json(&world.run_on(&["apply", "-o", "json"]).exits(4)));
        let tenants = &report["servers"][0]["tenants"];
        assert_eq!((&tenants[0]["result"], &tenants[1]["result"]), (&Value::from("Done"), &Value::from("Refused")));
        assert_eq!(tenants[0]["credential"], world.credential_path("default", "cafe-secret").display().to_string());
        let status = checked(&world, "status", json(&world.run_on(&["status", "-o", "json"]).exits(0)));
        assert_eq!(status["tenants"][1]["state"], "Conflict");
        checked(&world, "orphans", json(&world.run(&["orphans", "-o", "json"]).exits(0)));
        checked(&world, "history", json(&world.run(&["history", "cafe", "-o", "json"]).exits(0)));
        let refused = checked(&world, "report", json(&world.run(&["delete", "cafe", "-o", "json"]).exits(4)));
        assert_eq!(refused["servers"][0]["tenants"][0]["refusal"]["kind"], "Protection");
        server.stop();
        let failed = checked(&world, "report", json(&world.run_on(&["apply", "-o", "json"]).exits(1)));
        assert!(failed["servers"][0]["failure"]["message"].as_str().unwrap().contains("shared"), "{failed}");
        let failed = checked(&world, "plan", json(&world.run_on(&["plan", "-o", "json"]).exits(1)));
        assert!(failed["servers"][0]["failure"]["hint"].is_string(), "{failed}");
    }

    fn a_review_reads_the_plan_as_markdown(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        let changed = tenant("cafe", "{comment: '``` <b>'}") + &tenant("erp", "{}");
        let shown = world.declare(&changed).run_on(&["plan", "-o", "markdown"]).exits(0);
        let shown = shown.says("### Plan: 1 to create, 1 to change.\n").says("#### `default/cafe` on `shared`\n\n````diff\n! database cafe: comment");
        shown.says("#### `default/erp` on `shared`\n\n```diff\n+ database erp").says("> **SystemDatabasesOpen** on `shared`: ");
    }
}

#[test]
fn the_shapes_of_json_are_those_that_were_looked_at() {
    let world = World::new();
    for of in ["plan", "report", "status", "orphans", "history"] {
        insta::assert_snapshot!(format!("schema-{of}"), world.run(&["schema", of]).exits(0).stdout);
    }
}

#[test]
fn an_editor_finds_nothing_wrong_with_the_examples() {
    let world = World::new();
    let schema = json(&world.run(&["schema"]).exits(0));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for example in fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path()) {
        if example.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let documents: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(&example).unwrap()).unwrap();
        assert!(!documents.is_empty());
        for document in documents {
            let faults: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
            assert!(faults.is_empty(), "{}: {faults:?}\n{document:#}", example.display());
        }
    }
}
