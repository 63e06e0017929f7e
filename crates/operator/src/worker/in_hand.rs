//! The passes that are carried out, beside each other where one takes long.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tenantdb_api::DatabaseServer;
use tenantdb_core::{Claim, Failure, FailureKind, Report};
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use super::batch::Batch;
use crate::index::{Look, Work};
use crate::watch::object::{Key, Object};
use crate::worker::connect::Connected;

/// A pass that was planned.
pub(crate) struct Begun<E> {
    pub(crate) server: Arc<Object<DatabaseServer>>,
    pub(crate) connected: Connected<E>,
    pub(crate) batch: Arc<Batch>,
    pub(crate) look: Look,
    /// Those that want what another has, who may let go of it.
    pub(crate) taken: BTreeSet<Claim>,
    pub(crate) since: Instant,
}

impl<E> Begun<E> {
    /// What it looked at.
    pub(crate) fn work(&self) -> Work {
        self.batch.tenants.values().map(|(key, _)| (key.clone(), self.look)).collect()
    }
}

/// The passes of one server that are carried out, no two about the same declaration.
pub(crate) struct InHand<E> {
    running: JoinSet<Report>,
    begun: HashMap<Id, Begun<E>>,
    keys: BTreeSet<Key>,
}

impl<E> InHand<E> {
    pub(crate) fn none() -> Self {
        Self { running: JoinSet::new(), begun: HashMap::new(), keys: BTreeSet::new() }
    }

    /// Has a pass carried out.
    pub(crate) fn begin(&mut self, begun: Begun<E>, work: impl Future<Output = Report> + Send + 'static) {
        self.keys.extend(begun.batch.tenants.values().map(|(key, _)| key.clone()));
        let id = self.running.spawn(work).id();
        self.begun.insert(id, begun);
    }

    /// Waits for the next that comes to its end; `None` when there is none.
    pub(crate) async fn next(&mut self) -> Option<(Begun<E>, Result<Report, Failure>)> {
        let (id, report) = match self.running.join_next_with_id().await? {
            Ok((id, report)) => (id, Ok(report)),
            Err(error) => {
                let failure = Failure::new(FailureKind::Rejected, format!("a pass ended early: {error}"));
                (error.id(), Err(failure.hint("this is a bug in tenantdb")))
            }
        };
        let begun = self.begun.remove(&id)?;
        for (key, _) in begun.batch.tenants.values() {
            self.keys.remove(key);
        }
        Some((begun, report))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether one of them is about this declaration.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }
}
