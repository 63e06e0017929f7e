//! What becomes of what a deletion left behind: taken back, taken over by another declaration, or removed for good.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tenantdb_testkit::{TestServer, on_every_server, on_servers, wait_until};

use crate::world::{Run, World, query, tenant, tenant_in};

const UNPROTECTED: &str = "{deletionProtection: false}";

const GOES: &str = "{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}";

/// With a login for reports, and with a role of its own that may read.
const SHARED: &str = "{deletionProtection: false, access: [{name: reporting, level: ReadOnly}, \
                      {role: default/grafana, level: ReadOnly}]}";

fn grafana() -> String {
    "---\napiVersion: tenantdb.dev/v1alpha1\nkind: TenantRole\nmetadata: {name: grafana}\n\
     spec: {databases: [{name: cafe, level: ReadOnly}]}\n"
        .to_owned()
}

/// A declaration of another namespace that asks for the same database.
fn taker(database: &str, more: &str) -> String {
    tenant_in("shop", "orders", &format!("{{database: {database}, adopt: Existing{more}}}"))
}

/// A database with a row, left behind.
fn left_behind(server: &TestServer, spec: &str) -> World {
    let world = World::on(server);
    world.apply(&tenant("cafe", spec)).exits(0);
    let credential = world.delivered("cafe");
    query(server, &credential, "CREATE TABLE lines (id int); INSERT INTO lines VALUES (1)").unwrap();
    world.run(&["delete", "cafe"]).exits(0);
    world
}

/// The databases and roles that there are for the names of these tests, and the phases in the ledger.
fn left(server: &TestServer) -> String {
    let names = "SELECT string_agg(name, ' ' ORDER BY name) FROM (SELECT 'database ' || datname FROM pg_database \
                 WHERE datname IN ('cafe', 'erp') UNION SELECT rolname FROM pg_roles WHERE rolname ~ '^(cafe|erp)') x (name)";
    let phases = "SELECT string_agg(phase, ' ' ORDER BY id) FROM ledger.tenant";
    format!("{} {}", server.psql("postgres", names), server.psql("tenantdb", phases)).trim().to_owned()
}

on_every_server! {
    async fn an_orphan_is_removed_for_good_whatever_its_policies_said(server: TestServer) {
        let world = left_behind(&server, "{deletionProtection: false, access: [{name: reporting, level: ReadOnly}]}");
        let credential = world.delivered("cafe");
        let session = server.connect(&credential["username"], &credential["password"], "cafe").await.unwrap();
        world.run(&["orphans"]).exits(0).says("cafe").says("cafe:reporting");

        let asked = world.untouched(&server, || world.run(&["orphans", "--purge", "cafe"])).exits(4);
        asked.tells("default/cafe: needs consent").tells("database cafe, with all its data");
        session.simple_query("SELECT 1").await.expect("nothing was touched");
        let purged = world.run(&["orphans", "--purge", "cafe", "--yes"]).exits(0);
        purged.says("- default/cafe deleted").says("database cafe, with all its data: dropped").says("- credential in ").says("left behind, and removed for good");
        session.simple_query("SELECT 1").await.expect_err("its database is gone");
        assert_eq!(left(&server), "");
        for secret in ["cafe-secret", "cafe-secret-reporting"] {
            assert!(!world.credential_path("default", secret).exists(), "{secret}");
        }
        world.run(&["orphans"]).exits(0).tells("nothing was left behind");
        world.run(&["history", "cafe"]).exits(0).says("orphan").says("begin to purge").says("delete");
        world.run(&["orphans", "--purge", "cafe", "--yes"]).exits(2).tells("no database default/cafe");
    }

    async fn an_orphan_is_taken_over_once_nobody_who_had_it_gets_in(server: TestServer) {
        let world = World::on(&server);
        world.apply(&(tenant("cafe", SHARED) + &grafana())).exits(0);
        let before = world.delivered("cafe");
        let reporting = world.credential("default", "cafe-secret-reporting");
        query(&server, &before, "CREATE TABLE lines (id int); INSERT INTO lines VALUES (1)").unwrap();
        let inside = server.connect(&before["username"], &before["password"], "cafe").await.unwrap();
        let reads = server.connect(&reporting["username"], &reporting["password"], "cafe").await.unwrap();

        // Never what somebody has, and never with less than is asked for.
        world.apply(&taker("cafe", "")).exits(4).tells("database `cafe` belongs to TenantDatabase default/cafe");
        world.run(&["delete", "cafe"]).exits(0);
        inside.simple_query("SELECT 1").await.expect("an orphan lives on");
        let less = world.apply(&taker("cafe", "").replace(", adopt: Existing", "")).exits(4);
        less.tells("which left it behind").tells("hint: set `adopt: Existing` to take it over, which ends its earlier logins");
        let other = world.apply(&taker("cafe", ", owner: somebody")).exits(4);
        other.tells("hint: set `owner: cafe` to take it over");
        let asked = world.untouched(&server, || world.apply(&taker("cafe", ""))).exits(4);
        asked.tells("shop/orders: needs consent").tells("logins cafe_a of TenantDatabase default/cafe");
        inside.simple_query("SELECT 1").await.expect("nothing was touched");

        world.run_on(&["plan"]).exits(0).says("database cafe: taken over from TenantDatabase default/cafe");
        let taken = world.run_on(&["apply", "--yes"]).exits(0).says("~ shop/orders adopted");
        taken.says("- default/cafe:reporting deleted").tells("CredentialElsewhere: the credential of TenantDatabase default/cafe");
        for session in [inside, reads] {
            session.simple_query("SELECT 1").await.expect_err("an earlier session is ended");
        }
        for credential in [&before, &reporting] {
            query(&server, credential, "SELECT 1").expect_err("an earlier login is ended");
        }
        let grafana = world.credential("default", "grafana-role-secret");
        query(&server, &grafana, "SELECT 1").expect_err("nobody declares that it may");
        let credential = world.credential("shop", "orders-secret");
        assert_eq!(query(&server, &credential, "SELECT current_user, count(*) FROM lines").unwrap(), "cafe|1");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        world.run(&["orphans"]).exits(0).tells("nothing was left behind");

        // Both histories tell it, and who left it behind is a stranger now.
        world.run(&["history", "orders", "-n", "shop"]).exits(0).says("take over from TenantDatabase default/cafe");
        let history = world.run(&["history", "cafe"]).exits(0);
        history.says("end logins cafe_a, for TenantDatabase shop/orders").says("taken over by TenantDatabase shop/orders");
        world.apply(&tenant("cafe", SHARED)).exits(4).tells("database `cafe` belongs to TenantDatabase shop/orders");
    }
}

on_servers! {
    [15 Plain, 18]

    fn only_an_orphan_is_purged_and_only_its_own_projects_without_being_told(server: TestServer) {
        let world = left_behind(&server, UNPROTECTED);
        world.apply(&tenant("erp", GOES)).exits(0);
        world.run(&["orphans", "--purge", "erp", "--yes"]).exits(4).tells("default/erp: it is no orphan").tells("`tenantdb delete`");
        let stranger = world.another_home();
        stranger.write("tenantdb.yaml", "project: other\n");
        stranger.apply(&tenant("wiki", "{}")).exits(0);
        stranger.run(&["orphans", "--purge", "cafe", "--yes"]).exits(2).tells("`--of AUTHORITY` removes it all the same");
        let authority = server.psql("tenantdb", "SELECT authority FROM ledger.tenant WHERE name = 'cafe'");
        let purged = stranger.run(&["orphans", "--purge", "cafe", "--of", &authority, "--yes"]).exits(0);
        purged.says("- default/cafe deleted").tells("CredentialElsewhere: its credential stays in");
        assert_eq!(left(&server), "database erp erp erp_a erp_b Provisioned Provisioned");
    }

    fn what_a_deletion_of_the_database_or_of_the_logins_left_is_purged(server: TestServer) {
        let world = World::on(&server);
        for policy in ["dbDeletionPolicy", "roleDeletionPolicy"] {
            world.apply(&tenant("cafe", &format!("{{deletionProtection: false, {policy}: Delete}}"))).exits(0);
            world.run(&["delete", "cafe", "--yes"]).exits(0);
            assert!(left(&server).ends_with("Orphaned"), "{policy}");
            world.run(&["orphans", "--purge", "cafe", "--yes"]).exits(0);
            assert_eq!(left(&server), "", "{policy}");
        }
    }

    fn an_interrupted_purge_is_finished_by_the_next_or_by_a_deletion(server: TestServer) {
        let world = World::on(&server);
        let finishes = [&["orphans", "--purge", "cafe", "--yes"][..], &["delete", "cafe", "--yes"]];
        let failpoints = ["after-record-deletion", "after-withdraw-credential", "after-drop-database", "before-forget"];
        for (failpoint, finish) in failpoints.iter().zip(finishes.iter().cycle()) {
            world.apply(&tenant("cafe", UNPROTECTED)).exits(0);
            world.run(&["delete", "cafe"]).exits(0);
            let mut purge = world.command(&["orphans", "--purge", "cafe", "--yes"]);
            assert_eq!(Run::of(purge.env("TENANTDB_FAILPOINT", failpoint)).code, None, "{failpoint}");
            world.run(finish).exits(0);
            assert_eq!(left(&server), "", "{failpoint}");
        }
    }

    fn an_interrupted_takeover_is_finished_by_the_next_and_gives_nobody_else_access(server: TestServer) {
        for failpoint in ["after-end-logins", "after-end-sessions", "after-take-over", "before-publish-credential"] {
            let world = left_behind(&server, UNPROTECTED);
            let before = world.delivered("cafe");
            world.declare(&taker("cafe", ", deletionProtection: false"));
            world.run_killed_at(failpoint, &["apply", "--yes"]);
            world.run_on(&["apply", "--yes"]).exits(0);
            query(&server, &before, "SELECT 1").expect_err("an earlier login is ended");
            let credential = world.credential("shop", "orders-secret");
            assert_eq!(query(&server, &credential, "SELECT count(*) FROM lines").unwrap(), "1", "{failpoint}");
            world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
            world.run(&["delete", "orders", "-n", "shop"]).exits(0);
            world.run(&["orphans", "--purge", "orders", "-n", "shop", "--yes"]).exits(0);
        }
    }

    fn what_is_left_without_logins_or_without_a_database_is_taken_over(server: TestServer) {
        let world = World::on(&server);
        for policy in ["dbDeletionPolicy", "roleDeletionPolicy"] {
            world.apply(&tenant("cafe", &format!("{{deletionProtection: false, {policy}: Delete}}"))).exits(0);
            world.run(&["delete", "cafe", "--yes"]).exits(0);
            let mine = taker("cafe", ", deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete");
            world.declare(&mine).run_on(&["apply", "--yes"]).exits(0);
            let credential = world.credential("shop", "orders-secret");
            assert_eq!(query(&server, &credential, "SELECT current_user").unwrap(), "cafe", "{policy}");
            world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
            world.run_on(&["delete", "--yes"]).exits(0);
            assert_eq!(left(&server), "", "{policy}");
        }
    }

    fn a_database_that_somebody_renamed_or_replaced_is_never_purged_nor_taken_over(server: TestServer) {
        let world = left_behind(&server, UNPROTECTED);
        let commands = || {
            let files = ["apply", "--yes", "-f", "server.yaml", "-f", "tenants.yaml"];
            [files.to_vec(), vec!["orphans", "--purge", "cafe", "--yes"]]
        };
        let refused = |why: &str| {
            for declared in [tenant("cafe", UNPROTECTED), taker("cafe", "")] {
                world.declare(&declared);
                for command in commands() {
                    world.untouched(&server, || world.run(&command)).exits(4).tells(why);
                }
            }
        };
        server.psql("postgres", "ALTER DATABASE cafe RENAME TO kept");
        refused("its database \"cafe\" was renamed to \"kept\"");
        server.psql("postgres", "CREATE DATABASE cafe OWNER tenantdb_owner");
        refused("database `cafe` is not the one that tenantdb made");
        server.psql("postgres", "DROP DATABASE cafe");
        server.psql("postgres", "ALTER DATABASE kept RENAME TO cafe");
        world.run(&["orphans", "--purge", "cafe", "--yes"]).exits(0);
    }
}

on_servers! {
    [18 Plain; 15 Plain, 18 Superuser]
    async fn a_deletion_that_waits_for_a_checkpoint_says_so_and_one_that_breaks_off_there_is_finished(server: TestServer) {
        let world = World::on(&server);
        let checkpointer = server.psql("postgres", "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
        let checkpointer = Pid::from_raw(checkpointer.parse().unwrap());
        let half_dropped = || server.psql("postgres", "SELECT datconnlimit FROM pg_database WHERE datname = 'cafe'") == "-2";
        for finish in ["apply", "delete"] {
            world.apply(&tenant("cafe", GOES)).exits(0);
            signal::kill(checkpointer, Signal::SIGSTOP).unwrap();
            let delete = world.command(&["delete", "cafe", "--yes"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            wait_until(Duration::from_secs(20), half_dropped);
            std::thread::sleep(Duration::from_secs(4));
            server.psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DROP DATABASE%'");
            let ended = Run::end_of(delete);
            signal::kill(checkpointer, Signal::SIGCONT).unwrap();
            let told = ended.exits(1).tells("note: default/cafe: the server writes all that changed to its disk first (a checkpoint)");
            assert_eq!(told.stderr.matches("a checkpoint").count(), 1, "{}", told.stderr);
            assert!(half_dropped(), "the server finished it");
            world.run_on(&[finish, "--yes"]).exits(0);
            if finish == "apply" {
                world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
            } else {
                assert_eq!(left(&server), "");
            }
        }
    }
}
