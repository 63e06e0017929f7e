//! A service's database from a cluster: declared as a resource, and read from its Secret.

use std::collections::BTreeMap;
use std::time::Duration;

use tenantdb_api::tenant_database::TenantDatabaseSpec;
use tenantdb_api::{Tenant, TenantDatabase};
use tenantdb_core::{
    Address, Authority, Claim, Delivery, Endpoint, Existing, Failure, Generation, Held, Refusal, RefusalKind, Report,
    TenantChange, TenantOutcome,
};
use tenantdb_credentials::stores::LocalPlace as _;
use tenantdb_credentials::stores::dotenv::DotenvPlace;
use tenantdb_kubernetes::{Stopped, TenantResource};

use super::Context;
use crate::error::Error;
use crate::output::style;

/// Declares a database, waits until it is there, and writes its variables.
pub async fn ensure(
    context: &Context,
    authority: &Authority,
    declaration: &TenantDatabase,
    place: &DotenvPlace,
    patience: Duration,
) -> Result<Report, Error> {
    let claim = Claim::new(authority, &Tenant::from(declaration.clone()));
    let mut outcome = TenantOutcome {
        database: declaration.spec.database.as_ref().map_or_else(String::new, ToString::to_string),
        claim,
        change: TenantChange::Refused,
        done: Vec::new(),
        failure: None,
        refusal: None,
        conditions: Vec::new(),
        credential: None,
        owner: None,
        secret_name: None,
    };
    let delivery = delivery(declaration, outcome.claim.clone());
    let found = place.read_now(&delivery).map_err(Failure::from)?;
    if let Held::Foreign { what, hint } = found {
        outcome.refusal = Some(Refusal::new(RefusalKind::Conflict, what).hint(hint));
    } else {
        match made(context, declaration, &mut outcome, patience).await {
            Ok(resource) => copy(context, &resource, &delivery, place, &mut outcome).await?,
            Err(Stopped::Refused(refusal)) => outcome.refusal = Some(in_variables(refusal)),
            Err(Stopped::Failed(failure)) => outcome.failure = Some(failure),
        }
    }
    let server = delivery.server;
    Ok(Report { server, tenants: vec![outcome], failure: None, conditions: Vec::new(), prepared: false })
}

/// Says which variables the names are that a server does not allow.
fn in_variables(refusal: Refusal) -> Refusal {
    if ["spec.database", "spec.owner"].iter().any(|field| refusal.message.contains(field)) {
        return refusal
            .hint("unset SERVICE_DB_NAME (`database`) or SERVICE_DB_USER (`owner`), or have `allow.names` let it");
    }
    refusal
}

/// What the file gets, but for the values: those are the Secret's.
fn delivery(declaration: &TenantDatabase, claim: Claim) -> Delivery {
    let TenantDatabaseSpec { server, database, credentials, .. } = &declaration.spec;
    // Whoever names no server means the cluster's default one, whatever that is called.
    let unnamed = || "default".parse().expect("a name");
    let database = database.clone().unwrap_or_else(|| claim.name.as_str().parse().expect("a name that is stricter"));
    Delivery {
        secret_name: claim.name.clone(),
        server: server.clone().unwrap_or_else(unnamed),
        database,
        acts_as: None,
        endpoint: Endpoint {
            scheme: "postgresql",
            address: Address { host: String::new(), port: 0 },
            direct: None,
            read_only: None,
            parameters: BTreeMap::new(),
            authority: None,
        },
        formats: credentials.formats.clone(),
        keys: credentials.keys.clone(),
        secret_type: credentials.secret_type(),
        existing: Existing::LeftAlone,
        uid: None,
        claim,
    }
}

async fn made(
    context: &Context,
    declaration: &TenantDatabase,
    outcome: &mut TenantOutcome,
    patience: Duration,
) -> Result<TenantResource, Stopped> {
    let client = context.cluster.client().await?;
    let applied = tenantdb_kubernetes::apply(client, declaration).await?;
    outcome.change = applied.change;
    let path = outcome.claim.path();
    match applied.change {
        TenantChange::Create => outcome.done.push(('+', format!("TenantDatabase {path}"), "declared".to_owned())),
        TenantChange::Update => outcome.done.push(('~', format!("TenantDatabase {path}"), "declared".to_owned())),
        _ => {}
    }
    let tell = |state: &tenantdb_kubernetes::State| {
        let seconds = patience.as_secs();
        style::note(&format!("waiting up to {seconds} s for {path}: {}: {}", state.reason, state.message));
    };
    tenantdb_kubernetes::wait(client, declaration, &applied, patience, &context.interrupt, tell).await
}

/// Writes what the Secret holds into the file.
async fn copy(
    context: &Context,
    resource: &TenantResource,
    delivery: &Delivery,
    place: &DotenvPlace,
    outcome: &mut TenantOutcome,
) -> Result<(), Error> {
    let client = context.cluster.client().await?;
    let document = tenantdb_kubernetes::credential(client, resource, None).await?.document;
    place.copy(delivery, &document, Generation::default()).map_err(Failure::from)?;
    outcome.database = resource.database.clone().unwrap_or_default();
    outcome.credential = Some(place.location(delivery));
    Ok(())
}
