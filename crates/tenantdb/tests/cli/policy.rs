//! What the platform allows a namespace to ask for, on the command line with `--enforce-policy`.

use std::fs;

use tenantdb_testkit::{TestServer, on_every_server, on_servers};

use crate::access::role;
use crate::world::{World, tenant, tenant_in};

/// The server's declaration, with what it allows.
fn allowing(world: &World, allow: &str) {
    let path = world.folder().join("server.yaml");
    let declared = fs::read_to_string(&path).unwrap();
    let others = declared.lines().filter(|line| !line.trim_start().starts_with("allow:"));
    let plain = others.collect::<Vec<_>>().join("\n");
    fs::write(path, format!("{plain}\n  allow: {allow}\n")).unwrap();
}

const ENFORCED: [&str; 2] = ["apply", "--enforce-policy"];

on_every_server! {
    fn what_is_not_allowed_refuses_its_tenant_and_no_other(server: TestServer) {
        let world = World::on(&server);
        world.write("seed.sql", "SELECT 1");
        let asking = tenant("cafe", "{database: mine, settings: {timezone: UTC}, init: [{file: seed.sql}]}");
        world.declare(&(asking + &tenant("erp", "{settings: {work_mem: 8MB}, extensions: [pg_trgm]}")));
        let told = world.run_on(&["plan", "--enforce-policy", "--exit-code"]).exits(4).says("1 refused").says("1 to create");
        let told = told.tells("spec.database (tenants.yaml:5:18): `mine` is not allowed: `allow.names` is Naming");
        let told = told.tells("spec.settings.timezone (tenants.yaml:5:35): setting `timezone` is not allowed: `allow.settings` is [statement_timeout, lock_timeout, ");
        told.tells("spec.init (tenants.yaml:5:").tells("a script is not allowed: `allow.init` is false").tells("hint: leave `database` out");
        world.run_on(&["plan", "--enforce-policy"]).exits(0);
        world.run_on(&ENFORCED).exits(4).says("1 created, 1 refused");
        assert_eq!(server.psql("postgres", "SELECT string_agg(datname, ' ') FROM pg_database WHERE datname IN ('mine', 'erp')"), "erp");

        allowing(&world, "{names: \"m*\", settings: [timezone, work_mem], init: true}");
        world.run_on(&ENFORCED).exits(0).says("1 created, 1 unchanged");
        // Whoever holds the administrator's password is the platform.
        allowing(&world, "{settings: [], init: false, extensions: []}");
        world.run_on(&["apply"]).exits(0);
        world.run_on(&ENFORCED).exits(4).says("2 refused");
    }

    fn untrusted_extensions_and_shared_roles_are_the_platforms_to_allow(server: TestServer) {
        let world = World::on(&server);
        let admin = server.admin_username();
        server.psql("postgres", &format!("CREATE ROLE readers; GRANT readers TO {admin} WITH ADMIN OPTION"));
        world.declare(&tenant("cafe", "{extensions: [pg_trgm, dblink], memberOf: [readers]}"));
        let refused = world.untouched(&server, || world.run_on(&ENFORCED)).exits(4);
        let refused = refused.tells("spec.extensions[1] (tenants.yaml:5:").tells("extension `dblink` is not allowed: `allow.extensions` is Trusted");
        refused.tells("spec.memberOf[0] (tenants.yaml:5:").tells("role `readers` is not allowed: `allow.memberOf` is []");
        // What is refused whoever asks stays refused.
        allowing(&world, "{extensions: [pg_trgm], memberOf: [pg_monitor]}");
        world.declare(&tenant("cafe", "{memberOf: [pg_monitor]}"));
        world.run_on(&ENFORCED).exits(4).tells("no tenant may join `pg_monitor`");
        allowing(&world, "{extensions: [pg_trgm], memberOf: [readers]}");
        world.declare(&tenant("cafe", "{extensions: [pg_trgm], memberOf: [readers]}"));
        world.run_on(&ENFORCED).exits(0);
    }

    fn a_role_without_a_database_asks_for_no_more_than_a_database_may(server: TestServer) {
        let world = World::on(&server);
        let declared = tenant("cafe", "{access: [{role: default/grafana, level: ReadOnly}]}")
            + &role("grafana", "{memberOf: [pg_monitor], databases: [{name: cafe, level: ReadOnly}]}");
        let refused = world.declare(&declared).run_on(&ENFORCED).exits(4).says("1 created, 1 refused");
        refused.tells("spec.memberOf[0] (tenants.yaml:10:").tells("role `pg_monitor` is not allowed: `allow.memberOf` is []");
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname ~ '^grafana'"), "0");

        // A role counts as no database.
        allowing(&world, "{perNamespace: 2}");
        world.declare(&declared.replace("memberOf: [pg_monitor], ", "")).run_on(&ENFORCED).exits(0);
        world.declare(&(declared.replace("memberOf: [pg_monitor], ", "") + &tenant("erp", "{}"))).run_on(&ENFORCED).exits(0);
    }
}

on_servers! {
    [15 Plain, 18 Plain]

    fn namespaces_their_number_of_databases_and_protection_are_limited(server: TestServer) {
        let world = World::on(&server);
        allowing(&world, "{namespaces: {names: [cafe]}, perNamespace: 1, unprotected: true, connectionLimit: 5}");
        let limited = "{connectionLimit: 5}";
        world.declare(&(tenant_in("cafe", "one", "{connectionLimit: 5, deletionProtection: false}") + &tenant_in("erp", "two", limited) + &tenant_in("cafe", "three", limited)));
        let refused = world.run_on(&ENFORCED).exits(4).says("1 created, 2 refused");
        let refused = refused.tells("namespace `erp` is not allowed: `allow.namespaces.names` is [cafe]");
        refused.tells("another database for namespace `cafe`, which has 1, is not allowed: `allow.perNamespace` is 1");
        world.declare(&tenant_in("cafe", "one", "{deletionProtection: false}"));
        world.run_on(&ENFORCED).exits(4).tells("any number of sessions is not allowed: `allow.connectionLimit` is 5");
        world.declare(&tenant_in("cafe", "one", limited));
        world.run_on(&ENFORCED).exits(0);
        world.declare(&tenant_in("cafe", "one", "{connectionLimit: 5, deletionProtection: false}"));
        let refused = world.run_on(&ENFORCED).exits(4);
        refused.tells("the protection of a database that is there is not the namespace's to take away");
    }

    fn what_only_a_cluster_knows_is_said(server: TestServer) {
        let world = World::on(&server);
        allowing(&world, "{namespaces: {selector: {matchLabels: {team: shop}}}}");
        world.declare(&tenant("cafe", "{}"));
        let told = world.run_on(&ENFORCED).exits(0);
        told.tells("which namespaces `allow.namespaces.selector` selects is only known in a cluster");
        assert!(!world.run_on(&["apply"]).exits(0).stderr.contains("selector"));
    }
}
