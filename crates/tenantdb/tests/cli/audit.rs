//! The audit trail: whatever was done to a database, by whichever command, is in its history.

use serde_json::Value;
use tenantdb_testkit::{TestServer, on_every_server};

use crate::world::{World, tenant, tenant_in};

const SHARED: &str = "{deletionProtection: false, access: [{name: reporting, level: ReadOnly}]}";

/// What was done to a database, from the oldest on, each with who did it.
fn history(world: &World, arguments: &[&str]) -> Vec<String> {
    let told = world.run(&[&["history", "-o", "json"], arguments].concat()).exits(0);
    let found: Value = serde_json::from_str(&told.stdout).unwrap();
    let entry = |entry: &Value| {
        let by = entry["by"].as_str().unwrap();
        let account = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).unwrap().unwrap();
        assert!(by.starts_with(&format!("tenantdb {}:", account.name)) && by.contains('@'), "{by}");
        let access = entry["access"].as_str().map_or_else(String::new, |access| format!("{access}: "));
        format!("{access}{}", entry["action"].as_str().unwrap())
    };
    found["entries"].as_array().unwrap().iter().map(entry).collect()
}

/// Each of these begins an entry, in this order; others may stand between them.
#[track_caller]
fn tells(entries: &[String], expected: &[&str]) {
    let mut rest = entries.iter();
    for begin in expected {
        assert!(rest.any(|entry| entry.starts_with(begin)), "no `{begin}` where it should be in {entries:#?}");
    }
}

on_every_server! {
    fn every_command_leaves_what_it_did(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{deletionProtection: false}")).exits(0);
        world.apply(&tenant("cafe", "{deletionProtection: false, connectionLimit: 5}")).exits(0);
        server.psql("postgres", "ALTER ROLE cafe_b CONNECTION LIMIT 3");
        world.run_on(&["apply"]).exits(0);
        server.psql("postgres", "CREATE ROLE somebody LOGIN; GRANT CONNECT ON DATABASE cafe TO somebody");
        world.run_on(&["apply", "--yes"]).exits(0);
        world.apply(&tenant("cafe", SHARED)).exits(0);
        world.declare(&tenant("cafe", "{deletionProtection: false}")).run_on(&["apply", "--yes"]).exits(0);
        world.run(&["delete", "cafe"]).exits(0);
        world.run_on(&["apply"]).exits(0);
        world.run(&["delete", "cafe"]).exits(0);
        let taker = tenant_in("shop", "orders", "{database: cafe, adopt: Existing, deletionProtection: false}");
        world.declare(&taker).run_on(&["apply", "--yes"]).exits(0);
        world.run_on(&["delete"]).exits(0);
        world.run(&["orphans", "--purge", "orders", "-n", "shop", "--yes"]).exits(0);

        let of_cafe = [
            "deliver generation 1",
            "create",
            "update: login cafe_a: at most 5 sessions",
            "update: login cafe_b: at most 5 sessions",
            "update: database cafe: no longer open to somebody",
            "update: login cafe_a: any number of sessions",
            "reporting: create",
            "reporting: begin to delete",
            "reporting: delete",
            "orphan",
            "take back",
            "orphan",
            "end logins cafe_a",
            "taken over by TenantDatabase shop/orders",
        ];
        tells(&history(&world, &["cafe"]), &of_cafe);
        let of_orders = ["take over from TenantDatabase default/cafe", "deliver generation 2", "update", "orphan", "begin to purge", "delete"];
        tells(&history(&world, &["orders", "-n", "shop"]), &of_orders);
    }

    fn an_adoption_and_the_end_of_the_earlier_login_are_in_it(server: TestServer) {
        let world = World::on(&server);
        let admin = server.admin_username();
        server.psql("postgres", &format!("CREATE ROLE cafe LOGIN PASSWORD 'mine'; GRANT cafe TO {admin} WITH ADMIN OPTION"));
        server.psql("postgres", "CREATE DATABASE cafe OWNER cafe");
        world.apply(&tenant("cafe", "{adopt: Existing}"));
        world.run_on(&["apply", "--yes"]).exits(0);
        world.run(&["rotate", "cafe", "--retire", "--yes"]).exits(0);
        let expected = ["begin to adopt database cafe from cafe", "deliver generation 1", "adopt: database cafe", "retire login cafe"];
        tells(&history(&world, &["cafe"]), &expected);
    }
}
