//! What belongs to no server: declarations that none is there for, and namespaces.

mod stranded;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::protect::namespaces::Namespaces;
use crate::shared::Shared;
use stranded::strand;

/// How long to gather what changes before it is looked at.
const GATHERING: Duration = Duration::from_millis(50);

/// Works until the term ends.
pub(crate) async fn work(shared: Arc<Shared>, wake: Arc<Notify>) {
    let namespaces = Namespaces::new(shared.client.clone());
    let mut letting_go = JoinSet::new();
    while !shared.interrupt.is_set() {
        strand(&shared, &mut letting_go);
        namespaces.label(&shared).await;
        wake.notified().await;
        tokio::time::sleep(GATHERING).await;
    }
    letting_go.shutdown().await;
}
