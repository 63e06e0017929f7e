//! A ledger that was restored from a dump: what it calls an orphan may be somebody's by now, and what it calls unprotected
//! may be protected. Nothing is destroyed, and nothing of others' taken, on its word.

use std::collections::BTreeMap;

use tenantdb_core::{Claim, Condition, Refusal, RefusalKind, Removal, Risk, Task};

use super::{PostgresTenantPlan, refused};
use crate::desired::Desired;
use crate::notes;
use crate::observe::Observed;
use crate::step::{LedgerStep, PostgresStep};

/// Refuses what would be done on the word of a ledger that may be older than its server.
pub(super) fn hold_back(
    tenants: &mut BTreeMap<Claim, PostgresTenantPlan>,
    removals: &BTreeMap<Claim, Removal>,
    desired: &Desired,
    observed: &Observed,
) {
    if !observed.is_restored() {
        return;
    }
    let takes =
        |task: &Task<PostgresStep>| matches!(task, Task::Engine(PostgresStep::Ledger(LedgerStep::TakeOver { .. })));
    for (claim, plan) in tenants {
        let goes =
            (removals.contains_key(claim) || desired.request.retirements.contains(claim)) && !plan.steps.is_empty();
        if goes || plan.steps.iter().any(|step| step.risk == Risk::Destructive || takes(&step.task)) {
            let message = "the ledger was restored from a dump, and may not know what became of it since";
            let refusal = Refusal::new(RefusalKind::Conflict, message).hint(way_out(desired));
            *plan = refused(claim, &plan.database, refusal);
        }
    }
}

/// Says that the ledger may be older than its server.
pub(super) fn condition(desired: &Desired, observed: &Observed) -> Option<Condition> {
    let message = format!("the ledger was restored from a dump; nothing is deleted on its word: {}", way_out(desired));
    observed.is_restored().then_some(Condition { kind: &notes::LEDGER_RESTORED, message })
}

fn way_out(desired: &Desired) -> String {
    format!(
        "apply all that is declared on this server, first from where the newest credentials are; then `tenantdb server \
         accept-ledger {}`",
        desired.request.server
    )
}
