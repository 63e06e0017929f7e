//! The way through: declared, applied, used, applied again.

use tenantdb_testkit::{TestServer, on_every_server};

use crate::world::{World, query, tenant};

on_every_server! {
    fn a_declared_database_is_made_and_its_credential_works(server: TestServer) {
        let world = World::on(&server);
        let declared = tenant("cafe", "{comment: Orders, connectionLimit: 20, schemas: [app], extensions: [pg_trgm], settings: {statement_timeout: 30s}}");
        world.apply(&declared).exits(0).says("+ default/cafe created").says("1 created");
        let credential = world.credential("default", "cafe-secret");
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
