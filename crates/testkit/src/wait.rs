//! Waiting for something to become true.

use std::time::{Duration, Instant};

const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(500);

/// Polls until `condition` holds; panics when it doesn't within `timeout`. Blocks the thread.
#[track_caller]
pub fn wait_until(timeout: Duration, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < timeout, "waited for {timeout:?} in vain");
        std::thread::sleep(pause(begin));
    }
}

/// Polls an asynchronous condition until it holds; panics when it doesn't within `timeout`.
pub async fn wait_until_async(timeout: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !condition().await {
        assert!(begin.elapsed() < timeout, "waited for {timeout:?} in vain");
        tokio::time::sleep(pause(begin)).await;
    }
}

/// A tenth of the time that it has taken so far: whoever asks all the time takes the processor from what is waited for.
fn pause(begin: Instant) -> Duration {
    (begin.elapsed() / 10).clamp(SHORTEST, LONGEST)
}
