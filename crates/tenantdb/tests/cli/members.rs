//! The shared roles that tenants join: which ones, how far, and what becomes of memberships that nobody declared.

use tenantdb_testkit::{Admin, TestServer, on_every_server};

use crate::access::role;
use crate::world::{World, query, tenant};

/// A shared role that the administrator may let others join.
fn shared_role(server: &TestServer, name: &str) {
    let admin = server.admin_username();
    server.psql("postgres", &format!("CREATE ROLE {name}; GRANT {name} TO {admin} WITH ADMIN OPTION"));
}

/// Whether only who granted a membership, or a superuser, can take it back.
fn grants_are_their_grantors(server: &TestServer) -> bool {
    server.major() >= 16 && server.admin() == Admin::Plain
}

const MEMBERSHIPS: &str = "SELECT r.rolname, m.rolname FROM pg_auth_members g JOIN pg_roles r ON r.oid = g.roleid \
                           JOIN pg_roles m ON m.oid = g.member WHERE m.rolname LIKE 'cafe%' \
                           AND r.rolname NOT LIKE 'cafe%' ORDER BY 1, 2";

on_every_server! {
    fn a_tenant_has_what_its_shared_roles_have_as_long_as_they_are_declared(server: TestServer) {
        let world = World::on(&server);
        shared_role(&server, "readers");
        world.apply(&tenant("cafe", "{memberOf: [readers]}")).exits(0).says("1 created");
        server.psql("cafe", "CREATE TABLE rates AS SELECT 7 AS rate; GRANT SELECT ON rates TO readers");
        let cafe = world.delivered("cafe");
        assert_eq!(query(&server, &cafe, "SELECT rate FROM rates").unwrap(), "7");
        if server.major() >= 16 {
            // What it made as the shared role would be everybody's who is in there.
            for role in ["SET ROLE readers", "SET ROLE NONE; SET ROLE readers"] {
                assert!(query(&server, &cafe, role).unwrap_err().starts_with("42501"), "{role}");
            }
        }
        assert!(query(&server, &cafe, "GRANT readers TO cafe_b").is_err());
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0).says("No changes");

        let without = tenant("cafe", "{}");
        world.plan(&without).exits(3).says("role cafe: no member of readers  # no longer declared");
        world.apply(&without).exits(0);
        assert!(query(&server, &cafe, "SELECT rate FROM rates").unwrap_err().starts_with("42501"));
        assert_eq!(server.psql("postgres", MEMBERSHIPS), "");
        world.plan(&without).exits(0).says("No changes");
    }

    fn a_shared_role_can_be_joined_later_and_a_deleted_tenant_leaves_it(server: TestServer) {
        let world = World::on(&server);
        shared_role(&server, "readers");
        world.apply(&tenant("cafe", "{}")).exits(0);
        let joined = tenant("cafe", "{memberOf: [readers], deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}");
        world.apply(&joined).exits(0).says("role cafe: member of readers");
        assert_eq!(server.psql("postgres", MEMBERSHIPS), "readers|cafe");
        world.run(&["delete", "cafe", "--yes"]).exits(0);
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_auth_members WHERE roleid = 'readers'::regrole AND member <> current_user::regrole AND member::regrole::text <> 'admin_user'"), "0");
    }

    fn what_reaches_beyond_a_tenant_is_never_joined_whoever_asks(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("erp", "{}")).exits(0);
        server.psql("postgres", "CREATE ROLE builder CREATEDB; CREATE ROLE near; GRANT builder TO near; CREATE ROLE far; GRANT near TO far");
        server.psql("postgres", "CREATE ROLE watcher; GRANT pg_monitor TO watcher; CREATE ROLE root SUPERUSER; CREATE ROLE copier REPLICATION");
        server.psql("postgres", "CREATE ROLE seer BYPASSRLS; CREATE ROLE maker CREATEROLE; CREATE ROLE mole; GRANT erp TO mole");
        let forbidden = [
            ("erp", "is a tenant's role"),
            ("erp_b", "is a tenant's role"),
            ("mole", "is a member of `erp`, which is a tenant's role"),
            ("builder", "is CREATEDB"),
            ("far", "is a member of `builder`, which is CREATEDB"),
            ("root", "is SUPERUSER"),
            ("copier", "is REPLICATION"),
            ("seer", "is BYPASSRLS"),
            ("maker", "is CREATEROLE"),
            ("watcher", "is a member of `pg_monitor`, which is PostgreSQL's own"),
            ("pg_execute_server_program", "runs programs as the server's account"),
            ("pg_read_server_files", "reaches the server's files"),
            ("pg_write_server_files", "reaches the server's files"),
            ("pg_read_all_data", "reaches every tenant's data"),
            ("pg_write_all_data", "reaches every tenant's data"),
            ("pg_monitor", "sees what every session asks"),
            ("pg_signal_backend", "holds for the whole server"),
            ("tenantdb_owner", "owns every tenant's database"),
            (server.admin_username(), "is an administrator's"),
        ];
        for (role, why) in forbidden {
            let declared = tenant("cafe", &format!("{{memberOf: [{role}]}}")) + &tenant("erp", "{}");
            let refused = world.untouched(&server, || world.apply(&declared)).exits(4);
            refused.tells(&format!("no tenant may join `{role}`, which ")).tells(why);
        }
        let several = tenant("cafe", "{memberOf: [pg_monitor, far]}");
        world.apply(&several).exits(4).tells("no tenant may join `pg_monitor`").tells("no tenant may join `far`");
    }

    fn a_role_without_a_database_may_watch_the_server_and_nothing_more(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("erp", "{}")).exits(0);
        for (joined, why) in [
            ("pg_read_all_data", "reaches every tenant's data"),
            ("pg_execute_server_program", "runs programs as the server's account"),
            ("erp", "is a tenant's role"),
        ] {
            let refused = world.apply(&(tenant("erp", "{}") + &role("watcher", &format!("{{memberOf: [{joined}]}}"))));
            refused.exits(4).tells(why);
        }
        let watcher = tenant("erp", "{}") + &role("watcher", "{memberOf: [pg_monitor]}");
        if grants_are_their_grantors(&server) {
            let refused = world.apply(&watcher).exits(4).tells("this administrator can't let anyone join `pg_monitor`");
            let (_, statement) = refused.stderr.split_once("as a superuser run: ").unwrap();
            server.psql("postgres", statement.lines().next().unwrap());
        }
        world.apply(&watcher).exits(0);
        let credential = world.credential("default", "watcher-role-secret");
        assert_eq!(query(&server, &credential, "SELECT pg_has_role('pg_monitor', 'USAGE')").unwrap(), "t");
        assert_eq!(query(&server, &credential, "SELECT count(*) FROM pg_auth_members WHERE roleid = 'erp'::regrole AND member = 'watcher'::regrole").unwrap(), "0");
    }

    fn a_shared_role_that_is_not_there_is_refused_with_the_nearest(server: TestServer) {
        let world = World::on(&server);
        shared_role(&server, "shared_readers");
        let refused = world.apply(&tenant("cafe", "{memberOf: [shared_reader]}")).exits(4);
        refused.tells("the server has no role `shared_reader`").tells("did you mean `shared_readers`?");
        let refused = world.apply(&tenant("cafe", "{memberOf: [x1]}")).exits(4);
        refused.tells("a shared role is yours to make: CREATE ROLE \"x1\" NOLOGIN");
        world.apply(&tenant("cafe", "{memberOf: [public, a, a]}")).exits(2).tells("`public` is not the name of a role").tells("the role `a` is listed twice");
    }

    fn what_the_administrator_may_not_grant_is_refused_with_the_statement(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("erp", "{}")).exits(0);
        server.psql("postgres", "CREATE ROLE readers");
        let declared = tenant("cafe", "{memberOf: [readers]}") + &tenant("erp", "{}");
        if grants_are_their_grantors(&server) {
            let refused = world.untouched(&server, || world.apply(&declared)).exits(4);
            let refused = refused.tells("this administrator can't let anyone join `readers`");
            let (_, statement) = refused.stderr.split_once("as a superuser run: ").unwrap();
            server.psql("postgres", statement.lines().next().unwrap());
        }
        world.apply(&declared).exits(0).says("1 created");
        assert_eq!(server.psql("postgres", MEMBERSHIPS), "readers|cafe");
        world.run_on(&["plan", "--exit-code"]).exits(0);
    }

    fn a_membership_that_nobody_declared_is_taken_back_or_told_with_the_statement(server: TestServer) {
        let world = World::on(&server);
        world.apply(&(tenant("cafe", "{}") + &tenant("erp", "{}"))).exits(0);
        server.psql("postgres", "CREATE ROLE writers; GRANT writers TO cafe; GRANT erp TO cafe_b; GRANT pg_read_all_data TO cafe_a");
        server.psql("postgres", "ALTER ROLE cafe_a CONNECTION LIMIT 3; COMMENT ON DATABASE cafe IS 'x'");
        if grants_are_their_grantors(&server) {
            let told = world.run_on(&["plan", "--exit-code"]).exits(0);
            let statements: Vec<&str> = told.stderr.lines().filter(|line| line.contains("default/cafe: MoreThanItsOwn"))
                .map(|line| line.split_once("as a superuser run: ").unwrap().1).collect();
            assert_eq!(statements.len(), 3, "{}", told.stderr);
            for statement in statements {
                server.psql("postgres", statement);
            }
        } else {
            let planned = world.run_on(&["plan", "--exit-code"]).exits(3).says("role cafe: no member of writers");
            planned.says("# postgres granted it, and nothing declares it").says("role cafe_a: no member of pg_read_all_data");
            world.run_on(&["apply"]).exits(0).says("role cafe_b: no member of erp");
        }
        assert_eq!(server.psql("postgres", MEMBERSHIPS), "");
        let quiet = world.run_on(&["plan", "--exit-code"]).exits(0).says("No changes");
        assert!(!quiet.stderr.contains("MoreThanItsOwn"), "{}", quiet.stderr);
    }

    fn a_declared_membership_that_somebody_granted_with_more_is_made_plain_again(server: TestServer) {
        let world = World::on(&server);
        shared_role(&server, "readers");
        world.apply(&tenant("cafe", "{memberOf: [readers]}")).exits(0);
        let admin = server.admin_username();
        server.psql("postgres", &format!("SET ROLE {admin}; GRANT readers TO cafe WITH ADMIN OPTION"));
        if server.major() >= 16 {
            server.psql("postgres", &format!("SET ROLE {admin}; GRANT readers TO cafe WITH SET TRUE"));
        }
        // Whom it let in meanwhile goes with it.
        let cafe = world.delivered("cafe");
        query(&server, &cafe, "GRANT readers TO cafe_b").unwrap();
        world.run_on(&["apply"]).exits(0).says("role cafe: no member of readers").says("role cafe: member of readers");
        assert_eq!(server.psql("postgres", MEMBERSHIPS), "readers|cafe");
        assert!(query(&server, &cafe, "GRANT readers TO cafe_b").is_err());
        world.run_on(&["plan", "--exit-code"]).exits(0);
    }
}
