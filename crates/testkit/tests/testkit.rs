//! The test kit, tested.

use std::time::{Duration, Instant};

use tenantdb_testkit::{
    Admin, Cluster, Options, TestServer, on_every_server, on_servers, wait_until, wait_until_async,
};

on_every_server! {
    /// The admin has exactly the rights that its kind says.
    async fn the_admin_is_what_was_asked_for(server: TestServer) -> Result<(), tokio_postgres::Error> {
        let client = server.connect(server.admin_username(), server.admin_password(), "postgres").await?;
        let row = client
            .query_one("SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = session_user", &[])
            .await?;
        assert_eq!(row.get::<_, bool>(0), server.admin() == Admin::Superuser);
        assert!(row.get::<_, bool>(1) && row.get::<_, bool>(2));
        let version = server.psql("postgres", "SHOW server_version_num");
        assert!(version.starts_with(&server.major().to_string()), "{version}");
        Ok(())
    }

    /// What was committed is there after a kill, and the port stays.
    fn survives_kill_and_restart(server: TestServer) {
        let port = server.port();
        server.psql("postgres", "CREATE TABLE kept (n int)");
        server.psql("postgres", "INSERT INTO kept VALUES (1), (2)");
        server.kill();
        assert!(server.try_psql("postgres", "SELECT 1").is_err());
        server.start_again();
        server.restart();
        assert_eq!(server.port(), port);
        assert_eq!(server.psql("postgres", "SELECT n, n * 2 FROM kept ORDER BY n"), "1|2\n2|4");
    }

    /// What was kept is there again, as often as it is asked for, and nothing that came after it.
    fn goes_back_to_what_was_kept(server: TestServer) {
        let port = server.port();
        server.psql("postgres", "CREATE TABLE kept AS SELECT 1 AS n");
        server.keep();
        for _ in 0..2 {
            server.go_back();
            server.psql("postgres", "INSERT INTO kept VALUES (2)");
            server.psql("postgres", "CREATE DATABASE later");
            assert_eq!(server.psql("postgres", "SELECT count(*) FROM kept"), "2");
        }
        server.rest();
        assert!(server.try_psql("postgres", "SELECT 1").is_err());
        server.go_back();
        assert_eq!((server.psql("postgres", "TABLE kept").as_str(), server.port()), ("1", port));
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_database"), "3");
    }

    /// The log holds the statements, and none of the passwords.
    async fn logs_statements_and_no_password(server: TestServer) {
        server.psql("postgres", "SELECT 'a needle'");
        wait_until_async(Duration::from_secs(10), async || server.log().contains("a needle")).await;
        assert!(!server.log().contains(server.admin_password()));
        assert!(!server.log().contains(server.superuser_password()));
    }
}

/// Where controllers run, a deleted namespace goes, with what is in it.
#[test]
fn controllers_empty_a_deleted_namespace() {
    let Some(mut cluster) = Cluster::get() else { return };
    cluster.start_controllers();
    let _ = cluster.kubectl(&["create", "namespace", "left"]);
    let _ = cluster.kubectl(&["--namespace", "left", "create", "configmap", "held", "--from-literal=a=b"]);
    let _ = cluster.kubectl(&["delete", "namespace", "left", "--timeout=60s"]);
    assert!(cluster.stored().iter().all(|(key, _)| !key.contains("/left")));
}

/// The next test that is handed the same control plane finds nothing of what this one made, in whatever namespace.
#[test]
fn what_a_test_made_in_a_cluster_goes_with_it() {
    let made = "/registry/clusterroles/mine /registry/clusterrolebindings/mine /registry/rolebindings/shop/mine \
                /registry/configmaps/shop/mine /registry/namespaces/shop";
    let left = |cluster: &Cluster| {
        let stored: Vec<String> = cluster.stored().into_iter().map(|(key, _)| key).collect();
        made.split(' ').filter(|made| stored.iter().any(|key| key == made)).count()
    };
    let Some(cluster) = Cluster::get() else { return };
    for create in [
        &["namespace", "shop"][..],
        &["--namespace", "shop", "configmap", "mine", "--from-literal=a=b"],
        &["clusterrole", "mine", "--verb=get", "--resource=pods"],
        &["clusterrolebinding", "mine", "--clusterrole=mine", "--user=ann"],
        &["--namespace", "shop", "rolebinding", "mine", "--clusterrole=mine", "--user=ann"],
    ] {
        let _ = cluster.kubectl(&[&["create"], create].concat());
    }
    assert_eq!(left(&cluster), 5);
    drop(cluster);
    let again = Cluster::get().unwrap();
    assert_eq!(left(&again), 0);
    assert!(again.stored().iter().any(|(key, _)| key == "/registry/clusterroles/cluster-admin"));
}

on_servers! {
    [15 Plain, 18 Plain]
    /// A wrong password, and an unknown role, are refused with a code.
    async fn refuses_strangers(server: TestServer) {
        let refused = server.attempt(server.admin_username(), "wrong", "postgres").await.unwrap_err();
        assert!(refused.starts_with("28P01: "), "{refused}");
        let refused = server.attempt("stranger", "wrong", "postgres").await.unwrap_err();
        assert!(refused.starts_with("28P01: "), "{refused}");
        server.attempt(server.admin_username(), server.admin_password(), "postgres").await.unwrap();
    }
}

on_servers! {
    [14, 16, 17]
    /// The versions that only smoke tests use.
    fn starts(server: TestServer) {
        assert_eq!(server.psql("postgres", "SHOW server_encoding"), "UTF8");
    }
}

#[test]
fn options_reach_the_server() {
    let server = Options::new(15, Admin::Superuser)
        .fsync(true)
        .setting("work_mem", "3MB")
        .hba("host all nobody 127.0.0.1/32 reject")
        .file("extra.txt", "it's here")
        .start();
    assert_eq!(server.psql("postgres", "SHOW fsync"), "on");
    assert_eq!(server.psql("postgres", "SHOW work_mem"), "3MB");
    assert_eq!(server.psql("postgres", "SELECT pg_read_file('extra.txt')"), "it's here");
    let refused = server.attempt_blocking("nobody", "", "postgres").unwrap_err();
    assert!(refused.contains("pg_hba.conf rejects"), "{refused}");
}

#[test]
fn nothing_is_left() {
    let server = TestServer::start(15, Admin::Plain);
    let (directory, pid) = (server.directory().to_owned(), server.pid().unwrap());
    assert!(directory.exists());
    drop(server);
    assert!(!directory.exists());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

/// The test process is killed: the server goes as well. (The test starts itself as the victim.)
#[test]
fn nothing_is_left_by_a_killed_test() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    let victim_variable = "TENANTDB_TESTKIT_VICTIM";
    if std::env::var_os(victim_variable).is_some() {
        let server = TestServer::start(15, Admin::Superuser);
        println!("\nhome {}", server.directory().display());
        std::thread::sleep(Duration::from_mins(5));
        return;
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nothing_is_left_by_a_killed_test", "--nocapture"])
        .env(victim_variable, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let home = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("home ").map(std::path::PathBuf::from))
        .expect("the victim says where its server is");
    let pid = std::fs::read_to_string(home.join("data/postmaster.pid")).unwrap();
    let pid = pid.lines().next().unwrap().to_owned();
    victim.kill().unwrap();
    victim.wait().unwrap();
    wait_until(Duration::from_mins(1), || !home.exists());
    if std::path::Path::new("/proc/self").exists() {
        wait_until(Duration::from_mins(1), || !std::path::Path::new("/proc").join(&pid).exists());
    }
}

#[test]
fn waiting_ends() {
    let start = Instant::now();
    wait_until(Duration::from_secs(5), || start.elapsed() > Duration::from_millis(50));
    let outcome = std::panic::catch_unwind(|| wait_until(Duration::from_millis(50), || false));
    assert!(outcome.is_err());
}
