//! `tenantdb status`.

use std::collections::BTreeMap;

use tenantdb_api::{ObjectName, did_you_mean};
use tenantdb_core::{Claim, Depth, Engine as _, Plan, TenantSummary};
use tenantdb_postgres::{Observed, Postgres, PostgresStep};

use super::Context;
use crate::arguments::StatusArguments;
use crate::error::{Error, Exit};
use crate::input::{self, Draft, Input, ServerInput};
use crate::output::{count, status as output, style};
use crate::resolve::{self, Looked};
use crate::server::{self, Connected, Reached};

/// Shows each database and how it is.
pub async fn run(context: &Context, arguments: StatusArguments) -> Result<Exit, Error> {
    let compared = !arguments.files.is_empty();
    let input = if compared {
        resolve::check(context, Draft::read(&arguments.files, &context.home)?).await?
    } else {
        let servers = context.home.servers()?.into_iter().map(ServerInput::known).collect();
        Input { authority: input::authority(&context.home)?, servers, others: Vec::new() }
    };
    let mut rows = Vec::new();
    let mut exit = Exit::Done;
    for server in &input.servers {
        let looked = look(context, &input, server).await;
        match looked {
            Ok(Some(Looked { observed, plan, .. })) => {
                rows.extend(rows_of(&server.server.resource.metadata.name, &observed, &plan, compared));
            }
            Ok(None) => {}
            Err(error) => {
                exit = exit.worst(error.report());
            }
        }
    }
    let known: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    rows.retain(|row| {
        arguments.namespace.as_ref().is_none_or(|namespace| row.namespace == namespace.as_str())
            && arguments.name.as_ref().is_none_or(|name| row.name == name.as_str())
    });
    if rows.is_empty() {
        if let Some(name) = &arguments.name {
            return Err(Error::input(
                format!("no database `{name}` on the servers that were used from here"),
                did_you_mean(name.as_str(), known.iter().map(String::as_str), "`tenantdb status` lists them all"),
            ));
        }
        match &arguments.namespace {
            _ if exit != Exit::Done => {}
            Some(namespace) if !known.is_empty() => style::note(&format!("no database in the namespace {namespace}")),
            _ if compared => style::note("no database is declared in what was given"),
            _ => style::note("no database yet; `tenantdb apply -f FILE` makes those that a file declares"),
        }
        return Ok(exit);
    }
    rows.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
    let header = ["NAMESPACE", "NAME", "SERVER", "DATABASE", "STATE", "PROTECTED", "CREDENTIAL"];
    let cells: Vec<Vec<String>> = rows.iter().map(Row::cells).collect();
    output::print(&header, &cells);
    Ok(exit)
}

async fn look(context: &Context, input: &Input, server: &ServerInput) -> Result<Option<Looked>, Error> {
    let connected: Connected = match server::look(&server.server.resource, &context.home, &context.interrupt)? {
        Reached::Connected(connected) => connected,
        Reached::Uninitialised => return Ok(None),
    };
    let looked = resolve::look(context, input, server, &connected, None, Depth::Shallow).await;
    connected.pass.engine.close().await;
    looked.map(Some)
}

struct Row {
    namespace: String,
    name: String,
    server: String,
    database: String,
    state: String,
    protected: &'static str,
    credential: String,
}

impl Row {
    fn cells(&self) -> Vec<String> {
        vec![
            self.namespace.clone(),
            self.name.clone(),
            self.server.clone(),
            self.database.clone(),
            self.state.clone(),
            self.protected.to_owned(),
            self.credential.clone(),
        ]
    }
}

fn rows_of(server: &ObjectName, observed: &Observed, plan: &Plan<PostgresStep>, compared: bool) -> Vec<Row> {
    let known: BTreeMap<Claim, TenantSummary> =
        Postgres::tenants(observed).into_iter().map(|tenant| (tenant.claim.clone(), tenant)).collect();
    let mut rows: Vec<Row> = plan
        .tenants
        .iter()
        .map(|tenant| {
            let summary = known.get(&tenant.claim);
            let changes = tenant.shown().count();
            let state = match (&tenant.refusal, summary, changes) {
                (Some(refusal), _, _) => format!("{:?}", refusal.kind),
                (None, None, _) => "Missing".to_owned(),
                (None, Some(_), 0) if tenant.steps.is_empty() => "Ready".to_owned(),
                (None, Some(_), changes) => format!("Drifted ({})", count(changes.max(1), "change")),
            };
            row(server, &tenant.claim, &tenant.database, state, summary)
        })
        .collect();
    if !compared {
        rows.extend(known.values().map(|tenant| {
            let state = match (tenant.phase, tenant.present) {
                ("Provisioned", true) => "Ready",
                ("Provisioned", false) => "Missing",
                (phase, _) => phase,
            };
            row(server, &tenant.claim, &tenant.database, state.to_owned(), Some(tenant))
        }));
    }
    rows
}

fn row(server: &ObjectName, claim: &Claim, database: &str, state: String, summary: Option<&TenantSummary>) -> Row {
    Row {
        namespace: claim.namespace.to_string(),
        name: claim.name.to_string(),
        server: server.to_string(),
        database: database.to_owned(),
        state,
        protected: if summary.is_none_or(|tenant| tenant.protected) { "yes" } else { "no" },
        credential: summary.and_then(|tenant| tenant.delivered.clone()).unwrap_or_else(|| "-".to_owned()),
    }
}
