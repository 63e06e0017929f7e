//! What a declaration can ask for beyond a plain database.

use std::fs;

use tenantdb_testkit::{TestServer, on_every_server, on_servers};

use crate::world::{World, query, tenant};

/// Adds a line to the `spec` of the server's declaration.
fn server_with(world: &World, line: &str) {
    let path = world.folder().join("server.yaml");
    let declared = fs::read_to_string(&path).unwrap();
    let (field, _) = line.split_once(':').unwrap();
    let others = declared.lines().filter(|line| !line.trim_start().starts_with(field));
    let plain = others.collect::<Vec<_>>().join("\n");
    fs::write(path, format!("{plain}\n  {line}\n")).unwrap();
}

on_every_server! {
    fn a_database_is_made_with_the_encoding_and_locale_that_are_declared(server: TestServer) {
        let world = World::on(&server);
        let declared = tenant("latin", "{create: {encoding: LATIN1, locale: C}}")
            + &tenant("german", "{create: {icuLocale: de, locale: C.UTF-8}}")
            + &tenant("plain", "{create: {}}");
        world.plan(&declared).exits(3).says("database latin, LATIN1, locale C").says("ICU locale de");
        world.apply(&declared).exits(0);
        let how = "SELECT pg_encoding_to_char(encoding), datcollate, datlocprovider FROM pg_database WHERE datname = ";
        assert_eq!(server.psql("postgres", &format!("{how}'latin'")), "LATIN1|C|c");
        assert_eq!(server.psql("postgres", &format!("{how}'german'")), "UTF8|C.UTF-8|i");
        assert_eq!(query(&server, &world.delivered("german"), "SELECT 'ä' < 'b'").unwrap(), "t");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn how_a_database_was_made_is_told_when_it_is_declared_otherwise(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        let later = world.plan(&tenant("cafe", "{create: {encoding: LATIN1, locale: C}}")).exits(0);
        later.tells("MadeOtherwise").tells("encoding UTF8, not LATIN1");
        // The same by another spelling is the same.
        let same = world.plan(&tenant("cafe", "{create: {encoding: utf-8}}")).exits(0);
        assert!(!same.stderr.contains("MadeOtherwise"), "{}", same.stderr);
    }

    fn a_template_is_copied_and_a_tenants_database_never(server: TestServer) {
        let world = World::on(&server);
        server.psql("postgres", "CREATE DATABASE seed");
        server.psql("seed", "CREATE TABLE countries (name text); GRANT SELECT ON countries TO PUBLIC");
        let declared = tenant("cafe", "{create: {template: seed}}");
        world.plan(&declared).exits(4).tells("database `seed` can't be copied: it is no template");
        server.psql("postgres", "ALTER DATABASE seed IS_TEMPLATE true");
        world.apply(&declared).exits(0);
        let cafe = world.delivered("cafe");
        assert_eq!(query(&server, &cafe, "SELECT count(*) FROM countries").unwrap(), "0");
        query(&server, &cafe, "CREATE TABLE lines (item text)").unwrap();
        // Not even one that its owner could mark.
        server.psql("postgres", "ALTER DATABASE cafe IS_TEMPLATE true");
        let thief = declared.clone() + &tenant("thief", "{create: {template: cafe}}");
        world.apply(&thief).exits(4).tells("database `cafe` is never copied");
        // Nor one that was renamed, or left behind, nor the ledger.
        server.psql("postgres", "ALTER DATABASE tenantdb IS_TEMPLATE true; ALTER DATABASE cafe RENAME TO caffe");
        for template in ["tenantdb", "caffe"] {
            let thief = tenant("thief", &format!("{{create: {{template: {template}}}}}"));
            let refused = world.untouched(&server, || world.apply(&thief));
            refused.exits(4).tells(&format!("database `{template}` is never copied"));
        }
        server.psql("postgres", "ALTER DATABASE caffe RENAME TO cafe");
        let typo = declared + &tenant("erp", "{create: {template: sead}}");
        world.apply(&typo).exits(4).tells("the server has no template `sead`").tells("did you mean `seed`?");
    }

    fn what_is_only_observed_is_told_and_left_alone(server: TestServer) {
        let world = World::on(&server);
        let observed = tenant("cafe", "{connectionLimit: 5, reconcile: Observe}");
        let run = world.untouched(&server, || world.apply(&observed)).exits(0);
        let run = run.tells("Missing: it is not there, and `reconcile: Observe` leaves it so: database cafe");
        run.says("1 only observed, and not as declared.");
        world.apply(&tenant("cafe", "{connectionLimit: 5}")).exits(0);
        world.plan(&observed).exits(0).says("No changes");
        server.psql("postgres", "ALTER ROLE cafe_a CONNECTION LIMIT 9");
        let run = world.untouched(&server, || world.apply(&observed)).exits(0);
        world.run_on(&["plan", "--exit-code"]).exits(0).says("Plan: 1 only observed, and not as declared.");
        run.says("1 only observed, and not as declared.").tells("Drifted: it is not as declared").tells("login cafe_a: at most 5 sessions");
        world.run_on(&["status"]).exits(0).says("Drifted");
        world.apply(&tenant("cafe", "{connectionLimit: 5}")).exits(0).says("1 changed");
    }

    fn what_is_paused_is_not_looked_at(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        server.psql("postgres", "ALTER ROLE cafe_a CONNECTION LIMIT 9; ALTER ROLE cafe_b SET work_mem = '1GB'");
        world.lose("cafe");
        let paused = tenant("cafe", "{reconcile: Paused, connectionLimit: 5}") + &tenant("erp", "{}");
        world.apply(&paused).exits(0).tells("default/cafe: Paused").says("1 created, 1 paused.");
        assert!(!world.credential_path("default", "cafe-secret").exists());
        world.run_on(&["status"]).exits(0).says("Paused");
        world.run(&["delete", "cafe"]).exits(4).tells("protected");
    }

    fn other_logins_keep_connect_as_long_as_the_server_names_them(server: TestServer) {
        let world = World::on(&server);
        server.psql("postgres", "CREATE ROLE metabase LOGIN PASSWORD 'm'; CREATE ROLE exporter LOGIN PASSWORD 'e'");
        let both = tenant("cafe", "{}") + &tenant("erp", "{}");
        let connects = |login: &str, database: &str| server.psql_as(login, &login[..1], database, "SELECT 1").is_ok();
        world.apply(&both).exits(0);
        assert!(!connects("metabase", "cafe"));
        server_with(&world, "connectFor: [metabase, exporter, nobody, erp_a]");
        let applied = world.apply(&both).exits(0).says("the server's `connectFor` names it").says("2 changed");
        applied.tells("ConnectForUnusable").tells("`nobody` is no role of this server").tells("`erp_a` is a tenant's role");
        assert!(connects("metabase", "cafe") && connects("exporter", "erp"));
        let erp = world.delivered("erp");
        assert!(server.psql_as("erp_a", &erp["password"], "cafe", "SELECT 1").is_err());
        assert!(server.psql_as("metabase", "m", "cafe", "CREATE TEMPORARY TABLE x ()").is_err());
        world.plan(&both).exits(0).says("No changes");
        server.psql("postgres", "REVOKE CONNECT ON DATABASE cafe FROM metabase");
        world.apply(&both).exits(0).says("database cafe: open to metabase");
        server_with(&world, "connectFor: [exporter]");
        let refused = world.apply(&both).exits(4).tells("needs consent: database cafe: no longer open to metabase");
        assert!(refused.stdout.contains("2 refused") && connects("metabase", "cafe"), "{}", refused.stdout);
        world.run_on(&["apply", "--yes"]).exits(0).says("- database erp: no longer open to metabase");
        assert!(!connects("metabase", "cafe") && connects("exporter", "cafe"));
        world.plan(&both).exits(0).says("No changes");
    }
}

on_servers! {
    [15 Plain, 18 Plain]

    fn applications_are_told_what_the_server_publishes(server: TestServer) {
        let world = World::on(&server);
        let cafe = tenant("cafe", "{credentials: {keys: {MIGRATE_URL: \"{uri_direct}\"}}}");
        world.plan(&cafe).exits(2).tells("`MIGRATE_URL` needs {uri_direct}, and its server has no `publish.direct`");
        let port = server.port();
        server_with(&world, &format!("publish: {{host: localhost, direct: {{host: 127.0.0.1, port: {port}}}}}"));
        let applied = world.apply(&cafe).exits(0);
        assert!(!applied.stderr.contains("EndpointUnproved"), "{}", applied.stderr);
        let first = world.delivered("cafe");
        assert_eq!(first["host"], "localhost");
        assert!(first["uri"].contains(&format!("@localhost:{port}/cafe")), "{}", first["uri"]);
        assert!(first["MIGRATE_URL"].contains(&format!("@127.0.0.1:{port}/cafe")), "{}", first["MIGRATE_URL"]);
        assert_eq!(first["uri_direct"], first["MIGRATE_URL"]);
        world.run(&["connect", "cafe", "--", "-c", "SELECT 1"]).exits(0);
        // Another address is written into the same credential.
        server_with(&world, &format!("publish: {{direct: {{host: localhost, port: {port}}}, parameters: {{sslmode: prefer}}}}"));
        world.apply(&cafe).exits(0).says("its keys or its address changed");
        let second = world.delivered("cafe");
        assert_eq!((&second["host"], &second["password"]), (&"127.0.0.1".to_owned(), &first["password"]));
        assert_eq!(second["generation"], first["generation"]);
        assert!(second["uri"].ends_with("?sslmode=prefer"), "{}", second["uri"]);
    }

    fn an_endpoint_that_can_not_be_reached_is_told_and_waited_for_once(server: TestServer) {
        let world = World::on(&server);
        server_with(&world, "publish: {readOnly: {host: 127.0.0.1, port: 1}}");
        let applied = world.apply(&(tenant("cafe", "{}") + &tenant("erp", "{}"))).exits(0).says("2 created");
        let told = applied.stderr.matches("EndpointUnproved: it could not be tried at 127.0.0.1:1").count();
        assert_eq!(told, 2, "{}", applied.stderr);
        assert!(world.delivered("cafe")["uri_ro"].contains("@127.0.0.1:1/cafe"));
    }

    fn an_endpoint_that_refuses_the_login_keeps_it_from_being_delivered(server: TestServer) {
        let another = TestServer::start(server.major(), server.admin());
        let world = World::on(&server);
        server_with(&world, &format!("publish: {{port: {}}}", another.port()));
        let applied = world.apply(&tenant("cafe", "{}")).exits(1);
        applied.tells(&format!("at 127.0.0.1:{}", another.port())).tells("see that `publish` names the same server");
        assert!(!world.credential_path("default", "cafe-secret").exists());
        server_with(&world, &format!("publish: {{port: {}}}", server.port()));
        world.apply(&tenant("cafe", "{}")).exits(0);
        assert_eq!(query(&server, &world.delivered("cafe"), "SELECT 1").unwrap(), "1");
    }
}

on_servers! {
    [14]

    fn an_icu_locale_is_refused_where_there_is_none(server: TestServer) {
        let world = World::on(&server);
        let declared = tenant("german", "{create: {icuLocale: de}}") + &tenant("latin", "{create: {encoding: LATIN1, locale: C}}");
        world.apply(&declared).exits(4).tells("`create.icuLocale` needs PostgreSQL 15, and this is 14").says("1 created");
        let how = "SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = 'latin'";
        assert_eq!(server.psql("postgres", how), "LATIN1|C");
    }
}
