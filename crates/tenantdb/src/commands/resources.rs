//! The custom resources of a cluster, as the commands that take `--context` show them.

use tenantdb_api::{Namespace, ObjectName, did_you_mean};
use tenantdb_kubernetes::{Credential, TenantResource};

use super::Context;
use crate::arguments::{DeclaredName, StatusArguments, SubjectArguments};
use crate::error::Error;
use crate::output::json::{self, Status, TenantName};
use crate::output::style;

/// What the resources say of themselves, each with its further logins.
pub async fn statuses(context: &Context, arguments: &StatusArguments) -> Result<Vec<Status>, Error> {
    let client = context.cluster.client().await?;
    let all = tenantdb_kubernetes::tenants(client, arguments.namespace.as_ref()).await?;
    Ok(all.iter().flat_map(statuses_of).collect())
}

fn statuses_of(resource: &TenantResource) -> Vec<Status> {
    let logins = std::iter::once(None).chain(resource.access.iter().map(Some));
    logins.map(|access| status(resource, access)).collect()
}

fn status(resource: &TenantResource, access: Option<&ObjectName>) -> Status {
    let TenantResource { kind, namespace, name, created, server, database, secret_name, protected, state, .. } =
        resource;
    let suffix = access.map_or_else(String::new, |access| format!("-{access}"));
    let location = secret_name.as_ref().map(|secret| format!("Secret {namespace}/{secret}{suffix}"));
    Status {
        name: TenantName {
            kind,
            namespace: namespace.to_string(),
            name: name.to_string(),
            access: access.map(ToString::to_string),
            authority: String::new(),
            database: database.clone().unwrap_or_default(),
        },
        server: server.clone().unwrap_or_default(),
        state: if state.ready { "Ready".to_owned() } else { state.reason.clone() },
        changes: None,
        protected: *protected,
        size: None,
        sessions: None,
        session_limit: None,
        credential: location.map(|location| json::Credential { location, since: None }),
        orphaned_since: None,
        created: *created,
        message: (!state.ready).then(|| state.message.clone()),
    }
}

/// The credential that the cluster's operator delivered.
pub async fn credential(context: &Context, arguments: &SubjectArguments) -> Result<Credential, Error> {
    let resource = find(context, &arguments.name, &arguments.namespace).await?;
    if let Some(access) = arguments.access.as_ref().filter(|access| !resource.access.contains(access)) {
        let known: Vec<&str> = resource.access.iter().map(AsRef::as_ref).collect();
        let otherwise = match known.as_slice() {
            [] => "it has none; `access` in its declaration makes one".to_owned(),
            known => format!("its further logins are {}", known.join(", ")),
        };
        let hint = did_you_mean(access.as_str(), known.iter().copied(), otherwise);
        return Err(Error::input(format!("{} has no further login `{access}`", resource.path()), hint));
    }
    let client = context.cluster.client().await?;
    let credential = tenantdb_kubernetes::credential(client, &resource, arguments.access.as_ref()).await?;
    if !resource.state.ready {
        let message = format!("{} is not ready: {}", resource.path(), resource.state.reason);
        style::warning(&format!("{message}: {}", resource.state.message), "its credential is the one delivered before");
    }
    Ok(credential)
}

/// The one resource of this name.
async fn find(context: &Context, wanted: &DeclaredName, namespace: &Namespace) -> Result<TenantResource, Error> {
    let client = context.cluster.client().await?;
    let mut found = tenantdb_kubernetes::named(client, wanted.kind, namespace, &wanted.name).await?;
    match (found.pop(), found.pop()) {
        (Some(resource), None) => Ok(resource),
        (Some(_), Some(_)) => {
            let message = format!("{namespace}/{} is both a database and a role", wanted.name);
            Err(Error::input(message, format!("say `tdb/{0}` or `role/{0}`", wanted.name)))
        }
        (None, _) => {
            // Who may read one resource may not be allowed to list them.
            let all = tenantdb_kubernetes::tenants(client, None).await.ok();
            let all = match all {
                Some(all) => all,
                None => tenantdb_kubernetes::tenants(client, Some(namespace)).await.unwrap_or_default(),
            };
            Err(Error::input(format!("the cluster has no database {namespace}/{}", wanted.name), hint(&all, wanted)))
        }
    }
}

fn hint(all: &[TenantResource], wanted: &DeclaredName) -> String {
    if let Some(elsewhere) = all.iter().find(|resource| wanted.names(resource.kind, resource.name.as_str())) {
        return format!("there is one in the namespace {0}: -n {0}", elsewhere.namespace);
    }
    let names = all.iter().map(|resource| resource.name.as_str());
    did_you_mean(
        wanted.name.as_str(),
        names,
        "`tenantdb status --context …` lists them all; -n names another namespace",
    )
}
