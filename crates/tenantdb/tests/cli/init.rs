//! Scripts that a database begins with: as whom, when and how often they run.

use std::collections::BTreeSet;
use std::time::Duration;

use tenantdb_testkit::{TestServer, on_every_server, on_servers, wait_until};

use crate::world::{Run, World, query, tenant};

const SEED: &str = "CREATE TABLE seeds (who text, login text);\n\
                    INSERT INTO seeds SELECT current_user, session_user;\n";

fn seeded(name: &str) -> String {
    tenant(name, "{init: [{file: sql/seed.sql}]}")
}

fn seeds(server: &TestServer, database: &str) -> String {
    server.psql(database, "SELECT count(*) FROM seeds")
}

on_every_server! {
    fn scripts_run_once_in_their_order_logged_in_as_the_tenant(server: TestServer) {
        let world = World::on(&server);
        world.write("sql/seed.sql", SEED);
        world.write("more.sql", "INSERT INTO seeds VALUES ('more', (SELECT count(*) FROM seeds)::text); SET ROLE NONE");
        let declared = tenant("cafe", "{init: [{file: sql/seed.sql}, {file: more.sql}], settings: {application_name: shop}}");
        world.plan(&declared).exits(3).says("+ script sql/seed.sql, logged in as cafe_a").says("# declared, not run yet");
        world.run_on(&["plan", "-o", "sql"]).exits(0).says("-- logged in as \"cafe_a\": more.sql").says_nothing_of("INSERT INTO seeds");
        world.apply(&declared).exits(0).says("1 created");
        assert_eq!(server.psql("cafe", "SELECT string_agg(who || ' ' || login, ', ') FROM seeds"), "cafe cafe_a, more 1");
        assert_eq!(server.psql("cafe", "SELECT relowner::regrole FROM pg_class WHERE relname = 'seeds'"), "cafe");
        let names = "SELECT DISTINCT c FROM pg_db_role_setting, unnest(setconfig) c WHERE c LIKE 'application_name%'";
        assert_eq!(server.psql("postgres", names), "application_name=shop");
        for _ in 0..2 {
            world.run_on(&["apply", "--refresh"]).exits(0);
        }
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0).says("No changes");
        assert_eq!(seeds(&server, "cafe"), "2");
        world.run(&["history", "cafe"]).exits(0).says("run script sql/seed.sql").says("run script more.sql");
    }

    fn an_error_is_told_by_its_place_and_nothing_is_kept_or_handed_out(server: TestServer) {
        let world = World::on(&server);
        for (wrong, place, message) in [
            ("SELECT 1;\n  SELECT nothing;", "sql/seed.sql:4:10", "column \"nothing\" does not exist"),
            ("\nSELECT 1;\nSELECT 1 / 0;", "sql/seed.sql:5:1", "division by zero"),
            ("INSERT INTO seeds SELECT 'ö', nothing;", "sql/seed.sql:3:31", "does not exist"),
        ] {
            world.write("sql/seed.sql", &format!("{SEED}{wrong}"));
            let failed = world.apply(&seeded("cafe")).exits(1);
            failed.tells(place).tells(message).tells("hint:");
            assert_eq!(server.psql("cafe", "SELECT count(*) FROM pg_class WHERE relname = 'seeds'"), "0");
            assert!(!world.credential_path("default", "cafe-secret").exists());
        }
        world.write("sql/seed.sql", SEED);
        world.run_on(&["apply"]).exits(0);
        assert_eq!(seeds(&server, "cafe"), "1");
    }

    fn one_tenants_script_does_not_stop_the_others(server: TestServer) {
        let world = World::on(&server);
        world.write("sql/seed.sql", SEED);
        world.write("wrong.sql", "SELEC 1");
        let declared = seeded("cafe") + &tenant("erp", "{init: [{file: wrong.sql}]}") + &seeded("shop");
        world.apply(&declared).exits(1).tells("wrong.sql:1:1: syntax error").says("2 created");
        assert_eq!((seeds(&server, "cafe"), seeds(&server, "shop")), ("1".to_owned(), "1".to_owned()));
    }

    fn what_can_not_be_a_script_is_refused_before_anything_is_touched(server: TestServer) {
        let world = World::on(&server);
        for (script, message) in [
            ("SELECT 1;\n\\copy seeds FROM 'x'\n", "`\\copy` is a command of psql"),
            ("SELECT 1;\n  COMMIT;\n", "`COMMIT` ends or begins a transaction"),
            ("begin; SELECT 1", "`BEGIN` ends or begins a transaction"),
            ("COPY seeds FROM stdin;\n1\n\\.\n", "waits for data that nobody sends"),
        ] {
            world.write("sql/seed.sql", script);
            let refused = world.untouched(&server, || world.apply(&seeded("cafe"))).exits(2);
            refused.tells(message).tells("--> sql/seed.sql:");
        }
        let declared = |init: &str| tenant("cafe", &format!("{{init: [{init}]}}"));
        world.apply(&declared("{file: nothing.sql}")).exits(2).tells("nothing.sql").tells("it is looked for beside the declaration");
        world.write("sql/seed.sql", SEED);
        world.write("same.sql", SEED);
        world.apply(&declared("{file: sql/seed.sql}, {file: same.sql}")).exits(2).tells("the script `same.sql` is the same as `sql/seed.sql`");
        world.apply(&declared("{configMap: {name: a, key: b}}")).exits(2).tells("spec.init[0].configMap is the operator's");
        world.apply(&tenant("cafe", "{init: [{file: sql/seed.sql}], credentials: {mode: None}}")).exits(2).tells("has no password");
    }

    fn what_changed_or_came_late_is_told_and_not_run(server: TestServer) {
        let world = World::on(&server);
        world.write("sql/seed.sql", SEED);
        world.apply(&seeded("cafe")).exits(0);
        world.write("sql/seed.sql", "INSERT INTO seeds VALUES ('again', 'again')");
        let told = world.run_on(&["apply"]).exits(0).tells("default/cafe: InitChanged: script sql/seed.sql changed since it was run");
        told.tells("tenantdb connect cafe -n default -- -f FILE");
        world.write("late.sql", "INSERT INTO seeds VALUES ('late', 'late')");
        let late = tenant("cafe", "{init: [{file: sql/seed.sql}, {file: late.sql}]}");
        let told = world.apply(&late).exits(0).tells("InitChanged");
        told.tells("InitNotRun: script late.sql was not run: scripts run when a database is made, and this one is there");
        assert_eq!(seeds(&server, "cafe"), "1");
        // The same text by another name is the same script.
        world.write("seed2.sql", SEED);
        let quiet = world.apply(&tenant("cafe", "{init: [{file: seed2.sql}]}")).exits(0);
        assert!(!quiet.stderr.contains("Init"), "{}", quiet.stderr);
        // A database that is made again begins anew.
        server.psql("postgres", "DROP DATABASE cafe WITH (FORCE)");
        world.write("sql/seed.sql", SEED);
        world.apply(&seeded("cafe")).exits(0);
        assert_eq!(seeds(&server, "cafe"), "1");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn what_a_script_leaves_behind_never_reaches_the_administrator(server: TestServer) {
        let world = World::on(&server);
        // What runs at the end of the transaction, and functions that are better matches than the catalog's.
        world.write("sql/seed.sql", &format!(
            "{SEED}CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO seeds VALUES (current_user, session_user); RETURN NULL; END$$;\n\
             CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON seeds DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();\n\
             UPDATE seeds SET who = who;\nSET search_path = public, pg_catalog;\n\
             CREATE FUNCTION pg_catalog_lookalike(text) RETURNS text LANGUAGE sql AS 'SELECT $1';\n"
        ));
        let declared = tenant("cafe", "{init: [{file: sql/seed.sql}], credentials: {rotation: {strategy: InPlace}}}");
        world.apply(&declared).exits(0);
        assert_eq!(server.psql("cafe", "SELECT DISTINCT who || ' ' || login FROM seeds"), "cafe cafe");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        let admins = format!("{}@cafe/tenantdb", server.admin_username());
        assert!(!server.log().lines().any(|line| line.contains(&admins) && line.contains("seeds")), "an administrator's session saw it");
    }
}

on_servers! {
    [18 Plain; 15 Plain, 16 Superuser]
    fn a_kill_in_the_middle_of_a_script_leaves_nothing_of_it(server: TestServer) {
        let world = World::on(&server);
        world.write("sql/seed.sql", &format!("{SEED}SELECT pg_sleep(3);"));
        world.declare(&seeded("cafe"));
        let mut first = world.command_on(&["apply"]).spawn().unwrap();
        let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND usename = 'cafe_a'";
        wait_until(Duration::from_secs(20), || server.psql("postgres", sleeping) == "1");
        first.kill().unwrap();
        first.wait().unwrap();
        // The server may still be at it: the next run waits for that.
        world.run_on(&["apply"]).exits(0).says("script sql/seed.sql");
        assert_eq!(seeds(&server, "cafe"), "1");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }
}

on_servers! {
    [18 Plain; 15 Plain, 16 Superuser]
    fn a_script_is_committed_once_wherever_its_run_is_killed(server: TestServer) {
        let world = World::on(&server);
        world.write("sql/seed.sql", SEED);
        world.declare(&seeded("undisturbed"));
        let traced = Run::of(world.command_on(&["apply"]).env("TENANTDB_LOG", "tenantdb_core::failpoint=trace")).exits(0);
        let points: BTreeSet<&str> =
            traced.stderr.lines().filter_map(|line| line.split_once("tenantdb_core::failpoint: ")).map(|(_, point)| point).collect();
        assert!(points.contains("after-run-script") && points.contains("before-record-script"), "{points:?}");
        let of_tenants = points.iter().filter(|point| !["estate", "ledger"].iter().any(|what| point.contains(what)));
        for (number, point) in of_tenants.enumerate() {
            let name = format!("cafe{number}");
            world.declare(&seeded(&name));
            world.run_killed_at(point, &["apply"]);
            world.run_on(&["apply"]).exits(0);
            assert_eq!(seeds(&server, &name), "1", "killed at {point}");
            let credential = world.delivered(&name);
            assert_eq!(query(&server, &credential, "SELECT count(*) FROM seeds").unwrap(), "1", "killed at {point}");
            world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        }
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_db_role_setting, unnest(setconfig) c WHERE c LIKE '%tenantdb init%'"), "0");
    }
}
