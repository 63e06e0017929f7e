//! Our kinds as a client knows them, and the declaration in an object.

use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tenantdb_api::kinds::RESOURCES;
use tenantdb_api::kinds::resource::Resource;
use tenantdb_api::{Declared, Diagnostics, GROUP, Kind, Namespace, Tenant, VERSION};

/// The objects of one of our kinds, in a namespace or, without one, all of them.
#[must_use]
pub fn api(client: Client, kind: &str, namespace: Option<&Namespace>) -> Option<Api<DynamicObject>> {
    let resource = api_resource(RESOURCES.into_iter().find(|resource| resource.kind == kind)?);
    Some(match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace.as_str(), &resource),
        None => Api::all_with(client, &resource),
    })
}

/// A kind as the client knows it.
#[must_use]
pub fn api_resource(resource: &Resource) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, resource.kind), resource.plural)
}

/// What an object declares.
///
/// # Errors
/// Everything that is wrong with it.
pub fn declared<T: Kind>(object: &DynamicObject) -> Result<Declared<T>, Diagnostics> {
    tenantdb_api::custom_resource(manifest(object))
}

/// The same of any of the kinds that servers are there for; `None` when it is no such kind.
#[must_use]
pub fn declared_tenant(kind: &str, object: &DynamicObject) -> Option<Result<Declared<Tenant>, Diagnostics>> {
    tenantdb_api::custom_tenant(kind, manifest(object))
}

/// The part of an object that a manifest would hold.
fn manifest(object: &DynamicObject) -> Value {
    let mut metadata = json!({"name": object.name_any()});
    if let Some(namespace) = object.namespace() {
        metadata["namespace"] = namespace.into();
    }
    json!({"metadata": metadata, "spec": object.data.get("spec").cloned().unwrap_or_default()})
}
