//! How long to wait after something failed.

use std::time::Duration;

/// How long at first; twice as long each time after.
const FIRST: Duration = Duration::from_secs(1);

/// How long to wait after so many failures.
pub(crate) fn pause(failures: u32, longest: Duration) -> Duration {
    longest.min(FIRST * 2_u32.saturating_pow(failures.clamp(1, 10) - 1))
}
