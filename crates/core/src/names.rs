//! How names come from declarations, what derives from them, and what fits.

use std::collections::BTreeMap;

use tenantdb_api::{InvalidValue, Namespace, ObjectName, SqlName, shorten};

use crate::Slot;

/// The names of a tenant on its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantNames {
    /// The database.
    pub database: SqlName,
    /// The tenant's role.
    pub owner: SqlName,
}

/// What is appended to an owner's name by its slots and access levels: names that no other tenant may have, whether
/// they are in use yet or not.
pub const DERIVED_SUFFIXES: [&str; 5] = ["_a", "_b", "_c", "_ro", "_rw"];

impl TenantNames {
    /// The login of a slot.
    ///
    /// # Panics
    /// Never for an owner that [`check_owner`] accepted.
    #[must_use]
    pub fn slot(&self, slot: Slot) -> SqlName {
        let Some(letter) = slot.letter() else { return self.owner.clone() };
        format!("{}_{letter}", self.owner).parse().expect("an owner leaves room for its suffixes")
    }

    /// Every role name that belongs to this tenant: its own, and all that derive from it.
    #[must_use]
    pub fn roles(&self) -> Vec<String> {
        let derived = DERIVED_SUFFIXES.iter().map(|suffix| [self.owner.as_str(), suffix].concat());
        std::iter::once(self.owner.to_string()).chain(derived).collect()
    }

    /// The same for an account without a database of its own: it has slots, and no access levels.
    #[must_use]
    pub fn of_account(&self) -> Vec<String> {
        let slots = [Slot::A, Slot::B, Slot::C].map(|slot| self.slot(slot).to_string());
        std::iter::once(self.owner.to_string()).chain(slots).collect()
    }
}

/// Fills `{placeholders}` in, in one go: a value that looks like a placeholder stays as it is. The template was checked
/// when the server was validated; what is no placeholder stays as well.
#[must_use]
pub fn expand(template: &str, values: &BTreeMap<&str, &str>) -> String {
    let mut expanded = String::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once('{') {
        let filled = after.split_once('}').and_then(|(name, after)| Some((values.get(name)?, after)));
        let (value, after) = filled.map_or(("{", after), |(value, after)| (*value, after));
        expanded.push_str(text);
        expanded.push_str(value);
        rest = after;
    }
    expanded + rest
}

/// The values of `{name}` and `{namespace}`.
#[must_use]
pub fn placeholders<'a>(name: &'a ObjectName, namespace: &'a Namespace) -> BTreeMap<&'static str, &'a str> {
    BTreeMap::from([("name", name.as_str()), ("namespace", namespace.as_str())])
}

/// A database's name, if it fits.
///
/// # Errors
/// When it is empty, holds NUL, or is longer than 63 bytes; then the message shows a shortened name.
pub fn check_database(name: &str) -> Result<SqlName, InvalidValue> {
    name.parse()
}

/// An owner's name, if it fits together with every suffix.
///
/// # Errors
/// When it is empty, holds NUL, or is too long for its slots; then the message shows a shortened name.
pub fn check_owner(name: &str) -> Result<SqlName, InvalidValue> {
    let suffix = DERIVED_SUFFIXES.iter().max_by_key(|suffix| suffix.len()).copied().unwrap_or_default();
    if name.len() + suffix.len() <= SqlName::MAX_BYTES {
        return name.parse();
    }
    Err(InvalidValue(format!(
        "`{name}` has {} bytes with the suffix `{suffix}`; PostgreSQL keeps {}. A name that fits: `{}`",
        name.len() + suffix.len(),
        SqlName::MAX_BYTES,
        shorten(name, SqlName::SUGGESTED_BYTES)
    )))
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
