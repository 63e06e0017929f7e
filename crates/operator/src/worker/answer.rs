//! What a server answered, for its status.

use std::collections::BTreeSet;

use tenantdb_api::tenant_database;
use tenantdb_core::{Address, Authority, Claim, Engine as _, TenantChange, TenantOutcome};
use tenantdb_postgres::{Observed, Postgres};

use crate::connect::Connected;

/// What a server answered at the last look, and what became of it since.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) version: String,
    pub(crate) address: Address,
    /// What tells its ledger from every other, once it has one.
    pub(crate) ledger: Option<String>,
    /// The databases of this cluster that its ledger has.
    pub(crate) databases: BTreeSet<Claim>,
}

impl Answer {
    pub(crate) fn of(observed: &Observed, connected: &Connected, authority: &Authority) -> Self {
        let all = Postgres::tenants(observed).into_iter().filter(|tenant| tenant.phase != "Orphaned");
        let ours = all.map(|tenant| tenant.claim).filter(|claim| claim.authority == *authority && is_database(claim));
        Self {
            version: observed.version().to_string(),
            address: connected.way.address.clone(),
            ledger: Postgres::ledger(observed).map(str::to_owned),
            databases: ours.collect(),
        }
    }

    /// Takes note that these came out so.
    pub(crate) fn follow(&mut self, outcomes: &[TenantOutcome]) {
        for TenantOutcome { claim, change, failure, .. } in outcomes {
            match change {
                TenantChange::Create | TenantChange::Adopt if failure.is_none() && is_database(claim) => {
                    self.databases.insert(claim.clone());
                }
                TenantChange::Delete | TenantChange::Orphan if failure.is_none() => drop(self.databases.remove(claim)),
                _ => {}
            }
        }
    }
}

fn is_database(claim: &Claim) -> bool {
    claim.kind == tenant_database::RESOURCE.kind && claim.access.is_none()
}
