//! Reads resources over and over: a kubectl for each time would take the processor from what is waited for.

use std::sync::LazyLock;

use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::Value;
use tenantdb_testkit::Cluster;
use tokio::runtime::Runtime;

/// Where they are read; a test that has a runtime of its own may end at any time.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

/// A client of one cluster.
pub struct Reader {
    client: Client,
}

impl Reader {
    pub fn new(cluster: &Cluster) -> Self {
        Self { client: blocking(cluster.client(None)) }
    }

    /// A resource of ours, if it is there and the API server answers.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("tenantdb.dev", "v1alpha1", kind));
        let api: Api<DynamicObject> = match kind.kind.as_str() {
            "DatabaseServer" => Api::all_with(self.client.clone(), &kind),
            _ => Api::namespaced_with(self.client.clone(), namespace, &kind),
        };
        let mut found = blocking(api.get_opt(name)).ok().flatten()?;
        // What kubectl does not show either.
        found.metadata.managed_fields = None;
        serde_json::to_value(found).ok()
    }
}

/// Outside of the runtime that a test may be in.
fn blocking<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| scope.spawn(|| RUNTIME.block_on(future)).join().unwrap())
}
