//! What a test needs: a server, a home of its own, declarations, and the program.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;
use tenantdb_testkit::{ADMIN_PASSWORD_VARIABLE, TestServer, scratch_directory};
pub use tenantdb_testkit::{server_manifest as server_yaml, tenant_manifest as tenant};

/// A folder for a test: the program's home, and the declarations it is given.
pub struct World {
    folder: TempDir,
    home: PathBuf,
    environment: BTreeMap<String, String>,
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Run {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl World {
    /// A world that knows no server yet. Local servers run as another account, which has to get to its home.
    pub fn new() -> Self {
        let open = fs::Permissions::from_mode(0o755);
        let folder =
            tempfile::Builder::new().prefix("tenantdb-cli-").permissions(open).tempdir_in(scratch_directory()).unwrap();
        let home = folder.path().join("home");
        Self { folder, home, environment: BTreeMap::new() }
    }

    /// A world whose declarations use a test server, as its administrator, by the name `shared`.
    pub fn on(server: &TestServer) -> Self {
        let mut world = Self::new();
        world.set(ADMIN_PASSWORD_VARIABLE, server.admin_password());
        world.write("server.yaml", &server_yaml(server));
        world
    }

    /// The same server and declarations, seen from another home.
    pub fn another_home(&self) -> Self {
        let mut world = Self::new();
        world.environment = self.environment.clone();
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, world.folder.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        world
    }

    /// Sets a variable of the program's environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Writes a file of declarations, or any other; returns its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// The folder with the declarations.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program's home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The program, in the folder with the declarations.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenantdb"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("TENANTDB_HOME", &self.home)
            .env("NO_COLOR", "1")
            .envs(&self.environment)
            .stdin(Stdio::null());
        command
    }

    /// Runs the program.
    pub fn run(&self, arguments: &[&str]) -> Run {
        Run::of(&mut self.command(arguments))
    }

    /// Applies the server's declaration and these tenants.
    pub fn apply(&self, tenants: &str) -> Run {
        self.declare(tenants).run_on(&["apply"])
    }

    /// Plans the server's declaration and these tenants, with the exit code that tells of changes.
    pub fn plan(&self, tenants: &str) -> Run {
        self.declare(tenants).run_on(&["plan", "--exit-code"])
    }

    /// Writes the tenants' declarations, without doing anything about them.
    pub fn declare(&self, tenants: &str) -> &Self {
        self.write("tenants.yaml", tenants);
        self
    }

    /// Runs a command on the declarations that are there.
    pub fn run_on(&self, arguments: &[&str]) -> Run {
        Run::of(&mut self.command_on(arguments))
    }

    /// Starts the program and lets it run.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs the program while other things go on.
    pub fn run_beside(&self, arguments: &[&str]) -> impl Future<Output = Run> + use<> {
        let mut command = self.command(arguments);
        async { tokio::task::spawn_blocking(move || Run::of(&mut command)).await.unwrap() }
    }

    /// Runs a command on the declarations that are there, and kills it at a failpoint.
    #[track_caller]
    pub fn run_killed_at(&self, failpoint: &str, arguments: &[&str]) {
        let run = Run::of(self.command_on(arguments).env("TENANTDB_FAILPOINT", failpoint));
        assert_eq!(run.code, None, "{failpoint} was never reached:\n{}\n{}", run.stdout, run.stderr);
    }

    /// A command on the declarations that are there.
    pub fn command_on(&self, arguments: &[&str]) -> Command {
        self.command(&[arguments, &["-f", "server.yaml", "-f", "tenants.yaml"]].concat())
    }

    /// Runs something that has to leave the server and the credentials as they are.
    #[track_caller]
    pub fn untouched(&self, server: &TestServer, run: impl FnOnce() -> Run) -> Run {
        let before = self.traces(server);
        let run = run();
        assert_eq!(self.traces(server), before, "something was touched; stderr:\n{}", run.stderr);
        run
    }

    /// What a run may leave behind: databases, roles and memberships, and the files with credentials.
    fn traces(&self, server: &TestServer) -> Vec<String> {
        let mut traces: Vec<String> = [
            "SELECT oid, datname, datdba, datallowconn, datconnlimit, datacl FROM pg_database ORDER BY oid",
            "SELECT a FROM pg_authid a ORDER BY oid",
            "SELECT roleid, member, admin_option FROM pg_auth_members ORDER BY 1, 2",
        ]
        .map(|catalog| server.psql("postgres", catalog))
        .into();
        for namespace in fs::read_dir(self.home.join("credentials")).into_iter().flatten() {
            for file in fs::read_dir(namespace.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                traces.push(format!("{}: {}", path.display(), fs::read_to_string(&path).unwrap()));
            }
        }
        traces.sort();
        traces
    }

    /// Where a credential is delivered.
    pub fn credential_path(&self, namespace: &str, secret: &str) -> PathBuf {
        self.home.join("credentials").join(namespace).join(format!("{secret}.json"))
    }

    /// The credential that was delivered for a tenant of the namespace `default`.
    pub fn delivered(&self, tenant: &str) -> BTreeMap<String, String> {
        self.credential("default", &format!("{tenant}-secret"))
    }

    /// It gets lost.
    pub fn lose(&self, tenant: &str) {
        fs::remove_file(self.credential_path("default", &format!("{tenant}-secret"))).unwrap();
    }

    /// Somebody writes another password into it.
    pub fn forge(&self, tenant: &str, password: &str) {
        let mut credential = self.delivered(tenant);
        credential.insert("password".to_owned(), password.to_owned());
        let path = self.credential_path("default", &format!("{tenant}-secret"));
        fs::write(path, serde_json::to_vec(&credential).unwrap()).unwrap();
    }

    /// A delivered credential.
    pub fn credential(&self, namespace: &str, secret: &str) -> BTreeMap<String, String> {
        let path = self.credential_path(namespace, secret);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for World {
    /// Stops the local servers of its home.
    fn drop(&mut self) {
        for server in fs::read_dir(self.home.join("servers")).into_iter().flatten().flatten() {
            self.run(&["server", "stop", &server.file_name().to_string_lossy()]);
        }
    }
}

impl Run {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        Self::from(command.output().unwrap())
    }

    /// Waits for the end of what was started.
    pub fn end_of(started: Child) -> Self {
        Self::from(started.wait_with_output().unwrap())
    }

    /// Checks the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Checks that standard output holds a text.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "no `{text}` in stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Checks that standard output does not hold a text.
    #[track_caller]
    pub fn says_nothing_of(self, text: &str) -> Self {
        assert!(!self.stdout.contains(text), "`{text}` in stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Checks that standard error holds a text.
    #[track_caller]
    pub fn tells(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no `{text}` in stderr:\n{}\nstdout:\n{}", self.stderr, self.stdout);
        self
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The declaration of a tenant in a namespace.
pub fn tenant_in(namespace: &str, name: &str, spec: &str) -> String {
    tenant(&format!("{name}, namespace: {namespace}"), spec)
}

/// Logs in with a delivered credential and runs one statement.
pub fn query(server: &TestServer, credential: &BTreeMap<String, String>, sql: &str) -> Result<String, String> {
    server.psql_as(&credential["username"], &credential["password"], &credential["database"], sql)
}
