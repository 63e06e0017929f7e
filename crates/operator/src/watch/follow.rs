//! Watches of single objects, each as long as somebody refers to it, and of nothing but their metadata.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use kube::api::DynamicObject;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Client, Error, ResourceExt as _};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{AbortHandle, JoinSet};

use crate::index::Change;
use crate::watch::reference::Reference;
use crate::watch::{Seen, why};

/// The watches that there are; they end with it.
pub(crate) struct Following {
    client: Client,
    seen: UnboundedSender<Seen>,
    watches: BTreeMap<Reference, AbortHandle>,
    running: JoinSet<()>,
}

impl Following {
    pub(crate) fn new(client: Client, seen: UnboundedSender<Seen>) -> Self {
        Self { client, seen, watches: BTreeMap::new(), running: JoinSet::new() }
    }

    /// Follows these, and no others any more.
    pub(crate) fn only(&mut self, wanted: BTreeSet<Reference>) {
        self.watches.retain(|reference, watch| {
            let stays = wanted.contains(reference);
            if !stays {
                watch.abort();
            }
            stays
        });
        for reference in wanted {
            let (client, seen, running) = (&self.client, &self.seen, &mut self.running);
            let begin = || running.spawn(follow(client.clone(), reference.clone(), seen.clone()));
            self.watches.entry(reference.clone()).or_insert_with(begin);
        }
        while self.running.try_join_next().is_some() {}
    }
}

/// Tells whenever an object is another one than before. A kind that the API server does not know yet is asked for again
/// and again, at most every half minute.
async fn follow(client: Client, reference: Reference, seen: UnboundedSender<Seen>) {
    let resource = reference.kind.resource();
    let api: Api<PartialObjectMeta<DynamicObject>> =
        Api::namespaced_with(client, reference.namespace.as_str(), &resource);
    let mut found = watch_object(api, reference.name.as_str()).default_backoff().boxed();
    let mut last = None;
    while let Some(found) = found.next().await {
        match found {
            Ok(object) => {
                let version = object.as_ref().map(|object| (object.uid(), object.resource_version()));
                if last.as_ref() != Some(&version) {
                    let _ = seen.send(Seen::Change(Change::Referred(reference.clone())));
                }
                last = Some(version);
            }
            Err(error) if is_not_found(&error) => tracing::debug!(%reference, "its kind is not there yet"),
            Err(error) => tracing::warn!(%reference, error = why(&error), "the watch broke, and begins anew"),
        }
    }
}

fn is_not_found(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(Error::Api(status))
        | watcher::Error::WatchStartFailed(Error::Api(status)) => status.code == 404,
        _ => false,
    }
}
