//! `tenantdb server bootstrap`.

use tenantdb_api::database_server::SourceKind;
use tenantdb_api::{DatabaseServer, did_you_mean};
use tenantdb_core::reach::AdminLogin;
use tenantdb_core::{Depth, Engine as _, FailureKind, Risk};
use tenantdb_postgres::Postgres;

use super::Context;
use crate::arguments::{BootstrapArguments, Output};
use crate::commands::consent::Asking;
use crate::engines::Reached;
use crate::error::{Error, Exit};
use crate::input::{self, Draft, Input, ServerInput};
use crate::output::{plan, say, style};
use crate::resolve;
use crate::server::{self, Connected};

/// Makes a server ready for its declared administrator.
pub async fn run(context: &Context, arguments: BootstrapArguments) -> Result<Exit, Error> {
    let server = declared(context, &arguments).await?;
    let name = &server.metadata.name;
    if server.source() == SourceKind::Local {
        let message = format!("server `{name}` is a local one, which is made ready when it is made");
        return Err(Error::input(message, "apply its databases"));
    }
    let admin = server::administrator(context, &server).await?;
    let superuser = server::superuser(&arguments.superuser, &arguments.password(), &admin)?;
    server::warn_of_unverified(&server);
    let Reached::PostgreSQL(connected) = server::connect_as(context, &server, superuser)?;
    let done = as_superuser(&connected, &server, &admin, Asking::of(arguments.yes, Output::Text)).await;
    connected.pass.engine.close().await;
    let changed = match done? {
        Done::Refused => return Ok(Exit::Refused),
        Done::Changed => true,
        Done::Nothing => false,
    };
    context.interrupt.check()?;
    let Reached::PostgreSQL(connected) = server::connect_as(context, &server, admin)?;
    let done = as_administrator(context, &connected, &server).await;
    connected.pass.engine.close().await;
    if changed | done? {
        say!("{name} is ready: {} administers it, and the superuser's login is not needed again", connected.login);
    } else {
        say!("{name} is ready; nothing to do");
    }
    Ok(Exit::Done)
}

/// The server, as it is declared in what was given, else as it was when it was used last.
async fn declared(context: &Context, arguments: &BootstrapArguments) -> Result<DatabaseServer, Error> {
    let BootstrapArguments { name, files, .. } = arguments;
    if files.is_empty() {
        return context.home.server(name);
    }
    let Input { servers, others, .. } = resolve::check(context, Draft::read(files, &context.home)?).await?;
    let servers: Vec<ServerInput> = servers.into_iter().chain(others).collect();
    let names = servers.iter().map(|input| input.server.resource.metadata.name.as_str());
    let hint = did_you_mean(name.as_str(), names, "name a DatabaseServer of these files");
    let found = servers.iter().find(|input| input.server.resource.metadata.name == *name);
    let found = found.ok_or_else(|| Error::input(format!("there is no server `{name}`"), hint))?;
    Ok(found.server.resource.clone())
}

/// What came of the superuser's part.
enum Done {
    Nothing,
    Changed,
    Refused,
}

/// The part that takes a superuser: the administrator's login, and who may connect to the server's own databases.
async fn as_superuser(
    connected: &Connected<Postgres>,
    server: &DatabaseServer,
    admin: &AdminLogin,
    asking: Asking,
) -> Result<Done, Error> {
    let engine = &connected.pass.engine;
    let planned = engine.plan_bootstrap(admin, &server.spec.connect_for).await;
    let planned = planned.map_err(|failure| match failure.kind {
        FailureKind::LoginRefused => failure.hint("check --superuser, and where its password is taken from"),
        _ => failure,
    })?;
    plan::print(&planned);
    if planned.is_empty() {
        return Ok(Done::Nothing);
    }
    if planned.risk() > Risk::Safe && !asking.ask("This takes access away or changes a password. Go on?")? {
        style::error("needs consent; nothing was touched", Some("answer yes at the terminal, or run it with --yes"));
        return Ok(Done::Refused);
    }
    engine.bootstrap(&planned, admin).await?;
    Ok(Done::Changed)
}

/// The administrator's part, which proves its login: the estate and the ledger. Whether there was anything to do.
async fn as_administrator(
    context: &Context,
    connected: &Connected<Postgres>,
    server: &DatabaseServer,
) -> Result<bool, Error> {
    let authority = input::authority(&context.home)?;
    let desired = connected.request(server, &authority).into();
    let observed = connected.observe(&desired, Depth::Shallow).await?;
    let preparation = Postgres::preparation(&observed);
    connected.pass.engine.prepare(&preparation).await?;
    let ledger = connected.pass.engine.ledger_id().await?;
    context.home.remember(server, ledger.as_deref())?;
    Ok(!preparation.is_empty())
}
