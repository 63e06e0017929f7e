//! A folder in which a page's commands run as they would on a reader's machine.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use regex::Regex;
use tempfile::TempDir;
use tenantdb_testkit::{Admin, Cluster, TestServer};

use super::page;

/// Where a reader's state is, as the pages show it.
const HOME: &str = "/home/me/.local/share/tenantdb";
/// The folder that a reader works in.
const WORK: &str = "/home/me/work";
/// What a reader's machine is called.
const MACHINE: &str = "laptop";
/// Somebody else's server, as the pages show it.
const ELSEWHERE: (&str, &str) = ("db.example.org", "5432");
/// What a reader's kubeconfig calls the cluster.
const CONTEXT: &str = "staging";

/// A reader's machine.
pub struct Sandbox {
    folder: TempDir,
    bin: PathBuf,
    server: Option<TestServer>,
    elsewhere: Option<Elsewhere>,
}

/// Where somebody else's server really is, and who gets in.
struct Elsewhere {
    host: String,
    port: String,
    superuser_password: String,
    admin_password: String,
}

impl Sandbox {
    /// A machine that has the server programs of a version, and the repository's examples.
    pub fn new(major: u32) -> Self {
        // The account that a local server runs as has to get through.
        let folder = tempfile::Builder::new()
            .prefix("tenantdb-docs-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in(tenantdb_testkit::scratch_directory())
            .unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::create_dir(folder.path().join("work")).unwrap();
        symlink(env!("CARGO_BIN_EXE_tenantdb"), folder.path().join("bin/tenantdb")).unwrap();
        symlink(root().join("examples"), folder.path().join("work/examples")).unwrap();
        Self { folder, bin: tenantdb_testkit::bin_dir(major), server: None, elsewhere: None }
    }

    /// The same, with a server that somebody else runs, and that has a superuser and a reporting tool so far.
    pub fn with_elsewhere(mut self, major: u32) -> Self {
        let server = TestServer::start(major, Admin::Superuser);
        server.psql("postgres", "CREATE ROLE metabase LOGIN; CREATE ROLE payroll LOGIN");
        self = self.reaching(&server, "chosen-by-the-reader");
        self.server = Some(server);
        self
    }

    /// The same, with this server, whose administrator has this password.
    pub fn reaching(mut self, server: &TestServer, admin_password: &str) -> Self {
        self.elsewhere = Some(Elsewhere {
            host: server.host().to_owned(),
            port: server.port().to_string(),
            superuser_password: server.superuser_password().to_owned(),
            admin_password: admin_password.to_owned(),
        });
        self
    }

    /// The same, with the way to a cluster and the programs for it.
    pub fn with_cluster(self, cluster: &Cluster) -> Self {
        for program in ["kubectl", "helm"] {
            symlink(cluster.programs().join(program), self.folder.path().join("bin").join(program)).unwrap();
        }
        symlink(root().join("deploy"), self.folder.path().join("work/deploy")).unwrap();
        fs::copy(cluster.kubeconfig(), self.kubeconfig()).unwrap();
        self.shell(&format!("kubectl config rename-context test {CONTEXT}"));
        self
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Somebody made a database on that server, and others use it.
    pub fn makes_by_hand(&self) {
        let Some(server) = &self.server else { return };
        server.psql("postgres", "CREATE ROLE bookings_user LOGIN PASSWORD 'from-before'");
        server.psql("postgres", "CREATE DATABASE bookings OWNER bookings_user");
        server.psql("postgres", "GRANT CONNECT ON DATABASE bookings TO payroll");
        server.psql("bookings", "CREATE TABLE rates (day date); CREATE TABLE seasons (name text)");
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Writes a file into the folder that commands run in.
    pub fn write(&self, name: &str, text: &str) {
        let text = self.placed(text);
        let path = self.folder.path().join("work").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A text that speaks of the other server where it is.
    fn placed(&self, text: &str) -> String {
        match &self.elsewhere {
            Some(server) => text.replace(ELSEWHERE.0, &server.host).replace(ELSEWHERE.1, &server.port),
            None => text.to_owned(),
        }
    }

    /// Runs commands one after another in one shell; the exit code and the output of each.
    pub fn run(&self, commands: &[page::Command]) -> Vec<(i32, String)> {
        const MARK: &str = "== the end of a command:";
        let mut script = String::from("exec 2>&1\nstatus=0\n");
        for command in commands {
            let end = ["\nstatus=$?\necho; echo '", MARK, "' $status\n"].concat();
            script += &["(exit $status)\n", &self.placed(&command.text), &end].concat();
        }
        let output = self.shell(&script);
        let mut results = Vec::new();
        let mut said = String::new();
        for line in output.lines() {
            match line.strip_prefix(MARK) {
                Some(status) => results.push((status.trim().parse().unwrap(), std::mem::take(&mut said))),
                None => said += &[line, "\n"].concat(),
            }
        }
        assert_eq!(results.len(), commands.len(), "the shell ended early:\n{output}");
        results
    }

    /// Runs a script; all that it printed.
    pub fn shell(&self, script: &str) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command
            .args(["-c", script])
            .current_dir(self.folder.path().join("work"))
            .env(
                "PATH",
                format!("{}:{}:{path}", self.folder.path().join("bin").display(), "/usr/lib/postgresql/15/bin"),
            )
            .env("TENANTDB_HOME", self.home())
            .env("TENANTDB_POSTGRES_BIN", &self.bin)
            .env("NO_COLOR", "1")
            .env("KUBECONFIG", self.kubeconfig())
            .env("KUBECACHEDIR", self.folder.path().join("cache"))
            .env("HELM_CACHE_HOME", self.folder.path().join("cache"))
            .env("HELM_CONFIG_HOME", self.folder.path().join("cache"))
            .env("HELM_DATA_HOME", self.folder.path().join("cache"))
            .env_remove("COLUMNS")
            .env_remove("TENANTDB_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        if let Some(server) = &self.elsewhere {
            command
                .env("POSTGRES_ADMIN_PASSWORD", &server.admin_password)
                .env("PGPASSWORD", &server.superuser_password);
        }
        let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let folder = |name: &str| self.folder.path().join(name).display().to_string();
        let output = output.replace(&folder("home"), HOME).replace(&folder("work"), WORK);
        let output = output.replace(&format!("{}:{WORK}", tenantdb_core::host()), &format!("{MACHINE}:{WORK}"));
        match &self.elsewhere {
            Some(server) => {
                let Elsewhere { host, port, .. } = server;
                let address = format!("{host}:{port}");
                let name = format!("{host}-{port}");
                let variables = |host: &str, port: &str| format!("DB_HOST={host}\nDB_PORT={port}\n");
                let output = output.replace(&address, &format!("{}:{}", ELSEWHERE.0, ELSEWHERE.1));
                let output = output.replace(&name, ELSEWHERE.0);
                output.replace(&variables(host, port), &variables(ELSEWHERE.0, ELSEWHERE.1))
            }
            None => output,
        }
    }

    /// The credentials that were delivered.
    pub fn credentials(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for namespace in fs::read_dir(self.home().join("credentials")).unwrap() {
            let entries = fs::read_dir(namespace.unwrap().path()).unwrap().map(|entry| entry.unwrap().path());
            found.extend(entries.filter(|path| {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                !name.starts_with('.') && path.extension().is_some_and(|extension| extension == "json")
            }));
        }
        found.sort();
        found
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let servers = fs::read_dir(self.home().join("servers")).into_iter().flatten().flatten();
        for server in servers {
            let name = server.file_name().into_string().unwrap();
            if std::thread::panicking() {
                let log = fs::read_to_string(server.path().join("server.log")).unwrap_or_default();
                eprintln!("the log of {name}:\n{log}");
            }
            let mut command = Command::new(env!("CARGO_BIN_EXE_tenantdb"));
            let _ = command.args(["server", "stop", &name]).env("TENANTDB_HOME", self.home()).output();
        }
    }
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A text without what differs from run to run: passwords, ids, ports, times, sizes, versions, and the width of columns.
pub fn normalise(text: &str) -> Vec<String> {
    static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let rules = [
            (r"\b[0-9A-Za-z]{40}\b", "PASSWORD"),
            (r"\b[0-9a-f]{32}\b", "ID"),
            (r"\b\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
            (r"\bPostgreSQL 1\d\b", "PostgreSQL N"),
            (r"\bDone in [\d.]+ s", "Done in N s"),
            (r"\b\d+(\.\d)? ([KMGTP]i)?B\b", "SIZE"),
            (r"\b\d+ (s|min|h|d)\b", "AGE"),
            (r"\b(\d+m)?\d+s$", "AGE"),
            (r"\b\d+ bytes\b", "SIZE"),
            (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UID"),
            (r#""(size|sessions)": \d+"#, "\"$1\": NUMBER"),
            (r#""seconds": [\d.]+"#, "\"seconds\": N"),
            (r"\b\w+:\d+@[\w.-]+", "PROCESS@HOST"),
            (r"\b\d{4,}\b", "NUMBER"),
            (r" {2,}", "  "),
            // A session that was just closed may still count.
            (r"SIZE  \d+(/\d+)?  ", "SIZE  SESSIONS  "),
        ];
        rules.map(|(pattern, name)| (Regex::new(pattern).unwrap(), name)).into()
    });
    let normal = |line: &str| {
        let line = line.trim_end().to_owned();
        RULES.iter().fold(line, |line, (rule, name)| rule.replace_all(&line, *name).into_owned())
    };
    // A slow machine says what it waits for.
    let is_slow = |line: &&str| line.ends_with("(a checkpoint)");
    text.trim().lines().filter(|line| !is_slow(line)).map(normal).collect()
}

/// Whether an output is what a page shows; a line `...` stands for any lines.
pub fn matches(shown: &[String], actual: &[String]) -> bool {
    match shown.split_first() {
        None => actual.is_empty(),
        Some((line, rest)) if line == "..." => (0..=actual.len()).any(|skipped| matches(rest, &actual[skipped..])),
        Some((line, rest)) => {
            actual.split_first().is_some_and(|(first, others)| first == line && matches(rest, others))
        }
    }
}
