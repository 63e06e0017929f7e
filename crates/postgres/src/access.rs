//! Who may do what in a database that is not its own: what its declaration consents to, and the roles that carry it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tenantdb_api::tenant_database::AccessLevel;
use tenantdb_core::Claim;

/// What a database's declaration lets somebody else do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Whom: the name of a further login, or `namespace/name` of a role without a database of its own.
    pub(crate) to: String,
    /// What at most.
    pub(crate) level: AccessLevel,
    /// In which schemas; in all that are the tenant's when empty.
    pub(crate) schemas: BTreeSet<String>,
}

/// A role that others are members of, so that they may do something in a database. It carries the privileges of one
/// level, in named schemas or in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level {
    /// What it may do.
    pub(crate) level: AccessLevel,
    /// In which schemas; in all that are the tenant's when empty.
    pub(crate) schemas: BTreeSet<String>,
}

impl Consent {
    /// Whether it is for this claim, on the database of `database`.
    pub(crate) fn is_for(&self, claim: &Claim, database: &Claim) -> bool {
        match &claim.access {
            Some(name) => claim.declaration() == *database && name.as_str() == self.to,
            None => claim.path() == self.to,
        }
    }

    /// Whether it is for a further login of the database itself.
    pub(crate) fn is_own(&self) -> bool {
        !self.to.contains('/')
    }

    /// The role that carries a level of it, in the database of this owner.
    pub(crate) fn role(&self, owner: &str, level: AccessLevel) -> String {
        let suffix = match level {
            AccessLevel::ReadOnly => "ro",
            AccessLevel::ReadWrite => "rw",
        };
        if self.schemas.is_empty() {
            return format!("{owner}_{suffix}");
        }
        let name = self.to.rsplit_once('/').map_or(self.to.as_str(), |(_, name)| name);
        format!("{owner}_{name}_{suffix}")
    }

    /// The levels that it lets somebody have. A role without a database may ask for less than it is offered.
    fn levels(&self) -> impl Iterator<Item = AccessLevel> {
        [AccessLevel::ReadOnly, AccessLevel::ReadWrite]
            .into_iter()
            .filter(|level| if self.is_own() { *level == self.level } else { *level <= self.level })
    }
}

/// The roles that carry what a database consents to, by name.
pub(crate) fn levels(owner: &str, consents: &[Consent]) -> BTreeMap<String, Level> {
    let of = |consent: &Consent| {
        let level = |level| (consent.role(owner, level), Level { level, schemas: consent.schemas.clone() });
        consent.levels().map(level).collect::<Vec<_>>()
    };
    consents.iter().flat_map(of).collect()
}

impl Level {
    /// What it may do with tables and views, as GRANT spells it.
    pub(crate) fn on_tables(&self) -> &'static [&'static str] {
        match self.level {
            AccessLevel::ReadOnly => &["SELECT"],
            AccessLevel::ReadWrite => &["SELECT", "INSERT", "UPDATE", "DELETE"],
        }
    }

    /// What it may do with sequences, as GRANT spells it.
    pub(crate) fn on_sequences(&self) -> &'static [&'static str] {
        match self.level {
            AccessLevel::ReadOnly => &["SELECT"],
            AccessLevel::ReadWrite => &["SELECT", "USAGE", "UPDATE"],
        }
    }
}
