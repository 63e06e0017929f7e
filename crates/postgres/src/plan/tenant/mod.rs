//! What it takes to make a tenant as declared, whether nothing, a part or all of it is there.

mod account;
mod adoption;
mod content;
mod delivery;
mod extensions;
mod init;
mod levels;
mod members;
mod outsiders;
mod slots;

pub(super) use account::{Around, names as account_names, plan as plan_account};

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::tenant_database::{Create, Reconcile};
use tenantdb_core::names::TenantNames;
use tenantdb_core::{
    Actor, Claim, Condition, CredentialStep, Origin, Phase, PlaceView, Refusal, Risk, Script, Slot, Step as _, Task,
    TenantChange, TenantPlan,
};

use super::conflict::conflict;
use super::credential::{Custody, custody};
use super::{PostgresTenantPlan, Room, offer, refused};
use crate::desired::{Desired, Tenant};
use crate::ledger::{Applied, TenantRow};
use crate::notes;
use crate::observe::{Database, Inside, Observed, Shared};
use crate::step::{DatabaseStep, LedgerStep, PostgresStep, SessionStep};
use crate::trap::Trap;
use crate::{ESTATE, Taking};

/// Sessions beyond the tenant's own, so that the administrator always gets in.
const SPARE_SESSIONS: i32 = 3;

/// Plans for one tenant.
pub(super) fn plan(
    tenant: &Tenant,
    desired: &Desired,
    observed: &Observed,
    place: &PlaceView,
    room: &mut Room,
) -> PostgresTenantPlan {
    if tenant.reconcile == Reconcile::Paused {
        return paused(tenant, observed);
    }
    let row = super::row(observed, &tenant.claim);
    let names = row.and_then(TenantRow::names).unwrap_or_else(|| tenant.names.clone());
    let refusal = desired
        .request
        .refusals
        .get(&tenant.claim)
        .cloned()
        .or_else(|| conflict(tenant, row, &names, desired, observed));
    let plan = refusal.map_or(Ok(()), Err).and_then(|()| {
        let found = observed.inside.get(names.database.as_str()).and_then(|inside| inside.trap.clone());
        let trap = found.or_else(|| Trap::at_login(&observed.shared, names.database.as_str()));
        trap.map_or(Ok(()), |trap| Err(trap.refusal()))?;
        adoption_in_reach(tenant, row, &names, observed, room)?;
        if row.is_none() {
            room.take()?;
        }
        offer::check(tenant, &names, observed)?;
        let custody = custody(tenant, &names, row, &observed.shared, place, desired.request.reissue)?;
        let mut planner = Planner::new(tenant, row, names.clone(), observed, place, custody);
        if let Some(refusal) = planner.no_levels_here() {
            return Err(refusal);
        }
        planner.scripts = desired.request.scripts_of(&tenant.claim);
        planner.origin = desired.request.origin(&tenant.claim);
        planner.databases = Some(&desired.tenants);
        planner.let_in = account::let_in(tenant, &names, desired, observed);
        Ok(planner.plan())
    });
    let plan = plan.unwrap_or_else(|refusal| refused(&tenant.claim, names.database.as_str(), refusal));
    if tenant.reconcile == Reconcile::Observe { told_only(plan) } else { plan }
}

/// Refuses a database that is adopted, or half adopted, where only a superuser can do a part of it.
fn adoption_in_reach(
    tenant: &Tenant,
    row: Option<&TenantRow>,
    names: &TenantNames,
    observed: &Observed,
    room: &mut Room,
) -> Result<(), Refusal> {
    let found = observed.shared.databases.get(names.database.as_str());
    let Some(found) = found.filter(|_| row.is_none_or(|row| row.adopted)) else { return Ok(()) };
    let schemas = std::iter::once("public".to_owned()).chain(tenant.applied.schemas.iter().cloned());
    let is_begun = row.is_none_or(|row| row.phase == Phase::Claimed);
    let refusal = super::adoption::needs_superuser(names, schemas, found, observed, is_begun, &mut room.estate_is_told);
    refusal.map_or(Ok(()), Err)
}

/// A tenant that is not looked at.
fn paused(tenant: &Tenant, observed: &Observed) -> PostgresTenantPlan {
    let row = super::row(observed, &tenant.claim);
    let database = row.map_or(tenant.names.database.as_str(), |row| row.database.as_str());
    let message = "`reconcile` is Paused: it is neither looked at nor changed".to_owned();
    let conditions = vec![Condition { kind: &notes::PAUSED, message }];
    TenantPlan { change: TenantChange::Paused, conditions, ..super::empty(&tenant.claim, database) }
}

/// A plan whose steps are told, and not carried out.
fn told_only(mut plan: PostgresTenantPlan) -> PostgresTenantPlan {
    if plan.steps.is_empty() {
        return plan;
    }
    let changes: Vec<String> = plan.shown().map(|step| step.task.describe()).collect();
    let (kind, what) = match plan.change {
        TenantChange::Create => (&notes::MISSING, "it is not there, and"),
        _ => (&notes::DRIFTED, "it is not as declared, and"),
    };
    let message = format!("{what} `reconcile: Observe` leaves it so: {}", changes.join("; "));
    plan.conditions.push(Condition { kind, message });
    plan.steps.clear();
    plan.change = TenantChange::Observed;
    plan
}

/// The plan of one tenant in the making.
struct Planner<'a> {
    tenant: &'a Tenant,
    row: Option<&'a TenantRow>,
    names: TenantNames,
    shared: &'a Shared,
    observed: &'a Observed,
    place: &'a PlaceView,
    database: Option<&'a Database>,
    inside: Option<&'a Inside>,
    custody: Custody,
    before: Applied,
    /// Whether its database is somebody else's work that becomes the tenant's just now.
    adopts: bool,
    /// Whether the tenant's role logs in, with the password that it had before it was adopted.
    legacy: bool,
    /// The roles outside of its own that its role is a member of, as declared.
    joined: BTreeSet<String>,
    /// Those that somebody else's plan takes it into, or out of.
    settled_elsewhere: BTreeSet<String>,
    /// Who is a member of which of the roles that carry what others may do in its database.
    let_in: BTreeMap<String, String>,
    /// The databases that are declared together with its own.
    databases: Option<&'a BTreeMap<Claim, Tenant>>,
    /// The scripts that its database begins with.
    scripts: &'a [Script],
    /// Where its declaration stands, in a cluster.
    origin: Option<&'a Origin>,
    plan: PostgresTenantPlan,
}

impl<'a> Planner<'a> {
    fn new(
        tenant: &'a Tenant,
        row: Option<&'a TenantRow>,
        names: TenantNames,
        observed: &'a Observed,
        place: &'a PlaceView,
        custody: Custody,
    ) -> Self {
        let database = observed.shared.databases.get(names.database.as_str()).filter(|_| !tenant.is_account());
        let delivery = place.deliveries.get(&tenant.claim).cloned();
        let plan = TenantPlan { delivery, ..super::empty(&tenant.claim, names.database.as_str()) };
        let (adopts, legacy) = adopting(&names, row, database, &observed.shared);
        let legacy = legacy && !custody.gives(Slot::Owner);
        Self {
            tenant,
            row,
            shared: &observed.shared,
            observed,
            place,
            database: database.filter(|database| !database.invalid()),
            inside: observed.inside.get(names.database.as_str()).filter(|_| !tenant.is_account()),
            custody,
            before: row.map(|row| row.applied.clone()).unwrap_or_default(),
            names,
            adopts,
            legacy,
            joined: tenant.applied.member_of.clone(),
            settled_elsewhere: BTreeSet::new(),
            let_in: BTreeMap::new(),
            databases: None,
            scripts: &[],
            origin: None,
            plan,
        }
    }

    fn plan(mut self) -> PostgresTenantPlan {
        self.claim();
        self.database();
        self.take_credential();
        self.record_scripts();
        // What is there passes first: the estate has nothing to say about its role before.
        let is_there = self.shared.roles.contains_key(self.names.owner.as_str());
        if is_there {
            self.hand_over();
        }
        self.roles();
        self.memberships();
        if !is_there {
            self.hand_over();
        }
        self.isolation();
        self.attributes();
        self.levels();
        self.open();
        self.inside();
        self.empty_slots();
        self.grant_levels();
        self.level_members();
        self.deliver_credential();
        self.made_otherwise();
        self.tell_scripts();
        self.dismiss();
        // What is adopted was consented to as a whole; elsewhere the rest is not to wait for consent.
        if self.adopts {
            self.outsiders();
        }
        self.drop_levels();
        self.settle();
        let settled = self.plan.steps.len();
        if !self.adopts {
            self.outsiders();
        }
        self.strangers();
        self.record_since(settled);
        self.legacy_login();
        self.foreign_objects();
        self.finish()
    }

    fn finish(mut self) -> PostgresTenantPlan {
        self.plan.change = match (self.plan.steps.is_empty(), self.database.is_none() && self.row.is_none()) {
            (true, _) if self.plan.refusal.is_some() => TenantChange::Refused,
            (true, _) => TenantChange::Unchanged,
            (false, true) => TenantChange::Create,
            (false, false) if self.adopts => TenantChange::Adopt,
            (false, false) => TenantChange::Update,
        };
        self.plan
    }

    fn push(&mut self, step: impl Into<PostgresStep>, reason: impl Into<Cow<'static, str>>) {
        self.plan.push(Task::Engine(step.into()), reason, Risk::Safe, Actor::Estate);
    }

    /// Adds a step that takes what another role owns.
    fn take(&mut self, step: impl Into<PostgresStep>, reason: String, taking: &Taking) {
        let actor = if *taking == Taking::Login { Actor::Login } else { Actor::Estate };
        self.plan.push(Task::Engine(step.into()), reason, Risk::Safe, actor);
    }

    fn credential(&mut self, step: CredentialStep, reason: impl Into<Cow<'static, str>>) {
        self.plan.push(Task::Credential(step), reason, Risk::Safe, Actor::Place);
    }

    /// Why something is made that is not there.
    fn missing(&self) -> &'static str {
        match self.row.map(|row| row.phase) {
            None if self.adopts => "for the adopted database",
            None => "declared, not on the server",
            Some(Phase::Claimed) => "begun, not finished",
            Some(Phase::Provisioned) => "gone from the server",
            Some(Phase::Deleting) => "declared again while it was being deleted",
            Some(Phase::Orphaned) => "declared again",
        }
    }

    fn database_name(&self) -> String {
        self.names.database.to_string()
    }

    fn owner(&self) -> String {
        self.names.owner.to_string()
    }

    fn claim(&mut self) {
        if self.row.is_some() {
            return;
        }
        let slots: BTreeMap<Slot, String> =
            self.custody.slots.iter().map(|(slot, plan)| (*slot, plan.role.clone())).collect();
        let used: BTreeSet<String> = slots.values().cloned().chain([self.owner()]).collect();
        let is_account = self.tenant.is_account();
        let names = if is_account { self.names.of_account() } else { self.names.roles() };
        let reserved = names.into_iter().filter(|role| !used.contains(role)).collect();
        let (database, owner) = ((!is_account).then(|| self.database_name()), self.owner());
        let applied = Box::new(self.tenant.applied.clone());
        let adopted = self.adopted();
        let reason = if adopted.is_some() { adoption::ADOPTED } else { "declared, not in the ledger" };
        let step = LedgerStep::Claim { database, owner, slots, reserved, applied, adopted };
        self.plan.push(Task::Engine(step.into()), reason, self.adoption_risk(), Actor::Estate);
    }

    fn database(&mut self) {
        let database = self.database_name();
        let Some(found) = self.database else {
            if self.shared.databases.contains_key(&database) {
                self.push(
                    DatabaseStep::DropDatabase { database: database.clone() },
                    "its deletion was interrupted, and nothing is left in it",
                );
            }
            let limit = self.database_limit();
            let missing = self.missing();
            if self.row.is_some_and(|row| row.database_oid.is_some()) {
                // Else, after a crash, the new one would be taken for somebody else's, or for finished.
                self.push(LedgerStep::ForgetDatabase { database: database.clone() }, missing);
            }
            let create = self.tenant.create.clone();
            let providers = self.shared.has_locale_providers();
            self.push(DatabaseStep::CreateDatabase { database, limit, create, providers }, missing);
            return;
        };
        if found.owner != ESTATE && !self.is_adopted() {
            let reason = format!("it was owned by {}", found.owner);
            if let Some(taking) = Taking::of(self.shared, &found.owner) {
                self.take(DatabaseStep::OwnDatabase { database, taking: taking.clone() }, reason, &taking);
            }
        }
    }

    /// The ceiling over all logins.
    fn database_limit(&self) -> Option<i32> {
        let further = self.tenant.applied.access.iter().filter(|consent| consent.is_own()).count();
        let logins = self.custody.slots.values().filter(|slot| slot.logs_in).count().max(1) + further;
        let logins = i32::try_from(logins).unwrap_or(1);
        // The earlier login keeps its own limit, which is mostly none.
        if self.legacy {
            return None;
        }
        self.tenant.applied.connection_limit.map(|limit| limit.saturating_mul(logins).saturating_add(SPARE_SESSIONS))
    }

    fn isolation(&mut self) {
        let database = self.database_name();
        let owner = self.owner();
        let mut logins: BTreeSet<String> = self.custody.slots.values().map(|slot| slot.role.clone()).collect();
        logins.extend(self.legacy.then(|| owner.clone()));
        let logins: Vec<String> = logins.into_iter().collect();
        let visitors = self.tenant.applied.connect_for.iter().filter(|name| self.observed.visitor(name).is_ok());
        let visitors: Vec<String> = match self.database {
            None => visitors.cloned().collect(),
            Some(found) => visitors.filter(|name| !found.grants(name, "CONNECT")).cloned().collect(),
        };
        let (public, connect, create) = match self.database {
            None => (true, logins, Some(owner)),
            Some(found) => {
                let handed_over = self.is_handed_over();
                let let_in = |login: &String| {
                    let keeps = handed_over && self.legacy && *login == owner;
                    let granted = || found.grants(login, "CONNECT") && found.grants(login, "TEMPORARY");
                    keeps || granted() && self.shared.roles.contains_key(login)
                };
                let estate = found.owner_shut_out.then(|| ESTATE.to_owned());
                let connect = logins.into_iter().filter(|login| !let_in(login)).chain(estate).collect();
                let granted = ["CREATE", "TEMPORARY"].iter().all(|privilege| found.grants(&owner, privilege));
                let create = !handed_over && !granted;
                (found.open_to_public(), connect, create.then_some(owner))
            }
        };
        if !public && connect.is_empty() && visitors.is_empty() && create.is_none() {
            return;
        }
        let only_new = create.is_none() && !connect.iter().any(|login| self.shared.roles.contains_key(login));
        let only_visitors = connect.is_empty() && create.is_none();
        let reason = match (self.database, public) {
            (Some(found), true) if found.allows_connections => "every login could connect",
            (Some(found), false) if found.allows_connections && only_visitors => "the server's `connectFor` names it",
            (Some(found), false) if found.allows_connections && only_new => "for the new login",
            (Some(found), false) if found.allows_connections => "a privilege was taken away",
            _ => self.missing(),
        };
        let step = DatabaseStep::Isolate { database, public, connect, visitors, create };
        match self.database.filter(|_| self.adopts && public) {
            Some(found) => {
                let reason = self.shut_out(found);
                self.plan.push(Task::Engine(step.into()), reason, Risk::Disruptive, Actor::Estate);
            }
            None => self.push(step, reason),
        }
    }

    /// Keeps out whom the server's `connectFor` no longer names.
    fn dismiss(&mut self) {
        let Some(found) = self.database else { return };
        let visitors = self.before.connect_for.difference(&self.tenant.applied.connect_for);
        let let_in = |name: &&String| self.observed.visitor(name).is_ok() && found.grants(name, "CONNECT");
        let visitors: Vec<String> = visitors.filter(let_in).cloned().collect();
        if !visitors.is_empty() {
            let step = DatabaseStep::Dismiss { database: self.database_name(), visitors, grantors: Vec::new() };
            let reason = "the server's `connectFor` no longer names it";
            self.plan.push(Task::Engine(step.into()), reason, Risk::Disruptive, Actor::Estate);
        }
    }

    /// How a database was made can't be changed.
    fn made_otherwise(&mut self) {
        let Some(found) = self.database else { return };
        let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
        let differs = |declared: &Option<String>, found: &str| {
            declared.as_ref().filter(|declared| !found.is_empty() && plain(declared) != plain(found)).cloned()
        };
        let Create { encoding, locale, .. } = &self.tenant.create;
        let told = [
            ("encoding", differs(encoding, &found.encoding), &found.encoding),
            ("locale", differs(locale, &found.locale), &found.locale),
        ];
        let told: Vec<String> = told
            .into_iter()
            .filter_map(|(what, declared, found)| Some(format!("{what} {found}, not {}", declared?)))
            .collect();
        if !told.is_empty() {
            let message = format!("it was made with {}; `create` counts only when it is made", told.join(", "));
            self.plan.conditions.push(Condition { kind: &notes::MADE_OTHERWISE, message });
        }
    }

    fn attributes(&mut self) {
        let database = self.database_name();
        if let Some(found) = self.database {
            if found.is_template {
                let reason = "whoever may make databases could copy it";
                self.push(DatabaseStep::UnmarkTemplate { database: database.clone() }, reason);
            }
            let declared = self.tenant.applied.connection_limit.is_some() || self.before.connection_limit.is_some();
            let limit = self.database_limit();
            if declared && found.connection_limit != limit.unwrap_or(-1) {
                let reason = format!("it was {}", shown_limit(found.connection_limit));
                self.push(DatabaseStep::LimitDatabase { database: database.clone(), limit }, reason);
            }
        }
        let comment = self.tenant.applied.comment.clone();
        let found = self.database.and_then(|found| found.comment.clone());
        let declared = comment.is_some() || self.before.comment.is_some();
        if declared && comment != found {
            let reason = match found {
                Some(found) => format!("it was {found:?}"),
                None if self.before.comment.is_some() => "it was removed".to_owned(),
                None => "declared".to_owned(),
            };
            self.push(DatabaseStep::Comment { database, comment }, reason);
        }
    }

    fn open(&mut self) {
        let database = self.database_name();
        let adopted = self.adopted().map(|adopted| adopted.oid);
        let known = self.row.and_then(|row| row.database_oid).or(adopted);
        if self.database.is_none() || self.database.map(|found| found.oid) != known {
            let missing = self.missing();
            self.push(LedgerStep::RecordDatabase { database: database.clone() }, missing);
        }
        match self.database {
            Some(found) if found.allows_connections => {}
            Some(_) if self.row.is_some_and(|row| row.phase == Phase::Provisioned) => {
                self.push(DatabaseStep::OpenDatabase { database, drifted: true }, "it accepted no connections");
            }
            _ => {
                let missing = self.missing();
                self.push(DatabaseStep::OpenDatabase { database, drifted: false }, missing);
            }
        }
    }

    fn settle(&mut self) {
        if self.observed.unseen.contains_key(self.names.database.as_str()) && !self.tenant.is_account() {
            return;
        }
        let phase = self.row.map(|row| row.phase);
        let origin = self.origin.cloned();
        let stands_there = origin.is_none() || self.row.is_some_and(|row| row.origin == origin);
        let as_before = phase == Some(Phase::Provisioned) && self.before == self.tenant.applied && stands_there;
        if as_before && self.plan.steps.is_empty() {
            return;
        }
        let (from, to) = (self.before.policies(), self.tenant.applied.policies());
        let policies = (self.row.is_some() && from != to).then_some((from.clone(), to));
        let returns = phase == Some(Phase::Orphaned);
        let stays = self.stays();
        let reason = match (&policies, returns) {
            (_, true) => "declared again".to_owned(),
            (Some(_), _) => format!("they were: {from}"),
            (None, _) if stays.is_some() => "no longer declared".to_owned(),
            (None, _) => "applied".to_owned(),
        };
        let silent = policies.is_none() && !returns && self.plan.shown().next().is_none();
        let note = stays.or_else(|| silent.then(|| "declaration: noted in the ledger".to_owned()));
        let action = match self.row {
            _ if self.adopts => self.action("adopt", policies.as_ref()),
            None => "create".to_owned(),
            Some(_) if returns => self.action("take back", policies.as_ref()),
            Some(_) => self.action("update", policies.as_ref()),
        };
        let applied = Box::new(self.tenant.applied.clone());
        let step = LedgerStep::Settle { applied, origin, policies, returns, note, action };
        self.push(step, reason);
    }

    /// What was declared and is never taken away.
    fn stays(&self) -> Option<String> {
        let (before, now) = (&self.before, &self.tenant.applied);
        let schemas = before.schemas.difference(&now.schemas).map(|name| format!("schema {name}"));
        let extensions = before.extensions.keys().filter(|name| !now.extensions.contains_key(*name));
        let extensions = extensions.map(|name| format!("extension {name}"));
        let stays: Vec<String> = schemas.chain(extensions).collect();
        (!stays.is_empty()).then(|| format!("left in place: {}", stays.join(", ")))
    }

    /// What is done once the rest was noted goes into the audit trail as well.
    fn record_since(&mut self, settled: usize) {
        let late = self.plan.steps.iter().skip(settled).filter(|step| step.task.sign().is_some());
        let changes: Vec<String> = late.map(|step| step.task.describe()).collect();
        if !changes.is_empty() {
            let action = format!("update: {}", changes.join("; "));
            self.push(LedgerStep::RecordChange { action }, "done");
        }
    }

    /// What the audit trail says of the changes.
    fn action(&self, word: &str, policies: Option<&(String, String)>) -> String {
        let steps = self.plan.shown().map(|step| step.task.describe());
        let changes: Vec<String> = steps.chain(policies.map(|(_, to)| format!("policies: {to}"))).collect();
        if changes.is_empty() { word.to_owned() } else { format!("{word}: {}", changes.join("; ")) }
    }

    /// Whoever came in while PUBLIC could connect is still inside, also when it was shut out since.
    fn strangers(&mut self) {
        let Some(found) = self.database else { return };
        let strangers = self.observed.strangers(found, &self.tenant.claim, &self.tenant.applied.access);
        if strangers.is_empty() {
            return;
        }
        let step = SessionStep::EndSessions {
            database: self.database_name(),
            own: Vec::new(),
            strangers,
            outsiders: Vec::new(),
            options: self.shared.has_membership_options(),
        };
        self.plan.push(Task::Engine(step.into()), "nothing lets them in any more", Risk::Disruptive, Actor::Estate);
    }
}

/// Whether a database is adopted by this plan, and whether its tenant's role logs in as before.
fn adopting(
    names: &TenantNames,
    row: Option<&TenantRow>,
    database: Option<&Database>,
    shared: &Shared,
) -> (bool, bool) {
    let logs_in = shared.roles.get(names.owner.as_str()).is_some_and(|role| role.login);
    match row {
        None => (database.is_some(), database.is_some() && logs_in),
        Some(row) => {
            let begun = row.adopted && row.phase == Phase::Claimed && database.is_some();
            (begun, logs_in && row.legacy_login().is_some())
        }
    }
}

fn shown_limit(limit: i32) -> String {
    if limit < 0 { "unlimited".to_owned() } else { limit.to_string() }
}
