//! What goes from a server, and why.

use std::collections::BTreeMap;

use tenantdb_api::tenant_database::Reconcile;
use tenantdb_core::{Claim, Phase, Removal};

use super::Desired;
use crate::observe::Observed;
use crate::plan;

impl Desired {
    /// What is to be removed, and why. With a database go its further logins.
    pub(crate) fn removals(&self, observed: &Observed) -> BTreeMap<Claim, Removal> {
        let asked = &self.request.removals;
        let Some(ledger) = &observed.ledger else { return asked.clone() };
        let held = ledger.tenants.values().chain(ledger.accounts.values());
        let held = held.filter(|row| row.claim.authority == self.request.authority && row.phase != Phase::Orphaned);
        let undeclared = self.request.declared.iter().flat_map(|declared| {
            let rest = held.clone().filter(|row| !declared.contains(&row.claim.declaration()));
            rest.map(|row| (row.claim.clone(), Removal::Undeclared))
        });
        let with_its_database = ledger.accounts.keys().filter_map(|claim| {
            let why = claim.access.as_ref().and_then(|_| asked.get(&claim.declaration()))?;
            Some((claim.clone(), *why))
        });
        let withdrawn = ledger.accounts.keys().filter(|claim| self.withdraws(claim));
        let withdrawn = withdrawn.map(|claim| (claim.clone(), Removal::Withdrawn));
        let taken = plan::taken_over(self, observed).into_values();
        let taken_over = taken.flat_map(|orphan| plan::further_logins(ledger, &orphan.claim));
        let taken_over = taken_over.map(|claim| (claim, Removal::TakenOver));
        let all = taken_over.chain(withdrawn).chain(undeclared).chain(with_its_database).chain(asked.clone());
        all.filter(|(claim, _)| self.request.is_about(claim)).collect()
    }

    /// Whether a further login's database is declared, and the login no more.
    fn withdraws(&self, claim: &Claim) -> bool {
        let database = claim.access.as_ref().and_then(|_| self.tenants.get(&claim.declaration()));
        database.is_some_and(|tenant| tenant.reconcile == Reconcile::Full) && !self.accounts.contains_key(claim)
    }
}
