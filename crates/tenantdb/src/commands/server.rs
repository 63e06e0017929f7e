//! `tenantdb server`.

mod accept_ledger;
mod bootstrap;
mod takeover;

use tenantdb_api::database_server::SourceKind;
use tenantdb_api::{DatabaseServer, ObjectName};
use tenantdb_local::{LocalServer, State};

use super::Context;
use crate::arguments::ServerCommand;
use crate::engines::ask;
use crate::error::{Error, Exit};
use crate::output::{count, say, style, table};
use crate::server;

/// Runs what is asked of servers.
pub async fn run(context: &Context, command: ServerCommand) -> Result<Exit, Error> {
    match command {
        ServerCommand::Start(server) => start(context, &server.name),
        ServerCommand::Stop(server) => stop(context, &server.name),
        ServerCommand::Status(server) => status(context, &server.name).await,
        ServerCommand::Forget(server) => forget(context, &server.name),
        ServerCommand::Bootstrap(arguments) => bootstrap::run(context, arguments).await,
        ServerCommand::Takeover(arguments) => takeover::run(context, arguments).await,
        ServerCommand::AcceptLedger(arguments) => accept_ledger::run(context, arguments).await,
        ServerCommand::List => list(context),
    }
}

fn start(context: &Context, name: &ObjectName) -> Result<Exit, Error> {
    refuse_remote(context, name)?;
    let running = server::start(name, &context.home)?;
    say!("{name} is running at {}:{}", running.host, running.port);
    Ok(Exit::Done)
}

fn stop(context: &Context, name: &ObjectName) -> Result<Exit, Error> {
    refuse_remote(context, name)?;
    let server = local(context, name)?;
    if server.state()? == State::Uninitialised {
        return Err(unknown(context, name));
    }
    server.stop()?;
    say!("{name} is stopped; its data stays");
    Ok(Exit::Done)
}

fn local(context: &Context, name: &ObjectName) -> Result<LocalServer, Error> {
    Ok(LocalServer::new(context.home.root(), name.as_str())?)
}

async fn status(context: &Context, name: &ObjectName) -> Result<Exit, Error> {
    let local = local(context, name)?;
    let declared = context.home.servers()?.into_iter().find(|server| server.metadata.name == *name);
    let Some(server) = declared else {
        if local.state()? == State::Uninitialised {
            return Err(unknown(context, name));
        }
        say!("{name}: {}", local_state(&local)?);
        return Ok(Exit::Done);
    };
    if server.source() == SourceKind::Local && !matches!(local.state()?, State::Running { .. }) {
        say!("{name}: {}", local_state(&local)?);
        return Ok(Exit::Done);
    }
    let asked = ask!(context, &server, seen => {
        let tenants = count(seen.inventory().len(), "database");
        say!("{name}: {} at {}, {tenants}", seen.version(), seen.connected.address);
        Ok(())
    });
    if asked?.is_none() {
        say!("{name}: never started");
    }
    Ok(Exit::Done)
}

fn forget(context: &Context, name: &ObjectName) -> Result<Exit, Error> {
    let known = context.home.servers()?;
    if !known.iter().any(|server| server.metadata.name == *name)
        && local(context, name)?.state()? != State::Uninitialised
    {
        let message = format!("nothing was ever declared for the local server `{name}`, so there is nothing to forget");
        let folder = context.home.root().join("servers").join(name.as_str());
        let hint =
            format!("to be rid of it and its data: `tenantdb server stop {name}`, and remove {}", folder.display());
        return Err(Error::input(message, hint));
    }
    context.home.forget(name)?;
    say!("{name} is forgotten; the server, what is on it, and the credentials from it stay as they are");
    Ok(Exit::Done)
}

fn list(context: &Context) -> Result<Exit, Error> {
    let mut rows = Vec::new();
    let known = context.home.servers()?;
    for server in &known {
        let (kind, address) = match server.source() {
            SourceKind::Local => ("local", local_state(&local(context, &server.metadata.name)?)?),
            SourceKind::Endpoint(endpoint) => ("endpoint", format!("{}:{}", endpoint.host, endpoint.port)),
            SourceKind::Cnpg(cluster) => ("cnpg", format!("{}/{}", cluster.namespace, cluster.cluster)),
            SourceKind::StackGres(cluster) => ("stackgres", format!("{}/{}", cluster.namespace, cluster.cluster)),
        };
        rows.push(vec![server.metadata.name.to_string(), kind.to_owned(), address]);
    }
    for local in LocalServer::list(context.home.root())? {
        if !known.iter().any(|server| server.metadata.name.as_str() == local.name()) {
            rows.push(vec![local.name().to_owned(), "local".to_owned(), local_state(&local)?]);
        }
    }
    if rows.is_empty() {
        style::note("no server was used from here yet; `tenantdb server start NAME` makes a local one");
        return Ok(Exit::Done);
    }
    rows.sort();
    table::print(&["NAME", "SOURCE", "ADDRESS"], &rows);
    Ok(Exit::Done)
}

fn local_state(server: &LocalServer) -> Result<String, Error> {
    Ok(match server.state()? {
        State::Uninitialised => "never started".to_owned(),
        State::Stopped => "stopped".to_owned(),
        State::Running { port, .. } => format!("127.0.0.1:{port}"),
    })
}

/// Only local servers are started and stopped.
fn refuse_remote(context: &Context, name: &ObjectName) -> Result<(), Error> {
    let is_remote = |server: &DatabaseServer| server.metadata.name == *name && server.source() != SourceKind::Local;
    if context.home.servers()?.iter().any(is_remote) {
        return Err(Error::input(format!("server `{name}` is not a local one"), "whoever runs it starts and stops it"));
    }
    Ok(())
}

fn unknown(context: &Context, name: &ObjectName) -> Error {
    match context.home.server(name) {
        Err(error) => error,
        Ok(_) => Error::input(format!("server `{name}` was never started"), "`tenantdb server start` makes it"),
    }
}
