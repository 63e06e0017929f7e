//! Where declarations stand: a namespace that was deleted and made again is another one, and so is a cluster of the same
//! id. What watches tell comes in no order among kinds, so the API server is asked; once for each resource.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Namespace as Resource;
use kube::{Api, Client, Error, ResourceExt as _};
use tenantdb_api::Namespace;
use tenantdb_core::{Claim, Failure, FailureKind, Origin};
use tenantdb_kubernetes::{CLUSTER, namespace_uids, told};
use tokio::sync::OnceCell;

use crate::shared::Shared;
use crate::watch::object::Key;
use crate::worker::Batch;

/// From how many namespaces on all are listed.
const MANY: usize = 8;

/// Knows where declarations stand.
pub(crate) struct Origins {
    client: Client,
    cluster: OnceCell<String>,
}

impl Origins {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, cluster: OnceCell::new() }
    }

    /// The UID of the cluster.
    ///
    /// # Errors
    /// When the API server can't be asked.
    pub(crate) async fn cluster(&self) -> Result<&str, Failure> {
        let ask = async || self.uid(CLUSTER).await.map(Option::unwrap_or_default);
        self.cluster.get_or_try_init(ask).await.map(String::as_str).map_err(|error| unknown(&error))
    }

    /// Where each of a batch stands.
    ///
    /// # Errors
    /// When the API server can't be asked.
    pub(crate) async fn of(&self, shared: &Shared, batch: &Batch) -> Result<BTreeMap<Claim, Origin>, Failure> {
        let cluster = self.cluster().await?;
        let new: Vec<(Key, String)> = shared.index(|index| {
            let all = batch.tenants.values().map(|(key, tenant)| (key, &tenant.meta.uid));
            let new = all.filter(|(key, uid)| index.namespace_uid(key, uid).is_none());
            new.map(|(key, uid)| (key.clone(), uid.clone())).collect()
        });
        let names: BTreeSet<&Namespace> = new.iter().map(|(key, _)| &key.namespace).collect();
        let uids = self.uids(&names).await.map_err(|error| unknown(&error))?;
        Ok(shared.index(|index| {
            for (key, uid) in &new {
                // One that is not there has nothing that could be anybody's.
                index.stands_in(key, uid, uids.get(key.namespace.as_str()).cloned().unwrap_or_default());
            }
            let origins = batch.tenants.iter().filter_map(|(claim, (key, tenant))| {
                let namespace = index.namespace_uid(key, &tenant.meta.uid)?.to_owned();
                Some((claim.clone(), Origin { cluster: cluster.to_owned(), namespace }))
            });
            origins.collect()
        }))
    }

    async fn uids(&self, names: &BTreeSet<&Namespace>) -> Result<BTreeMap<String, String>, Error> {
        if names.len() >= MANY {
            return namespace_uids(&self.client).await;
        }
        let mut uids = BTreeMap::new();
        for name in names {
            uids.extend(self.uid(name.as_str()).await?.map(|uid| (name.to_string(), uid)));
        }
        Ok(uids)
    }

    async fn uid(&self, name: &str) -> Result<Option<String>, Error> {
        let namespace = Api::<Resource>::all(self.client.clone()).get_metadata_opt(name).await?;
        Ok(namespace.and_then(|namespace| namespace.uid()))
    }
}

fn unknown(error: &Error) -> Failure {
    Failure::new(FailureKind::Place, format!("the namespaces can't be read: {}", told(error)))
        .hint("see whether the operator may get and list namespaces")
}
