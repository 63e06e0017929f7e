//! `tenantdb plan`.

use tenantdb_core::Depth;
use tenantdb_postgres::Observed;

use super::Context;
use crate::arguments::PlanArguments;
use crate::error::{Error, Exit};
use crate::input::Draft;
use crate::output::{plan as output, say, style};
use crate::resolve::{self, Looked};
use crate::server::{self, Reached};

/// Shows what would change and why.
pub async fn run(context: &Context, arguments: PlanArguments) -> Result<Exit, Error> {
    let input = resolve::check(context, Draft::read(&arguments.files.files, &context.home)?).await?;
    let depth = if arguments.refresh { Depth::Deep } else { Depth::Shallow };
    let mut totals = output::Totals::default();
    let mut exit = Exit::Done;
    for server in &input.servers {
        let declared = &server.server.resource;
        context.interrupt.check()?;
        let reached = match server::look(declared, &context.home, &context.interrupt) {
            Ok(reached) => reached,
            Err(error) => {
                totals.add_unknown(server.tenants.len());
                exit = exit.worst(context.report(error));
                continue;
            }
        };
        let (connected, is_new) = match reached {
            Reached::Connected(connected) => (connected, false),
            Reached::Uninitialised => {
                style::note(&format!("server {} was never started; it would be made", declared.metadata.name));
                (server::unconnected(declared, &context.home, &context.interrupt)?, true)
            }
        };
        let nothing = is_new.then(Observed::nothing);
        match resolve::look(context, &input, server, &connected, nothing, depth).await {
            Ok(Looked { plan, .. }) => {
                output::print(&plan);
                totals.add(&plan);
                if !plan.is_empty() && arguments.exit_code {
                    exit = exit.worst(Exit::Pending);
                }
            }
            Err(error) => {
                totals.add_unknown(server.tenants.len());
                exit = exit.worst(context.report(error));
            }
        }
        connected.pass.engine.close().await;
    }
    say!("{}", totals.summary());
    if arguments.exit_code && totals.refused() {
        exit = exit.worst(Exit::Refused);
    }
    Ok(exit)
}
