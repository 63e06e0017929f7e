//! What it takes to make an account as declared: a role with logins and a credential, that is let into databases which
//! are not its own.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::tenant_database::{AccessLevel, Reconcile};
use tenantdb_core::names::TenantNames;
use tenantdb_core::{Actor, Claim, Condition, Phase, PlaceView, Refusal, RefusalKind, Risk, Task};

use super::{Planner, paused, told_only};
use crate::Taking;
use crate::access::Consent;
use crate::desired::{Desired, Tenant};
use crate::ledger::{KIND, ROLE_KIND, TenantRow};
use crate::notes;
use crate::observe::{Observed, Shared, Tie};
use crate::plan::conflict::account_conflict;
use crate::plan::credential::custody;
use crate::plan::{PostgresTenantPlan, departure, offer, refused};
use crate::sql::{name, names as names_of};
use crate::step::DatabaseStep;

/// Plans for one account, once it is planned what becomes of the databases.
pub(in crate::plan) fn plan(
    account: &Tenant,
    desired: &Desired,
    observed: &Observed,
    place: &PlaceView,
    around: &Around<'_>,
) -> PostgresTenantPlan {
    if account.reconcile == Reconcile::Paused {
        return paused(account, observed);
    }
    let row = crate::plan::row(observed, &account.claim);
    let names = names(account, desired, observed);
    let refusal = desired
        .request
        .refusals
        .get(&account.claim)
        .cloned()
        .or_else(|| account_conflict(account, row, &names, desired, observed));
    let planned = refusal.map_or(Ok(()), Err).and_then(|()| {
        offer::check_account(account, &names, observed)?;
        door(account, &names, &observed.shared)?;
        let custody = custody(account, &names, row, &observed.shared, place, desired.request.reissue)?;
        let reach = Reach::of(account, &names, desired, observed, around);
        let mut planner = Planner::new(account, row, names.clone(), observed, place, custody);
        planner.origin = desired.request.origin(&account.claim);
        Ok(planner.plan_account(reach, around))
    });
    let planned = planned.unwrap_or_else(|refusal| refused(&account.claim, names.database.as_str(), refusal));
    if account.reconcile == Reconcile::Observe { told_only(planned) } else { planned }
}

/// Refuses an account that is to log in to the server's own database, where nobody can let it in.
fn door(account: &Tenant, names: &TenantNames, shared: &Shared) -> Result<(), Refusal> {
    if !account.applied.databases.is_empty() || !is_shut_out(names, shared) || way_in(names, shared).is_some() {
        return Ok(());
    }
    let TenantNames { database, owner } = names;
    let grantor = shared.grantor();
    let statement = format!("GRANT CONNECT ON DATABASE {} TO {grantor} WITH GRANT OPTION", name(database));
    let message = format!("database `{database}` is closed, and this administrator can't open it to `{owner}`");
    let hint = format!("list a database in `databases`, or as a superuser run: {statement}");
    Err(Refusal::new(RefusalKind::Policy, message).hint(hint))
}

/// Whether an account can't get into the database in its credential.
fn is_shut_out(names: &TenantNames, shared: &Shared) -> bool {
    let found = shared.databases.get(names.database.as_str());
    found.is_some_and(|found| !found.grants(names.owner.as_str(), "CONNECT") && !found.lets_everyone_in())
}

/// How it can be let in there.
fn way_in(names: &TenantNames, shared: &Shared) -> Option<Taking> {
    Taking::of_door(shared, shared.databases.get(names.database.as_str())?)
}

/// What is known when accounts are planned, whose ever they are.
pub(in crate::plan) struct Around<'a> {
    /// What becomes of the databases.
    plans: &'a BTreeMap<Claim, PostgresTenantPlan>,
    /// The databases that roles were let into, by role.
    open: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Around<'a> {
    pub(in crate::plan) fn of(plans: &'a BTreeMap<Claim, PostgresTenantPlan>, observed: &'a Observed) -> Self {
        let mut open: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, found) in &observed.shared.databases {
            let let_in = found.grants.iter().filter(|(_, privileges)| privileges.contains("CONNECT"));
            for role in let_in.filter_map(|(role, _)| role.as_deref()) {
                open.entry(role).or_default().insert(name);
            }
        }
        Self { plans, open }
    }
}

/// The names of an account; its credential is for the first of its databases.
pub(in crate::plan) fn names(account: &Tenant, desired: &Desired, observed: &Observed) -> TenantNames {
    let owner = crate::plan::row(observed, &account.claim).and_then(TenantRow::names).map(|names| names.owner);
    let first = account.applied.databases.first();
    let database = first.and_then(|(path, _)| Lent::find(path, &account.claim, desired, observed));
    TenantNames {
        database: database.map_or_else(|| account.names.database.clone(), |lent| lent.names.database),
        owner: owner.unwrap_or_else(|| account.names.owner.clone()),
    }
}

/// Who is let into a tenant's database, with the role that carries what it may do there: what both declarations say.
pub(super) fn let_in(
    tenant: &Tenant,
    names: &TenantNames,
    desired: &Desired,
    observed: &Observed,
) -> BTreeMap<String, String> {
    let owner = names.owner.as_str();
    let path = tenant.claim.path();
    let ledger = observed.ledger.as_ref();
    let role_of = |consent: &Consent| Claim::at(&consent.to, ROLE_KIND, &desired.request.authority);
    let role = |consent: &Consent| {
        if consent.is_own() {
            return Some((format!("{owner}_{}", consent.to), consent.level));
        }
        let declared = role_of(consent).and_then(|claim| desired.accounts.get(&claim));
        let recorded = ledger?.account_declared_as(&consent.to, &desired.request.authority);
        let name = recorded.map(|row| row.owner.clone()).or_else(|| Some(declared?.names.owner.to_string()));
        let applied = declared.map(|account| &account.applied).or(recorded.map(|row| &row.applied))?;
        let (_, level) = applied.databases.iter().find(|(database, _)| *database == path)?;
        Some((name?, *level)).filter(|(_, level)| *level <= consent.level)
    };
    let consents = tenant.applied.access.iter();
    consents.filter_map(|consent| role(consent).map(|(role, level)| (role, consent.role(owner, level)))).collect()
}

/// A database that an account asks for.
struct Lent<'a> {
    claim: &'a Claim,
    names: TenantNames,
    consents: &'a [Consent],
    /// Whether it is declared together with the account.
    is_declared: bool,
}

impl<'a> Lent<'a> {
    /// The database of a declaration: one that is declared now, else one that the ledger knows.
    fn find(path: &str, account: &Claim, desired: &'a Desired, observed: &'a Observed) -> Option<Self> {
        let ledger = observed.ledger.as_ref();
        let declared = Claim::at(path, KIND, &desired.request.authority).and_then(|claim| desired.tenants.get(&claim));
        if let Some(Tenant { claim, names, applied, .. }) = declared {
            let recorded = ledger.and_then(|ledger| ledger.tenants.get(claim)).and_then(TenantRow::names);
            let names = recorded.unwrap_or_else(|| names.clone());
            return Some(Self { claim, names, consents: &applied.access, is_declared: true });
        }
        let row = ledger?.declared_as(path, &account.authority).filter(|row| row.phase == Phase::Provisioned)?;
        Some(Self { claim: &row.claim, names: row.names()?, consents: &row.applied.access, is_declared: false })
    }
}

/// What an account gets of what it asks for.
#[derive(Default)]
struct Reach {
    /// The databases that it may connect to.
    databases: BTreeSet<String>,
    /// The roles that carry what it may do in them.
    levels: BTreeSet<String>,
    /// The roles that databases' own plans take it into, or out of.
    settled_elsewhere: BTreeSet<String>,
    /// What has to be done with before.
    after: BTreeSet<Claim>,
    /// What it does not get, and why.
    denied: Vec<(String, String)>,
}

impl Reach {
    fn of(account: &Tenant, names: &TenantNames, desired: &Desired, observed: &Observed, around: &Around<'_>) -> Self {
        let plans = around.plans;
        let is_planned_level = |role: &String| {
            let ledger = observed.ledger.as_ref();
            let row = ledger.and_then(|ledger| ledger.tenants.get(ledger.roles.get(role)?));
            row.is_some_and(|row| row.levels.contains(role) && plans.contains_key(&row.claim))
        };
        let granted = observed.shared.roles.get(names.owner.as_str()).into_iter().flat_map(|role| &role.granted);
        let levels = granted.map(|granted| &granted.role);
        let levels = levels.filter(|role| is_planned_level(role)).cloned();
        let mut reach = Self { settled_elsewhere: levels.collect(), ..Self::default() };
        for (path, level) in &account.applied.databases {
            if let Err(denied) = reach.add(path, *level, account, desired, observed, plans) {
                reach.denied.push(denied);
            }
        }
        reach
    }

    fn add(
        &mut self,
        path: &str,
        level: AccessLevel,
        account: &Tenant,
        desired: &Desired,
        observed: &Observed,
        plans: &BTreeMap<Claim, PostgresTenantPlan>,
    ) -> Result<(), (String, String)> {
        let deny = |message: String, hint: &str| Err((message, hint.to_owned()));
        let Some(lent) = Lent::find(path, &account.claim, desired, observed) else {
            return deny(format!("there is no database {path} on this server"), "apply its declaration first");
        };
        let Some(consent) = lent.consents.iter().find(|consent| consent.is_for(&account.claim, lent.claim)) else {
            let entry = format!("{{role: {}, level: {level:?}}}", account.claim.path());
            return deny(format!("{path} does not consent"), &format!("add `{entry}` to its `access`"));
        };
        if consent.level < level {
            let message = format!("{path} consents to {:?}, and {level:?} is asked", consent.level);
            return deny(message, "let both declarations say the same `level`");
        }
        let role = consent.role(lent.names.owner.as_str(), level);
        let plan = plans.get(lent.claim);
        match plan {
            Some(plan) if plan.refusal.is_some() => {
                return deny(format!("{path} is refused itself"), "see what is said of it");
            }
            Some(plan) if !plan.steps.is_empty() => drop(self.after.insert(lent.claim.clone())),
            _ if observed.shared.roles.contains_key(&role) => {}
            _ if lent.is_declared => return deny(format!("{path} is not as declared"), "apply its declaration first"),
            _ => return deny(format!("{path} lacks role {role}"), "apply its declaration again"),
        }
        self.databases.insert(lent.names.database.to_string());
        if plan.is_some() {
            self.settled_elsewhere.insert(role.clone());
        }
        self.levels.insert(role);
        Ok(())
    }

    fn refusal(&self) -> Option<Refusal> {
        let (_, hint) = self.denied.first()?;
        let messages: Vec<&str> = self.denied.iter().map(|(message, _)| message.as_str()).collect();
        Some(Refusal::new(RefusalKind::Policy, messages.join("; ")).hint(hint.clone()))
    }
}

impl Planner<'_> {
    fn plan_account(mut self, reach: Reach, around: &Around<'_>) -> PostgresTenantPlan {
        // The database in its credential has to let it in, or nothing can be delivered.
        let first_is_denied =
            !self.tenant.applied.databases.is_empty() && !reach.databases.contains(self.names.database.as_str());
        if let (true, Some(refusal)) = (first_is_denied && self.row.is_none(), reach.refusal()) {
            return refused(&self.tenant.claim, self.names.database.as_str(), refusal);
        }
        self.plan.refusal = reach.refusal();
        self.joined = reach.levels.union(&self.tenant.applied.member_of).cloned().collect();
        self.settled_elsewhere = reach.settled_elsewhere;
        self.claim();
        self.take_credential();
        self.roles();
        self.memberships();
        self.open_databases(&reach.databases);
        if !first_is_denied {
            self.deliver_credential();
        }
        self.keep_out(&reach.databases, around);
        self.only_by_level(&reach.databases);
        self.settle();
        let settled = self.plan.steps.len();
        self.outsiders();
        self.record_since(settled);
        if !self.plan.steps.is_empty() {
            self.plan.after = reach.after;
        }
        self.finish()
    }

    /// Opens the databases to it.
    fn open_databases(&mut self, databases: &BTreeSet<String>) {
        let owner = self.owner();
        let granted =
            |name: &String| self.shared.databases.get(name).is_some_and(|found| found.grants(&owner, "CONNECT"));
        let closed: Vec<String> = databases.iter().filter(|name| !granted(name)).cloned().collect();
        for database in closed {
            let (connect, visitors) = (Vec::new(), vec![owner.clone()]);
            let step = DatabaseStep::Isolate { database, public: false, connect, visitors, create: None };
            self.push(step, "declared in `access`");
        }
        if self.tenant.applied.databases.is_empty() {
            self.let_into_the_servers_own();
        }
    }

    /// Without a database of a tenant's it logs in to the server's own.
    fn let_into_the_servers_own(&mut self) {
        if !is_shut_out(&self.names, self.shared) {
            return;
        }
        if let Some(taking) = way_in(&self.names, self.shared) {
            let (database, login) = (self.database_name(), self.owner());
            let step = DatabaseStep::Admit { database, login, taking: taking.clone() };
            self.take(step, "its credential is for it".to_owned(), &taking);
        }
    }

    /// Its logins have what their role has. What was granted to one of them itself is taken back; what one of them owns
    /// stays: handed to the tenant, a function of it would run as the tenant.
    fn only_by_level(&mut self, databases: &BTreeSet<String>) {
        let owner = self.owner();
        let slots = self.custody.slots.values().map(|slot| &slot.role).filter(|role| **role != owner);
        let slots: Vec<String> = slots.cloned().collect();
        for (database, ties) in self.observed.ties.iter().filter(|(database, _)| databases.contains(*database)) {
            let tied = |tie: Tie| slots.iter().filter(move |role| ties.get(*role) == Some(&tie)).cloned();
            let owning: Vec<String> = tied(Tie::Owner).collect();
            if let Some(step) = departure::leave(tied(Tie::Privileges).collect(), database, self.observed) {
                self.push(step, "it had been granted something itself");
            }
            if !owning.is_empty() {
                let message = format!(
                    "{} owns something in database {database}; once you know what, as a superuser run there: REASSIGN \
                     OWNED BY {} TO …",
                    owning.join(", "),
                    names_of(&owning)
                );
                self.plan.conditions.push(Condition { kind: &notes::OWNED_BY_OTHERS, message });
            }
        }
    }

    /// Closes the databases of tenants that it should not get into; those that are planned in the same run see to that
    /// themselves.
    fn keep_out(&mut self, databases: &BTreeSet<String>, around: &Around<'_>) {
        let owner = self.owner();
        let Some(ledger) = &self.observed.ledger else { return };
        let open = around.open.get(owner.as_str()).into_iter().flatten();
        let others = open.filter(|name| !databases.contains(**name));
        let is_ours = |name: &str| ledger.database(name).is_some_and(|row| !around.plans.contains_key(&row.claim));
        let others: Vec<String> = others.filter(|name| is_ours(name)).map(|name| (*name).to_owned()).collect();
        for database in others {
            let step = DatabaseStep::Dismiss { database, visitors: vec![owner.clone()], grantors: Vec::new() };
            self.plan.push(Task::Engine(step.into()), "nothing declares it", Risk::Safe, Actor::Estate);
        }
    }
}
