//! One module a command.

mod apply;
mod credentials;
mod delete;
mod plan;
mod server;
mod status;

use tenantdb_api::Diagnostics;
use tenantdb_core::{Authority, Endpoint, Interrupt};
use tenantdb_postgres::Desired;

use crate::arguments::{Arguments, Command};
use crate::error::{Error, Exit};
use crate::home::Home;
use crate::input::ServerInput;

/// What every command works with.
pub struct Context {
    /// Where state is kept.
    pub home: Home,
    /// The wish to stop.
    pub interrupt: Interrupt,
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

/// Resolves and checks the declarations of every server, before any of them is touched; all that is wrong is told at
/// once.
fn check(servers: &[ServerInput], authority: &Authority) -> Result<(), Error> {
    let mut problems = Diagnostics::default();
    for input in servers {
        let endpoint = crate::server::unknown_endpoint(&input.server.resource);
        if let Err(found) = resolve(input, authority, endpoint) {
            problems.extend(found);
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
}

/// What a server should be, once it is known what applications are told to connect to.
fn resolve(input: &ServerInput, authority: &Authority, endpoint: Endpoint) -> Result<Desired, Diagnostics> {
    let admin = crate::server::admin_name(&input.server.resource);
    Desired::resolve(&input.server, &input.tenants, authority, &admin, endpoint)
}
