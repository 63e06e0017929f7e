//! What all that works in one process shares.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use kube::Client;
use serde_json::Value;
use tenantdb_core::{Authority, Interrupt};
use tenantdb_credentials::stores::secret::SecretPlace;
use tokio::sync::Notify;

use crate::index::Index;
use crate::protect::finalizer::Finalizers;
use crate::protect::guard::Guard;
use crate::replicas::{Share, Term};
use crate::serve::Health;
use crate::tell::events::{Events, Happened};
use crate::tell::status::{self, Facts, Verdict};
use crate::tell::writer::{StatusWriter, Target};
use crate::watch::object::{Key, Tenant};
use crate::worker::origins::Origins;

/// What all workers share, each in its own term.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) authority: Authority,
    /// Who this process is among its replicas.
    pub(crate) identity: String,
    pub(crate) place: Arc<SecretPlace>,
    pub(crate) index: Arc<Mutex<Index>>,
    pub(crate) statuses: StatusWriter,
    pub(crate) events: Events,
    pub(crate) finalizers: Arc<Finalizers>,
    pub(crate) guard: Arc<Guard>,
    pub(crate) origins: Arc<Origins>,
    pub(crate) health: Arc<Health>,
    /// Those who work on a share now.
    pub(crate) wakes: Arc<Mutex<BTreeMap<Share, Arc<Notify>>>>,
    /// The end of the term, or of the process.
    pub(crate) interrupt: Interrupt,
}

impl Shared {
    /// The same for whoever works on a share.
    pub(crate) fn of_term(&self, share: &Share, term: &Term) -> Arc<Self> {
        self.wakes().insert(share.clone(), term.wake.clone());
        self.tell_how_many_servers();
        Arc::new(Self { interrupt: term.interrupt.clone(), ..self.clone() })
    }

    /// Nobody works here on this share any more.
    pub(crate) fn end_of_term(&self, share: &Share) {
        self.wakes().remove(share);
        self.tell_how_many_servers();
    }

    fn tell_how_many_servers(&self) {
        let servers = self.wakes().keys().filter(|share| matches!(share, Share::Server(_))).count();
        self.health.metrics.servers(servers);
    }

    /// Wakes those who have something to look at.
    pub(crate) fn wake_those_with_work(&self) {
        let busy = self.index(|index| index.busy());
        for (share, wake) in &*self.wakes() {
            let is_awaited = match share {
                Share::Cluster => self.index(|index| index.has_work_without_server()),
                Share::Server(server) => {
                    let (waiting, is_gone) =
                        self.index(|index| (index.waiting(server), index.server(server).is_none()));
                    self.health.metrics.waiting(server.as_str(), waiting);
                    // One whose server is gone lets go of its connections.
                    busy.contains(server) || is_gone
                }
            };
            if is_awaited {
                wake.notify_one();
            }
        }
    }

    fn wakes(&self) -> std::sync::MutexGuard<'_, BTreeMap<Share, Arc<Notify>>> {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the index, which nobody holds for long.
    pub(crate) fn index<T>(&self, work: impl FnOnce(&mut Index) -> T) -> T {
        work(&mut self.index.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has a tenant's status written and logged, if it says something new, and as long as it is ours to say.
    pub(crate) fn tell(&self, key: &Key, tenant: &Tenant, verdict: &Verdict, facts: &Facts) {
        let before = &tenant.meta.status;
        let status = status::of_tenant(before, tenant.meta.generation, verdict, facts, Timestamp::now());
        if status != *before && !self.interrupt.tenure().is_over() {
            log(key, verdict, before, &status);
            let Key { kind, namespace, name } = key.clone();
            self.statuses.write(Target { kind, namespace: Some(namespace), name }, status);
        }
    }

    /// Tells what happened to a tenant, as long as it is ours to say.
    pub(crate) fn happened(&self, key: &Key, tenant: &Tenant, happened: Happened) {
        if !self.interrupt.tenure().is_over() {
            self.events.tell(key, &tenant.meta.uid, happened);
        }
    }
}

/// Logs of whom something is refused, or not there yet: each time that there is something else to say of it. What a
/// declaration holds is quoted, so that nobody writes lines of their own.
fn log(key: &Key, verdict: &Verdict, before: &Value, status: &Value) {
    let ready = |status: &Value| status["conditions"][0].clone();
    let is_as_declared = matches!(verdict.reason(), "InSync" | "Paused");
    if is_as_declared || ready(before) == ready(status) {
        return;
    }
    let Key { kind, namespace, name } = key;
    let told = status["conditions"][0]["message"].as_str().unwrap_or_default();
    let reason = verdict.reason();
    tracing::warn!(kind, namespace = namespace.as_str(), name = name.as_str(), reason, told, "it is not as declared");
}
