//! What it takes to make an account as declared: a role with logins and a credential, that is let into databases which
//! are not its own.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::tenant_database::{AccessLevel, Reconcile};
use tenantdb_core::names::TenantNames;
use tenantdb_core::{Actor, Claim, Condition, PlaceView, Refusal, RefusalKind, Risk, Task, TenantChange};

use super::{Planner, paused, told_only};
use crate::Taking;
use crate::access::{self, Consent};
use crate::desired::{Desired, Tenant};
use crate::ledger::{Phase, TenantRow};
use crate::observe::{Observed, Tie};
use crate::plan::conflict::account_conflict;
use crate::plan::credential::custody;
use crate::plan::{PostgresTenantPlan, departure, offer, refused};
use crate::sql::{name, names as names_of};
use crate::step::PostgresStep;

/// Plans for one account, once it is planned what becomes of the databases.
pub(in crate::plan) fn plan(
    account: &Tenant,
    desired: &Desired,
    observed: &Observed,
    place: &PlaceView,
    databases: &BTreeMap<Claim, PostgresTenantPlan>,
) -> PostgresTenantPlan {
    if account.reconcile == Reconcile::Paused {
        return paused(account, observed);
    }
    let row = crate::plan::row(observed, &account.claim);
    let names = names(account, desired, observed);
    let planned = account_conflict(account, row, &names, desired, observed).map_or(Ok(()), Err).and_then(|()| {
        offer::check_account(account, &names, observed)?;
        let custody = custody(account, &names, row, &observed.shared, place, desired.reissue)?;
        let reach = Reach::of(account, desired, observed, databases);
        Ok(Planner::new(account, row, names.clone(), observed, place, custody).plan_account(reach))
    });
    let planned = planned.unwrap_or_else(|refusal| refused(&account.claim, names.database.as_str(), refusal));
    if account.reconcile == Reconcile::Observe { told_only(planned) } else { planned }
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
    let role = |consent: &Consent| {
        if consent.is_own() {
            return Some((format!("{owner}_{}", consent.to), consent.level));
        }
        let declared = desired.accounts.values().find(|account| consent.is_for(&account.claim, &tenant.claim));
        let recorded = ledger?.accounts.values().find(|row| consent.is_for(&row.claim, &tenant.claim));
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
        let declared = desired.tenants.values().find(|tenant| tenant.claim.path() == path);
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
    /// The databases that are planned in the same run.
    planned: BTreeSet<Claim>,
    /// What has to be done with before.
    after: BTreeSet<Claim>,
    /// What it does not get, and why.
    denied: Vec<(String, String)>,
}

impl Reach {
    fn of(
        account: &Tenant,
        desired: &Desired,
        observed: &Observed,
        plans: &BTreeMap<Claim, PostgresTenantPlan>,
    ) -> Self {
        let planned = desired.tenants.values().filter(|tenant| plans.contains_key(&tenant.claim));
        let levels = planned.flat_map(|tenant| {
            let row = crate::plan::row(observed, &tenant.claim);
            let owner = row.map_or(tenant.names.owner.as_str(), |row| row.owner.as_str());
            let before = row.map(|row| row.levels.clone()).unwrap_or_default();
            access::levels(owner, &tenant.applied.access).into_keys().chain(before).collect::<Vec<_>>()
        });
        let mut reach =
            Self { settled_elsewhere: levels.collect(), planned: plans.keys().cloned().collect(), ..Self::default() };
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
    fn plan_account(mut self, reach: Reach) -> PostgresTenantPlan {
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
        self.keep_out(&reach.databases, &reach.planned);
        self.only_by_level(&reach.databases);
        self.settle();
        self.outsiders();
        if !self.plan.steps.is_empty() {
            self.plan.after = reach.after;
        }
        let mut plan = self.finish();
        if plan.steps.is_empty() && plan.refusal.is_none() {
            plan.change = TenantChange::Unchanged;
        }
        plan
    }

    /// Opens the databases to it.
    fn open_databases(&mut self, databases: &BTreeSet<String>) {
        let owner = self.owner();
        let granted =
            |name: &String| self.shared.databases.get(name).is_some_and(|found| found.grants(&owner, "CONNECT"));
        let closed: Vec<String> = databases.iter().filter(|name| !granted(name)).cloned().collect();
        for database in closed {
            let (connect, visitors) = (Vec::new(), vec![owner.clone()]);
            let step = PostgresStep::Isolate { database, public: false, connect, visitors, create: None };
            self.push(step, "declared in `access`");
        }
        if self.tenant.applied.databases.is_empty() {
            self.let_into_the_servers_own();
        }
    }

    /// Without a database of a tenant's it logs in to the server's own.
    fn let_into_the_servers_own(&mut self) {
        let (database, login) = (self.database_name(), self.owner());
        let Some(found) = self.shared.databases.get(&database) else { return };
        if found.grants(&login, "CONNECT") || found.lets_everyone_in() {
            return;
        }
        if let Some(taking) = Taking::of_door(self.shared, found) {
            let step = PostgresStep::Admit { database, login, taking: taking.clone() };
            return self.take(step, "its credential is for it".to_owned(), &taking);
        }
        let grantor = self.shared.grantor();
        let statement = format!("GRANT CONNECT ON DATABASE {} TO {grantor} WITH GRANT OPTION", name(&database));
        let message = format!("database `{database}` is closed, and this administrator can't open it to `{login}`");
        let hint = format!("list a database in `databases`, or as a superuser run: {statement}");
        self.plan.refusal = Some(Refusal::new(RefusalKind::Policy, message).hint(hint));
        self.plan.steps.clear();
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
                self.plan.conditions.push(Condition { kind: "OwnedByOthers", message });
            }
        }
    }

    /// Closes the databases of tenants that it should not get into.
    fn keep_out(&mut self, databases: &BTreeSet<String>, planned: &BTreeSet<Claim>) {
        let owner = self.owner();
        let Some(ledger) = &self.observed.ledger else { return };
        let others = ledger.tenants.values().filter(|row| !planned.contains(&row.claim));
        let granted = others.map(|row| &row.database).filter(|name| {
            let found = self.shared.databases.get(*name);
            found.is_some_and(|found| found.grants(&owner, "CONNECT")) && !databases.contains(*name)
        });
        let granted: Vec<String> = granted.cloned().collect();
        for database in granted {
            let step = PostgresStep::Dismiss { database, visitors: vec![owner.clone()], grantors: Vec::new() };
            self.plan.push(Task::Engine(step), "nothing declares it", Risk::Safe, Actor::Estate);
        }
    }
}
