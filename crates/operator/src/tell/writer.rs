//! The one who writes status: as much at a time as the API server should be asked, and one object never twice at once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use kube::api::{Patch, PatchParams};
use kube::{Client, Error};
use serde_json::{Value, json};
use tenantdb_api::{Namespace, ObjectName};
use tenantdb_kubernetes::told;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::backoff::pause;
use crate::serve::Health;
use crate::watch::object::api;

/// How many requests are under way.
const AT_A_TIME: usize = 16;

/// How long to wait at most after one that failed.
const LONGEST: Duration = Duration::from_mins(1);

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

/// What is to be written, who asked first before who asked later.
#[derive(Default)]
struct Queue {
    order: VecDeque<Target>,
    waiting: BTreeMap<Target, Value>,
    /// What failed and is tried again later, with how often it did.
    later: BTreeMap<Target, (Value, u32)>,
}

impl Queue {
    /// A newer status takes the place of one that waits.
    fn put(&mut self, target: Target, status: Value) {
        if let Some((later, _)) = self.later.get_mut(&target) {
            *later = status;
        } else if self.waiting.insert(target.clone(), status).is_none() {
            self.order.push_back(target);
        }
    }

    /// The first whose object nobody writes.
    fn next(&mut self, in_hand: &BTreeMap<Target, u32>) -> Option<(Target, Value)> {
        let first = self.order.iter().position(|target| !in_hand.contains_key(target))?;
        let target = self.order.remove(first)?;
        let status = self.waiting.remove(&target)?;
        Some((target, status))
    }

    /// Keeps one that failed so often for later, or the newer one that waits.
    fn put_off(&mut self, target: Target, status: Value, failures: u32) {
        let newer = self.waiting.remove(&target);
        self.order.retain(|waiting| *waiting != target);
        self.later.insert(target, (newer.unwrap_or(status), failures));
    }

    /// Takes one whose time it is again.
    fn take_again(&mut self, target: &Target) -> Option<(Value, u32)> {
        self.later.remove(target)
    }
}

async fn work(client: Client, health: Arc<Health>, mut asked: UnboundedReceiver<(Target, Value)>) {
    let mut queue = Queue::default();
    // With how often they failed.
    let mut in_hand: BTreeMap<Target, u32> = BTreeMap::new();
    let (mut running, mut later) = (FuturesUnordered::new(), FuturesUnordered::new());
    let mut is_open = true;
    while is_open || !queue.order.is_empty() || !running.is_empty() {
        while running.len() < AT_A_TIME {
            let Some((target, status)) = queue.next(&in_hand) else { break };
            in_hand.insert(target.clone(), 0);
            running.push(patch(client.clone(), target, status));
        }
        tokio::select! {
            next = asked.recv(), if is_open => match next {
                Some((target, status)) => queue.put(target, status),
                None => is_open = false,
            },
            Some((target, written)) = running.next(), if !running.is_empty() => {
                let failures = in_hand.remove(&target).unwrap_or_default() + 1;
                match written {
                    Written::Done => health.metrics.status(target.kind),
                    Written::Refused => {}
                    // Whoever has the Lease next writes it.
                    Written::Failed(_) if !is_open => {}
                    Written::Failed(status) => {
                        queue.put_off(target.clone(), status, failures);
                        later.push(async move { tokio::time::sleep(pause(failures, LONGEST)).await; target });
                    }
                }
            }
            Some(target) = later.next(), if !later.is_empty() => {
                if let Some((status, failures)) = queue.take_again(&target) {
                    in_hand.insert(target.clone(), failures);
                    running.push(patch(client.clone(), target, status));
                }
            }
        }
    }
}

/// What became of a status.
enum Written {
    Done,
    /// Its object is gone, or will never take it.
    Refused,
    Failed(Value),
}

/// Writes one status.
async fn patch(client: Client, target: Target, status: Value) -> (Target, Written) {
    let Some(api) = api(client, target.kind, target.namespace.as_ref()) else { return (target, Written::Refused) };
    let whole = json!({"status": status});
    match api.patch_status(target.name.as_str(), &PatchParams::default(), &Patch::Merge(&whole)).await {
        Ok(_) => (target, Written::Done),
        // It is gone, and so is what there was to say of it.
        Err(Error::Api(answer)) if answer.is_not_found() => (target, Written::Refused),
        Err(error) => {
            let (kind, name) = (target.kind, target.name.as_str());
            tracing::warn!(kind, name, error = told(&error), "its status can't be written");
            let is_wrong = matches!(&error, Error::Api(answer) if matches!(answer.code, 413 | 422));
            (target, if is_wrong { Written::Refused } else { Written::Failed(status) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Target {
        Target { kind: "TenantDatabase", namespace: Some("default".parse().unwrap()), name: name.parse().unwrap() }
    }

    fn names(queue: &mut Queue) -> Vec<(String, Value)> {
        let free = BTreeMap::new();
        std::iter::from_fn(|| queue.next(&free).map(|(target, status)| (target.name.to_string(), status))).collect()
    }

    #[test]
    fn who_asks_first_is_first_and_what_fails_keeps_nobody_waiting() {
        let mut queue = Queue::default();
        for (name, status) in [("zoo", 1), ("app", 1), ("zoo", 2)] {
            queue.put(target(name), json!(status));
        }
        assert_eq!(names(&mut queue), [("zoo".to_owned(), json!(2)), ("app".to_owned(), json!(1))]);
        queue.put_off(target("app"), json!(1), 1);
        queue.put(target("blog"), json!(1));
        assert_eq!(names(&mut queue), [("blog".to_owned(), json!(1))]);
    }

    #[test]
    fn a_newer_status_takes_the_place_of_one_that_failed() {
        let mut queue = Queue::default();
        queue.put_off(target("app"), json!(1), 3);
        queue.put(target("app"), json!(2));
        assert_eq!(names(&mut queue), []);
        assert_eq!(queue.take_again(&target("app")), Some((json!(2), 3)));
        // It came while the older one was being written.
        queue.put(target("app"), json!(4));
        queue.put_off(target("app"), json!(3), 1);
        assert_eq!(names(&mut queue), []);
        assert_eq!(queue.take_again(&target("app")), Some((json!(4), 1)));
    }
}
