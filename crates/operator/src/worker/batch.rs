//! The tenants whose turn it is, in the forms that a pass takes.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::tenant_database::{Adopt, DeletionProtection, SecretPolicy};
use tenantdb_api::{DatabaseServer, Declared};
use tenantdb_core::{Authority, Claim, Consent, Declarations, Recorded, Risk};

use crate::watch::object::{Key, Tenant};

/// Those that a pass is about.
#[derive(Default)]
pub(crate) struct Batch {
    declared: Vec<Declared<tenantdb_api::Tenant>>,
    /// Those whose resource was deleted.
    pub(crate) gone: BTreeSet<Claim>,
    pub(crate) tenants: BTreeMap<Claim, (Key, Tenant)>,
    /// Those that may not have what they ask for, and so get no name that another asks for.
    refused: BTreeSet<Claim>,
}

impl Batch {
    /// Adds a tenant whose declaration can be used, or that was deleted.
    pub(crate) fn add(&mut self, claim: Claim, key: Key, tenant: Tenant) {
        if tenant.meta.is_deleted {
            self.gone.insert(claim.clone());
        } else {
            self.declared.extend(tenant.declared.iter().cloned());
        }
        self.tenants.insert(claim, (key, tenant));
    }

    /// Has these stand back; whether they did not before.
    pub(crate) fn stand_back<'c>(&mut self, refused: impl Iterator<Item = &'c Claim>) -> bool {
        let before = self.refused.len();
        self.refused.extend(refused.cloned());
        self.refused.len() > before
    }

    /// Of two that want the same name the one gets it that may have it, then whose it is, then who may adopt it, else the
    /// older: a database that somebody else made is nothing to who asked for it before.
    pub(crate) fn put_first_come_first(&mut self, recorded: &Recorded, authority: &Authority) {
        let (tenants, refused) = (&self.tenants, &self.refused);
        self.declared.sort_by_cached_key(|Declared { resource, .. }| {
            let claim = Claim::new(authority, resource);
            let created = tenants.get(&claim).map(|(_, tenant)| tenant.meta.created);
            let adopts = resource.adopt() == Adopt::Existing;
            (refused.contains(&claim), !recorded.contains_key(&claim), !adopts, created, claim)
        });
    }

    pub(crate) fn declarations<'a>(&'a self, server: &'a Declared<DatabaseServer>) -> Declarations<'a> {
        Declarations { server, tenants: &self.declared }
    }

    /// Whether one of them is declared without protection.
    pub(crate) fn has_unprotected(&self) -> bool {
        self.declared.iter().any(|declared| declared.resource.deletion_protection() == DeletionProtection::Off)
    }

    /// Whether one of them is about somebody else's Secret.
    pub(crate) fn has_others_secrets(&self) -> bool {
        self.declared.iter().any(|declared| declared.resource.credentials().secret_policy != SecretPolicy::Create)
    }

    /// What the cluster tells each of them from all others by.
    pub(crate) fn uids(&self) -> BTreeMap<Claim, String> {
        self.tenants.iter().map(|(claim, (_, tenant))| (claim.clone(), tenant.meta.uid.clone())).collect()
    }

    /// The declaration is the consent: to what a deleted one's policies say, and to an adoption.
    pub(crate) fn consent(&self, authority: &Authority) -> Consent {
        let deleted = self.gone.iter().map(|claim| (claim.clone(), Risk::Destructive));
        let adopting = self.declared.iter().filter(|declared| declared.resource.adopt() == Adopt::Existing);
        let adopting = adopting.map(|declared| (Claim::new(authority, &declared.resource), Risk::Disruptive));
        deleted.chain(adopting).fold(Consent::to(Risk::Safe), |consent, (claim, risk)| consent.and(claim, risk))
    }

    /// Whether further logins belong to a claim, or it is one.
    pub(crate) fn has_further_logins(&self, claim: &Claim) -> bool {
        let tenant = self.tenants.get(claim).map(|(_, tenant)| tenant);
        claim.access.is_some() || self.gone.contains(claim) || tenant.is_some_and(|tenant| tenant.has_further_logins())
    }
}
