//! What a server's ledger knows, whatever its engine.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{TenantNames, check_owner};
use crate::{Authority, Claim, Origin, Recorded};

/// How far a tenant has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its names are taken; nothing is certain to exist.
    Claimed,
    /// It exists.
    Provisioned,
    /// Its deletion was begun.
    Deleting,
    /// Its declaration is gone; what its policies left is still here.
    Orphaned,
}

impl Phase {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Claimed, "Claimed"),
        (Self::Provisioned, "Provisioned"),
        (Self::Deleting, "Deleting"),
        (Self::Orphaned, "Orphaned"),
    ];

    /// The word that a ledger holds.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(phase, _)| *phase == self).map_or("", |(_, word)| word)
    }

    /// The phase that a word of a ledger stands for.
    #[must_use]
    pub fn from_word(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, word)| *word == text).map(|(phase, _)| *phase)
    }
}

/// A tenant that a server's ledger knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantSummary {
    /// Whose it is.
    pub claim: Claim,
    /// Its database.
    pub database: String,
    /// Its role.
    pub owner: String,
    /// Whether its database is on the server.
    pub present: bool,
    /// How far it has come.
    pub phase: Phase,
    /// Whether deleting it is refused.
    pub protected: bool,
    /// Where its credential was delivered.
    pub delivered: Option<String>,
    /// Where its declaration stands, if that is in a cluster and was noted.
    pub origin: Option<Origin>,
}

impl TenantSummary {
    /// The names that were recorded when it was made; `None` when the ledger has lost them.
    #[must_use]
    pub fn names(&self) -> Option<TenantNames> {
        Some(TenantNames { database: self.database.parse().ok()?, owner: check_owner(&self.owner).ok()? })
    }
}

/// The tenants that a server's ledger knows.
#[derive(Clone, Debug, Default)]
pub struct Inventory(BTreeMap<Claim, TenantSummary>);

impl Inventory {
    /// All of them, in the order of their claims.
    pub fn iter(&self) -> impl Iterator<Item = &TenantSummary> {
        self.0.values()
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is known of a claim.
    #[must_use]
    pub fn get(&self, claim: &Claim) -> Option<&TenantSummary> {
        self.0.get(claim)
    }

    /// Those of an authority.
    pub fn of<'a>(&'a self, authority: &'a Authority) -> impl Iterator<Item = &'a TenantSummary> {
        self.iter().filter(move |tenant| tenant.claim.authority == *authority)
    }

    /// The names that were recorded.
    #[must_use]
    pub fn recorded(&self) -> Recorded {
        self.iter().filter_map(|tenant| Some((tenant.claim.clone(), tenant.names()?))).collect()
    }

    /// Those of these declarations whose claim has something that another declaration of the same name left, which stood
    /// elsewhere.
    #[must_use]
    pub fn strangers(&self, origins: &BTreeMap<Claim, Origin>) -> BTreeSet<Claim> {
        let is_strangers = |(claim, origin): &(&Claim, &Origin)| {
            let recorded = self.get(claim).and_then(|tenant| tenant.origin.as_ref());
            recorded.is_some_and(|recorded| recorded != *origin)
        };
        origins.iter().filter(is_strangers).map(|(claim, _)| claim.clone()).collect()
    }
}

impl FromIterator<TenantSummary> for Inventory {
    fn from_iter<T: IntoIterator<Item = TenantSummary>>(all: T) -> Self {
        Self(all.into_iter().map(|tenant| (tenant.claim.clone(), tenant)).collect())
    }
}
