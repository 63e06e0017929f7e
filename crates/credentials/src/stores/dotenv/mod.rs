//! Credentials as variables in a `.env` file that somebody else may write as well.
//!
//! A folder beside it, `.tenantdb`, holds the file's sidecar: what tells the file from every other, wherever both are
//! moved to together, and for each credential in it whose it is, which variables are its own, and who was about to write
//! it. A lock there, and a digest of what is a credential's own as the version, make each write a compare-and-set that
//! neither other services nor other lines disturb.

mod lines;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rand::distr::{Alphanumeric, SampleString as _};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tenantdb_api::Namespace;
use tenantdb_core::{
    Claim, Delivery, Digest, Generation, Held, Login, Marker, Password, PlaceError, PlaceId, Provenance, Version,
    failpoint,
};

use self::lines::Lines;
use super::Encoding;
use super::LocalPlace;
use super::disk::{self, failed, read};
use super::sidecar::Sidecar;
use crate::format::{Document, key_names, read_logins, render, stage};

/// The folder beside the file.
const FOLDER: &str = ".tenantdb";

/// A `.env` file.
#[derive(Clone, Debug)]
pub struct DotenvPlace {
    path: PathBuf,
    folder: PathBuf,
    id: PlaceId,
    /// What the names of variables begin with, but for those that the declaration names itself.
    prefix: String,
}

/// What is beside the file; metadata, never a secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Beside {
    /// What tells the file from every other.
    id: String,
    credentials: Vec<Entry>,
}

/// What is known of a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    namespace: Namespace,
    prefix: String,
    /// The variables that are its own.
    variables: BTreeSet<String>,
    of: Sidecar,
}

/// The file and what is beside it, as they are now.
struct Found {
    beside: Beside,
    lines: Lines,
}

impl DotenvPlace {
    /// The file at `path`, which need not be there yet, and the folder beside it, which is made. The names of variables
    /// begin with `prefix`.
    ///
    /// # Errors
    /// When it can't be a file, or the folder beside it can't be written.
    pub fn open(path: &Path, prefix: &str) -> Result<Self, PlaceError> {
        let path = resolved(path)?;
        let folder = path.with_file_name(FOLDER);
        let mut place = Self { path, folder, id: PlaceId(String::new()), prefix: prefix.to_owned() };
        disk::make_folder(&place.folder)?;
        let _lock = place.lock()?;
        let ignore = place.folder.join(".gitignore");
        if read(&ignore)?.is_none() {
            place.write(&ignore, b"*\n")?;
        }
        let beside = if let Some(beside) = place.read_beside()? {
            beside
        } else {
            let id = Alphanumeric.sample_string(&mut rand::rng(), 32);
            let beside = Beside { id, credentials: Vec::new() };
            place.write_beside(&beside)?;
            beside
        };
        place.id = PlaceId(format!("dotenv:{}", beside.id));
        Ok(place)
    }

    /// The variables of a claim's credential; none when it is not there.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn variables(&self, claim: &Claim) -> Result<Document, PlaceError> {
        let found = self.find()?;
        Ok(found.beside.entry(claim).map(|entry| found.document(entry, "")).unwrap_or_default())
    }

    /// Writes the variables of a credential that another place holds as well.
    ///
    /// # Errors
    /// When others than tenantdb wrote one of them, or the file can't be written.
    pub fn copy(&self, delivery: &Delivery, document: &Document, generation: Generation) -> Result<(), PlaceError> {
        let expected = match self.read_now(delivery)? {
            Held::Foreign { what, .. } | Held::Awaited { what, .. } => return Err(PlaceError::Foreign(what)),
            Held::Nothing { version } | Held::Credential { version, .. } => version,
        };
        self.put_document(delivery, &self.named(delivery, document), generation, expected).map(drop)
    }

    /// What is in the file and can't be overwritten: another's variables, or the credential for another server.
    fn in_the_way(&self, delivery: &Delivery, found: &Found, entry: Option<&Entry>) -> Option<(String, String)> {
        if let Some(why) = entry.and_then(|entry| entry.of.belongs_to_another(delivery)) {
            let hint = "write it into another file (--file)".to_owned();
            return Some((format!("that of {} {why}", delivery.claim.path()), hint));
        }
        let is_own = |name: &String| entry.is_some_and(|entry| entry.variables.contains(name));
        let mut wanted = self.names(delivery).into_iter().filter(|name| !is_own(name));
        wanted.find_map(|name| {
            let holder = found.beside.credentials.iter().find(|entry| entry.variables.contains(&name));
            match (holder, found.lines.get(&name)) {
                (Some(Entry { namespace, of: Sidecar { name: holder, .. }, .. }), _) => {
                    let hint = "give one of them a prefix (--prefix), or a file of its own (--file)";
                    Some((format!("{name} is that of {namespace}/{holder}"), hint.to_owned()))
                }
                // One that was left open is to be filled in.
                (None, Some(value)) if !value.is_empty() => {
                    let hint = "remove that line, or write other variables (--prefix) or another file (--file)";
                    Some((format!("tenantdb did not write the {name} that is in it"), hint.to_owned()))
                }
                (None, _) => None,
            }
        })
    }

    fn put_document(
        &self,
        delivery: &Delivery,
        document: &Document,
        generation: Generation,
        expected: Version,
    ) -> Result<Version, PlaceError> {
        let _lock = self.lock()?;
        let mut found = self.expect(delivery, expected)?;
        let earlier = found.beside.entry(&delivery.claim);
        let entry = match earlier {
            Some(entry) if entry.of.generation == generation.0 => entry.clone(),
            // It announces another credential, which was never made.
            _ => {
                let writer = earlier.map_or_else(String::new, |entry| entry.of.writer.clone());
                self.entry(delivery, &Marker { generation, writer }, earlier)
            }
        };
        let names: BTreeSet<String> = document.iter().map(|(name, _)| name.to_owned()).collect();
        // Until the file is written, what is in it and what will be are both its own.
        let both = Entry { variables: entry.variables.union(&names).cloned().collect(), ..entry.clone() };
        self.put(&mut found, delivery, &both)?;
        failpoint::hit("before-dotenv-file");
        self.write_lines(&mut found, document, &entry.variables)?;
        failpoint::hit("after-dotenv-file");
        let entry = Entry { variables: names, prefix: self.prefix.clone(), ..entry };
        self.put(&mut found, delivery, &entry)?;
        disk::sync(&self.folder)?;
        Ok(found.version(&entry))
    }

    /// Sees that the credential is still as it was read, under the lock.
    fn expect(&self, delivery: &Delivery, expected: Version) -> Result<Found, PlaceError> {
        match self.read_now(delivery)? {
            Held::Foreign { what, .. } => Err(PlaceError::Foreign(what)),
            Held::Nothing { version } | Held::Credential { version, .. } if version == expected => self.find(),
            _ => Err(self.moved()),
        }
    }

    fn moved(&self) -> PlaceError {
        PlaceError::Moved(self.path.display().to_string())
    }

    /// What is known of a credential that is about to be written.
    fn entry(&self, delivery: &Delivery, marker: &Marker, earlier: Option<&Entry>) -> Entry {
        Entry {
            namespace: delivery.claim.namespace.clone(),
            prefix: earlier.map_or_else(|| self.prefix.clone(), |earlier| earlier.prefix.clone()),
            variables: earlier.map(|earlier| earlier.variables.clone()).unwrap_or_default(),
            of: Sidecar::after(earlier.map(|earlier| &earlier.of), delivery, marker),
        }
    }

    /// The logins in the file; while its names change, they may have the earlier or the new ones.
    fn logins(&self, found: &Found, entry: &Entry) -> Option<(Login, Option<Login>)> {
        [&entry.prefix, &self.prefix].into_iter().find_map(|prefix| read_logins(&found.document(entry, prefix)))
    }

    /// The names that a delivery's variables have.
    fn names(&self, delivery: &Delivery) -> BTreeSet<String> {
        let keys = key_names(delivery).map(|key| (key.to_owned(), SecretString::default()));
        let named = self.named(delivery, &Document::new(keys));
        named.iter().map(|(name, _)| name.to_owned()).collect()
    }

    /// A credential as its applications read it.
    fn rendered(&self, delivery: &Delivery, login: &Login, generation: Generation) -> Result<Document, PlaceError> {
        let document = render(delivery, login, generation)
            .map_err(|error| PlaceError::Failed { message: error.to_string(), hint: None })?;
        Ok(self.named(delivery, &document))
    }

    /// A document with the names of variables for its keys; a key that no variable can have is left out.
    fn named(&self, delivery: &Delivery, document: &Document) -> Document {
        let prefix = |key: &str| if delivery.keys.contains_key(key) { "" } else { self.prefix.as_str() };
        let named = document.iter().map(|(key, value)| ([prefix(key), key].concat(), SecretString::from(value)));
        Encoding::Env.kept(Document::new(named))
    }

    fn find(&self) -> Result<Found, PlaceError> {
        let beside = self.read_beside()?.ok_or_else(|| self.moved())?;
        let text = String::from_utf8(read(&self.path)?.unwrap_or_default()).map_err(|_| PlaceError::Failed {
            message: format!("{} is not UTF-8 text", self.path.display()),
            hint: Some("convert it, or write into another file (--file)".to_owned()),
        })?;
        Ok(Found { beside, lines: Lines::of(&text) })
    }

    fn beside(&self) -> PathBuf {
        self.folder.join(self.file_name(".json"))
    }

    fn file_name(&self, ending: &str) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        format!("{name}{ending}")
    }

    fn read_beside(&self) -> Result<Option<Beside>, PlaceError> {
        let path = self.beside();
        let Some(text) = read(&path)? else { return Ok(None) };
        serde_json::from_slice(&text).map(Some).map_err(|error| PlaceError::Failed {
            message: format!("{} is not readable: {error}", path.display()),
            hint: Some("it tells whose the credentials beside it are; restore it, or move both away".to_owned()),
        })
    }

    fn put(&self, found: &mut Found, delivery: &Delivery, entry: &Entry) -> Result<(), PlaceError> {
        if found.beside.entry(&delivery.claim) == Some(entry) {
            return Ok(());
        }
        found.beside.put(&delivery.claim, entry.clone());
        self.write_beside(&found.beside)
    }

    fn write_beside(&self, beside: &Beside) -> Result<(), PlaceError> {
        let path = self.beside();
        let text = serde_json::to_vec_pretty(beside).map_err(|error| failed(&path, "write", &error.into()))?;
        self.write(&path, &text)
    }

    /// Sets these variables, and removes those of `earlier` that are not among them.
    fn write_lines(
        &self,
        found: &mut Found,
        document: &Document,
        earlier: &BTreeSet<String>,
    ) -> Result<(), PlaceError> {
        for name in earlier.iter().filter(|name| document.get(name).is_none()) {
            found.lines.remove(name);
        }
        for (name, value) in document.iter() {
            found.lines.set(name, value);
        }
        let text = found.lines.checked().ok_or_else(|| PlaceError::Failed {
            message: format!("{}: a quote in it is never closed, and would swallow what is added", self.path.display()),
            hint: Some("close it, or write into another file (--file)".to_owned()),
        })?;
        self.write(&self.path, text.as_bytes())?;
        disk::sync(self.path.parent().unwrap_or(&self.path))
    }

    fn write(&self, path: &Path, text: &[u8]) -> Result<(), PlaceError> {
        disk::write(&self.folder.join(self.file_name(".new")), path, text)
    }

    fn lock(&self) -> Result<File, PlaceError> {
        disk::lock(&self.folder.join("lock"))
    }
}

impl Beside {
    fn entry(&self, claim: &Claim) -> Option<&Entry> {
        self.credentials.iter().find(|entry| entry.is_of(claim))
    }

    fn put(&mut self, claim: &Claim, entry: Entry) {
        match self.credentials.iter_mut().find(|entry| entry.is_of(claim)) {
            Some(earlier) => *earlier = entry,
            None => self.credentials.push(entry),
        }
    }
}

impl Entry {
    fn is_of(&self, claim: &Claim) -> bool {
        self.namespace == claim.namespace && self.of.is_of(claim)
    }
}

impl Found {
    /// What is in the file of a credential's variables, without the beginning of their names.
    fn document(&self, entry: &Entry, prefix: &str) -> Document {
        let variables = entry.variables.iter().filter_map(|name| {
            let key = name.strip_prefix(prefix).unwrap_or(name);
            Some((key.to_owned(), SecretString::from(self.lines.get(name)?)))
        });
        Document::new(variables)
    }

    /// Tells one state of a credential from every other.
    fn version(&self, entry: &Entry) -> Version {
        let known = serde_json::to_vec(entry).unwrap_or_default();
        let values = entry.variables.iter().map(|name| self.lines.get(name).map(str::as_bytes));
        disk::version(std::iter::once(Some(known.as_slice())).chain(values))
    }
}

impl LocalPlace for DotenvPlace {
    fn id(&self) -> &PlaceId {
        &self.id
    }

    /// With the machine: elsewhere, a path alone would lead to another file.
    fn location(&self, _delivery: &Delivery) -> String {
        format!("{}:{}", tenantdb_core::host(), self.path.display())
    }

    fn read_now(&self, delivery: &Delivery) -> Result<Held, PlaceError> {
        let found = self.find()?;
        let entry = found.beside.entry(&delivery.claim);
        if let Some((what, hint)) = self.in_the_way(delivery, &found, entry) {
            return Ok(Held::Foreign { what: format!("{}: {what}", self.path.display()), hint });
        }
        let Some(entry) = entry else { return Ok(Held::Nothing { version: Version::default() }) };
        let version = found.version(entry);
        let Some((login, next)) = self.logins(&found, entry) else { return Ok(Held::Nothing { version }) };
        let wanted = self.rendered(delivery, &login, Generation(entry.of.generation))?;
        let is_wanted = |name: &String| wanted.get(name).is_some();
        let current = entry.variables.iter().all(is_wanted) && wanted == found.document(entry, "");
        let next = next.map(|next| next.digest());
        let (generation, digest) = (Generation(entry.of.generation), login.digest());
        Ok(Held::Credential {
            username: login.username,
            generation,
            login: digest,
            next,
            current,
            provenance: Provenance::Claimed,
            version,
        })
    }

    fn login_now(&self, delivery: &Delivery, digest: &Digest) -> Result<Option<Login>, PlaceError> {
        let found = self.find()?;
        let entry = found.beside.entry(&delivery.claim);
        let logins = entry.and_then(|entry| self.logins(&found, entry));
        let mut logins = logins.into_iter().flat_map(|(login, next)| std::iter::once(login).chain(next));
        Ok(logins.find(|login| login.digest() == *digest))
    }

    fn fence_now(&self, delivery: &Delivery, marker: &Marker, expected: Version) -> Result<Version, PlaceError> {
        let _lock = self.lock()?;
        let mut found = self.expect(delivery, expected)?;
        let earlier = found.beside.entry(&delivery.claim);
        let entry = self.entry(delivery, marker, earlier);
        let version = found.version(&entry);
        found.beside.put(&delivery.claim, entry);
        self.write_beside(&found.beside)?;
        Ok(version)
    }

    fn stage_now(&self, delivery: &Delivery, next: &Password, expected: Version) -> Result<Version, PlaceError> {
        let _lock = self.lock()?;
        let mut found = self.expect(delivery, expected)?;
        let entry = found.beside.entry(&delivery.claim).cloned().ok_or_else(|| self.moved())?;
        let staged = self.named(delivery, &stage(Document::default(), next));
        let variables = entry.variables.iter().cloned().chain(staged.iter().map(|(name, _)| name.to_owned()));
        let entry = Entry { variables: variables.collect(), ..entry };
        found.beside.put(&delivery.claim, entry.clone());
        self.write_beside(&found.beside)?;
        self.write_lines(&mut found, &staged, &BTreeSet::new())?;
        Ok(found.version(&entry))
    }

    fn publish_now(
        &self,
        delivery: &Delivery,
        login: &Login,
        generation: Generation,
        expected: Version,
    ) -> Result<Version, PlaceError> {
        self.put_document(delivery, &self.rendered(delivery, login, generation)?, generation, expected)
    }

    fn withdraw_now(&self, delivery: &Delivery) -> Result<(), PlaceError> {
        let _lock = self.lock()?;
        let mut found = self.find()?;
        let Some(entry) = found.beside.entry(&delivery.claim).cloned() else { return Ok(()) };
        if self.path.exists() {
            self.write_lines(&mut found, &Document::default(), &entry.variables)?;
        }
        found.beside.credentials.retain(|other| *other != entry);
        self.write_beside(&found.beside)
    }
}

/// The file that a path leads to: a link stays one, and what it leads to is written.
///
/// # Errors
/// When there is none and can be none.
pub fn resolved(path: &Path) -> Result<PathBuf, PlaceError> {
    let refuse = |why: &str, hint: &str| PlaceError::Failed {
        message: format!("{} {why}", path.display()),
        hint: Some(hint.to_owned()),
    };
    let no_file = || refuse("is no file", "name a file that variables can be written to");
    match fs::metadata(path) {
        Ok(found) if found.is_file() => return fs::canonicalize(path).map_err(|error| failed(path, "find", &error)),
        Ok(_) => return Err(no_file()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(path, "find", &error)),
        Err(_) if path.is_symlink() => {
            return Err(refuse("is a link that leads nowhere", "make the file that it leads to, or remove it"));
        }
        Err(_) => {}
    }
    let absolute = std::path::absolute(path).map_err(|error| failed(path, "find", &error))?;
    let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else { return Err(no_file()) };
    let folder = fs::canonicalize(folder)
        .map_err(|_| refuse("is in a folder that does not exist", "make the folder, or name another file (--file)"))?;
    Ok(folder.join(name))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
