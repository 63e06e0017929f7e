//! Where the command line keeps its state: `$TENANTDB_HOME`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use etcetera::{AppStrategy, AppStrategyArgs, choose_app_strategy};
use tenantdb_api::{DatabaseServer, ObjectName, did_you_mean};
use tenantdb_core::PlaceId;
use tenantdb_credentials::stores::Encoding;
use tenantdb_credentials::stores::file::FilePlace;

use crate::error::Error;

/// The folder with local servers, the declarations of servers that were used, and delivered credentials.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
    /// Where credentials are delivered to instead.
    credentials: Option<PathBuf>,
}

impl Home {
    /// `$TENANTDB_HOME`, else `/var/lib/tenantdb` for root, else the user's data folder.
    ///
    /// # Errors
    /// When the user has no home.
    pub fn locate() -> Result<Self, Error> {
        let named = std::env::var_os("TENANTDB_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = match named {
            Some(path) => std::path::absolute(&path).map_err(|error| failed(&path, "find", &error))?,
            None if nix::unistd::Uid::effective().is_root() => PathBuf::from("/var/lib/tenantdb"),
            None => choose_app_strategy(AppStrategyArgs {
                top_level_domain: "dev".to_owned(),
                author: "tenantdb".to_owned(),
                app_name: "tenantdb".to_owned(),
            })
            .map_err(|error| Error::input(format!("no home: {error}"), "set TENANTDB_HOME to a folder of your own"))?
            .data_dir(),
        };
        Ok(Self { root, credentials: None })
    }

    /// The same home, with credentials in another folder.
    #[must_use]
    pub fn delivering_to(self, folder: Option<PathBuf>) -> Self {
        Self { credentials: folder, ..self }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What tells this home from every other, if it has been made.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn known_id(&self) -> Result<Option<String>, Error> {
        known_id(&self.root.join("id"))
    }

    /// What tells this home from every other; made when it is first asked for.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub fn id(&self) -> Result<String, Error> {
        id(&self.root, "id")
    }

    /// Where credentials are delivered to.
    ///
    /// # Errors
    /// When the id of this home, or of the folder, can't be read or made.
    pub fn place(&self) -> Result<FilePlace, Error> {
        let Some(folder) = &self.credentials else {
            let id = PlaceId(format!("home:{}", self.id()?));
            return Ok(FilePlace::new(self.root.join("credentials"), id, Encoding::Json));
        };
        let folder = std::path::absolute(folder).map_err(|error| failed(folder, "find", &error))?;
        let id = PlaceId(format!("folder:{}", id(&folder, ".tenantdb-id")?));
        Ok(FilePlace::new(folder, id, Encoding::Env))
    }

    /// Every place that credentials may have been delivered to: this home, and the other folder.
    ///
    /// # Errors
    /// The same.
    pub fn places(&self) -> Result<Vec<FilePlace>, Error> {
        let own = Self { credentials: None, ..self.clone() }.place()?;
        let other = self.credentials.is_some().then(|| self.place()).transpose()?;
        Ok(std::iter::once(own).chain(other).collect())
    }

    /// Where credentials are delivered to, for people.
    #[must_use]
    pub fn delivers_to(&self) -> &Path {
        self.credentials.as_deref().unwrap_or(&self.root)
    }

    /// Remembers a server's declaration, so that later commands find it by its name, and the ledger that it has.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn remember(&self, server: &DatabaseServer, ledger: Option<&str>) -> Result<(), Error> {
        let path = self.declaration(&server.metadata.name);
        let write = || {
            fs::create_dir_all(self.known())?;
            replace(&path, &serde_json::to_vec_pretty(server)?)?;
            ledger.map_or(Ok(()), |id| replace(&self.ledger(&server.metadata.name), id.as_bytes()))
        };
        write().map_err(|error| failed(&path, "write", &error))
    }

    /// Which ledger a server had when it was used last.
    ///
    /// # Errors
    /// When that can't be read.
    pub fn ledger_of(&self, server: &ObjectName) -> Result<Option<String>, Error> {
        let path = self.ledger(server);
        match fs::read_to_string(&path) {
            Ok(id) => Ok(Some(id)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, "read", &error)),
        }
    }

    /// Forgets a server; what was delivered from it stays.
    ///
    /// # Errors
    /// When it is not known, or can't be removed.
    pub fn forget(&self, server: &ObjectName) -> Result<(), Error> {
        self.server(server)?;
        for path in [self.ledger(server), self.declaration(server)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&path, "remove", &error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The servers that were used before, by their names.
    ///
    /// # Errors
    /// When one of them can't be read.
    pub fn servers(&self) -> Result<Vec<DatabaseServer>, Error> {
        let folder = self.known();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&folder, "read", &error)),
        };
        let mut servers: Vec<DatabaseServer> = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| failed(&folder, "read", &error))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let text = fs::read(&path).map_err(|error| failed(&path, "read", &error))?;
                servers.push(serde_json::from_slice(&text).map_err(|error| damaged(&path, &error))?);
            }
        }
        servers.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
        Ok(servers)
    }

    /// A server that was used before.
    ///
    /// # Errors
    /// When the servers can't be read, or there is none of this name.
    pub fn server(&self, name: &ObjectName) -> Result<DatabaseServer, Error> {
        let servers = self.servers()?;
        if let Some(server) = servers.iter().find(|server| server.metadata.name == *name) {
            return Ok(server.clone());
        }
        let known = servers.iter().map(|server| server.metadata.name.as_str());
        let hint = did_you_mean(name.as_str(), known, "`tenantdb server list` shows those that were used from here");
        Err(Error::input(format!("no server `{name}` was used from here"), hint))
    }

    fn known(&self) -> PathBuf {
        self.root.join("known-servers")
    }

    fn declaration(&self, server: &ObjectName) -> PathBuf {
        self.known().join(format!("{server}.json"))
    }

    fn ledger(&self, server: &ObjectName) -> PathBuf {
        self.known().join(format!("{server}.ledger"))
    }
}

fn known_id(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(id) if !id.trim().is_empty() => Ok(Some(id.trim().to_owned())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, "read", &error)),
        _ => Ok(None),
    }
}

/// What tells a folder from every other: the content of a file in it, made when it is first asked for.
fn id(folder: &Path, name: &str) -> Result<String, Error> {
    let path = folder.join(name);
    if let Some(id) = known_id(&path)? {
        return Ok(id);
    }
    // Of two that make it at once, one wins, and both read the winner's.
    let make = || {
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        writeln!(file, "{}", uuid::Uuid::new_v4().simple())?;
        match file.persist_noclobber(&path) {
            Err(lost) if lost.error.kind() != io::ErrorKind::AlreadyExists => Err(lost.error),
            _ => fs::read_to_string(&path),
        }
    };
    let id = make().map_err(|error| failed(&path, "make", &error))?;
    if id.trim().is_empty() {
        return Err(Error::input(format!("{} is empty", path.display()), "remove it, so that it is made anew"));
    }
    Ok(id.trim().to_owned())
}

/// Writes a file whole or not at all; one that holds the text already is left alone.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(path))?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

fn damaged(path: &Path, error: &serde_json::Error) -> Error {
    let message = format!("can't read {}: {error}", path.display());
    let hint = "remove it; the next `tenantdb apply` that declares the server writes it anew";
    Error::Failure(tenantdb_core::Failure::new(tenantdb_core::FailureKind::Place, message).hint(hint))
}

fn failed(path: &Path, verb: &str, error: &io::Error) -> Error {
    Error::Failure(
        tenantdb_core::Failure::new(
            tenantdb_core::FailureKind::Place,
            format!("can't {verb} {}: {error}", path.display()),
        )
        .hint("see who owns the folder, or set TENANTDB_HOME to one of your own"),
    )
}
