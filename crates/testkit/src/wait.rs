//! Waiting for something to become true.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);

/// Polls until `condition` holds; panics when it doesn't within `timeout`. Blocks the thread.
#[track_caller]
pub fn wait_until(timeout: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + timeout;
    while !condition() {
        assert!(Instant::now() < deadline, "waited for {timeout:?} in vain");
        std::thread::sleep(PAUSE);
    }
}

/// Polls an asynchronous condition until it holds; panics when it doesn't within `timeout`.
pub async fn wait_until_async(timeout: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + timeout;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited for {timeout:?} in vain");
        tokio::time::sleep(PAUSE).await;
    }
}
