//! Values that are checked once, when they are decoded, and cannot be wrong afterwards.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::shorten;

/// Why a value was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(pub String);

macro_rules! checked_string {
    ($(#[$doc:meta])* $name:ident, $check:path, $schema:tt) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text as it was declared.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidValue;
            fn try_from(text: String) -> Result<Self, InvalidValue> {
                text.parse()
            }
        }

        impl FromStr for $name {
            type Err = InvalidValue;
            fn from_str(text: &str) -> Result<Self, InvalidValue> {
                $check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

checked_string!(
    /// The name of an object: a DNS subdomain of at most 253 bytes (RFC 1123, as Kubernetes requires), so that it is
    /// also a safe file name.
    ObjectName,
    check_subdomain,
    {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", "maxLength": 253}
);

checked_string!(
    /// A namespace: a DNS label of at most 63 bytes (RFC 1123, as Kubernetes requires).
    Namespace,
    check_label,
    {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
);

checked_string!(
    /// The name of a database, role or schema: 1 to 63 bytes of UTF-8 without NUL (PostgreSQL documentation, 4.1.1).
    SqlName,
    check_sql_name,
    {"type": "string", "minLength": 1, "maxLength": 63}
);

checked_string!(
    /// The name of a PostgreSQL run-time parameter, in lower case.
    SettingName,
    check_setting_name,
    {"type": "string", "pattern": r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*$", "maxLength": 63}
);

/// An object of any namespace, written `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectPath {
    namespace: Namespace,
    name: ObjectName,
}

impl ObjectPath {
    /// The object of this namespace and name.
    #[must_use]
    pub(crate) fn new(namespace: Namespace, name: ObjectName) -> Self {
        Self { namespace, name }
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ObjectName {
        &self.name
    }
}

impl FromStr for ObjectPath {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (namespace, name) =
            text.split_once('/').ok_or_else(|| InvalidValue(format!("`{text}` is not `namespace/name`")))?;
        Ok(Self { namespace: namespace.parse()?, name: name.parse()? })
    }
}

impl TryFrom<String> for ObjectPath {
    type Error = InvalidValue;
    fn try_from(text: String) -> Result<Self, InvalidValue> {
        text.parse()
    }
}

impl From<ObjectPath> for String {
    fn from(path: ObjectPath) -> String {
        path.to_string()
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl JsonSchema for ObjectPath {
    fn schema_name() -> Cow<'static, str> {
        "ObjectPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[-.a-z0-9]+$"})
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("default".into())
    }
}

impl SqlName {
    /// The longest name PostgreSQL keeps whole, in bytes (`NAMEDATALEN - 1`).
    pub const MAX_BYTES: usize = 63;

    /// How long a name is that is suggested: other names derive from it by suffixes, which have to fit as well.
    pub const SUGGESTED_BYTES: usize = 48;
}

/// A connection limit: how many sessions at a time, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct ConnectionLimit(i32);

impl ConnectionLimit {
    /// The limit as PostgreSQL's catalogs hold it.
    #[must_use]
    pub fn get(self) -> i32 {
        self.0
    }
}

impl JsonSchema for ConnectionLimit {
    fn schema_name() -> Cow<'static, str> {
        "ConnectionLimit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 1, "maximum": 1_000_000})
    }
}

impl TryFrom<i64> for ConnectionLimit {
    type Error = InvalidValue;
    fn try_from(value: i64) -> Result<Self, InvalidValue> {
        // Two slots and three sessions for the administrator still have to fit into PostgreSQL's integer.
        match i32::try_from(value) {
            Ok(limit) if (1..=1_000_000).contains(&limit) => Ok(Self(limit)),
            _ => Err(InvalidValue(format!(
                "a connection limit is a number from 1 to 1000000, not {value}; without one there is no limit"
            ))),
        }
    }
}

impl From<ConnectionLimit> for i64 {
    fn from(limit: ConnectionLimit) -> i64 {
        i64::from(limit.0)
    }
}

fn check_label(text: &str) -> Result<(), InvalidValue> {
    if text.len() > 63 {
        return Err(InvalidValue(format!("`{text}` has {} bytes; at most 63 are allowed", text.len())));
    }
    check_dns_part(text, text)
}

fn check_subdomain(text: &str) -> Result<(), InvalidValue> {
    if text.len() > 253 {
        return Err(InvalidValue(format!("`{text}` has {} bytes; at most 253 are allowed", text.len())));
    }
    text.split('.').try_for_each(|part| check_dns_part(text, part))
}

fn check_dns_part(whole: &str, part: &str) -> Result<(), InvalidValue> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = part.as_bytes();
    if bytes.iter().copied().all(inner) && edge(bytes.first()) && edge(bytes.last()) {
        return Ok(());
    }
    Err(InvalidValue(format!(
        "`{whole}` is not a Kubernetes name: lower-case letters, digits and `-`, beginning and ending with a letter or digit"
    )))
}

fn check_sql_name(text: &str) -> Result<(), InvalidValue> {
    if text.is_empty() {
        return Err(InvalidValue("a name can't be empty".to_owned()));
    }
    if text.contains('\0') {
        return Err(InvalidValue("a name can't hold a NUL character".to_owned()));
    }
    if text.len() > SqlName::MAX_BYTES {
        return Err(InvalidValue(format!(
            "`{text}` has {} bytes; PostgreSQL keeps {}. A name that fits: `{}`",
            text.len(),
            SqlName::MAX_BYTES,
            shorten(text, SqlName::SUGGESTED_BYTES)
        )));
    }
    Ok(())
}

fn check_setting_name(text: &str) -> Result<(), InvalidValue> {
    let word = |part: &str| {
        part.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    if text.split('.').all(word) && text.len() <= SqlName::MAX_BYTES {
        return Ok(());
    }
    let lower = text.to_lowercase();
    let instead = if lower != text && check_setting_name(&lower).is_ok() {
        format!(": write `{lower}`")
    } else {
        " (lower case, digits, `_` and `.`)".to_owned()
    };
    Err(InvalidValue(format!("`{text}` is not the name of a PostgreSQL setting{instead}")))
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
