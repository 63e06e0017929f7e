//! What would have to be done: a pure comparison of what is declared with what was observed.

mod adoption;
#[cfg(test)]
mod adoption_tests;
mod conflict;
mod credential;
mod departure;
#[cfg(test)]
mod drift_tests;
mod extension;
mod forbidden;
#[cfg(test)]
mod interpreter;
mod managed;
mod offer;
#[cfg(test)]
mod orphan_tests;
mod recovery;
#[cfg(test)]
mod recovery_tests;
mod removal;
mod restored;
mod retirement;
mod sighting;
mod takeover;
mod tenant;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::tenant_database::SecretType;
use tenantdb_core::{
    Actor, Claim, Condition, Delivered, Delivery, Existing, PlaceView, Plan, Planned, Refusal, RefusalKind, Removal,
    Risk, Task, TenantChange, TenantPlan,
};

use crate::desired::Desired;
use crate::ledger::{DeliveryRow, TenantRow, VERSION};
use crate::notes;
use crate::observe::{Database, Observed, Shared};
use crate::sql::name;
use crate::step::{PostgresStep, ServerStep};
use crate::{ESTATE, LEDGER};

pub(crate) use adoption::to_adopt;
pub(crate) use recovery::{doubtful, recoverable};
pub(crate) use sighting::seen;
pub(crate) use takeover::{further_logins, taken_over};

/// A tenant's plan.
pub(crate) type PostgresTenantPlan = TenantPlan<PostgresStep>;

/// Plans for one server.
pub(crate) fn plan(desired: &Desired, observed: &Observed, place: &PlaceView) -> Plan<PostgresStep> {
    let taken = taken_over(desired, observed);
    let recoveries = recovery::recoveries(desired, observed, place);
    let mut after = Cow::Borrowed(observed);
    if !taken.is_empty() {
        after = Cow::Owned(takeover::afterwards(desired, &after, &taken));
    }
    if !recoveries.is_empty() {
        after = Cow::Owned(recovery::afterwards(&after, &recoveries));
    }
    let mut tenants = tenants(desired, &after, place);
    for (claim, recovery) in &recoveries {
        tenants.entry(claim.clone()).and_modify(|plan| recovery::first(plan, recovery));
    }
    let mut removals = desired.removals(observed);
    for (claim, orphan) in &taken {
        let Some(plan) = tenants.get_mut(claim) else { continue };
        let further = observed.ledger.as_ref().map(|ledger| further_logins(ledger, &orphan.claim)).unwrap_or_default();
        if plan.steps.is_empty() {
            removals.retain(|claim, _| !further.contains(claim));
        } else {
            takeover::first(plan, orphan, observed);
            plan.after.extend(further);
        }
    }
    for (claim, why) in &removals {
        let mut plan = removal::plan(claim, *why, desired.request.origin(claim), observed, place);
        plan.after = if *why == Removal::Withdrawn {
            // Its database lets go of it first.
            BTreeSet::from([claim.declaration()])
        } else if claim.access.is_none() {
            // Its further logins go before it does.
            let further = removals.keys().filter(|other| *other != claim && other.declaration() == *claim);
            further.cloned().collect()
        } else {
            BTreeSet::new()
        };
        tenants.insert(claim.clone(), plan);
    }
    for claim in &desired.request.retirements {
        tenants.insert(claim.clone(), retirement::plan(claim, observed));
    }
    restored::hold_back(&mut tenants, &removals, desired, observed);
    let needs_ledger = tenants.values().any(|tenant| !tenant.steps.is_empty());
    Plan {
        server: desired.request.server.clone(),
        preparation: if needs_ledger { preparation(observed) } else { Vec::new() },
        tenants: tenants.into_values().collect(),
        conditions: conditions(desired, observed),
    }
}

/// Plans for what is declared.
fn tenants(desired: &Desired, observed: &Observed, place: &PlaceView) -> BTreeMap<Claim, PostgresTenantPlan> {
    let mut tenants = BTreeMap::new();
    let mut room = Room::new(desired, observed);
    for (claim, tenant) in &desired.tenants {
        tenants.insert(claim.clone(), tenant::plan(tenant, desired, observed, place, &mut room));
    }
    if !desired.accounts.is_empty() {
        let around = tenant::Around::of(&tenants, observed);
        let accounts = desired.accounts.values();
        let accounts: Vec<PostgresTenantPlan> =
            accounts.map(|account| tenant::plan_account(account, desired, observed, place, &around)).collect();
        tenants.extend(accounts.into_iter().map(|plan| (plan.claim.clone(), plan)));
    }
    tenants
}

/// What is delivered for each tenant, and was for each that is removed.
pub(crate) fn deliveries(desired: &Desired, observed: &Observed) -> BTreeMap<Claim, Delivery> {
    let of_tenants = desired.looked_at().filter_map(|(claim, tenant)| {
        let names = row(observed, claim).map_or_else(|| Some(tenant.names.clone()), TenantRow::names)?;
        Some((claim.clone(), tenant.delivery(&desired.request, names)))
    });
    let of_accounts = desired.looked_at_accounts().map(|(claim, account)| {
        let names = tenant::account_names(account, desired, observed);
        (claim.clone(), account.delivery(&desired.request, names))
    });
    let of_removals = desired.removals(observed).into_keys().filter_map(|claim| {
        let (delivery, _) = delivered(row(observed, &claim)?, desired)?;
        Some((claim, delivery))
    });
    of_tenants.chain(of_accounts).chain(of_removals).collect()
}

/// What was delivered last for a tenant, as far as the ledger tells.
pub(crate) fn delivered(row: &TenantRow, desired: &Desired) -> Option<(Delivery, Delivered)> {
    let DeliveryRow { secret_name, delivered } = row.deliveries.last()?;
    let delivery = Delivery {
        claim: row.claim.clone(),
        secret_name: secret_name.clone(),
        server: desired.request.server.clone(),
        database: row.names()?.database,
        acts_as: None,
        endpoint: desired.request.endpoint.clone(),
        formats: Vec::new(),
        keys: BTreeMap::new(),
        secret_type: SecretType::default(),
        // What was written says by itself how much of a Secret it is.
        existing: Existing::Merged,
        uid: None,
    };
    Some((delivery, delivered.clone()))
}

/// What the ledger knows of a claim.
fn row<'a>(observed: &'a Observed, claim: &Claim) -> Option<&'a TenantRow> {
    observed.ledger.as_ref()?.row(claim)
}

/// A database that was made for a tenant and now has another name: whoever renamed it decides what becomes of it.
fn renamed(row: &TenantRow, observed: &Observed) -> Option<Refusal> {
    let oid = row.database_oid?;
    let (name, _) = observed.shared.databases.iter().find(|(_, database)| database.oid == oid)?;
    let (name, recorded) = (crate::sql::name(name), crate::sql::name(&row.database));
    (name != recorded).then(|| {
        Refusal::new(RefusalKind::Conflict, format!("its database {recorded} was renamed to {name}"))
            .hint(format!("rename it back: ALTER DATABASE {name} RENAME TO {recorded}"))
    })
}

/// Another database under the recorded name than the one that the ledger remembers: it is never touched.
fn replaced(row: &TenantRow, found: &Database, observed: &Observed) -> Option<Refusal> {
    let oid = row.database_oid.filter(|oid| *oid != found.oid)?;
    let message =
        format!("database `{}` is not the one that tenantdb made (OID {}, not {oid})", row.database, found.oid);
    let may_be_restored = recovery::is_restored(row, observed);
    let restored = "; if the server was restored from a dump, set `adopt: Existing` to go on with this one";
    let hint = format!(
        "someone dropped or renamed it and made another; rename that one, and run it again{}",
        if may_be_restored { restored } else { "" }
    );
    Some(Refusal::new(RefusalKind::Conflict, message).hint(hint))
}

/// Whether a database may be what a tenant's creation had begun when it broke off, before the ledger knew which one it
/// is: the estate's, closed until then, and nobody else's.
fn half_made(database: &Database, observed: &Observed) -> bool {
    database.owner == ESTATE
        && (!database.allows_connections || database.invalid())
        && holder(database, observed).is_none()
}

/// Whose database it is, whatever it is called now.
fn holder<'a>(database: &Database, observed: &'a Observed) -> Option<&'a TenantRow> {
    observed.ledger.as_ref()?.tenants.values().find(|row| row.database_oid == Some(database.oid))
}

/// A tenant of which the ledger does not know every role it was made with: what it owns can't be told any more.
fn incomplete(row: &TenantRow) -> Option<Refusal> {
    let standing = row.applied.logins.standing();
    let complete = row.names().is_some() && standing.iter().all(|slot| row.slots.contains_key(slot));
    (!complete).then(|| {
        Refusal::new(RefusalKind::Conflict, "the ledger has lost roles of it")
            .hint("restore the ledger's database from a backup; nothing of this tenant is touched until then")
    })
}

/// What the tenants of one plan share.
struct Room {
    /// How many more databases the server may hold.
    left: Option<u32>,
    limit: u32,
    /// Whether one of them says how a superuser makes the estate.
    estate_is_told: bool,
}

impl Room {
    fn new(desired: &Desired, observed: &Observed) -> Self {
        let held = observed.ledger.as_ref().map_or(0, |ledger| ledger.tenants.len());
        let held = u32::try_from(held).unwrap_or(u32::MAX);
        let limit = desired.request.database_limit.unwrap_or(u32::MAX);
        Self {
            left: desired.request.database_limit.map(|limit| limit.saturating_sub(held)),
            limit,
            estate_is_told: false,
        }
    }

    fn take(&mut self) -> Result<(), Refusal> {
        match &mut self.left {
            Some(0) => Err(Refusal::new(
                RefusalKind::Policy,
                format!("the server holds as many databases as `limits.databases` allows ({})", self.limit),
            )
            .hint("raise `limits.databases`, or put it on another server")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// A plan without steps.
fn empty(claim: &Claim, database: &str) -> PostgresTenantPlan {
    TenantPlan {
        claim: claim.clone(),
        database: database.to_owned(),
        change: TenantChange::Unchanged,
        steps: Vec::new(),
        refusal: None,
        conditions: Vec::new(),
        delivery: None,
        after: BTreeSet::new(),
    }
}

/// A plan that does nothing, and says why.
fn refused(claim: &Claim, database: &str, refusal: Refusal) -> PostgresTenantPlan {
    TenantPlan { change: TenantChange::Refused, refusal: Some(refusal), ..empty(claim, database) }
}

/// What the server needs before its first tenant.
pub(crate) fn preparation(observed: &Observed) -> Vec<Planned<PostgresStep>> {
    let shared = &observed.shared;
    let mut steps = Vec::new();
    let estate = shared.roles.contains_key(ESTATE);
    if !estate || !shared.admin().member_of.contains(ESTATE) {
        let admin = shared.login.clone();
        steps.push(ServerStep::CreateEstate { admin, create: !estate, options: shared.has_membership_options() });
    }
    let ledger = shared.databases.get(LEDGER);
    if !ledger.is_some_and(|ledger| ledger.allows_connections) {
        steps.push(ServerStep::CreateLedger { create: ledger.is_none() });
    }
    match &observed.ledger {
        None => steps.push(ServerStep::CreateLedgerTables),
        Some(ledger) if ledger.version < VERSION => {
            steps.push(ServerStep::UpgradeLedger { from: ledger.version });
        }
        Some(_) => {}
    }
    let mut planned = Vec::new();
    for step in steps {
        let actor = if matches!(step, ServerStep::CreateEstate { .. }) { Actor::Login } else { Actor::Estate };
        let is_old = matches!(step, ServerStep::UpgradeLedger { .. });
        let reason = if is_old { "an earlier tenantdb made it" } else { "the server has no ledger yet" };
        Planned::push(&mut planned, Task::Engine(step.into()), reason, Risk::Safe, actor);
    }
    planned
}

/// What a user should know about the server, and no plan of ours mends.
fn conditions(desired: &Desired, observed: &Observed) -> Vec<Condition> {
    let shared = &observed.shared;
    let members = estate_members(shared, &shared.login).into_iter();
    let adopted = desired.tenants.values().filter(|tenant| to_adopt(tenant, observed).is_some());
    let adopted: BTreeSet<&str> = adopted.map(|tenant| tenant.names.database.as_str()).collect();
    let open = system_databases(desired, shared).into_iter().chain(strange_databases(observed, &adopted));
    let told = visitors(desired, observed).into_iter().chain(sorted_otherwise(observed));
    restored::condition(desired, observed).into_iter().chain(members).chain(open).chain(told).collect()
}

/// Databases whose indexes may be in another order than the system sorts now (PostgreSQL documentation, ALTER DATABASE,
/// REFRESH COLLATION VERSION).
fn sorted_otherwise(observed: &Observed) -> Option<Condition> {
    let databases: Vec<&str> = observed.sorted_otherwise.iter().map(String::as_str).collect();
    let first = databases.first()?;
    let message = format!(
        "the system sorts text otherwise than when {} was made, so indexes on text may miss rows; in each, as its owner \
         run: REINDEX DATABASE {}; ALTER DATABASE {} REFRESH COLLATION VERSION",
        databases.join(", "),
        name(first),
        name(first)
    );
    Some(Condition { kind: &notes::COLLATION_CHANGED, message })
}

/// Who else may act as the estate, and so do all that tenantdb may.
pub(crate) fn estate_members(shared: &Shared, admin: &str) -> Option<Condition> {
    let is_superuser = |name: &str| shared.roles.get(name).is_some_and(|role| role.superuser);
    let members = shared.estate().members.iter().map(String::as_str);
    let others: Vec<&str> = members.filter(|member| *member != admin && !is_superuser(member)).collect();
    let message = format!(
        "{} may act as {ESTATE}, and so enter every tenant's database and the ledger; if that is no administrator of \
         yours, as a superuser run: REVOKE {ESTATE} FROM {}",
        others.join(", "),
        crate::sql::names(&others)
    );
    (!others.is_empty()).then_some(Condition { kind: &notes::ESTATE_SHARED, message })
}

/// Other logins that can't be let in: they are not there, or a tenant's.
fn visitors(desired: &Desired, observed: &Observed) -> Option<Condition> {
    let named: BTreeSet<&String> = desired.tenants.values().flat_map(|tenant| &tenant.applied.connect_for).collect();
    unusable_visitors(named, observed)
}

/// Which of the logins that `connectFor` names can't be let in.
pub(crate) fn unusable_visitors<'a>(
    named: impl IntoIterator<Item = &'a String>,
    observed: &Observed,
) -> Option<Condition> {
    let told: Vec<String> = named
        .into_iter()
        .filter_map(|name| match observed.visitor(name) {
            Ok(()) => None,
            Err(why) => Some(format!("`{name}` {why}")),
        })
        .collect();
    let message = format!("of `connectFor` {}; it is not let in", told.join(", "));
    (!told.is_empty()).then_some(Condition { kind: &notes::CONNECT_FOR_UNUSABLE, message })
}

/// The databases that come with every server and that every login may connect to.
pub(crate) const SYSTEM_DATABASES: [&str; 2] = ["postgres", "template1"];

/// How many databases are named at most.
const NAMED: usize = 5;

/// Other databases that tenants can connect to: those that tenantdb did not make, and are nobody's but their owner's to
/// close. What is about to be adopted is told of by its plan.
pub(crate) fn strange_databases(observed: &Observed, adopted: &BTreeSet<&str>) -> Option<Condition> {
    let of_ledger = |name: &str| observed.ledger.as_ref().is_some_and(|ledger| ledger.database(name).is_some());
    let ours = |name: &str| of_ledger(name) || adopted.contains(name);
    let is_open = |name: &str, found: &Database| {
        found.open_to_public() && found.can_be_visited() && !managed::is_of_the_service(name, found)
    };
    let open = observed.shared.databases.iter().filter(|(name, found)| is_open(name, found));
    let open = open.map(|(name, _)| name.as_str());
    let open: Vec<&str> = open.filter(|name| !SYSTEM_DATABASES.contains(name) && !ours(name)).collect();
    open.first()?;
    let shown = &open[..open.len().min(NAMED)];
    let others = open.len().saturating_sub(NAMED);
    let and = if others == 0 { String::new() } else { format!(" and {others} more") };
    let message = format!(
        "every login may connect to {}{and}, which tenantdb did not make: tenants too; once who needs one has CONNECT of \
         its own, as its owner run: REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC",
        shown.join(", "),
        crate::sql::names(shown)
    );
    Some(Condition { kind: &notes::OTHER_DATABASES_OPEN, message })
}

fn system_databases(desired: &Desired, shared: &Shared) -> Option<Condition> {
    let open: Vec<&str> = SYSTEM_DATABASES
        .into_iter()
        .filter(|name| shared.databases.get(*name).is_some_and(Database::open_to_public))
        .collect();
    if open.is_empty() {
        return None;
    }
    // An administrator who comes in as anyone does would shut itself out.
    let (here, login) = (shared.maintenance_database.as_str(), shared.login.as_str());
    let as_anyone = open.contains(&here)
        && !shared.admin().superuser
        && shared.databases.get(here).is_some_and(|found| found.owner != login && !found.grants(login, "CONNECT"));
    let keep = if as_anyone { format!("GRANT CONNECT ON DATABASE {here} TO {}; ", name(login)) } else { String::new() };
    // Who is a superuser already has no administrator of its own to make ready.
    let is_superuser = shared.admin().superuser;
    let bootstrap =
        format!("`tenantdb server bootstrap {} -f FILE` with its declaration closes them, or ", desired.request.server);
    let message = format!(
        "every login may connect to {}; {}as their owner run: {keep}REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC",
        open.join(" and "),
        if is_superuser { "" } else { &bootstrap },
        open.join(", ")
    );
    Some(Condition { kind: &notes::SYSTEM_DATABASES_OPEN, message })
}
