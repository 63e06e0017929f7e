//! Taking away the login that a tenant's role had before it was adopted.

use tenantdb_core::{Actor, Claim, Condition, Phase, Refusal, RefusalKind, Risk, Task, TenantChange};

use super::{PostgresTenantPlan, empty, refused, sighting};
use crate::notes;
use crate::observe::Observed;
use crate::step::LoginStep;

/// Plans the retirement of one tenant's earlier login.
pub(super) fn plan(claim: &Claim, observed: &Observed) -> PostgresTenantPlan {
    let Some(row) = super::row(observed, claim) else {
        let refusal = Refusal::new(RefusalKind::Conflict, "nothing of it is on the server");
        return refused(claim, "", refusal.hint("`tenantdb status` lists what is there"));
    };
    let nothing = |message: String| PostgresTenantPlan {
        conditions: vec![Condition { kind: &notes::NOTHING_TO_RETIRE, message }],
        ..empty(claim, &row.database)
    };
    let Some(role) = row.legacy_login() else {
        return nothing("it has no login from before it was adopted".to_owned());
    };
    if row.applied.logins.slots().contains(&tenantdb_core::Slot::Owner) {
        let message = format!("its role `{role}` is the only login that it has");
        let hint = "apply it with --reissue to give it a new password";
        return refused(claim, &row.database, Refusal::new(RefusalKind::Policy, message).hint(hint));
    }
    let unfinished = match row.phase {
        Phase::Claimed => Some(("its adoption is not finished", "apply it first")),
        Phase::Deleting => Some(("its deletion was begun", "delete it again, to finish that")),
        Phase::Provisioned | Phase::Orphaned => None,
    };
    if let Some((message, hint)) = unfinished {
        return refused(claim, &row.database, Refusal::new(RefusalKind::Deferral, message).hint(hint));
    }
    if let Some(refusal) = in_use(role, observed) {
        return refused(claim, &row.database, refusal);
    }
    let found = observed.shared.databases.get(&row.database);
    let seen = found.and_then(|found| sighting::last_seen(role, found, observed));
    let reason = seen.unwrap_or_else(|| "in no session at any run since it was adopted".to_owned());
    let mut plan = PostgresTenantPlan { change: TenantChange::Update, ..empty(claim, &row.database) };
    let step = LoginStep::RetireLogin { role: role.clone(), database: row.database.clone() };
    plan.push(Task::Engine(step.into()), reason, Risk::Disruptive, Actor::Estate);
    plan
}

/// Why it has to wait: whoever uses it could not come back.
fn in_use(role: &str, observed: &Observed) -> Option<Refusal> {
    let users = observed.users.get(role).filter(|users| !users.is_empty())?;
    let told: Vec<String> = users.iter().map(ToString::to_string).collect();
    let message = format!("its login {role} is in use: {}", told.join("; "));
    let hint = "let them use the delivered credential, and run it again when their sessions have ended";
    Some(Refusal::new(RefusalKind::Deferral, message).hint(hint))
}
