//! Local servers, real ones: their life, and what is done to it.

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use support::{Child, Home, admin_query, kill, log, programs};
use tenantdb_local::{ADMIN, Error, Installation, LocalServer, State};
use tenantdb_testkit::{query_at, wait_until};

/// The versions to run on.
fn versions() -> impl Iterator<Item = Installation> {
    [15, 18].into_iter().filter_map(programs)
}

#[test]
fn starts_stops_and_starts_again() {
    for pg in versions() {
        let home = Home::new("home");
        let server = home.server("dev");
        assert_eq!(server.state().unwrap(), State::Uninitialised);
        assert!(LocalServer::list(home.path()).unwrap().is_empty());
        server.stop().unwrap();
        assert!(!home.path().exists(), "looking made something");

        let first = server.start(&pg).unwrap();
        assert!(first.initialised && first.started);
        assert_eq!((&*first.host, &*first.username), ("127.0.0.1", ADMIN));
        assert_eq!(server.state().unwrap(), State::Running { pid: first.pid, port: first.port });
        assert_eq!(LocalServer::list(home.path()).unwrap(), [home.server("dev")]);
        let rights = "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = session_user";
        assert_eq!(admin_query(&first, "postgres", rights).unwrap(), "f|t|t");
        let settings = "SELECT current_setting('max_connections'), current_setting('password_encryption'), \
                        current_setting('server_encoding'), current_setting('log_statement')";
        assert_eq!(admin_query(&first, "postgres", settings).unwrap(), "200|scram-sha-256|UTF8|none");
        admin_query(&first, "postgres", "CREATE ROLE kept").unwrap();

        let again = server.start(&pg).unwrap();
        assert!(!again.initialised && !again.started);
        assert_eq!((again.pid, again.port), (first.pid, first.port));
        assert_eq!(server.state().unwrap(), State::Running { pid: first.pid, port: first.port });

        server.stop().unwrap();
        server.stop().unwrap();
        assert_eq!(server.state().unwrap(), State::Stopped);
        assert!(log(&server).unwrap().contains("database system is shut down"));

        let second = server.start(&pg).unwrap();
        assert!(!second.initialised && second.started);
        assert_eq!(second.port, first.port, "the port is remembered");
        let roles = "SELECT count(*) FROM pg_roles WHERE rolname = 'kept'";
        assert_eq!(admin_query(&second, "postgres", roles).unwrap(), "1");
    }
}

#[test]
fn keeps_its_secret() {
    let Some(pg) = programs(15) else { return };
    let home = Home::new("home");
    let server = home.server("dev");
    let running = server.start(&pg).unwrap();
    let password = running.password.expose_secret();
    // A statement that fails is not in the log either.
    admin_query(&running, "postgres", "ALTER ROLE nobody_such PASSWORD 'a secret'").unwrap_err();
    let log = log(&server).unwrap();
    assert!(!log.contains(password) && !log.contains("SCRAM-SHA-256$") && !log.contains("a secret"), "{log}");
    assert!(!format!("{running:?}").contains(password));

    let record = server.directory().join("server.json");
    assert_eq!(record.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&record).unwrap().contains(password));
    if cfg!(target_os = "linux") {
        for file in ["cmdline", "environ"] {
            let bytes = fs::read(format!("/proc/{}/{file}", running.pid)).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains(password), "{file}");
        }
    }
}

#[test]
fn only_the_admin_gets_in() {
    for pg in versions() {
        let home = Home::new("home");
        let running = home.server("dev").start(&pg).unwrap();
        let refused = |user: &str, password: &str, database: &str| {
            query_at(running.port, user, password, database, "SELECT 1").unwrap_err()
        };
        // The superuser has no password, so none is right.
        for password in ["", "postgres", running.password.expose_secret()] {
            let error = refused("postgres", password, "postgres");
            assert!(error.contains("28P01") || error.contains("password"), "{error}");
        }
        admin_query(&running, "postgres", "CREATE ROLE tenant LOGIN PASSWORD 'geheim'").unwrap();
        for database in ["postgres", "template1"] {
            let error = refused("tenant", "geheim", database);
            assert!(error.starts_with("42501: permission denied for database"), "{error}");
        }
        let error = refused(ADMIN, running.password.expose_secret(), "template1");
        assert!(error.starts_with("42501"), "{error}");
        admin_query(&running, "postgres", "CREATE DATABASE shop TEMPLATE template0").unwrap();
        query_at(running.port, "tenant", "geheim", "shop", "SELECT 1").unwrap();
    }
}

#[test]
fn survives_a_kill_of_the_server() {
    for pg in versions() {
        let home = Home::new("home");
        let server = home.server("dev");
        let running = server.start(&pg).unwrap();
        admin_query(&running, "postgres", "CREATE ROLE kept").unwrap();
        let session = running.clone();
        let session = std::thread::spawn(move || admin_query(&session, "postgres", "SELECT pg_sleep(300)"));
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
        wait_until(Duration::from_secs(30), || admin_query(&running, "postgres", busy).unwrap() == "1");
        kill(running.pid);
        wait_until(Duration::from_secs(30), || server.state().unwrap() == State::Stopped);
        assert!(server.directory().join("data/postmaster.pid").exists());
        let again = server.start(&pg).unwrap();
        assert!(again.started);
        assert_eq!(again.port, running.port);
        let roles = "SELECT count(*) FROM pg_roles WHERE rolname = 'kept'";
        assert_eq!(admin_query(&again, "postgres", roles).unwrap(), "1");
        session.join().unwrap().unwrap_err();
    }
}

#[test]
fn a_pid_file_with_another_process_is_stale() {
    let Some(pg) = programs(15) else { return };
    let home = Home::new("home");
    let server = home.server("dev");
    let other = home.server("other").start(&pg).unwrap();
    let running = server.start(&pg).unwrap();
    let pid_file = server.directory().join("data/postmaster.pid");
    // This test's process; then the postmaster of another server.
    let mut now = running.pid;
    for stranger in [i32::try_from(std::process::id()).unwrap(), other.pid] {
        kill(now);
        wait_until(Duration::from_secs(30), || server.state().unwrap() == State::Stopped);
        let old = fs::read_to_string(&pid_file).unwrap();
        fs::write(&pid_file, old.replacen(&now.to_string(), &stranger.to_string(), 1)).unwrap();
        assert_eq!(server.state().unwrap(), State::Stopped);
        server.stop().unwrap();
        now = server.start(&pg).unwrap().pid;
        assert_ne!(now, stranger);
    }
    admin_query(&other, "postgres", "SELECT 1").expect("the other server was left alone");
}

#[test]
fn an_interrupted_initialisation_is_repaired() {
    let Some(pg) = programs(15) else { return };
    let home = Home::new("home");
    let server = home.server("dev");
    // What a kill left: a cluster in the making, a file in the making.
    let leftover = server.directory().join("data.new-abc");
    fs::create_dir_all(leftover.join("base/1")).unwrap();
    fs::write(leftover.join("PG_VERSION"), "15\n").unwrap();
    fs::write(server.directory().join(".new-xyz"), "{").unwrap();
    assert_eq!(server.state().unwrap(), State::Uninitialised);
    let running = server.start(&pg).unwrap();
    admin_query(&running, "postgres", "SELECT 1").unwrap();
    let mut names: Vec<String> = fs::read_dir(server.directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["data", "lock", "server.json", "server.log"]);
}

/// kill -9 of tenantdb at any moment of its first start.
#[test]
fn a_killed_start_is_repaired() {
    let Some(pg) = programs(15) else { return };
    // How long a whole start takes here, so that the kills fall into it.
    let home = Home::new("home");
    let begin = Instant::now();
    Child::start(home.path()).wait();
    let whole = begin.elapsed();
    let times = if std::env::var_os("TENANTDB_SOAK").is_some() { 60 } else { 8 };
    for time in 0..times {
        let home = Home::new("home");
        let mut child = Child::start(home.path());
        std::thread::sleep(whole * time / times);
        child.kill();
        let server = home.server("dev");
        let running = server.start(&pg).unwrap();
        admin_query(&running, "postgres", "SELECT 1").unwrap();
        let again = server.start(&pg).unwrap();
        assert_eq!(again.pid, running.pid);
    }
}

#[test]
fn two_starts_at_once_are_one() {
    let Some(pg) = programs(15) else { return };
    let home = Home::new("home");
    let starts: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| home.server("dev").start(&pg).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(starts.iter().filter(|running| running.initialised).count(), 1);
    assert_eq!(starts.iter().filter(|running| running.started).count(), 1);
    for running in &starts {
        assert_eq!((running.pid, running.port), (starts[0].pid, starts[0].port));
        admin_query(running, "postgres", "SELECT 1").unwrap();
    }
}

#[test]
fn a_port_that_was_taken_is_replaced() {
    let Some(pg) = programs(15) else { return };
    let home = Home::new("home");
    let server = home.server("dev");
    let first = server.start(&pg).unwrap();
    server.stop().unwrap();
    let taken = TcpListener::bind(("127.0.0.1", first.port)).unwrap();
    let second = server.start(&pg).unwrap();
    assert_ne!(second.port, first.port);
    admin_query(&second, "postgres", "SELECT 1").unwrap();
    server.stop().unwrap();
    drop(taken);
    assert_eq!(server.start(&pg).unwrap().port, second.port, "the new port is remembered");
}

#[test]
fn any_path_will_do() {
    let Some(pg) = programs(18) else { return };
    let home = Home::new("Käte's \"Büro\" $HOME `x`");
    let server = home.server("dev");
    let running = server.start(&pg).unwrap();
    admin_query(&running, "postgres", "SELECT 1").unwrap();
    kill(running.pid);
    wait_until(Duration::from_secs(30), || server.state().unwrap() == State::Stopped);
    server.start(&pg).unwrap();
    // The same home by another way.
    let link = home.path().with_file_name("link");
    std::os::unix::fs::symlink(home.path(), &link).unwrap();
    assert!(!LocalServer::new(&link, "dev").unwrap().start(&pg).unwrap().started);
}

#[test]
fn stays_when_tenantdb_ends() {
    let home = Home::new("home");
    // Waits for the child's end and for the end of its output, which the server must not hold open.
    let mut child = Child::start(home.path());
    child.wait();
    let State::Running { pid, .. } = home.server("dev").state().unwrap() else { panic!("the server went as well") };
    if cfg!(target_os = "linux") {
        // The fields after the name: state, parent, process group. Ctrl-C goes to the terminal's group.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let group = stat.rsplit(')').next().unwrap().split_whitespace().nth(2).unwrap().to_owned();
        assert_eq!(group, pid.to_string());
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert!(!String::from_utf8_lossy(&environment).contains("PGOPTIONS"), "the caller's variables were passed on");
    }
}

#[test]
fn a_lost_record_is_made_anew() {
    let Some(pg) = programs(15) else { return };
    let home = Home::new("home");
    let server = home.server("dev");
    let first = server.start(&pg).unwrap();
    let record = server.directory().join("server.json");
    fs::remove_file(&record).unwrap();
    let second = server.start(&pg).unwrap();
    assert_ne!(first.password.expose_secret(), second.password.expose_secret());
    admin_query(&second, "postgres", "SELECT 1").unwrap();

    fs::write(&record, "{}").unwrap();
    let error = server.start(&pg).unwrap_err();
    assert!(matches!(error, Error::Record { .. }), "{error}");
    assert!(error.hint().unwrap().contains("server.json"));
}

#[test]
fn data_of_another_version_is_refused() {
    let Some(pg) = programs(15) else { return };
    let Some(pg18) = programs(18) else { return };
    let home = Home::new("home");
    let server = home.server("dev");
    server.start(&pg).unwrap();
    server.stop().unwrap();
    let error = server.start(&pg18).unwrap_err();
    assert!(matches!(error, Error::OtherVersion { data: 15, programs: 18, .. }), "{error}");
    assert!(error.hint().unwrap().contains("PostgreSQL 15"));
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let Some(pg) = programs(15) else { return };
    let home = Home::new("home");
    let server = home.server("dev");
    server.start(&pg).unwrap();
    server.stop().unwrap();
    let conf = server.directory().join("data/postgresql.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("{text}\nwork_mem = 'much'\n")).unwrap();
    let error = server.start(&pg).unwrap_err();
    assert!(error.to_string().contains("work_mem"), "{error}");
    assert!(error.to_string().contains("server.log"), "{error}");
    fs::write(&conf, text).unwrap();
    server.start(&pg).unwrap();
}

#[test]
fn a_closed_home_is_told() {
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let Some(pg) = programs(15) else { return };
    let home = Home::new("closed/home");
    let closed = home.path().parent().unwrap();
    fs::create_dir(closed).unwrap();
    fs::set_permissions(closed, fs::Permissions::from_mode(0o700)).unwrap();
    let error = home.server("dev").start(&pg).unwrap_err();
    assert!(error.to_string().contains("can't be entered by the user"), "{error}");
    assert!(error.hint().unwrap().contains(&format!("chmod o+x {}", closed.display())), "{:?}", error.hint());
}

#[test]
fn an_empty_bin_directory_is_an_error() {
    let home = Home::new("home");
    fs::create_dir_all(home.path()).unwrap();
    let said = Child::find_with_variable(home.path());
    assert!(said.contains("TENANTDB_POSTGRES_BIN="), "{said}");
    assert!(said.contains("there is no initdb and no postgres"), "{said}");
}

#[test]
fn names_are_checked() {
    for name in ["", ".", "..", "a/b", "-a", "a-", "Ä", "A", "a b", "a\0"] {
        assert!(matches!(LocalServer::new(Path::new("/tmp"), name), Err(Error::InvalidName(_))), "{name:?}");
    }
    for name in ["a", "local", "my-server.2"] {
        LocalServer::new(Path::new("/tmp"), name).unwrap();
    }
}

/// Not a test: what [`Child`] runs in a process of its own.
#[test]
fn child() {
    let start = |home: &Path| {
        let pg = programs(15).expect("the test that started this process looked");
        LocalServer::new(home, "dev").unwrap().start(&pg).unwrap();
    };
    let find = || println!("{}", Installation::find().expect_err("the variable names an empty directory"));
    support::child(start, find);
}
