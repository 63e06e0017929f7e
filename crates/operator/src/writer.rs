//! The one who writes status: as much at a time as the API server should be asked, and one object never twice at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use kube::api::{Patch, PatchParams};
use kube::{Client, Error};
use serde_json::{Value, json};
use tenantdb_api::{Namespace, ObjectName};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::object::api;
use crate::serve::Health;

/// How many requests are under way.
const AT_A_TIME: usize = 16;

/// How long to wait after one that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) kind: &'static str,
    /// None of a cluster-scoped kind.
    pub(crate) namespace: Option<Namespace>,
    pub(crate) name: ObjectName,
}

/// Takes what is to be written.
#[derive(Clone)]
pub(crate) struct StatusWriter(UnboundedSender<(Target, Value)>);

impl StatusWriter {
    /// A writer, and its work, which ends when nobody can ask it any more.
    pub(crate) fn new(client: Client, health: Arc<Health>) -> (Self, impl Future<Output = ()>) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), work(client, health, receiver))
    }

    /// Has a status written; a newer one takes the place of one that is still waiting.
    pub(crate) fn write(&self, target: Target, status: Value) {
        let _ = self.0.send((target, status));
    }
}

async fn work(client: Client, health: Arc<Health>, mut asked: UnboundedReceiver<(Target, Value)>) {
    let mut waiting: BTreeMap<Target, Value> = BTreeMap::new();
    let mut in_hand: BTreeSet<Target> = BTreeSet::new();
    let mut running = FuturesUnordered::new();
    let mut is_open = true;
    while is_open || !waiting.is_empty() || !running.is_empty() {
        while running.len() < AT_A_TIME {
            let Some(target) = waiting.keys().find(|target| !in_hand.contains(*target)).cloned() else { break };
            let Some(status) = waiting.remove(&target) else { break };
            in_hand.insert(target.clone());
            running.push(patch(client.clone(), target, status));
        }
        tokio::select! {
            next = asked.recv(), if is_open => match next {
                Some((target, status)) => drop(waiting.insert(target, status)),
                None => is_open = false,
            },
            Some((target, failed)) = running.next(), if !running.is_empty() => {
                in_hand.remove(&target);
                match failed {
                    // Whoever has the Lease next writes it.
                    Some(_) if !is_open => {}
                    Some(status) => drop(waiting.entry(target).or_insert(status)),
                    None => health.metrics.status(target.kind),
                }
            }
        }
    }
}

/// Writes one status; what has to be tried again is given back.
async fn patch(client: Client, target: Target, status: Value) -> (Target, Option<Value>) {
    let Some(api) = api(client, target.kind, target.namespace.as_ref()) else { return (target, None) };
    let whole = json!({"status": status});
    match api.patch_status(target.name.as_str(), &PatchParams::default(), &Patch::Merge(&whole)).await {
        Ok(_) => (target, None),
        // It is gone, and so is what there was to say of it.
        Err(Error::Api(answer)) if answer.is_not_found() => (target, None),
        Err(error) => {
            tracing::warn!(kind = target.kind, name = target.name.as_str(), %error, "its status can't be written yet");
            tokio::time::sleep(PAUSE).await;
            (target, Some(status))
        }
    }
}
