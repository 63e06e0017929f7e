//! A database that somebody else made becomes a tenant's: whoever works with it goes on, and whoever only could come in is
//! named first.

mod writer;

use tenantdb_testkit::{Admin, TestServer, on_every_server};

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
            let new = world.credential("default", &format!("{service}-secret"));
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
