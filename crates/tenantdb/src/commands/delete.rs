//! `tenantdb delete`.

use std::time::Instant;

use tenantdb_api::{Declared, Diagnostics, ObjectName, did_you_mean};
use tenantdb_core::{Authority, Claim, Depth, Engine as _, Failure, FailureKind};
use tenantdb_postgres::{Desired, Observed, Postgres};

use super::Context;
use super::apply::carry_out;
use super::consent::Asking;
use crate::arguments::DeleteArguments;
use crate::error::{Error, Exit};
use crate::input::{self, Draft, ServerInput};
use crate::output::report::{Told, Totals};
use crate::resolve::Looked;
use crate::server::{self, Connected};

/// Deletes what is named, as far as the policies say that the ledgers recorded.
pub async fn run(context: &Context, arguments: DeleteArguments) -> Result<Exit, Error> {
    let began = Instant::now();
    let (targets, exit) = if arguments.files.is_empty() {
        by_name(context, &arguments).await?
    } else {
        (by_file(context, &arguments)?, Exit::Done)
    };
    let asking = Asking::of(arguments.yes, arguments.output);
    let mut told = Told::new(arguments.output);
    told.exit = exit;
    for target in targets {
        let (server, number) = (target.server.resource.metadata.name.clone(), target.claims.len());
        let removed = remove(context, target, asking).await;
        told.add(context, &server, number, removed);
    }
    told.finish(began.elapsed(), Totals::deletion_summary)
}

/// What is deleted from one server.
struct Target {
    server: Declared<tenantdb_api::DatabaseServer>,
    authority: Authority,
    claims: Vec<Claim>,
}

fn by_file(context: &Context, arguments: &DeleteArguments) -> Result<Vec<Target>, Error> {
    let input = Draft::read(&arguments.files, &context.home)?.checked(Diagnostics::default(), &context.home)?;
    let authority = input.authority;
    let target = |ServerInput { server, tenants, .. }| Target {
        server,
        claims: tenants.iter().map(|tenant| Desired::claim(&authority, &tenant.resource)).collect(),
        authority: authority.clone(),
    };
    Ok(input.servers.into_iter().filter(|server| !server.tenants.is_empty()).map(target).collect())
}

/// Finds each name in the ledgers of the servers that were used from here.
async fn by_name(context: &Context, arguments: &DeleteArguments) -> Result<(Vec<Target>, Exit), Error> {
    let authority = input::authority(&context.home)?;
    let mut targets = Vec::new();
    let mut unfound: Vec<&ObjectName> = arguments.names.iter().collect();
    let (mut known, mut others) = (Vec::new(), Vec::new());
    let mut exit = Exit::Done;
    for server in context.home.servers()? {
        let all = match claims(context, &server).await {
            Ok(all) => all,
            Err(error) => {
                exit = exit.worst(error.report());
                continue;
            }
        };
        let (held, theirs): (Vec<Claim>, Vec<Claim>) = all.into_iter().partition(|claim| claim.authority == authority);
        known.extend(held.iter().map(|claim| claim.name.to_string()));
        let wanted = |claim: &Claim| claim.namespace == arguments.namespace && arguments.names.contains(&claim.name);
        others.extend(theirs.into_iter().filter(wanted));
        let claims: Vec<Claim> = held.into_iter().filter(wanted).collect();
        if let Some(twice) = claims.iter().find(|claim| !unfound.contains(&&claim.name)) {
            return Err(Error::input(
                format!("{} is on several servers", twice.path()),
                "delete it with -f and the file that declares it with its server",
            ));
        }
        unfound.retain(|name| !claims.iter().any(|claim| claim.name == **name));
        if !claims.is_empty() {
            targets.push(Target { server: Declared::synthetic(server), authority: authority.clone(), claims });
        }
    }
    let Some(name) = unfound.first() else { return Ok((targets, exit)) };
    if exit != Exit::Done {
        // It may well be there: nothing similar is proposed for deletion.
        let message = format!("database {}/{name} is on none of the servers that answered", arguments.namespace);
        return Err(Error::Failure(
            Failure::new(FailureKind::Unreachable, message).hint("see why the others don't, and run it again"),
        ));
    }
    if let Some(other) = others.iter().find(|claim| claim.name == **name) {
        return Err(Error::input(
            format!("{} is a database of {}, and not of {authority}", other.path(), other.authority),
            "run it in the folder of that project; `tenantdb server takeover` is for one that is lost",
        ));
    }
    let otherwise = "`tenantdb status` lists them all; -n names another namespace";
    let hint = did_you_mean(name.as_str(), known.iter().map(String::as_str), otherwise);
    Err(Error::input(format!("no database {}/{name} of {authority}", arguments.namespace), hint))
}

/// The claims that a server holds, whoever's they are.
async fn claims(context: &Context, server: &tenantdb_api::DatabaseServer) -> Result<Vec<Claim>, Error> {
    let asked = context.ask(server, async |_, observed| {
        Ok(Postgres::tenants(&observed).into_iter().map(|tenant| tenant.claim).collect())
    });
    asked.await.map(Option::unwrap_or_default)
}

async fn remove(context: &Context, target: Target, asking: Asking) -> Result<tenantdb_core::Report, Error> {
    let server = &target.server.resource;
    // A local server that was never started holds nothing, and is not made to see that.
    let (connected, is_new) = match server::look(server, &context.home, &context.interrupt)? {
        Some(connected) => (connected, false),
        None => (server::unconnected(server, &context.home, &context.interrupt)?, true),
    };
    let desired = Desired::nothing(server, &target.authority, connected.endpoint.clone()).removing(target.claims);
    let looked = look(&connected, desired, is_new).await;
    let report = match looked {
        Ok(looked) => carry_out(&connected, looked, asking).await,
        Err(error) => Err(error),
    };
    connected.pass.engine.close().await;
    report
}

async fn look(connected: &Connected, desired: Desired, is_new: bool) -> Result<Looked, Error> {
    let observed = if is_new { Observed::nothing() } else { connected.observe(&desired, Depth::Shallow).await? };
    let plan = connected.pass.plan_from(&desired, &observed, Depth::Shallow).await?;
    Ok(Looked { desired, observed, plan })
}
