//! What the tests share: homes that clean up after themselves, and processes to kill.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use secrecy::ExposeSecret as _;
use tenantdb_local::{Installation, LocalServer, Running};

const START: &str = "TENANTDB_LOCAL_TEST_START";
const FIND: &str = "TENANTDB_LOCAL_TEST_FIND";

/// A home in a directory of its own; its servers are stopped and it is removed in the end.
pub struct Home {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Home {
    pub fn new(name: &str) -> Self {
        let parent = if nix::unistd::Uid::effective().is_root() { PathBuf::from("/tmp") } else { std::env::temp_dir() };
        let directory = tempfile::Builder::new()
            .prefix("tenantdb-local-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in(parent)
            .unwrap();
        Self { path: directory.path().join(name), _directory: directory }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn server(&self, name: &str) -> LocalServer {
        LocalServer::new(&self.path, name).unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for server in LocalServer::list(&self.path).unwrap_or_default() {
            if std::thread::panicking() {
                eprintln!("the log of {}:\n{}", server.name(), log(&server).unwrap_or_default());
            }
            let _ = server.stop();
        }
    }
}

/// All that a server said.
pub fn log(server: &LocalServer) -> io::Result<String> {
    fs::read_to_string(server.directory().join("server.log"))
}

/// The programs of a version; `None` (the testkit then says so) where they are not installed, except on CI.
pub fn programs(major: u32) -> Option<Installation> {
    tenantdb_testkit::available(major).then(|| Installation::at(&tenantdb_testkit::bin_dir(major)).unwrap())
}

pub fn admin_query(running: &Running, database: &str, sql: &str) -> Result<String, String> {
    tenantdb_testkit::query_at(running.port, &running.username, running.password.expose_secret(), database, sql)
}

pub fn kill(pid: i32) {
    nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

/// This test program once more, doing one thing.
pub struct Child {
    process: std::process::Child,
}

impl Child {
    /// Starts the server `dev` of this home.
    pub fn start(home: &Path) -> Self {
        Self { process: Self::command().env(START, home).env("PGOPTIONS", "-c nonsense=1").spawn().unwrap() }
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits for its end and for the end of its output.
    pub fn wait(&mut self) {
        let mut output = String::new();
        self.process.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        assert!(self.process.wait().unwrap().success(), "{output}");
    }

    /// What the search for programs says with this directory as the variable.
    pub fn find_with_variable(directory: &Path) -> String {
        let output = Self::command().env(FIND, "1").env(tenantdb_local::BIN_VARIABLE, directory).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn command() -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--nocapture"]).stdout(Stdio::piped());
        command
    }
}

/// The other side of [`Child`].
pub fn child(start: impl FnOnce(&Path), find: impl FnOnce()) {
    if let Some(home) = std::env::var_os(START) {
        start(Path::new(&home));
    } else if std::env::var_os(FIND).is_some() {
        find();
    }
}
