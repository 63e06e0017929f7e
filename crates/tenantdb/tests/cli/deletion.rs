//! What deleting a declaration does, and what it never does: it follows the policies that were applied, a protected
//! tenant stays, and a deletion that was interrupted is finished.

use std::process::{Command, Stdio};
use std::time::Duration;

use tenantdb_testkit::{Admin, Options, TestServer, majors, on_every_server, on_servers, wait_until};

use crate::world::{World, query, server_yaml, tenant};

const POLICIES: [(&str, &str); 4] =
    [("Orphan", "Orphan"), ("Orphan", "Delete"), ("Delete", "Orphan"), ("Delete", "Delete")];

/// A tenant that may be deleted, with these policies for its database and its roles.
fn removable(name: &str, database: &str, roles: &str) -> String {
    let spec = "{deletionProtection: false, dbDeletionPolicy: DATABASE, roleDeletionPolicy: ROLES}";
    tenant(name, &spec.replace("DATABASE", database).replace("ROLES", roles))
}

/// What is left of a tenant on the server, in its place and in the ledger, in one line.
fn left_of(name: &str, server: &TestServer, world: &World) -> String {
    let database = format!("SELECT 'database' FROM pg_database WHERE datname = '{name}'");
    let roles = format!(
        "SELECT rolname || CASE WHEN rolcanlogin THEN ' LOGIN' ELSE '' END FROM pg_roles \
         WHERE rolname = '{name}' OR rolname LIKE '{name}\\__' ORDER BY 1"
    );
    let phase = format!("SELECT phase FROM ledger.tenant WHERE name = '{name}'");
    let credential = world.credential_path("default", &format!("{name}-secret")).exists();
    let parts = [
        server.psql("postgres", &database),
        server.psql("postgres", &roles).replace('\n', ", "),
        if credential { "credential".to_owned() } else { String::new() },
        server.psql("tenantdb", &phase),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Declares a tenant, and puts a row into a table of its own.
fn with_a_row(name: &str, declared: &str, server: &TestServer, world: &World) {
    world.apply(declared).exits(0);
    let credential = world.delivered(name);
    query(server, &credential, "CREATE TABLE lines (id int); INSERT INTO lines VALUES (1)").unwrap();
}

/// How many rows its credential sees there, if the table is there.
fn rows(name: &str, server: &TestServer, world: &World) -> Option<String> {
    let credential = world.delivered(name);
    match query(server, &credential, "SELECT count(*) FROM lines") {
        Ok(rows) => Some(rows),
        Err(error) if error.starts_with("42P01") => None,
        Err(error) => panic!("the credential of {name} does not work: {error}"),
    }
}

on_every_server! {
    async fn what_is_left_is_what_the_policies_say_also_of_a_database_in_use(server: TestServer) {
        let everything = "database, NAME, NAME_a LOGIN, NAME_b, credential, Orphaned";
        let left = [everything, "database, NAME, Orphaned", "NAME, NAME_a, NAME_b, Orphaned", ""];
        for ((database, roles), left) in POLICIES.into_iter().zip(left) {
            let name = format!("{database}-{roles}").to_lowercase();
            let world = World::on(&server);
            let declared = removable(&name, database, roles);
            with_a_row(&name, &declared, &server, &world);
            let credential = world.delivered(&name);
            let session = server.connect(&credential["username"], &credential["password"], &name).await.unwrap();

            let stays = (database, roles) == ("Orphan", "Orphan");
            let done = if database == "Orphan" { format!("~ default/{name} orphaned") } else { format!("- default/{name} deleted") };
            let run = world.run_on(&["delete", "--yes"]).exits(0).says(&done);
            assert_eq!(run.stdout.contains("stay as they are"), stays, "{}", run.stdout);
            assert_eq!(left_of(&name, &server, &world), left.replace("NAME", &name), "database {database}, roles {roles}");
            let lives = session.simple_query("SELECT count(*) FROM lines").await.is_ok();
            assert_eq!(lives, stays, "database {database}, roles {roles}");

            let again = world.run_on(&["delete", "--yes"]).exits(0).says("Nothing to delete.").says_nothing_of("deleted");
            again.tells(if (database, roles) == ("Delete", "Delete") { "AlreadyGone" } else { "LeftBehind: it was deleted before" });
            world.plan(&declared).exits(3);
            world.apply(&declared).exits(0);
            assert_eq!(rows(&name, &server, &world).is_some(), database == "Orphan", "database {database}, roles {roles}");
            let same = world.delivered(&name) == credential;
            assert_eq!(same, stays, "database {database}, roles {roles}");
            world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        }
    }

    fn a_protected_tenant_stays_and_the_others_go(server: TestServer) {
        let world = World::on(&server);
        let declared = tenant("cafe", "{dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}") + &removable("erp", "Delete", "Delete");
        world.apply(&declared).exits(0);
        let refused = world.run_on(&["delete", "--yes"]).exits(4).says("- default/erp deleted");
        refused.tells("default/cafe: it is protected from deletion").tells("hint: set `deletionProtection: false`");
        assert_eq!(left_of("erp", &server, &world), "");
        assert_eq!(left_of("cafe", &server, &world), "database, cafe, cafe_a LOGIN, cafe_b, credential, Provisioned");
    }

    fn protection_that_was_lowered_in_the_file_only_still_protects(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{dbDeletionPolicy: Delete}")).exits(0);
        let lowered = removable("cafe", "Delete", "Delete");
        world.declare(&lowered).run_on(&["delete", "--yes"]).exits(4).tells("it is protected from deletion");
        world.apply(&lowered).exits(0);
        world.run_on(&["delete", "--yes"]).exits(0);
        assert_eq!(left_of("cafe", &server, &world), "");
    }

    fn what_was_never_made_is_protected_by_nothing(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("erp", "{}")).exits(0);
        for failpoint in ["after-claim", "after-create-database"] {
            world.declare(&tenant("cafe", "{}")).run_killed_at(failpoint, &["apply"]);
            world.run(&["status"]).exits(0).says("Claimed");
            world.run(&["delete", "cafe", "--yes"]).exits(0).says("1 deleted");
            assert_eq!(left_of("cafe", &server, &world), "", "{failpoint}");
        }
        world.declare(&tenant("cafe", "{}")).run_killed_at("after-create-owner", &["apply"]);
        world.run(&["delete", "cafe", "--yes"]).exits(4).tells("it is protected from deletion");
    }

    fn what_was_lost_and_is_being_made_again_goes_with_its_roles(server: TestServer) {
        let world = World::on(&server);
        for failpoint in ["after-forget-database", "after-create-database"] {
            world.apply(&removable("cafe", "Delete", "Delete")).exits(0);
            server.psql("postgres", "DROP DATABASE cafe");
            world.run_killed_at(failpoint, &["apply"]);
            world.run(&["delete", "cafe", "--yes"]).exits(0).says("roles cafe_a, cafe_b, cafe");
            assert_eq!(left_of("cafe", &server, &world), "", "{failpoint}");
        }
    }

    fn without_consent_nothing_is_lost(server: TestServer) {
        let world = World::on(&server);
        for (database, roles) in &POLICIES[1..] {
            let name = format!("{database}-{roles}").to_lowercase();
            let declared = removable(&name, database, roles);
            with_a_row(&name, &declared, &server, &world);
            let before = left_of(&name, &server, &world);
            world.run_on(&["delete"]).exits(4).tells("needs consent").tells("hint: answer yes at the terminal, or run it with --yes");
            assert_eq!(left_of(&name, &server, &world), before);
            assert_eq!(rows(&name, &server, &world).as_deref(), Some("1"));
            world.run_on(&["plan", "--exit-code"]).exits(0);
        }
    }
}

on_servers! {
    [15 Plain, 18 Plain]

    fn a_database_that_was_renamed_is_never_taken_for_one_that_is_gone(server: TestServer) {
        let world = World::on(&server);
        let both = tenant("home", "{}") + &removable("alpha", "Delete", "Orphan");
        world.apply(&both).exits(0);
        let home = world.delivered("home");
        query(&server, &home, "CREATE TABLE lines (item text)").unwrap();
        world.run(&["delete", "alpha", "--yes"]).exits(0);
        server.psql("postgres", "ALTER DATABASE home RENAME TO alpha");

        let run = world.run_on(&["apply", "--yes"]).exits(4);
        run.tells("default/alpha: its database \"home\" was renamed to \"alpha\"").tells("hint: rename it back");
        world.run(&["delete", "alpha", "--yes"]).exits(0);
        assert_eq!(server.psql("alpha", "SELECT tableowner FROM pg_tables WHERE tablename = 'lines'"), "home");

        server.psql("postgres", "ALTER DATABASE alpha RENAME TO home");
        world.run_on(&["apply"]).exits(0).says("~ default/alpha changed");
        assert_eq!(query(&server, &home, "SELECT count(*) FROM lines").unwrap(), "0");

        // The estate's, but not what was made for anyone.
        world.run(&["delete", "alpha", "--yes"]).exits(0);
        server.psql("postgres", "CREATE DATABASE alpha OWNER tenantdb_owner");
        world.run_on(&["apply", "--yes"]).exits(4).tells("database `alpha` exists, is owned by `tenantdb_owner`");
    }

    fn what_the_ledger_no_longer_knows_whole_is_left_alone(server: TestServer) {
        let world = World::on(&server);
        world.apply(&(removable("cafe", "Delete", "Delete") + &tenant("erp", "{}"))).exits(0);
        let credential = world.delivered("cafe");
        server.psql("tenantdb", "DELETE FROM ledger.role WHERE name LIKE 'cafe%'");
        for command in [&["apply", "--yes"][..], &["delete", "cafe", "--yes"]] {
            let files = ["-f", "server.yaml", "-f", "tenants.yaml"];
            let arguments = if command[0] == "apply" { [command, &files[..]].concat() } else { command.to_vec() };
            let refused = world.untouched(&server, || world.run(&arguments)).exits(4);
            refused.tells("default/cafe: the ledger has lost roles of it").tells("hint: restore the ledger");
        }
        assert_eq!(query(&server, &credential, "SELECT current_user").unwrap(), "cafe");
    }

    fn a_name_is_enough_and_an_unknown_one_is_wrong_input(server: TestServer) {
        let world = World::on(&server);
        world.apply(&(removable("cafe", "Delete", "Delete") + &removable("erp", "Delete", "Delete"))).exits(0);
        let unknown = world.run(&["delete", "erp", "cafee", "--yes"]).exits(2);
        unknown.tells("no database default/cafee").tells("hint: did you mean `cafe`?");
        assert_eq!(left_of("erp", &server, &world), "database, erp, erp_a LOGIN, erp_b, credential, Provisioned");
        world.run(&["delete", "cafe", "-n", "other", "--yes"]).exits(2).tells("no database other/cafe").tells("hint: there is one in the namespace default: -n default");

        world.run(&["delete", "cafe", "--yes"]).exits(0).says("- default/cafe deleted");
        assert_eq!(left_of("cafe", &server, &world), "");
        world.run(&["delete", "cafe", "--yes"]).exits(2).tells("no database default/cafe");
    }

    fn an_orphan_belongs_to_its_declaration(server: TestServer) {
        let world = World::on(&server);
        let declared = removable("cafe", "Orphan", "Orphan");
        with_a_row("cafe", &declared, &server, &world);
        let credential = world.delivered("cafe");
        world.run_on(&["delete"]).exits(0);

        let never = declared.replace("{deletion", "{adopt: Never, deletion");
        world.apply(&never).exits(4).tells("was left behind by this declaration, and `adopt` is Never").tells("hint: set `adopt: IfOrphaned`");
        let another = removable("cafe", "Orphan", "Orphan").replace("{name: cafe}", "{name: cafe, namespace: other}");
        world.apply(&another).exits(4).tells("database `cafe` belongs to TenantDatabase default/cafe of project:").tells("which left it behind").tells("hint:");
        let stranger = world.another_home();
        stranger.apply(&declared).exits(4).tells("database `cafe` belongs to TenantDatabase default/cafe of project:");
        stranger.run_on(&["delete", "--yes"]).exits(4).tells("default/cafe");

        world.apply(&declared).exits(0).says("taken back from the orphans");
        assert_eq!(world.delivered("cafe"), credential);
        assert_eq!(rows("cafe", &server, &world).as_deref(), Some("1"));
    }
}

/// Where a deletion of everything can be killed, in its order.
const INTERRUPTIONS: [&str; 8] = [
    "before-record-deletion",
    "before-withdraw-credential",
    "after-withdraw-credential",
    "after-close-database",
    "before-drop-database",
    "after-drop-database",
    "before-drop-roles",
    "after-forget",
];

on_servers! {
    [15 Plain, 18]

    fn an_interrupted_deletion_is_finished_by_the_next(server: TestServer) {
        let world = World::on(&server);
        for failpoint in INTERRUPTIONS {
            with_a_row("cafe", &removable("cafe", "Delete", "Delete"), &server, &world);
            world.run_killed_at(failpoint, &["delete", "--yes"]);
            world.run_on(&["delete", "--yes"]).exits(0);
            assert_eq!(left_of("cafe", &server, &world), "", "{failpoint}");
        }
    }

    fn an_interrupted_deletion_is_taken_back_by_declaring_again(server: TestServer) {
        let world = World::on(&server);
        let declared = removable("cafe", "Delete", "Delete");
        for failpoint in INTERRUPTIONS {
            with_a_row("cafe", &declared, &server, &world);
            world.run_killed_at(failpoint, &["delete", "--yes"]);
            world.apply(&declared).exits(0);
            world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
            assert!(rows("cafe", &server, &world).is_none_or(|rows| rows == "1"), "{failpoint}");
            world.run_on(&["delete", "--yes"]).exits(0);
        }
    }

    fn an_interrupted_loss_of_its_logins_is_finished_or_taken_back(server: TestServer) {
        let world = World::on(&server);
        let declared = removable("cafe", "Orphan", "Delete");
        for failpoint in ["after-withdraw-credential", "after-disable-login", "after-end-sessions", "after-empty-slot", "before-drop-roles"] {
            for finish in [&["delete", "--yes"][..], &["apply"]] {
                world.apply(&declared).exits(0);
                world.run_killed_at(failpoint, &["delete", "--yes"]);
                world.run_on(finish).exits(0);
                if finish[0] == "delete" {
                    assert_eq!(left_of("cafe", &server, &world), "database, cafe, Orphaned", "{failpoint}");
                } else {
                    rows("cafe", &server, &world);
                    world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
                }
            }
        }
    }

    async fn applications_that_keep_coming_back_do_not_keep_it(server: TestServer) {
        let world = World::on(&server);
        for (database, roles) in &POLICIES[1..] {
            let name = format!("{database}-{roles}").to_lowercase();
            world.apply(&removable(&name, database, roles)).exits(0);
            let login = world.delivered(&name);
            let comes_back = async || loop {
                while let Ok(session) = server.connect(&login["username"], &login["password"], &name).await {
                    let _ = session.simple_query("SELECT 1").await;
                }
                tokio::task::yield_now().await;
            };
            tokio::select! {
                () = async { tokio::join!(comes_back(), comes_back(), comes_back()); } => {}
                deleted = world.run_beside(&["delete", &name, "--yes"]) => drop(deleted.exits(0)),
            }
            let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE usename LIKE '{name}%'");
            assert_eq!(server.psql("postgres", &sessions), "0", "database {database}, roles {roles}");
        }
    }

    async fn somebody_in_it_is_ended_by_consent_or_named_before_anything_is_taken_away(server: TestServer) {
        let world = World::on(&server);
        server.psql("postgres", "CREATE ROLE monitor LOGIN PASSWORD 'here'");
        world.write("server.yaml", &server_yaml(&server).replace("spec:\n", "spec:\n  connectFor: [monitor]\n"));
        world.apply(&removable("cafe", "Delete", "Delete")).exits(0);
        let monitor = server.connect("monitor", "here", "cafe").await.unwrap();
        if server.admin() == Admin::Plain {
            let refused = world.untouched(&server, || world.run_on(&["delete", "--yes"])).exits(4);
            refused.tells("`monitor` has a session in its database").tells("hint: end it there, or as a superuser run: SELECT pg_terminate_backend");
            monitor.simple_query("SELECT 1").await.expect("who can't be ended goes on");
            drop(monitor);
            let gone = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'cafe'";
            wait_until(Duration::from_mins(1), || server.psql("postgres", gone) == "0");
            world.run_on(&["delete", "--yes"]).exits(0);
        } else {
            world.untouched(&server, || world.run_on(&["delete"])).exits(4).tells("sessions of monitor in database cafe: ended");
            world.run_on(&["delete", "--yes"]).exits(0);
            monitor.simple_query("SELECT 1").await.expect_err("somebody consented");
        }
        assert_eq!(left_of("cafe", &server, &world), "");
    }

    fn a_role_that_owns_another_database_is_told_before_anything_is_taken_away(server: TestServer) {
        let world = World::on(&server);
        world.apply(&removable("cafe", "Delete", "Delete")).exits(0);
        server.psql("postgres", "CREATE DATABASE other OWNER cafe");
        let refused = world.untouched(&server, || world.run_on(&["delete", "--yes"])).exits(4);
        refused.tells("its role `cafe` owns database `other` as well").tells("ALTER DATABASE \"other\" OWNER TO");
        server.psql("postgres", "ALTER DATABASE other OWNER TO postgres");
        world.run_on(&["delete", "--yes"]).exits(0);
        assert_eq!(left_of("cafe", &server, &world), "");
    }

    async fn a_lock_that_another_tenant_holds_on_it_does_not_keep_it(server: TestServer) {
        let world = World::on(&server);
        world.apply(&(removable("erp", "Delete", "Delete") + &tenant("cafe", "{}"))).exits(0);
        let cafe = world.delivered("cafe");
        let hostile = server.connect(&cafe["username"], &cafe["password"], "cafe").await.unwrap();
        hostile.batch_execute("SET ROLE NONE; BEGIN; ALTER ROLE cafe_a IN DATABASE erp SET work_mem = '1MB'").await.unwrap();
        let bystander = server.connect(&cafe["username"], &cafe["password"], "cafe").await.unwrap();

        world.run(&["delete", "erp", "--yes"]).exits(0).says("sessions of cafe_a in database erp");
        assert_eq!(left_of("erp", &server, &world), "");
        hostile.simple_query("SELECT 1").await.expect_err("what held the lock is ended");
        bystander.simple_query("SELECT 1").await.expect("what did not goes on");
        world.declare(&tenant("cafe", "{}")).run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    async fn a_lock_that_another_tenant_holds_on_its_roles_does_not_keep_them(server: TestServer) {
        let world = World::on(&server);
        world.apply(&(removable("erp", "Delete", "Delete") + &tenant("cafe", "{}"))).exits(0);
        let cafe = world.delivered("cafe");
        let hostile = server.connect(&cafe["username"], &cafe["password"], "cafe").await.unwrap();
        hostile.batch_execute("CREATE TABLE bait (id int); BEGIN; GRANT SELECT ON bait TO erp, erp_b").await.unwrap();

        let deleted = world.run(&["delete", "erp", "--yes"]).exits(0).says("sessions of cafe_a that hold locks on erp_a, erp_b, erp");
        deleted.says("database erp, with all its data").says("roles erp_a, erp_b, erp");
        assert_eq!(left_of("erp", &server, &world), "");
        hostile.simple_query("SELECT 1").await.expect_err("what held the lock is ended");
    }

    fn a_database_whose_deletion_broke_off_at_the_server_is_finished_or_made_anew(server: TestServer) {
        let world = World::on(&server);
        let declared = removable("cafe", "Delete", "Delete").replace("{deletion", "{settings: {statement_timeout: 30s}, deletion");
        let break_off = || server.psql("postgres", "UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'cafe'");
        world.apply(&declared).exits(0);
        let credential = world.delivered("cafe");

        break_off();
        world.plan(&declared).exits(3).says("its deletion was interrupted, and nothing is left in it");
        world.apply(&declared).exits(0);
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        assert_eq!(query(&server, &credential, "SHOW statement_timeout").unwrap(), "30s");

        break_off();
        world.run_on(&["delete", "--yes"]).exits(0);
        assert_eq!(left_of("cafe", &server, &world), "");
    }

    fn tenants_that_let_each_other_in_go_together(server: TestServer) {
        let world = World::on(&server);
        let names = ["blog", "cafe", "erp", "shop"];
        let all: String = names.iter().map(|name| removable(name, "Delete", "Delete")).collect();
        world.apply(&all).exits(0);
        for (name, next) in names.iter().zip(names.iter().cycle().skip(1)) {
            let credential = world.delivered(name);
            query(&server, &credential, &format!("CREATE TABLE t (); GRANT SELECT ON t TO {next}, {next}_a")).unwrap();
        }
        world.run_on(&["delete", "--yes"]).exits(0);
        for name in names {
            assert_eq!(left_of(name, &server, &world), "");
        }
    }

    fn what_another_tenant_granted_to_it_does_not_keep_it(server: TestServer) {
        let world = World::on(&server);
        world.apply(&(removable("cafe", "Delete", "Delete") + &removable("erp", "Delete", "Delete"))).exits(0);
        let cafe = world.delivered("cafe");
        query(&server, &cafe, "CREATE TABLE t (); GRANT SELECT ON t TO erp, erp_a; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO erp").unwrap();
        world.declare(&removable("erp", "Delete", "Delete")).run_on(&["delete", "--yes"]).exits(0);
        assert_eq!(left_of("erp", &server, &world), "");
        assert_eq!(query(&server, &cafe, "SELECT count(*) FROM t").unwrap(), "0");
    }
}

on_servers! {
    [18 Plain; 15 Plain, 18 Superuser]
    async fn what_was_destroyed_before_it_failed_is_told(server: TestServer) {
        let world = World::on(&server);
        with_a_row("cafe", &removable("cafe", "Delete", "Delete"), &server, &world);
        let somebody = server.superuser("postgres").await;
        somebody.batch_execute("BEGIN; ALTER ROLE cafe_b CONNECTION LIMIT 1").await.unwrap();
        let failed = world.run_on(&["delete", "--yes"]).exits(1).says("- default/cafe begun").says("database cafe, with all its data");
        failed.says("- credential in ").tells("DROP ROLE: ").tells("someone holds a lock on it").says_nothing_of("roles cafe");
        somebody.batch_execute("ROLLBACK").await.unwrap();
        let finished = world.run_on(&["delete", "--yes"]).exits(0).says("- default/cafe deleted").says("roles cafe_a, cafe_b, cafe");
        finished.says_nothing_of("credential in").says_nothing_of("with all its data");
        assert_eq!(left_of("cafe", &server, &world), "");
    }
}

/// What nobody but its maker can end is told before the credential is gone.
#[test]
fn what_would_keep_a_database_from_being_dropped_is_told_before_anything_is_taken_away() {
    for major in majors() {
        let site = Kept::on(major);
        site.by_a_prepared_transaction_inside();
        site.by_a_prepared_transaction_elsewhere();
        site.by_a_prepared_change_of_a_login();
        site.by_a_subscription();
        site.by_a_reader_of_its_changes();

        site.server.psql("postgres", "ALTER DATABASE erp IS_TEMPLATE true");
        site.world.run(&["delete", "erp", "--yes"]).exits(0).says("database erp: no template");
        assert_eq!(left_of("erp", &site.server, &site.world), "");
    }
}

/// A server with `erp`, which may be deleted and which something keeps, and `cafe` beside it.
struct Kept {
    server: TestServer,
    world: World,
}

impl Kept {
    fn on(major: u32) -> Self {
        let options = Options::new(major, Admin::Plain).setting("max_prepared_transactions", "5");
        let server = options.setting("wal_level", "logical").start();
        let world = World::on(&server);
        world.apply(&(removable("erp", "Delete", "Delete") + &tenant("cafe", "{}"))).exits(0);
        Self { server, world }
    }

    #[track_caller]
    fn query(&self, tenant: &str, sql: &str) {
        query(&self.server, &self.world.delivered(tenant), sql).unwrap();
    }

    #[track_caller]
    fn is_refused(&self, what: &str, hint: &str) {
        let run = self.world.untouched(&self.server, || self.world.run(&["delete", "erp", "--yes"])).exits(4);
        run.tells(what).tells(hint);
    }

    fn by_a_prepared_transaction_inside(&self) {
        self.query("erp", "BEGIN; CREATE TABLE lines (id int); PREPARE TRANSACTION 'left; \"open'");
        self.is_refused(
            "the prepared transaction 'left; \"open' of database `erp` holds locks",
            "ROLLBACK PREPARED 'left; \"open'",
        );
        self.query("erp", "ROLLBACK PREPARED 'left; \"open'");
    }

    fn by_a_prepared_transaction_elsewhere(&self) {
        let bait = "CREATE TABLE bait (id int); BEGIN; GRANT SELECT ON bait TO erp; PREPARE TRANSACTION 'bait'";
        self.query("cafe", bait);
        self.is_refused(
            "the prepared transaction 'bait' of database `cafe` holds locks",
            "in database `cafe`, as who prepared it",
        );
        self.query("cafe", "ROLLBACK PREPARED 'bait'");
    }

    /// A row of a shared catalog that is changed is locked where nobody can see which one it is.
    fn by_a_prepared_change_of_a_login(&self) {
        for (tenant, name) in [("erp", "own"), ("cafe", "others")] {
            let change = "SET ROLE NONE; BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'mine'; PREPARE TRANSACTION";
            self.query(tenant, &format!("{change} '{name}'"));
        }
        self.is_refused("the prepared transaction 'own' of database `erp` holds locks", "ROLLBACK PREPARED 'own'");
        self.server.psql("erp", "ROLLBACK PREPARED 'own'");
        self.world.run(&["delete", "erp", "--yes"]).exits(0);
        self.server.psql("cafe", "ROLLBACK PREPARED 'others'");
        self.world.run_on(&["apply", "--yes"]).exits(0);
    }

    fn by_a_subscription(&self) {
        let subscribe =
            "CREATE SUBSCRIPTION copied CONNECTION '' PUBLICATION lines WITH (connect = false, slot_name = NONE)";
        self.server.psql("erp", subscribe);
        self.is_refused(
            "the subscription `copied` writes into its database",
            "hint: in database `erp`, as its owner run: DROP SUBSCRIPTION \"copied\"",
        );
        self.server.psql("erp", "DROP SUBSCRIPTION copied");
    }

    fn by_a_reader_of_its_changes(&self) {
        self.server.psql("erp", "SELECT pg_create_logical_replication_slot('feed', 'test_decoding')");
        let mut reader = Command::new("pg_recvlogical")
            .args(["-h", "127.0.0.1", "-p", &self.server.port().to_string(), "-U", "postgres", "-d", "erp"])
            .args(["--slot", "feed", "--start", "-f", "/dev/null"])
            .env("PGPASSWORD", self.server.superuser_password())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let active = |number: &str| {
            let active = "SELECT count(*) FROM pg_replication_slots WHERE active";
            wait_until(Duration::from_mins(1), || self.server.psql("erp", active) == number);
        };
        active("1");
        self.is_refused("through the replication slot `feed`", "pg_drop_replication_slot(slot_name)");
        reader.kill().unwrap();
        reader.wait().unwrap();
        active("0");
    }
}
