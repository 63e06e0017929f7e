//! Looking a plan over before it is carried out: whether it is well formed, and who consented to its risks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::{Claim, Plan, Refusal, RefusalKind, Risk, Step, StepId, TenantPlan};

/// What the user consented to: the highest risk that may be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    up_to: Risk,
    /// For some declarations, with all that stands in them, more than for the others.
    of: BTreeMap<Claim, Risk>,
}

impl Consent {
    /// Consent to what is no riskier than this.
    #[must_use]
    pub fn to(up_to: Risk) -> Self {
        Self { up_to, of: BTreeMap::new() }
    }

    /// The same, and for one declaration to more.
    #[must_use]
    pub fn and(mut self, claim: Claim, up_to: Risk) -> Self {
        self.of.insert(claim, up_to);
        self
    }

    fn for_tenant(&self, claim: &Claim) -> Risk {
        self.of.get(&claim.declaration()).map_or(self.up_to, |more| self.up_to.max(*more))
    }
}

/// Takes out of a plan what nobody consented to, with all that depends on it; each tenant concerned says so in its
/// refusal.
#[must_use]
pub fn review<S: Step>(mut plan: Plan<S>, consent: &Consent) -> Plan<S> {
    for tenant in &mut plan.tenants {
        withhold(tenant, consent.for_tenant(&tenant.claim));
    }
    // Nothing is prepared for what is not done.
    if plan.tenants.iter().all(|tenant| tenant.steps.is_empty()) {
        plan.preparation.clear();
    }
    plan
}

fn withhold<S: Step>(tenant: &mut TenantPlan<S>, up_to: Risk) {
    let mut withheld = BTreeSet::new();
    let mut named = Vec::new();
    for step in &tenant.steps {
        if step.risk > up_to {
            if step.task.sign().is_some() {
                named.push(step.task.describe());
            }
            withheld.insert(step.id);
        } else if step.after.iter().any(|id| withheld.contains(id)) {
            withheld.insert(step.id);
        }
    }
    if withheld.is_empty() {
        return;
    }
    tenant.steps.retain(|step| !withheld.contains(&step.id));
    tenant.refusal = Some(
        Refusal::new(RefusalKind::Consent, format!("needs consent: {}", named.join("; ")))
            .hint("answer yes at the terminal, or run it with --yes"),
    );
}

/// What is malformed about a plan; nothing, unless the planner has a bug.
#[must_use]
pub fn lint<S: Step>(plan: &Plan<S>) -> Vec<String> {
    let mut faults = Vec::new();
    let server = format!("server {}", plan.server);
    let groups = plan.tenants.iter().map(|tenant| (&tenant.claim as &dyn Display, &tenant.steps));
    for (owner, steps) in groups.chain([(&server as &dyn Display, &plan.preparation)]) {
        let mut seen = BTreeSet::<StepId>::new();
        for step in steps {
            if step.after.iter().any(|id| !seen.contains(id)) {
                faults.push(format!("{owner}: step {} waits for a step that is not before it", step.id.0));
            }
            if !seen.insert(step.id) {
                faults.push(format!("{owner}: two steps are number {}", step.id.0));
            }
            if step.reason.is_empty() {
                faults.push(format!("{owner}: step {} has no reason", step.id.0));
            }
            if step.task.statements().iter().any(|statement| statement.contains("SCRAM-SHA-256$")) {
                faults.push(format!("{owner}: step {} shows a verifier", step.id.0));
            }
        }
    }
    faults.extend(circle(plan).map(|claim| format!("{claim} waits for itself")));
    faults
}

/// A tenant that waits for others that wait for it.
fn circle<S: Step>(plan: &Plan<S>) -> Option<&Claim> {
    let dependent = plan.tenants.iter().filter(|tenant| !tenant.after.is_empty());
    let mut waiting: BTreeMap<&Claim, &BTreeSet<Claim>> =
        dependent.map(|tenant| (&tenant.claim, &tenant.after)).collect();
    loop {
        let is_held_up = |after: &BTreeSet<Claim>| after.iter().any(|claim| waiting.contains_key(claim));
        let held_up: BTreeMap<_, _> =
            waiting.iter().filter(|(_, after)| is_held_up(after)).map(|(&k, &v)| (k, v)).collect();
        if held_up.len() == waiting.len() {
            return waiting.into_keys().next();
        }
        waiting = held_up;
    }
}

#[cfg(test)]
#[path = "review_tests.rs"]
mod tests;
