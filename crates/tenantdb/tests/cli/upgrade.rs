//! What an earlier tenantdb left is read as it is, and brought up to date by the first change.

use tenantdb_testkit::{TestServer, on_servers};

use crate::world::{World, query, tenant};

/// The tables of version 1, as they were made then.
const FIRST: &str = include_str!("fixtures/ledger-1.sql");

/// Gives the ledger the tables that it had in version 1, with all that it holds.
pub fn make_earlier(server: &TestServer) {
    let tables = [
        (
            "tenant",
            "id, authority, kind, namespace, name, access, database_name, database_oid, adopted, phase, orphaned_at, applied, epoch, created_at",
        ),
        ("role", "*"),
        ("delivery", "*"),
        ("script", "*"),
        ("sighting", "*"),
        ("audit", "*"),
    ];
    let kept = tables.map(|(table, columns)| {
        let names = if columns == "*" { String::new() } else { format!(" ({columns})") };
        format!("INSERT INTO ledger.{table}{names} OVERRIDING SYSTEM VALUE SELECT {columns} FROM later.{table}")
    });
    let numbered = ["tenant", "audit"].map(|table| {
        let sequence = format!("pg_get_serial_sequence('ledger.{table}', 'id')");
        format!("SELECT setval({sequence}, coalesce(max(id), 1)) FROM ledger.{table}")
    });
    server.psql(
        "tenantdb",
        &format!(
            "BEGIN; SET LOCAL ROLE tenantdb_owner; ALTER SCHEMA ledger RENAME TO later; {FIRST}; {}; {}; \
             UPDATE ledger.server SET id = (SELECT id FROM later.server); DROP SCHEMA later CASCADE; COMMIT",
            kept.join("; "),
            numbered.join("; ")
        ),
    );
    assert_eq!(version(server), "1");
}

fn version(server: &TestServer) -> String {
    server.psql("tenantdb", "SELECT version FROM ledger.server")
}

on_servers! {
    [15 Plain, 18 Superuser]

    fn the_ledger_of_an_earlier_version_is_brought_up_to_date_by_the_first_change(server: TestServer) {
        let world = World::on(&server);
        let spec = "{schemas: [app], access: [{name: reporting, level: ReadOnly}]}";
        world.apply(&(tenant("cafe", spec) + &tenant("blog", "{}"))).exits(0);
        let before = world.delivered("cafe");
        make_earlier(&server);
        // Nothing is touched before there is something to do.
        world.run_on(&["plan", "--exit-code"]).exits(0);
        world.run_on(&["apply"]).exits(0);
        world.run(&["status", "cafe"]).exits(0).says("cafe");
        world.run(&["history", "cafe"]).exits(0).says("create");
        assert_eq!(version(&server), "1");

        world.apply(&(tenant("cafe", &spec.replacen('{', "{comment: Meals, ", 1)) + &tenant("blog", "{}"))).exits(0);
        assert_eq!(version(&server), "2");
        assert_eq!(world.delivered("cafe"), before);
        assert_eq!(query(&server, &before, "SELECT current_user"), Ok("cafe".to_owned()));
        world.run_on(&["plan", "--exit-code"]).exits(0);
    }
}
