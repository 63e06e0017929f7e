//! A folder in which a page's commands run as they would on a reader's machine.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tenantdb_testkit::{Admin, TestServer};

use super::page;

/// Where a reader's state is, as the pages show it.
const HOME: &str = "/home/me/.local/share/tenantdb";
/// The folder that a reader works in.
const WORK: &str = "/home/me/work";
/// Somebody else's server, as the pages show it.
const ELSEWHERE: (&str, &str) = ("db.example.org", "5432");

/// A reader's machine.
pub struct Sandbox {
    folder: TempDir,
    bin: PathBuf,
    elsewhere: Option<TestServer>,
}

impl Sandbox {
    /// A machine that has the server programs of a version, and the repository's examples.
    pub fn new(major: u32) -> Self {
        let parent = if nix::unistd::Uid::effective().is_root() { PathBuf::from("/tmp") } else { std::env::temp_dir() };
        // The account that a local server runs as has to get through.
        let folder = tempfile::Builder::new()
            .prefix("tenantdb-docs-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in(parent)
            .unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::create_dir(folder.path().join("work")).unwrap();
        symlink(env!("CARGO_BIN_EXE_tenantdb"), folder.path().join("bin/tenantdb")).unwrap();
        symlink(root().join("examples"), folder.path().join("work/examples")).unwrap();
        Self { folder, bin: tenantdb_testkit::bin_dir(major), elsewhere: None }
    }

    /// The same, with a server that somebody else runs.
    pub fn with_elsewhere(mut self, major: u32) -> Self {
        self.elsewhere = Some(TestServer::start(major, Admin::Plain));
        self
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Writes a file into the folder that commands run in.
    pub fn write(&self, name: &str, text: &str) {
        let text = match &self.elsewhere {
            Some(server) => text.replace(ELSEWHERE.0, server.host()).replace(ELSEWHERE.1, &server.port().to_string()),
            None => text.to_owned(),
        };
        let path = self.folder.path().join("work").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs commands one after another in one shell; the exit code and the output of each.
    pub fn run(&self, commands: &[page::Command]) -> Vec<(i32, String)> {
        const MARK: &str = "== the end of a command:";
        let mut script = String::from("exec 2>&1\nstatus=0\n");
        for command in commands {
            let end = ["\nstatus=$?\necho; echo '", MARK, "' $status\n"].concat();
            script += &["(exit $status)\n", &command.text, &end].concat();
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
            .env_remove("COLUMNS")
            .env_remove("TENANTDB_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        if let Some(server) = &self.elsewhere {
            command.env("POSTGRES_ADMIN_PASSWORD", server.admin_password());
        }
        let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let folder = |name: &str| self.folder.path().join(name).display().to_string();
        let output = output.replace(&folder("home"), HOME).replace(&folder("work"), WORK);
        match &self.elsewhere {
            Some(server) => {
                let address = format!("{}:{}", server.host(), server.port());
                output.replace(&address, &format!("{}:{}", ELSEWHERE.0, ELSEWHERE.1))
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

/// A text without what differs from run to run: passwords, ids, ports, times, versions, and the width of columns.
pub fn normalise(text: &str) -> Vec<String> {
    let lines = text.trim().lines().map(|line| {
        let mut normal = String::new();
        let mut rest = line.trim_end();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            let spaces = rest.find(|c: char| c != ' ').unwrap_or(rest.len());
            let length = word.max(spaces).max(first.len_utf8());
            let (token, tail) = rest.split_at(length);
            normal += &match token {
                _ if spaces > 1 => "  ".to_owned(),
                _ if word == 40 => "PASSWORD".to_owned(),
                _ if word == 32 && token.bytes().all(|b| b.is_ascii_hexdigit()) => "ID".to_owned(),
                _ if word > 3 && token.bytes().all(|b| b.is_ascii_digit()) => "NUMBER".to_owned(),
                _ => token.to_owned(),
            };
            rest = tail;
        }
        let version = normal.find("PostgreSQL 1").map(|at| at + "PostgreSQL ".len());
        if let Some(at) = version {
            normal.replace_range(at..at + 2, "N");
        }
        match normal.split_once("Done in ").and_then(|(head, tail)| Some((head, tail.split_once(" s: ")?.1))) {
            Some((head, tail)) => format!("{head}Done in N s: {tail}"),
            None => normal,
        }
    });
    lines.collect()
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
