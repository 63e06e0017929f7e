//! Tenants that mean harm: what they plant never runs as anyone else, and nothing that they do keeps others from being
//! healed or removed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tenantdb_testkit::{Admin, TestServer, available, on_servers, wait_until, wait_until_async};

use crate::access::{BOTH, role, with_a_table};
use crate::trouble::{HeldLock, wait_for_a_lock};
use crate::world::{Run, World, query, tenant};

/// Something for every way in which a statement of ours could run what a tenant made: operators and functions that fit
/// better than the server's own, relations of the catalogs' names, triggers, defaults, policies, indexes. Each notes who
/// ran it.
const BAIT: &str = "
    CREATE TABLE seen (who name);
    CREATE FUNCTION spy() RETURNS bool SECURITY DEFINER LANGUAGE plpgsql
        AS $$ BEGIN INSERT INTO public.seen VALUES (session_user); RETURN true; END $$;
    CREATE FUNCTION spy_text(text, name) RETURNS text LANGUAGE sql AS $$ SELECT public.spy()::text $$;
    CREATE FUNCTION spy_bool(name, text) RETURNS bool LANGUAGE sql AS $$ SELECT public.spy() $$;
    CREATE FUNCTION spy_oid(oid, regclass) RETURNS bool LANGUAGE sql AS $$ SELECT public.spy() $$;
    CREATE FUNCTION spy_same(oid, oid) RETURNS bool LANGUAGE sql AS $$ SELECT public.spy() $$;
    CREATE FUNCTION spy_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.spy(); RETURN new; END $$;
    CREATE OPERATOR || (LEFTARG = text, RIGHTARG = name, FUNCTION = spy_text);
    CREATE OPERATOR = (LEFTARG = name, RIGHTARG = text, FUNCTION = spy_bool);
    CREATE OPERATOR <> (LEFTARG = name, RIGHTARG = text, FUNCTION = spy_bool);
    CREATE OPERATOR = (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = spy_oid);
    CREATE OPERATOR = (LEFTARG = oid, RIGHTARG = oid, FUNCTION = spy_same);
    CREATE FUNCTION lower(name) RETURNS text LANGUAGE sql AS $$ SELECT public.spy()::text $$;
    CREATE FUNCTION format(text, name) RETURNS text LANGUAGE sql AS $$ SELECT public.spy()::text $$;
    CREATE FUNCTION starts_with(name, text) RETURNS bool LANGUAGE sql AS $$ SELECT public.spy() $$;
    CREATE FUNCTION set_config(text, name, bool) RETURNS text LANGUAGE sql AS $$ SELECT public.spy()::text $$;
    CREATE VIEW pg_roles AS SELECT rolname, oid, spy() FROM pg_catalog.pg_roles;
    CREATE VIEW pg_class AS SELECT *, spy() FROM pg_catalog.pg_class;
    CREATE VIEW pg_namespace AS SELECT *, spy() FROM pg_catalog.pg_namespace;
    CREATE VIEW pg_database AS SELECT *, spy() FROM pg_catalog.pg_database;
    CREATE TABLE bait (id int DEFAULT spy()::int CHECK (spy()), who name);
    CREATE TRIGGER spy BEFORE INSERT OR UPDATE OR DELETE ON bait FOR EACH ROW EXECUTE FUNCTION spy_trigger();
    CREATE POLICY spy ON bait USING (spy());
    ALTER TABLE bait ENABLE ROW LEVEL SECURITY;
    ALTER TABLE bait FORCE ROW LEVEL SECURITY;
    INSERT INTO bait VALUES (1, 'cafe');
    CREATE MATERIALIZED VIEW copied AS SELECT spy()";

/// Who else than the tenant ran anything of it.
fn victims(server: &TestServer, database: &str) -> String {
    let others =
        "SELECT string_agg(DISTINCT who::text, ', ') FROM public.seen WHERE NOT starts_with(who::text, 'cafe')";
    server.psql(database, &format!("SET search_path = pg_catalog; {others}"))
}

/// Runs what a run says that a superuser has to run.
fn run_as_told(server: &TestServer, database: &str, run: &Run) {
    let (_, statement) = run.stderr.split_once("as a superuser run").expect("a statement");
    let (_, statement) = statement.split_once(": ").unwrap();
    server.psql(database, statement.lines().next().unwrap());
}

fn exists(server: &TestServer, pattern: &str) -> String {
    server.psql(
        "postgres",
        &format!("SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname ~ '{pattern}'"),
    )
}

on_servers! { [15 Plain, 16 Superuser, 18; 15 Superuser, 16 Plain]
    fn nothing_that_a_tenant_planted_runs_as_anyone_else(server: TestServer) {
        let world = World::on(&server);
        world.write("tenantdb.yaml", "project: shared\n");
        let erp = tenant("erp", "{}");
        world.apply(&(tenant("cafe", "{}") + &erp)).exits(0);
        let cafe = world.delivered("cafe");
        query(&server, &cafe, BAIT).unwrap();
        server.psql("cafe", "SET search_path = public, pg_catalog; SELECT 'a'::text || 'b'::name");
        assert_eq!(victims(&server, "cafe"), "postgres", "the bait works on whoever looks at public first");
        server.psql("cafe", "DELETE FROM seen");

        let removable = "deletionProtection: false, dbDeletionPolicy: Orphan, roleDeletionPolicy: Delete";
        let more = format!("{{schemas: [app], extensions: [pg_trgm], settings: {{statement_timeout: 30s}}, access: [{{name: reporting, level: ReadOnly}}, {{name: worker, level: ReadWrite}}], {removable}}}");
        world.apply(&(tenant("cafe", &more) + &erp)).exits(0);
        query(&server, &cafe, "GRANT CREATE ON SCHEMA public TO cafe_a; SET ROLE NONE; SET search_path = public, pg_catalog; \
             CREATE TABLE own (who name DEFAULT session_user CHECK (public.spy())); \
             CREATE TRIGGER spy BEFORE INSERT ON own FOR EACH ROW EXECUTE FUNCTION public.spy_trigger()").unwrap();
        server.psql("cafe", "ALTER SCHEMA app OWNER TO erp; ALTER SCHEMA public OWNER TO erp");
        server.psql("postgres", "ALTER DATABASE cafe OWNER TO erp; GRANT CONNECT ON DATABASE cafe TO PUBLIC; ALTER DATABASE cafe SET search_path = public, pg_catalog");
        query(&server, &cafe, "REVOKE SELECT ON bait FROM cafe_ro; GRANT TRUNCATE ON bait TO cafe_rw").unwrap();
        world.run_on(&["plan", "--refresh"]).exits(0);
        world.run_on(&["apply", "--refresh", "--yes"]).exits(0);
        world.run_on(&["plan", "--refresh", "--exit-code"]).exits(0);
        world.run(&["status"]).exits(0);
        world.apply(&(tenant("cafe", &format!("{{schemas: [app], {removable}}}")) + &erp));
        world.run_on(&["apply", "--yes"]).exits(0);
        world.run(&["delete", "cafe", "--yes"]).exits(0);
        assert_eq!(victims(&server, "cafe"), "");
        world.run_on(&["apply", "--refresh", "--yes"]).exits(0);
        assert_eq!(victims(&server, "cafe"), "");
    }

    fn an_adopted_database_is_taken_without_running_anything_of_it(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("erp", "{}")).exits(0);
        server.psql("postgres", "CREATE ROLE cafe LOGIN PASSWORD 'mine'");
        server.psql("postgres", "CREATE DATABASE cafe OWNER cafe");
        server.psql_as("cafe", "mine", "cafe", BAIT).unwrap();
        server.psql("postgres", "ALTER DATABASE cafe SET search_path = public, pg_catalog");
        let adopted = tenant("cafe", "{adopt: Existing, schemas: [app], access: [{name: reporting, level: ReadOnly}]}");
        let run = world.declare(&adopted).run_on(&["apply", "--yes", "--refresh"]);
        assert_eq!(victims(&server, "cafe"), "");
        if server.admin() == Admin::Plain {
            assert_ne!(run.code, Some(1), "{}", run.stderr);
        } else {
            run.exits(0);
        }
        world.run_on(&["plan", "--refresh"]);
        assert_eq!(victims(&server, "cafe"), "");
    }

    fn settings_of_a_database_do_not_reach_the_administrator(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{comment: one}")).exits(0);
        server.psql("template1", "CREATE ROLE mallory; CREATE ROLE gone");
        let foreign_roles = |database: &str, role: &str| {
            format!("SET default_transaction_read_only = off; SET ROLE NONE; {database} SET role = '{role}'; {database} SET session_authorization = '{role}'")
        };
        for (database, role) in [("cafe", "gone"), ("tenantdb", "mallory"), ("postgres", "mallory")] {
            server.psql("template1", &foreign_roles(&format!("ALTER DATABASE {database}"), role));
        }
        server.psql("template1", &foreign_roles(&format!("ALTER ROLE {}", server.admin_username()), "mallory"));
        server.psql("template1", "SET ROLE NONE; DROP ROLE gone");
        for database in ["cafe", "tenantdb", "postgres"] {
            for setting in [
                "client_min_messages = error",
                "statement_timeout = 1",
                "lock_timeout = 1",
                "idle_session_timeout = 1",
                "default_transaction_read_only = on",
                "search_path = public",
                "idle_in_transaction_session_timeout = 1",
                "row_security = on",
                "standard_conforming_strings = off",
                "timezone = 'Pacific/Chatham'",
            ] {
                server.psql("template1", &format!("SET default_transaction_read_only = off; SET ROLE NONE; ALTER DATABASE {database} SET {setting}"));
            }
        }
        let more = tenant("cafe", "{comment: two, schemas: [app], extensions: [pg_trgm], access: [{name: reporting, level: ReadOnly}]}");
        world.apply(&more).exits(0);
        world.run_on(&["plan", "--refresh", "--exit-code"]).exits(0);
        world.run(&["status"]).exits(0).says("Ready");
        let made = "SET ROLE NONE; SELECT string_agg(DISTINCT datdba::regrole::text, ' ') FROM pg_database WHERE datname IN ('cafe', 'tenantdb')";
        assert_eq!(server.psql("template1", made), "tenantdb_owner");
    }

    async fn a_lock_is_waited_for_whatever_is_set_on_the_database(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        let holder = server.superuser("cafe").await;
        holder.batch_execute("ALTER DATABASE cafe SET lock_timeout = 1").await.unwrap();
        if server.major() >= 17 {
            holder.batch_execute("ALTER DATABASE cafe SET transaction_timeout = 300").await.unwrap();
        }
        holder.batch_execute("BEGIN; LOCK TABLE pg_catalog.pg_extension").await.unwrap();
        let looking = world.start(&["plan", "--refresh", "--exit-code", "-f", "server.yaml", "-f", "tenants.yaml"]);
        let waiting = "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'pg_extension'::regclass AND NOT granted";
        wait_until_async(Duration::from_secs(20), async || server.psql("postgres", waiting) == "t").await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        holder.batch_execute("COMMIT").await.unwrap();
        Run::end_of(looking).exits(0);
    }

    fn a_statement_without_effect_has_failed_also_where_warnings_are_hidden(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        server.psql("postgres", "GRANT CONNECT ON DATABASE cafe TO PUBLIC; ALTER DATABASE tenantdb SET client_min_messages = error");
        let held = HeldLock::of_role_changes(&server);
        let applying = world.start(&["apply", "-f", "server.yaml", "-f", "tenants.yaml"]);
        wait_for_a_lock(&server);
        // What it is about to revoke is not its own to revoke any more.
        server.psql("postgres", "ALTER DATABASE cafe OWNER TO postgres");
        drop(held);
        Run::end_of(applying).exits(1).tells("the server warned: no privileges could be revoked");
        server.psql("postgres", "ALTER DATABASE cafe OWNER TO tenantdb_owner");
        world.run_on(&["apply"]).exits(0).says("closed to PUBLIC");
    }

    fn a_setting_that_the_server_can_not_take_is_told_with_where_it_is(server: TestServer) {
        let world = World::on(&server);
        world.apply(&(tenant("cafe", "{}") + &tenant("erp", "{}"))).exits(0);
        for database in ["postgres", "tenantdb"] {
            server.psql("template1", &format!("ALTER DATABASE {database} SET default_tablespace = 'nowhere'"));
            let told = world.run_on(&["plan"]).exits(1).tells(&format!("database {database}: connecting: the server warned"));
            told.tells("default_tablespace").tells(&format!("ALTER DATABASE \"{database}\" RESET …"));
            server.psql("template1", &format!("ALTER DATABASE {database} RESET default_tablespace"));
        }
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn nobody_gets_in_while_a_database_is_being_made(server: TestServer) {
        let world = World::on(&server);
        server.psql("postgres", "CREATE ROLE mallory LOGIN PASSWORD 'm'");
        let refused = |database: &str, point: &str| {
            let refused = server.psql_as("mallory", "m", database, "SELECT 1").expect_err(point);
            assert!(["42501", "55000", "3D000"].iter().any(|code| refused.starts_with(code)), "{point}: {refused}");
        };
        world.declare(&tenant("erp", "{}")).run_killed_at("within-create-ledger", &["apply"]);
        refused("tenantdb", "within-create-ledger");
        world.run_killed_at("after-create-ledger", &["apply"]);
        refused("tenantdb", "after-create-ledger");

        let traced = Run::of(world.command_on(&["apply"]).env("TENANTDB_LOG", "tenantdb_core::failpoint=trace")).exits(0);
        let points: Vec<&str> =
            traced.stderr.lines().filter_map(|line| line.split_once("tenantdb_core::failpoint: ")).map(|(_, point)| point).collect();
        assert!(points.contains(&"after-create-database") && points.contains(&"before-open-database"), "{points:?}");
        for (number, point) in points.iter().filter(|point| !point.contains("ledger")).enumerate() {
            let name = format!("cafe{number}");
            world.declare(&tenant(&name, "{schemas: [app]}")).run_killed_at(point, &["apply"]);
            refused(&name, point);
            let joined = "SELECT count(*) FROM pg_auth_members WHERE member = 'tenantdb_owner'::regrole AND NOT admin_option";
            assert_eq!(server.psql("postgres", joined), "0", "the estate is in no tenant's role at {point}");
        }
    }

    fn a_step_that_breaks_off_leaves_the_estate_in_no_tenants_role(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        server.psql("cafe", "CREATE FUNCTION public.wait() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_catalog.pg_sleep(60); END $$");
        server.psql("cafe", "CREATE EVENT TRIGGER wait ON ddl_command_end WHEN TAG IN ('CREATE SCHEMA', 'ALTER DEFAULT PRIVILEGES') EXECUTE FUNCTION public.wait()");
        for wanted in ["{schemas: [app]}", "{access: [{name: reporting, level: ReadOnly}]}"] {
            world.declare(&tenant("cafe", wanted));
            let applying = world.start(&["apply", "-f", "server.yaml", "-f", "tenants.yaml"]);
            let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
            wait_until(Duration::from_secs(20), || server.psql("postgres", ended) == "t");
            Run::end_of(applying).exits(1);
            let joined = "SELECT count(*) FROM pg_auth_members WHERE member = 'tenantdb_owner'::regrole AND NOT admin_option";
            assert_eq!(server.psql("postgres", joined), "0", "{wanted}");
        }
    }

    async fn a_tenant_at_its_limit_leaves_room_for_the_administrator(server: TestServer) {
        let world = World::on(&server);
        world.write("tenantdb.yaml", "project: shared\n");
        world.apply(&tenant("cafe", "{connectionLimit: 2}")).exits(0);
        let second = world.another_home();
        second.run_on(&["apply", "--reissue"]).exits(0);
        let mut sessions = Vec::new();
        for login in [&world, &second].map(|world| world.delivered("cafe")) {
            for _ in 0..2 {
                sessions.push(server.connect(&login["username"], &login["password"], "cafe").await.unwrap());
            }
            let refused = server.attempt(&login["username"], &login["password"], "cafe").await;
            assert!(refused.unwrap_err().starts_with("53300"));
        }
        world.run_on(&["plan", "--refresh", "--exit-code"]).exits(0);
        drop(sessions);
    }

    fn what_is_not_the_tenants_keeps_nobody_from_being_let_in(server: TestServer) {
        let world = with_a_table(&server);
        server.psql("cafe", "CREATE TABLE public.strange (id int); CREATE SEQUENCE app.counter; REVOKE ALL ON public.strange FROM PUBLIC");
        world.apply(&tenant("cafe", BOTH)).exits(0);
        let reading = world.credential("default", "cafe-secret-reporting");
        assert_eq!(query(&server, &reading, "SELECT count(*) FROM orders").unwrap(), "1");
        query(&server, &reading, "SELECT count(*) FROM strange").expect_err("it is not the tenant's to give");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn nobody_is_let_in_where_everybody_may_make_things(server: TestServer) {
        let world = with_a_table(&server);
        server.psql("cafe", "GRANT CREATE ON SCHEMA public TO PUBLIC");
        world.apply(&tenant("cafe", BOTH)).exits(4).tells("read-only ones too").tells("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
        assert_eq!(exists(&server, "^cafe_re"), "");
    }

    fn a_level_goes_although_another_tenant_names_it(server: TestServer) {
        let world = with_a_table(&server);
        let (erp, grafana) = (tenant("erp", "{}"), role("grafana", "{deletionProtection: false, roleDeletionPolicy: Delete, databases: [{name: cafe, level: ReadOnly}]}"));
        let declared = BOTH.replace("access: [", "access: [{role: default/grafana, level: ReadOnly}, ");
        world.apply(&(tenant("cafe", &declared) + &erp + &grafana)).exits(0);
        let (cafe, hostile) = (world.delivered("cafe"), world.delivered("erp"));
        let all = "cafe_ro, cafe_rw, cafe_reporting, cafe_reporting_a, grafana, grafana_a";
        let named = format!("CREATE TABLE t (id int); GRANT SELECT ON t TO {all}; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {all}; CREATE POLICY p ON t TO {all}");
        query(&server, &hostile, &named).unwrap();
        query(&server, &cafe, &named).unwrap();

        let fewer = tenant("cafe", "{access: [{name: worker, level: ReadWrite}], schemas: [app]}");
        world.apply(&(fewer + &erp));
        world.run(&["delete", "role/grafana", "--yes"]).exits(0);
        world.run_on(&["apply", "--yes", "--refresh"]).exits(0);
        assert_eq!(exists(&server, "^(cafe_r|grafana)"), "cafe_rw");
        world.apply(&(tenant("cafe", "{schemas: [app]}") + &erp));
        world.run_on(&["apply", "--yes", "--refresh"]).exits(0);
        assert_eq!(exists(&server, "^(cafe_[rw]|grafana)"), "");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        assert_eq!(query(&server, &hostile, "SELECT count(*) FROM t").unwrap(), "0");
    }

    async fn a_lock_that_another_tenant_holds_on_a_level_is_ended_with_consent(server: TestServer) {
        let world = with_a_table(&server);
        world.apply(&(tenant("cafe", BOTH) + &tenant("erp", "{}"))).exits(0);
        let erp = world.delivered("erp");
        let hostile = server.connect(&erp["username"], &erp["password"], "erp").await.unwrap();
        hostile.batch_execute("CREATE TABLE t (); BEGIN; GRANT SELECT ON t TO cafe_rw").await.unwrap();
        let lower = BOTH.replace("ReadWrite", "ReadOnly");
        world.apply(&(tenant("cafe", &lower) + &tenant("erp", "{}"))).exits(4).tells("needs consent: sessions of erp_a that hold locks on cafe_rw");
        world.run_on(&["apply", "--yes"]).exits(0);
        assert_eq!(exists(&server, "^cafe_rw$"), "");
        hostile.simple_query("SELECT 1").await.expect_err("what held the lock is ended");
    }

    fn a_level_that_is_named_where_only_a_superuser_can_take_it_back_stays_and_is_told(server: TestServer) {
        let world = with_a_table(&server);
        world.apply(&(tenant("cafe", BOTH) + &tenant("erp", "{}"))).exits(0);
        let mut hostile = world.delivered("erp");
        hostile.insert("database".to_owned(), "postgres".to_owned());
        query(&server, &hostile, "SELECT lo_create(4711); GRANT SELECT ON LARGE OBJECT 4711 TO cafe_rw").unwrap();
        let lower = BOTH.replace("ReadWrite", "ReadOnly");
        let told = world.apply(&(tenant("cafe", &lower) + &tenant("erp", "{}"))).exits(0).tells("LevelStays");
        assert_eq!(exists(&server, "^cafe_rw$"), "cafe_rw");
        let worker = world.credential("default", "cafe-secret-worker");
        query(&server, &worker, "DELETE FROM orders").expect_err("it may not write any more");
        run_as_told(&server, "postgres", &told);
        world.run_on(&["apply"]).exits(0);
        assert_eq!(exists(&server, "^cafe_rw$"), "");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn a_tenant_that_is_named_where_only_a_superuser_can_take_it_back_is_not_half_removed(server: TestServer) {
        let world = World::on(&server);
        let removable = tenant("cafe", "{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}");
        world.apply(&(removable + &tenant("erp", "{}"))).exits(0);
        let mut hostile = world.delivered("erp");
        hostile.insert("database".to_owned(), "postgres".to_owned());
        query(&server, &hostile, "SELECT lo_create(4711); GRANT SELECT ON LARGE OBJECT 4711 TO cafe, cafe_b").unwrap();
        for role in ["cafe", "cafe_b"] {
            let refused = world.untouched(&server, || world.run(&["delete", "cafe", "--yes"])).exits(4);
            let refused = refused.tells(&format!("its role `{role}` has privileges in database `postgres`, which is not its own"));
            let (_, statement) = refused.stderr.split_once("as a superuser run in database `postgres`: ").unwrap();
            server.psql("postgres", statement.lines().next().unwrap());
        }
        world.run(&["delete", "cafe", "--yes"]).exits(0);
        assert_eq!(exists(&server, "^cafe"), "");
    }

    fn what_a_further_login_made_never_becomes_the_tenants_by_itself(server: TestServer) {
        let world = with_a_table(&server);
        world.apply(&tenant("cafe", BOTH)).exits(0);
        let (owner, reading) = (world.delivered("cafe"), world.credential("default", "cafe-secret-reporting"));
        query(&server, &owner, "GRANT CREATE ON SCHEMA public TO cafe_reporting_a").unwrap();
        let escalation = "CREATE FUNCTION become() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS 'WITH gone AS (DELETE FROM public.orders RETURNING 1) SELECT count(*) FROM gone'";
        query(&server, &reading, escalation).unwrap();

        let told = world.run_on(&["apply", "--refresh"]).exits(0).tells("OwnedByOthers");
        told.tells("cafe_reporting_a owns something in database cafe");
        assert_eq!(query(&server, &reading, "SELECT become()").unwrap_err().split(':').next(), Some("42501"));
        server.psql("cafe", "DROP FUNCTION become()");
        world.run_on(&["apply"]).exits(0).says("what cafe_reporting_a may do in database cafe");
        query(&server, &reading, escalation).expect_err("it may make nothing any more");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn a_password_that_a_tenant_gave_its_own_role_lets_nobody_in(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        let cafe = world.delivered("cafe");
        query(&server, &cafe, "ALTER ROLE cafe PASSWORD 'mine'").unwrap();
        assert!(server.psql_as("cafe", "mine", "cafe", "SELECT 1").is_err());
        server.psql("postgres", "ALTER ROLE cafe LOGIN");
        let refused = server.psql_as("cafe", "mine", "cafe", "SELECT 1").unwrap_err();
        assert!(refused.starts_with("42501"), "it has no CONNECT of its own: {refused}");
        world.run_on(&["apply"]).exits(0).says("role cafe: may not log in, no password");
        let left = "SELECT rolcanlogin::text || coalesce(rolpassword, '') FROM pg_authid WHERE rolname = 'cafe'";
        assert_eq!(server.psql("postgres", left), "false");
    }

    fn what_can_not_be_prevented_is_as_the_documentation_says(server: TestServer) {
        let world = with_a_table(&server);
        world.apply(&(tenant("cafe", BOTH) + &tenant("erp", "{comment: a secret}"))).exits(0);
        let (owner, reading) = (world.delivered("cafe"), world.credential("default", "cafe-secret-reporting"));
        let names = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'erp'";
        assert_eq!(query(&server, &reading, names).unwrap(), "a secret");

        query(&server, &reading, "SELECT lo_from_bytea(0, 'kept')").unwrap();
        world.run_on(&["plan", "--refresh"]).exits(0).tells("cafe_reporting_a owns something in database cafe");
        server.psql("cafe", "DROP OWNED BY cafe_reporting_a");

        query(&server, &owner, "CREATE FUNCTION clear() RETURNS void SECURITY DEFINER LANGUAGE sql AS 'DELETE FROM public.orders'").unwrap();
        query(&server, &reading, "SELECT clear()").unwrap();
        assert_eq!(query(&server, &owner, "SELECT count(*) FROM orders").unwrap(), "0");
        query(&server, &owner, "REVOKE EXECUTE ON FUNCTION clear() FROM PUBLIC").unwrap();
        query(&server, &reading, "SELECT clear()").expect_err("a tenant may keep its functions to itself");
    }

    async fn locks_can_be_used_up_as_the_documentation_says(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        let cafe = world.delivered("cafe");
        let greedy = server.connect(&cafe["username"], &cafe["password"], "cafe").await.unwrap();
        let used_up = greedy.simple_query("SELECT count(pg_advisory_lock(n)) FROM generate_series(1, 1000000) n").await;
        assert_eq!(used_up.unwrap_err().code().map(tokio_postgres::error::SqlState::code), Some("53200"));
        let failed = world.run_on(&["plan"]).exits(1).tells("53200");
        assert!(failed.stderr.contains("hint:"), "{}", failed.stderr);
        drop(greedy);
        wait_until(Duration::from_secs(20), || world.run_on(&["plan", "--exit-code"]).code == Some(0));
    }

    fn a_database_that_waits_in_the_ledgers_place_is_never_entered(server: TestServer) {
        let world = World::on(&server);
        world.declare(&tenant("cafe", "{}")).run_killed_at("after-create-estate", &["apply"]);
        server.psql("postgres", "CREATE ROLE mallory LOGIN CREATEDB PASSWORD 'm'");
        let as_mallory = |database: &str, sql: &str| server.psql_as("mallory", "m", database, sql).unwrap();
        as_mallory("postgres", "CREATE DATABASE tenantdb");
        as_mallory("tenantdb", "CREATE TABLE seen (who name); CREATE SCHEMA ledger; \
             CREATE FUNCTION spy() RETURNS uuid SECURITY DEFINER LANGUAGE plpgsql \
             AS $$ BEGIN INSERT INTO public.seen VALUES (session_user); RETURN gen_random_uuid(); END $$; \
             CREATE VIEW ledger.server AS SELECT 1 AS version, spy() AS id");
        // Nobody else is let in, so that only its owner gives it away.
        as_mallory("postgres", "REVOKE ALL ON DATABASE tenantdb FROM PUBLIC");
        as_mallory("tenantdb", "GRANT USAGE ON SCHEMA ledger TO PUBLIC; GRANT SELECT ON ledger.server TO PUBLIC");
        let refused = world.run_on(&["apply"]);
        assert_eq!(as_mallory("tenantdb", "SELECT count(*) FROM seen"), "0");
        refused.exits(1).tells("is owned by mallory, not by tenantdb_owner");
        assert_eq!(exists(&server, "^cafe"), "");
    }

    async fn a_ledger_that_another_run_makes_meanwhile_is_used(server: TestServer) {
        let world = World::on(&server);
        world.declare(&tenant("cafe", "{}")).run_killed_at("after-create-estate", &["apply"]);
        // Whoever copies a database waits for whoever renames it.
        let holder = server.superuser("postgres").await;
        holder.batch_execute("BEGIN; ALTER DATABASE template0 RENAME TO template2").await.unwrap();
        let applying = world.start(&["apply", "-f", "server.yaml", "-f", "tenants.yaml"]);
        let waiting = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'object' AND NOT granted";
        wait_until_async(Duration::from_secs(20), async || server.psql("postgres", waiting) == "t").await;
        server.psql("postgres", "CREATE DATABASE tenantdb OWNER tenantdb_owner TEMPLATE template1 ALLOW_CONNECTIONS false");
        holder.batch_execute("ROLLBACK").await.unwrap();
        Run::end_of(applying).exits(0);
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn a_ledger_that_somebody_else_may_enter_is_not_entered(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        server.psql("postgres", "CREATE ROLE mallory");
        for stranger in ["mallory", "PUBLIC"] {
            server.psql("postgres", &format!("GRANT CREATE ON DATABASE tenantdb TO {stranger}"));
            let told = world.run_on(&["apply", "--refresh"]).exits(1);
            told.tells(&format!("database tenantdb is open to {stranger}, and can't be trusted as the ledger"));
            let entered = format!("{}@tenantdb/tenantdb", server.admin_username());
            // A session of the run before may still be on its way out.
            let is_entry = |line: &str| line.contains(&entered) && !line.contains("LOG:  disconnection:");
            let last = server.log().lines().rev().take_while(|line| !line.contains("GRANT CREATE ON DATABASE tenantdb")).any(is_entry);
            assert!(!last, "it was entered");
            server.psql("postgres", &format!("REVOKE CREATE ON DATABASE tenantdb FROM {stranger}"));
        }
        world.run_on(&["plan", "--exit-code"]).exits(0);
    }

    fn a_tenant_that_makes_and_drops_things_all_the_time_keeps_no_level_from_being_granted_or_taken(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        let cafe = world.delivered("cafe");
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for number in 0..2 {
                let (server, cafe, is_over) = (&server, &cafe, &is_over);
                scope.spawn(move || {
                    let name = format!("s{number}");
                    let churn = format!("CREATE SCHEMA {name} CREATE TABLE t (id int); DROP SCHEMA {name} CASCADE");
                    while !is_over.load(Ordering::Relaxed) {
                        // What it is told when we hold its things matters to nobody.
                        let _ = query(server, cafe, &churn);
                    }
                });
            }
            let _end = Ending(&is_over);
            for _ in 0..4 {
                for access in ["access: [{name: reporting, level: ReadWrite}]", "access: [{name: reporting, level: ReadOnly}]", ""] {
                    world.declare(&tenant("cafe", &format!("{{{access}}}"))).run_on(&["apply", "--yes"]).exits(0);
                }
            }
        });
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn an_event_trigger_of_a_tenants_function_never_runs_as_the_administrator(server: TestServer) {
        let world = World::on(&server);
        world.apply(&(tenant("cafe", "{}") + &tenant("erp", "{}"))).exits(0);
        let admin = server.admin_username();
        server.psql(
            "postgres",
            &format!("CREATE ROLE old LOGIN PASSWORD 'mine'; GRANT old TO {admin} WITH ADMIN OPTION"),
        );
        server.psql("postgres", "CREATE DATABASE old OWNER old");
        let bait = |owner: &str| {
            format!(
                "CREATE TABLE seen (who name); ALTER TABLE seen OWNER TO {owner}; GRANT INSERT ON seen TO PUBLIC; \
             CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (session_user); END $$; \
             CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION watch(); ALTER FUNCTION watch() OWNER TO {owner}"
            )
        };
        for (database, owner) in [("cafe", "cafe"), ("old", "old")] {
            server.psql(database, &bait(owner));
            server.psql(database, "DELETE FROM seen");
        }
        let old = tenant("old", "{adopt: Existing}");
        let declared = tenant("cafe", "{schemas: [app], access: [{name: reporting, level: ReadOnly}]}")
            + &tenant("erp", "{schemas: [app]}")
            + &old;
        let mut refused = world.declare(&declared).run_on(&["apply", "--yes", "--refresh"]).exits(4);
        for (database, owner) in [("cafe", "cafe"), ("old", "old")] {
            let told = format!("default/{database}: event trigger `watch` calls a function of `{owner}`");
            refused =
                refused.tells(&told).tells("hint: as a superuser run there: ALTER EVENT TRIGGER \"watch\" DISABLE");
            assert_eq!(server.psql(database, "SELECT count(*) FROM seen"), "0", "{database}");
        }
        assert_eq!(server.psql("erp", "SELECT count(*) FROM pg_namespace WHERE nspname = 'app'"), "1");

        for database in ["cafe", "old"] {
            server.psql(database, "ALTER EVENT TRIGGER watch DISABLE");
        }
        let run = world.run_on(&["apply", "--yes", "--refresh"]);
        assert_ne!(run.code, Some(1), "{}", run.stderr);
        assert!(!run.stderr.contains("event trigger"), "{}", run.stderr);
    }
}

/// Ends what goes on beside a test, also when that fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Nobody can look before the login itself has run it.
#[test]
fn an_event_trigger_on_login_never_runs_as_the_administrator() {
    for (major, admin) in [(17, Admin::Plain), (18, Admin::Plain), (18, Admin::Superuser)] {
        if !available(major) {
            continue;
        }
        let server = TestServer::start(major, admin);
        let world = World::on(&server);
        let goes = "{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}";
        world.apply(&(tenant("cafe", "{}") + &tenant("erp", "{}") + &tenant("shop", goes))).exits(0);
        for database in ["cafe", "shop"] {
            let bait = format!(
                "CREATE TABLE seen (who text); GRANT INSERT ON seen TO PUBLIC; \
                 CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (session_user || current_setting('application_name')); END $$; \
                 CREATE EVENT TRIGGER watch ON login EXECUTE FUNCTION watch(); ALTER FUNCTION watch() OWNER TO {database}"
            );
            server.psql(database, &bait);
        }
        let seen = |database: &str| {
            let admin = server.admin_username();
            server.psql(
                database,
                &format!("SET event_triggers = off; SELECT count(*) FROM seen WHERE who LIKE '{admin}tenantdb%'"),
            )
        };
        let before = seen("cafe");
        let changed = tenant("cafe", "{schemas: [app]}") + &tenant("erp", "{schemas: [app]}");
        let refused = world.declare(&changed).run_on(&["apply", "--yes", "--refresh"]).exits(4);
        refused
            .tells("default/cafe: each login to database `cafe` runs an event trigger")
            .tells("SET event_triggers = off");
        assert_eq!(server.psql("erp", "SELECT count(*) FROM pg_namespace WHERE nspname = 'app'"), "1");
        assert_eq!(seen("cafe"), before, "{major}: nobody went in");
        world.run(&["delete", "shop", "--yes"]).exits(0);

        server.psql("postgres", &format!("ALTER ROLE {} SET event_triggers = off", server.admin_username()));
        let before = seen("cafe");
        world.run_on(&["apply", "--yes", "--refresh"]).exits(0);
        assert_eq!(seen("cafe"), before);
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }
}

/// What the documentation says is tried has to be there.
#[test]
fn every_test_that_the_documentation_names_is_there() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(folder.join("../../docs/security.md")).unwrap();
    let named: Vec<(&str, &str)> = page
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter_map(|code| code.rsplit_once("::"))
        .collect();
    assert!(named.len() > 30, "{named:?}");
    for (module, test) in named {
        let module = module.replace("::", "/");
        let source = std::fs::read_to_string(folder.join("tests/cli").join(&module).with_extension("rs")).unwrap();
        assert!(source.contains(&format!("fn {test}(")), "{module}::{test}");
    }
}
