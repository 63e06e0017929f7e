//! The right to write to a server, where several processes take turns.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::{Failure, FailureKind};

/// How long a process may write. It runs out by this machine's own clock unless it is renewed, also for a process that
/// was stopped meanwhile and notices nothing.
#[derive(Clone, Debug, Default)]
pub struct Tenure {
    /// For ever when absent.
    until: Option<Arc<Mutex<Instant>>>,
    ended: Arc<AtomicBool>,
}

impl Tenure {
    /// One that runs out then.
    #[must_use]
    pub fn until(time: Instant) -> Self {
        Self { until: Some(Arc::new(Mutex::new(time))), ended: Arc::default() }
    }

    /// Has it, and every part of it, run out later.
    pub fn renew(&self, until: Instant) {
        if let Some(time) = &self.until {
            *time.lock().unwrap_or_else(PoisonError::into_inner) = until;
        }
    }

    /// One that runs out at the same time, and can end before.
    #[must_use]
    pub fn part(&self) -> Self {
        Self { until: self.until.clone(), ended: Arc::default() }
    }

    /// Ends it for good.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Whether it has ended or run out.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let has_run_out = |time: &Arc<Mutex<Instant>>| {
            let until = *time.lock().unwrap_or_else(PoisonError::into_inner);
            Instant::now() >= until
        };
        self.ended.load(Ordering::SeqCst) || self.until.as_ref().is_some_and(has_run_out)
    }

    /// Goes on, or stops.
    ///
    /// # Errors
    /// When it is over.
    pub fn check(&self) -> Result<(), Failure> {
        if self.is_over() {
            let message = "this process may not write to the server any more: another one does, or may by now";
            return Err(Failure::new(FailureKind::Interrupted, message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_part_runs_out_with_the_whole_and_ends_alone() {
        let now = Instant::now();
        let whole = Tenure::until(now + Duration::from_hours(1));
        let (one, other) = (whole.part(), whole.part());
        one.end();
        assert!(one.is_over() && one.check().is_err());
        assert!(!whole.is_over() && !other.is_over() && other.check().is_ok());
        whole.renew(now);
        assert!(whole.is_over() && other.is_over());
        whole.renew(now + Duration::from_hours(1));
        assert!(one.is_over() && !other.is_over());
    }

    #[test]
    fn nobody_else_writes_where_nothing_runs_out() {
        assert!(!Tenure::default().is_over());
    }
}
