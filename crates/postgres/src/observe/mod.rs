//! What a server is: one look at the shared catalogs and the ledger, and a visit to each database that needs one.

mod foreign;
mod inside;
mod levels;
mod look;
mod obstacles;
mod shared;
mod text;
mod ties;
mod trust;
mod upgrades;
mod users;
mod values;
mod vitals;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use foreign::Foreign;
pub(crate) use inside::{Inside, Installed};
pub(crate) use levels::{Privileges, Wanted};
pub(crate) use obstacles::{Obstacle, Obstacles};
pub(crate) use shared::{AvailableExtension, Database, ExtensionVersion, Granted, Role, Setter, Shared};
pub(crate) use ties::Tie;

use tenantdb_core::{Claim, Failure};

use crate::access::Consent;
use crate::ledger::Ledger;

/// Everything that a plan is made from; by default of a server that was never started: empty, and closed as it will be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// What the server's databases share.
    pub(crate) shared: Shared,
    /// The ledger; `None` when it was never made.
    pub(crate) ledger: Option<Ledger>,
    /// What was found inside the databases that were visited.
    pub(crate) inside: BTreeMap<String, Inside>,
    /// What ties roles to databases that should be tied to none: those to be dropped, and slots. By database and role.
    pub(crate) ties: BTreeMap<String, BTreeMap<String, Tie>>,
    /// What keeps databases and roles from being dropped. Only read for a deletion.
    pub(crate) obstacles: Obstacles,
    /// What is to be set and the server refuses, with its reason.
    pub(crate) refused: BTreeMap<Setting, Failure>,
    /// Who uses logins that are to be taken away, by login.
    pub(crate) users: BTreeMap<String, Vec<users::User>>,
    /// The upgrades of extensions that the server knows, among those to a declared version.
    pub(crate) upgrades: BTreeSet<Upgrade>,
    /// The databases that could not be visited, and why.
    pub(crate) unseen: BTreeMap<String, String>,
    /// The databases that were made when the system sorted text otherwise.
    pub(crate) sorted_otherwise: BTreeSet<String>,
}

impl Observed {
    /// Other tenants' logins that have a session in a tenant's database, or hold a lock on it, where they should not.
    pub(crate) fn strangers(&self, database: &Database, claim: &Claim, consents: &[Consent]) -> Vec<String> {
        let is_let_in = |holder: &Claim| {
            holder.declaration() == *claim || consents.iter().any(|consent| consent.is_for(holder, claim))
        };
        self.of_others(database.sessions.keys().chain(&database.locked_by), is_let_in)
    }

    /// Everybody else's logins that have a session in a tenant's database, or hold a lock on it.
    pub(crate) fn others(&self, database: &Database, claim: &Claim) -> Vec<String> {
        self.of_others(database.sessions.keys().chain(&database.locked_by), |holder| holder == claim)
    }

    /// Other tenants' logins that hold a lock on any of these roles of a tenant.
    pub(crate) fn lock_holders(&self, roles: &[String], claim: &Claim) -> Vec<String> {
        let locked = roles.iter().filter_map(|role| self.shared.roles.get(role));
        self.of_others(locked.flat_map(|role| &role.locked_by), |holder| holder == claim)
    }

    fn of_others<'a>(
        &self,
        logins: impl Iterator<Item = &'a String>,
        is_let_in: impl Fn(&Claim) -> bool,
    ) -> Vec<String> {
        let roles = self.ledger.as_ref().map(|ledger| &ledger.roles);
        let is_stranger =
            |login: &&String| roles.and_then(|all| all.get(*login)).is_some_and(|holder| !is_let_in(holder));
        logins.filter(is_stranger).collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// Whether a role's name is a tenant's, used or reserved.
    pub(crate) fn is_tenants(&self, name: &str) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| ledger.roles.contains_key(name))
    }

    /// Whether a role that is none of ours can be let into the tenants' databases, or why not.
    pub(crate) fn visitor(&self, name: &str) -> Result<(), &'static str> {
        match (self.shared.roles.contains_key(name), self.is_tenants(name)) {
            (_, true) => Err("is a tenant's role"),
            (false, false) => Err("is no role of this server"),
            (true, false) => Ok(()),
        }
    }

    /// Whether the ledger was restored from a dump, and nobody said since that it knows its server.
    pub(crate) fn is_restored(&self) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| ledger.is_restored)
    }

    /// Whether PostgreSQL lets a database's owner make a version of an extension; `None` when it is not known.
    pub(crate) fn trusts(&self, extension: &str, version: Option<&str>) -> Option<bool> {
        let available = self.shared.extensions.as_ref()?.get(extension)?;
        Some(available.version(version.map(str::to_owned).as_ref())?.trusted)
    }
}

pub(crate) use inside::visit;
pub(crate) use obstacles::read as read_obstacles;
pub(crate) use shared::read as read_shared;
pub(crate) use ties::{ON_DATABASE, ON_ROLE, read as read_ties, read_lock_holders};
pub(crate) use upgrades::{Upgrade, read as read_upgrades};
#[cfg(test)]
pub(crate) use users::User;
pub(crate) use users::read as read_users;
pub(crate) use values::{Setting, read_refused};
pub(crate) use vitals::{read_history, read_vitals};
