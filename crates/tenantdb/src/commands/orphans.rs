//! `tenantdb orphans`.

use std::time::Instant;

use tenantdb_api::DatabaseServer;
use tenantdb_core::{Phase, Removal};

use super::consent::Asking;
use super::named::{self, Hints};
use super::{Context, delete, status, take_in};
use crate::arguments::{OrphansArguments, Output};
use crate::engines::ask;
use crate::error::{Error, Exit};
use crate::input;
use crate::output::json::{self, Orphans, Status};
use crate::output::report::{Told, Totals};
use crate::output::{style, table, units};

/// Lists what deletions left behind, whoever's it was, or removes some of it for good.
pub async fn run(context: &Context, arguments: OrphansArguments) -> Result<Exit, Error> {
    if arguments.purge.is_empty() { list(context, &arguments).await } else { purge(context, arguments).await }
}

async fn purge(context: &Context, arguments: OrphansArguments) -> Result<Exit, Error> {
    let began = Instant::now();
    let OrphansArguments { purge, namespace, of, yes, output, context: _, place: _ } = arguments;
    let authority = of.map_or_else(|| input::authority(&context.home), Ok)?;
    let hints = Hints {
        on_several: "`tenantdb server forget` makes this home forget the one that is not meant",
        of_another: "`tenantdb orphans` tells whose it is; `--of AUTHORITY` removes it all the same",
    };
    let targets = named::find_of(context, authority, &namespace, &purge, hints).await?;
    let mut told = Told::new(output);
    for target in targets {
        let (server, number) = (target.server.resource.metadata.name.clone(), target.claims.len());
        let asking = Asking::of(yes, output);
        let purged = delete::remove(context, target, asking, Removal::Purged).await;
        told.add(context, &server, number, purged);
    }
    told.finish(began.elapsed(), Totals::deletion_summary)
}

async fn list(context: &Context, arguments: &OrphansArguments) -> Result<Exit, Error> {
    let mut found = Orphans::default();
    let mut exit = Exit::Done;
    for server in context.servers().await? {
        let answer = match server {
            Ok(server) => of_server(context, &server).await,
            Err(failure) => Err(failure.into()),
        };
        exit = exit.worst(take_in(answer, &mut found.orphans, &mut found.failures));
    }
    if arguments.output == Output::Json {
        json::print(found)?;
        return Ok(exit);
    }
    if found.orphans.is_empty() {
        if exit == Exit::Done {
            let which = if context.in_cluster { "of the cluster" } else { "that were used from here" };
            style::note(&format!("nothing was left behind on the servers {which}"));
        }
        return Ok(exit);
    }
    let header = ["NAMESPACE", "NAME", "SERVER", "DATABASE", "SIZE", "LEFT", "OF"];
    let rows: Vec<Vec<String>> = found.orphans.iter().map(cells).collect();
    table::print(&header, &rows);
    Ok(exit)
}

fn cells(status: &Status) -> Vec<String> {
    let Status { name, server, size, sessions, orphaned_since, .. } = status;
    // A role is there, and takes no place.
    let without_size = if sessions.is_some() { "-" } else { "gone" };
    vec![
        name.namespace.clone(),
        name.label(),
        server.clone(),
        name.database.clone(),
        size.map_or_else(|| without_size.to_owned(), units::size),
        orphaned_since.map_or_else(String::new, |since| format!("{} ago", units::age(since))),
        name.authority.clone(),
    ]
}

async fn of_server(context: &Context, server: &DatabaseServer) -> Result<Vec<Status>, Error> {
    let asked = ask!(context, server, seen => {
        let vitals = seen.vitals().await?;
        let inventory = seen.inventory();
        let orphans = inventory.iter().filter(|tenant| tenant.phase == Phase::Orphaned);
        let name = &server.metadata.name;
        Ok(orphans.map(|tenant| status::of_ledger(name, tenant, vitals.get(&tenant.claim))).collect())
    });
    asked.map(Option::unwrap_or_default)
}
