//! Tenants whose own role logs in: with one password that is replaced in place, or without any.

use std::collections::BTreeMap;

use tenantdb_testkit::{Admin, Options, TestServer, majors, on_every_server, on_servers};

use crate::world::{Run, World, query, tenant};

const IN_PLACE: &str = "credentials: {secretName: cafe-secret, rotation: {strategy: InPlace}}";
const WHO: &str = "SELECT current_user || ' ' || session_user";

fn in_place() -> String {
    tenant("cafe", &format!("{{connectionLimit: 5, schemas: [app], extensions: [pg_trgm], {IN_PLACE}}}"))
}

on_every_server! {
    fn the_owner_itself_logs_in_and_gets_a_new_password_in_place(server: TestServer) {
        let world = World::on(&server);
        world.plan(&in_place()).exits(3).says("login cafe, the tenant, at most 5 sessions");
        world.run_on(&["apply"]).exits(0);
        let first = world.delivered("cafe");
        assert_eq!(query(&server, &first, WHO).as_deref(), Ok("cafe cafe"));
        query(&server, &first, "CREATE TABLE app.orders (id int)").unwrap();
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'cafe%'"), "1");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);

        for damage in [|world: &World| world.lose("cafe"), |world: &World| world.forge("cafe", "hunter2")] {
            let before = world.delivered("cafe");
            damage(&world);
            let refused = world.run_on(&["apply"]).exits(4).tells("login cafe: a new password, and the earlier one ends").tells("--yes");
            assert!(!refused.stderr.contains("hunter2"));
            assert_eq!(query(&server, &before, WHO).as_deref(), Ok("cafe cafe"), "nothing was done without consent");
            world.run_on(&["apply", "--yes"]).exits(0);
            let after = world.delivered("cafe");
            assert_eq!(query(&server, &after, WHO).as_deref(), Ok("cafe cafe"));
            assert!(query(&server, &before, WHO).is_err(), "there is one password only");
            assert!(!after.contains_key("password_next"));
            world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        }
    }

    fn a_password_that_was_staged_when_it_was_killed_is_the_one_that_is_delivered(server: TestServer) {
        let world = World::on(&server);
        world.apply(&in_place()).exits(0);
        world.forge("cafe", "hunter2");
        // The login was not changed yet: what is staged was never anybody's.
        world.run_killed_at("after-stage-credential", &["apply", "--yes"]);
        let unused = world.delivered("cafe");
        assert_eq!(unused["password"], "hunter2");
        world.run_killed_at("after-enable-login", &["apply", "--yes"]);
        let staged = world.delivered("cafe");
        assert_ne!(staged["password_next"], unused["password_next"]);
        let next = BTreeMap::from([("password".to_owned(), staged["password_next"].clone())]);
        let next = staged.clone().into_iter().chain(next).collect();
        assert_eq!(query(&server, &next, WHO).as_deref(), Ok("cafe cafe"));

        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(3).says("delivered, not in the ledger");
        world.run_on(&["apply"]).exits(0);
        let after = world.delivered("cafe");
        assert_eq!(after["password"], staged["password_next"], "it is finished, not begun again");
        assert!(!after.contains_key("password_next"));
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn what_somebody_changed_on_a_tenants_own_login_is_healed_from_its_place(server: TestServer) {
        let world = World::on(&server);
        world.apply(&in_place()).exits(0);
        let credential = world.delivered("cafe");
        for drift in [
            "ALTER ROLE cafe PASSWORD 'other'",
            "ALTER ROLE cafe NOLOGIN PASSWORD NULL",
            "ALTER ROLE cafe CREATEROLE CONNECTION LIMIT 99 VALID UNTIL '2000-01-01'",
            "ALTER ROLE cafe SET role = 'none'; ALTER ROLE cafe IN DATABASE cafe SET work_mem = '1MB'",
            "REVOKE CONNECT ON DATABASE cafe FROM cafe",
        ] {
            server.psql("postgres", drift);
            world.run_on(&["plan", "--exit-code", "--refresh"]).exits(3);
            world.run_on(&["apply", "--refresh"]).exits(0);
            assert_eq!(query(&server, &credential, WHO).as_deref(), Ok("cafe cafe"), "{drift}");
            world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        }
    }

    fn a_tenant_that_logs_in_itself_is_isolated_as_everyone_is(server: TestServer) {
        let world = World::on(&server);
        world.apply(&(in_place() + &tenant("erp", &format!("{{{}}}", IN_PLACE.replace("cafe", "erp"))) + &tenant("shop", "{}"))).exits(0);
        let credentials = ["cafe", "erp", "shop"].map(|name| world.delivered(name));
        query(&server, &credentials[1], "CREATE TABLE treasure AS SELECT 1 AS gold").unwrap();
        for (credential, own) in credentials.iter().zip(["cafe", "erp", "shop"]) {
            for database in ["cafe", "erp", "shop", "tenantdb"].into_iter().filter(|database| *database != own) {
                let elsewhere = credential.clone().into_iter().chain([("database".to_owned(), database.to_owned())]).collect();
                assert!(query(&server, &elsewhere, "SELECT 1").unwrap_err().contains("permission denied"), "{own} on {database}");
            }
        }
        for attack in [
            "DROP DATABASE cafe", "ALTER DATABASE cafe RENAME TO loot", "ALTER DATABASE cafe SET work_mem = '1GB'",
            "ALTER DATABASE cafe CONNECTION LIMIT 1000", "ALTER DATABASE cafe OWNER TO cafe", "COMMENT ON DATABASE cafe IS 'mine'",
            "ALTER ROLE cafe CREATEDB", "ALTER ROLE cafe CONNECTION LIMIT -1", "ALTER ROLE cafe RENAME TO loot", "DROP ROLE cafe",
            "ALTER ROLE erp PASSWORD 'loot'", "SET ROLE erp", "SET ROLE shop", "SET SESSION AUTHORIZATION erp",
            "SET ROLE tenantdb_owner", "GRANT erp TO cafe", "GRANT cafe TO erp", "GRANT tenantdb_owner TO cafe", "DROP DATABASE erp",
            "CREATE DATABASE loot", "CREATE ROLE loot", "COPY (SELECT 1) TO PROGRAM 'true'",
        ] {
            let refused = query(&server, &credentials[0], attack).unwrap_err();
            assert!(["42501", "0A000"].iter().any(|code| refused.starts_with(code)), "{attack}: {refused}");
        }
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn a_tenant_that_logs_in_itself_is_deleted_as_its_policies_say(server: TestServer) {
        for (policies, database, role) in [
            ("dbDeletionPolicy: Delete, roleDeletionPolicy: Delete", "", ""),
            ("dbDeletionPolicy: Delete, roleDeletionPolicy: Orphan", "", "cafe|f"),
            ("dbDeletionPolicy: Orphan, roleDeletionPolicy: Delete", "cafe", "cafe|f"),
            ("dbDeletionPolicy: Orphan, roleDeletionPolicy: Orphan", "cafe", "cafe|t"),
        ] {
            let world = World::on(&server);
            let declared = tenant("cafe", &format!("{{deletionProtection: false, {policies}, {IN_PLACE}}}"));
            world.apply(&declared).exits(0);
            query(&server, &world.delivered("cafe"), "CREATE TABLE kept AS SELECT 42 AS answer").unwrap();
            world.run(&["delete", "cafe", "--yes"]).exits(0);
            assert_eq!(server.psql("postgres", "SELECT datname FROM pg_database WHERE datname = 'cafe'"), database, "{policies}");
            assert_eq!(server.psql("postgres", "SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname ~ '^cafe'"), role, "{policies}");

            world.apply(&declared).exits(0);
            let answer = query(&server, &world.delivered("cafe"), "SELECT answer FROM kept");
            assert_eq!(answer.is_ok(), !database.is_empty(), "{policies}: {answer:?}");
            let away = declared.replace("Orphan", "Delete");
            world.apply(&away).exits(0);
            world.run(&["delete", "cafe", "--yes"]).exits(0);
        }
    }
}

on_servers! {
    [14 Plain]

    fn before_15_a_login_may_hand_itself_on_which_is_told_and_taken_back(server: TestServer) {
        let world = World::on(&server);
        world.apply(&(in_place() + &tenant("erp", "{}"))).exits(0);
        query(&server, &world.delivered("cafe"), "GRANT cafe TO erp_a").unwrap();
        let told = world.run_on(&["apply"]).exits(0);
        told.tells("default/cafe: OthersHaveAccess: erp_a is a member of cafe");
        let members = "SELECT count(*) FROM pg_auth_members WHERE roleid = 'cafe'::regrole";
        assert_eq!(server.psql("postgres", members), "0");
        let after = world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        assert!(!after.stderr.contains("OthersHaveAccess"), "{}", after.stderr);
    }
}

on_servers! {
    [15 Plain, 18 Plain]

    fn how_a_tenant_logs_in_can_not_change_yet(server: TestServer) {
        let world = World::on(&server);
        world.apply(&in_place()).exits(0);
        let run = world.untouched(&server, || world.apply(&tenant("cafe", "{credentials: {secretName: cafe-secret}}")));
        run.exits(4).tells("is not supported yet").tells("hint: set `credentials: {rotation: {strategy: InPlace}}`");
    }

    fn what_a_crash_kept_from_the_ledger_works_on_whoever_applies_next(server: TestServer) {
        for (name, spec) in [("cafe", IN_PLACE), ("erp", "credentials: {secretName: cafe-secret}")] {
            let world = World::on(&server);
            world.write("tenantdb.yaml", "project: test\n");
            world.apply(&tenant(name, &format!("{{{spec}}}"))).exits(0);
            let first = world.delivered("cafe");
            let other = world.another_home();
            other.run_killed_at("before-record-delivery", &["apply", "--reissue", "--yes"]);
            let second = other.delivered("cafe");
            assert!(query(&server, &second, WHO).is_ok());

            world.run_on(&["apply"]).exits(0);
            assert!(query(&server, &second, WHO).is_ok(), "{name}: it was delivered");
            assert_eq!(query(&server, &first, WHO).is_ok(), name == "erp", "there is one password only");
            other.run_on(&["apply", "--reissue", "--yes"]).exits(0);
            assert_eq!(other.delivered("cafe"), second, "it is finished, not begun again");
            world.run_on(&["plan", "--exit-code"]).exits(0).tells("CredentialElsewhere");
            assert!(query(&server, &second, WHO).is_ok());
        }
    }

    fn a_password_is_delivered_also_when_no_session_is_free(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", &format!("{{connectionLimit: 1, {IN_PLACE}}}"))).exits(0);
        let held = world.delivered("cafe");
        let (user, password, port) = (held["username"].clone(), held["password"].clone(), server.port());
        // The session that tried the credential may still be on its way out, and takes the only place.
        let is_full = |said: Result<String, String>| said.is_err_and(|said| said.starts_with("53300"));
        let sleep = move || tenantdb_testkit::query_at(port, &user, &password, "cafe", "SELECT pg_sleep(30)");
        let session = std::thread::spawn(move || while is_full(sleep()) {});
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'cafe' AND wait_event = 'PgSleep'";
        tenantdb_testkit::wait_until(std::time::Duration::from_secs(10), || server.psql("postgres", busy) == "1");
        world.forge("cafe", "hunter2");
        world.run_on(&["apply", "--yes"]).exits(0).tells("LoginUnproved: its password was accepted");
        server.psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'cafe'");
        let _ = session.join();
        tenantdb_testkit::wait_until(std::time::Duration::from_secs(10), || query(&server, &world.delivered("cafe"), WHO).is_ok());
    }

    fn a_credential_that_is_wanted_elsewhere_as_well_ends_the_first_and_is_asked_about(server: TestServer) {
        let world = World::on(&server);
        world.write("tenantdb.yaml", "project: test\n");
        world.apply(&in_place()).exits(0);
        let first = world.delivered("cafe");
        let other = world.another_home();
        other.run_on(&["apply"]).exits(0).tells("this run leaves it alone");
        other.run_on(&["apply", "--reissue"]).exits(4).tells("--yes");
        assert_eq!(query(&server, &first, WHO).as_deref(), Ok("cafe cafe"));
        other.run_on(&["apply", "--reissue", "--yes"]).exits(0);
        assert_eq!(query(&server, &other.delivered("cafe"), WHO).as_deref(), Ok("cafe cafe"));
        assert!(query(&server, &first, WHO).is_err());
    }
}

/// A server that trusts whoever says to be `cafe`, in its own database.
fn trusting(major: u32, admin: Admin) -> (TestServer, World) {
    let server = Options::new(major, admin).hba("host cafe cafe 127.0.0.1/32 trust").start();
    let world = World::on(&server);
    (server, world)
}

fn without_password(spec: &str) -> String {
    tenant("cafe", &format!("{{{spec}credentials: {{mode: None, secretName: cafe-secret}}}}"))
}

#[test]
fn a_tenant_without_a_password_logs_in_as_the_server_says() {
    for major in majors() {
        let (server, world) = trusting(major, Admin::Plain);
        let declared = without_password("settings: {statement_timeout: 30s}, connectionLimit: 5, ");
        world.plan(&declared).exits(3).says("login without password cafe, the tenant, at most 5 sessions");
        world.run_on(&["apply"]).exits(0);
        let credential = world.delivered("cafe");
        let keys = ["password", "DB_PASSWORD"].map(|key| credential.contains_key(key));
        assert_eq!((keys, credential["username"].as_str()), ([false; 2], "cafe"));
        assert!(credential["uri"].starts_with("postgresql://cafe@127.0.0.1:"), "{}", credential["uri"]);
        assert_eq!(server.psql("postgres", "SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'cafe'"), "t");
        assert_eq!(server.psql_as("cafe", "", "cafe", WHO).as_deref(), Ok("cafe cafe"));
        assert!(server.psql_as("cafe", "", "postgres", WHO).is_err(), "only its own database trusts it");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        let seen = world.run(&["exec", "cafe", "--", "sh", "-c", "echo \"$PGUSER ${PGPASSWORD-none}\""]);
        seen.exits(0).says("cafe none\n");

        let damages: [&dyn Fn(); 4] = [
            &|| world.lose("cafe"),
            &|| world.forge("cafe", "hunter2"),
            &|| {
                server.psql("postgres", "ALTER ROLE cafe NOLOGIN CONNECTION LIMIT 9");
            },
            &|| {
                server.psql("cafe", "ALTER SCHEMA public OWNER TO admin_user; DROP OWNED BY cafe; DROP ROLE cafe");
            },
        ];
        for damage in damages {
            damage();
            world.run_on(&["apply", "--refresh"]).exits(0);
            assert_eq!(world.delivered("cafe").get("password"), None);
            assert_eq!(server.psql_as("cafe", "", "cafe", WHO).as_deref(), Ok("cafe cafe"));
            world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        }
        // Where it goes is another place when that asks for it, although it is the same login.
        let other = world.another_home();
        world.write("tenantdb.yaml", "project: test\n");
        let from = format!("project:{}", std::fs::read_to_string(world.home().join("id")).unwrap().trim());
        world.run(&["server", "takeover", "shared", "--from", &from, "--yes"]).exits(0);
        other.write("tenantdb.yaml", "project: test\n");
        other.run_on(&["apply", "--reissue"]).exits(0).says("1 changed");
        world.run_on(&["apply"]).exits(0).tells("CredentialElsewhere");
        world.run_on(&["apply", "--reissue"]).exits(0).says("1 changed");
        other.run_on(&["apply"]).exits(0).tells("CredentialElsewhere");
        let away = "deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete, ";
        world.apply(&without_password(away)).exits(0);
        world.run(&["delete", "cafe", "--yes"]).exits(0);
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname ~ '^cafe'"), "0");
    }
}

#[test]
fn what_speaks_of_a_password_where_there_is_none_is_wrong_input() {
    let world = World::new();
    let declared = "{credentials: {mode: None, keys: {URL: 'x{password}'}, rotation: {strategy: InPlace}}}";
    world.write("tenants.yaml", &tenant("cafe", declared));
    world.write("server.yaml", "apiVersion: tenantdb.dev/v1alpha1\nkind: DatabaseServer\nmetadata: {name: shared}\nspec: {default: true, source: {local: {}}}\n");
    let run: Run = world.run_on(&["plan"]).exits(2);
    run.tells("`credentials.mode: None` has no password").tells("leave `{password}` out").tells("leave `rotation` out");
}

#[test]
fn a_local_server_has_no_tenant_without_a_password() {
    let world = World::new();
    let local = "apiVersion: tenantdb.dev/v1alpha1\nkind: DatabaseServer\nmetadata: {name: dev}\nspec: {default: true, source: {local: {}}}\n";
    world.write("server.yaml", local);
    let refused = world.apply(&without_password("")).exits(2);
    refused.tells("a local server lets nobody in without a password").tells("tenants.yaml:").tells("hint:");
}
