//! What a server should be: declarations, with every name resolved and checked, and what else is asked of it.

mod account;
mod credential;
mod database;
mod removals;
mod reserved;
mod taken;

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::tenant_database::{Adopt, Create, Reconcile, SecretFormat, SecretType, SettingValue};
use tenantdb_api::{
    ConnectionLimit, DatabaseServer, Declared, Diagnostic, ObjectName, SettingName, SqlName, TenantDatabase, TenantRole,
};
use tenantdb_core::names::TenantNames;
use tenantdb_core::{Claim, Declarations, Delivery, Existing, Recorded, Request, Unusable};

use crate::access;
use crate::ledger::{Applied, is_account};
use crate::observe::{Observed, Wanted};
use taken::Taken;

/// What one server should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// What is asked beside what is declared.
    pub(crate) request: Request,
    /// Those with a database of their own.
    pub(crate) tenants: BTreeMap<Claim, Tenant>,
    /// Those that are let into others' databases: their further logins, and roles without a database.
    pub(crate) accounts: BTreeMap<Claim, Tenant>,
}

/// What one tenant should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    pub(crate) claim: Claim,
    /// The names a new tenant gets; an older one keeps those that the ledger recorded.
    pub(crate) names: TenantNames,
    /// The names that the declaration itself gives.
    pub(crate) declared_database: Option<SqlName>,
    pub(crate) declared_owner: Option<SqlName>,
    pub(crate) applied: Applied,
    pub(crate) adopt: Adopt,
    pub(crate) reconcile: Reconcile,
    /// How its database is made, if it has to be.
    pub(crate) create: Create,
    pub(crate) secret_name: ObjectName,
    pub(crate) formats: Vec<SecretFormat>,
    pub(crate) keys: BTreeMap<String, String>,
    pub(crate) secret_type: SecretType,
    pub(crate) existing: Existing,
}

impl Tenant {
    /// Whether it has no database of its own, and is let into others'.
    pub(crate) fn is_account(&self) -> bool {
        is_account(&self.claim)
    }

    /// What is looked for inside its database.
    pub(crate) fn wanted(&self, owner: &str) -> Wanted {
        Wanted { owner: owner.to_owned(), levels: access::levels(owner, &self.applied.access) }
    }

    /// What is delivered for it, once its names are known.
    pub(crate) fn delivery(&self, request: &Request, names: TenantNames) -> Delivery {
        Delivery {
            claim: self.claim.clone(),
            secret_name: self.secret_name.clone(),
            server: request.server.clone(),
            database: names.database,
            acts_as: (!self.is_account()).then_some(names.owner),
            endpoint: request.endpoint.clone(),
            formats: self.formats.clone(),
            keys: self.keys.clone(),
            secret_type: self.secret_type,
            existing: self.existing.clone(),
            uid: request.uid(&self.claim).cloned(),
        }
    }
}

impl From<Request> for Desired {
    /// A server for which nothing is declared: to look at it, or to remove from it.
    fn from(request: Request) -> Self {
        Self { request, tenants: BTreeMap::new(), accounts: BTreeMap::new() }
    }
}

impl AsRef<Request> for Desired {
    fn as_ref(&self) -> &Request {
        &self.request
    }
}

impl AsMut<Request> for Desired {
    fn as_mut(&mut self) -> &mut Request {
        &mut self.request
    }
}

impl Desired {
    /// What a server should be, as its declarations say, and what is wrong with each of those that can't be used. Databases
    /// come first: of two that want the same name the first has it.
    pub(crate) fn resolve(
        Declarations { server, tenants }: Declarations<'_>,
        admin: &str,
        recorded: &Recorded,
        request: Request,
    ) -> (Self, BTreeMap<Claim, Unusable>) {
        let mut desired = Self::from(request);
        let mut resolving = Resolving { server: &server.resource, admin, recorded, taken: Taken::default() };
        let mut problems = BTreeMap::new();
        for declared in tenants {
            if let tenantdb_api::Tenant::Database(database) = &declared.resource {
                let claim = Claim::new(&desired.request.authority, &declared.resource);
                let added = desired.add_database(&mut resolving, declared, database, claim.clone());
                problems.extend(added.err().map(|why| (claim, why)));
            }
        }
        for declared in tenants {
            if let tenantdb_api::Tenant::Role(role) = &declared.resource {
                let claim = Claim::new(&desired.request.authority, &declared.resource);
                let added = desired.add_role(&mut resolving, declared, role, claim.clone());
                problems.extend(added.err().map(|why| (claim, why)));
            }
        }
        (desired, problems)
    }

    fn add_database<'a>(
        &mut self,
        resolving: &mut Resolving<'a>,
        declared: &'a Declared<tenantdb_api::Tenant>,
        declaration: &TenantDatabase,
        claim: Claim,
    ) -> Result<(), Unusable> {
        let Resolving { server, admin, recorded, taken } = resolving;
        let mut found = credential::faults(server, declared, &self.request.endpoint);
        let names = match recorded.get(&claim) {
            Some(names) => Ok(names.clone()),
            None => database::new_names(server, declared, declaration, admin),
        };
        let tenant = match names {
            Ok(names) => database::database(server, declaration, claim, names),
            Err(wrong) => {
                found.extend(wrong);
                return Err(Unusable::Wrong(found));
            }
        };
        let mut shared = taken.add(&tenant, declared);
        let mut logins = Vec::new();
        match account::further_logins(&tenant, declared, declaration) {
            Ok(all) => {
                for (index, login) in all {
                    shared.extend(taken.add_further(&login, declared, index));
                    logins.push((login.claim.clone(), login));
                }
            }
            Err(wrong) => found.extend(wrong),
        }
        usable(found, shared)?;
        self.accounts.extend(logins);
        self.tenants.insert(tenant.claim.clone(), tenant);
        Ok(())
    }

    fn add_role<'a>(
        &mut self,
        resolving: &mut Resolving<'a>,
        declared: &'a Declared<tenantdb_api::Tenant>,
        declaration: &TenantRole,
        claim: Claim,
    ) -> Result<(), Unusable> {
        let Resolving { server, admin, recorded, taken } = resolving;
        let mut found = credential::faults(server, declared, &self.request.endpoint);
        match account::role(server, declared, declaration, claim, admin, recorded) {
            Ok(role) => {
                usable(found, taken.add_role(&role, declared))?;
                self.accounts.insert(role.claim.clone(), role);
                Ok(())
            }
            Err(wrong) => {
                found.extend(wrong);
                Err(Unusable::Wrong(found))
            }
        }
    }

    /// The part that concerns these claims.
    pub(crate) fn only(&self, claims: &BTreeSet<Claim>) -> Self {
        let mut part = Self { request: self.request.only(claims), ..self.clone() };
        part.tenants.retain(|claim, _| claims.contains(claim));
        part.accounts.retain(|claim, _| claims.contains(claim));
        part
    }

    /// The claims that are new to a server: what must be on no other.
    pub(crate) fn newcomers(&self, observed: &Observed) -> BTreeSet<Claim> {
        let known = |claim: &Claim| observed.ledger.as_ref().is_some_and(|ledger| ledger.row(claim).is_some());
        let all = self.looked_at().chain(self.looked_at_accounts()).map(|(claim, _)| claim);
        all.filter(|claim| !known(claim)).cloned().collect()
    }

    /// The tenants that are not paused.
    pub(crate) fn looked_at(&self) -> impl Iterator<Item = (&Claim, &Tenant)> {
        self.tenants.iter().filter(|(_, tenant)| tenant.reconcile != Reconcile::Paused)
    }

    /// The accounts that are not paused.
    pub(crate) fn looked_at_accounts(&self) -> impl Iterator<Item = (&Claim, &Tenant)> {
        self.accounts.iter().filter(|(_, account)| account.reconcile != Reconcile::Paused)
    }
}

/// What declarations are resolved with.
struct Resolving<'a> {
    server: &'a DatabaseServer,
    /// The administrator's login, which nobody may have.
    admin: &'a str,
    recorded: &'a Recorded,
    taken: Taken<'a>,
}

/// Whether nothing is wrong with a declaration, and it shares no name with one before it.
fn usable(mut wrong: Vec<Diagnostic>, shared: Vec<Diagnostic>) -> Result<(), Unusable> {
    if wrong.is_empty() {
        return if shared.is_empty() { Ok(()) } else { Err(Unusable::Taken(shared)) };
    }
    wrong.extend(shared);
    Err(Unusable::Wrong(wrong))
}

fn connection_limit(server: &DatabaseServer, declared: Option<ConnectionLimit>) -> Option<i32> {
    declared.or(server.spec.defaults.connection_limit).map(ConnectionLimit::get)
}

fn settings(server: &DatabaseServer, declared: &BTreeMap<SettingName, SettingValue>) -> BTreeMap<String, String> {
    let all = server.spec.defaults.settings.iter().chain(declared);
    all.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}
