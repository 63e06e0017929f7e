//! An orphan that another claim takes over: nobody who had it before gets in any more, and its row in the ledger moves.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::tenant_database::Adopt;
use tenantdb_core::{Actor, Claim, Condition, Phase, Planned, Risk, Task, TenantChange};
use tenantdb_credentials::SlotState;

use super::PostgresTenantPlan;
use crate::desired::{Desired, Tenant};
use crate::ledger::{Ledger, TenantRow};
use crate::notes;
use crate::observe::{Observed, Shared};
use crate::step::{LedgerStep, LoginStep, PostgresStep, SessionStep};

/// The orphans that declarations ask for which did not leave them behind, by who asks.
pub(crate) fn taken_over<'a>(desired: &Desired, observed: &'a Observed) -> BTreeMap<Claim, &'a TenantRow> {
    let Some(ledger) = &observed.ledger else { return BTreeMap::new() };
    let asks = |(claim, tenant): &(&Claim, &Tenant)| {
        tenant.adopt == Adopt::Existing
            && !desired.request.elsewhere.contains_key(*claim)
            && ledger.tenants.get(*claim).is_none_or(|row| row.is_strangers(desired.request.origin(claim)))
    };
    let orphan = |tenant: &Tenant| {
        let row = ledger.database(tenant.names.database.as_str())?;
        (row.phase == Phase::Orphaned && row.owner == tenant.names.owner.as_str()).then_some(row)
    };
    desired.looked_at().filter(asks).filter_map(|(claim, tenant)| Some((claim.clone(), orphan(tenant)?))).collect()
}

/// What a server is once they are taken over: what is left to do is planned from there.
pub(super) fn afterwards(desired: &Desired, observed: &Observed, taken: &BTreeMap<Claim, &TenantRow>) -> Observed {
    let mut after = observed.clone();
    let Observed { shared, ledger: Some(ledger), .. } = &mut after else { return after };
    for (to, orphan) in taken {
        for login in logins(orphan) {
            if let Some(role) = shared.roles.get_mut(&login) {
                role.login = false;
            }
        }
        let further = further_logins(ledger, &orphan.claim);
        let gone: BTreeSet<String> = further.iter().flat_map(|claim| ledger.accounts[claim].roles()).cloned().collect();
        forget_roles(shared, &gone);
        let ended: BTreeSet<String> = logins(orphan).chain(gone).collect();
        for database in shared.databases.values_mut() {
            database.sessions.retain(|login, _| !ended.contains(login));
        }
        ledger.accounts.retain(|claim, _| !further.contains(claim));
        ledger.roles.retain(|_, holder| !further.contains(holder));
        for holder in ledger.roles.values_mut().filter(|holder| **holder == orphan.claim) {
            holder.clone_from(to);
        }
        ledger.tenants.remove(&orphan.claim);
        ledger
            .tenants
            .insert(to.clone(), TenantRow { origin: desired.request.origin(to).cloned(), ..moved(orphan, to) });
    }
    after
}

/// The row as the new claim gets it.
fn moved(orphan: &TenantRow, to: &Claim) -> TenantRow {
    let mut row = TenantRow {
        claim: to.clone(),
        phase: Phase::Claimed,
        adopted: false,
        deliveries: Vec::new(),
        ..orphan.clone()
    };
    for slot in row.slots.values_mut() {
        (slot.state, slot.login, slot.place) = (SlotState::Retired, None, None);
    }
    row
}

fn forget_roles(shared: &mut Shared, gone: &BTreeSet<String>) {
    shared.roles.retain(|name, _| !gone.contains(name));
    for role in shared.roles.values_mut() {
        for names in [&mut role.members, &mut role.member_of, &mut role.inherits, &mut role.administers] {
            names.retain(|name| !gone.contains(name));
        }
        role.granted.retain(|granted| !gone.contains(&granted.role));
    }
    for database in shared.databases.values_mut() {
        database.grants.retain(|grantee, _| grantee.as_ref().is_none_or(|grantee| !gone.contains(grantee)));
    }
}

/// The further logins that its declaration had let in.
pub(crate) fn further_logins(ledger: &Ledger, of: &Claim) -> BTreeSet<Claim> {
    let is_its = |claim: &&Claim| claim.access.is_some() && claim.declaration() == *of;
    ledger.accounts.keys().filter(is_its).cloned().collect()
}

fn logins(orphan: &TenantRow) -> impl Iterator<Item = String> + '_ {
    orphan.slots.values().map(|slot| slot.role.clone())
}

/// Puts the take-over itself before what is done to the database then.
pub(super) fn first(plan: &mut PostgresTenantPlan, orphan: &TenantRow, observed: &Observed) {
    let from = &orphan.claim;
    let reason = format!("{from} left it behind, and `adopt` is Existing");
    let mut steps: Vec<Planned<PostgresStep>> = Vec::new();
    let mut push = |step: PostgresStep| {
        Planned::push(&mut steps, Task::Engine(step), reason.clone(), Risk::Disruptive, Actor::Estate);
    };
    let roles = &observed.shared.roles;
    let all: Vec<String> = logins(orphan).filter(|login| roles.contains_key(login)).collect();
    let working: Vec<String> = all.iter().filter(|login| roles[*login].login).cloned().collect();
    if !working.is_empty() {
        push(LoginStep::EndLogins { from: from.clone(), roles: working }.into());
    }
    // Also after a crash: who came in before may still be inside.
    for (database, found) in &observed.shared.databases {
        let is_in = || all.iter().any(|login| found.sessions.contains_key(login));
        let may_be_in = *database == orphan.database && orphan.database_oid == Some(found.oid) && !found.invalid();
        if !all.is_empty() && (may_be_in || is_in()) {
            let ended = SessionStep::EndSessions {
                database: database.clone(),
                own: all.clone(),
                strangers: Vec::new(),
                outsiders: Vec::new(),
                options: observed.shared.has_membership_options(),
            };
            push(ended.into());
        }
    }
    push(LedgerStep::TakeOver { from: from.clone(), database: orphan.database.clone() }.into());
    plan.put_first(steps);
    plan.change = TenantChange::Adopt;
    plan.conditions.extend(orphan.deliveries.iter().map(|delivery| Condition {
        kind: &notes::CREDENTIAL_ELSEWHERE,
        message: format!("the credential of {from} stays in {}, and no longer logs in", delivery.delivered.location),
    }));
}
