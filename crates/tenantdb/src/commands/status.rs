//! `tenantdb status`.

use std::collections::BTreeMap;

use tenantdb_api::{ObjectName, did_you_mean};
use tenantdb_core::{Claim, Engine, Inventory, Phase, Plan, Step, TenantChange, TenantSummary, Vitals};

use super::{Context, resources, take_in};
use crate::arguments::{Output, StatusArguments};
use crate::engines::for_engine;
use crate::error::{Error, Exit};
use crate::input::{self, Draft, Input, ServerInput};
use crate::output::json::{self, Credential, Status, Statuses, TenantName};
use crate::output::{count, style, table, units};
use crate::resolve::{self, Extent, Looked};
use crate::server::{self, Connected};

/// Shows each database and how it is.
pub async fn run(context: &Context, arguments: StatusArguments) -> Result<Exit, Error> {
    let compared = !arguments.files.is_empty();
    let in_cluster = arguments.context.is_some() && !compared;
    let (mut found, exit) = if in_cluster {
        let tenants = resources::statuses(context, &arguments).await?;
        (Statuses { tenants, ..Statuses::default() }, Exit::Done)
    } else {
        of_servers(context, &arguments).await?
    };
    let known: Vec<String> = found.tenants.iter().map(|tenant| tenant.name.name.clone()).collect();
    found.tenants.retain(|Status { name, .. }| {
        arguments.namespace.as_ref().is_none_or(|namespace| name.namespace == namespace.as_str())
            && arguments.name.as_ref().is_none_or(|wanted| wanted.names(name.kind, &name.name))
    });
    if let (Some(name), []) = (&arguments.name, found.tenants.as_slice()) {
        let place = if in_cluster { "in the cluster" } else { "on the servers that were used from here" };
        return Err(Error::input(
            format!("no database `{}` {place}", name.name),
            did_you_mean(name.name.as_str(), known.iter().map(String::as_str), "`tenantdb status` lists them all"),
        ));
    }
    found.tenants.sort_by_cached_key(|status| {
        (status.name.namespace.clone(), status.name.name.clone(), status.name.access.clone())
    });
    if arguments.output == Output::Json {
        json::print(found)?;
        return Ok(exit);
    }
    if !found.tenants.is_empty() {
        print(&found.tenants);
        return Ok(exit);
    }
    match &arguments.namespace {
        _ if exit != Exit::Done => {}
        Some(namespace) if in_cluster || !known.is_empty() => {
            style::note(&format!("no database in the namespace {namespace}"));
        }
        _ if in_cluster => style::note("no database in the cluster; `kubectl apply -f FILE` declares those of a file"),
        _ if compared => style::note("no database is declared in what was given"),
        _ => style::note("no database yet; `tenantdb apply -f FILE` makes those that a file declares"),
    }
    Ok(exit)
}

/// What the servers say that were used from here, compared with what is declared, if anything is.
async fn of_servers(context: &Context, arguments: &StatusArguments) -> Result<(Statuses, Exit), Error> {
    let compared = !arguments.files.is_empty();
    let input = if compared {
        resolve::check(context, Draft::read(&arguments.files, &context.home)?).await?
    } else {
        let servers = context.home.servers()?.into_iter().map(ServerInput::known).collect();
        Input { authority: input::authority(&context.home)?, servers, others: Vec::new() }
    };
    let mut found = Statuses::default();
    let mut exit = Exit::Done;
    for server in &input.servers {
        let answer = look(context, &input, server, compared).await;
        exit = exit.worst(take_in(answer, &mut found.tenants, &mut found.failures));
    }
    Ok((found, exit))
}

fn print(tenants: &[Status]) {
    let header =
        ["NAMESPACE", "NAME", "SERVER", "DATABASE", "STATE", "SIZE", "SESSIONS", "PROTECTED", "AGE", "CREDENTIAL"];
    let rows: Vec<Vec<String>> = tenants.iter().map(cells).collect();
    table::print(&header, &rows);
    for Status { name, message, .. } in tenants.iter().filter(|status| status.name.access.is_none()) {
        if let Some(message) = message {
            style::note(&format!("{}/{}: {message}", name.namespace, name.label()));
        }
    }
}

fn cells(status: &Status) -> Vec<String> {
    let Status { name, server, state, changes, protected, size, sessions, session_limit, credential, .. } = status;
    let absent = || "-".to_owned();
    let known = |text: &String| if text.is_empty() { absent() } else { text.clone() };
    let state = match changes {
        Some(changes) if state == "Drifted" => format!("Drifted ({})", count(*changes, "change")),
        _ => state.clone(),
    };
    let sessions = sessions.map_or_else(absent, |sessions| match session_limit {
        Some(limit) => format!("{sessions}/{limit}"),
        None => sessions.to_string(),
    });
    let since = credential.as_ref().and_then(|credential| credential.since).or(status.created);
    vec![
        name.namespace.clone(),
        name.label(),
        known(server),
        known(&name.database),
        state,
        size.map_or_else(absent, units::size),
        sessions,
        if *protected { "yes" } else { "no" }.to_owned(),
        since.map_or_else(absent, units::age),
        credential.as_ref().map_or_else(absent, |credential| credential.location.clone()),
    ]
}

async fn look(context: &Context, input: &Input, server: &ServerInput, compared: bool) -> Result<Vec<Status>, Error> {
    let Some(reached) = server::look(context, &server.server.resource).await? else { return Ok(Vec::new()) };
    for_engine!(reached, connected => {
        let found = ask(context, input, server, &connected, compared).await;
        connected.pass.engine.close().await;
        found
    })
}

async fn ask<E: Engine>(
    context: &Context,
    input: &Input,
    server: &ServerInput,
    connected: &Connected<E>,
    compared: bool,
) -> Result<Vec<Status>, Error> {
    let Looked { observed, plan, .. } = resolve::look(context, input, server, connected, None, Extent::PLAIN).await?;
    let vitals = connected.pass.engine.vitals(&observed).await?;
    let known = E::inventory(&observed);
    let name = &server.server.resource.metadata.name;
    if compared {
        return Ok(of_plan(name, &plan, &known, &vitals));
    }
    Ok(known.iter().map(|tenant| of_ledger(name, tenant, vitals.get(&tenant.claim))).collect())
}

/// What is declared, with the changes that `apply` would make.
fn of_plan<S: Step>(
    server: &ObjectName,
    plan: &Plan<S>,
    known: &Inventory,
    vitals: &BTreeMap<Claim, Vitals>,
) -> Vec<Status> {
    let tenants = plan.tenants.iter().map(|tenant| {
        let changes = if tenant.steps.is_empty() { 0 } else { tenant.shown().count().max(1) };
        let summary = known.get(&tenant.claim);
        let state = match (&tenant.refusal, tenant.change, summary) {
            (Some(refusal), _, _) => format!("{:?}", refusal.kind),
            (None, TenantChange::Paused, _) => "Paused".to_owned(),
            (None, _, None) => "Missing".to_owned(),
            (None, TenantChange::Observed, _) => "Drifted".to_owned(),
            (None, _, Some(_)) => if changes == 0 { "Ready" } else { "Drifted" }.to_owned(),
        };
        let name = TenantName::of(&tenant.claim, &tenant.database);
        let summary = summary.map(|summary| of_ledger(server, summary, vitals.get(&tenant.claim)));
        let summary = summary.unwrap_or_else(|| unmade(server, name.clone()));
        let waiting = !matches!(tenant.change, TenantChange::Paused | TenantChange::Observed);
        let changes = waiting.then_some(changes);
        Status { name, state, changes, ..summary }
    });
    tenants.collect()
}

/// What a ledger knows, and how it is as far as that tells.
pub fn of_ledger(server: &ObjectName, tenant: &TenantSummary, vitals: Option<&Vitals>) -> Status {
    let state = match (tenant.phase, tenant.present) {
        (Phase::Provisioned, true) => "Ready",
        (Phase::Provisioned, false) => "Missing",
        (phase, _) => phase.as_str(),
    };
    let since = vitals.and_then(|vitals| vitals.credential_since);
    Status {
        state: state.to_owned(),
        protected: tenant.protected,
        size: vitals.and_then(|vitals| vitals.size),
        sessions: vitals.filter(|_| tenant.present).map(|vitals| vitals.sessions),
        session_limit: vitals.and_then(|vitals| vitals.session_limit),
        credential: tenant.delivered.clone().map(|location| Credential { location, since }),
        orphaned_since: vitals.and_then(|vitals| vitals.orphaned_since),
        ..unmade(server, TenantName::of(&tenant.claim, &tenant.database))
    }
}

/// A database that is declared and nothing is known of.
fn unmade(server: &ObjectName, name: TenantName) -> Status {
    Status {
        name,
        server: server.to_string(),
        state: "Missing".to_owned(),
        changes: None,
        protected: true,
        size: None,
        sessions: None,
        session_limit: None,
        credential: None,
        orphaned_since: None,
        created: None,
        message: None,
    }
}
