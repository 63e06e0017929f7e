//! `tenantdb delete`.

use std::sync::Arc;
use std::time::Instant;

use tenantdb_api::Diagnostics;
use tenantdb_core::{Depth, Engine, Removal, Report, Request};

use super::Context;
use super::apply::carry_out;
use super::consent::Asking;
use super::named::{self, Target};
use crate::arguments::DeleteArguments;
use crate::engines::for_engine;
use crate::error::{Error, Exit};
use crate::input::{Draft, ServerInput};
use crate::output::report::{Told, Totals};
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
        let removed = remove(context, target, asking, Removal::Asked).await;
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

/// Removes what a target names, for a reason.
pub async fn remove(context: &Context, target: Target, asking: Asking, why: Removal) -> Result<Report, Error> {
    let server = &target.server.resource;
    // A local server that was never started holds nothing, and is not made to see that.
    let (reached, is_new) = match server::look(context, server).await? {
        Some(reached) => (reached, false),
        None => (server::unconnected(context, server)?, true),
    };
    for_engine!(reached, connected => {
        let request = connected.request(server, &target.authority).removing(target.claims, why);
        let removed = remove_from(&connected, request, is_new, asking).await;
        connected.pass.engine.close().await;
        removed
    })
}

async fn remove_from<E: Engine>(
    connected: &Connected<E>,
    request: Request,
    is_new: bool,
    asking: Asking,
) -> Result<Report, Error> {
    let desired = request.into();
    let observed = if is_new { E::Observed::default() } else { connected.observe(&desired, Depth::Shallow).await? };
    let plan = connected.pass.plan_from(&desired, &observed, Depth::Shallow).await?;
    carry_out(connected, &desired, Arc::new(observed), plan, asking).await
}
