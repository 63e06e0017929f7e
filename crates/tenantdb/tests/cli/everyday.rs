//! What people do with a database once it is there: start a project, log in, look at it and at what was done.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tenantdb_testkit::{TestServer, bin_dir, on_servers};

use crate::world::{Run, World, tenant, tenant_in};

/// A world in which psql is found, and a local server can be made.
pub fn workplace(server: &TestServer) -> World {
    let mut world = World::on(server);
    let path = std::env::var("PATH").unwrap_or_default();
    world.set("PATH", &format!("{path}:/usr/lib/postgresql/15/bin"));
    world
}

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}:\n{}\n{}", run.stdout, run.stderr))
}

on_servers! {
    [18 Plain]

    fn a_command_logs_in_by_its_environment(server: TestServer) {
        let world = workplace(&server);
        world.apply(&tenant("cafe", "{credentials: {keys: {CAFE_URL: \"{uri}\"}}}")).exits(0);
        let who = "SELECT session_user || ' ' || current_user || ' ' || current_database()";
        world.run(&["connect", "cafe", "--", "-X", "-At", "-c", who]).exits(0).says("cafe_a cafe cafe\n");
        // What would lead psql elsewhere is taken out of its environment.
        let astray = Run::of(
            world
                .command(&["exec", "cafe", "--", "psql", "-X", "-At", "-c", who])
                .env("PGSERVICE", "nowhere")
                .env("PGHOSTADDR", "192.0.2.1")
                .env("PGDATABASE", "postgres")
                .env("PGUSER", "postgres"),
        );
        astray.exits(0).says("cafe_a cafe cafe\n");
        let uri = world.delivered("cafe")["uri"].clone();
        let shown = world.run(&["exec", "cafe", "--", "sh", "-c", "printf '%s %s' \"$CAFE_URL\" \"$DATABASE_URL\""]);
        assert_eq!(shown.exits(0).stdout, format!("{uri} {uri}"));
    }

    fn the_command_takes_the_place_of_tenantdb(server: TestServer) {
        let world = workplace(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        world.run(&["exec", "cafe", "--", "sh", "-c", "exit 7"]).exits(7);
        let killed = world.run(&["exec", "cafe", "--", "sh", "-c", "kill -9 $$"]);
        assert_eq!(killed.code, None);
        world.run(&["exec", "cafe", "--", "no-such-program"]).exits(2).tells("can't run no-such-program");
        world.run(&["exec", "caffe", "--", "true"]).exits(2).tells("did you mean `cafe`?");
        world.run(&["exec", "cafe"]).exits(2).tells("--");
        let bare = Run::of(world.command(&["connect", "cafe"]).env("PATH", "").env("TENANTDB_POSTGRES_BIN", bin_dir(18)));
        bare.exits(1).tells("psql is not installed").tells("apt-get install postgresql-client");
    }

    async fn status_tells_size_sessions_and_age(server: TestServer) {
        let world = World::on(&server);
        world.apply(&(tenant("cafe", "{connectionLimit: 5}") + &tenant("erp", "{}"))).exits(0);
        let credential = world.delivered("cafe");
        let session = server.connect(&credential["username"], &credential["password"], "cafe").await.unwrap();
        let found = json(&world.run(&["status", "-o", "json"]).exits(0));
        assert_eq!((&found["kind"], &found["version"]), (&Value::from("Status"), &Value::from(1)));
        let [cafe, erp] = found["tenants"].as_array().unwrap().as_slice() else { panic!("{found}") };
        assert_eq!(cafe["name"], "cafe");
        assert_eq!(cafe["state"], "Ready");
        assert_eq!((&cafe["sessions"], &cafe["sessionLimit"]), (&Value::from(1), &Value::from(8)));
        assert_eq!((&erp["sessions"], &erp["sessionLimit"]), (&Value::from(0), &Value::Null));
        let size: u64 = server.psql("postgres", "SELECT pg_database_size('cafe')").parse().unwrap();
        assert!(cafe["size"].as_u64().unwrap().abs_diff(size) < 1 << 20, "{cafe}");
        assert!(cafe["credential"]["since"].is_string(), "{cafe}");
        drop(session);
        let shown = world.run(&["status", "cafe"]).exits(0).says("MiB").says("SESSIONS").says(" s ");
        assert_eq!(shown.stdout.lines().count(), 2, "{}", shown.stdout);
    }

    fn the_age_is_that_of_the_credential_not_of_its_last_repair(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        server.psql("tenantdb", "UPDATE ledger.delivery SET issued_at = now() - interval '3 days'");
        world.apply(&tenant("cafe", "{credentials: {keys: {CAFE_URL: \"{uri}\"}}}")).exits(0);
        world.run(&["status"]).exits(0).says(" 3 d ");
        world.lose("cafe");
        world.apply(&tenant("cafe", "{}")).exits(0);
        world.run(&["status"]).exits(0).says(" s ");
    }

    fn what_a_deletion_left_behind_is_listed_until_it_is_taken_back(server: TestServer) {
        let world = World::on(&server);
        let both = tenant("cafe", "{deletionProtection: false}") + &tenant("erp", "{}");
        world.apply(&both).exits(0);
        world.run(&["orphans"]).exits(0).tells("nothing was left behind");
        world.run(&["delete", "cafe"]).exits(0);
        world.run(&["orphans"]).exits(0).says("cafe").says("MiB").says(" s ago").says_nothing_of("erp");
        let found = json(&world.run(&["orphans", "-o", "json"]).exits(0));
        assert_eq!(found["orphans"][0]["database"], "cafe");
        assert!(found["orphans"][0]["orphanedSince"].is_string(), "{found}");
        world.apply(&both).exits(0);
        world.run(&["orphans"]).exits(0).tells("nothing was left behind");
    }

    fn history_tells_what_was_done_and_why(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant_in("shop", "cafe", "{}")).exits(0);
        world.apply(&tenant_in("shop", "cafe", "{connectionLimit: 5, deletionProtection: false}")).exits(0);
        world.run(&["delete", "cafe", "-n", "shop"]).exits(0);
        let told = world.run(&["history", "cafe", "-n", "shop"]).exits(0);
        let told = told.says("create").says("login cafe_a: at most 5 sessions").says("orphan").says("tenantdb ");
        assert!(told.stdout.find("create") < told.stdout.find("at most 5"), "{}", told.stdout);
        let found = json(&world.run(&["history", "cafe", "-n", "shop", "-o", "json"]).exits(0));
        assert!(found["entries"].as_array().unwrap().len() >= 3, "{found}");
        world.run(&["history", "cafe"]).exits(2).tells("nothing was ever done to default/cafe");
        let password = &world.credential("shop", "cafe-secret")["password"];
        assert!(!told.stdout.contains(password.as_str()));
    }
}

#[test]
fn init_writes_an_example_that_works_and_overwrites_nothing() {
    let world = World::new();
    world
        .run(&["init"])
        .exits(0)
        .says("wrote tenantdb.yaml")
        .says("wrote databases.yaml")
        .says("tenantdb plan -f databases.yaml");
    let written = |name: &str| fs::read_to_string(world.folder().join(name)).unwrap();
    let (project, example) = (written("tenantdb.yaml"), written("databases.yaml"));
    world.run(&["plan", "-f", "databases.yaml"]).exits(0).says("Plan: 1 to create.");
    world.run(&["init"]).exits(0).tells("says already which project this is").tells("stays as it is");
    // Below a project is that project.
    world.run(&["init", "teams/shop"]).exits(0).says("wrote teams/shop/databases.yaml");
    assert!(!world.folder().join("teams/shop/tenantdb.yaml").exists());
    assert_eq!((written("tenantdb.yaml"), written("databases.yaml")), (project, example));
    world.write("file", "");
    world.run(&["init", "file"]).exits(2).tells("can't write file");
}

#[test]
fn every_line_that_the_example_proposes_can_be_had() {
    let world = World::new();
    world.run(&["init"]).exits(0);
    let path = world.folder().join("databases.yaml");
    let example = fs::read_to_string(&path).unwrap();
    let (server, database) = example.split_once("\n---\n").unwrap();
    // Below its heading, a comment that is indented is a line that is left out.
    let uncommented = database.replace("\n  # Deleting it", "\n# Deleting it").replace("\n  # ", "\n  ");
    fs::write(&path, format!("{server}\n---\n{uncommented}")).unwrap();
    let plan = world.run(&["plan", "-f", "databases.yaml"]).exits(0);
    plan.says("schema app")
        .says("extension pg_trgm")
        .says("statement_timeout = 30s")
        .says("comment \"Orders and invoices\"");
}

#[test]
fn shells_and_man_get_what_they_read() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        world.run(&["completions", shell]).exits(0).says("credentials").says("history");
    }
    if Command::new("bash").arg("--version").output().is_ok() {
        let script = world.write("completions.bash", &world.run(&["completions", "bash"]).stdout);
        assert!(Command::new("bash").arg("-n").arg(script).status().unwrap().success());
    }
    world.run(&["man"]).exits(0).says(".TH tenantdb").says("Exit codes");
    world.run(&["man", "pages"]).exits(0);
    let mut pages: Vec<_> =
        fs::read_dir(world.folder().join("pages")).unwrap().map(|page| page.unwrap().file_name()).collect();
    pages.sort();
    assert!(pages.iter().any(|page| page == "tenantdb-server-start.1"), "{pages:?}");
    assert!(!world.home().exists(), "a home was made for it");
}
