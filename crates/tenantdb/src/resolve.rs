//! What each server should be, with what only servers know: names that were recorded when tenants were made, and claims
//! that another server holds.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::{Diagnostics, ObjectName};
use tenantdb_core::{
    Authority, Claim, Declarations, Depth, Engine, Inventory, Phase, Plan, Refusal, Request, Unusable, policy,
};

use crate::commands::Context;
use crate::engines::{self, for_engine};
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
    let is_asked =
        |server: &&mut ServerInput| server.tenants.iter().any(|tenant| tenant.resource.is_named_by_its_server());
    for server in draft.servers.iter_mut().filter(is_asked) {
        // Without an answer what is wrong stays wrong.
        let looked = server::look(context, &server.server.resource).await;
        let Ok(Some(reached)) = looked else { continue };
        let held = for_engine!(reached, connected => observe(&connected, server, &authority).await);
        if let Ok(held) = held {
            server.recorded = held.recorded();
        }
    }
    let found = problems(&draft);
    draft.checked(found, &context.home)
}

fn problems(draft: &Draft) -> Diagnostics {
    // Nothing that is wrong depends on who declares it.
    let authority = draft.authority.clone().unwrap_or_else(Authority::unnamed);
    let servers = draft.servers.iter().filter_map(|server| server::problem(&server.server));
    servers.chain(draft.servers.iter().flat_map(|server| engines::problems(server, &authority))).collect()
}

/// What is wrong with what is declared for a server.
pub fn problems_of<E: Engine>(input: &ServerInput, authority: &Authority) -> Diagnostics {
    let server = &input.server.resource;
    let request = Request::to(server, authority, server::unknown_endpoint::<E>(server));
    resolve::<E>(input, request).err().unwrap_or_default()
}

/// What a server should be, unless something is wrong with what is declared for it.
fn resolve<E: Engine>(input: &ServerInput, mut request: Request) -> Result<E::Desired, Diagnostics> {
    let ServerInput { server, tenants, recorded, scripts, .. } = input;
    let admin = server::admin_name(&server.resource);
    for claim in input.claims(&request.authority) {
        let of_this = scripts.get(&(claim.namespace.clone(), claim.name.clone()));
        request.scripts.extend(of_this.filter(|_| claim.is_database()).map(|scripts| (claim, scripts.clone())));
    }
    let (desired, problems) = E::resolve(Declarations { server, tenants }, &admin, recorded, request);
    let problems: Diagnostics = problems.into_values().flat_map(Unusable::into_diagnostics).collect();
    if problems.is_empty() { Ok(desired) } else { Err(problems) }
}

/// How closely to look, and how far to go.
#[derive(Clone, Copy)]
pub struct Extent {
    /// How closely.
    pub depth: Depth,
    /// Whether what is no longer declared goes.
    pub prune: bool,
    /// Whether credentials that were delivered elsewhere are delivered here as well.
    pub reissue: bool,
    /// Whether what the server's `allow` does not allow is refused.
    pub enforce: bool,
}

impl Extent {
    /// A look at what the server shares, at what is declared and nothing else.
    pub const PLAIN: Self = Self { depth: Depth::Shallow, prune: false, reissue: false, enforce: false };
}

/// What a plan is made from, and the plan.
pub struct Looked<E: Engine> {
    /// What the server should be.
    pub desired: E::Desired,
    /// What it is.
    pub observed: E::Observed,
    /// What would have to be done.
    pub plan: Plan<E::Step>,
}

/// Looks and plans; `observed` is what is there of a server that can't be looked at. What is new to the server is
/// looked for on all others: a claim has one database, and moving it is a migration.
pub async fn look<E: Engine>(
    context: &Context,
    input: &Input,
    server: &ServerInput,
    connected: &Connected<E>,
    observed: Option<E::Observed>,
    extent: Extent,
) -> Result<Looked<E>, Error> {
    let mut request = connected.request(&server.server.resource, &input.authority);
    request.declared = extent.prune.then(|| input.claims());
    request.reissue = extent.reissue;
    let mut desired = resolve::<E>(server, request)?;
    let observed = match observed {
        Some(observed) => observed,
        None => connected.observe(&desired, extent.depth).await?,
    };
    if extent.enforce {
        desired.as_mut().refusals = not_allowed::<E>(server, &input.authority, &observed);
    }
    let newcomers = E::newcomers(&desired, &observed);
    if !newcomers.is_empty() {
        desired.as_mut().elsewhere = elsewhere(context, input, server, &newcomers).await?;
    }
    let plan = connected.pass.plan_from(&desired, &observed, extent.depth).await?;
    Ok(Looked { desired, observed, plan })
}

/// Why each declaration is refused that asks for more than its server allows.
fn not_allowed<E: Engine>(
    input: &ServerInput,
    authority: &Authority,
    observed: &E::Observed,
) -> BTreeMap<Claim, Refusal> {
    let ServerInput { server, tenants, .. } = input;
    if policy::selects_namespaces(&server.resource) {
        let name = &server.resource.metadata.name;
        style::note(&format!(
            "server {name}: which namespaces `allow.namespaces.selector` selects is only known in a cluster; every one is \
             taken for allowed here"
        ));
    }
    let trusted = |extension: &str, version: Option<&str>| E::trusts(observed, extension, version);
    policy::refusals(Declarations { server, tenants }, authority, &E::inventory(observed), &trusted, None)
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
    let Some(reached) = server::ask(context, &server.server.resource).await? else {
        return Ok(None);
    };
    let held = for_engine!(reached, connected => observe(&connected, server, authority).await)?;
    let tenants = held.iter().filter(|tenant| tenant.phase != Phase::Orphaned);
    Ok(Some(tenants.map(|tenant| tenant.claim.clone()).collect()))
}

/// What a server has, of which nothing is asked.
async fn observe<E: Engine>(
    connected: &Connected<E>,
    server: &ServerInput,
    authority: &Authority,
) -> Result<Inventory, Error> {
    let nothing = connected.request(&server.server.resource, authority).into();
    let observed = connected.observe(&nothing, Depth::Shallow).await;
    connected.pass.engine.close().await;
    Ok(E::inventory(&observed?))
}
