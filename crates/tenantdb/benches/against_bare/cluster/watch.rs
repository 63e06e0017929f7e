//! Which databases are ready, as a watch tells.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use kube::Api;
use kube::api::DynamicObject;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, watcher};
use tokio::sync::watch::{Receiver, channel};

/// Tells which are ready.
pub struct Readiness(Receiver<BTreeSet<String>>);

impl Readiness {
    /// Watches from now on.
    pub fn watch(databases: Api<DynamicObject>) -> Self {
        let (sender, receiver) = channel(BTreeSet::new());
        let mut objects = watcher(databases, Config::default()).applied_objects().boxed();
        tokio::spawn(async move {
            while let Some(object) = objects.next().await {
                if let Ok(object) = object
                    && is_ready(&object)
                {
                    sender.send_modify(|ready| ready.extend(object.metadata.name));
                }
            }
        });
        Self(receiver)
    }

    /// Waits until so many are.
    pub async fn wait(&mut self, number: usize) {
        self.0.wait_for(|ready| ready.len() >= number).await.expect("it is watched");
    }
}

fn is_ready(object: &DynamicObject) -> bool {
    let mut conditions = object.data["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
