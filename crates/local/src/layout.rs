//! Where a server's files are.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::account::Account;
use crate::error::{Error, OnPath as _, Result};
use crate::files;

/// How a directory begins in which a cluster is being made.
const NEW_DATA: &str = "data.new-";

/// The paths of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    home: PathBuf,
    directory: PathBuf,
}

impl Layout {
    pub(crate) fn new(home: &Path, name: &str) -> Result<Self> {
        let home = std::path::absolute(home).on("find", home)?;
        // The server is started with the real path, so that its process can be told from another's. What isn't there
        // yet is made by `prepare`, whose caller asks again.
        let home = home.canonicalize().unwrap_or(home);
        let directory = servers(&home).join(name);
        Ok(Self { home, directory })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.directory.join("server.json")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.directory.join("lock")
    }

    /// Makes the directories, and makes sure that the account can get to the innermost. Only what is tenantdb's own is
    /// opened for passing through; a closed directory above the home is an error.
    pub(crate) fn prepare(&self, server: &str, account: Option<&Account>) -> Result<()> {
        if let Some(parent) = self.home.parent() {
            fs::create_dir_all(parent).on("make", parent)?;
        }
        for directory in [&self.home, &servers(&self.home), &self.directory] {
            match DirBuilder::new().mode(0o700).create(directory) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).on("make", directory),
            }
            if account.is_some() {
                let metadata = directory.metadata().on("read", directory)?;
                if metadata.uid() == Uid::effective().as_raw() && metadata.mode() & 0o001 == 0 {
                    let passable = Permissions::from_mode((metadata.mode() & 0o7777) | 0o011);
                    fs::set_permissions(directory, passable).on("change the mode of", directory)?;
                }
            }
        }
        match account.and_then(|account| Some((account, account.blocked_at(&self.directory)?))) {
            None => Ok(()),
            Some((account, directory)) => {
                Err(Error::Unreachable { server: server.to_owned(), directory, account: account.clone() })
            }
        }
    }

    /// A new directory for a cluster in the making, the account's own.
    pub(crate) fn new_data(&self, account: Option<&Account>) -> Result<tempfile::TempDir> {
        let directory = tempfile::Builder::new()
            .prefix(NEW_DATA)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&self.directory)
            .on("make a directory in", &self.directory)?;
        if let Some(account) = account {
            account.take(directory.path())?;
        }
        Ok(directory)
    }

    /// Removes what interrupted runs left. The caller holds the lock, so nothing of it is in use, unless by an initdb
    /// that outlived its tenantdb; what that one keeps writing is removed the next time.
    pub(crate) fn clean(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            if name.starts_with(NEW_DATA.as_bytes()) {
                let _ = fs::remove_dir_all(entry.path());
            } else if name.starts_with(files::NEW_FILE.as_bytes()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// The directory that all servers of a home are in.
pub(crate) fn servers(home: &Path) -> PathBuf {
    home.join("servers")
}
