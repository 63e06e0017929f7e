//! Credentials in a folder: `<namespace>/<secretName>.json` or `.env`, readable by their owner only.
//!
//! A sidecar, `<namespace>/.<secretName>.json`, says whose the credential is and who was about to write it. A lock on
//! the namespace's folder, and a digest of both files as the version, make each write a compare-and-set. What is in the
//! making is in `<namespace>/.<secretName>.new`, under the lock: a crash leaves one at most, for the next write.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tenantdb_api::{Namespace, ObjectName, shorten};
use tenantdb_core::{
    Authority, Claim, Delivery, Digest, Generation, Held, Login, Marker, Password, PlaceError, PlaceId, Provenance,
    Subject, Version,
};

use super::Encoding;
use super::LocalPlace;
use super::disk::{self, failed, read, remove};
use super::sidecar::Sidecar;
use crate::format::{Document, read_logins, render, stage};

/// The most bytes of a Secret's name that fit into the name of a file, which may have 255.
const LONGEST_NAME: usize = 255 - "..json".len();

/// What to do about a file that is in the way.
const ANOTHER_NAME: &str = "choose another `credentials.secretName`";

/// A folder of credentials.
#[derive(Clone, Debug)]
pub struct FilePlace {
    folder: PathBuf,
    id: PlaceId,
    encoding: Encoding,
}

/// A credential that was found by its declaration's name.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its file.
    pub path: PathBuf,
    /// Who declared it: `project:<id>` or `cluster:<id>`.
    pub authority: String,
    /// The server it is for.
    pub server: ObjectName,
    /// What it holds.
    pub document: Document,
}

impl FilePlace {
    /// The folder `folder`, which the ledger knows as `id`. It is made when it is first written to.
    #[must_use]
    pub fn new(folder: PathBuf, id: PlaceId, encoding: Encoding) -> Self {
        Self { folder, id, encoding }
    }

    /// The credentials of what is called so: each project may have one, and a database and a role may share a name.
    ///
    /// # Errors
    /// When the folder or a file in it can't be read.
    pub fn find(&self, namespace: &Namespace, subject: &Subject) -> Result<Vec<Found>, PlaceError> {
        let folder = self.folder.join(namespace.as_str());
        let (mut all, mut unreadable) = (Vec::new(), None);
        for path in entries(&folder)? {
            let Some(secret) = sidecar_of(&path) else { continue };
            let sidecar = match read_sidecar(&path) {
                Ok(Some(sidecar)) if sidecar.is_called(subject) => sidecar,
                Ok(_) => continue,
                // It may be of another name.
                Err(error) => {
                    unreadable = Some(error);
                    continue;
                }
            };
            let path = folder.join(format!("{secret}.{}", self.encoding.extension()));
            if let Some(document) = self.read_document(&path)? {
                let Sidecar { authority, server, .. } = sidecar;
                all.push(Found { path, authority, server, document });
            }
        }
        match unreadable {
            Some(error) if all.is_empty() => Err(error),
            _ => Ok(all),
        }
    }

    /// What in a namespace has a credential that was delivered here, or was about to be.
    ///
    /// # Errors
    /// When the folder or a file in it can't be read.
    pub fn subjects(&self, namespace: &Namespace) -> Result<Vec<Subject>, PlaceError> {
        let paths = entries(&self.folder.join(namespace.as_str()))?;
        let sidecars = paths.iter().filter(|path| sidecar_of(path).is_some()).map(|path| read_sidecar(path));
        let sidecars = sidecars.collect::<Result<Vec<_>, _>>()?.into_iter().flatten();
        Ok(sidecars.map(|Sidecar { kind, name, access, .. }| Subject { kind: Some(kind), name, access }).collect())
    }

    /// For which server each of these claims has a credential here, whatever the credential is called. What can't be
    /// read says nothing: the tenant whose it is can't go on without it, and the others do.
    #[must_use]
    pub fn servers(&self, claims: &BTreeSet<Claim>) -> BTreeMap<Claim, ObjectName> {
        let mut servers = BTreeMap::new();
        let namespaces: BTreeSet<&Namespace> = claims.iter().map(|claim| &claim.namespace).collect();
        for namespace in namespaces {
            let wanted: Vec<&Claim> = claims.iter().filter(|claim| claim.namespace == *namespace).collect();
            let paths = entries(&self.folder.join(namespace.as_str())).unwrap_or_default();
            for path in paths.iter().filter(|path| sidecar_of(path).is_some()) {
                let Ok(Some(sidecar)) = read_sidecar(path) else { continue };
                let owners = wanted.iter().filter(|claim| sidecar.is_of(claim));
                servers.extend(owners.map(|claim| ((*claim).clone(), sidecar.server.clone())));
            }
        }
        servers
    }

    /// Gives the credentials that were delivered here for these claims to another authority: what is in them stays.
    ///
    /// # Errors
    /// When one of them can't be read or written; those before it are done, and doing it again does the rest.
    pub fn take_over(&self, claims: &BTreeSet<Claim>, to: &Authority) -> Result<(), PlaceError> {
        let namespaces: BTreeSet<&Namespace> = claims.iter().map(|claim| &claim.namespace).collect();
        for namespace in namespaces {
            let folder = self.folder.join(namespace.as_str());
            for path in entries(&folder)? {
                let Some(secret) = sidecar_of(&path) else { continue };
                let paths = Paths::of(folder.clone(), secret, self.encoding);
                let _lock = paths.lock()?;
                let Some(sidecar) = read_sidecar(&path)? else { continue };
                let is_taken = |claim: &&Claim| claim.namespace == *namespace && sidecar.is_of(claim);
                if claims.iter().any(|claim| is_taken(&claim)) {
                    let taken =
                        Sidecar { version: sidecar.version.wrapping_add(1), authority: to.to_string(), ..sidecar };
                    let text = serde_json::to_vec(&taken).map_err(|error| failed(&path, "write", &error.into()))?;
                    paths.write(&paths.sidecar, &text)?;
                }
            }
        }
        Ok(())
    }

    /// What was written here for a claim, if it still holds this login, whatever its server is called by now.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn document(&self, delivery: &Delivery, login: &Digest) -> Result<Option<Document>, PlaceError> {
        let paths = self.paths(delivery);
        if !read_sidecar(&paths.sidecar)?.is_some_and(|sidecar| sidecar.is_of(&delivery.claim)) {
            return Ok(None);
        }
        let holds = |document: &Document| read_logins(document).is_some_and(|(found, _)| found.digest() == *login);
        Ok(self.read_document(&paths.document)?.filter(holds))
    }

    fn paths(&self, delivery: &Delivery) -> Paths {
        let folder = self.folder.join(delivery.claim.namespace.as_str());
        Paths::of(folder, &shorten(delivery.secret_name.as_str(), LONGEST_NAME), self.encoding)
    }

    fn write_document(&self, paths: &Paths, document: Document) -> Result<Version, PlaceError> {
        let text = self.encoding.write(&self.encoding.kept(document));
        let text = text.map_err(|error| failed(&paths.document, "write", &error.into()))?;
        paths.write(&paths.document, &text)?;
        // What both renames did reaches the disk here: whoever is told of the credential finds it after a power cut.
        disk::sync(&paths.folder)?;
        Ok(version(read(&paths.sidecar)?.as_deref(), Some(&text)))
    }

    fn read_document(&self, path: &Path) -> Result<Option<Document>, PlaceError> {
        Ok(read(path)?.map(|text| self.encoding.read(&text)))
    }

    /// Sees that the place is still as it was read, under the lock.
    fn expect(&self, delivery: &Delivery, paths: &Paths, expected: Version) -> Result<Option<Sidecar>, PlaceError> {
        match self.read_now(delivery)? {
            Held::Foreign { what, .. } => Err(PlaceError::Foreign(what)),
            Held::Nothing { version } | Held::Credential { version, .. } if version == expected => {
                read_sidecar(&paths.sidecar)
            }
            _ => Err(PlaceError::Moved(paths.document.display().to_string())),
        }
    }
}

impl LocalPlace for FilePlace {
    fn id(&self) -> &PlaceId {
        &self.id
    }

    fn location(&self, delivery: &Delivery) -> String {
        self.paths(delivery).document.display().to_string()
    }

    fn read_now(&self, delivery: &Delivery) -> Result<Held, PlaceError> {
        let paths = self.paths(delivery);
        let (document, sidecar) = (read(&paths.document)?, read(&paths.sidecar)?);
        let version = version(sidecar.as_deref(), document.as_deref());
        let document = document.map(|text| self.encoding.read(&text));
        let Some(sidecar) = sidecar.map(|text| parse_sidecar(&paths.sidecar, &text)).transpose()? else {
            if document.is_none() {
                return Ok(Held::Nothing { version });
            }
            let what = format!("{} was not written by tenantdb", paths.document.display());
            return Ok(Held::Foreign { what, hint: format!("move it away, or {ANOTHER_NAME}") });
        };
        if let Some(what) = sidecar.belongs_to_another(delivery) {
            let what = format!("{} {what}", paths.document.display());
            return Ok(Held::Foreign { what, hint: ANOTHER_NAME.to_owned() });
        }
        let logins = document.as_ref().and_then(read_logins);
        let (Some(document), Some((login, next))) = (document, logins) else { return Ok(Held::Nothing { version }) };
        let wanted = render(delivery, &login, Generation(sidecar.generation));
        Ok(Held::Credential {
            login: login.digest(),
            next: next.map(|next| next.digest()),
            current: wanted.is_ok_and(|wanted| self.encoding.kept(wanted) == document),
            generation: Generation(sidecar.generation),
            username: login.username,
            provenance: Provenance::Claimed,
            version,
        })
    }

    fn login_now(&self, delivery: &Delivery, digest: &Digest) -> Result<Option<Login>, PlaceError> {
        let paths = self.paths(delivery);
        match read_sidecar(&paths.sidecar)? {
            Some(sidecar) if sidecar.belongs_to_another(delivery).is_none() => {
                let logins = self.read_document(&paths.document)?.as_ref().and_then(read_logins);
                let mut logins = logins.into_iter().flat_map(|(login, next)| std::iter::once(login).chain(next));
                Ok(logins.find(|login| login.digest() == *digest))
            }
            _ => Ok(None),
        }
    }

    fn fence_now(&self, delivery: &Delivery, marker: &Marker, expected: Version) -> Result<Version, PlaceError> {
        let paths = self.paths(delivery);
        let _lock = paths.lock()?;
        let sidecar = self.expect(delivery, &paths, expected)?;
        let sidecar = paths.write_sidecar(delivery, marker, sidecar.as_ref())?;
        Ok(version(Some(&sidecar), read(&paths.document)?.as_deref()))
    }

    fn stage_now(&self, delivery: &Delivery, next: &Password, expected: Version) -> Result<Version, PlaceError> {
        let paths = self.paths(delivery);
        let _lock = paths.lock()?;
        self.expect(delivery, &paths, expected)?;
        let document = self.read_document(&paths.document)?;
        let document = document.ok_or_else(|| PlaceError::Moved(paths.document.display().to_string()))?;
        self.write_document(&paths, stage(document, next))
    }

    fn publish_now(
        &self,
        delivery: &Delivery,
        login: &Login,
        generation: Generation,
        expected: Version,
    ) -> Result<Version, PlaceError> {
        let paths = self.paths(delivery);
        let _lock = paths.lock()?;
        let sidecar = self.expect(delivery, &paths, expected)?;
        if sidecar.as_ref().is_none_or(|sidecar| sidecar.generation != generation.0) {
            // It announces another credential, which was never made.
            let writer = sidecar.as_ref().map_or_else(String::new, |sidecar| sidecar.writer.clone());
            paths.write_sidecar(delivery, &Marker { generation, writer }, sidecar.as_ref())?;
        }
        let document = render(delivery, login, generation)
            .map_err(|error| PlaceError::Failed { message: error.to_string(), hint: None })?;
        self.write_document(&paths, document)
    }

    fn withdraw_now(&self, delivery: &Delivery) -> Result<(), PlaceError> {
        let paths = self.paths(delivery);
        if !paths.folder.exists() {
            return Ok(());
        }
        let _lock = paths.lock()?;
        match read_sidecar(&paths.sidecar)? {
            Some(sidecar) if sidecar.belongs_to_another(delivery).is_none() => {
                remove(&paths.unfinished)?;
                remove(&paths.document)?;
                remove(&paths.sidecar)
            }
            _ => Ok(()),
        }
    }
}

/// Where the files of a delivery are.
struct Paths {
    folder: PathBuf,
    document: PathBuf,
    sidecar: PathBuf,
    unfinished: PathBuf,
}

impl Paths {
    /// The files of a credential in the folder of its namespace.
    fn of(folder: PathBuf, name: &str, encoding: Encoding) -> Self {
        Self {
            document: folder.join(format!("{name}.{}", encoding.extension())),
            sidecar: folder.join(format!(".{name}.json")),
            unfinished: folder.join(format!(".{name}.new")),
            folder,
        }
    }

    /// Writes the sidecar that comes after `before`, and gives its text.
    fn write_sidecar(
        &self,
        delivery: &Delivery,
        marker: &Marker,
        before: Option<&Sidecar>,
    ) -> Result<Vec<u8>, PlaceError> {
        let sidecar = Sidecar::after(before, delivery, marker);
        let text = serde_json::to_vec(&sidecar).map_err(|error| failed(&self.sidecar, "write", &error.into()))?;
        self.write(&self.sidecar, &text)?;
        Ok(text)
    }

    fn write(&self, path: &Path, text: &[u8]) -> Result<(), PlaceError> {
        disk::write(&self.unfinished, path, text)
    }

    /// Takes the lock of the namespace's folder; it is let go when the file is closed.
    fn lock(&self) -> Result<File, PlaceError> {
        disk::make_folder(&self.folder)?;
        disk::lock(&self.folder.join(".lock"))
    }
}

/// The name of the credential that a file is the sidecar of.
fn sidecar_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.strip_prefix('.')?.strip_suffix(".json")
}

/// What is in a folder, which need not exist, in the order of the names: what is told of several is the same everywhere.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, PlaceError> {
    let listed: io::Result<Vec<PathBuf>> =
        fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    match listed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(folder, "read", &error)),
        Ok(mut paths) => {
            paths.sort();
            Ok(paths)
        }
    }
}

fn read_sidecar(path: &Path) -> Result<Option<Sidecar>, PlaceError> {
    read(path)?.map(|text| parse_sidecar(path, &text)).transpose()
}

fn parse_sidecar(path: &Path, text: &[u8]) -> Result<Sidecar, PlaceError> {
    serde_json::from_slice(text).map_err(|error| PlaceError::Failed {
        message: format!("{} is not readable: {error}", path.display()),
        hint: Some("it tells whose the credential beside it is; restore it, or move both away".to_owned()),
    })
}

/// Tells one state of both files from every other; 0 when there are none.
fn version(sidecar: Option<&[u8]>, document: Option<&[u8]>) -> Version {
    if sidecar.is_none() && document.is_none() { Version::default() } else { disk::version([sidecar, document]) }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
