//! Namespaces with something protected in them say so by a label: a policy of the API server refuses to delete those.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Error};
use serde_json::json;
use tenantdb_kubernetes::told;

use crate::index::Index;
use crate::shared::Shared;

/// The label, and what it says.
pub(crate) const PROTECTED: (&str, &str) = ("tenantdb.dev/protected", "true");

/// How many requests are under way.
const AT_A_TIME: usize = 8;

/// How long to wait after what could not be done.
const PAUSE: Duration = Duration::from_secs(1);

/// Labels namespaces.
pub(crate) struct Namespaces {
    api: Api<Namespace>,
}

impl Namespaces {
    pub(crate) fn new(client: Client) -> Self {
        Self { api: Api::all(client) }
    }

    /// Labels those that changed, and takes the label off where nothing is protected any more.
    pub(crate) async fn label(&self, shared: &Shared) {
        let wrong = shared.index(Index::take_wrongly_labelled);
        let all = wrong.into_iter().map(async |(name, is_protected)| {
            let value = is_protected.then_some(PROTECTED.1);
            let change = Patch::Merge(json!({"metadata": {"labels": {PROTECTED.0: value}}}));
            match self.api.patch_metadata(name.as_str(), &PatchParams::default(), &change).await {
                Ok(_) => {}
                Err(Error::Api(status)) if status.is_not_found() => {}
                Err(error) => {
                    let (namespace, error) = (name.as_str(), told(&error));
                    tracing::warn!(namespace, error, "what it says of its protection can't be written yet");
                    tokio::time::sleep(PAUSE).await;
                    shared.index(|index| index.relabel(name));
                }
            }
        });
        stream::iter(all).buffer_unordered(AT_A_TIME).collect::<()>().await;
    }
}
