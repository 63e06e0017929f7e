//! What a server answered, for its status.

use std::collections::BTreeSet;

use tenantdb_core::{Address, Authority, Claim, Inventory, Phase, TenantChange, TenantOutcome};

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
    pub(crate) fn new(
        version: String,
        address: Address,
        ledger: Option<String>,
        held: &Inventory,
        authority: &Authority,
    ) -> Self {
        let ours = held.of(authority).filter(|tenant| tenant.phase != Phase::Orphaned && tenant.claim.is_database());
        Self { version, address, ledger, databases: ours.map(|tenant| tenant.claim.clone()).collect() }
    }

    /// Takes note that these came out so.
    pub(crate) fn follow(&mut self, outcomes: &[TenantOutcome]) {
        for TenantOutcome { claim, change, failure, .. } in outcomes {
            match change {
                TenantChange::Create | TenantChange::Adopt if failure.is_none() && claim.is_database() => {
                    self.databases.insert(claim.clone());
                }
                TenantChange::Delete | TenantChange::Orphan if failure.is_none() => drop(self.databases.remove(claim)),
                _ => {}
            }
        }
    }
}
