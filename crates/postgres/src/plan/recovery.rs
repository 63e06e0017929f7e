//! What the ledger has lost: tenants that it does not know any more, and databases that a restore gave another OID. What
//! they are is told by the server, and whose they are by the credential that was delivered for them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::tenant_database::{Adopt, Reconcile};
use tenantdb_core::names::TenantNames;
use tenantdb_core::{
    Actor, Claim, Condition, Generation, Held, Phase, PlaceView, Planned, Risk, Script, Slot, Task, TenantChange,
};
use tenantdb_credentials::SlotState;

use super::PostgresTenantPlan;
use super::credential::{is_blank, named};
use crate::desired::{Desired, Tenant};
use crate::ledger::{ScriptRow, SlotRow, TenantRow, is_account};
use crate::notes;
use crate::observe::{Database, Observed, Role, Shared};
use crate::step::LedgerStep;
use crate::{ESTATE, Taking, access};

/// What the ledger is told of a tenant before anything else is done about it.
pub(super) struct Recovery {
    /// Its row, as it is then.
    row: TenantRow,
    /// The OID that its database had; absent where the ledger does not know the tenant at all.
    had: Option<u32>,
    /// Whether its credential proves whose it is; otherwise somebody has to say so.
    proved: bool,
    /// Whether it is told and not done.
    is_only_told: bool,
}

/// What can be recovered now, by whose it is.
pub(super) fn recoveries(desired: &Desired, observed: &Observed, place: &PlaceView) -> BTreeMap<Claim, Recovery> {
    let all = desired.looked_at().chain(desired.looked_at_accounts());
    let all = all.filter(|(claim, _)| !desired.request.elsewhere.contains_key(claim));
    let recovery = |claim: &Claim, tenant: &Tenant| {
        let is_wanted = tenant.adopt == Adopt::Existing;
        let is_only_told = tenant.reconcile == Reconcile::Observe;
        if let Some((row, had)) = is_wanted.then(|| restored(tenant, observed)).flatten() {
            return Some(Recovery { row, had: Some(had), proved: false, is_only_told });
        }
        let names_it = |held: &Held| named(held, &tenant.names, tenant.applied.logins).is_some();
        let proved =
            place.accepted.contains(claim) && matches!(place.held.get(claim), Some(Ok(held)) if names_it(held));
        let row = (proved || is_wanted).then(|| lost(tenant, observed)).flatten()?;
        let ran = |script: &Script| ScriptRow { name: script.name().to_owned(), digest: script.digest().clone() };
        // They ran when it was made, or came too late.
        let scripts = desired.request.scripts_of(claim).iter().map(ran).collect();
        Some(Recovery { row: TenantRow { scripts, ..row }, had: None, proved, is_only_told })
    };
    all.filter_map(|(claim, tenant)| Some((claim.clone(), recovery(claim, tenant)?))).collect()
}

/// The credentials that tell whose something is, or that the ledger is older than they are: the ledger does not know
/// them, and there is a login of their name.
pub(crate) fn doubtful(desired: &Desired, observed: &Observed, place: &PlaceView) -> BTreeSet<Claim> {
    let all = desired.looked_at().chain(desired.looked_at_accounts());
    let is_doubtful = |claim: &Claim, tenant: &Tenant| {
        let Some(Ok(held @ Held::Credential { login, .. })) = place.held.get(claim) else { return false };
        let scheme = tenant.applied.logins;
        if is_blank(held, scheme) {
            return false;
        }
        let recorded = super::row(observed, claim).map(Cow::Borrowed);
        // Who logs in without a password has nothing to prove whose something is: anybody may write a name.
        let lost = || lost(tenant, observed).filter(|_| scheme.has_password());
        let Some(row) = recorded.or_else(|| lost().map(Cow::Owned)) else { return false };
        if row.slots.values().any(|known| known.login.as_ref() == Some(login)) {
            return false;
        }
        let names = row.names().unwrap_or_else(|| tenant.names.clone());
        let slot = named(held, &names, scheme);
        let logs_in = |slot: Slot| observed.shared.roles.get(names.slot(slot).as_str()).is_some_and(|role| role.login);
        let database = place.deliveries.get(claim).map(|delivery| delivery.database.as_str());
        let database = database.and_then(|database| observed.shared.databases.get(database));
        slot.is_some_and(logs_in) && database.is_some_and(Database::can_be_visited)
    };
    all.filter(|(claim, tenant)| is_doubtful(claim, tenant)).map(|(claim, _)| claim.clone()).collect()
}

/// What a tenant is that the ledger does not know, and that has the shape which tenantdb gives: as far as the server
/// tells.
pub(super) fn lost(tenant: &Tenant, observed: &Observed) -> Option<TenantRow> {
    let Tenant { claim, names, applied, .. } = tenant;
    let (shared, ledger) = (&observed.shared, observed.ledger.as_ref());
    // Those that it knows are many, and this is asked at every look.
    if ledger.is_some_and(|ledger| ledger.row(claim).is_some()) {
        return None;
    }
    let is_account = tenant.is_account();
    let own = if is_account { names.of_account() } else { names.roles() };
    if ledger.is_some_and(|ledger| own.iter().any(|role| ledger.roles.contains_key(role))) {
        return None;
    }
    let found = if is_account { None } else { Some(lost_database(names, observed)?) };
    let owner = ours(names.owner.as_str(), shared)?;
    let mut slots = BTreeMap::new();
    for slot in applied.logins.slots() {
        let name = names.slot(*slot).to_string();
        let role = shared.roles.get(&name);
        if role.is_some() && !is_slot(tenant, *slot, shared) {
            return None;
        }
        if role.is_some() || applied.logins.standing().contains(slot) {
            slots.insert(*slot, found_slot(name, role));
        }
    }
    if !slots.values().any(|slot| shared.roles.contains_key(&slot.role)) {
        return None;
    }
    if owner.login && !is_account {
        // It may be a login from before it was adopted.
        slots.entry(Slot::Owner).or_insert_with(|| found_slot(names.owner.to_string(), Some(owner)));
    }
    let is_level = |role: &String| {
        let held = ledger.is_some_and(|ledger| ledger.roles.contains_key(role));
        !held && ours(role, shared).is_some_and(|found| !found.login)
    };
    let levels = if is_account { BTreeMap::new() } else { access::levels(names.owner.as_str(), &applied.access) };
    Some(TenantRow {
        id: 0,
        claim: claim.clone(),
        database: names.database.to_string(),
        database_oid: found.map(|found| found.oid),
        owner: names.owner.to_string(),
        adopted: false,
        phase: if is_account { Phase::Provisioned } else { Phase::Claimed },
        applied: applied.claimed(),
        epoch: 1,
        slots,
        levels: levels.into_keys().filter(is_level).collect(),
        deliveries: Vec::new(),
        scripts: Vec::new(),
        origin: None,
    })
}

/// The database of a tenant that the ledger does not know: the estate's, in use, and no other tenant's.
fn lost_database<'a>(names: &TenantNames, observed: &'a Observed) -> Option<&'a Database> {
    let found = observed.shared.databases.get(names.database.as_str())?;
    let ledger = observed.ledger.as_ref();
    let is_known = ledger.is_some_and(|ledger| ledger.database(names.database.as_str()).is_some());
    let is_another = super::holder(found, observed).is_some();
    (found.owner == ESTATE && found.can_be_visited() && !is_known && !is_another).then_some(found)
}

/// A role that the estate may do with as it likes.
fn ours<'a>(name: &str, shared: &'a Shared) -> Option<&'a Role> {
    let role = shared.roles.get(name)?;
    (Taking::of_membership(shared, name) == Some(Taking::Estate)).then_some(role)
}

/// Whether a login of the name of a tenant's slot is one that tenantdb made for it.
pub(super) fn is_slot(tenant: &Tenant, slot: Slot, shared: &Shared) -> bool {
    let found = ours(tenant.names.slot(slot).as_str(), shared);
    found.is_some_and(|role| slot == Slot::Owner || acts_as(role, tenant))
}

/// Whether a login is what a slot is: a tenant's switches to its role, an account's has its privileges.
fn acts_as(role: &Role, tenant: &Tenant) -> bool {
    let owner = tenant.names.owner.as_str();
    let switches = || role.settings.get(&(None, "role".to_owned())).is_some_and(|acting| acting == owner);
    if tenant.is_account() { role.inherits.contains(owner) } else { role.member_of.contains(owner) && switches() }
}

/// A slot as it is found; whoever logs in with it goes on.
fn found_slot(role: String, found: Option<&Role>) -> SlotRow {
    let state = if found.is_some_and(|role| role.login) { SlotState::Draining } else { SlotState::Retired };
    SlotRow { role, state, generation: Generation::default(), login: None, place: None }
}

/// A tenant whose database a restore made anew, as it will be in the ledger, with the OID that is there now.
fn restored(tenant: &Tenant, observed: &Observed) -> Option<(TenantRow, u32)> {
    let row = super::row(observed, &tenant.claim).filter(|row| is_restored(row, observed))?;
    let found = observed.shared.databases.get(&row.database)?;
    Some((TenantRow { database_oid: Some(found.oid), ..row.clone() }, row.database_oid?))
}

/// Whether a database has another OID than the ledger remembers and may be the tenant's own all the same: the estate's,
/// with all its roles, while the one that is remembered is nowhere.
pub(super) fn is_restored(row: &TenantRow, observed: &Observed) -> bool {
    let shared = &observed.shared;
    let (Some(found), Some(had)) = (shared.databases.get(&row.database), row.database_oid) else { return false };
    found.oid != had
        && row.phase != Phase::Deleting
        && found.owner == ESTATE
        && found.can_be_visited()
        && !shared.databases.values().any(|database| database.oid == had)
        && super::holder(found, observed).is_none()
        && row.roles().iter().all(|role| shared.roles.contains_key(*role))
}

/// What a tenant is that may be recovered: its database has to be looked into.
pub(crate) fn recoverable(tenant: &Tenant, observed: &Observed) -> Option<TenantRow> {
    let restored = (tenant.adopt == Adopt::Existing).then(|| restored(tenant, observed)).flatten();
    restored.map(|(row, _)| row).or_else(|| lost(tenant, observed))
}

/// What a server is once its ledger knows them: what is left to do is planned from there.
pub(super) fn afterwards(observed: &Observed, recoveries: &BTreeMap<Claim, Recovery>) -> Observed {
    let mut after = observed.clone();
    let ledger = after.ledger.get_or_insert_default();
    for (claim, Recovery { row, had, .. }) in recoveries {
        if had.is_none() {
            ledger.roles.extend(names_of(row).into_iter().map(|role| (role, claim.clone())));
        }
        let rows = if is_account(claim) { &mut ledger.accounts } else { &mut ledger.tenants };
        rows.insert(claim.clone(), row.clone());
    }
    after
}

/// Every role name that belongs to a tenant, in use or not.
fn names_of(row: &TenantRow) -> BTreeSet<String> {
    let used = row.roles().into_iter().cloned();
    let derived = row.names().map(|names| if is_account(&row.claim) { names.of_account() } else { names.roles() });
    used.chain(derived.into_iter().flatten()).collect()
}

/// Puts what the ledger is told before what is done then.
pub(super) fn first(plan: &mut PostgresTenantPlan, recovery: &Recovery) {
    let Recovery { row, had, proved, is_only_told } = recovery;
    if *is_only_told || plan.change == TenantChange::Refused {
        return;
    }
    let (step, reason) = match (had, proved) {
        (Some(had), _) => (accept(row, *had), "a restore made it anew, and `adopt` is Existing"),
        (None, true) => (recover(row), "its credential logs in, and the ledger does not know it"),
        (None, false) => (recover(row), "the ledger does not know it, and `adopt` is Existing"),
    };
    let mut steps = Vec::new();
    let risk = if *proved { Risk::Safe } else { Risk::Disruptive };
    Planned::push(&mut steps, Task::Engine(step.into()), reason, risk, Actor::Estate);
    plan.put_first(steps);
    plan.change = if *proved { TenantChange::Update } else { TenantChange::Adopt };
    plan.conditions.extend(assumed(row).filter(|_| had.is_none()));
}

fn accept(row: &TenantRow, had: u32) -> LedgerStep {
    let oid = row.database_oid.unwrap_or_default();
    LedgerStep::AcceptDatabase { database: row.database.clone(), oid, had }
}

fn recover(row: &TenantRow) -> LedgerStep {
    let used: BTreeSet<&String> = row.roles();
    let reserved = names_of(row).into_iter().filter(|name| !used.contains(name)).collect();
    let slots = row.slots.iter().map(|(slot, found)| (*slot, (found.role.clone(), found.state)));
    LedgerStep::Recover {
        database: row.database_oid.map(|oid| (row.database.clone(), oid)),
        owner: row.owner.clone(),
        slots: slots.collect(),
        levels: row.levels.clone(),
        reserved,
        scripts: row.scripts.iter().map(|script| (script.name.clone(), script.digest.clone())).collect(),
        applied: Box::new(row.applied.clone()),
    }
}

/// What nothing tells any more.
fn assumed(row: &TenantRow) -> Option<Condition> {
    let scripts: Vec<String> = row.scripts.iter().map(|script| format!("script {}", script.name)).collect();
    let message = format!("whether {} was run is not known any more: it counts as run", scripts.join(", "));
    (!scripts.is_empty()).then_some(Condition { kind: &notes::INIT_UNKNOWN, message })
}
