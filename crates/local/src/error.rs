//! What can go wrong with a local server, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::account::Account;

/// The usual result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something with a local server did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name can't be a directory's.
    #[error("`{0}` can't be the name of a local server: use lower-case letters, digits, `-` and `.`")]
    InvalidName(String),
    /// We are root, and there is nobody else to run the server as.
    #[error("PostgreSQL refuses to run as root, and this system has neither a user `postgres` nor a user `nobody`")]
    NoAccount,
    /// The server's account can't get to its data.
    #[error("local server {server}: {directory} can't be entered by the user {account}, which the server runs as")]
    Unreachable {
        /// The server.
        server: String,
        /// The first directory on the way that is closed.
        directory: PathBuf,
        /// The account.
        account: Account,
    },
    /// The server's account can't get to the programs.
    #[error("the PostgreSQL programs in {bin} can't be reached by the user {account}, which the server runs as")]
    ProgramsUnreachable {
        /// The directory of the programs.
        bin: PathBuf,
        /// The account.
        account: Account,
    },
    /// The data is of another major version than the programs.
    #[error("local server {server} holds data of PostgreSQL {data}, and the programs found are of {programs}")]
    OtherVersion {
        /// The server.
        server: String,
        /// The data's major version.
        data: u32,
        /// The programs' major version.
        programs: u32,
    },
    /// Something else starts or stops the server and does not come to an end.
    #[error("local server {server}: another tenantdb has been at work on it for {} s", waited.as_secs())]
    Busy {
        /// The server.
        server: String,
        /// How long we waited.
        waited: std::time::Duration,
    },
    /// A new cluster could not be made.
    #[error("local server {server} could not be initialised: {program} failed\n{output}")]
    Initialise {
        /// The server.
        server: String,
        /// The program that failed.
        program: PathBuf,
        /// What it said.
        output: String,
    },
    /// The server ended while it was starting.
    #[error("local server {server} did not start\n{}\nmore in {log_path}", last.join("\n"))]
    Start {
        /// The server.
        server: String,
        /// What it said last.
        last: Vec<String>,
        /// Its log.
        log_path: PathBuf,
    },
    /// The server is up, and does not get ready.
    #[error("local server {server} is still starting after {} s\n{}\nmore in {log_path}", waited.as_secs(), last.join("\n"))]
    StillStarting {
        /// The server.
        server: String,
        /// How long we waited.
        waited: std::time::Duration,
        /// What it said last.
        last: Vec<String>,
        /// Its log.
        log_path: PathBuf,
    },
    /// The server does not stop.
    #[error("local server {server} (process {pid}) is still stopping after {} s", waited.as_secs())]
    StillStopping {
        /// The server.
        server: String,
        /// Its process.
        pid: i32,
        /// How long we waited.
        waited: std::time::Duration,
    },
    /// No port could be had.
    #[error("local server {server}: no free port found on 127.0.0.1")]
    NoPort {
        /// The server.
        server: String,
    },
    /// What we noted about the server can't be read.
    #[error("{path} is damaged: {reason}")]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system has no randomness to give.
    #[error("the system gave no random numbers for a password: {0}")]
    Random(String),
    /// A file operation failed.
    #[error("can't {action} {path}: {source}")]
    Io {
        /// What was tried, such as `read`.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    /// What the reader can do about it, where something is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::InvalidName(_) | Self::Random(_) => None,
            Self::NoAccount => Some(
                "install PostgreSQL from the system's packages, which make that user, or run as another user".into(),
            ),
            Self::Unreachable { directory, account, .. } => Some(format!(
                "keep the servers elsewhere (TENANTDB_HOME=/var/lib/tenantdb), or let {account} pass: chmod o+x {}",
                directory.display()
            )),
            Self::ProgramsUnreachable { .. } => Some("install PostgreSQL from the system's packages".into()),
            Self::OtherVersion { data, .. } => Some(format!(
                "install PostgreSQL {data}, and set {} to its bin directory if it is not found by itself",
                crate::BIN_VARIABLE
            )),
            Self::Busy { .. } => Some("look for another running tenantdb; if there is none, try again".into()),
            Self::Initialise { .. } => Some("nothing was left behind; mend the cause and start again".into()),
            Self::Start { log_path, .. } => Some(format!("the whole story is in {}", log_path.display())),
            Self::StillStarting { .. } => {
                Some("it may be recovering from a crash: start it again to go on waiting".into())
            }
            Self::StillStopping { .. } => Some("try again; sessions that are being ended may take a while".into()),
            Self::NoPort { .. } => Some("look for what holds the ports 20000 to 31999".into()),
            Self::Record { path, .. } => Some(format!(
                "remove {}: the next start then makes a new password for the server's admin",
                path.display()
            )),
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => {
                    Some("it may have been made by another user (root?): run as that one, or set TENANTDB_HOME".into())
                }
                io::ErrorKind::StorageFull => Some("make room on the disk".into()),
                _ => None,
            },
        }
    }
}

/// Names the file that an operation failed on.
pub(crate) trait OnPath<T> {
    /// `can't <action> <path>: …`
    fn on(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T> OnPath<T> for io::Result<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io { action, path: path.to_owned(), source })
    }
}
