//! The way through: declared, applied, used, applied again.

use tenantdb_testkit::{Admin, TestServer, on_every_server, on_servers};

use crate::world::{World, query, tenant};

on_servers! {
    [14, 17]

    fn the_way_of_a_tenant_on_the_other_versions(server: TestServer) {
        let world = World::on(&server);
        let spec = "{connectionLimit: 5, comment: Orders, settings: {work_mem: 8MB}, schemas: [app], extensions: [pg_trgm], \
                    deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}";
        let both = tenant("cafe", spec) + &tenant("erp", "{}");
        world.plan(&both).exits(3).says("Plan: 2 to create.");
        world.apply(&both).exits(0).says("2 created");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0).says("No changes");
        let (cafe, erp) = (world.delivered("cafe"), world.delivered("erp"));
        for schema in ["public", "app"] {
            query(&server, &cafe, &format!("CREATE TABLE {schema}.lines (item text)")).unwrap();
        }
        let astray = server.psql_as(&erp["username"], &erp["password"], "cafe", "SELECT 1");
        assert!(astray.unwrap_err().contains("permission denied for database"));
        // Before 15 only a superuser can give `public` away.
        let shared = server.major() == 14 && server.admin() == Admin::Plain;
        let owner = server.psql("cafe", "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'public'");
        assert_eq!(owner, if shared { "postgres" } else { "cafe" });
        let looked = world.run_on(&["plan", "--refresh"]);
        assert_eq!(looked.stderr.contains("PublicSchemaShared"), shared, "{}", looked.stderr);
        world.run(&["delete", "cafe", "--yes"]).exits(0);
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'cafe%'"), "0");
    }
}

on_every_server! {
    fn a_declared_database_is_made_and_its_credential_works(server: TestServer) {
        let world = World::on(&server);
        let declared = tenant("cafe", "{comment: Orders, connectionLimit: 20, schemas: [app], extensions: [pg_trgm], settings: {statement_timeout: 30s}}");
        world.apply(&declared).exits(0).says("+ default/cafe created").says("1 created");
        let credential = world.delivered("cafe");
        assert_eq!(query(&server, &credential, "SELECT current_user || ' ' || session_user").unwrap(), "cafe cafe_a");
        query(&server, &credential, "CREATE TABLE app.orders (id int); CREATE TABLE lines (id int)").unwrap();
        let owners = "SELECT string_agg(DISTINCT tableowner, ',') FROM pg_tables WHERE tablename IN ('orders', 'lines')";
        assert_eq!(query(&server, &credential, owners).unwrap(), "cafe");
        assert_eq!(query(&server, &credential, "SHOW statement_timeout").unwrap(), "30s");
        assert_eq!(query(&server, &credential, "SELECT similarity('cafe', 'cafes') > 0.5").unwrap(), "t");
    }

    fn a_second_apply_changes_nothing_and_says_so(server: TestServer) {
        let world = World::on(&server);
        let declared = tenant("cafe", "{}") + &tenant("erp", "{connectionLimit: 5}");
        world.plan(&declared).exits(3).says("Plan: 2 to create.");
        world.apply(&declared).exits(0).says("2 created");
        world.apply(&declared).exits(0).says("Nothing to do: 2 databases are as declared.");
        world.plan(&declared).exits(0).says("No changes: 2 databases are as declared.");
    }
}
