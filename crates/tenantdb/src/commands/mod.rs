//! One module a command.

mod apply;
mod completions;
mod consent;
mod crds;
mod credentials;
mod delete;
mod ensure;
mod exec;
mod history;
mod init;
mod install;
mod man;
mod named;
mod operator;
mod orphans;
mod plan;
mod resources;
mod rotate;
mod schema;
mod server;
mod status;

use std::io::{self, Write as _};

use tenantdb_api::{DatabaseServer, ObjectName, did_you_mean};
use tenantdb_core::{Failure, Interrupt};
use tenantdb_kubernetes::Cluster;

use crate::arguments::{Arguments, Command};
use crate::error::{Error, Exit};
use crate::home::Home;
use crate::output::json::Problem;

/// What every command works with.
pub struct Context {
    /// Where state is kept.
    pub home: Home,
    /// The cluster whose Secrets and resources are read, if any are.
    pub cluster: Cluster,
    /// Whether servers are those that the cluster declares, and not those that were used from here.
    pub in_cluster: bool,
    /// The wish to stop.
    pub interrupt: Interrupt,
}

impl Context {
    /// Tells what failed, and how the run ends for it; a stop that the user asked for is no failure.
    pub fn report(&self, error: Error) -> Exit {
        let exit = error.report();
        if self.interrupt.is_set() { Exit::Interrupted } else { exit }
    }

    /// The servers that a command without declarations is about; one that can't be used says why.
    async fn servers(&self) -> Result<Vec<Result<DatabaseServer, Failure>>, Error> {
        if self.in_cluster {
            return Ok(tenantdb_kubernetes::servers(self.cluster.client().await?).await?);
        }
        Ok(self.home.servers()?.into_iter().map(Ok).collect())
    }

    /// The one of them that has this name.
    async fn server(&self, name: &ObjectName) -> Result<DatabaseServer, Error> {
        if !self.in_cluster {
            return self.home.server(name);
        }
        let client = self.cluster.client().await?;
        if let Some(server) = tenantdb_kubernetes::server(client, name).await? {
            return Ok(server);
        }
        let known: Vec<DatabaseServer> = self.servers().await?.into_iter().filter_map(Result::ok).collect();
        let names = known.iter().map(|server| server.metadata.name.as_str());
        let hint = did_you_mean(name.as_str(), names, "`kubectl get databaseservers` lists them");
        Err(Error::input(format!("the cluster has no DatabaseServer {name}"), hint))
    }
}

/// Runs what the command line asks for.
pub async fn run(arguments: Arguments, interrupt: Interrupt) -> Result<Exit, Error> {
    let folder = arguments.command.credentials_folder().cloned();
    let cluster = Cluster::new(arguments.command.context().cloned());
    let in_cluster = arguments.command.is_about_a_cluster();
    let stop = interrupt.clone();
    let context =
        || Home::locate().map(|home| Context { home: home.delivering_to(folder), cluster, in_cluster, interrupt });
    match arguments.command {
        Command::Init(arguments) => init::run(&arguments),
        Command::Plan(arguments) => plan::run(&context()?, arguments).await,
        Command::Apply(arguments) => apply::run(&context()?, arguments).await,
        Command::Ensure(arguments) => ensure::run(&context()?, &arguments).await,
        Command::Status(arguments) => status::run(&context()?, arguments).await,
        Command::Credentials(arguments) => credentials::run(&context()?, &arguments).await,
        Command::Connect(arguments) => exec::connect(&context()?, &arguments).await,
        Command::Exec(arguments) => exec::run(&context()?, &arguments).await,
        Command::Rotate(arguments) => rotate::run(&context()?, arguments).await,
        Command::Delete(arguments) => delete::run(&context()?, arguments).await,
        Command::Orphans(arguments) => orphans::run(&context()?, arguments).await,
        Command::History(arguments) => history::run(&context()?, arguments).await,
        Command::Server(command) => server::run(&context()?, command).await,
        Command::Operator(arguments) => operator::run(&arguments, stop).await,
        Command::Crds => crds::run(),
        Command::Install(arguments) => install::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
    }
}

/// Takes in what a server answered. One that could not be asked is told at once, and stops no other.
fn take_in<T>(answer: Result<Vec<T>, Error>, found: &mut Vec<T>, failures: &mut Vec<Problem>) -> Exit {
    match answer {
        Ok(more) => {
            found.extend(more);
            Exit::Done
        }
        Err(error) => {
            failures.push(Problem::of_error(&error));
            error.report()
        }
    }
}

/// Prints a whole text as the command's result. Whoever stopped listening has read enough.
fn print(text: &[u8]) -> Result<Exit, Error> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::failed(format!("can't print: {error}"))),
        _ => Ok(Exit::Done),
    }
}
