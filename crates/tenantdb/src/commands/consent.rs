//! Asking the user.

use std::io::{self, IsTerminal as _};

use tenantdb_core::Failure;

use crate::error::Error;

/// What the user said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Yes,
    /// Don't.
    No,
    /// There is nobody to ask.
    Nobody,
}

/// Whether there is somebody to ask.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks on a terminal; `yes` is the answer that was given beforehand.
///
/// # Errors
/// When the user interrupts the question.
pub fn ask(yes: bool, question: &str) -> Result<Answer, Error> {
    if yes {
        return Ok(Answer::Yes);
    }
    if !can_ask() {
        return Ok(Answer::Nobody);
    }
    match dialoguer::Confirm::new().with_prompt(question).default(false).interact() {
        Ok(true) => Ok(Answer::Yes),
        Ok(false) => Ok(Answer::No),
        Err(error) => {
            // It was hidden for the question, and whoever interrupts one gets it back.
            let _ = dialoguer::console::Term::stderr().show_cursor();
            let dialoguer::Error::IO(error) = error;
            Err(match error.kind() {
                io::ErrorKind::Interrupted => Failure::interrupted().into(),
                _ => Error::input(format!("can't ask: {error}"), "run it with --yes"),
            })
        }
    }
}
