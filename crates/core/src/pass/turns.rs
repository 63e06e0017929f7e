//! How much is done at a time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many tenants of a server are in hand at a time, whatever passes they belong to.
#[derive(Clone, Debug)]
pub struct Turns {
    pub(super) most: usize,
    free: Arc<Semaphore>,
}

impl Turns {
    /// As many at a time.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, free: Arc::new(Semaphore::new(most)) }
    }

    /// Waits for a turn; whoever asked first has it first.
    pub(super) async fn next(&self) -> OwnedSemaphorePermit {
        self.free.clone().acquire_owned().await.expect("the turns never end")
    }
}
