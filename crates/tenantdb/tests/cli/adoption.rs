//! A database that somebody else made becomes a tenant's: whoever works with it goes on, and whoever only could come in is
//! named first.

pub mod writer;

use tenantdb_testkit::{Admin, TestServer, on_every_server, on_servers};

use crate::crash::{is_worth_a_kill, traced};
use crate::world::{Run, World, query, tenant};
use writer::Writer;

/// The services of the third of the earlier setups.
const SERVICES: [&str; 4] = ["cafe", "erp", "treasury", "notifications"];

/// The password of every service's user.
const PASSWORD: &str = "from-before";

/// What `create-service-database.sh` did for each service, as a superuser; and what became of it in ten years.
fn third_setup(server: &TestServer) {
    for service in SERVICES {
        server.psql("postgres", &format!("CREATE DATABASE {service}"));
        server.psql("postgres", &format!("CREATE USER {service}_user WITH PASSWORD '{PASSWORD}'"));
        server.psql("postgres", &format!("GRANT ALL PRIVILEGES ON DATABASE {service} TO {service}_user"));
        server.psql(
            service,
            &format!(
                "GRANT ALL ON SCHEMA public TO {service}_user; \
                 ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO {service}_user; \
                 ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO {service}_user"
            ),
        );
    }
    server.psql("postgres", "ALTER DATABASE erp OWNER TO erp_user");
    server.psql("notifications", "ALTER SCHEMA public OWNER TO postgres");
    server.psql("postgres", "REVOKE CONNECT ON DATABASE treasury FROM PUBLIC");
    server.psql("postgres", "CREATE ROLE analyst LOGIN PASSWORD 'analyst'");
    server.psql(
        "treasury",
        "CREATE EXTENSION hstore; CREATE TABLE rates (day date, rate numeric); CREATE SCHEMA reports AUTHORIZATION analyst; \
         CREATE TABLE reports.monthly (id serial); ALTER TABLE reports.monthly OWNER TO analyst; \
         CREATE FUNCTION reports.sum(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT a + b'; \
         CREATE TYPE mood AS ENUM ('good', 'bad')",
    );
}

/// The declarations that take them over.
fn adopting() -> String {
    let spec = |service| format!("{{adopt: Existing, owner: {service}_user}}");
    SERVICES.map(|service| tenant(service, &spec(service))).concat()
}

/// Runs what a superuser was told to run, in the databases that were named.
fn run_as_told(server: &TestServer, run: &Run) {
    for line in run.stderr.lines().filter_map(|line| line.split_once("as a superuser run: ")).map(|(_, told)| told) {
        for part in line.split("in database \"").skip(1) {
            let (database, statements) = part.split_once("\": ").unwrap();
            for statement in statements.trim_end_matches("; ").split("; ") {
                server.psql(database, statement);
            }
        }
    }
}

on_every_server! {
    async fn what_the_third_setup_made_is_adopted_while_it_is_written_to(server: TestServer) {
        third_setup(&server);
        let world = World::on(&server);
        let mut writers = Vec::new();
        for service in SERVICES {
            writers.push(Writer::start(&server, &format!("{service}_user"), PASSWORD, service).await);
        }
        world.declare(&adopting());
        if server.admin() == Admin::Plain {
            // Before PostgreSQL 16 CREATEROLE is enough for a database that its user owns.
            let tried = || world.run_on(&["apply", "--yes"]);
            if server.major() < 16 {
                tried().exits(4).says("default/erp adopted");
            }
            let refused = world.untouched(&server, tried).exits(4).tells("can't be adopted by this administrator");
            run_as_told(&server, &refused);
        }
        world.run_on(&["plan", "--exit-code"]).exits(3).says("to adopt").says("[disruptive]");
        world.run_on(&["apply"]).exits(4).tells("default/cafe: needs consent").says_nothing_of("adopted");
        world.run_on(&["apply", "--yes"]).exits(0).says("default/cafe adopted").tells("LegacyLogin").tells("ForeignObjects");
        for writer in &writers {
            writer.goes_on().await;
        }
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        for (service, writer) in SERVICES.into_iter().zip(writers) {
            let new = world.delivered(service);
            assert_eq!(query(&server, &new, "SELECT current_user").unwrap(), format!("{service}_user"));
            query(&server, &new, "INSERT INTO written VALUES (now(), 'new'); CREATE TABLE of_new (id int)").unwrap();
            query(&server, &new, "CREATE TEMPORARY TABLE mine AS TABLE written").unwrap();
            let old = format!("{service}_user");
            let both = "SELECT count(*) FROM written WHERE by = 'new'; INSERT INTO of_new VALUES (1)";
            assert_eq!(server.psql_as(&old, PASSWORD, service, both).unwrap(), "1");
            let stranger = server.psql_as("analyst", "analyst", service, "SELECT 1");
            assert!(stranger.unwrap_err().starts_with("42501"));
            writer.stop().await;
        }
    }
}

/// A database and its owner, which logs in, as somebody made them by hand; the administrator may let others join it.
fn made_by_hand(server: &TestServer, name: &str) {
    server.psql("postgres", &format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'"));
    server.psql("postgres", &format!("CREATE DATABASE {name} OWNER {name}"));
    if server.admin() == Admin::Plain && server.major() >= 16 {
        server.psql("postgres", &format!("GRANT {name} TO admin_user WITH ADMIN OPTION, INHERIT FALSE, SET FALSE"));
    }
}

const ADOPT: &str = "{adopt: Existing}";

on_every_server! {
    async fn the_earlier_login_is_retired_once_nobody_uses_it(server: TestServer) {
        made_by_hand(&server, "cafe");
        let world = World::on(&server);
        world.declare(&tenant("cafe", ADOPT)).run_on(&["apply", "--yes"]).exits(0).tells("when nothing uses that any more: tenantdb rotate cafe -n default --retire");
        let rotate = |options: &[&str]| world.run(&[&["rotate", "cafe"], options].concat());
        rotate(&[]).exits(2).tells("is not supported yet");

        let session = server.connect("cafe", PASSWORD, "cafe").await.unwrap();
        session.batch_execute("SET application_name = 'rails'").await.unwrap();
        let refused = rotate(&["--retire", "--yes"]).exits(4);
        refused.tells("its login cafe is in use: rails in database cafe from 127.0.0.1 since 2");
        session.batch_execute("SELECT 1").await.unwrap();
        world.run_on(&["apply"]).exits(0).tells("(1 session now)");
        drop(session);
        tenantdb_testkit::wait_until(std::time::Duration::from_secs(10), || {
            server.psql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE usename = 'cafe'") == "0"
        });

        world.run_on(&["plan"]).exits(0).tells("LegacyLogin").tells("(last seen 2");
        rotate(&["--retire"]).exits(4).tells("needs consent: role cafe: may not log in any more");
        assert_eq!(server.psql_as("cafe", PASSWORD, "cafe", "SELECT 1").unwrap(), "1");
        rotate(&["--retire", "--yes"]).exits(0).says("role cafe: may not log in any more, no password  # last seen 2");
        assert!(server.psql_as("cafe", PASSWORD, "cafe", "SELECT 1").is_err());
        let new = world.delivered("cafe");
        assert_eq!(query(&server, &new, "SELECT current_user").unwrap(), "cafe");
        rotate(&["--retire", "--yes"]).exits(0).tells("NothingToRetire");
        let quiet = world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        assert!(!quiet.stderr.contains("LegacyLogin"), "{}", quiet.stderr);
        world.run(&["history", "cafe"]).exits(0).says("begin to adopt").says("retire login cafe");
    }

    async fn who_only_could_come_in_is_named_and_whom_the_platform_names_stays(server: TestServer) {
        made_by_hand(&server, "cafe");
        for login in ["grafana", "metabase", "analyst", "idle"] {
            server.psql("postgres", &format!("CREATE ROLE {login} LOGIN PASSWORD 'p'"));
        }
        server.psql("postgres", "GRANT CONNECT, TEMPORARY ON DATABASE cafe TO analyst");
        let world = World::on(&server);
        let declared = std::fs::read_to_string(world.folder().join("server.yaml")).unwrap();
        world.write("server.yaml", &format!("{declared}  connectFor: [metabase]\n"));
        // The ledger is there, and remembers who was seen.
        world.apply(&tenant("other", "{}")).exits(0);
        let both = tenant("other", "{}") + &tenant("cafe", ADOPT);
        let gone = server.connect("grafana", "p", "cafe").await.unwrap();
        world.apply(&both).exits(4).tells("needs consent");
        drop(gone);
        tenantdb_testkit::wait_until(std::time::Duration::from_secs(10), || {
            server.psql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE usename = 'grafana'") == "0"
        });
        let analyst = server.connect("analyst", "p", "cafe").await.unwrap();
        let metabase = server.connect("metabase", "p", "cafe").await.unwrap();
        world.run_on(&["plan", "--exit-code"]).exits(3)
            .says("who loses that, and keeps the sessions that are open: grafana (last seen 2")
            .says("1 other, never seen in it")
            .says("database cafe: no longer open to analyst  # nothing declares that; open sessions stay: analyst (1 session now)");
        world.run_on(&["apply", "--yes"]).exits(0);
        analyst.batch_execute("SELECT 1").await.expect("who is inside stays");
        metabase.batch_execute("SELECT 1").await.unwrap();
        for (login, stays) in [("grafana", false), ("analyst", false), ("idle", false), ("metabase", true)] {
            assert_eq!(server.attempt(login, "p", "cafe").await.is_ok(), stays, "{login}");
        }
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn what_can_not_be_adopted_is_left_as_it_is(server: TestServer) {
        made_by_hand(&server, "cafe");
        server.psql("postgres", "CREATE ROLE barista LOGIN");
        let world = World::on(&server);
        let refused = |spec: &str| {
            world.declare(&tenant("cafe", spec));
            world.untouched(&server, || world.run_on(&["apply", "--yes"])).exits(4)
        };
        refused("{}").tells("hint: choose another `database`, or set `adopt: Existing` to take it over");
        refused("{adopt: Never}").tells("database `cafe` exists, is owned by `cafe`");
        refused("{adopt: Existing, owner: barista}").tells("is owned by `cafe`, and `owner` is `barista`").tells("hint: set `owner: cafe`");
        refused("{adopt: Existing, owner: pour_over}").tells("hint: set `owner: cafe`");
        for (power, without) in [("CREATEDB", "NOCREATEDB"), ("CREATEROLE", "NOCREATEROLE"), ("REPLICATION", "NOREPLICATION"), ("BYPASSRLS", "NOBYPASSRLS"), ("SUPERUSER", "NOSUPERUSER")] {
            server.psql("postgres", &format!("ALTER ROLE cafe {power}"));
            refused(ADOPT).tells("role `cafe` can't be a tenant: it is").tells(power);
            server.psql("postgres", &format!("ALTER ROLE cafe {without}"));
        }
        server.psql("postgres", "CREATE ROLE readers; GRANT pg_read_all_data TO readers; GRANT readers TO cafe");
        refused(ADOPT).tells("pg_read_all_data");
        server.psql("postgres", "REVOKE readers FROM cafe; CREATE ROLE cafe_b");
        refused(ADOPT).tells("role `cafe_b` exists, and tenantdb did not make it");
        server.psql("postgres", "DROP ROLE cafe_b; ALTER DATABASE cafe ALLOW_CONNECTIONS false");
        refused(ADOPT).tells("database `cafe` accepts no connections").tells("hint:");
        server.psql("postgres", "ALTER DATABASE cafe ALLOW_CONNECTIONS true");

        world.declare(&tenant("cafe", ADOPT)).run_on(&["apply", "--yes"]).exits(0);
        let other = world.another_home();
        let taken = other.declare(&tenant("cafe", ADOPT)).run_on(&["apply", "--yes"]).exits(4);
        taken.tells("database `cafe` belongs to TenantDatabase default/cafe");
    }

    async fn a_role_that_can_not_log_in_or_is_not_there_is_the_tenant_as_well(server: TestServer) {
        server.psql("postgres", &format!("CREATE DATABASE cafe OWNER {}", server.admin_username()));
        made_by_hand(&server, "erp");
        server.psql("postgres", "ALTER ROLE erp NOLOGIN");
        server.psql("cafe", "CREATE TABLE menu (item text)");
        let world = World::on(&server);
        world.declare(&(tenant("cafe", "{adopt: Existing, owner: barista}") + &tenant("erp", ADOPT)));
        let done = world.run_on(&["apply", "--yes"]).exits(0).says("default/cafe adopted").says("default/erp adopted");
        assert!(!done.stderr.contains("LegacyLogin"), "{}", done.stderr);
        for (name, owner) in [("cafe", "barista"), ("erp", "erp")] {
            let new = world.delivered(name);
            query(&server, &new, "CREATE TABLE made (id int); CREATE SCHEMA app").unwrap();
            assert_eq!(query(&server, &new, "SELECT current_user").unwrap(), owner);
        }
        done.tells("ForeignObjects: not the tenant's in its database, and left so: 1 table of postgres (to hand over: ALTER TABLE public.menu OWNER TO \"barista\")");
        server.psql("cafe", "ALTER TABLE public.menu OWNER TO \"barista\"");
        let quiet = world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        assert!(!quiet.stderr.contains("ForeignObjects"), "{}", quiet.stderr);
    }

    fn where_the_owner_itself_logs_in_its_password_is_left_until_another_is_asked_for(server: TestServer) {
        made_by_hand(&server, "cafe");
        let world = World::on(&server);
        world.declare(&tenant("cafe", "{adopt: Existing, credentials: {rotation: {strategy: InPlace}}}"));
        for _ in 0..2 {
            world.run_on(&["apply", "--yes"]).exits(4).tells("that tenantdb does not know: no credential was delivered").tells("--reissue");
            assert_eq!(server.psql_as("cafe", PASSWORD, "cafe", "SELECT 1").unwrap(), "1");
        }
        assert!(!world.credential_path("default", "cafe-secret").exists());
        world.run(&["rotate", "cafe", "--retire", "--yes"]).exits(4).tells("is the only login that it has");
        world.run_on(&["apply", "--reissue"]).exits(4).tells("needs consent");
        world.run_on(&["apply", "--reissue", "--yes"]).exits(0);
        assert!(server.psql_as("cafe", PASSWORD, "cafe", "SELECT 1").is_err());
        assert_eq!(query(&server, &world.delivered("cafe"), "SELECT session_user").unwrap(), "cafe");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn an_adopted_database_is_deleted_as_its_policies_say(server: TestServer) {
        made_by_hand(&server, "cafe");
        made_by_hand(&server, "erp");
        let world = World::on(&server);
        let gone = "{adopt: Existing, deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}";
        world.declare(&(tenant("cafe", gone) + &tenant("erp", "{adopt: Existing, deletionProtection: false}")));
        world.run_on(&["apply", "--yes"]).exits(0);
        world.run(&["delete", "cafe", "erp", "--yes"]).exits(0);
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname ~ '^cafe'"), "0");
        assert!(!server.has_database("cafe"));
        assert_eq!(server.psql_as("erp", PASSWORD, "erp", "SELECT 1").unwrap(), "1", "an orphan's logins go on working");
        world.run_on(&["apply", "--yes"]).exits(0).says("default/cafe created").says("taken back from the orphans");
        assert_eq!(server.psql_as("erp", PASSWORD, "erp", "SELECT 1").unwrap(), "1");
    }
}

on_servers! {
    [18 Plain; 15 Plain, 16 Superuser]
    async fn a_kill_at_any_step_is_mended_and_who_was_there_before_sees_nothing(server: TestServer) {
        let world = World::on(&server);
        made_by_hand(&server, "first");
        world.declare(&tenant("first", ADOPT));
        let mut passed = traced(&mut world.command_on(&["apply", "--yes"]));
        passed.retain(|name, _| !name.contains("ledger") && !name.contains("estate"));
        assert!(passed.contains_key("after-adopt-database") && passed.len() > 16, "{passed:?}");
        for (number, failpoint) in passed.keys().filter(|name| is_worth_a_kill(name)).enumerate() {
            let name = format!("db{number}");
            made_by_hand(&server, &name);
            let writer = Writer::start(&server, &name, PASSWORD, &name).await;
            world.declare(&tenant(&name, ADOPT)).run_killed_at(failpoint, &["apply", "--yes"]);
            writer.goes_on().await;
            world.run(&["delete", &name, "--yes", "-n", "default"]);
            world.run_on(&["apply", "--yes"]).exits(0);
            let new = world.delivered(&name);
            query(&server, &new, "INSERT INTO written VALUES (now(), 'new')").unwrap();
            writer.stop().await;
            world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0).tells("LegacyLogin");
        }
    }
}
