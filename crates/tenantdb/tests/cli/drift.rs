//! What somebody changes by hand is found, named and put back, and what was handed out goes on working.

pub mod kinds;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tenantdb_testkit::{Admin, TestServer, on_every_server};

use self::kinds::{By, DRIFTS, Drift, Healed, Look, OF_ACCESS};
use crate::access::{BOTH, role, with_a_table};
use crate::world::{World, query, tenant};

/// Everything that can be declared, declared.
const DECLARED: &str = "{comment: Orders, connectionLimit: 20, schemas: [app], extensions: [pg_trgm, {name: hstore, version: '1.8'}], \
                        settings: {statement_timeout: 30s, timezone: UTC}, memberOf: [readers]}";

/// A tenant beside another one, and the way back from each drift.
struct Settled<'a> {
    server: &'a TestServer,
    world: World,
    credential: BTreeMap<String, String>,
    /// What holds while it is as declared.
    holds: fn(&Self),
}

impl<'a> Settled<'a> {
    /// A tenant with everything declared.
    fn on(server: &'a TestServer) -> Self {
        let world = World::on(server);
        let erp = tenant("erp", "{}");
        world.apply(&erp).exits(0);
        server.psql("postgres", "CREATE ROLE readers; CREATE ROLE strangers");
        server.psql("postgres", "GRANT readers, strangers TO tenantdb_owner WITH ADMIN OPTION");
        world.apply(&(tenant("cafe", DECLARED) + &erp)).exits(0);
        let credential = world.delivered("cafe");
        Self { server, world, credential, holds: Self::acts_as_the_tenant }
    }

    /// A tenant with a table, and others who may read it.
    fn with_access(server: &'a TestServer) -> Self {
        let world = with_a_table(server);
        let grafana = role("grafana", "{databases: [{name: cafe, level: ReadOnly}]}");
        let declared = BOTH.replace("access: [", "access: [{role: default/grafana, level: ReadOnly}, ");
        world.apply(&(tenant("cafe", &declared) + &tenant("erp", "{}") + &grafana)).exits(0);
        server.psql("postgres", "CREATE ROLE stranger LOGIN");
        let credential = world.delivered("cafe");
        Self { server, world, credential, holds: Self::is_only_read }
    }

    /// Which of these are not found, named and healed.
    fn unhealed(&self, drifts: &'static [Drift]) -> Vec<&'static str> {
        let drifts = drifts.iter().filter(|drift| drift.from <= self.server.major());
        let unhealed = drifts.filter(|drift| {
            let outcome = catch_unwind(AssertUnwindSafe(|| self.is_healed_of(drift)));
            if outcome.is_err() {
                eprintln!("^ that was: {}\n", drift.name);
            }
            outcome.is_err()
        });
        unhealed.map(|drift| drift.name).collect()
    }

    fn is_healed_of(&self, drift: &Drift) {
        let sql = drift.sql(self.server.major());
        match drift.by {
            By::Administrator(database) | By::Superuser(database) => drop(self.server.psql(database, &sql)),
            By::Tenant => drop(query(self.server, &self.credential, &sql).unwrap()),
        }
        let look: &[&str] = if drift.look == Look::Refresh { &["--refresh"] } else { &[] };
        let on = |command: &[&str]| self.world.run_on(&[command, look].concat());
        if drift.look == Look::Refresh {
            self.world.run_on(&["plan", "--exit-code"]).exits(0);
        }
        if drift.healed == Healed::BySuperuser && self.server.admin() == Admin::Plain {
            let told = on(&["plan"]).stderr;
            let (_, statement) = told.split_once("as a superuser run: ").expect("a statement");
            self.server.psql("cafe", statement.lines().next().unwrap());
        } else {
            let planned = on(&["plan", "--exit-code"]).exits(3);
            assert!(
                plain(&planned.stdout).contains(&plain(drift.reason)),
                "no `{}` in:\n{}",
                drift.reason,
                planned.stdout
            );
        }
        if drift.healed == Healed::WithConsent {
            on(&["apply"]).exits(4).tells("needs consent");
            on(&["apply", "--yes"]).exits(0);
        } else {
            on(&["apply"]).exits(0);
        }
        self.is_as_declared();
    }

    fn is_as_declared(&self) {
        self.world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        assert_eq!(self.world.delivered("cafe"), self.credential);
        (self.holds)(self);
    }

    fn acts_as_the_tenant(&self) {
        let who = "SELECT current_user || ' ' || session_user || ' ' || current_setting('statement_timeout')";
        assert_eq!(query(self.server, &self.credential, who).unwrap(), "cafe cafe_a 30s");
    }

    fn is_only_read(&self) {
        let reading = self.world.credential("default", "cafe-secret-reporting");
        assert_eq!(query(self.server, &reading, "SELECT count(*) FROM orders").unwrap(), "1");
        query(self.server, &reading, "DELETE FROM orders").expect_err("it may only read");
    }
}

/// A plan without the blanks that line it up.
fn plain(plan: &str) -> String {
    plan.split_whitespace().collect::<Vec<_>>().join(" ")
}

on_every_server! {
    fn every_drift_is_named_and_healed_and_the_credential_stays(server: TestServer) {
        let unhealed = Settled::on(&server).unhealed(DRIFTS);
        assert!(unhealed.is_empty(), "not healed: {}", unhealed.join(", "));
    }

    fn what_others_may_do_is_given_back_or_taken_away(server: TestServer) {
        let unhealed = Settled::with_access(&server).unhealed(OF_ACCESS);
        assert!(unhealed.is_empty(), "not healed: {}", unhealed.join(", "));
    }

    async fn a_stranger_who_came_in_is_put_out_with_consent_only(server: TestServer) {
        let settled = Settled::on(&server);
        let erp = settled.world.delivered("erp");
        server.psql("postgres", "GRANT CONNECT ON DATABASE cafe TO PUBLIC");
        let stranger = server.connect(&erp["username"], &erp["password"], "cafe").await.unwrap();

        settled.world.run_on(&["plan", "--exit-code"]).exits(3).says("sessions of erp_a in database cafe: ended").says("[disruptive]");
        settled.world.run_on(&["apply"]).exits(4).tells("needs consent: sessions of erp_a in database cafe").tells("--yes");
        let refused = server.attempt(&erp["username"], &erp["password"], "cafe").await;
        assert!(refused.unwrap_err().starts_with("42501"), "the door is shut without consent");
        stranger.simple_query("SELECT 1").await.expect("who is inside stays without consent");

        settled.world.run_on(&["plan", "--exit-code"]).exits(3).says("nothing lets them in any more");
        settled.world.run_on(&["apply", "--yes"]).exits(0);
        stranger.simple_query("SELECT 1").await.expect_err("who was inside is put out with consent");
        server.attempt(&erp["username"], &erp["password"], "erp").await.expect("its own database stays open to it");
        settled.is_as_declared();
    }

    fn what_was_never_declared_is_left_alone(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        server.psql("postgres", "COMMENT ON DATABASE cafe IS 'by hand'; ALTER DATABASE cafe CONNECTION LIMIT 7");
        server.psql("postgres", "ALTER ROLE cafe_a CONNECTION LIMIT 3");
        server.psql("cafe", "CREATE SCHEMA extra; CREATE EXTENSION hstore");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0).says("No changes");
    }

    fn what_is_no_longer_declared_is_reset_once(server: TestServer) {
        let settled = Settled::on(&server);
        let less = tenant("cafe", "{}") + &tenant("erp", "{}");
        settled
            .world
            .plan(&less)
            .exits(3)
            .says("database cafe: no comment")
            .says("login cafe_a: any number of sessions")
            .says("database cafe: any number of sessions in all")
            .says("login cafe_a: statement_timeout unset");
        settled.world.apply(&less).exits(0);
        settled.world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        let inside = "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = 'app') + (SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm')";
        assert_eq!(server.psql("cafe", inside), "2", "what may hold data is never removed");

        server.psql("postgres", "COMMENT ON DATABASE cafe IS 'by hand'; ALTER ROLE cafe_a CONNECTION LIMIT 3");
        settled.world.run_on(&["plan", "--exit-code"]).exits(0);
    }

    fn another_database_under_the_name_is_a_conflict_and_stays_untouched(server: TestServer) {
        let settled = Settled::on(&server);
        server.psql("postgres", "ALTER DATABASE cafe RENAME TO cafe_old");
        for command in [&["plan", "--exit-code"][..], &["apply", "--yes"], &["plan", "--exit-code", "--refresh"]] {
            let run = settled.world.run_on(command).exits(4).tells("was renamed to \"cafe_old\"");
            run.tells("hint: rename it back: ALTER DATABASE \"cafe_old\" RENAME TO \"cafe\"");
        }
        server.psql("postgres", "CREATE DATABASE cafe");
        server.psql("cafe", "CREATE TABLE precious ()");
        for command in [&["plan", "--exit-code"][..], &["apply", "--yes"], &["plan", "--exit-code", "--refresh"]] {
            settled.world.run_on(command).exits(4).tells("is not the one that tenantdb made").tells("hint:");
        }
        assert_eq!(server.psql("cafe", "SELECT count(*) FROM precious"), "0");

        server.psql("postgres", "ALTER DATABASE cafe RENAME TO precious; ALTER DATABASE cafe_old RENAME TO cafe");
        settled.is_as_declared();
    }

    fn what_only_a_superuser_can_take_back_is_said_or_done(server: TestServer) {
        let settled = Settled::on(&server);
        let owned_by_a_superuser =
            [("cafe", "ALTER SCHEMA app OWNER TO postgres", "schema app"), ("postgres", "ALTER DATABASE cafe OWNER TO postgres", "database cafe")];
        for (database, statement, what) in owned_by_a_superuser {
            server.psql(database, statement);
            let taken_back = || settled.world.run_on(&["apply", "--refresh"]).exits(0);
            match server.admin() {
                Admin::Superuser => {
                    settled.world.run_on(&["plan", "--refresh"]).exits(0).says("# it was owned by postgres").says(what);
                    taken_back();
                }
                Admin::Plain => {
                    settled.world.run_on(&["plan", "--refresh", "--exit-code"]).exits(4).tells("is owned by `postgres`");
                    let refused = settled.world.run_on(&["apply", "--refresh"]).exits(4).tells("is owned by `postgres`");
                    let (_, told) = refused.stderr.split_once("hint: as a superuser run: ").unwrap();
                    server.psql("cafe", told.lines().next().unwrap());
                    taken_back();
                }
            }
            settled.is_as_declared();
        }
    }

    fn a_setting_that_the_estate_can_not_take_away_keeps_nothing_else_from_being_healed(server: TestServer) {
        let settled = Settled::on(&server);
        let by_tenant = "SELECT similarity('a', 'b'); SET ROLE NONE; ALTER ROLE cafe_a SET pg_trgm.similarity_threshold = 0.9";
        query(&server, &settled.credential, by_tenant).unwrap();
        server.psql("postgres", "ALTER ROLE cafe_a IN DATABASE cafe SET log_statement = 'all'");
        server.psql("postgres", "GRANT CONNECT ON DATABASE cafe TO PUBLIC; ALTER ROLE cafe_a IN DATABASE erp SET role = 'none'");
        let looked = settled.world.run_on(&["plan", "--exit-code"]).exits(3).says("closed to PUBLIC");
        let done = settled.world.run_on(&["apply"]).exits(0).says("closed to PUBLIC").says("login cafe_a: role unset in database erp");
        match server.admin() {
            Admin::Superuser => {
                looked.says("login cafe_a: log_statement unset in database cafe").says("login cafe_a: pg_trgm.similarity_threshold unset");
            }
            Admin::Plain => {
                for run in [looked, done] {
                    let statements: Vec<&str> = run.stderr.lines().filter_map(|line| line.split_once("as a superuser run: ")).map(|(_, sql)| sql).collect();
                    assert_eq!(statements.len(), 2, "{}", run.stderr);
                    for statement in statements {
                        server.psql("postgres", statement);
                    }
                }
                assert!(!settled.world.run_on(&["plan"]).stderr.contains("SettingStays"));
            }
        }
        settled.is_as_declared();
    }

    fn powers_that_only_a_superuser_can_take_away_are_said_or_taken(server: TestServer) {
        let settled = Settled::on(&server);
        for power in ["SUPERUSER", "REPLICATION", "BYPASSRLS"] {
            for role in ["cafe", "cafe_b"] {
                server.psql("postgres", &format!("ALTER ROLE {role} {power} CREATEDB"));
                match server.admin() {
                    Admin::Superuser => {
                        let planned = settled.world.run_on(&["plan", "--exit-code"]).exits(3);
                        planned.says(&format!("role {role}: no ")).says(power);
                        settled.world.run_on(&["apply"]).exits(0);
                    }
                    Admin::Plain => {
                        let refused = settled.world.run_on(&["apply"]).exits(4).tells(&format!("role `{role}` is ")).tells(power);
                        let (_, statement) = refused.stderr.split_once("as a superuser run: ").unwrap();
                        server.psql("postgres", statement.lines().next().unwrap());
                    }
                }
                settled.is_as_declared();
            }
        }
    }

    fn whom_somebody_let_in_by_hand_is_put_out_with_consent_only(server: TestServer) {
        let settled = Settled::on(&server);
        let quiet = settled.world.run_on(&["plan"]).exits(0);
        assert!(!quiet.stderr.contains("default/"), "{}", quiet.stderr);
        server.psql("postgres", "CREATE ROLE grafana LOGIN PASSWORD 'g'; CREATE ROLE bob; CREATE ROLE carol");
        server.psql("postgres", "GRANT CONNECT ON DATABASE cafe TO grafana; GRANT ALL ON DATABASE cafe TO bob WITH GRANT OPTION");
        server.psql("postgres", "SET ROLE bob; GRANT CREATE ON DATABASE cafe TO carol");
        server.psql("postgres", "GRANT cafe TO grafana; GRANT erp TO cafe_b");

        let planned = settled.world.run_on(&["plan", "--exit-code"]).exits(3);
        planned.says("database cafe: no longer open to bob, carol, grafana").says("[disruptive]").tells("default/erp: OthersHaveAccess: cafe_b is a member of erp");
        settled.world.run_on(&["apply"]).exits(4).tells("default/cafe: needs consent: database cafe: no longer open to bob, carol, grafana");
        server.psql_as("grafana", "g", "cafe", "SELECT 1").expect("it stays without consent");

        let done = settled.world.run_on(&["apply", "--yes"]).exits(0);
        if server.admin() == Admin::Plain && server.major() >= 16 {
            let told = done.stderr.lines().filter_map(|line| line.split_once("as a superuser run: ")).map(|(_, sql)| sql);
            let told: Vec<String> = told.map(|sql| sql.split(['(', ')']).next().unwrap().to_owned()).collect();
            assert_eq!(told.len(), 2, "{}", done.stderr);
            for statement in told {
                server.psql("postgres", &statement);
            }
        }
        server.psql_as("grafana", "g", "cafe", "SELECT 1").expect_err("it is out");
        let acl = "SELECT count(*) FROM pg_database, aclexplode(datacl) a WHERE datname = 'cafe' AND a.grantee::regrole::text IN ('bob', 'carol', 'grafana')";
        assert_eq!(server.psql("postgres", acl), "0");
        settled.is_as_declared();
        let quiet = settled.world.run_on(&["plan"]).exits(0);
        assert!(!quiet.stderr.contains("default/"), "{}", quiet.stderr);
    }

    fn texts_in_no_encoding_or_another_one_disturb_nobody(server: TestServer) {
        let settled = Settled::on(&server);
        server.psql("postgres", "CREATE DATABASE raw TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'");
        server.psql("raw", "ALTER ROLE cafe_a SET application_name = E'\\xff\\xfe'");
        server.psql("raw", "DO $$ BEGIN EXECUTE format('CREATE ROLE %I', E'M\\xfcller'); EXECUTE format('CREATE SCHEMA %I', E'\\xfc'); END $$");
        server.psql("raw", "COMMENT ON DATABASE raw IS E'\\xfc'");
        settled.world.run_on(&["status"]).exits(0).says("Drifted (1 change)");
        settled.world.run_on(&["apply"]).exits(0).says("login cafe_a: application_name unset  # it was \u{fffd}\u{fffd}, which is not declared");
        settled.is_as_declared();

        // A server whose administrator works in a database without an encoding sees the same.
        let declared = std::fs::read_to_string(settled.world.folder().join("server.yaml")).unwrap();
        settled.world.write("server.yaml", &declared.replace("username:", "maintenanceDatabase: raw, username:"));
        server.psql("postgres", "ALTER DATABASE raw OWNER TO postgres; GRANT CONNECT ON DATABASE raw TO PUBLIC");
        server.psql("raw", "ALTER ROLE cafe_a SET application_name = E'\\xff\\xfe'");
        settled.world.run_on(&["apply"]).exits(0).says("application_name unset");
        settled.is_as_declared();
    }

    fn one_database_that_keeps_the_administrator_out_does_not_stop_the_others(server: TestServer) {
        let settled = Settled::on(&server);
        server.psql("postgres", "ALTER DATABASE cafe OWNER TO erp; REVOKE ALL ON DATABASE cafe FROM erp");
        server.psql("postgres", "COMMENT ON DATABASE erp IS NULL; ALTER ROLE erp_a SET work_mem = '1MB'");
        let looked = settled.world.run_on(&["plan", "--refresh", "--exit-code"]);
        let looked = looked.exits(if server.admin() == Admin::Plain { 4 } else { 3 });
        looked.says("database cafe: owned by tenantdb_owner").says("login erp_a: work_mem unset");
        settled.world.run_on(&["apply", "--refresh", "--yes"]);
        settled.world.run_on(&["apply", "--refresh"]).exits(0);
        settled.is_as_declared();
    }
}
