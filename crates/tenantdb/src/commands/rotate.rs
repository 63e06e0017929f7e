//! `tenantdb rotate`.

use std::sync::Arc;
use std::time::Instant;

use tenantdb_core::{Depth, Engine as _, Report};

use super::Context;
use super::apply::carry_out;
use super::consent::Asking;
use super::named::{self, Target};
use crate::arguments::RotateArguments;
use crate::engines::for_engine;
use crate::error::{Error, Exit};
use crate::output::report::{Told, Totals};
use crate::server;

const ON_SEVERAL: &str = "`tenantdb server forget` makes this home forget the one that is not meant";

/// Retires the logins that databases had before they were adopted.
pub async fn run(context: &Context, arguments: RotateArguments) -> Result<Exit, Error> {
    if !arguments.retire {
        return Err(Error::input(
            "a new password for a login that works is not supported yet",
            "only `--retire` is, which takes an adopted database's earlier login away",
        ));
    }
    let began = Instant::now();
    let targets = named::find(context, &arguments.namespace, &arguments.names, ON_SEVERAL).await?;
    let asking = Asking::of(arguments.yes, arguments.output);
    let mut told = Told::new(arguments.output);
    for target in targets {
        let (server, number) = (target.server.resource.metadata.name.clone(), target.claims.len());
        let retired = retire(context, target, asking).await;
        told.add(context, &server, number, retired);
    }
    told.finish(began.elapsed(), Totals::summary)
}

async fn retire(context: &Context, target: Target, asking: Asking) -> Result<Report, Error> {
    let server = &target.server.resource;
    let reached = server::connect(context, server).await?;
    for_engine!(reached, connected => {
        let mut request = connected.request(server, &target.authority);
        request.retirements.extend(target.claims);
        let retired = async {
            let desired = request.into();
            let observed = connected.observe(&desired, Depth::Shallow).await?;
            let plan = connected.pass.plan_from(&desired, &observed, Depth::Shallow).await?;
            carry_out(&connected, &desired, Arc::new(observed), plan, asking).await
        };
        let retired = retired.await;
        connected.pass.engine.close().await;
        retired
    })
}
