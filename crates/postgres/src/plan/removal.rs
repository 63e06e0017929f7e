//! What it takes to remove a tenant, as far as the policies say that the ledger recorded when it was last applied.

use tenantdb_api::tenant_database::{DeletionPolicy, DeletionProtection};
use tenantdb_core::{Actor, Claim, CredentialStep, PlaceView, Refusal, RefusalKind, Risk, Task, TenantChange};

use super::{PostgresTenantPlan, empty, refused};
use crate::ledger::{Phase, TenantRow};
use crate::observe::Observed;
use crate::step::PostgresStep;

/// Plans the removal of one tenant.
pub(super) fn plan(claim: &Claim, observed: &Observed, place: &PlaceView) -> PostgresTenantPlan {
    let Some(row) = super::row(observed, claim) else {
        let refusal = Refusal::new(RefusalKind::Conflict, "the server's ledger does not know it")
            .hint("`tenantdb status` lists what the servers hold");
        return refused(claim, "", refusal);
    };
    if row.phase == Phase::Orphaned {
        return empty(claim, &row.database);
    }
    if row.phase != Phase::Deleting && row.applied.deletion_protection == DeletionProtection::On {
        let refusal = Refusal::new(RefusalKind::Protection, "it is protected from deletion")
            .hint("set `deletionProtection: false` in its declaration, apply that, and delete it then");
        return refused(claim, &row.database, refusal);
    }
    if let Some(refusal) = another_database(row, observed) {
        return refused(claim, &row.database, refusal);
    }
    Removal { row, observed, place, plan: empty(claim, &row.database) }.plan()
}

/// What is destroyed must be what was made.
fn another_database(row: &TenantRow, observed: &Observed) -> Option<Refusal> {
    let Some(found) = observed.shared.databases.get(&row.database) else { return super::renamed(row, observed) };
    let oid = row.database_oid?;
    (found.oid != oid).then(|| {
        Refusal::new(
            RefusalKind::Conflict,
            format!("database `{}` is not the one that tenantdb made (OID {}, not {oid})", row.database, found.oid),
        )
        .hint("someone dropped or renamed it and made another; rename that one, and run it again")
    })
}

struct Removal<'a> {
    row: &'a TenantRow,
    observed: &'a Observed,
    place: &'a PlaceView,
    plan: PostgresTenantPlan,
}

impl Removal<'_> {
    fn plan(mut self) -> PostgresTenantPlan {
        let policies = (self.row.applied.db_deletion_policy, self.row.applied.role_deletion_policy);
        self.plan.change = TenantChange::Delete;
        match policies {
            (DeletionPolicy::Orphan, DeletionPolicy::Orphan) => {
                self.record(PostgresStep::RecordOrphan { database: true, logins: true });
            }
            (DeletionPolicy::Delete, DeletionPolicy::Delete) => {
                self.begin();
                self.drop_database();
                let roles = self.logins().into_iter().chain([self.row.owner.clone()]).collect();
                self.drop_roles(roles);
                self.record(PostgresStep::Forget);
            }
            (DeletionPolicy::Orphan, DeletionPolicy::Delete) => {
                self.begin();
                self.empty_slots();
                self.drop_roles(self.logins());
                self.record(PostgresStep::RecordOrphan { database: true, logins: false });
            }
            (DeletionPolicy::Delete, DeletionPolicy::Orphan) => {
                self.begin();
                self.drop_database();
                for role in self.logins() {
                    self.destroy(PostgresStep::DisableLogin { role });
                }
                self.record(PostgresStep::RecordOrphan { database: false, logins: false });
            }
        }
        self.plan
    }

    fn logins(&self) -> Vec<String> {
        let slots = self.row.slots.values().map(|slot| slot.role.clone());
        slots.filter(|role| self.observed.shared.roles.contains_key(role)).collect()
    }

    fn record(&mut self, step: PostgresStep) {
        self.plan.push(Task::Engine(step), "deleted, as its policies say", Risk::Safe, Actor::Estate);
    }

    fn destroy(&mut self, step: PostgresStep) {
        self.plan.push(Task::Engine(step), "deleted, as its policies say", Risk::Destructive, Actor::Estate);
    }

    /// Notes the deletion, and takes the credential away before it stops working.
    fn begin(&mut self) {
        self.destroy(PostgresStep::RecordDeletion);
        let Some(delivery) = self.row.deliveries.last() else { return };
        let here = delivery.delivered.place == self.place.id;
        if !here {
            self.plan.conditions.push(tenantdb_core::Condition {
                kind: "CredentialElsewhere",
                message: format!("its credential stays in {}, and no longer logs in", delivery.delivered.location),
            });
            return;
        }
        let claim = &self.row.claim;
        self.plan.delivery = self.delivery();
        if self.plan.delivery.is_some() {
            let location = self.place.locations.get(claim).cloned().unwrap_or_default();
            let step = CredentialStep::Withdraw { location };
            self.plan.push(Task::Credential(step), "deleted, as its policies say", Risk::Destructive, Actor::Place);
        }
    }

    fn delivery(&self) -> Option<tenantdb_core::Delivery> {
        self.place.deliveries.get(&self.row.claim).cloned()
    }

    fn drop_database(&mut self) {
        let database = self.row.database.clone();
        if !self.observed.shared.databases.contains_key(&database) {
            return;
        }
        let options = self.observed.shared.has_membership_options();
        self.destroy(PostgresStep::CloseDatabase { database: database.clone() });
        let own = self.logins();
        self.destroy(PostgresStep::EndSessions { database: database.clone(), own, strangers: Vec::new(), options });
        self.destroy(PostgresStep::DropDatabase { database });
    }

    fn empty_slots(&mut self) {
        if !self.observed.shared.databases.contains_key(&self.row.database) {
            return;
        }
        let options = self.observed.shared.has_membership_options();
        let (database, owner) = (self.row.database.clone(), self.row.owner.clone());
        for role in self.logins() {
            self.destroy(PostgresStep::DisableLogin { role });
        }
        let own = self.logins();
        self.destroy(PostgresStep::EndSessions { database: database.clone(), own, strangers: Vec::new(), options });
        for role in self.logins() {
            let (database, owner) = (database.clone(), owner.clone());
            self.destroy(PostgresStep::EmptySlot { role, owner, database, options });
        }
    }

    fn drop_roles(&mut self, roles: Vec<String>) {
        let roles: Vec<String> =
            roles.into_iter().filter(|role| self.observed.shared.roles.contains_key(role)).collect();
        if !roles.is_empty() {
            self.destroy(PostgresStep::DropRoles { roles });
        }
    }
}
