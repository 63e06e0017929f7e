//! From a server's declaration to how it is reached, and to what applications are told of it.

mod tls;

pub use tls::Tls;

use std::env::VarError;
use std::fs;

use tenantdb_api::database_server::{PasswordSource, Publish, PublishedEndpoint, TlsMode};
use tenantdb_api::{DatabaseServer, SqlName};

use crate::{Address, Endpoint, Failure, FailureKind, Password};

/// The administrator's login.
#[derive(Clone, Debug)]
pub struct AdminLogin {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: Password,
    /// The database to connect to before the ledger exists.
    pub maintenance_database: String,
    /// What the server is sent of the passwords that it is to know.
    pub sends: Sends,
}

/// What a server is sent of a password that it is to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sends {
    /// A verifier made on our side.
    #[default]
    Verifier,
    /// The password itself, because the server takes no verifiers; only where it has proved itself.
    Password,
}

/// How a server is reached.
#[derive(Clone, Debug)]
pub struct Way {
    /// Where it listens.
    pub address: Address,
    /// How the connection is protected.
    pub tls: Tls,
    /// As whom we come.
    pub admin: AdminLogin,
}

/// What applications are told of a server that listens at `source`, where connection URIs have this scheme; `authority`
/// has the certificates that may have signed its own, in PEM.
#[must_use]
pub fn endpoint(
    scheme: &'static str,
    server: &DatabaseServer,
    source: &Address,
    authority: Option<String>,
) -> Endpoint {
    let Publish { host, port, direct, read_only, parameters } = server.spec.publish.clone().unwrap_or_default();
    let port = port.unwrap_or(source.port);
    let other = |other: PublishedEndpoint| Address { host: other.host, port: other.port.unwrap_or(port) };
    Endpoint {
        scheme,
        address: Address { host: host.unwrap_or_else(|| source.host.clone()), port },
        direct: direct.map(other),
        read_only: read_only.map(other),
        parameters,
        authority,
    }
}

/// How the way to a server is protected: as declared, else as well as `authority` allows.
///
/// # Errors
/// When the certificates can't be read.
pub fn tls(server: &DatabaseServer, authority: Option<&[u8]>) -> Result<Tls, String> {
    let mode = server.spec.tls.as_ref().and_then(|tls| tls.mode);
    let mode = mode.unwrap_or(if authority.is_some() { TlsMode::VerifyFull } else { TlsMode::Prefer });
    Tls::new(mode, authority)
}

/// The administrator's login, with the first password that `read` finds in `admin.passwordFrom`; what comes after it is
/// not read.
///
/// # Errors
/// When none of them is there; all that were tried are named.
pub async fn admin_login<'a, R: Future<Output = Result<Password, String>>>(
    server: &'a DatabaseServer,
    mut read: impl FnMut(&'a PasswordSource) -> R,
) -> Result<AdminLogin, Failure> {
    let name = &server.metadata.name;
    let Some(admin) = server.spec.admin.as_ref() else {
        let missing = Failure::new(FailureKind::Rejected, format!("server {name} has no `admin`"));
        return Err(missing.hint("declare a role with LOGIN, CREATEDB and CREATEROLE"));
    };
    let mut tried = Vec::new();
    for from in &admin.password_from {
        match read(from).await {
            Ok(password) => {
                return Ok(AdminLogin {
                    username: from.username.as_ref().map_or(admin.username.as_str(), SqlName::as_str).to_owned(),
                    password,
                    maintenance_database: admin.maintenance_database.to_string(),
                    sends: if admin.password_passthrough { Sends::Password } else { Sends::Verifier },
                });
            }
            Err(why) => tried.push(why),
        }
    }
    if tried.is_empty() {
        tried.push("no entry of `admin.passwordFrom` is for it".to_owned());
    }
    let message = format!("server {name}: no password for {}: {}", admin.username, tried.join("; "));
    Err(Failure::new(FailureKind::Rejected, message)
        .hint("set one of them, or name another place in `admin.passwordFrom`"))
}

/// Reads a password from a variable of the environment or a file.
///
/// # Errors
/// Why it is not there.
pub fn read_password(from: &PasswordSource) -> Result<Password, String> {
    match (&from.env, &from.file) {
        (Some(name), _) => match std::env::var(name) {
            Ok(value) if !value.is_empty() => Ok(Password::new(value)),
            Ok(_) => Err(format!("the variable {name} is empty")),
            Err(VarError::NotUnicode(_)) => Err(format!("the variable {name} is not UTF-8")),
            Err(VarError::NotPresent) => Err(format!("the variable {name} is not set")),
        },
        (None, Some(path)) => match fs::read_to_string(path) {
            Ok(text) => password_in(&text, &path.display().to_string()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        },
        (None, None) => match &from.secret {
            Some(secret) => Err(format!("Secret {} can only be read in a cluster", secret.name)),
            None => Err("an entry names no place".to_owned()),
        },
    }
}

/// The password that a text is, with or without a final newline; `place` is what holds it.
///
/// # Errors
/// When it is empty.
pub fn password_in(text: &str, place: &str) -> Result<Password, String> {
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("{place} is empty")),
        password => Ok(Password::new(password.to_owned())),
    }
}
