//! What an application reads: a format's keys with their values, and templates for further ones.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use tenantdb_api::SqlName;
use tenantdb_api::tenant_database::{SecretFormat, SecretType};
use tenantdb_core::{Address, Delivery, Endpoint, Generation, Login, Password};

use crate::keys::keys;

/// What RFC 3986 leaves unencoded everywhere: letters, digits and `-._~`.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The keys and values of a credential, in the order in which they are written.
#[derive(Clone, Debug, Default)]
pub struct Document(Vec<(String, SecretString)>);

impl Document {
    /// A document of these keys; a key given twice keeps its last value.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = (String, SecretString)>) -> Self {
        let mut document = Self::default();
        for (key, value) in entries {
            document.set(&key, value.expose_secret().to_owned());
        }
        document
    }

    /// The value of a key.
    #[must_use]
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.expose_secret())
    }

    /// Keys and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.expose_secret()))
    }

    /// The connection URI, by whichever of its two names is there.
    #[must_use]
    pub fn uri(&self) -> Option<&str> {
        self.get("uri").or_else(|| self.get("DATABASE_URL"))
    }

    /// One flat JSON object.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        self.iter().map(|(key, value)| (key.to_owned(), value.into())).collect()
    }

    fn set(&mut self, key: &str, value: String) {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, earlier)) => *earlier = SecretString::from(value),
            None => self.0.push((key.to_owned(), SecretString::from(value))),
        }
    }
}

impl PartialEq for Document {
    /// The same keys with the same values, in any order.
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

/// A template that can't be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTemplate(String);

/// The credential of a login as its applications read it.
///
/// # Errors
/// When a key's template is malformed, which validation has refused before.
pub fn render(delivery: &Delivery, login: &Login, generation: Generation) -> Result<Document, InvalidTemplate> {
    let values = Values::of(delivery, login, generation);
    let mut document = Document::default();
    for format in &delivery.formats {
        // What the server has no endpoint or certificate for is left out.
        for (key, value) in keys(*format).iter().filter_map(|(key, name)| Some((key, values.get(name)?))) {
            document.set(key, value.to_owned());
        }
    }
    for (key, template) in &delivery.keys {
        document.set(key, values.fill(template)?);
    }
    Ok(document)
}

/// The keys that a delivery may have, whoever logs in.
pub(crate) fn key_names(delivery: &Delivery) -> impl Iterator<Item = &str> {
    let of_formats = delivery.formats.iter().flat_map(|format| keys(*format)).map(|(key, _)| *key);
    of_formats.chain(delivery.keys.keys().map(String::as_str))
}

/// The key of a password that is about to take the place of the one beside it.
pub(crate) const NEXT_PASSWORD: &str = "password_next";

/// A document with the password that is about to take the place of its own.
#[must_use]
pub fn stage(mut document: Document, next: &Password) -> Document {
    document.set(NEXT_PASSWORD, next.expose().to_owned());
    document
}

/// The login in a document, whatever set of keys it was written with, and the one that is about to take its place.
#[must_use]
pub(crate) fn read_logins(document: &Document) -> Option<(Login, Option<Login>)> {
    let pairs = [("username", "password"), ("DB_USER", "DB_PASSWORD")];
    let whole = pairs.iter().find_map(|(user, secret)| Some((document.get(user)?, Some(document.get(secret)?))));
    let (username, password) =
        whole.or_else(|| pairs.iter().find_map(|(user, _)| Some((document.get(user)?, None))))?;
    let username: SqlName = username.parse().ok()?;
    let login = |password: Option<&str>| {
        let password = password.map(|password| Password::new(password.to_owned()));
        Login { username: username.clone(), password }
    };
    let next = document.get(NEXT_PASSWORD).map(|next| login(Some(next)));
    Some((login(password), next))
}

/// The type of the Secret that a document was meant for, as far as its keys tell.
#[must_use]
pub fn secret_type(document: &Document) -> SecretType {
    let has = |format: SecretFormat| {
        let mut always = keys(format).iter().filter(|(_, value)| !value.starts_with("uri_"));
        always.all(|(key, _)| document.get(key).is_some())
    };
    let typed =
        [(SecretFormat::Cnpg, SecretType::BasicAuth), (SecretFormat::ServiceBinding, SecretType::ServiceBinding)];
    typed.into_iter().find(|(format, _)| has(*format)).map(|(_, found)| found).unwrap_or_default()
}

/// What the placeholders of a template stand for.
#[derive(Default)]
struct Values {
    uri: SecretString,
    uri_direct: Option<SecretString>,
    uri_ro: Option<SecretString>,
    jdbc_uri: SecretString,
    pgpass: Option<SecretString>,
    scheme: &'static str,
    authority: Option<String>,
    host: String,
    port: String,
    database: String,
    username: String,
    password: Option<SecretString>,
    generation: String,
}

impl Values {
    fn of(delivery: &Delivery, login: &Login, generation: Generation) -> Self {
        let Endpoint { address, direct, read_only, authority, .. } = &delivery.endpoint;
        let uri = |address: &Address| SecretString::from(uri(delivery, login, address));
        Self {
            uri: uri(address),
            uri_direct: direct.as_ref().map(uri),
            uri_ro: read_only.as_ref().map(uri),
            jdbc_uri: SecretString::from(jdbc_uri(delivery, login)),
            pgpass: pgpass(delivery, login).map(SecretString::from),
            scheme: delivery.endpoint.scheme,
            authority: authority.clone(),
            host: address.host.clone(),
            port: address.port.to_string(),
            database: delivery.database.to_string(),
            username: login.username.to_string(),
            password: login.password.as_ref().map(|password| SecretString::from(password.expose())),
            generation: generation.to_string(),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        Some(match name {
            "uri" => self.uri.expose_secret(),
            "uri_direct" => self.uri_direct.as_ref()?.expose_secret(),
            "uri_ro" => self.uri_ro.as_ref()?.expose_secret(),
            "jdbc-uri" => self.jdbc_uri.expose_secret(),
            "pgpass" => self.pgpass.as_ref()?.expose_secret(),
            "type" => self.scheme,
            "provider" => "tenantdb",
            "ca.crt" => self.authority.as_ref()?,
            "host" | "endpoint" => &self.host,
            "port" => &self.port,
            "database" => &self.database,
            "username" => &self.username,
            "password" => self.password.as_ref()?.expose_secret(),
            "generation" => &self.generation,
            _ => return None,
        })
    }

    fn fill(&self, template: &str) -> Result<String, InvalidTemplate> {
        let mut filled = String::new();
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            let (text, tail) = rest.split_at(at);
            filled.push_str(text);
            rest = if let Some(after) = tail.strip_prefix("{{") {
                filled.push('{');
                after
            } else if let Some(after) = tail.strip_prefix("}}") {
                filled.push('}');
                after
            } else {
                let (name, after) = tail
                    .strip_prefix('{')
                    .and_then(|inner| inner.split_once('}'))
                    .ok_or_else(|| InvalidTemplate(format!("`{template}` has a brace without its other half")))?;
                filled.push_str(
                    self.get(name).ok_or_else(|| InvalidTemplate(format!("`{{{name}}}` is not a placeholder")))?,
                );
                after
            };
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

/// As the JDBC driver reads it, with the login among its parameters.
fn jdbc_uri(delivery: &Delivery, login: &Login) -> String {
    let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let Endpoint { scheme, address, parameters, .. } = &delivery.endpoint;
    let password = login.password.as_ref().map(|password| ("password", password.expose()));
    let all = std::iter::once(("user", login.username.as_str())).chain(password);
    let all = all.chain(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let all: Vec<String> = all.map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let database = encode(delivery.database.as_str());
    format!("jdbc:{scheme}://{}:{}/{database}?{}", host(address), address.port, all.join("&"))
}

/// A line of a password file (PostgreSQL documentation, 34.16).
fn pgpass(delivery: &Delivery, login: &Login) -> Option<String> {
    let escape = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
    let Address { host, port } = &delivery.endpoint.address;
    let (database, username) = (delivery.database.as_str(), login.username.as_str());
    let password = login.password.as_ref()?.expose();
    let [host, database, username, password] = [host, database, username, password].map(escape);
    Some(format!("{host}:{port}:{database}:{username}:{password}\n"))
}

/// A host as it stands in a URI.
fn host(address: &Address) -> String {
    if address.host.contains(':') { format!("[{}]", address.host) } else { address.host.clone() }
}

fn uri(delivery: &Delivery, login: &Login, address: &Address) -> String {
    let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let endpoint = &delivery.endpoint;
    let host = host(address);
    let parameters: Vec<String> =
        endpoint.parameters.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let query = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
    let password =
        login.password.as_ref().map_or_else(String::new, |password| format!(":{}", encode(password.expose())));
    format!(
        "{}://{}{password}@{host}:{}/{}{query}",
        endpoint.scheme,
        encode(login.username.as_str()),
        address.port,
        encode(delivery.database.as_str()),
    )
}

#[cfg(test)]
#[path = "format_tests.rs"]
pub(crate) mod tests;
