//! The order among the tenants of a plan: what one builds on is done with before it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Claim, Failure, FailureKind, Refusal, RefusalKind, TenantOutcome, TenantPlan};

/// Tenants that are not begun yet.
pub(crate) struct Queue<S> {
    waiting: Vec<TenantPlan<S>>,
    unfinished: BTreeSet<Claim>,
    /// What came out otherwise than planned, and whether it is about to be planned again.
    unsettled: BTreeMap<Claim, bool>,
}

impl<S> Queue<S> {
    pub(crate) fn new(tenants: Vec<TenantPlan<S>>) -> Self {
        let unfinished = tenants.iter().map(|tenant| tenant.claim.clone()).collect();
        Self { waiting: tenants, unfinished, unsettled: BTreeMap::new() }
    }

    /// Takes out those that wait for nothing that is unfinished.
    pub(crate) fn ready(&mut self) -> Vec<TenantPlan<S>> {
        let Self { waiting, unfinished, .. } = self;
        waiting.extract_if(.., |tenant| tenant.after.is_disjoint(unfinished)).collect()
    }

    /// Whether a tenant can be begun, or how it comes out without that.
    pub(crate) fn check(&self, tenant: &TenantPlan<S>) -> Result<(), Hindrance> {
        let unsettled = tenant.after.iter().find_map(|claim| Some((claim, *self.unsettled.get(claim)?)));
        let Some((other, is_stale)) = unsettled else { return Ok(()) };
        let message = format!("it builds on {}, of which not all was done", other.path());
        if is_stale {
            return Err(Hindrance::Stale(Failure::new(FailureKind::Stale, message)));
        }
        let refusal = Refusal::new(RefusalKind::Deferral, message);
        Err(Hindrance::Deferred(refusal.hint("see what is said of that one, and run it again")))
    }

    /// Takes note of how a tenant came out.
    pub(crate) fn finished(&mut self, outcome: &TenantOutcome) {
        self.unfinished.remove(&outcome.claim);
        if outcome.failure.is_some() || outcome.refusal.is_some() {
            let is_stale = outcome.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Stale);
            self.unsettled.insert(outcome.claim.clone(), is_stale);
        }
    }
}

/// Why a tenant was not begun.
pub(crate) enum Hindrance {
    /// What it builds on is looked at again, and so is it.
    Stale(Failure),
    /// It waits for a run in which that comes out well.
    Deferred(Refusal),
}
