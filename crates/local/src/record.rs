//! `server.json`: what has to be known about a server to use it.

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::error::{Error, Result};
use crate::files;

/// What is noted about a server.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// The port it was last started on.
    pub(crate) port: Option<u16>,
    /// The admin's name.
    pub(crate) username: String,
    /// The admin's password.
    pub(crate) password: SecretString,
    /// The version of the programs that it was last started with, such as `15.18`.
    pub(crate) version: String,
}

/// The file's shape.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'a> {
    port: Option<u16>,
    admin: Admin<'a>,
    version: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Admin<'a> {
    username: String,
    password: std::borrow::Cow<'a, str>,
}

impl Record {
    /// Reads it; `None` if there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        let Some(text) = files::read_if_there(path)? else { return Ok(None) };
        // Only the place: the message would quote what it found there, which may be the password.
        let damaged = |error: serde_json::Error| Error::Record {
            path: path.to_owned(),
            reason: format!("line {}, column {} is not what tenantdb wrote", error.line(), error.column()),
        };
        let File { port, admin: Admin { username, password }, version } =
            serde_json::from_str(&text).map_err(damaged)?;
        Ok(Some(Self { port, username, password: password.into_owned().into(), version }))
    }

    /// Replaces it, in one step. It stays ours, whoever the server runs as.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let file = File {
            port: self.port,
            admin: Admin { username: self.username.clone(), password: self.password.expose_secret().into() },
            version: self.version.clone(),
        };
        let text = serde_json::to_string_pretty(&file)
            .map_err(|error| Error::Record { path: path.to_owned(), reason: error.to_string() })?;
        files::write_private(path, format!("{text}\n").as_bytes(), None::<&Account>)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn comes_back_as_written_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.json");
        assert!(Record::read(&path).unwrap().is_none());
        let record = Record {
            port: Some(21_000),
            username: "tenantdb_admin".into(),
            password: "geheim".to_owned().into(),
            version: "15.18".into(),
        };
        record.write(&path).unwrap();
        let read = Record::read(&path).unwrap().unwrap();
        assert_eq!((read.port, &*read.username, &*read.version), (Some(21_000), "tenantdb_admin", "15.18"));
        assert_eq!(read.password.expose_secret(), "geheim");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{record:?}").contains("geheim"));
    }

    #[test]
    fn a_damaged_one_is_named_and_not_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.json");
        std::fs::write(&path, r#"{"port": "geheim"}"#).unwrap();
        let error = Record::read(&path).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("server.json is damaged: line 1, column 17"), "{text}");
        assert!(!text.contains("geheim"));
        assert!(error.hint().unwrap().contains("remove "));
    }
}
