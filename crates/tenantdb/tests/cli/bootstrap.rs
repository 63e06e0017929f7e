//! A server made ready with one login of a superuser, which nobody needs afterwards.

use tenantdb_testkit::{ADMIN_PASSWORD_VARIABLE, TestServer, on_servers};

use crate::world::{Run, World, query, server_yaml, tenant};

const PASSWORD: &str = "an-administrator-of-its-own";

/// A world that declares `admin_user` for a server on which there is only a superuser.
fn world(server: &TestServer) -> World {
    let mut world = World::on(server);
    world.set(ADMIN_PASSWORD_VARIABLE, PASSWORD);
    world.set("PGPASSWORD", server.superuser_password());
    let declared = server_yaml(server).replace("username: postgres", "username: admin_user");
    world.write("server.yaml", &format!("{declared}  connectFor: [metabase]\n"));
    world
}

fn bootstrap(world: &World, options: &[&str]) -> Run {
    world.run(&[&["server", "bootstrap", "shared", "-f", "server.yaml"], options].concat())
}

const WHO: &str =
    "SELECT rolname, rolsuper, rolcanlogin, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = 'admin_user'";

on_servers! {
    [14 Superuser, 15 Superuser, 16 Superuser, 18 Superuser]

    fn a_server_with_nothing_but_a_superuser_is_made_ready(server: TestServer) {
        let world = world(&server);
        server.psql("postgres", "CREATE ROLE old_app LOGIN PASSWORD 'old'");
        server.psql("postgres", "CREATE ROLE metabase LOGIN PASSWORD 'meta'");
        let shown = world.untouched(&server, || bootstrap(&world, &[])).exits(4);
        let shown = shown.says("+ login admin_user, the administrator, CREATEDB CREATEROLE");
        let shown = shown.says("~ database postgres: open to admin_user, metabase");
        shown.says("~ database postgres: closed to PUBLIC, and so to old_app").tells("needs consent").tells("--yes");

        bootstrap(&world, &["--yes"]).exits(0).says("shared is ready: admin_user administers it");
        assert_eq!(server.psql("postgres", WHO), "admin_user|f|t|t|t");
        for (login, password, comes_in) in [("old_app", "old", false), ("metabase", "meta", true), ("admin_user", PASSWORD, true)] {
            let came_in = server.psql_as(login, password, "postgres", "SELECT 1");
            assert_eq!(came_in.is_ok(), comes_in, "{login}: {came_in:?}");
        }
        assert!(!server.log().contains(PASSWORD), "the server was shown a password");
        world.untouched(&server, || bootstrap(&world, &[])).exits(0).says("shared is ready; nothing to do");
        world.untouched(&server, || world.run(&["server", "bootstrap", "shared"])).exits(0).says("nothing to do");

        let applied = world.apply(&tenant("cafe", "{}")).exits(0);
        assert!(!applied.stderr.contains("SystemDatabasesOpen"), "{}", applied.stderr);
        let credential = world.delivered("cafe");
        query(&server, &credential, "CREATE TABLE orders (id int)").unwrap();
        for database in ["postgres", "template1", "tenantdb"] {
            let elsewhere = credential.clone().into_iter().chain([("database".to_owned(), database.to_owned())]).collect();
            assert!(query(&server, &elsewhere, "SELECT 1").is_err(), "{database}");
        }
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn a_server_whose_ledger_a_newer_tenantdb_wrote_is_left_alone(server: TestServer) {
        let world = world(&server);
        bootstrap(&world, &["--yes"]).exits(0);
        world.apply(&tenant("cafe", "{}")).exits(0);
        server.psql("tenantdb", "UPDATE ledger.server SET version = 99");
        server.psql("postgres", "GRANT CONNECT ON DATABASE postgres TO PUBLIC");
        let refused = world.untouched(&server, || bootstrap(&world, &["--yes"])).exits(1);
        refused.tells("the ledger has version 99").tells("hint: use the newer tenantdb that wrote it");
    }

    fn what_a_superuser_made_is_carried_on_by_a_plain_administrator(server: TestServer) {
        let before = World::on(&server);
        let full = "{comment: Orders, connectionLimit: 5, schemas: [app], extensions: [pg_trgm], settings: {work_mem: 8MB}}";
        before.write("tenantdb.yaml", "project: test\n");
        before.write("server.yaml", &format!("{}  connectFor: [metabase]\n", server_yaml(&server)));
        before.apply(&(tenant("cafe", full) + &tenant("erp", "{}"))).exits(0);
        let world = world(&server);
        world.write("tenantdb.yaml", "project: test\n");
        bootstrap(&world, &["--yes"]).exits(0).says("~ login admin_user: member of tenantdb_owner");

        world.declare(&(tenant("cafe", full) + &tenant("erp", "{}"))).run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        let away = "{connectionLimit: 7, schemas: [app, more], extensions: [pg_trgm, citext], settings: {}, deletionProtection: false, \
                    dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}";
        world.apply(&(tenant("cafe", away) + &tenant("erp", "{connectionLimit: 3}") + &tenant("shop", "{}"))).exits(0);
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        world.run(&["delete", "cafe", "--yes"]).exits(0);
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname ~ '^cafe'"), "0");
    }

    fn a_kill_on_the_way_is_mended_by_running_it_again(server: TestServer) {
        for failpoint in ["before-bootstrap", "after-bootstrap", "after-create-estate", "before-create-ledger-tables"] {
            let world = world(&server);
            let arguments = ["server", "bootstrap", "shared", "-f", "server.yaml", "--yes"];
            let killed = Run::of(world.command(&arguments).env("TENANTDB_FAILPOINT", failpoint));
            assert_eq!(killed.code, None, "{failpoint}: {killed:?}");
            bootstrap(&world, &["--yes"]).exits(0).says("shared is ready");
            world.untouched(&server, || bootstrap(&world, &[])).exits(0).says("nothing to do");
            world.apply(&tenant("cafe", "{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}")).exits(0);
            world.run(&["delete", "cafe", "--yes"]).exits(0);
            server.psql("postgres", "DROP DATABASE tenantdb");
            server.psql("postgres", "DROP OWNED BY admin_user; DROP ROLE tenantdb_owner, admin_user");
        }
    }
}

on_servers! {
    [18 Superuser]

    fn what_can_not_be_made_ready_is_left_alone_and_told(server: TestServer) {
        let mut world = world(&server);
        world.untouched(&server, || world.run(&["server", "bootstrap", "shared"]))
            .exits(2).tells("no server `shared` was used from here");
        world.untouched(&server, || world.run(&["server", "bootstrap", "sharde", "-f", "server.yaml"]))
            .exits(2).tells("there is no server `sharde`").tells("did you mean `shared`?");
        world.untouched(&server, || bootstrap(&world, &["--password-env", "NOTHING"]))
            .exits(2).tells("no password for the superuser postgres: the variable NOTHING is not set").tells("--password-file");
        world.untouched(&server, || bootstrap(&world, &["--superuser", "nobody"]))
            .exits(1).tells("hint: check --superuser, and where its password is taken from");
        world.write("root", "wrong\n");
        world.untouched(&server, || bootstrap(&world, &["--password-file", "root"])).exits(1).tells("check --superuser");

        server.psql("postgres", "CREATE ROLE plain LOGIN CREATEDB CREATEROLE PASSWORD 'plain'");
        world.write("plain", "plain\n");
        world.untouched(&server, || bootstrap(&world, &["--superuser", "plain", "--password-file", "plain"]))
            .exits(1).tells("the login plain is no superuser").tells("a managed service has none");

        server.psql("postgres", "CREATE ROLE admin_user LOGIN PASSWORD 'another'");
        let asked = world.untouched(&server, || bootstrap(&world, &[])).exits(4);
        asked.says("~ login admin_user: CREATEDB, CREATEROLE").says("~ login admin_user: the password of the declaration").tells("needs consent");
        world.write("root", &format!("{}\n", server.superuser_password()));
        bootstrap(&world, &["--password-file", "root", "--yes"]).exits(0);
        assert_eq!(server.psql("postgres", WHO), "admin_user|f|t|t|t");
        assert!(server.psql_as("admin_user", PASSWORD, "postgres", "SELECT 1").is_ok());

        world.set(ADMIN_PASSWORD_VARIABLE, "");
        world.untouched(&server, || bootstrap(&world, &["--yes"])).exits(1).tells("no password for admin_user").tells("hint:");
    }

    fn an_estate_that_somebody_else_made_is_not_trusted(server: TestServer) {
        let plain = World::on(&server);
        server.psql("postgres", "CREATE ROLE tenantdb_owner LOGIN SUPERUSER PASSWORD 'theirs'; CREATE ROLE mallory LOGIN");
        server.psql("postgres", "GRANT tenantdb_owner TO mallory");
        let refused = plain.untouched(&server, || plain.apply(&tenant("cafe", "{}"))).exits(1);
        refused.tells("role tenantdb_owner is not as tenantdb makes it").tells("`tenantdb server bootstrap` mends it");
        let world = world(&server);
        let asked = world.untouched(&server, || bootstrap(&world, &[])).exits(4);
        let asked = asked.says("~ role tenantdb_owner: NOLOGIN PASSWORD NULL, NOSUPERUSER, CREATEDB, CREATEROLE");
        asked.tells("EstateShared: mallory may act as tenantdb_owner").tells("REVOKE tenantdb_owner FROM \"mallory\"");
        bootstrap(&world, &["--yes"]).exits(0);
        server.psql("postgres", "REVOKE tenantdb_owner FROM mallory");
        let applied = world.apply(&tenant("cafe", "{}")).exits(0);
        assert!(!applied.stderr.contains("EstateShared"), "{}", applied.stderr);
        let powers = "SELECT rolsuper, rolcanlogin, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = 'tenantdb_owner'";
        assert_eq!(server.psql("postgres", powers), "f|f|t|t");
    }

    fn an_administrator_whose_password_expired_or_who_was_shut_out_is_let_in_again(server: TestServer) {
        let world = world(&server);
        server.psql("postgres", "CREATE DATABASE maintenance");
        server.psql("postgres", "REVOKE CONNECT ON DATABASE maintenance FROM PUBLIC");
        let declared = std::fs::read_to_string(world.folder().join("server.yaml")).unwrap();
        let declared = declared.replace("username: admin_user,", "username: admin_user, maintenanceDatabase: maintenance,");
        world.write("server.yaml", &declared);
        bootstrap(&world, &["--yes"]).exits(0).says("~ database maintenance: open to admin_user");
        server.psql("postgres", "ALTER ROLE admin_user VALID UNTIL '2000-01-01'");
        bootstrap(&world, &["--yes"]).exits(0).says("~ login admin_user: VALID UNTIL 'infinity'");
        bootstrap(&world, &[]).exits(0).says("nothing to do");
    }

    fn a_superuser_or_a_tenant_is_not_made_the_administrator(server: TestServer) {
        let own = World::on(&server);
        let mut own = own;
        own.set("PGPASSWORD", server.superuser_password());
        own.untouched(&server, || bootstrap(&own, &["--yes"])).exits(2).tells("`admin.username` is postgres, the superuser itself");
        own.apply(&tenant("admin", "{owner: admin_user}")).exits(0);
        let world = world(&server);
        world.untouched(&server, || bootstrap(&world, &["--yes"])).exits(1).tells("the login admin_user is a tenant's");
    }
}

#[test]
fn a_local_server_needs_no_bootstrap() {
    let world = World::new();
    let local = "apiVersion: tenantdb.dev/v1alpha1\nkind: DatabaseServer\nmetadata: {name: shared}\nspec: {source: {local: {}}}\n";
    world.write("server.yaml", local);
    bootstrap(&world, &["--yes"]).exits(2).tells("is a local one").tells("hint: apply its databases");
}
