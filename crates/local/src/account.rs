//! The account that a server runs as. PostgreSQL refuses to run as root, so as root it is another one.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, User};

use crate::error::{Error, OnPath as _, Result};

/// The account that we, being root, run a server as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user id.
    pub uid: u32,
    /// The primary group's id.
    pub gid: u32,
    /// The name, for messages.
    pub name: String,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Account {
    /// The account for a server with this data directory; `None` when we aren't root and the server runs as we do.
    ///
    /// What is there already stays its owner's: a server that was made as `nobody` is not lost when a user `postgres`
    /// appears. A new one is run as `postgres`, else as `nobody`.
    pub(crate) fn for_data(data: &Path) -> Result<Option<Self>> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        if let Ok(metadata) = data.metadata()
            && metadata.uid() != 0
        {
            let user = User::from_uid(Uid::from_raw(metadata.uid())).ok().flatten();
            let name = user.map_or_else(|| format!("with id {}", metadata.uid()), |user| user.name);
            return Ok(Some(Self { uid: metadata.uid(), gid: metadata.gid(), name }));
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| Some(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), name: user.name }))
            .ok_or(Error::NoAccount)
    }

    /// Gives a file or directory to the account.
    pub(crate) fn take(&self, path: &Path) -> Result<()> {
        nix::unistd::chown(path, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))
            .map_err(std::io::Error::from)
            .on("change the owner of", path)
    }

    /// The first directory on the way to this one that the account can't enter.
    pub(crate) fn blocked_at(&self, directory: &Path) -> Option<PathBuf> {
        let mut way: Vec<&Path> = directory.ancestors().collect();
        way.reverse();
        way.into_iter().find(|step| !step.metadata().is_ok_and(|metadata| self.enters(&metadata))).map(Path::to_owned)
    }

    fn enters(&self, metadata: &Metadata) -> bool {
        let bit = if metadata.uid() == self.uid {
            0o100
        } else if metadata.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        metadata.mode() & bit != 0
    }
}
