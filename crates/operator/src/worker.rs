//! One worker for each server: it gathers what has to be looked at, and runs one pass over all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tenantdb_api::{DatabaseServer, Declared, ObjectName, TenantDatabase, TenantRole};
use tenantdb_core::{
    Authority, Claim, Consent, Depth, Engine as _, Event, Failure, FailureKind, Interrupt, RefusalKind, Risk,
    TenantChange, TenantOutcome,
};
use tenantdb_credentials::stores::secret::SecretPlace;
use tenantdb_postgres::{Declarations, Desired, Observed, Postgres, Recorded, allow};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::connect::{Connected, connect};
use crate::events::Events;
use crate::finalizer::Finalizers;
use crate::index::{Index, Look, Work};
use crate::object::{Key, Object, Tenant};
use crate::status::{self, Facts, Verdict};
use crate::writer::{StatusWriter, Target};

/// How long to wait for more, once something has to be looked at.
const GATHERING: Duration = Duration::from_millis(5);

/// How often all that a server has is looked at.
const ROUND: Duration = Duration::from_mins(10);

/// How long to wait after a failure, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) client: kube::Client,
    pub(crate) authority: Authority,
    pub(crate) place: Arc<SecretPlace>,
    pub(crate) index: Mutex<Index>,
    pub(crate) statuses: StatusWriter,
    pub(crate) events: Events,
    pub(crate) finalizers: Finalizers,
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
    /// When to look again at what failed.
    again: BTreeMap<Key, (Instant, u32)>,
}

/// Whose turn it is, in the forms that a pass takes.
#[derive(Default)]
struct Batch {
    databases: Vec<Declared<TenantDatabase>>,
    roles: Vec<Declared<TenantRole>>,
    gone: BTreeSet<Claim>,
    tenants: BTreeMap<Claim, (Key, Tenant)>,
}

impl Batch {
    /// Of two that want the same name the one gets it whose it is, else the older.
    fn put_first_come_first(&mut self, recorded: &Recorded, authority: &Authority) {
        let tenants = &self.tenants;
        let age = |claim: Claim| {
            let created = tenants.get(&claim).map(|(_, tenant)| tenant.meta().created);
            (!recorded.contains_key(&claim), created, claim)
        };
        self.databases.sort_by_cached_key(|declared| age(Desired::claim(authority, &declared.resource)));
        self.roles.sort_by_cached_key(|declared| age(Desired::claim_of_role(authority, &declared.resource)));
    }
}

impl Worker {
    pub(crate) fn new(name: ObjectName, shared: Arc<Shared>, wake: Arc<Notify>) -> Self {
        Self { name, shared, wake, connected: None, recorded: None, again: BTreeMap::new() }
    }

    /// Works until the server is declared no more, or somebody asks to stop.
    pub(crate) async fn run(mut self) {
        let (mut round, mut failures) = (Instant::now() + self.jittered(ROUND), 0);
        while !self.shared.interrupt.is_set() {
            let Some(server) = self.shared.index(|index| index.server(&self.name)) else { break };
            let next = self.again.values().map(|(at, _)| *at).chain([round]).min().unwrap_or(round);
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            tokio::time::sleep(GATHERING).await;
            let now = Instant::now();
            if now >= round {
                self.shared.index(|index| index.look_at_server(&self.name, Look::Shallow));
                round = now + self.jittered(ROUND);
            }
            for key in self.again.iter().filter(|(_, (at, _))| *at <= now).map(|(key, _)| key) {
                self.shared.index(|index| index.look_at(key, Look::Shallow));
            }
            let Some(asked) = self.shared.index(|index| index.take(&self.name)) else { continue };
            match self.look(&server, &asked).await {
                Ok(()) => failures = 0,
                Err(failure) => {
                    failures += 1;
                    self.put_off(&server, &asked, &failure, failures).await;
                }
            }
        }
        if let Some((_, connected)) = self.connected.take() {
            connected.pass.engine.close().await;
        }
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
        for (key, look) in asked {
            self.shared.index(|index| index.look_at(key, *look));
            let Some(tenant) = self.shared.index(|index| index.tenant(key)) else { continue };
            let is_told = tenant.meta().status["observedGeneration"] == tenant.meta().generation;
            if !is_told {
                self.shared.tell(key, &tenant, &verdict, &Facts::default());
            }
        }
        if let Some((_, connected)) = self.connected.take() {
            connected.pass.engine.close().await;
        }
        let (first, most) = BACKOFF;
        tokio::time::sleep(most.min(first * 2_u32.saturating_pow(failures.min(10) - 1))).await;
        self.wake.notify_one();
    }

    /// Has the server's status written, if it says something new; what it `answered` stays until it answers otherwise.
    fn tell_server(&self, server: &Object<DatabaseServer>, verdict: &Verdict, answered: Option<&serde_json::Value>) {
        let latest = self.shared.index(|index| index.server(&self.name));
        let before = latest.as_ref().map_or(&server.meta.status, |latest| &latest.meta.status);
        let mut status = serde_json::json!({
            "observedGeneration": server.meta.generation,
            "conditions": status::conditions(before, server.meta.generation, verdict, Timestamp::now()),
        });
        for field in ["version", "endpoint", "databases"] {
            let known = answered.unwrap_or(before)[field].clone();
            if !known.is_null() {
                status[field] = known;
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

    async fn connect(&mut self, generation: i64, declared: &Declared<DatabaseServer>) -> Result<(), Failure> {
        if self.connected.as_ref().is_some_and(|(of, _)| *of == generation) {
            return Ok(());
        }
        if let Some((_, earlier)) = self.connected.take() {
            earlier.pass.engine.close().await;
        }
        let Shared { client, place, interrupt, .. } = &*self.shared;
        let connected = connect(client, &declared.resource, place.clone(), interrupt).await?;
        self.connected = Some((generation, connected));
        Ok(())
    }

    fn gather<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> Batch {
        let mut batch = Batch::default();
        for key in keys {
            let Some(tenant) = self.shared.index(|index| index.tenant(key)) else { continue };
            let claim = key.claim(&self.shared.authority);
            if tenant.meta().is_deleted {
                if !tenant.meta().is_held {
                    continue;
                }
                batch.gone.insert(claim.clone());
            } else if let Some(faults) = tenant.fault() {
                self.shared.tell(key, &tenant, &Verdict::invalid(faults), &Facts::default());
                continue;
            }
            match &tenant {
                _ if tenant.meta().is_deleted => {}
                Tenant::Database(object) => batch.databases.extend(object.declared.iter().cloned()),
                Tenant::Role(object) => batch.roles.extend(object.declared.iter().cloned()),
            }
            batch.tenants.insert(claim, (key.clone(), tenant));
        }
        batch
    }

    async fn pass(
        &mut self,
        server: &Object<DatabaseServer>,
        declared: &Declared<DatabaseServer>,
        mut batch: Batch,
        look: Look,
    ) -> Result<(), Failure> {
        let depth = if look == Look::Deep { Depth::Deep } else { Depth::Shallow };
        let Some((_, connected)) = &self.connected else { return Ok(()) };
        let (pass, authority) = (&connected.pass, &self.shared.authority);
        let recorded = if let Some(recorded) = self.recorded.take() {
            recorded
        } else {
            let nothing = Desired::nothing(&declared.resource, authority, connected.endpoint.clone());
            Postgres::recorded(&pass.engine.observe(&nothing, Depth::Shallow).await?)
        };
        batch.put_first_come_first(&recorded, authority);
        let declarations = Declarations { server: declared, tenants: &batch.databases, roles: &batch.roles };
        let (desired, faults) =
            Desired::resolve_each(declarations, authority, &connected.admin, connected.endpoint.clone(), &recorded);
        let uids =
            batch.tenants.iter().map(|(claim, (_, tenant))| (claim.clone(), tenant.meta().uid.clone())).collect();
        let desired = desired.identified(&uids).without(batch.gone.iter().cloned());
        let observed = pass.engine.observe(&desired, depth).await?;
        let recorded = Postgres::recorded(&observed);
        let held = recorded.keys().filter(|claim| claim.authority == *authority && claim.access.is_none()).map(Key::of);
        let elsewhere = self.shared.index(|index| {
            index.holds(&self.name, held);
            index.held_elsewhere(&self.name, batch.tenants.values().map(|(key, _)| key.clone()))
        });
        self.recorded = Some(recorded);
        let desired = desired.held_elsewhere(elsewhere.into_iter().map(|(key, server)| (key.claim(authority), server)));
        let desired = desired.refusing(allow::refusals(declarations, authority, &observed));
        let plan = pass.plan_from(&desired, &observed, depth).await?;

        let batch = Arc::new(batch);
        for (claim, faults) in &faults {
            if let Some((key, tenant)) = batch.tenants.get(claim) {
                self.shared.tell(key, tenant, &Verdict::unusable(faults), &Facts::default());
            }
        }
        // Whoever is somebody else's never gets our finalizer.
        let is_conflict = |refusal: &tenantdb_core::Refusal| refusal.kind == RefusalKind::Conflict;
        let ours = plan.tenants.iter().filter(|tenant| !tenant.refusal.as_ref().is_some_and(is_conflict));
        let ours: BTreeSet<Claim> = ours.map(|tenant| tenant.claim.declaration()).collect();
        let unheld = batch.tenants.iter().filter(|(claim, (_, tenant))| {
            ours.contains(*claim) && !tenant.meta().is_held && !tenant.meta().is_deleted
        });
        let unheld = unheld.map(|(_, (key, tenant))| (key.clone(), tenant.meta().uid.clone())).collect();
        self.shared.finalizers.put_on(unheld).await?;

        let reporter = Arc::new(Reporter {
            shared: self.shared.clone(),
            batch: batch.clone(),
            version: observed.version().to_string(),
            server: self.name.clone(),
            told: Mutex::default(),
        });
        let mut databases = databases(&observed, authority);
        let (version, address) = (observed.version().to_string(), connected.address.to_string());
        let mut consent = Consent::to(Risk::Safe);
        for claim in &batch.gone {
            consent = consent.and(claim.clone(), Risk::Destructive);
        }
        for declared in batch.databases.iter().filter(|declared| adopts(declared)) {
            consent = consent.and(Desired::claim(authority, &declared.resource), Risk::Disruptive);
        }
        let listener = {
            let reporter = reporter.clone();
            Arc::new(move |event: Event| {
                if let Event::Finished(outcome) = event {
                    reporter.finished(&outcome);
                }
            })
        };
        let report = pass.apply(&desired, observed, plan, consent, listener).await;
        for outcome in &report.tenants {
            reporter.report(outcome);
            let is_done = outcome.failure.is_none() && is_database(&outcome.claim);
            match outcome.change {
                TenantChange::Create | TenantChange::Adopt if is_done => drop(databases.insert(outcome.claim.clone())),
                TenantChange::Delete | TenantChange::Orphan if is_done => drop(databases.remove(&outcome.claim)),
                _ => {}
            }
        }
        let answered = serde_json::json!({"version": version, "endpoint": address, "databases": databases.len()});
        self.tell_server(server, &Verdict::server(&report.conditions), Some(&answered));
        self.conclude(&batch, &report.tenants).await;
        report.failure.map_or(Ok(()), Err)
    }

    /// Lets go of what was dealt with, and remembers what has to be looked at again.
    async fn conclude(&mut self, batch: &Batch, outcomes: &[TenantOutcome]) {
        let mut open: BTreeSet<Claim> = BTreeSet::new();
        for outcome in outcomes.iter().filter(|outcome| outcome.failure.is_some() || outcome.refusal.is_some()) {
            open.insert(outcome.claim.declaration());
        }
        for (claim, (key, tenant)) in &batch.tenants {
            if !open.contains(claim) {
                self.again.remove(key);
                if tenant.meta().is_deleted {
                    self.shared.finalizers.take_off(key, &tenant.meta().uid).await;
                }
                continue;
            }
            let (first, most) = BACKOFF;
            let times = self.again.get(key).map_or(0, |(_, times)| *times) + 1;
            let pause = most.min(first * 2_u32.saturating_pow(times.min(10) - 1));
            self.again.insert(key.clone(), (Instant::now() + pause, times));
        }
    }
}

/// The databases of this cluster that a server's ledger has.
fn databases(observed: &Observed, authority: &Authority) -> BTreeSet<Claim> {
    let all = Postgres::tenants(observed).into_iter().filter(|tenant| tenant.phase != "Orphaned");
    all.map(|tenant| tenant.claim).filter(|claim| claim.authority == *authority && is_database(claim)).collect()
}

fn is_database(claim: &Claim) -> bool {
    claim.kind == tenantdb_api::tenant_database::RESOURCE.kind && claim.access.is_none()
}

fn adopts(declared: &Declared<TenantDatabase>) -> bool {
    declared.resource.spec.adopt == tenantdb_api::tenant_database::Adopt::Existing
}

/// Tells how each tenant came out as soon as it is known.
struct Reporter {
    shared: Arc<Shared>,
    batch: Arc<Batch>,
    server: ObjectName,
    version: String,
    /// Those that were told.
    told: Mutex<BTreeSet<Claim>>,
}

impl Reporter {
    /// A tenant that is done with; one that is planned again is told when that is done.
    fn finished(&self, outcome: &TenantOutcome) {
        let is_stale = outcome.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Stale);
        if !is_stale && outcome.claim.access.is_none() {
            self.report(outcome);
        }
    }

    fn report(&self, outcome: &TenantOutcome) {
        let Some((key, tenant)) = self.batch.tenants.get(&outcome.claim) else { return };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.insert(outcome.claim.clone()) {
            return;
        }
        drop(told);
        let verdict = Verdict::of(outcome);
        let meta = tenant.meta();
        for happened in verdict.happened(&meta.status, outcome) {
            self.shared.events.tell(key, &meta.uid, happened);
        }
        if tenant.meta().is_deleted && verdict.is_ready() {
            return;
        }
        let facts = Facts {
            server: Some(self.server.to_string()),
            server_version: Some(self.version.clone()),
            database: Some(outcome.database.clone()).filter(|database| !database.is_empty()),
            owner: outcome.owner.clone(),
            secret_name: outcome.secret_name.as_ref().map(ToString::to_string),
        };
        self.shared.tell(key, tenant, &verdict, &facts);
    }
}
