//! What ends a command, and with which exit code.

use std::process::ExitCode;

use tenantdb_api::Diagnostics;
use tenantdb_core::{Failure, FailureKind, Outcome};

use crate::output::{style, tell};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is done.
    Done,
    /// Something failed while doing it.
    Failed,
    /// The input is wrong, and nothing was touched.
    WrongInput,
    /// Changes are pending.
    Pending,
    /// Something was refused; the rest is done.
    Refused,
    /// The user asked to stop.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::WrongInput => 2,
            Exit::Pending => 3,
            Exit::Refused => 4,
            Exit::Interrupted => 130,
        })
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::Refused => Self::Refused,
            Outcome::Failed => Self::Failed,
            Outcome::Interrupted => Self::Interrupted,
        }
    }
}

impl Exit {
    /// The one of two that says more: wrong input, then failed, then refused, then pending.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        let rank = |exit: Self| match exit {
            Self::Done => 0,
            Self::Pending => 1,
            Self::Refused => 2,
            Self::Failed => 3,
            Self::WrongInput => 4,
            Self::Interrupted => 5,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

/// Why a command could not go on.
#[derive(Debug)]
pub enum Error {
    /// The declarations are wrong.
    Diagnostics(Diagnostics),
    /// Something else about the call is wrong.
    Input {
        /// What.
        message: String,
        /// What to do next.
        hint: Option<String>,
    },
    /// It failed.
    Failure(Failure),
}

impl Error {
    /// A failure without a hint.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failure(Failure::new(FailureKind::Rejected, message))
    }

    /// Something wrong about the call.
    pub fn input(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Input { message: message.into(), hint: Some(hint.into()) }
    }

    /// What happened, in a line.
    pub fn message(&self) -> String {
        match self {
            Self::Diagnostics(diagnostics) => diagnostics.to_string(),
            Self::Input { message, .. } => message.clone(),
            Self::Failure(failure) => failure.to_string(),
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Diagnostics(_) => None,
            Self::Input { hint, .. } => hint.clone(),
            Self::Failure(failure) => failure.hint.clone(),
        }
    }

    /// How the command ends because of it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Diagnostics(_) | Self::Input { .. } => Exit::WrongInput,
            Self::Failure(failure) if failure.kind == FailureKind::Interrupted => Exit::Interrupted,
            Self::Failure(_) => Exit::Failed,
        }
    }

    /// Tells the user, and how the command ends because of it.
    pub fn report(self) -> Exit {
        let exit = self.exit();
        match self {
            Self::Diagnostics(diagnostics) => {
                tell!("{}", diagnostics.render(style::colours_stderr()).trim_end_matches('\n'));
            }
            Self::Input { message, hint } => style::error(&message, hint.as_deref()),
            Self::Failure(failure) => style::error(&failure.to_string(), failure.hint.as_deref()),
        }
        exit
    }
}

impl From<Diagnostics> for Error {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Diagnostics(diagnostics)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<tenantdb_local::Error> for Error {
    fn from(error: tenantdb_local::Error) -> Self {
        let hint = error.hint();
        Self::Failure(Failure { hint, ..Failure::new(FailureKind::Unreachable, error.to_string()) })
    }
}

impl From<tenantdb_local::NotFound> for Error {
    fn from(error: tenantdb_local::NotFound) -> Self {
        Self::Failure(Failure::new(FailureKind::Unreachable, error.to_string()).hint(error.hint()))
    }
}
