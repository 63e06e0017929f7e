//! PostgreSQL as an [`Engine`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tenantdb_api::tenant_database::DeletionProtection;
use tenantdb_api::{DatabaseServer, Namespace, ObjectName, SqlName};
use tenantdb_core::reach::{AdminLogin, Way};
use tenantdb_core::{
    AuditEntry, Authority, Claim, Condition, Declarations, Delivered, Delivery, Depth, Engine, Failure, FailureKind,
    Fault, Interrupt, Inventory, Login, Origin, PlaceView, Plan, Recorded, Request, Task, TenantPlan, TenantSummary,
    Turns, Unusable, Vitals, Writer,
};

use crate::apply::{self, Hold, Locks};
use crate::bootstrap::{self, BootstrapStep};
use crate::connect::Connections;
use crate::desired::Desired;
use crate::ledger::{Ledger, TenantRow};
use crate::observe::{self, Observed};
use crate::probe::Probes;
use crate::step::PostgresStep;
use crate::{init, plan, script};

/// How long to wait for someone who works on a tenant, unless somebody says otherwise.
const PATIENCE: Duration = Duration::from_mins(2);

/// A PostgreSQL server, with all the connections to it.
pub struct Postgres {
    name: ObjectName,
    pub(crate) connections: Arc<Connections>,
    locks: Locks,
    probes: Probes,
}

impl Postgres {
    /// What it takes to make the server ready for this administrator: our own login has to be a superuser's. The logins
    /// of `connect_for` keep access to the server's own databases, which are closed to everyone else.
    ///
    /// # Errors
    /// When the server can't be looked at, our login is no superuser's, or the administrator's is a tenant's or our own.
    pub async fn plan_bootstrap(
        &self,
        admin: &AdminLogin,
        connect_for: &[SqlName],
    ) -> Result<Plan<BootstrapStep>, Failure> {
        let planned = async {
            let maintenance = self.connections.maintenance().await?;
            let shared = observe::read_shared(&maintenance).await;
            maintenance.close().await;
            let observed = self.with_ledger(shared?).await?;
            let logs_in = match observed.shared.roles.get(&admin.username) {
                Some(role) if role.login => self.connections.lets_admin_in(admin).await?,
                _ => false,
            };
            let connect_for: Vec<String> = connect_for.iter().map(ToString::to_string).collect();
            let wanted = bootstrap::Wanted { admin: &admin.username, logs_in, connect_for: &connect_for };
            bootstrap::plan(&self.name, &wanted, &observed)
        };
        planned.await.map_err(|failure| self.at(failure))
    }

    /// Carries that out, all of it or nothing.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn bootstrap(&self, plan: &Plan<BootstrapStep>, admin: &AdminLogin) -> Result<(), Failure> {
        let done = async {
            let session = self.connections.maintenance().await?;
            let done = apply::bootstrap(&self.connections, &session, plan, admin).await;
            session.close().await;
            done
        };
        done.await.map_err(|failure| self.at(failure))
    }

    /// What the server still needs before its first tenant.
    #[must_use]
    pub fn preparation(observed: &Observed) -> Vec<PostgresStep> {
        let steps = plan::preparation(observed).into_iter();
        steps.filter_map(|step| if let Task::Engine(step) = step.task { Some(step) } else { None }).collect()
    }

    fn at(&self, failure: Failure) -> Failure {
        failure.within(format!("server {} ({})", self.name, self.connections.address()))
    }
}

/// Every tenant that a ledger knows.
fn rows(observed: &Observed) -> impl Iterator<Item = &TenantRow> {
    observed.ledger.iter().flat_map(|ledger| ledger.tenants.values().chain(ledger.accounts.values()))
}

/// Whether what a claim is about is on the server.
fn is_present(row: &TenantRow, observed: &Observed) -> bool {
    let Observed { shared, ledger, .. } = observed;
    let is_account = ledger.as_ref().is_some_and(|ledger| ledger.accounts.contains_key(&row.claim));
    if is_account { shared.roles.contains_key(&row.owner) } else { shared.databases.contains_key(&row.database) }
}

impl Engine for Postgres {
    type Step = PostgresStep;
    type Desired = Desired;
    type Observed = Observed;
    type Hold = Hold;

    const NAME: &'static str = "PostgreSQL";
    /// PostgreSQL documentation, 34.1.1.2.
    const SCHEME: &'static str = "postgresql";

    fn open(name: ObjectName, way: Way, budget: usize, patience: Option<Duration>, writer: Writer) -> Self {
        let connections = Arc::new(Connections::new(way, budget, writer));
        Self { name, connections, locks: Locks::new(patience.unwrap_or(PATIENCE)), probes: Probes::default() }
    }

    fn server(&self) -> &ObjectName {
        &self.name
    }

    fn turns(&self) -> Turns {
        Turns::new(self.connections.workers())
    }

    async fn close(&self) {
        self.locks.close().await;
        self.connections.close_idle().await;
    }

    async fn end_sessions_of(&self, writer: &str) -> Result<usize, Failure> {
        let ended = async {
            let session = self.connections.maintenance().await?;
            let ended = apply::end_sessions(&session, writer).await;
            session.close().await;
            ended
        };
        ended.await.map_err(|failure| self.at(failure))
    }

    fn resolve(
        declarations: Declarations<'_>,
        admin: &str,
        recorded: &Recorded,
        request: Request,
    ) -> (Desired, BTreeMap<Claim, Unusable>) {
        Desired::resolve(declarations, admin, recorded, request)
    }

    fn faults(script: &str) -> Vec<Fault> {
        init::faults(script)
    }

    fn only(desired: &Desired, claims: &BTreeSet<Claim>) -> Desired {
        desired.only(claims)
    }

    fn newcomers(desired: &Desired, observed: &Observed) -> BTreeSet<Claim> {
        desired.newcomers(observed)
    }

    async fn observe(&self, desired: &Desired, depth: Depth) -> Result<Observed, Failure> {
        self.look(desired, depth).await.map_err(|failure| self.at(failure))
    }

    fn version(observed: &Observed) -> String {
        observed.shared.version.to_string()
    }

    fn ledger(observed: &Observed) -> Option<&str> {
        observed.ledger.as_ref().map(|ledger| ledger.id.as_str())
    }

    fn inventory(observed: &Observed) -> Inventory {
        let summaries = rows(observed).map(|row| TenantSummary {
            claim: row.claim.clone(),
            database: row.database.clone(),
            owner: row.owner.clone(),
            present: is_present(row, observed),
            phase: row.phase,
            protected: row.applied.deletion_protection == DeletionProtection::On,
            delivered: row.deliveries.last().map(|delivery| delivery.delivered.location.clone()),
            origin: row.origin.clone(),
        });
        summaries.collect()
    }

    fn is_restored(observed: &Observed) -> bool {
        observed.is_restored()
    }

    fn trusts(observed: &Observed, extension: &str, version: Option<&str>) -> Option<bool> {
        observed.trusts(extension, version)
    }

    async fn vitals(&self, observed: &Observed) -> Result<BTreeMap<Claim, Vitals>, Failure> {
        let Some(ledger) = &observed.ledger else { return Ok(BTreeMap::new()) };
        let vitals = async { observe::read_vitals(&*self.connections.ledger().await?, ledger).await };
        vitals.await.map_err(|failure| self.at(failure))
    }

    async fn history(
        &self,
        observed: &Observed,
        namespace: &Namespace,
        name: &ObjectName,
    ) -> Result<Vec<AuditEntry>, Failure> {
        if observed.ledger.is_none() {
            return Ok(Vec::new());
        }
        let history = async { observe::read_history(&*self.connections.ledger().await?, namespace, name).await };
        history.await.map_err(|failure| self.at(failure))
    }

    fn deliveries(desired: &Desired, observed: &Observed) -> BTreeMap<Claim, Delivery> {
        plan::deliveries(desired, observed)
    }

    fn doubtful(desired: &Desired, observed: &Observed, place: &PlaceView) -> BTreeSet<Claim> {
        plan::doubtful(desired, observed, place)
    }

    async fn try_login(&self, delivery: &Delivery, login: &Login) -> Result<bool, Failure> {
        let tried = match self.connections.lets_in(delivery.database.as_str(), login).await {
            // Whoever locks its database keeps it from answering; the look inside tells that.
            Err(failure) if failure.kind == FailureKind::Unreachable => self.connections.answers().await.map(|()| true),
            tried => tried,
        };
        tried.map_err(|failure| self.at(failure))
    }

    fn plan(desired: &Desired, observed: &Observed, place: &PlaceView) -> Plan<PostgresStep> {
        plan::plan(desired, observed, place)
    }

    fn script(plan: &Plan<PostgresStep>, observed: &Observed, server: &DatabaseServer) -> String {
        let admin = server.spec.admin.as_ref();
        let maintenance = admin.map_or("postgres", |admin| admin.maintenance_database.as_str());
        script::script(plan, observed, maintenance)
    }

    async fn prepare(&self, steps: &[PostgresStep]) -> Result<(), Failure> {
        apply::prepare(&self.connections, steps).await.map_err(|failure| self.at(failure))
    }

    async fn hold(
        &self,
        tenant: &TenantPlan<PostgresStep>,
        observed: &Observed,
        interrupt: &Interrupt,
    ) -> Result<Hold, Failure> {
        let row = apply::row(tenant, observed);
        let lock = self.locks.take(&self.connections, &tenant.database, interrupt).await;
        Ok(Hold {
            claim: tenant.claim.clone(),
            lock: lock.map_err(|failure| self.at(failure))?,
            database: tenant.database.clone(),
            owner: apply::owner(tenant, observed),
            id: row.map(|row| row.id),
            epoch: row.map_or(0, |row| row.epoch),
            options: observed.shared.has_membership_options(),
        })
    }

    async fn carry_out(
        &self,
        hold: &mut Hold,
        steps: &[&PostgresStep],
        login: Option<&Login>,
    ) -> Result<usize, Failure> {
        let done = apply::carry_out(&self.connections, hold, steps, login).await;
        done.map_err(|failure| self.at(failure))
    }

    async fn probe(&self, delivery: &Delivery, login: &Login) -> Result<Vec<Condition>, Failure> {
        self.probes.everywhere(&self.connections, delivery, login).await.map_err(|failure| self.at(failure))
    }

    async fn flush(&self) -> Result<(), Failure> {
        let flushed = async { apply::flush(&*self.connections.ledger().await?).await };
        flushed.await.map_err(|failure| self.at(failure))
    }

    async fn release(&self, hold: Hold) {
        hold.lock.release().await;
    }

    async fn ledger_id(&self) -> Result<Option<String>, Failure> {
        let id = async { Ledger::read_id(&*self.connections.ledger().await?).await };
        id.await.map_err(|failure| self.at(failure))
    }

    /// One statement for all, and none when there is nobody.
    async fn remember(&self, desired: &Desired, observed: &Observed) -> Result<(), Failure> {
        let seen = plan::seen(desired, observed);
        if seen.is_empty() {
            return Ok(());
        }
        let noted = async { apply::note_sightings(&*self.connections.ledger().await?, &seen).await };
        noted.await.map_err(|failure| self.at(failure))
    }

    fn delivered(desired: &Desired, observed: &Observed, of: &Authority) -> Vec<(Delivery, Delivered)> {
        let theirs = rows(observed).filter(|row| row.claim.authority == *of);
        theirs.filter_map(|row| plan::delivered(row, desired)).collect()
    }

    async fn take_over(
        &self,
        from: &Authority,
        to: &Authority,
        forgotten: &BTreeSet<Claim>,
        origins: Option<&BTreeMap<Claim, Origin>>,
    ) -> Result<(), Failure> {
        let taken = async {
            apply::upgrade_tables(&self.connections).await?;
            apply::take_over(&*self.connections.ledger().await?, from, to, forgotten, origins).await
        };
        taken.await.map_err(|failure| self.at(failure))
    }

    async fn accept_ledger(&self) -> Result<(), Failure> {
        let accepted = async { apply::accept_ledger(&*self.connections.ledger().await?).await };
        accepted.await.map_err(|failure| self.at(failure))
    }
}
