//! A throw-away PostgreSQL cluster.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::Signal;
use tokio_postgres::Client;

use crate::account::{Account, unprivileged_account};
use crate::client::{Login, describe, run_blocking};
use crate::leftovers::{self, Home};
use crate::options::{Admin, Options};
use crate::ports::PortLease;
use crate::process::{Postmaster, Start};
use crate::{binaries, files, template};

const SUPERUSER: &str = "postgres";
const PLAIN: &str = "admin_user";

/// A PostgreSQL cluster of a test's own: on 127.0.0.1, with its data in memory or in a temporary directory, stopped and deleted when
/// dropped, and also when the test process is killed.
///
/// Logins need a password (SCRAM) over TCP; there is no Unix socket. `log_statement = all`. Writes don't reach the
/// disk (`fsync = off`) unless [`Options::fsync`] says so, but survive [`TestServer::kill`].
///
/// All methods take `&self`, so it can be shared between tasks.
pub struct TestServer {
    options: Options,
    bin: PathBuf,
    account: Option<Account>,
    superuser_password: String,
    plain_password: String,
    postmaster: Mutex<Option<Postmaster>>,
    port: PortLease,
    home: Home,
}

impl std::fmt::Debug for TestServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestServer")
            .field("major", &self.options.major)
            .field("admin", &self.options.admin)
            .field("port", &self.port())
            .field("directory", &self.home.path())
            .finish_non_exhaustive()
    }
}

impl TestServer {
    /// Starts the usual server; panics where the programs are missing. See [`TestServer::try_start`] for a test that
    /// should be skipped then.
    #[must_use]
    pub fn start(major: u32, admin: Admin) -> Self {
        Self::with(Options::new(major, admin))
    }

    /// The same, but `None` (and a line on stderr) where the programs are missing, except on CI.
    #[must_use]
    pub fn try_start(major: u32, admin: Admin) -> Option<Self> {
        binaries::available(major).then(|| Self::start(major, admin))
    }

    /// Starts a server that is set up in a certain way.
    #[must_use]
    pub fn with(options: Options) -> Self {
        let bin = binaries::bin_dir(options.major);
        let account = unprivileged_account();
        let template = template::of(&bin);
        let home = Home::new(options.fsync);
        let data = home.path().join("data");
        files::copy_as(&template.data, &data, account, false);
        let server = Self {
            bin,
            account,
            superuser_password: template.superuser_password,
            // A server that checks passwords wants more than letters.
            plain_password: files::random_text(24) + "7",
            postmaster: Mutex::new(None),
            port: PortLease::take(),
            home,
            options,
        };
        server.configure();
        server.start_again();
        if server.options.admin == Admin::Plain {
            server.make_plain_admin();
        }
        server
    }

    /// The address it listens on: `127.0.0.1`.
    #[must_use]
    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// The port; it stays the same through restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.port()
    }

    /// The major version, such as 18.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.options.major
    }

    /// Which kind of admin this server was started for.
    #[must_use]
    pub fn admin(&self) -> Admin {
        self.options.admin
    }

    /// The login that tenantdb is given: `postgres` or `admin_user`.
    #[must_use]
    pub fn admin_username(&self) -> &'static str {
        match self.options.admin {
            Admin::Superuser => SUPERUSER,
            Admin::Plain => PLAIN,
        }
    }

    /// Its password.
    #[must_use]
    pub fn admin_password(&self) -> &str {
        match self.options.admin {
            Admin::Superuser => &self.superuser_password,
            Admin::Plain => &self.plain_password,
        }
    }

    /// The password of `postgres`.
    #[must_use]
    pub fn superuser_password(&self) -> &str {
        &self.superuser_password
    }

    /// The directory that all its files are in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.home.path()
    }

    /// Its data directory.
    #[must_use]
    pub fn data_directory(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Its log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.home.path().join("server.log")
    }

    /// All that its log says so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.log_path()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The postmaster's process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.postmaster().as_ref().map(Postmaster::pid)
    }

    /// Starts it after [`TestServer::stop`] or [`TestServer::kill`], and waits until it accepts connections; does
    /// nothing while it runs.
    pub fn start_again(&self) {
        let mut postmaster = self.postmaster();
        if postmaster.as_mut().is_some_and(Postmaster::runs) {
            return;
        }
        let start = Start {
            bin: &self.bin,
            data: &self.data_directory(),
            log: &self.log_path(),
            port: self.port(),
            account: self.account,
        };
        *postmaster = Some(Postmaster::start(&start).unwrap_or_else(|message| panic!("{message}")));
    }

    /// Stops it in order (a fast shutdown: sessions are ended).
    pub fn stop(&self) {
        self.end(Signal::SIGINT);
    }

    /// Stops and starts it.
    pub fn restart(&self) {
        self.stop();
        self.start_again();
    }

    /// Kills the postmaster (SIGKILL) and waits for its end. What was committed is there after
    /// [`TestServer::start_again`].
    pub fn kill(&self) {
        self.end(Signal::SIGKILL);
    }

    /// Stops it in order and keeps its data, for [`TestServer::go_back`] to go on from.
    pub fn keep(&self) {
        self.stop();
        let kept = self.kept_data();
        fs::rename(self.data_directory(), &kept)
            .unwrap_or_else(|error| panic!("can't make {}: {error}", kept.display()));
    }

    /// Ends it, and starts it with the data that [`TestServer::keep`] kept, on the same port; as often as need be.
    pub fn go_back(&self) {
        self.end(Signal::SIGQUIT);
        let data = self.data_directory();
        leftovers::remove(&data);
        files::copy_as(&self.kept_data(), &data, self.account, false);
        self.start_again();
    }

    /// Ends it, and takes its data away but for what [`TestServer::keep`] kept.
    pub fn rest(&self) {
        self.end(Signal::SIGQUIT);
        leftovers::remove(&self.data_directory());
    }

    /// Runs statements as the superuser and gives their rows as `psql -At` does; panics when one fails.
    /// Blocks the thread; works in asynchronous tests too.
    #[track_caller]
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql).unwrap_or_else(|message| panic!("in {database}: {message}\n{sql}"))
    }

    /// The same, with the error (`SQLSTATE: message`) when one fails.
    ///
    /// # Errors
    /// What the server said.
    pub fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        self.psql_as(SUPERUSER, &self.superuser_password, database, sql)
    }

    /// The same as another role.
    ///
    /// # Errors
    /// What the server said.
    pub fn psql_as(&self, user: &str, password: &str, database: &str, sql: &str) -> Result<String, String> {
        run_blocking(self.login(user, password, database).rows("", sql))
    }

    /// Whether there is a database of this name.
    #[must_use]
    pub fn has_database(&self, name: &str) -> bool {
        self.psql("postgres", &format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'")) == "1"
    }

    /// A connection; its other half runs on the current runtime until the client is dropped.
    ///
    /// # Errors
    /// Whatever kept it from logging in.
    pub async fn connect(&self, user: &str, password: &str, database: &str) -> Result<Client, tokio_postgres::Error> {
        self.login(user, password, database).connect("").await
    }

    /// A connection of the superuser; panics when it can't be had.
    pub async fn superuser(&self, database: &str) -> Client {
        match self.connect(SUPERUSER, &self.superuser_password, database).await {
            Ok(client) => client,
            Err(error) => panic!("postgres can't log in to {database}: {}", describe(&error)),
        }
    }

    /// Whether this login works: connects and runs `SELECT 1`.
    ///
    /// # Errors
    /// `SQLSTATE: message` of the refusal.
    pub async fn attempt(&self, user: &str, password: &str, database: &str) -> Result<(), String> {
        self.login(user, password, database).rows("", "SELECT 1").await.map(drop)
    }

    /// The same from a test that is not asynchronous.
    ///
    /// # Errors
    /// `SQLSTATE: message` of the refusal.
    pub fn attempt_blocking(&self, user: &str, password: &str, database: &str) -> Result<(), String> {
        run_blocking(self.attempt(user, password, database))
    }

    fn login<'a>(&self, user: &'a str, password: &'a str, database: &'a str) -> Login<'a> {
        Login { port: self.port(), user, password, database }
    }

    fn postmaster(&self) -> MutexGuard<'_, Option<Postmaster>> {
        self.postmaster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, with: Signal) {
        if let Some(mut postmaster) = self.postmaster().take() {
            postmaster.end(with);
        }
    }

    fn kept_data(&self) -> PathBuf {
        self.home.path().join("kept-data")
    }

    fn configure(&self) {
        let fsync = if self.options.fsync { "on" } else { "off" };
        let usual = [
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", ""),
            ("password_encryption", "scram-sha-256"),
            ("max_connections", "200"),
            ("shared_buffers", "64MB"),
            // The template's WAL files are small; without this, so would be the time between checkpoints.
            ("max_wal_size", "1GB"),
            ("fsync", fsync),
            ("full_page_writes", fsync),
            // What a server that is ended at once leaves behind goes with its directory.
            ("dynamic_shared_memory_type", "mmap"),
            ("logging_collector", "off"),
            ("log_statement", "all"),
            ("log_connections", "on"),
            ("log_disconnections", "on"),
            ("log_line_prefix", "%m [%p] %q%u@%d/%a "),
        ];
        let given = self.options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut lines = String::new();
        for (name, value) in usual.into_iter().chain(given) {
            let _ = writeln!(lines, "{name} = '{}'", value.replace('\'', "''"));
        }
        let data = self.data_directory();
        let conf = data.join("postgresql.conf");
        let made = fs::read_to_string(&conf).expect("initdb made postgresql.conf");
        files::write_private(&conf, format!("{made}\n# testkit\n{lines}").as_bytes(), self.account);
        let hba = format!("{}\nhost all all 127.0.0.1/32 scram-sha-256\n", self.options.hba.join("\n"));
        files::write_private(&data.join("pg_hba.conf"), hba.as_bytes(), self.account);
        for (name, content) in &self.options.files {
            files::write_private(&data.join(name), content, self.account);
        }
    }

    fn make_plain_admin(&self) {
        let sql = format!("CREATE ROLE {PLAIN} LOGIN CREATEDB CREATEROLE PASSWORD '{}'", self.plain_password);
        // The log of a test server is searched for passwords; this one must not be there.
        let login = self.login(SUPERUSER, &self.superuser_password, "postgres");
        run_blocking(login.rows("-c log_statement=none", &sql)).expect("the superuser can make a role");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(30)..];
            eprintln!("the end of the log of PostgreSQL {}:\n{}", self.major(), last.join("\n"));
        }
        self.end(Signal::SIGQUIT);
    }
}
