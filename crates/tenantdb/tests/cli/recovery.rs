//! A ledger that was lost, that is older than its server, and databases that a restore made anew: whoever logs in goes on,
//! and nothing is made twice.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use tenantdb_testkit::{Admin, Options, TestServer, available, majors, on_servers};

use crate::adoption::writer::Writer;
use crate::crash::{is_worth_a_kill, traced};
use crate::world::{World, query, server_yaml, tenant};

/// With a login for reports, and with a role of its own that may read.
const SHARED: &str = "{comment: Orders, connectionLimit: 20, settings: {statement_timeout: 30s}, schemas: [app], \
                      extensions: [pg_trgm], access: [{name: reporting, level: ReadOnly}, \
                      {role: default/grafana, level: ReadOnly}]}";

const IN_PLACE: &str = "{credentials: {rotation: {strategy: InPlace}}}";

/// The credentials of [`several`].
const SECRETS: [&str; 4] = ["cafe-secret", "cafe-secret-reporting", "grafana-role-secret", "erp-secret"];

/// Tenants of every kind.
fn several() -> String {
    let grafana = "---\napiVersion: tenantdb.dev/v1alpha1\nkind: TenantRole\nmetadata: {name: grafana}\n\
                   spec: {databases: [{name: cafe, level: ReadOnly}]}\n";
    [&tenant("cafe", SHARED), grafana, &tenant("erp", IN_PLACE), &tenant("blog", "{init: [{file: seed.sql}]}")].concat()
}

fn with_several(server: &TestServer) -> World {
    let world = World::on(server);
    world.write("seed.sql", "CREATE TABLE seeded (id int); INSERT INTO seeded VALUES (1)");
    world.apply(&several()).exits(0);
    query(server, &world.delivered("cafe"), "CREATE TABLE lines (id int)").unwrap();
    world
}

/// Somebody drops the ledger.
fn lose_ledger(server: &TestServer) {
    server.psql("postgres", "DROP DATABASE tenantdb WITH (FORCE)");
}

/// Keeps the ledger as it is now, for [`restore_ledger`].
fn keep_ledger(server: &TestServer) {
    server.psql("postgres", "CREATE DATABASE older TEMPLATE tenantdb OWNER tenantdb_owner");
    server.psql("postgres", "REVOKE ALL ON DATABASE older FROM PUBLIC");
}

/// Puts the earlier one in its place, as a restore from a dump does.
fn restore_ledger(server: &TestServer) {
    lose_ledger(server);
    server.psql("postgres", "ALTER DATABASE older RENAME TO tenantdb");
}

/// Lets it decide again.
fn accept_ledger(world: &World) {
    world
        .run(&["server", "accept-ledger", "shared", "--yes"])
        .exits(0)
        .says("the ledger of shared is accepted as it is");
}

/// Lets the home believe the server that it has another ledger.
fn forget(world: &World) {
    world.run(&["server", "forget", "shared"]).exits(0);
}

fn credentials(world: &World, secrets: &[&str]) -> Vec<BTreeMap<String, String>> {
    secrets.iter().map(|secret| world.credential("default", secret)).collect()
}

/// What the server keeps of roles and databases, but for the ledger.
fn shape(server: &TestServer) -> Vec<String> {
    [
        "SELECT rolname, rolcanlogin, rolinherit, rolconnlimit, rolpassword FROM pg_authid ORDER BY 1",
        "SELECT datname, datdba::regrole, datallowconn, datconnlimit, datacl FROM pg_database WHERE datname <> 'tenantdb' ORDER BY 1",
        "SELECT roleid::regrole, member::regrole, admin_option FROM pg_auth_members ORDER BY 1, 2, 3",
        "SELECT setrole::regrole, setconfig FROM pg_db_role_setting ORDER BY 1, 2",
    ]
    .map(|catalog| server.psql("postgres", catalog))
    .into()
}

/// Nothing is left to do, however closely is looked.
#[track_caller]
fn is_settled(world: &World) {
    world.run_on(&["apply", "--yes"]).exits(0).says("Nothing to do");
    world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
}

on_servers! {
    [15 Plain, 16 Superuser, 18 Plain]

    async fn a_lost_ledger_is_made_again_from_the_server_and_the_credentials(server: TestServer) {
        let world = with_several(&server);
        let (before, kept) = (shape(&server), credentials(&world, &SECRETS));
        let session = server.connect(&kept[0]["username"], &kept[0]["password"], "cafe").await.unwrap();
        lose_ledger(&server);
        let refused = world.run_on(&["apply", "--yes"]).exits(1);
        refused.tells("it has no ledger").tells("if its ledger was lost").tells("tenantdb server forget shared, then apply");
        forget(&world);
        let plan = world.untouched(&server, || world.run_on(&["plan"])).exits(0);
        plan.says("database cafe: in the ledger again; cafe_a as before").says("role grafana: in the ledger again");
        let applied = world.run_on(&["apply"]).exits(0);
        applied.tells("InitUnknown: whether script seed.sql was run is not known any more");
        assert_eq!((shape(&server), credentials(&world, &SECRETS)), (before, kept.clone()));
        is_settled(&world);
        session.simple_query("SELECT 1").await.expect("no session ends");
        for credential in &kept {
            query(&server, credential, "SELECT 1").unwrap();
        }
        let blog = world.delivered("blog");
        assert_eq!(query(&server, &blog, "SELECT count(*) FROM seeded").unwrap(), "1", "no script runs twice");
        assert_eq!(query(&server, &kept[1], "SELECT count(*) FROM lines").unwrap(), "0");
        assert_eq!(query(&server, &kept[2], "SELECT count(*) FROM lines").unwrap(), "0");
        query(&server, &kept[1], "INSERT INTO lines VALUES (1)").expect_err("it may only read");
        query(&server, &kept[2], "CREATE TABLE mine (id int)").expect_err("it may only read");
        for (who, database) in [(0, "erp"), (3, "cafe"), (1, "erp"), (2, "blog"), (0, "tenantdb")] {
            let stranger = BTreeMap::from([("database".to_owned(), database.to_owned())]);
            let stranger = kept[who].clone().into_iter().chain(stranger).collect();
            query(&server, &stranger, "SELECT 1").expect_err("everyone stays where it was");
        }
        world.run(&["history", "cafe"]).exits(0).says("recover what the ledger had lost").says_nothing_of("create");
        world.run(&["status"]).exits(0).says("cafe:reporting");
        world.run(&["delete", "cafe", "--yes"]).exits(4).tells("it is protected from deletion");
    }

    fn who_has_no_credential_is_refused_whole_and_gets_one_of_its_own_by_consent(server: TestServer) {
        let world = with_several(&server);
        let earlier = credentials(&world, &SECRETS);
        let other = world.another_home();
        lose_ledger(&server);
        let refused = other.untouched(&server, || other.run_on(&["apply", "--yes"])).exits(4);
        let refused = refused.tells("database `cafe` is there as tenantdb makes it").tells("set `adopt: Existing` to take it over as it is");
        refused.tells("role `grafana` is there as tenantdb makes it").tells("else choose another `role`, or rename that one");
        let adopting = several().replace("{comment: Orders", "{adopt: Existing, comment: Orders").replace("{credentials", "{adopt: Existing, credentials");
        other.declare(&adopting);
        other.untouched(&server, || other.run_on(&["apply"])).exits(4).tells("needs consent: database cafe: in the ledger again");
        let taken = other.run_on(&["apply", "--yes"]).exits(4);
        taken.says("default/cafe adopted").tells("default/erp: its role `erp` logs in with a password");
        let own = credentials(&other, &SECRETS[..2]);
        for credential in earlier.iter().chain(&own) {
            query(&server, credential, "SELECT 1").unwrap();
        }
        assert_eq!((own[0]["username"].as_str(), own[1]["username"].as_str()), ("cafe_b", "cafe_reporting_b"));
        other.run_on(&["apply", "--yes", "--reissue"]).exits(4).tells("default/grafana");
        query(&server, &earlier[3], "SELECT 1").expect_err("there is one password, and it was consented to another");
        for credential in earlier[..3].iter().chain(&credentials(&other, &["cafe-secret", "erp-secret"])) {
            query(&server, credential, "SELECT 1").unwrap();
        }
    }

    async fn a_ledger_that_is_older_than_the_server_learns_what_became_of_it(server: TestServer) {
        let world = World::on(&server);
        let goes = "{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}";
        let early = [tenant("cafe", SHARED_ALONE), tenant("erp", IN_PLACE), tenant("gone", goes)].concat();
        world.apply(&(early.clone() + &tenant("left", goes))).exits(0);
        keep_ledger(&server);

        // Since then: other credentials for some, others gone, and others made.
        let secrets = ["cafe-secret", "cafe-secret-reporting", "erp-secret"];
        let first = credentials(&world, &secrets);
        for secret in secrets {
            std::fs::remove_file(world.credential_path("default", secret)).unwrap();
        }
        world.declare(&(early.clone() + &tenant("shop", "{}"))).run_on(&["apply", "--yes"]).exits(0);
        for name in ["gone", "left"] {
            world.run(&["delete", name, "--yes"]).exits(0);
        }
        let now = credentials(&world, &["cafe-secret", "cafe-secret-reporting", "erp-secret", "shop-secret"]);
        assert_ne!(first[0]["username"], now[0]["username"]);
        let writers = [writer(&server, &now[0]).await, writer(&server, &now[2]).await, writer(&server, &now[3]).await];
        restore_ledger(&server);

        let applied = world.run_on(&["apply", "--yes"]).exits(0);
        applied.says("database shop: in the ledger again; shop_a as before").says("database gone");
        for writer in writers {
            writer.stop().await;
        }
        assert_eq!(credentials(&world, &["cafe-secret", "cafe-secret-reporting", "erp-secret", "shop-secret"]), now);
        for credential in now.iter().chain(&first[..2]).chain(&[world.delivered("gone")]) {
            query(&server, credential, "SELECT 1").unwrap();
        }
        is_settled(&world);
        world.run(&["status"]).exits(0).says("Missing");
        world.run_on(&["apply", "--prune", "--yes"]).exits(4).tells("the ledger was restored from a dump");
        accept_ledger(&world);
        world.run_on(&["apply", "--prune", "--yes"]).exits(0).says("1 deleted, 5 unchanged");
        world.run(&["status"]).exits(0).says_nothing_of("left");
    }

    fn nothing_is_destroyed_or_taken_over_on_the_word_of_a_ledger_that_was_restored(server: TestServer) {
        let world = World::on(&server);
        let goes = "{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}";
        let stays = "{deletionProtection: false, access: [{name: reporting, level: ReadOnly}]}";
        let early = [tenant("cafe", stays), tenant("erp", goes), tenant("blog", stays), tenant("shop", stays)].concat();
        world.apply(&early).exits(0);
        world.run(&["delete", "cafe", "blog", "--yes"]).exits(0);
        keep_ledger(&server);

        // Since then one is taken over, and one protected.
        let other = world.another_home();
        other.apply(&tenant("cafe", "{adopt: Existing}")).exits(4);
        other.run_on(&["apply", "--yes"]).exits(0);
        let taken = other.delivered("cafe");
        world.apply(&tenant("erp", "{dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}")).exits(0);
        restore_ledger(&server);

        let refused = "the ledger was restored from a dump, and may not know what became of it since";
        let hint = "hint: apply all that is declared on this server, first from where the newest credentials are; then \
                    `tenantdb server accept-ledger shared`";
        for command in [&["orphans", "--purge", "cafe", "--yes"][..], &["delete", "erp", "--yes"]] {
            world.untouched(&server, || world.run(command)).exits(4).tells(refused).tells(hint);
        }
        let third = world.another_home();
        third.declare(&tenant("blog", "{adopt: Existing}"));
        third.untouched(&server, || third.run_on(&["apply", "--yes"])).exits(4).tells(refused);
        let protected = tenant("erp", "{dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}");
        world.declare(&(protected.clone() + &tenant("shop", "{}"))).run_on(&["apply", "--yes"]).exits(4).tells(refused);
        let role = "SELECT count(*) FROM pg_roles WHERE rolname = 'shop_reporting_a' AND rolcanlogin";
        assert_eq!(server.psql("postgres", role), "1", "somebody else may have it by now");
        let takeover = ["server", "takeover", "shared", "--from", "project:x", "--yes"];
        other.untouched(&server, || other.run(&takeover)).exits(4).tells("was restored from a dump");
        world.declare(&protected).run_on(&["plan"]).exits(0).tells("LedgerRestored: ");
        query(&server, &taken, "SELECT 1").unwrap();
        world.untouched(&server, || world.run(&["server", "accept-ledger", "shared"])).exits(4).tells("needs consent");
        accept_ledger(&world);
        world.run(&["history", "erp"]).exits(0).says("accept the restored ledger");
        world.run(&["delete", "erp", "--yes"]).exits(4).tells("it is protected from deletion");
        assert!(!world.run_on(&["plan"]).exits(0).stderr.contains("LedgerRestored"));
        world.run(&["server", "accept-ledger", "shared"]).exits(0).tells("there is nothing to accept");
        third.run_on(&["apply", "--yes"]).exits(0).says("default/blog adopted");
    }

    fn a_database_that_a_restore_made_anew_is_accepted_by_consent_and_no_other(server: TestServer) {
        let world = World::on(&server);
        let spec = |adopt| tenant("cafe", &format!("{{settings: {{work_mem: 8MB}}, access: [{{name: reporting, level: ReadOnly}}]{adopt}}}"));
        world.apply(&spec("")).exits(0);
        let kept = credentials(&world, &SECRETS[..2]);
        query(&server, &kept[0], "CREATE TABLE lines (id int)").unwrap();

        // Somebody renames it and makes another.
        server.psql("postgres", "ALTER DATABASE cafe RENAME TO cafe_kept");
        server.psql("postgres", "CREATE DATABASE cafe OWNER tenantdb_owner");
        let refused = world.untouched(&server, || world.declare(&spec(", adopt: Existing")).run_on(&["apply", "--yes"])).exits(4);
        refused.tells("is not the one that tenantdb made").tells("hint: someone dropped or renamed it and made another");
        server.psql("postgres", "DROP DATABASE cafe");
        server.psql("postgres", "ALTER DATABASE cafe_kept RENAME TO cafe");

        make_anew(&server, "cafe");
        let refused = world.untouched(&server, || world.apply(&spec(""))).exits(4);
        refused.tells("is not the one that tenantdb made").tells("if the server was restored from a dump, set `adopt: Existing`");
        world.untouched(&server, || world.apply(&spec(", adopt: Existing"))).exits(4).tells("needs consent");
        let accepted = world.run_on(&["apply", "--yes"]).exits(0);
        accepted.says("default/cafe adopted").says("database cafe: the ledger knows it as it was restored");
        is_settled(&world);
        assert_eq!(credentials(&world, &SECRETS[..2]), kept);
        for credential in &kept {
            assert_eq!(query(&server, credential, "SELECT count(*) FROM lines").unwrap(), "0");
        }
        world.run(&["history", "cafe"]).exits(0).says("accept database cafe as restored");
    }
}

on_servers! {
    [18 Plain; 15 Plain, 16 Superuser]
    async fn a_kill_at_any_step_of_a_recovery_is_mended_and_applications_see_nothing(server: TestServer) {
        let world = with_several(&server);
        let kept = credentials(&world, &SECRETS);
        let writers = [writer(&server, &kept[0]).await, writer(&server, &kept[3]).await];
        lose_ledger(&server);
        forget(&world);
        let passed = traced(&mut world.command_on(&["apply"]));
        assert!(passed.contains_key("after-recover") && passed.contains_key("before-create-ledger") && passed.len() > 10, "{passed:?}");
        for failpoint in passed.keys().filter(|name| is_worth_a_kill(name)) {
            lose_ledger(&server);
            forget(&world);
            world.run_killed_at(failpoint, &["apply"]);
            for writer in &writers {
                writer.goes_on().await;
            }
            world.run_on(&["apply"]).exits(0);
            is_settled(&world);
            assert_eq!(credentials(&world, &SECRETS), kept, "{failpoint}");
        }
        for writer in writers {
            writer.stop().await;
        }
        for credential in &kept {
            query(&server, credential, "SELECT 1").unwrap();
        }
    }
}

/// Without a role of its own.
const SHARED_ALONE: &str =
    "{comment: Orders, settings: {statement_timeout: 30s}, access: [{name: reporting, level: ReadOnly}]}";

/// An application that works with a credential all the time.
async fn writer(server: &TestServer, credential: &BTreeMap<String, String>) -> Writer {
    Writer::start(server, &credential["username"], &credential["password"], &credential["database"]).await
}

/// Makes a database anew with all that it had, as a restore from a dump does.
pub fn make_anew(server: &TestServer, database: &str) {
    server.psql("postgres", &format!("ALTER DATABASE {database} RENAME TO dumped"));
    server.psql("postgres", &format!("CREATE DATABASE {database} TEMPLATE dumped OWNER tenantdb_owner"));
    let oid = |name: &str| format!("(SELECT oid FROM pg_database WHERE datname = '{name}')");
    server.psql(
        "postgres",
        &format!(
            "UPDATE pg_database SET (datacl, datconnlimit) = (SELECT datacl, datconnlimit FROM pg_database WHERE datname = \
             'dumped') WHERE datname = '{database}'; \
             UPDATE pg_db_role_setting SET setdatabase = {} WHERE setdatabase = {}; \
             INSERT INTO pg_shdescription SELECT {}, classoid, description FROM pg_shdescription WHERE objoid = {}; \
             INSERT INTO pg_shdepend SELECT dbid, classid, {}, objsubid, refclassid, refobjid, deptype FROM pg_shdepend \
             WHERE classid = 'pg_database'::regclass AND objid = {} AND deptype = 'a'",
            oid(database),
            oid("dumped"),
            oid(database),
            oid("dumped"),
            oid(database),
            oid("dumped"),
        ),
    );
    server.psql("postgres", "DROP DATABASE dumped");
}

#[test]
fn a_server_that_asks_for_no_password_proves_nothing() {
    for major in majors() {
        let server = Options::new(major, Admin::Plain).hba("host cafe cafe_a 127.0.0.1/32 trust").start();
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        lose_ledger(&server);
        forget(&world);
        let refused = world.untouched(&server, || world.run_on(&["apply", "--refresh", "--yes"])).exits(4);
        refused.tells("no credential here proves that it is default/cafe's");
    }
}

/// What `pg_dumpall` writes is a server of its own, with other OIDs.
#[test]
fn a_server_that_was_restored_as_a_whole_goes_on_by_consent() {
    if !available(15) {
        return;
    }
    let (server, other) = (TestServer::start(15, Admin::Plain), TestServer::start(15, Admin::Plain));
    let world = with_several(&server);
    let kept = credentials(&world, &SECRETS);
    let of = |program: &str, server: &TestServer| {
        let mut command = Command::new(program);
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &server.port().to_string()]);
        command.env("PGPASSWORD", server.superuser_password());
        command
    };
    let mut dump = of("pg_dumpall", &server).stdout(Stdio::piped()).spawn().unwrap();
    let restored =
        of("psql", &other).args(["-q", "-d", "postgres"]).stdin(dump.stdout.take().unwrap()).output().unwrap();
    assert!(dump.wait().unwrap().success() && restored.status.success());
    world.write("server.yaml", &server_yaml(&other));

    let adopting = several().replace("{comment: Orders", "{adopt: Existing, comment: Orders");
    let adopting =
        adopting.replace("{credentials", "{adopt: Existing, credentials").replace("{init", "{adopt: Existing, init");
    let refused = world.untouched(&other, || world.run_on(&["apply", "--yes"])).exits(4);
    refused.tells("if the server was restored from a dump, set `adopt: Existing`");
    world.declare(&adopting).run_on(&["apply", "--yes"]).exits(0).says("the ledger knows it as it was restored");
    is_settled(&world);
    world.run(&["delete", "cafe", "--yes"]).exits(4).tells("it is protected from deletion");
    world.run_on(&["plan"]).exits(0).tells("LedgerRestored");
    accept_ledger(&world);
    let password = |all: &[BTreeMap<String, String>]| all.iter().map(|one| one["password"].clone()).collect::<Vec<_>>();
    let now = credentials(&world, &SECRETS);
    assert_eq!(password(&now), password(&kept));
    assert_eq!(now[0]["port"], other.port().to_string());
    for credential in &now {
        query(&other, credential, "SELECT 1").unwrap();
    }
}
