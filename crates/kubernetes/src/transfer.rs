//! Credentials that were delivered elsewhere, brought into a cluster as they are.

use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tenantdb_api::tenant_database::SecretType;
use tenantdb_core::{Claim, Delivery, Failure, Generation};
use tenantdb_credentials::Document;
use tenantdb_credentials::stores::secret::{FIELD_MANAGER, SecretPlace, place_id};

use crate::error::refused;
use crate::object::{api, declared_tenant};

/// Asks for a closer look when its value changes.
pub const REFRESH: &str = "tenantdb.dev/refresh";

/// Writes a credential, as it was delivered elsewhere, into the Secret of a claim; one that holds it already is left
/// alone.
///
/// # Errors
/// When the Secret is somebody else's, or can't be written.
pub async fn bring(
    client: &Client,
    delivery: Delivery,
    document: &Document,
    generation: Generation,
) -> Result<(), Failure> {
    let secret_type = match declared_type(client, &delivery.claim).await? {
        Some(secret_type) => secret_type,
        None => tenantdb_credentials::secret_type(document),
    };
    let place = SecretPlace::new(client.clone(), place_id(&delivery.claim.authority));
    Ok(place.bring(&Delivery { secret_type, ..delivery }, document, generation).await?)
}

/// The type of the Secret that a resource asks for, if it is there already.
async fn declared_type(client: &Client, claim: &Claim) -> Result<Option<SecretType>, Failure> {
    let Some(resources) = api(client.clone(), claim.kind, Some(&claim.namespace)) else { return Ok(None) };
    let found = resources.get_opt(claim.name.as_str()).await;
    let found = found.map_err(|error| refused(&format!("read {} {}", claim.kind, claim.path()), &error))?;
    let Some(object) = found else { return Ok(None) };
    let declared = declared_tenant(claim.kind, &object).and_then(Result::ok);
    Ok(declared.map(|declared| declared.resource.credentials().secret_type()))
}

/// Has an operator look at the resource of a claim now, if it is there.
///
/// # Errors
/// When it can't be told.
pub async fn refresh(client: &Client, claim: &Claim, mark: &str) -> Result<(), Failure> {
    let Some(resources) = api(client.clone(), claim.kind, Some(&claim.namespace)) else { return Ok(()) };
    let patch = json!({"metadata": {"annotations": {REFRESH: mark}}});
    match resources.patch(claim.name.as_str(), &PatchParams::apply(FIELD_MANAGER), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(refused(&format!("annotate {} {}", claim.kind, claim.path()), &error)),
    }
}
