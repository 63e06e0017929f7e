//! What is asked of a server beside what is declared for it.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::{DatabaseServer, ObjectName};

use crate::{Authority, Claim, Endpoint, Inventory, Origin, Phase, Refusal, Script};

/// Why a tenant is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Somebody named it.
    Asked,
    /// Its declaration is gone: nobody can be asked any more, and what was protected is left behind.
    Vanished,
    /// Its declaration is gone, and nobody deleted it as it is done: nothing of it is destroyed.
    Lost,
    /// Nothing declares it any more.
    Undeclared,
    /// The declaration of its database has it in `access` no more.
    Withdrawn,
    /// Somebody named an orphan: all that its policies left goes as well.
    Purged,
    /// Somebody else takes its orphaned database over.
    TakenOver,
}

impl Removal {
    /// Whether it goes and its database stays, whatever the policies say.
    #[must_use]
    pub fn goes_alone(self) -> bool {
        matches!(self, Self::Withdrawn | Self::TakenOver)
    }
}

/// Who asks what of a server, whatever its engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The server.
    pub server: ObjectName,
    /// Who asks.
    pub authority: Authority,
    /// What applications are told to connect to.
    pub endpoint: Endpoint,
    /// How many databases the server may hold; any number when absent.
    pub database_limit: Option<u32>,
    /// What is to be removed, and why.
    pub removals: BTreeMap<Claim, Removal>,
    /// Whose earlier login is to be taken away.
    pub retirements: BTreeSet<Claim>,
    /// All that the authority declares, on whatever server: what else it has here is to be removed as well. Without it,
    /// that is left alone.
    pub declared: Option<BTreeSet<Claim>>,
    /// The claims that this is about; all of them when absent.
    pub scope: Option<BTreeSet<Claim>>,
    /// Whether credentials that were delivered elsewhere are delivered here as well, new ones.
    pub reissue: bool,
    /// Claims that another server holds: their tenants are not made here as well.
    pub elsewhere: BTreeMap<Claim, ObjectName>,
    /// Where declarations stand, in a cluster.
    pub origins: BTreeMap<Claim, Origin>,
    /// What a cluster tells each declaration from all others by.
    pub uids: BTreeMap<Claim, String>,
    /// The declarations about which nothing is done, and why.
    pub refusals: BTreeMap<Claim, Refusal>,
    /// What runs in a database when it is made.
    pub scripts: BTreeMap<Claim, Vec<Script>>,
}

impl Request {
    /// Nothing but to look at a server.
    #[must_use]
    pub fn to(server: &DatabaseServer, authority: &Authority, endpoint: Endpoint) -> Self {
        Self {
            server: server.metadata.name.clone(),
            authority: authority.clone(),
            endpoint,
            database_limit: server.spec.limits.databases,
            removals: BTreeMap::new(),
            retirements: BTreeSet::new(),
            declared: None,
            scope: None,
            reissue: false,
            elsewhere: BTreeMap::new(),
            origins: BTreeMap::new(),
            uids: BTreeMap::new(),
            refusals: BTreeMap::new(),
            scripts: BTreeMap::new(),
        }
    }

    /// The same, and to remove these.
    #[must_use]
    pub fn removing(mut self, claims: impl IntoIterator<Item = Claim>, why: Removal) -> Self {
        self.remove(claims, why);
        self
    }

    /// Asks for these to be removed as well.
    pub fn remove(&mut self, claims: impl IntoIterator<Item = Claim>, why: Removal) {
        self.removals.extend(claims.into_iter().map(|claim| (claim, why)));
    }

    /// The part that concerns these claims.
    #[must_use]
    pub fn only(&self, claims: &BTreeSet<Claim>) -> Self {
        let mut part = Self { scope: Some(claims.clone()), ..self.clone() };
        part.retirements.retain(|claim| claims.contains(claim));
        part
    }

    /// Whether it is about a claim.
    #[must_use]
    pub fn is_about(&self, claim: &Claim) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.contains(claim))
    }

    /// Where the declaration of a claim stands, if it is known.
    #[must_use]
    pub fn origin(&self, claim: &Claim) -> Option<&Origin> {
        of_declaration(&self.origins, claim)
    }

    /// What a cluster tells the declaration of a claim from all others by.
    #[must_use]
    pub fn uid(&self, claim: &Claim) -> Option<&String> {
        of_declaration(&self.uids, claim)
    }

    /// The scripts that a database begins with.
    #[must_use]
    pub fn scripts_of(&self, claim: &Claim) -> &[Script] {
        self.scripts.get(claim).map_or(&[], Vec::as_slice)
    }

    /// What the authority has and declares no more, where that is to go.
    pub fn undeclared<'a>(&'a self, held: &'a Inventory) -> impl Iterator<Item = &'a Claim> {
        let held = held.of(&self.authority).filter(|tenant| tenant.phase != Phase::Orphaned);
        let is_undeclared = |claim: &&Claim| {
            let declaration = claim.declaration();
            let is_declared = self.declared.as_ref().is_none_or(|declared| declared.contains(&declaration));
            let is_asked = self.removals.contains_key(claim) || self.removals.contains_key(&declaration);
            !is_declared && !is_asked && self.is_about(claim)
        };
        held.map(|tenant| &tenant.claim).filter(is_undeclared)
    }
}

/// What is known of the declaration that a claim stands in.
fn of_declaration<'a, T>(known: &'a BTreeMap<Claim, T>, claim: &Claim) -> Option<&'a T> {
    if claim.access.is_none() { known.get(claim) } else { known.get(&claim.declaration()) }
}
