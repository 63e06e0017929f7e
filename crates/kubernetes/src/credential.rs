//! The credential that an operator delivered for a resource.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tenantdb_api::ObjectName;
use tenantdb_core::{Failure, FailureKind};
use tenantdb_credentials::Document;
use tenantdb_credentials::stores::secret;

use crate::error::refused;
use crate::tenant::{State, TenantResource};

/// A Secret that holds one, and its keys.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Where it is, for people.
    pub location: String,
    /// What applications read.
    pub document: Document,
}

/// Reads the credential of a resource, or of a further login of it.
///
/// # Errors
/// When there is none yet, the Secret was not written for it, or can't be read.
pub async fn credential(
    client: &Client,
    resource: &TenantResource,
    access: Option<&ObjectName>,
) -> Result<Credential, Failure> {
    let Some(name) = &resource.secret_name else { return Err(not_ready(resource)) };
    let name = access.map_or_else(|| name.clone(), |access| format!("{name}-{access}"));
    let location = format!("Secret {}/{name}", resource.namespace);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), resource.namespace.as_str());
    let found = secrets.get_opt(&name).await.map_err(|error| refused(&format!("read {location}"), &error))?;
    let Some(found) = found else { return Err(absent(resource, &location)) };
    let wanted = access.map_or_else(String::new, |access| format!(":{access}"));
    let wanted = format!("{}/{}{wanted}", resource.kind, resource.name);
    match secret::claim_of(&found.metadata) {
        Some(claim) if claim.split_once(' ').is_some_and(|(_, declaration)| declaration == wanted) => {
            Ok(Credential { location, document: secret::document_of(&found) })
        }
        Some(claim) => Err(foreign(resource, &format!("{location} belongs to {claim}"))),
        None => Err(foreign(resource, &format!("{location} was not written by tenantdb"))),
    }
}

fn absent(resource: &TenantResource, location: &str) -> Failure {
    if !resource.state.ready {
        return not_ready(resource);
    }
    let message = format!("{location} of {} is not there", resource.path());
    let hint = "an operator that runs makes it anew, with a new password; see whether one does";
    Failure::new(FailureKind::Place, message).hint(hint)
}

fn not_ready(resource: &TenantResource) -> Failure {
    let TenantResource { state: State { reason, message, stalled, .. }, namespace, name, kind, .. } = resource;
    let kind = kind.to_lowercase();
    let hint = if *stalled {
        format!("it stays so until somebody does something about it; kubectl describe {kind} -n {namespace} {name}")
    } else {
        format!("kubectl wait --for=condition=Ready {kind}/{name} -n {namespace} waits until it is")
    };
    let message = format!("{} is not ready yet: {reason}: {message}", resource.path());
    Failure::new(FailureKind::Rejected, message).hint(hint)
}

fn foreign(resource: &TenantResource, what: &str) -> Failure {
    let State { reason, message, .. } = &resource.state;
    let message = format!("{what}, and is not the credential of {} ({reason}: {message})", resource.path());
    Failure::new(FailureKind::Place, message)
        .hint("delete it if nobody needs it, else choose another `credentials.secretName` for the resource")
}
