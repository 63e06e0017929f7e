//! What can go wrong is said with its place and a hint, stops nobody else, and is over when it is mended.

use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tenantdb_testkit::{
    ADMIN_PASSWORD_VARIABLE, Admin, Options, TestServer, free_port, majors, on_servers, query_at, wait_until,
};
use tokio_postgres::Client;

use crate::world::{Run, World, query, server_yaml, tenant};

const PATIENCE: Duration = Duration::from_mins(1);

/// Checks that a run failed with a message that names the server and what to do.
#[track_caller]
fn fails(run: Run, server: &TestServer, message: &str) -> Run {
    failed(run.exits(1), server.port(), message)
}

#[track_caller]
fn failed(run: Run, port: u16, message: &str) -> Run {
    run.tells(&format!("server shared (127.0.0.1:{port}): ")).tells(message).tells("  hint: ")
}

/// A world whose server's declaration has another text in the place of this one.
fn world_with(server: &TestServer, text: &str, other: &str) -> World {
    let world = World::on(server);
    let declared = std::fs::read_to_string(world.folder().join("server.yaml")).unwrap();
    assert!(declared.contains(text), "no `{text}` in {declared}");
    world.write("server.yaml", &declared.replace(text, other));
    world
}

/// Checks that a tenant is as declared and its credential works.
#[track_caller]
fn works(world: &World, server: &TestServer, name: &str) {
    let credential = world.delivered(name);
    let who = query(server, &credential, "SELECT current_user || ' ' || session_user").unwrap();
    assert_eq!(who, format!("{name} {name}_a"));
}

fn cafe() -> String {
    tenant("cafe", "{}")
}

fn cafe_and_erp(cafe: &str) -> String {
    tenant("cafe", cafe) + &tenant("erp", "{}")
}

on_servers! {
    [15 Plain, 18 Plain]

    fn a_server_that_does_not_answer_is_told_by_its_address(server: TestServer) {
        let port = free_port();
        let world = world_with(&server, &server.port().to_string(), &port.to_string());
        for command in [&["plan"][..], &["plan", "--exit-code"], &["apply"], &["status"], &["delete", "--yes"]] {
            failed(world.declare(&cafe()).run_on(command).exits(1), port, "Connection refused").tells("check host and port");
        }
        world.run(&["server", "list"]).exits(0).tells("no server was used from here yet");
    }

    fn a_wrong_password_is_told_with_where_it_is_taken_from(server: TestServer) {
        let mut world = World::on(&server);
        world.set("TEST_ADMIN_PASSWORD", "wrong");
        let run = fails(world.apply(&cafe()), &server, "database postgres: password authentication failed");
        run.tells("hint: check the administrator's password and where `admin.passwordFrom` takes it from");
    }

    fn where_no_password_is_found_each_place_is_told(server: TestServer) {
        let world = world_with(&server, "[{env: TEST_ADMIN_PASSWORD}]", "[{env: NO_SUCH}, {file: no/such}, {env: EMPTY, username: postgres}]");
        let run = Run::of(world.declare(&cafe()).command_on(&["apply"]).env("EMPTY", "")).exits(1);
        let run = run.tells("server shared: no password for admin_user: the variable NO_SUCH is not set; ");
        run.tells("no/such: No such file").tells("the variable EMPTY is empty").tells("hint: set one of them");
    }

    fn what_the_administrator_lacks_is_told_with_the_statement(server: TestServer) {
        for (may, lacks) in [("CREATEROLE", "CREATEDB"), ("CREATEDB", "CREATEROLE"), ("", "CREATEDB and CREATEROLE")] {
            server.psql("postgres", &format!("DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN {may} PASSWORD 'weak'"));
            let mut world = world_with(&server, "username: admin_user", "username: weak");
            world.set("TEST_ADMIN_PASSWORD", "weak");
            let run = fails(world.apply(&cafe()), &server, &format!("the administrator's login weak lacks {lacks}"));
            run.tells(&format!("hint: as a superuser run: ALTER ROLE \"weak\" {}", lacks.replace(" and", "")));
        }
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_database WHERE NOT datistemplate"), "1");
    }

    fn a_server_without_tls_is_refused_where_it_is_declared(server: TestServer) {
        let world = world_with(&server, "mode: disable", "mode: require");
        fails(world.apply(&cafe()), &server, "server does not support TLS").tells("hint: turn TLS on at the server");
    }

    fn a_limit_on_the_administrators_connections_is_told_and_can_be_kept_to(server: TestServer) {
        let world = World::on(&server);
        server.psql("postgres", "ALTER ROLE admin_user CONNECTION LIMIT 1");
        fails(world.apply(&cafe()), &server, "too many connections for role \"admin_user\"").tells("lower `limits.connections`");

        server.psql("postgres", "ALTER ROLE admin_user CONNECTION LIMIT 3");
        let modest = world_with(&server, "default: true", "default: true\n  limits: {connections: 3}");
        modest.apply(&(cafe_and_erp("{}") + &tenant("shop", "{}"))).exits(0);
        works(&modest, &server, "cafe");
    }

    fn a_database_that_somebody_else_has_in_hand_is_waited_for_and_then_told(server: TestServer) {
        let mut world = World::on(&server);
        world.set("TENANTDB_LOCK_TIMEOUT", "1");
        world.apply(&tenant("erp", "{}")).exits(0);
        let other = HeldLock::of_database(&server, "cafe");
        let changed = cafe() + &tenant("erp", "{comment: Orders}");
        let run = fails(world.apply(&changed), &server, "testkit has been working on database cafe for 1 s");
        run.tells("default/cafe: ").says("~ default/erp changed");
        drop(other);
        world.apply(&changed).exits(0);
        works(&world, &server, "cafe");

        world.set("TENANTDB_LOCK_TIMEOUT", "soon");
        world.apply(&changed).exits(2).tells("TENANTDB_LOCK_TIMEOUT is `soon`").tells("hint:");
    }

    fn what_a_restart_of_the_server_breaks_off_is_finished_by_the_next_run(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("erp", "{}")).exits(0);
        let (applying, _held) = stuck(&world, &server);
        server.restart();
        fails(Run::end_of(applying), &server, "default/cafe: ").tells("run it again to finish");
        world.run_on(&["apply"]).exits(0);
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        works(&world, &server, "cafe");
    }

    fn what_a_user_stops_midway_is_finished_by_the_next_run(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("erp", "{}")).exits(0);
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let (applying, held) = stuck(&world, &server);
            kill(Pid::from_raw(applying.id().try_into().unwrap()), signal).unwrap();
            let told = Told::by(applying, "stopping after the statements in hand");
            drop(held);
            told.end().exits(130).tells("interrupted before it was done").tells("hint: run it again to finish");
            let half_made = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tenantdb%'";
            wait_until(PATIENCE, || server.psql("postgres", half_made) == "0");
            world.run_on(&["apply"]).exits(0);
            works(&world, &server, "cafe");
            world.declare(&tenant("cafe", "{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}"));
            world.run_on(&["apply"]).exits(0);
            world.run_on(&["delete", "--yes"]).exits(0);
        }
    }

    fn what_was_never_begun_when_it_was_stopped_is_told_in_one_line(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("erp", "{}")).exits(0);
        let held = HeldLock::of_role_changes(&server);
        world.declare(&(0..30).map(|number| tenant(&format!("t{number}"), "{}")).collect::<String>());
        let applying = world.start(&["apply", "-f", "server.yaml", "-f", "tenants.yaml"]);
        wait_for_a_lock(&server);
        kill(Pid::from_raw(applying.id().try_into().unwrap()), Signal::SIGINT).unwrap();
        let told = Told::by(applying, "stopping after the statements in hand");
        drop(held);
        let run = told.end().exits(130).tells("databases could be begun").tells("hint: run it again to finish").says("30 interrupted");
        assert!(run.stderr.lines().count() < 30, "{}", run.stderr);
        world.run_on(&["apply"]).exits(0);
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn a_reader_who_went_away_stops_nothing(server: TestServer) {
        let world = World::on(&server);
        world.declare(&cafe_and_erp("{extensions: [pg_trgn]}"));
        for command in ["plan", "apply", "status"] {
            let mut running = world.command_on(&[command]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            drop((running.stdout.take(), running.stderr.take()));
            let code = running.wait().unwrap().code();
            assert_eq!(code, Some(if command == "apply" { 4 } else { 0 }), "{command}");
        }
        works(&world, &server, "erp");

        // A full disk is another matter: all is done, and the loss is told.
        world.declare(&(cafe() + &tenant("shop", "{}")));
        let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let run = Run::end_of(world.command_on(&["apply"]).stdout(full()).stderr(Stdio::piped()).spawn().unwrap());
        let run = run.exits(1).tells("error: can't print: No space left on device");
        assert_eq!(run.stderr.matches("can't print").count(), 1, "{}", run.stderr);
        works(&world, &server, "shop");
    }

    fn an_extension_that_can_not_be_had_is_refused_before_its_database_is_made(server: TestServer) {
        let world = World::on(&server);
        let misspelt = world.apply(&cafe_and_erp("{extensions: [pg_trgn]}")).exits(4);
        misspelt.tells("default/cafe: the server has no extension `pg_trgn`").tells("hint: did you mean `pg_trgm`?");
        works(&world, &server, "erp");
        let untrusted = world.apply(&cafe_and_erp("{extensions: [pageinspect]}")).exits(4);
        untrusted.tells("default/cafe: extension `pageinspect` is not trusted").tells("let a superuser run in database cafe: BEGIN; ").tells("CREATE EXTENSION \"pageinspect\"");
        assert!(!server.has_database("cafe"));
    }

    fn a_database_from_before_an_upgrade_of_the_system_is_told_of_and_goes_on(server: TestServer) {
        let world = World::on(&server);
        let icu = "{create: {icuLocale: en}}";
        world.apply(&tenant("cafe", icu)).exits(0);
        for database in ["cafe", "tenantdb", "postgres"] {
            let stale = format!("UPDATE pg_database SET datcollversion = '0' WHERE datname = '{database}'");
            server.psql("template1", &stale);
        }
        let changed = tenant("cafe", "{create: {icuLocale: en}, schemas: [app]}");
        let told = world.apply(&changed).exits(0).tells("CollationChanged");
        told.tells("REINDEX DATABASE \"cafe\"; ALTER DATABASE \"cafe\" REFRESH COLLATION VERSION");
        world.run_on(&["plan", "--refresh", "--exit-code"]).exits(0).tells("CollationChanged");
        server.psql("cafe", "ALTER DATABASE cafe REFRESH COLLATION VERSION");
        let after = world.run_on(&["plan", "--refresh", "--exit-code"]).exits(0);
        assert!(!after.stderr.contains("when cafe"), "{}", after.stderr);
    }

    fn a_ledger_that_somebody_makes_meanwhile_is_used(server: TestServer) {
        let world = World::on(&server);
        world.declare(&cafe()).run_killed_at("after-create-ledger", &["apply"]);
        let held = HeldLock::of_role_changes(&server);
        let applying = world.start(&["apply", "-f", "server.yaml", "-f", "tenants.yaml"]);
        wait_for_a_lock(&server);
        let tables = include_str!("../../../postgres/src/ledger/schema.sql");
        server.psql("tenantdb", &format!("SET ROLE tenantdb_owner; {tables}"));
        drop(held);
        Run::end_of(applying).exits(0);
        works(&world, &server, "cafe");
    }

    fn a_tenant_that_fails_stops_nobody(server: TestServer) {
        let world = World::on(&server);
        // A role in the way that the look before can't have seen.
        world.apply(&tenant("shop", "{}")).exits(0);
        let held = HeldLock::of_role_changes(&server);
        world.declare(&cafe_and_erp("{}"));
        let applying = world.start(&["apply", "-f", "server.yaml", "-f", "tenants.yaml"]);
        wait_for_a_lock(&server);
        server.psql("postgres", "CREATE ROLE cafe_b");
        drop(held);
        let run = fails(Run::end_of(applying), &server, "role \"cafe_b\" already exists");
        run.tells("default/cafe: ").tells("database tenantdb: CREATE ROLE: ").says("+ default/erp created").says("1 failed");
        works(&world, &server, "erp");
        server.psql("postgres", "DROP ROLE cafe_b");
        world.run_on(&["apply"]).exits(0);
        works(&world, &server, "cafe");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn closing_the_servers_own_databases_as_it_is_told_keeps_the_administrator_in(server: TestServer) {
        let world = World::on(&server);
        let noted = world.apply(&cafe()).exits(0).tells("note: server shared: SystemDatabasesOpen: ");
        let (_, statements) = noted.stderr.split_once("as their owner run: ").unwrap();
        server.psql("postgres", statements.lines().next().unwrap());
        let closed = world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        assert!(!closed.stderr.contains("DatabasesOpen"), "{}", closed.stderr);

        server.psql("postgres", "CREATE DATABASE \"old app\"");
        server.psql("postgres", "CREATE DATABASE other");
        let noted = world.run_on(&["plan", "--exit-code"]).exits(0);
        let noted = noted.tells("OtherDatabasesOpen: every login may connect to old app, other, which tenantdb did not make: tenants too");
        let (_, statement) = noted.stderr.split_once("as its owner run: ").unwrap();
        server.psql("postgres", statement.lines().next().unwrap());
        let closed = world.run_on(&["plan", "--exit-code"]).exits(0);
        assert!(!closed.stderr.contains("DatabasesOpen"), "{}", closed.stderr);
        server.psql("postgres", "DROP DATABASE \"old app\"");
        server.psql("postgres", "DROP DATABASE other");

        server.psql("postgres", &format!("REVOKE CONNECT ON DATABASE postgres FROM {}", server.admin_username()));
        let shut_out = world.run_on(&["plan"]).exits(1).tells("hint: as a superuser run: GRANT CONNECT ON DATABASE \"postgres\" TO ");
        let (_, statement) = shut_out.stderr.split_once("as a superuser run: ").unwrap();
        server.psql("template1", statement.split(';').next().unwrap());
        world.run_on(&["plan", "--exit-code"]).exits(0);
    }

    fn another_server_under_a_known_name_is_not_touched(server: TestServer) {
        let other = TestServer::start(server.major(), Admin::Plain);
        let mut world = World::on(&server);
        world.apply(&cafe()).exits(0);
        let declared = world.folder().join("server.yaml");
        let first = std::fs::read_to_string(&declared).unwrap();
        let second = server_yaml(&other);
        std::fs::write(&declared, &second).unwrap();
        world.set(ADMIN_PASSWORD_VARIABLE, other.admin_password());
        for command in [&["plan"][..], &["apply"], &["status"], &["delete", "--yes"]] {
            let run = world.run_on(command).exits(1).tells("is not the server that was used from here as shared: it has no ledger");
            run.tells("hint: give it another name").tells("tenantdb server forget shared");
        }
        assert_eq!(other.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'tenantdb_owner'"), "0");

        world.run(&["server", "forget", "shared"]).exits(0).says("shared is forgotten");
        world.run(&["server", "forget", "shared"]).exits(2).tells("no server `shared` was used from here");
        world.apply(&tenant("erp", "{}")).exits(0);
        works(&world, &other, "erp");
        std::fs::write(&declared, &first).unwrap();
        world.set(ADMIN_PASSWORD_VARIABLE, server.admin_password());
        world.run_on(&["plan"]).exits(1).tells("it has another ledger");
    }

    fn a_server_that_is_declared_alone_is_tried_and_remembered(server: TestServer) {
        let mut world = World::on(&server);
        world.set(ADMIN_PASSWORD_VARIABLE, "wrong");
        fails(world.run(&["apply", "-f", "server.yaml"]), &server, "password authentication failed");
        world.set(ADMIN_PASSWORD_VARIABLE, server.admin_password());
        let tried = world.run(&["apply", "-f", "server.yaml"]).exits(0).says("Nothing to do: there is no database.");
        tried.tells(&format!("note: server shared: PostgreSQL {} answers and is remembered", server.major()));
        world.declare(&cafe()).run(&["apply", "-f", "tenants.yaml"]).exits(0);
        works(&world, &server, "cafe");
    }

    fn what_it_does_can_be_followed_in_its_log(server: TestServer) {
        let mut world = World::on(&server);
        world.set("TENANTDB_LOG", "debug");
        let run = world.apply(&cafe()).exits(0).tells("connected").tells("begun").tells("statement=\"CREATE DATABASE\"");
        assert!(!run.stderr.contains("asked"), "{}", run.stderr);
    }

    fn a_damaged_memory_of_a_server_says_what_to_do(server: TestServer) {
        let world = World::on(&server);
        world.apply(&cafe()).exits(0);
        let memory = world.home().join("known-servers/shared.json");
        std::fs::write(&memory, "{").unwrap();
        world.run_on(&["plan"]).exits(1).tells("known-servers/shared.json: EOF").tells("hint: remove it; the next `tenantdb apply`");
        std::fs::remove_file(memory).unwrap();
        world.run_on(&["apply"]).exits(0);
        world.run(&["status"]).exits(0).says("Ready");
    }

    fn settings_that_no_tenant_can_have_are_refused_before_it_is_made(server: TestServer) {
        let world = World::on(&server);
        let refused = [
            ("statement_timeut: 5s", "the server has no setting `statement_timeut`", "did you mean `statement_timeout`?"),
            ("log_statement: all", "only a superuser can set `log_statement`", "leave it out, and let a superuser run: ALTER DATABASE"),
            ("pg_trgm.similarity_threshold: 0.5", "the server has no setting `pg_trgm.similarity_threshold`", "leave it out; what a library brings along"),
            ("work_mem: lots", "the server refuses `work_mem: lots`: invalid value for parameter \"work_mem\"", "correct the value in the declaration"),
            ("work_mem: 16XB", "the server refuses `work_mem: 16XB`", "correct the value"),
            ("statement_timeout: -5", "the server refuses `statement_timeout: -5`: -5 ms is outside the valid range for parameter \"statement_timeout\"", "correct the value"),
            ("timezone: Europe/Nowhere", "the server refuses `timezone: Europe/Nowhere`: invalid value for parameter \"TimeZone\": \"Europe/Nowhere\"", "correct the value"),
            ("timezone: Mars, log_statement: all, work_mum: 1MB", "only a superuser can set `log_statement` (leave it out,", "correct each of them"),
            ("shared_buffers: 1GB", "`shared_buffers` holds for the whole server, not for a login", "leave it out, and set it in the server's configuration"),
        ];
        for (setting, message, hint) in refused {
            let planned = world.plan(&cafe_and_erp(&format!("{{settings: {{{setting}}}}}"))).exits(4);
            planned.tells(&format!("error: default/cafe: {message}")).tells(&format!("hint: {hint}"));
        }
        world.run_on(&["apply"]).exits(4).says("+ default/erp created").says("1 refused");
        world.apply(&cafe_and_erp("{settings: {timezone: UTC}}")).exits(0);
        works(&world, &server, "cafe");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn databases_beyond_the_limit_of_their_server_are_refused_and_the_others_made(server: TestServer) {
        let world = world_with(&server, "default: true", "default: true\n  limits: {databases: 1}");
        let run = world.apply(&cafe_and_erp("{}")).exits(4).says("1 created").says("1 refused");
        run.tells("the server holds as many databases as `limits.databases` allows (1)").tells("hint: raise `limits.databases`");
        world.run_on(&["plan", "--exit-code"]).exits(4);
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname IN ('cafe', 'erp')"), "1");
    }

    fn a_home_that_can_not_be_written_is_told_before_anything_is_made(server: TestServer) {
        let mut world = World::on(&server);
        let file = world.write("a-file", "").display().to_string();
        world.set("TENANTDB_HOME", &format!("{file}/home"));
        world.apply(&cafe()).exits(1).tells(&file).tells("hint: ");
        assert!(!server.has_database("cafe"));

        let world = World::on(&server);
        let in_the_way = world.write("home/credentials/default", "").display().to_string();
        world.apply(&cafe()).exits(4).tells("default/cafe: ").tells(&in_the_way).tells("hint: ");
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname ~ '^cafe'"), "0");
        std::fs::remove_file(&in_the_way).unwrap();
        world.apply(&cafe()).exits(0);
        works(&world, &server, "cafe");
    }

    fn a_ledger_that_someone_else_made_or_may_enter_is_not_trusted(server: TestServer) {
        let world = World::on(&server);
        server.psql("postgres", "CREATE ROLE mallory LOGIN CREATEDB");
        server.psql("postgres", "CREATE DATABASE tenantdb OWNER mallory");
        for command in [&["plan"][..], &["apply"], &["status"]] {
            let run = fails(world.declare(&cafe()).run_on(command), &server, "database tenantdb is owned by mallory");
            let run = run.says_nothing_of("as declared");
            run.tells("can't be trusted as the ledger").tells("hint: find out who made it");
        }
        assert_eq!(server.psql("tenantdb", "SELECT count(*) FROM pg_namespace WHERE nspname = 'ledger'"), "0");
        assert!(!server.has_database("cafe"));

        server.psql("postgres", "ALTER DATABASE tenantdb RENAME TO not_the_ledger");
        world.apply(&cafe()).exits(0);
        server.psql("postgres", "GRANT CONNECT ON DATABASE tenantdb TO mallory");
        let run = fails(world.run_on(&["apply"]), &server, "database tenantdb is open to mallory");
        run.tells("REVOKE ALL ON DATABASE tenantdb FROM");
    }

    fn a_ledger_that_a_newer_tenantdb_wrote_is_left_alone_by_every_command(server: TestServer) {
        let world = World::on(&server);
        world.apply(&cafe()).exits(0);
        server.psql("tenantdb", "UPDATE ledger.server SET version = 3; ALTER TABLE ledger.tenant RENAME COLUMN epoch TO era");
        let newer = "the ledger has version 3, and this tenantdb knows version 2";
        for command in [&["plan"][..], &["apply", "--yes"], &["apply", "--prune", "--yes"], &["status"], &["delete", "--yes"]] {
            let run = world.untouched(&server, || world.run_on(command));
            fails(run, &server, newer).tells("hint: use the newer tenantdb that wrote it");
        }
        let others: [&[&str]; 8] = [
            &["status"],
            &["history", "cafe"],
            &["orphans"],
            &["orphans", "--purge", "cafe", "--yes"],
            &["rotate", "cafe", "--retire", "--yes"],
            &["delete", "cafe", "--yes"],
            &["server", "status", "shared"],
            &["server", "takeover", "shared", "--from", "project:other", "--yes"],
        ];
        for command in others {
            let run = world.untouched(&server, || world.run(command)).exits(1);
            run.tells(newer).tells("hint: use the newer tenantdb that wrote it");
        }
        world.run(&["credentials", "cafe"]).exits(0);
    }
}

on_servers! {
    [18 Plain; 15 Plain]
    fn a_tenant_that_never_ends_its_transaction_fails_alone(server: TestServer) {
        let world = World::on(&server);
        let tenants = ["cafe", "erp", "shop"];
        let all = |comment: &str| tenants.map(|name| tenant(name, &format!("{{comment: {comment}}}"))).concat();
        world.apply(&all("one")).exits(0);
        for name in tenants {
            server.psql("postgres", &format!("ALTER ROLE {name}_a SET work_mem = '1MB'"));
        }
        let holds = "SET statement_timeout = 0; SET ROLE NONE; BEGIN; ALTER ROLE cafe_a SET work_mem = '1MB'; SELECT pg_sleep(60)";
        as_cafe(&world, &server, holds);
        let held = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'cafe_a' AND query LIKE '%pg_sleep(60)'";
        wait_until(PATIENCE, || server.psql("postgres", held) == "1");
        let run = world.apply(&all("two")).exits(1).tells("default/cafe: ");
        run.says("~ default/erp changed").says("~ default/shop changed");
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'cafe_a'";
        server.psql("postgres", end);
        world.run_on(&["apply"]).exits(0);
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }
}

on_servers! {
    [18 Plain; 15 Plain]
    fn a_database_that_lets_nobody_in_keeps_no_other_from_being_looked_at(server: TestServer) {
        let world = World::on(&server);
        world.apply(&(tenant("cafe", "{}") + &tenant("erp", "{}"))).exits(0);
        // The second waits for the first, with a lock that every new session waits for.
        for (statements, waits) in [
            ("SET statement_timeout = 0; SET ROLE NONE; BEGIN; ALTER ROLE cafe_a IN DATABASE cafe SET work_mem = '1MB'; SELECT pg_sleep(120)", "PgSleep"),
            ("ALTER DATABASE cafe RENAME TO loot", "object"),
        ] {
            as_cafe(&world, &server, statements);
            let waiting = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = 'cafe_a' AND wait_event = '{waits}'");
            wait_until(PATIENCE, || server.psql("postgres", &waiting) == "1");
        }
        server.psql("postgres", "ALTER ROLE erp_a NOLOGIN");
        let run = world.run_on(&["apply", "--refresh"]).exits(4).tells("default/cafe: it could not be looked into");
        run.says("~ default/erp changed");
        works(&world, &server, "erp");
        server.psql("postgres", "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'cafe_a'");
        world.run_on(&["apply", "--refresh"]).exits(0);
    }
}

#[test]
fn a_server_without_room_for_another_connection_is_told_and_used_once_there_is() {
    for major in majors() {
        let server = Options::new(major, Admin::Plain).setting("max_connections", "10").start();
        let world = World::on(&server);
        let crowd = Sessions::of(&server, 7);
        fails(world.apply(&cafe()), &server, "connection").tells("raise max_connections on the server");
        drop(crowd);
        let quiet = "SELECT count(*) < 3 FROM pg_stat_activity WHERE datname IS NOT NULL";
        wait_until(PATIENCE, || server.psql("postgres", quiet) == "t");
        world.apply(&cafe()).exits(0);
        works(&world, &server, "cafe");
    }
}

#[test]
fn what_listens_and_never_answers_is_given_up_on() {
    let Some(server) = TestServer::try_start(18, Admin::Plain) else { return };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let world = World::on(&server);
    world.apply(&cafe()).exits(0);
    let port = silent.local_addr().unwrap().port().to_string();
    world.write("server.yaml", &server_yaml(&server).replace(&server.port().to_string(), &port));
    world.plan(&cafe()).exits(1).tells("gave no answer within 10 s").tells("hint: check host and port");
    world.run_on(&["apply"]).exits(1).tells("gave no answer within 10 s");
    // A remembered server that does not answer may well hold what is not found.
    let memory = world.home().join("known-servers/shared.json");
    let remembered = std::fs::read_to_string(&memory).unwrap().replace(&server.port().to_string(), &port);
    std::fs::write(memory, remembered).unwrap();
    let delete = world.run(&["delete", "caffe"]).exits(1).tells("is on none of the servers that answered");
    assert!(!delete.stderr.contains("did you mean"), "{}", delete.stderr);
}

/// Runs statements with the credential of `cafe`, and does not wait for their end.
fn as_cafe(world: &World, server: &TestServer, statements: &'static str) {
    let (credential, port) = (world.delivered("cafe"), server.port());
    std::thread::spawn(move || query_at(port, &credential["username"], &credential["password"], "cafe", statements));
}

/// Sessions that stay open until they are dropped.
struct Sessions {
    _clients: Vec<Client>,
    _runtime: tokio::runtime::Runtime,
}

impl Sessions {
    fn of(server: &TestServer, number: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let login = || server.connect(server.admin_username(), server.admin_password(), "postgres");
        let clients = (0..number).map(|_| runtime.block_on(login()).unwrap()).collect();
        Self { _clients: clients, _runtime: runtime }
    }
}

/// A lock in the ledger that somebody holds until it is dropped.
pub struct HeldLock {
    _client: Client,
    _runtime: tokio::runtime::Runtime,
}

impl HeldLock {
    /// The lock that a run holds on a database while it works on it.
    fn of_database(server: &TestServer, database: &str) -> Self {
        Self::taken(server, &format!("SELECT pg_advisory_lock(x'74646201'::int, hashtext('{database}'))"))
    }

    /// The lock around changes of roles, which a run takes for each transaction.
    pub fn of_role_changes(server: &TestServer) -> Self {
        Self::taken(server, "SELECT pg_advisory_lock(x'746462726f6c6573'::bigint)")
    }

    fn taken(server: &TestServer, sql: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let client = server.superuser("tenantdb").await;
            client.simple_query(sql).await.unwrap();
            client
        });
        Self { _client: client, _runtime: runtime }
    }
}

/// A run that makes `cafe` and has come as far as its roles, where it waits for the lock.
fn stuck(world: &World, server: &TestServer) -> (Child, HeldLock) {
    let held = HeldLock::of_role_changes(server);
    world.declare(&cafe());
    let applying = world.start(&["apply", "-f", "server.yaml", "-f", "tenants.yaml"]);
    wait_for_a_lock(server);
    (applying, held)
}

/// Waits until some run waits for a lock.
pub fn wait_for_a_lock(server: &TestServer) {
    let waiting = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    wait_until(PATIENCE, || server.psql("postgres", waiting) == "t");
}

/// A run that has told something.
struct Told {
    child: Child,
    before: Vec<u8>,
}

impl Told {
    /// Waits until a run has told this.
    fn by(mut child: Child, text: &str) -> Self {
        use std::io::Read;
        let (mut before, mut byte) = (Vec::new(), [0]);
        let stderr = child.stderr.as_mut().unwrap();
        while !String::from_utf8_lossy(&before).contains(text) {
            assert_eq!(stderr.read(&mut byte).unwrap(), 1, "it ended and told {}", String::from_utf8_lossy(&before));
            before.push(byte[0]);
        }
        Self { child, before }
    }

    /// Waits for its end.
    fn end(self) -> Run {
        let mut output = self.child.wait_with_output().unwrap();
        output.stderr.splice(0..0, self.before);
        Run::from(output)
    }
}
