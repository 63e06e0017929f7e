//! The variables that a build script sets.

use tenantdb_api::shorten;

use crate::error::Error;

/// How a variable is read; a test has others than the process.
pub trait Environment {
    /// The value of a variable, unless it is unset or empty.
    ///
    /// # Errors
    /// When it can't stand in a name, an address or a file.
    fn get(&self, name: &str) -> Result<Option<String>, Error>;

    /// Whether a variable is `true`; `None` when it is not set.
    ///
    /// # Errors
    /// When it is neither `true` nor `false`.
    fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.get(name)?.as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(Error::input(format!("{name} is `{other}`"), "give it `true` or `false`")),
        }
    }
}

/// The variables of this process.
pub struct Process;

impl Environment for Process {
    fn get(&self, name: &str) -> Result<Option<String>, Error> {
        let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else { return Ok(None) };
        let value = value.into_string().map_err(|_| Error::input(format!("{name} is not UTF-8"), CORRECT))?;
        checked(name, value).map(Some)
    }
}

const CORRECT: &str = "correct it where it is set";

fn checked(name: &str, value: String) -> Result<String, Error> {
    if value.contains(char::is_control) {
        return Err(Error::input(format!("{name} holds a control character, such as a line's end"), CORRECT));
    }
    if value.trim() != value {
        return Err(Error::input(format!("{name} begins or ends with a space"), CORRECT));
    }
    Ok(value)
}

/// A text as the name of an object, which Kubernetes allows less than PostgreSQL: `isp_billing` becomes `isp-billing`.
pub fn object_name<T: std::str::FromStr>(text: &str) -> Option<T> {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let parts = text.split('.').map(|part| part.chars().map(legal).collect::<String>());
    let parts: Vec<String> =
        parts.map(|part| part.trim_matches('-').to_owned()).filter(|part| !part.is_empty()).collect();
    let name = parts.join(".");
    shorten(&name, 200).parse().ok()
}

#[cfg(test)]
pub mod tests {
    use std::collections::BTreeMap;

    use super::*;

    impl Environment for BTreeMap<&str, &str> {
        fn get(&self, name: &str) -> Result<Option<String>, Error> {
            let value = BTreeMap::get(self, name).filter(|value| !value.is_empty());
            value.map(|value| checked(name, (*value).to_owned())).transpose()
        }
    }

    #[test]
    fn a_name_becomes_what_kubernetes_allows() {
        for (text, name) in [
            ("cafe", Some("cafe")),
            ("isp_billing", Some("isp-billing")),
            ("Orders 2", Some("orders-2")),
            ("postgresql.infra.svc.cluster.local", Some("postgresql.infra.svc.cluster.local")),
            ("_-x-.-", Some("x")),
            ("::1", Some("1")),
            ("größe", Some("gr--e")),
            ("データ", None),
        ] {
            let found: Option<tenantdb_api::ObjectName> = object_name(text);
            assert_eq!(found.as_ref().map(AsRef::as_ref), name, "{text}");
        }
    }
}
