//! What it takes to remove a tenant, as far as the policies say that the ledger recorded when it was last applied.

use std::collections::BTreeSet;

use tenantdb_api::tenant_database::{DeletionPolicy, DeletionProtection};
use tenantdb_core::{
    Actor, Claim, Condition, CredentialStep, Generation, Held, Origin, Phase, PlaceView, Refusal, RefusalKind, Removal,
    Risk, Task, TenantChange, Version,
};

use super::{PostgresTenantPlan, departure, empty, refused};
use crate::ledger::{self, Applied, TenantRow};
use crate::notes;
use crate::observe::{Database, Observed, Tie};
use crate::ownership;
use crate::sql::name;
use crate::step::{ContentStep, DatabaseStep, LedgerStep, LevelStep, LoginStep, PostgresStep, RoleStep, SessionStep};
use crate::trap::Trap;
use crate::{ESTATE, Taking};

/// Plans the removal of one tenant.
pub(super) fn plan(
    claim: &Claim,
    why: Removal,
    origin: Option<&Origin>,
    observed: &Observed,
    place: &PlaceView,
) -> PostgresTenantPlan {
    let Some(row) = super::row(observed, claim) else { return unknown(claim, observed) };
    if why == Removal::Vanished && row.is_strangers(origin) {
        return already_gone(claim);
    }
    match why {
        Removal::Purged => return purge(row, observed, place),
        Removal::TakenOver => return remove(row, why, observed, place),
        Removal::Lost if row.phase != Phase::Orphaned && !never_made(row) => {
            return leave_behind(row, why, observed, place);
        }
        Removal::Asked | Removal::Vanished | Removal::Lost | Removal::Undeclared | Removal::Withdrawn => {}
    }
    if row.phase == Phase::Orphaned {
        let message = format!(
            "it was deleted before, and its policies left it behind; to remove it for good: tenantdb orphans --purge {} \
             -n {}",
            claim.name, claim.namespace
        );
        let conditions = vec![Condition { kind: &notes::LEFT_BEHIND, message }];
        return PostgresTenantPlan { conditions, ..empty(claim, &row.database) };
    }
    let protects = row.phase != Phase::Deleting && !never_made(row) && why != Removal::Withdrawn;
    if protects && row.applied.deletion_protection == DeletionProtection::On {
        if why == Removal::Vanished {
            return leave_behind(row, why, observed, place);
        }
        return refused(claim, &row.database, protection(why));
    }
    remove(row, why, observed, place)
}

fn remove(row: &TenantRow, why: Removal, observed: &Observed, place: &PlaceView) -> PostgresTenantPlan {
    let claim = &row.claim;
    let other = || (!ledger::is_account(claim)).then(|| another_database(row, observed)).flatten();
    // Whatever stays has to be gone into.
    let stays = row.applied.db_deletion_policy == DeletionPolicy::Orphan;
    let trap = || Trap::at_login(&observed.shared, &row.database).filter(|_| stays).map(|trap| trap.refusal());
    let refusal = super::incomplete(row).or_else(other).or_else(trap);
    let roles_go = why.goes_alone() || row.applied.role_deletion_policy == DeletionPolicy::Delete;
    let tied = || tied_elsewhere(row, observed).filter(|_| roles_go);
    let refusal = refusal.or_else(tied).or_else(|| departure::obstructed(row, roles_go, observed));
    if let Some(refusal) = refusal {
        return refused(claim, &row.database, refusal);
    }
    Planner { row, why, observed, place, plan: empty(claim, &row.database) }.plan()
}

/// Leaves what was protected as it is, whatever its policies say.
fn leave_behind(row: &TenantRow, why: Removal, observed: &Observed, place: &PlaceView) -> PostgresTenantPlan {
    let (db_deletion_policy, role_deletion_policy) = (DeletionPolicy::Orphan, DeletionPolicy::Orphan);
    let applied = Applied { db_deletion_policy, role_deletion_policy, ..row.applied.clone() };
    remove(&TenantRow { applied, ..row.clone() }, why, observed, place)
}

/// Removes what a deletion left behind. No policy of its declaration counts any more, which is gone.
fn purge(row: &TenantRow, observed: &Observed, place: &PlaceView) -> PostgresTenantPlan {
    let applied = Applied {
        deletion_protection: DeletionProtection::Off,
        db_deletion_policy: DeletionPolicy::Delete,
        role_deletion_policy: DeletionPolicy::Delete,
        ..row.applied.clone()
    };
    let begun = row.phase == Phase::Deleting && row.applied == applied;
    if row.phase != Phase::Orphaned && !begun {
        let refusal = Refusal::new(RefusalKind::Conflict, "it is no orphan");
        return refused(&row.claim, &row.database, refusal.hint("`tenantdb delete` is for what is declared"));
    }
    remove(&TenantRow { applied, ..row.clone() }, Removal::Purged, observed, place)
}

fn protection(why: Removal) -> Refusal {
    let (message, hint) = match why {
        Removal::Asked | Removal::Vanished | Removal::Lost | Removal::Purged => (
            "it is protected from deletion",
            "set `deletionProtection: false` in its declaration, apply that, and delete it then",
        ),
        Removal::Undeclared => (
            "it is no longer declared, and protected from deletion",
            "declare it again; to remove it, apply it with `deletionProtection: false` first",
        ),
        // What was let into a database is protected by nothing but its declaration.
        Removal::Withdrawn | Removal::TakenOver => ("`access` has it no more", "list it again"),
    };
    Refusal::new(RefusalKind::Protection, message).hint(hint)
}

/// Nothing of it is on the server, unless another project declared the same.
fn unknown(claim: &Claim, observed: &Observed) -> PostgresTenantPlan {
    let same = |other: &&Claim| other.kind == claim.kind && other.path() == claim.path();
    let all = observed.ledger.iter().flat_map(|ledger| ledger.tenants.keys().chain(ledger.accounts.keys()));
    if let Some(other) = all.into_iter().find(same) {
        let refusal = Refusal::new(RefusalKind::Conflict, format!("it is {other}, and not yours"))
            .hint("delete it from the folder or the home that declared it");
        return refused(claim, "", refusal);
    }
    already_gone(claim)
}

fn already_gone(claim: &Claim) -> PostgresTenantPlan {
    let message = "nothing of it is on the server".to_owned();
    PostgresTenantPlan { conditions: vec![Condition { kind: &notes::ALREADY_GONE, message }], ..empty(claim, "") }
}

/// Whether its creation broke off before it had roles: then nobody was ever in, and there is nothing to protect or to
/// keep. The roles are made in the transaction that tells the ledger of the first credential's generation.
fn never_made(row: &TenantRow) -> bool {
    let issued = row.slots.values().any(|slot| slot.generation > Generation::default());
    row.phase == Phase::Claimed && row.database_oid.is_none() && !issued
}

/// What is destroyed must be what was made.
fn another_database(row: &TenantRow, observed: &Observed) -> Option<Refusal> {
    let Some(found) = observed.shared.databases.get(&row.database) else { return super::renamed(row, observed) };
    row.database_oid?;
    super::replaced(row, found, observed)
        .or_else(|| ownership::database_out_of_reach(&observed.shared, &row.database, found))
}

struct Planner<'a> {
    row: &'a TenantRow,
    why: Removal,
    observed: &'a Observed,
    place: &'a PlaceView,
    plan: PostgresTenantPlan,
}

impl Planner<'_> {
    fn plan(mut self) -> PostgresTenantPlan {
        if never_made(self.row) {
            self.plan.change = TenantChange::Delete;
            self.drop_database();
            self.record(LedgerStep::Forget);
            return self.plan;
        }
        if ledger::is_account(&self.row.claim) {
            return self.account();
        }
        let policies = (self.row.applied.db_deletion_policy, self.row.applied.role_deletion_policy);
        self.plan.change = match policies.0 {
            DeletionPolicy::Delete => TenantChange::Delete,
            DeletionPolicy::Orphan => TenantChange::Orphan,
        };
        match policies {
            (DeletionPolicy::Orphan, DeletionPolicy::Orphan) => {
                self.record(LedgerStep::RecordOrphan { database: true, logins: true });
            }
            (DeletionPolicy::Delete, DeletionPolicy::Delete) => {
                self.begin();
                self.drop_database();
                let roles = self.slots().into_iter().chain([self.row.owner.clone()]);
                self.drop_roles(roles.chain(self.row.levels.clone()).collect());
                self.record(LedgerStep::Forget);
            }
            (DeletionPolicy::Orphan, DeletionPolicy::Delete) => {
                self.begin();
                self.empty_slots();
                self.drop_roles(self.slots());
                self.drop_levels();
                self.record(LedgerStep::RecordOrphan { database: true, logins: false });
            }
            (DeletionPolicy::Delete, DeletionPolicy::Orphan) => {
                self.begin();
                self.drop_database();
                for role in self.logins() {
                    self.destroy(LoginStep::DisableLogin { role });
                }
                self.record(LedgerStep::RecordOrphan { database: false, logins: false });
            }
        }
        self.plan
    }

    /// An account has no database: its logins go, or stay without their right to log in where their database goes.
    fn account(mut self) -> PostgresTenantPlan {
        let policies = (self.row.applied.db_deletion_policy, self.row.applied.role_deletion_policy);
        let is_further = self.row.claim.access.is_some();
        let goes = self.why.goes_alone() || policies.1 == DeletionPolicy::Delete;
        self.plan.change = if goes { TenantChange::Delete } else { TenantChange::Orphan };
        if goes {
            self.begin();
            self.shut_out();
            let roles = self.slots().into_iter().chain([self.row.owner.clone()]).collect();
            self.drop_roles(roles);
            self.record(LedgerStep::Forget);
        } else if is_further && policies.0 == DeletionPolicy::Delete {
            self.begin();
            self.shut_out();
            self.record(LedgerStep::RecordOrphan { database: false, logins: false });
        } else {
            self.record(LedgerStep::RecordOrphan { database: true, logins: true });
        }
        self.plan
    }

    /// Keeps an account's logins out of every database, and ends their sessions.
    fn shut_out(&mut self) {
        for role in self.logins() {
            self.destroy(LoginStep::DisableLogin { role });
        }
        let logins: BTreeSet<String> = self.logins().into_iter().collect();
        let roles: Vec<&String> = logins.iter().chain([&self.row.owner]).collect();
        let mut steps: Vec<PostgresStep> = Vec::new();
        for (name, found) in &self.observed.shared.databases {
            if found.sessions.keys().any(|login| logins.contains(login)) {
                let ended = SessionStep::EndSessions {
                    database: name.clone(),
                    own: logins.iter().cloned().collect(),
                    strangers: Vec::new(),
                    outsiders: Vec::new(),
                    options: self.observed.shared.has_membership_options(),
                };
                steps.push(ended.into());
            }
            let let_in = roles.iter().filter(|role| found.grants(role, "CONNECT")).map(|role| (*role).clone());
            let visitors: Vec<String> = let_in.collect();
            if !visitors.is_empty() {
                let dismissed = DatabaseStep::Dismiss { database: name.clone(), visitors, grantors: Vec::new() };
                steps.push(dismissed.into());
            }
        }
        for step in steps {
            self.destroy(step);
        }
    }

    /// Removes what carried others' privileges in a database that stays.
    fn drop_levels(&mut self) {
        let roles: Vec<String> = self.row.levels.iter().filter(|role| self.made(role)).cloned().collect();
        if roles.is_empty() {
            return;
        }
        if self.database().is_some_and(|found| !found.invalid()) {
            let (owner, options) = (self.row.owner.clone(), self.observed.shared.has_membership_options());
            self.destroy(LevelStep::EmptyLevels { roles: roles.clone(), owner, options });
        }
        self.untie(&roles);
        self.destroy(LevelStep::DropLevels { roles });
    }

    fn untie(&mut self, roles: &[String]) {
        for step in departure::untie(roles, self.row, self.observed) {
            self.destroy(step);
        }
    }

    /// Its database, if it is there and ours. Before the ledger knows which one is, somebody else may have made it.
    fn database(&self) -> Option<&Database> {
        let found = self.observed.shared.databases.get(&self.row.database)?;
        (self.row.database_oid.is_some() || super::half_made(found, self.observed)).then_some(found)
    }

    /// What logs in.
    fn logins(&self) -> Vec<String> {
        let slots = self.row.slots.values().map(|slot| slot.role.clone());
        slots.filter(|role| self.made(role)).collect()
    }

    /// What logs in and is not the tenant's role itself.
    fn slots(&self) -> Vec<String> {
        self.logins().into_iter().filter(|role| *role != self.row.owner).collect()
    }

    /// Whether a role is there and ours.
    fn made(&self, role: &String) -> bool {
        !never_made(self.row) && self.observed.shared.roles.contains_key(role)
    }

    fn reason(&self) -> &'static str {
        match self.why {
            Removal::Asked => "deleted, as its policies say",
            Removal::Vanished => "its declaration is gone",
            Removal::Lost => "its declaration is gone, and was not deleted as it is done",
            Removal::Undeclared => "no longer declared, as its policies say",
            Removal::Withdrawn => "no longer in its database's `access`",
            Removal::TakenOver => "its database is taken over",
            Removal::Purged => "left behind, and removed for good",
        }
    }

    /// What nobody named is asked about, also when nothing is lost.
    fn record(&mut self, step: impl Into<PostgresStep>) {
        let risk = if self.why == Removal::Undeclared { Risk::Disruptive } else { Risk::Safe };
        self.plan.push(Task::Engine(step.into()), self.reason(), risk, Actor::Estate);
    }

    fn destroy(&mut self, step: impl Into<PostgresStep>) {
        self.plan.push(Task::Engine(step.into()), self.reason(), self.risk(), Actor::Estate);
    }

    /// A login that its database's declaration withdrew takes no data along.
    fn risk(&self) -> Risk {
        if self.why.goes_alone() { Risk::Disruptive } else { Risk::Destructive }
    }

    /// Notes the deletion, and takes the credential away before it stops working.
    fn begin(&mut self) {
        let overruled = (self.why == Removal::Purged).then(|| Box::new(self.row.applied.clone()));
        self.destroy(LedgerStep::RecordDeletion { overruled });
        let Some(delivery) = self.row.deliveries.last() else { return };
        let here = delivery.delivered.place == self.place.id;
        if !here {
            self.plan.conditions.push(Condition {
                kind: &notes::CREDENTIAL_ELSEWHERE,
                message: format!("its credential stays in {}, and no longer logs in", delivery.delivered.location),
            });
            return;
        }
        let claim = &self.row.claim;
        if let Some(Ok(Held::Foreign { what, .. })) = self.place.held.get(claim) {
            let message = format!("{what}, and stays; it no longer logs in");
            self.plan.conditions.push(Condition { kind: &notes::CREDENTIAL_ELSEWHERE, message });
            return;
        }
        self.plan.delivery = self.delivery();
        let nothing = match self.place.held.get(claim) {
            Some(Ok(Held::Nothing { version })) => *version == Version::default(),
            Some(Ok(Held::Awaited { .. })) => true,
            _ => false,
        };
        if self.plan.delivery.is_some() && !nothing {
            let location = self.place.locations.get(claim).cloned().unwrap_or_default();
            let step = CredentialStep::Withdraw { location };
            self.plan.push(Task::Credential(step), self.reason(), self.risk(), Actor::Place);
        }
    }

    fn delivery(&self) -> Option<tenantdb_core::Delivery> {
        self.place.deliveries.get(&self.row.claim).cloned()
    }

    fn drop_database(&mut self) {
        let database = self.row.database.clone();
        let Some(found) = self.database() else { return };
        let (owner, invalid, is_template) = (found.owner.clone(), found.invalid(), found.is_template);
        let strangers = self.observed.others(found, &self.row.claim);
        let outsiders = if self.observed.shared.admin().superuser {
            departure::outsiders(found, self.observed).cloned().collect()
        } else {
            Vec::new()
        };
        if owner != ESTATE
            && let Some(taking) = Taking::of(&self.observed.shared, &owner)
        {
            self.destroy(DatabaseStep::OwnDatabase { database: database.clone(), taking });
        }
        if is_template {
            self.destroy(DatabaseStep::UnmarkTemplate { database: database.clone() });
        }
        // One whose deletion broke off at the server can only be dropped, and nobody is in it.
        if !invalid {
            let options = self.observed.shared.has_membership_options();
            self.destroy(DatabaseStep::CloseDatabase { database: database.clone() });
            let own = self.logins();
            if !(own.is_empty() && strangers.is_empty() && outsiders.is_empty()) {
                let database = database.clone();
                self.destroy(SessionStep::EndSessions { database, own, strangers, outsiders, options });
            }
        }
        self.destroy(DatabaseStep::DropDatabase { database });
    }

    fn empty_slots(&mut self) {
        if self.database().is_none_or(Database::invalid) {
            return;
        }
        let options = self.observed.shared.has_membership_options();
        let (database, owner) = (self.row.database.clone(), self.row.owner.clone());
        for role in self.logins() {
            self.destroy(LoginStep::DisableLogin { role });
        }
        let own = self.logins();
        if !own.is_empty() {
            let database = database.clone();
            self.destroy(SessionStep::EndSessions {
                database,
                own,
                strangers: Vec::new(),
                outsiders: Vec::new(),
                options,
            });
        }
        for role in self.slots() {
            let (database, owner) = (database.clone(), owner.clone());
            self.destroy(ContentStep::EmptySlot { role, owner, database, stays: false, options });
        }
    }

    fn drop_roles(&mut self, roles: Vec<String>) {
        let roles: Vec<String> = roles.into_iter().filter(|role| self.made(role)).collect();
        if !roles.is_empty() {
            self.untie(&roles);
            self.destroy(RoleStep::DropRoles { roles });
        }
    }
}

/// Roles of it that can not be dropped before a superuser unties them.
fn tied_elsewhere(row: &TenantRow, observed: &Observed) -> Option<Refusal> {
    let stays = row.applied.db_deletion_policy == DeletionPolicy::Orphan;
    let roles = row.roles().into_iter().filter(|role| !(stays && **role == row.owner));
    let (role, (database, tie)) =
        roles.into_iter().find_map(|role| Some((role, departure::stuck(role, row, observed)?)))?;
    let (what, verb) = match tie {
        Tie::Owner => ("owns something", "REASSIGN OWNED BY … TO …"),
        Tie::Privileges => ("has privileges", "DROP OWNED BY …"),
    };
    let message = format!("its role `{role}` {what} in database `{database}`, which is not its own");
    let hint = format!("as a superuser run in database `{database}`: {}", verb.replacen('…', &name(role), 1));
    Some(Refusal::new(RefusalKind::Conflict, message).hint(hint))
}
