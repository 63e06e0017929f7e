//! One worker for each server: it gathers what has to be looked at, and runs one pass over all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tenantdb_api::{DatabaseServer, Declared, ObjectName, tenant_database};
use tenantdb_core::{
    Address, Authority, Claim, Condition, Depth, Engine as _, Failure, FailureKind, Interrupt, Plan, Refusal,
    RefusalKind, Step, TenantChange, TenantOutcome, TenantPlan,
};
use tenantdb_credentials::stores::secret::SecretPlace;
use tenantdb_postgres::{Desired, Observed, Postgres, PostgresStep, Recorded, allow};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::batch::Batch;
use crate::connect::{Connected, Way};
use crate::events::Events;
use crate::finalizer::Finalizers;
use crate::index::{Index, Look, Work};
use crate::object::{Key, Object, Tenant};
use crate::reference::Reader;
use crate::repeats::Repeats;
use crate::report::Reporter;
use crate::scripts;
use crate::serve::Health;
use crate::status::{self, Facts, Verdict};
use crate::writer::{StatusWriter, Target};

/// How long to wait for more, once something has to be looked at.
const GATHERING: Duration = Duration::from_millis(5);

/// How often all that a server has is looked at.
const ROUND: Duration = Duration::from_mins(10);

/// In how many of them all is looked at closely, with room for those that take long.
const ROUNDS_OF_A_DAY: usize = 120;

/// How long to wait after a failure, at first, and at most for a tenant and for a server.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);
const LONGEST_OF_SERVER: Duration = Duration::from_secs(15);

/// How long to wait after so many failures.
fn pause(failures: u32, longest: Duration) -> Duration {
    longest.min(FIRST * 2_u32.saturating_pow(failures.clamp(1, 10) - 1))
}

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) client: kube::Client,
    pub(crate) authority: Authority,
    pub(crate) place: Arc<SecretPlace>,
    pub(crate) index: Mutex<Index>,
    pub(crate) statuses: StatusWriter,
    pub(crate) events: Events,
    pub(crate) finalizers: Finalizers,
    pub(crate) health: Arc<Health>,
    pub(crate) interrupt: Interrupt,
}

impl Shared {
    /// Works on the index, which nobody holds for long.
    pub(crate) fn index<T>(&self, work: impl FnOnce(&mut Index) -> T) -> T {
        work(&mut self.index.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has a tenant's status written, if it says something new.
    pub(crate) fn tell(&self, key: &Key, tenant: &Tenant, verdict: &Verdict, facts: &Facts) {
        let before = &tenant.meta().status;
        let status = status::of_tenant(before, tenant.meta().generation, verdict, facts, Timestamp::now());
        if status != *before {
            let Key { kind, namespace, name } = key.clone();
            self.statuses.write(Target { kind, namespace: Some(namespace), name }, status);
        }
    }
}

/// The worker of one server.
pub(crate) struct Worker {
    name: ObjectName,
    shared: Arc<Shared>,
    wake: Arc<Notify>,
    /// The server as it was declared when it was connected to.
    connected: Option<(i64, Connected)>,
    /// The names that its ledger recorded.
    recorded: Option<Recorded>,
    /// Up to where all was looked at closely.
    closely: Option<Key>,
    /// What was done lately.
    repeats: Repeats,
    /// When to look again at what failed.
    again: BTreeMap<Key, (Instant, u32)>,
}

impl Worker {
    pub(crate) fn new(name: ObjectName, shared: Arc<Shared>, wake: Arc<Notify>) -> Self {
        Self {
            name,
            shared,
            wake,
            connected: None,
            recorded: None,
            closely: None,
            repeats: Repeats::default(),
            again: BTreeMap::new(),
        }
    }

    /// Works until somebody asks to stop; while the server is not declared there is nothing to do.
    pub(crate) async fn run(mut self) {
        let (mut round, mut failures) = (Instant::now() + self.jittered(ROUND), 0);
        while !self.shared.interrupt.is_set() {
            let next = self.again.values().map(|(at, _)| *at).chain([round]).min().unwrap_or(round);
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            tokio::time::sleep(GATHERING).await;
            let Some(server) = self.shared.index(|index| index.server(&self.name)) else {
                self.forget().await;
                round = Instant::now() + self.jittered(ROUND);
                continue;
            };
            let now = Instant::now();
            if now >= round {
                self.shared.index(|index| {
                    index.look_at_server(&self.name, Look::Shallow);
                    self.closely = index.look_closely_at_next(&self.name, self.closely.as_ref(), ROUNDS_OF_A_DAY);
                });
                round = now + self.jittered(ROUND);
            }
            for key in self.again.iter().filter(|(_, (at, _))| *at <= now).map(|(key, _)| key) {
                self.shared.index(|index| index.look_at(key, Look::Shallow));
            }
            self.renew(&server).await;
            let Some(asked) = self.shared.index(|index| index.take(&self.name)) else { continue };
            self.shared.health.metrics.waiting(self.name.as_str(), 0);
            let looked = self.look(&server, &asked).await;
            let failed = looked.as_ref().err().map(|failure| Verdict::failed(failure).reason());
            self.shared.health.metrics.pass(self.name.as_str(), now.elapsed(), failed);
            match looked {
                Ok(()) => failures = 0,
                Err(failure) => {
                    failures += 1;
                    self.put_off(&server, &asked, &failure, failures).await;
                }
            }
        }
        self.forget().await;
    }

    /// Lets go of a server that is declared no more; another one may come under its name.
    async fn forget(&mut self) {
        if let Some((_, connected)) = self.connected.take() {
            connected.pass.engine.close().await;
        }
        self.recorded = None;
        self.again.clear();
    }

    /// Spreads what many do at the same distance in time.
    fn jittered(&self, time: Duration) -> Duration {
        let spread: u32 = self.name.as_str().bytes().map(u32::from).sum();
        time.mul_f64(0.9 + f64::from(spread % 200) / 1000.0)
    }

    /// The server can't be worked on: whoever waits for it is told, and looked at later.
    async fn put_off(&mut self, server: &Object<DatabaseServer>, asked: &Work, failure: &Failure, failures: u32) {
        tracing::warn!(server = self.name.as_str(), %failure, "the server can't be worked on");
        let verdict = Verdict::failed(failure);
        self.tell_server(server, &verdict, None);
        self.tell_waiting(asked, &verdict);
        self.shared.index(|index| {
            index.look_at_server_itself(&self.name);
            for (key, look) in asked {
                index.look_at(key, *look);
            }
        });
        if let Some((_, connected)) = self.connected.take() {
            connected.pass.engine.close().await;
        }
        let until = Instant::now() + pause(failures, LONGEST_OF_SERVER);
        let is_as_it_was = |index: &mut Index| {
            let latest = index.server(&self.name).map(|latest| latest.meta.generation);
            latest == Some(server.meta.generation) && !index.is_renewed(&self.name)
        };
        while Instant::now() < until && !self.shared.interrupt.is_set() && self.shared.index(is_as_it_was) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.wake.notify_one();
    }

    /// Tells those that wait for something new; the others stay as they are.
    fn tell_waiting(&self, asked: &Work, verdict: &Verdict) {
        for key in asked.keys() {
            let Some(tenant) = self.shared.index(|index| index.tenant(key)) else { continue };
            if tenant.meta().status["observedGeneration"] != tenant.meta().generation {
                self.shared.tell(key, &tenant, verdict, &Facts::default());
            }
        }
    }

    /// Has the server's status written, if it says something new; what it `answered` stays until it answers otherwise.
    fn tell_server(&self, server: &Object<DatabaseServer>, verdict: &Verdict, answered: Option<&Answer>) {
        let latest = self.shared.index(|index| index.server(&self.name));
        let before = latest.as_ref().map_or(&server.meta.status, |latest| &latest.meta.status);
        let mut status = serde_json::json!({
            "observedGeneration": server.meta.generation,
            "conditions": status::conditions(before, server.meta.generation, verdict, Timestamp::now()),
        });
        if let Some(Answer { version, address, databases }) = answered {
            status["version"] = version.as_str().into();
            status["endpoint"] = address.to_string().into();
            status["databases"] = databases.len().into();
        } else {
            for field in ["version", "endpoint", "databases"].into_iter().filter(|field| !before[field].is_null()) {
                status[field] = before[field].clone();
            }
        }
        if status != *before {
            let target = Target { kind: "DatabaseServer", namespace: None, name: self.name.clone() };
            self.shared.statuses.write(target, status);
        }
    }

    /// Looks at those that were asked for, those first that need no closer look.
    async fn look(&mut self, server: &Object<DatabaseServer>, asked: &Work) -> Result<(), Failure> {
        let declared = match &server.declared {
            Ok(declared) => declared.clone(),
            Err(faults) => {
                self.tell_server(server, &Verdict::invalid(faults), None);
                let message = format!("server {}: its declaration can't be used", self.name);
                let failure = Failure::new(FailureKind::Rejected, message).hint("see what its DatabaseServer says");
                self.tell_waiting(asked, &Verdict::failed(&failure));
                // Its next declaration has them all looked at again.
                return Ok(());
            }
        };
        self.connect(server.meta.generation, &declared).await?;
        for depth in [Look::Shallow, Look::Deep] {
            let keys = asked.iter().filter(|(_, look)| **look == depth).map(|(key, _)| key);
            let batch = self.gather(keys);
            if !batch.tenants.is_empty() || (asked.is_empty() && depth == Look::Shallow) {
                self.pass(server, &declared, batch, depth).await?;
            }
        }
        Ok(())
    }

    /// Looks whether the way to a server that works is another now.
    async fn renew(&mut self, server: &Object<DatabaseServer>) {
        if let (Some(_), Ok(declared)) = (&self.connected, &server.declared)
            && let Err(failure) = self.connect(server.meta.generation, declared).await
        {
            tracing::warn!(server = self.name.as_str(), %failure, "the server can't be reached as it is declared now");
        }
    }

    /// Prepares the connection anew where the declaration is another, or what it refers to. What can't be read any more
    /// breaks nothing that works.
    async fn connect(&mut self, generation: i64, declared: &Declared<DatabaseServer>) -> Result<(), Failure> {
        let is_renewed = self.shared.index(|index| index.take_renewed(&self.name));
        let same_declaration = self.connected.as_ref().filter(|(of, _)| *of == generation).map(|(_, found)| found);
        if same_declaration.is_some() && !is_renewed {
            return Ok(());
        }
        let Shared { client, place, interrupt, .. } = &*self.shared;
        let mut reader = Reader::new(client);
        let way = Way::find(&mut reader, &declared.resource).await;
        self.shared.index(|index| index.refers(&self.name, reader.read));
        match (way, same_declaration) {
            (Err(failure), Some(_)) => {
                tracing::warn!(server = self.name.as_str(), %failure, "what it refers to is gone; it is used as it was");
                return Ok(());
            }
            (Ok(way), Some(earlier)) if earlier.way.is_same(&way) => return Ok(()),
            (way, earlier) => {
                // A credential that was delivered says where the server is.
                let moved = |earlier: &Connected| way.as_ref().is_ok_and(|way| earlier.way.endpoint != way.endpoint);
                self.shared.index(|index| match earlier.map(moved) {
                    Some(true) => index.look_at_server(&self.name, Look::Shallow),
                    Some(false) => index.look_at_server_itself(&self.name),
                    None => {}
                });
                if earlier.is_some() {
                    tracing::info!(server = self.name.as_str(), "what it refers to is another; it is reached anew");
                }
                let connected = way.and_then(|way| way.connect(&declared.resource, place.clone(), interrupt));
                if let Some((_, earlier)) = self.connected.take() {
                    earlier.pass.engine.close().await;
                }
                self.connected = Some((generation, connected?));
            }
        }
        Ok(())
    }

    /// Those of these that can be worked on; of the others is told what is wrong.
    fn gather<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> Batch {
        let mut batch = Batch::default();
        for key in keys {
            let Some(tenant) = self.shared.index(|index| index.tenant(key)) else { continue };
            match tenant.fault() {
                // Somebody else's finalizer is all that keeps it.
                _ if tenant.meta().is_deleted && !tenant.meta().is_held() => {}
                Some(faults) if !tenant.meta().is_deleted => {
                    self.shared.tell(key, &tenant, &Verdict::invalid(faults), &Facts::default());
                }
                _ => batch.add(key.claim(&self.shared.authority), key.clone(), tenant),
            }
        }
        batch
    }

    /// The names that the server's ledger recorded; they are asked for where they are not known.
    async fn recorded(&mut self, connected: &Connected, server: &DatabaseServer) -> Result<Recorded, Failure> {
        if let Some(recorded) = self.recorded.take() {
            return Ok(recorded);
        }
        let nothing = Desired::nothing(server, &self.shared.authority, connected.way.endpoint.clone());
        Ok(Postgres::recorded(&connected.pass.engine.observe(&nothing, Depth::Shallow).await?))
    }

    async fn pass(
        &mut self,
        server: &Object<DatabaseServer>,
        declared: &Declared<DatabaseServer>,
        mut batch: Batch,
        look: Look,
    ) -> Result<(), Failure> {
        let depth = if look == Look::Deep { Depth::Deep } else { Depth::Shallow };
        let Some(connected) = self.connected.as_ref().map(|(_, connected)| connected.clone()) else { return Ok(()) };
        let (pass, authority) = (&connected.pass, self.shared.authority.clone());
        let recorded = self.recorded(&connected, &declared.resource).await?;
        batch.put_first_come_first(&recorded, &authority);
        let batch = Arc::new(batch);
        let declarations = batch.declarations(declared);
        let endpoint = connected.way.endpoint.clone();
        let (desired, unusable) =
            Desired::resolve_each(declarations, &authority, &connected.way.admin.username, endpoint, &recorded);
        for (claim, why) in &unusable {
            if let Some((key, tenant)) = batch.tenants.get(claim) {
                self.shared.tell(key, tenant, &Verdict::unusable(why), &Facts::default());
            }
        }
        let desired = desired.identified(&batch.uids()).without(batch.gone.iter().cloned());
        let found = scripts::read(&self.shared, &batch).await;
        let observed = pass.engine.observe(&desired, depth).await?;
        let elsewhere = self.take_in(&observed, &batch);
        let desired = desired.beginning_with(&found.scripts).held_elsewhere(elsewhere);
        let desired = desired.refusing(found.refusals(&observed));
        let namespaces = self.shared.index(|index| index.namespaces());
        let desired = desired.refusing(allow::refusals(declarations, &authority, &observed, Some(&namespaces)));
        let mut plan = pass.plan_from(&desired, &observed, depth).await?;
        self.leave_contested(&mut plan, &batch);
        self.hold(&plan, &batch).await?;

        let answer = Answer::of(&observed, &connected, &authority);
        let (shared, name) = (self.shared.clone(), self.name.clone());
        let reporter = Arc::new(Reporter::new(shared, batch.clone(), name, answer.version.clone()));
        let report = pass.apply(&desired, observed, plan, batch.consent(&authority), reporter.clone()).await;
        reporter.finish(&report.tenants);
        let answer = answer.after(&report.tenants);
        let conditions = [report.conditions, connected.way.notes.clone()].concat();
        self.tell_server(server, &Verdict::server(&conditions), Some(&answer));
        self.conclude(&batch, &report.tenants).await;
        report.failure.map_or(Ok(()), Err)
    }

    /// Takes note of what the server's ledger holds; those of a batch that another server holds.
    fn take_in(&mut self, observed: &Observed, batch: &Batch) -> Vec<(Claim, ObjectName)> {
        let authority = &self.shared.authority;
        let recorded = Postgres::recorded(observed);
        let held = recorded.keys().filter(|claim| claim.authority == *authority && claim.access.is_none()).map(Key::of);
        let elsewhere = self.shared.index(|index| {
            index.holds(&self.name, held);
            index.held_elsewhere(&self.name, batch.tenants.values().map(|(key, _)| key.clone()))
        });
        self.recorded = Some(recorded);
        elsewhere.into_iter().map(|(key, server)| (key.claim(authority), server)).collect()
    }

    /// Leaves what somebody always changes back.
    fn leave_contested(&self, plan: &mut Plan<PostgresStep>, batch: &Batch) {
        for tenant in &mut plan.tenants {
            let Some((_, object)) = batch.tenants.get(&tenant.claim.declaration()) else { continue };
            let what: Vec<String> = tenant.shown().map(|step| step.task.describe()).collect();
            if self.repeats.is_in_vain(&tenant.claim, &version_of(object), &what, Instant::now()) {
                leave(tenant, &what);
            }
        }
    }

    /// Puts our finalizer on what the ledger has; others get it before their first step, and who is somebody else's never
    /// does.
    async fn hold(&self, plan: &Plan<PostgresStep>, batch: &Batch) -> Result<(), Failure> {
        let is_ours = |claim: &Claim| self.recorded.as_ref().is_some_and(|recorded| recorded.contains_key(claim));
        let idle = plan.tenants.iter().filter(|tenant| tenant.steps.is_empty() && is_ours(&tenant.claim));
        let idle = idle.filter_map(|tenant| batch.tenants.get(&tenant.claim));
        let free = idle.filter(|(_, tenant)| tenant.meta().is_free()).cloned().collect();
        self.shared.finalizers.put_on_all(free).await
    }

    /// Lets go of what was dealt with, and remembers what has to be looked at again.
    async fn conclude(&mut self, batch: &Batch, outcomes: &[TenantOutcome]) {
        let mut open: BTreeSet<Claim> = BTreeSet::new();
        for outcome in outcomes {
            if outcome.failure.is_some() || outcome.refusal.is_some() {
                open.insert(outcome.claim.declaration());
            }
            let object = batch.tenants.get(&outcome.claim.declaration()).filter(|_| !outcome.done.is_empty());
            if let Some((_, object)) = object {
                let what = outcome.done.iter().map(|(_, what, _)| what.clone()).collect();
                self.repeats.did(&outcome.claim, version_of(object), what, Instant::now());
            }
        }
        for (claim, (key, tenant)) in &batch.tenants {
            if !open.contains(claim) {
                self.again.remove(key);
                if tenant.meta().is_deleted {
                    self.repeats.forget(claim);
                    self.shared.finalizers.take_off(key, &tenant.meta().uid).await;
                }
                continue;
            }
            let times = self.again.get(key).map_or(0, |(_, times)| *times) + 1;
            self.again.insert(key.clone(), (Instant::now() + pause(times, LONGEST), times));
        }
    }
}

/// What tells one version of a declaration from another.
fn version_of(tenant: &Tenant) -> (String, i64) {
    (tenant.meta().uid.clone(), tenant.meta().generation)
}

/// Leaves a tenant as somebody else wants it.
fn leave<S: Step>(tenant: &mut TenantPlan<S>, what: &[String]) {
    tenant.steps.clear();
    let message = format!("within two minutes it was put right twice, and changed back: {}", what.join("; "));
    tenant.conditions.push(Condition { kind: "Contested", message: message.clone() });
    let refusal = Refusal::new(RefusalKind::Deferral, message);
    tenant.refusal = Some(refusal.hint("find out who changes it; it is put right again in ten minutes"));
}

/// What a server answered, for its status.
struct Answer {
    version: String,
    address: Address,
    /// The databases of this cluster that its ledger has.
    databases: BTreeSet<Claim>,
}

impl Answer {
    fn of(observed: &Observed, connected: &Connected, authority: &Authority) -> Self {
        let all = Postgres::tenants(observed).into_iter().filter(|tenant| tenant.phase != "Orphaned");
        let ours = all.map(|tenant| tenant.claim).filter(|claim| claim.authority == *authority && is_database(claim));
        let (version, address) = (observed.version().to_string(), connected.way.address.clone());
        Self { version, address, databases: ours.collect() }
    }

    /// What it would answer now that these came out so.
    fn after(mut self, outcomes: &[TenantOutcome]) -> Self {
        for TenantOutcome { claim, change, failure, .. } in outcomes {
            match change {
                TenantChange::Create | TenantChange::Adopt if failure.is_none() && is_database(claim) => {
                    self.databases.insert(claim.clone());
                }
                TenantChange::Delete | TenantChange::Orphan if failure.is_none() => drop(self.databases.remove(claim)),
                _ => {}
            }
        }
        self
    }
}

fn is_database(claim: &Claim) -> bool {
    claim.kind == tenant_database::RESOURCE.kind && claim.access.is_none()
}
