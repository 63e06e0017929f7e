//! The wish to stop, which is looked at between statements.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Failure, Tenure};

/// Shared by everyone who works on a pass; set once.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    is_set: Arc<AtomicBool>,
    tenure: Tenure,
}

impl Interrupt {
    /// One for those who may write only so long.
    #[must_use]
    pub fn within(tenure: Tenure) -> Self {
        Self { is_set: Arc::default(), tenure }
    }

    /// How long whoever works on the pass may write.
    #[must_use]
    pub fn tenure(&self) -> &Tenure {
        &self.tenure
    }

    /// Asks everyone to stop before their next statement.
    pub fn set(&self) {
        self.is_set.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked, or nobody may go on.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst) || self.tenure.is_over()
    }

    /// Goes on, or stops.
    ///
    /// # Errors
    /// When somebody asked to stop, or nobody may go on.
    pub fn check(&self) -> Result<(), Failure> {
        self.tenure.check()?;
        if self.is_set() { Err(Failure::interrupted()) } else { Ok(()) }
    }
}
