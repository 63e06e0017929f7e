//! The tenants whose turn it is, in the forms that a pass takes.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::tenant_database::{Adopt, DeletionProtection, SecretPolicy};
use tenantdb_api::{DatabaseServer, Declared, TenantDatabase, TenantRole};
use tenantdb_core::{Authority, Claim, Consent, Risk};
use tenantdb_postgres::{Declarations, Desired, Recorded};

use crate::object::{Key, Tenant};

/// Those that a pass is about.
#[derive(Default)]
pub(crate) struct Batch {
    databases: Vec<Declared<TenantDatabase>>,
    roles: Vec<Declared<TenantRole>>,
    /// Those whose resource was deleted.
    pub(crate) gone: BTreeSet<Claim>,
    pub(crate) tenants: BTreeMap<Claim, (Key, Tenant)>,
    /// Those that may not have what they ask for, and so get no name that another asks for.
    refused: BTreeSet<Claim>,
}

impl Batch {
    /// Adds a tenant whose declaration can be used, or that was deleted.
    pub(crate) fn add(&mut self, claim: Claim, key: Key, tenant: Tenant) {
        match &tenant {
            _ if tenant.meta().is_deleted => drop(self.gone.insert(claim.clone())),
            Tenant::Database(object) => self.databases.extend(object.declared.iter().cloned()),
            Tenant::Role(object) => self.roles.extend(object.declared.iter().cloned()),
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
        let age = |claim: Claim, adopts: bool| {
            let created = tenants.get(&claim).map(|(_, tenant)| tenant.meta().created);
            (refused.contains(&claim), !recorded.contains_key(&claim), !adopts, created, claim)
        };
        self.databases.sort_by_cached_key(|Declared { resource, .. }| {
            age(Desired::claim(authority, resource), resource.spec.adopt == Adopt::Existing)
        });
        self.roles.sort_by_cached_key(|declared| age(Desired::claim_of_role(authority, &declared.resource), false));
    }

    pub(crate) fn declarations<'a>(&'a self, server: &'a Declared<DatabaseServer>) -> Declarations<'a> {
        Declarations { server, tenants: &self.databases, roles: &self.roles }
    }

    /// Whether one of them is declared without protection.
    pub(crate) fn has_unprotected(&self) -> bool {
        let databases = self.databases.iter().map(|declared| declared.resource.spec.deletion_protection);
        let roles = self.roles.iter().map(|declared| declared.resource.spec.deletion_protection);
        databases.chain(roles).any(|protection| protection == DeletionProtection::Off)
    }

    /// Whether one of them is about somebody else's Secret.
    pub(crate) fn has_others_secrets(&self) -> bool {
        let databases = self.databases.iter().map(|declared| declared.resource.spec.credentials.secret_policy);
        let roles = self.roles.iter().map(|declared| declared.resource.spec.credentials.secret_policy);
        databases.chain(roles).any(|policy| policy != SecretPolicy::Create)
    }

    /// What the cluster tells each of them from all others by.
    pub(crate) fn uids(&self) -> BTreeMap<Claim, String> {
        self.tenants.iter().map(|(claim, (_, tenant))| (claim.clone(), tenant.meta().uid.clone())).collect()
    }

    /// The declaration is the consent: to what a deleted one's policies say, and to an adoption.
    pub(crate) fn consent(&self, authority: &Authority) -> Consent {
        let deleted = self.gone.iter().map(|claim| (claim.clone(), Risk::Destructive));
        let adopting = self.databases.iter().filter(|declared| declared.resource.spec.adopt == Adopt::Existing);
        let adopting = adopting.map(|declared| (Desired::claim(authority, &declared.resource), Risk::Disruptive));
        deleted.chain(adopting).fold(Consent::to(Risk::Safe), |consent, (claim, risk)| consent.and(claim, risk))
    }

    /// Whether further logins belong to a claim, or it is one.
    pub(crate) fn has_further_logins(&self, claim: &Claim) -> bool {
        let declared = || {
            self.databases.iter().find(|declared| {
                declared.resource.metadata.name == claim.name && declared.resource.namespace() == claim.namespace
            })
        };
        claim.access.is_some()
            || self.gone.contains(claim)
            || declared().is_some_and(|declared| !declared.resource.spec.access.is_empty())
    }
}
