//! `tenantdb orphans`.

use tenantdb_api::DatabaseServer;
use tenantdb_core::Engine as _;
use tenantdb_postgres::Postgres;

use super::{Context, status, take_in};
use crate::arguments::{OrphansArguments, Output};
use crate::error::{Error, Exit};
use crate::output::json::{self, Orphans, Status};
use crate::output::{style, table, units};

/// Lists what deletions left behind, whoever's it was.
pub async fn run(context: &Context, arguments: OrphansArguments) -> Result<Exit, Error> {
    let mut found = Orphans::default();
    let mut exit = Exit::Done;
    for server in context.home.servers()? {
        let answer = of_server(context, &server).await;
        exit = exit.worst(take_in(answer, &mut found.orphans, &mut found.failures));
    }
    if arguments.output == Output::Json {
        json::print(found)?;
        return Ok(exit);
    }
    if found.orphans.is_empty() {
        if exit == Exit::Done {
            style::note("nothing was left behind on the servers that were used from here");
        }
        return Ok(exit);
    }
    let header = ["NAMESPACE", "NAME", "SERVER", "DATABASE", "SIZE", "LEFT", "OF"];
    let rows: Vec<Vec<String>> = found.orphans.iter().map(cells).collect();
    table::print(&header, &rows);
    Ok(exit)
}

fn cells(status: &Status) -> Vec<String> {
    let Status { name, server, size, orphaned_since, .. } = status;
    vec![
        name.namespace.clone(),
        name.label(),
        server.clone(),
        name.database.clone(),
        size.map_or_else(|| "gone".to_owned(), units::size),
        orphaned_since.map_or_else(String::new, |since| format!("{} ago", units::age(since))),
        name.authority.clone(),
    ]
}

async fn of_server(context: &Context, server: &DatabaseServer) -> Result<Vec<Status>, Error> {
    let asked = context.ask(server, async |connected, observed| {
        let vitals = connected.pass.engine.vitals(&observed).await?;
        let orphans = Postgres::tenants(&observed).into_iter().filter(|tenant| tenant.phase == "Orphaned");
        let name = &server.metadata.name;
        Ok(orphans.map(|tenant| status::of_ledger(name, &tenant, vitals.get(&tenant.claim))).collect())
    });
    asked.await.map(Option::unwrap_or_default)
}
