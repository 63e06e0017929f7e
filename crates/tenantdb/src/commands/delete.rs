//! `tenantdb delete`.

use std::time::Instant;

use tenantdb_api::Diagnostics;
use tenantdb_core::{Claim, Depth, Report};
use tenantdb_postgres::{Desired, Observed};

use super::Context;
use super::apply::carry_out;
use super::consent::Asking;
use super::named::{self, Target};
use crate::arguments::DeleteArguments;
use crate::error::{Error, Exit};
use crate::input::{Draft, ServerInput};
use crate::output::report::{Told, Totals};
use crate::resolve::Looked;
use crate::server::{self, Connected};

const ON_SEVERAL: &str = "delete it with -f and the file that declares it with its server";

/// Deletes what is named, as far as the policies say that the ledgers recorded.
pub async fn run(context: &Context, arguments: DeleteArguments) -> Result<Exit, Error> {
    let began = Instant::now();
    let targets = if arguments.files.is_empty() {
        named::find(context, &arguments.namespace, &arguments.names, ON_SEVERAL).await?
    } else {
        by_file(context, &arguments)?
    };
    let asking = Asking::of(arguments.yes, arguments.output);
    let mut told = Told::new(arguments.output);
    for target in targets {
        let (server, number) = (target.server.resource.metadata.name.clone(), target.claims.len());
        let removed = remove(context, target, asking, Desired::removing).await;
        told.add(context, &server, number, removed);
    }
    told.finish(began.elapsed(), Totals::deletion_summary)
}

fn by_file(context: &Context, arguments: &DeleteArguments) -> Result<Vec<Target>, Error> {
    let input = Draft::read(&arguments.files, &context.home)?.checked(Diagnostics::default(), &context.home)?;
    let authority = input.authority;
    let target = |input: ServerInput| Target {
        claims: input.claims(&authority).collect(),
        server: input.server,
        authority: authority.clone(),
    };
    Ok(input.servers.into_iter().filter(|server| !server.is_empty()).map(target).collect())
}

/// Removes what a target names, in the way that `removing` declares it.
pub async fn remove(
    context: &Context,
    target: Target,
    asking: Asking,
    removing: fn(Desired, Vec<Claim>) -> Desired,
) -> Result<Report, Error> {
    let server = &target.server.resource;
    // A local server that was never started holds nothing, and is not made to see that.
    let (connected, is_new) = match server::look(context, server).await? {
        Some(connected) => (connected, false),
        None => (server::unconnected(context, server)?, true),
    };
    let desired = Desired::nothing(server, &target.authority, connected.endpoint.clone());
    let desired = removing(desired, target.claims);
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
