//! One module a command.

mod apply;
mod credentials;
mod delete;
mod plan;
mod server;
mod status;

use tenantdb_core::Interrupt;

use crate::arguments::{Arguments, Command};
use crate::error::{Error, Exit};
use crate::home::Home;

/// What every command works with.
pub struct Context {
    /// Where state is kept.
    pub home: Home,
    /// The wish to stop.
    pub interrupt: Interrupt,
}

impl Context {
    /// Tells what failed, and how the run ends for it; a stop that the user asked for is no failure.
    fn report(&self, error: Error) -> Exit {
        let exit = error.report();
        if self.interrupt.is_set() { Exit::Interrupted } else { exit }
    }
}

/// Runs what the command line asks for.
pub async fn run(arguments: Arguments, interrupt: Interrupt) -> Result<Exit, Error> {
    let context = Context { home: Home::locate()?, interrupt };
    match arguments.command {
        Command::Plan(arguments) => plan::run(&context, arguments).await,
        Command::Apply(arguments) => apply::run(&context, arguments).await,
        Command::Status(arguments) => status::run(&context, arguments).await,
        Command::Credentials(arguments) => credentials::run(&context, &arguments),
        Command::Delete(arguments) => delete::run(&context, arguments).await,
        Command::Server(command) => server::run(&context, command).await,
    }
}
