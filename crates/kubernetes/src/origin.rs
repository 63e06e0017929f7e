//! Where declarations stand in a cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace as Resource;
use kube::api::ListParams;
use kube::{Api, Client, Error, ResourceExt as _};
use tenantdb_api::Namespace;
use tenantdb_core::{Failure, Origin};

use crate::error::refused;

/// The namespace whose UID tells a cluster from every other.
pub const CLUSTER: &str = "kube-system";

/// The UID of each namespace that is there, by its name.
///
/// # Errors
/// When the namespaces can't be listed.
pub async fn namespace_uids(client: &Client) -> Result<BTreeMap<String, String>, Error> {
    let all = Api::<Resource>::all(client.clone()).list_metadata(&ListParams::default()).await?;
    Ok(all.items.iter().filter_map(|namespace| Some((namespace.name_any(), namespace.uid()?))).collect())
}

/// Where the declarations of each namespace stand that is there.
///
/// # Errors
/// When the namespaces can't be listed.
pub async fn origins(client: &Client) -> Result<BTreeMap<Namespace, Origin>, Failure> {
    let uids = namespace_uids(client).await.map_err(|error| refused("list namespaces", &error))?;
    let cluster = uids.get(CLUSTER).cloned().unwrap_or_default();
    let origin = |namespace: String| Origin { cluster: cluster.clone(), namespace };
    Ok(uids.into_iter().filter_map(|(name, uid)| Some((name.parse().ok()?, origin(uid)))).collect())
}
