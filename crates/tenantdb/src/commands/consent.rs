//! Asking the user.

use std::io::{self, IsTerminal as _};

use tenantdb_core::Failure;

use crate::arguments::Output;
use crate::error::Error;

/// Who consents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// The user did beforehand, by `--yes`.
    Consented,
    /// The user, who is at a terminal.
    User,
    /// Nobody can be asked.
    Nobody,
}

impl Asking {
    /// Who consents to what a command is about to do. What prints for programs asks nobody.
    pub fn of(yes: bool, output: Output) -> Self {
        match output {
            _ if yes => Self::Consented,
            Output::Text if io::stdin().is_terminal() && io::stderr().is_terminal() => Self::User,
            Output::Text | Output::Json => Self::Nobody,
        }
    }

    /// Whether there is consent; a user is asked.
    ///
    /// # Errors
    /// When the user interrupts the question.
    pub fn ask(self, question: &str) -> Result<bool, Error> {
        match self {
            Self::Consented => return Ok(true),
            Self::Nobody => return Ok(false),
            Self::User => {}
        }
        dialoguer::Confirm::new().with_prompt(question).default(false).interact().map_err(|error| {
            // It was hidden for the question, and whoever interrupts one gets it back.
            let _ = dialoguer::console::Term::stderr().show_cursor();
            let dialoguer::Error::IO(error) = error;
            match error.kind() {
                io::ErrorKind::Interrupted => Failure::interrupted().into(),
                _ => Error::input(format!("can't ask: {error}"), "run it with --yes"),
            }
        })
    }
}
