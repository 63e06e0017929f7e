//! What went wrong while doing it.

use std::fmt;

/// A failure: what happened, where, and what to do next. It never holds a secret or a whole statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What sort of failure it is.
    pub kind: FailureKind,
    /// Where, from the outside in: server, database, kind of statement.
    pub place: Vec<String>,
    /// What happened.
    pub message: String,
    /// The server's own code for it, such as an SQLSTATE.
    pub code: Option<String>,
    /// What to do next.
    pub hint: Option<String>,
}

/// What sort of failure it is, as far as somebody decides by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The server can't be reached, or went away.
    Unreachable,
    /// The server refused what was asked.
    Rejected,
    /// The server refused the login itself.
    LoginRefused,
    /// What was planned no longer fits what is there; look again.
    Stale,
    /// The session that holds the locks is gone: nothing more may be written.
    LockLost,
    /// Someone else holds the tenant.
    Held,
    /// The user asked to stop.
    Interrupted,
    /// A credential's place could not be read or written.
    Place,
    /// Something that a declaration refers to is not there yet.
    Waiting,
    /// It is somebody else's.
    Conflict,
}

impl Failure {
    /// A failure without a place or a hint.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, place: Vec::new(), message: message.into(), code: None, hint: None }
    }

    /// The same failure, seen from further out.
    #[must_use]
    pub fn within(mut self, place: impl Into<String>) -> Self {
        self.place.insert(0, place.into());
        self
    }

    /// The same failure with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether the server gave it this code.
    #[must_use]
    pub fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// The failure of someone who was asked to stop.
    #[must_use]
    pub fn interrupted() -> Self {
        Self::new(FailureKind::Interrupted, "interrupted before it was done").hint("run it again to finish")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
