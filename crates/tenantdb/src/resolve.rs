//! What each server should be, with what only servers know: names that were recorded when tenants were made, and claims
//! that another server holds.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::{Declared, Diagnostics, ObjectName, TenantDatabase};
use tenantdb_core::{Authority, Claim, Depth, Endpoint, Engine as _, Plan, Refusal, policy};
use tenantdb_postgres::{Declarations, Desired, Observed, Postgres, PostgresStep, allow};

use crate::commands::Context;
use crate::error::Error;
use crate::input::{Draft, Input, ServerInput};
use crate::output::style;
use crate::server::{self, Connected};

/// Checks the declarations of every server, before any of them is touched; all that is wrong is told at once. What is
/// wrong with names that `naming` gives may be so for new tenants only: then the servers are asked which names they
/// recorded.
pub async fn check(context: &Context, mut draft: Draft) -> Result<Input, Error> {
    let found = problems(&draft);
    let (false, Some(authority)) = (found.is_empty(), draft.authority.clone()) else {
        return draft.checked(found, &context.home);
    };
    let is_asked = |server: &&mut ServerInput| {
        server.tenants.iter().any(is_named_by_its_server)
            || server.roles.iter().any(|role| role.resource.spec.role.is_none())
    };
    for server in draft.servers.iter_mut().filter(is_asked) {
        // Without an answer what is wrong stays wrong.
        let looked = server::look(context, &server.server.resource).await;
        let Ok(Some(connected)) = looked else { continue };
        if let Ok(observed) = observe(&connected, server, &authority).await {
            server.recorded = Postgres::recorded(&observed);
        }
    }
    let found = problems(&draft);
    draft.checked(found, &context.home)
}

fn problems(draft: &Draft) -> Diagnostics {
    // Nothing that is wrong depends on who declares it.
    let authority = draft.authority.clone().unwrap_or_else(Authority::unnamed);
    let resolved = draft.servers.iter().map(|server| {
        let endpoint = server::unknown_endpoint(&server.server.resource);
        resolve(server, &authority, endpoint)
    });
    let servers = draft.servers.iter().filter_map(|server| server::problem(&server.server));
    servers.chain(resolved.filter_map(Result::err).flatten()).collect()
}

fn is_named_by_its_server(tenant: &Declared<TenantDatabase>) -> bool {
    let spec = &tenant.resource.spec;
    spec.database.is_none() || spec.owner.is_none()
}

/// What a server should be, once it is known what applications are told to connect to.
pub fn resolve(input: &ServerInput, authority: &Authority, endpoint: Endpoint) -> Result<Desired, Diagnostics> {
    let ServerInput { server, tenants, roles, recorded, scripts, .. } = input;
    let admin = server::admin_name(&server.resource);
    let declarations = Declarations { server, tenants, roles };
    let desired = Desired::resolve_recorded(declarations, authority, &admin, endpoint, recorded)?;
    Ok(desired.beginning_with(scripts))
}

/// How closely to look, and how far to go.
#[derive(Clone, Copy)]
pub struct Request {
    /// How closely.
    pub depth: Depth,
    /// Whether what is no longer declared goes.
    pub prune: bool,
    /// Whether credentials that were delivered elsewhere are delivered here as well.
    pub reissue: bool,
    /// Whether what the server's `allow` does not allow is refused.
    pub enforce: bool,
}

impl Request {
    /// A look at what the server shares, at what is declared and nothing else.
    pub const PLAIN: Self = Self { depth: Depth::Shallow, prune: false, reissue: false, enforce: false };
}

/// What a plan is made from, and the plan.
pub struct Looked {
    /// What the server should be.
    pub desired: Desired,
    /// What it is.
    pub observed: Observed,
    /// What would have to be done.
    pub plan: Plan<PostgresStep>,
}

/// Looks and plans; `observed` is what is there of a server that can't be looked at. What is new to the server is
/// looked for on all others: a claim has one database, and moving it is a migration.
pub async fn look(
    context: &Context,
    input: &Input,
    server: &ServerInput,
    connected: &Connected,
    observed: Option<Observed>,
    request: Request,
) -> Result<Looked, Error> {
    let mut desired = resolve(server, &input.authority, connected.endpoint.clone())?;
    if request.prune {
        desired = desired.keeping_only(input.claims());
    }
    if request.reissue {
        desired = desired.reissuing();
    }
    let observed = match observed {
        Some(observed) => observed,
        None => connected.observe(&desired, request.depth).await?,
    };
    if request.enforce {
        desired = desired.refusing(not_allowed(server, &input.authority, &observed));
    }
    let newcomers = desired.newcomers(&observed);
    let desired = if newcomers.is_empty() {
        desired
    } else {
        desired.held_elsewhere(elsewhere(context, input, server, &newcomers).await?)
    };
    let plan = connected.pass.plan_from(&desired, &observed, request.depth).await?;
    Ok(Looked { desired, observed, plan })
}

/// Why each declaration is refused that asks for more than its server allows.
fn not_allowed(input: &ServerInput, authority: &Authority, observed: &Observed) -> BTreeMap<Claim, Refusal> {
    let ServerInput { server, tenants, roles, .. } = input;
    if policy::selects_namespaces(&server.resource) {
        let name = &server.resource.metadata.name;
        style::note(&format!(
            "server {name}: which namespaces `allow.namespaces.selector` selects is only known in a cluster; every one is \
             taken for allowed here"
        ));
    }
    allow::refusals(Declarations { server, tenants, roles }, authority, observed, None)
}

/// Which other server holds each of these claims: as the servers themselves say, else the credentials that were
/// delivered here.
async fn elsewhere(
    context: &Context,
    input: &Input,
    here: &ServerInput,
    claims: &BTreeSet<Claim>,
) -> Result<BTreeMap<Claim, ObjectName>, Error> {
    let name_of = |input: &ServerInput| input.server.resource.metadata.name.clone();
    let here = name_of(here);
    let mut found = context.home.place()?.servers(claims);
    found.retain(|_, server| *server != here);
    for other in input.servers.iter().chain(&input.others) {
        let name = name_of(other);
        if name == here {
            continue;
        }
        match held(context, other, &input.authority).await {
            Ok(None) => {}
            Ok(Some(held)) => {
                found.retain(|claim, server| *server != name || held.contains(claim));
                found.extend(claims.intersection(&held).map(|claim| (claim.clone(), name.clone())));
            }
            Err(error) => style::note(&format!(
                "server {name} can't be asked whether it holds what is new on {here}: {}",
                error.message()
            )),
        }
    }
    Ok(found)
}

/// The claims that a server holds; `None` when it doesn't run.
async fn held(
    context: &Context,
    server: &ServerInput,
    authority: &Authority,
) -> Result<Option<BTreeSet<Claim>>, Error> {
    let Some(connected) = server::ask(context, &server.server.resource).await? else {
        return Ok(None);
    };
    let observed = observe(&connected, server, authority).await?;
    let tenants = Postgres::tenants(&observed).into_iter().filter(|tenant| tenant.phase != "Orphaned");
    Ok(Some(tenants.map(|tenant| tenant.claim).collect()))
}

async fn observe(connected: &Connected, server: &ServerInput, authority: &Authority) -> Result<Observed, Error> {
    let desired = Desired::nothing(&server.server.resource, authority, connected.endpoint.clone());
    let observed = connected.observe(&desired, Depth::Shallow).await;
    connected.pass.engine.close().await;
    observed
}
