//! Scripts that a tenant begins with.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::{Digest, Engine};

/// A script that its engine can run.
#[derive(Clone, PartialEq)]
pub struct Script {
    name: String,
    text: Arc<str>,
    digest: Digest,
}

/// What is wrong with a script, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The bytes that it is about.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: &'static str,
}

impl Script {
    /// Checks a script of an engine; `name` is what it was declared as.
    ///
    /// # Errors
    /// Everything in it that the engine can't run.
    pub fn checked<E: Engine>(name: String, text: String) -> Result<Self, Vec<Fault>> {
        let faults = E::faults(&text);
        let digest = Digest::of(text.as_bytes());
        if faults.is_empty() { Ok(Self { name, text: text.into(), digest }) } else { Err(faults) }
    }

    /// What it was declared as.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells it from every other script.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What is sent.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is in it may be a secret.
        f.debug_struct("Script").field("name", &self.name).field("digest", &self.digest).finish_non_exhaustive()
    }
}
