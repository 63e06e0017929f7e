//! The objects of a cluster, asked for in this process: to start a kubectl costs more than most of what it would ask.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, TypeMeta, ValidationDirective,
};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use kube::{Client, Error};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::control_plane::Cluster;
use crate::wait::wait_until;

/// How long kubectl waits as well.
const PATIENCE: Duration = Duration::from_mins(1);

/// What kubectl calls the kinds that tests ask for by name, too.
const NAMES: [(&str, &str, &str); 13] = [
    ("tdb", "tenantdb.dev/v1alpha1", "TenantDatabase"),
    ("tenantrole", "tenantdb.dev/v1alpha1", "TenantRole"),
    ("dbs", "tenantdb.dev/v1alpha1", "DatabaseServer"),
    ("namespace", "v1", "Namespace"),
    ("secret", "v1", "Secret"),
    ("configmap", "v1", "ConfigMap"),
    ("event", "v1", "Event"),
    ("deployment", "apps/v1", "Deployment"),
    ("lease", "coordination.k8s.io/v1", "Lease"),
    ("clusterrole", "rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("crd", "apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("validatingadmissionpolicy", "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
    ("validatingadmissionpolicybinding", "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"),
];

/// Where they are asked for; a test that has a runtime of its own may end at any time.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("a runtime can be made")
});

/// The objects of one cluster, for its administrator. Kinds are called what kubectl calls them, the empty namespace is
/// `default`, and nothing matters of it where a kind has none.
pub struct Objects {
    client: Client,
    kinds: Mutex<HashMap<GroupVersionKind, (ApiResource, Scope)>>,
}

impl Objects {
    /// Those of a cluster.
    #[must_use]
    pub fn of(cluster: &Cluster) -> Self {
        Self { client: blocking(cluster.client(None)), kinds: Mutex::default() }
    }

    /// Applies manifests as `kubectl apply --server-side` does.
    ///
    /// # Panics
    /// With what the API server says of those that it refuses.
    #[track_caller]
    pub fn apply(&self, manifests: &str) {
        let applied = self.try_apply(manifests);
        assert!(applied.is_ok(), "{}", applied.unwrap_err());
    }

    /// Applies those that the API server takes.
    ///
    /// # Errors
    /// What it says of the others.
    fn try_apply(&self, manifests: &str) -> Result<(), String> {
        self.patch_all(manifests, false)
    }

    /// Finds out whether the API server would take manifests.
    ///
    /// # Errors
    /// What it says of those that it would refuse.
    pub fn would_apply(&self, manifests: &str) -> Result<(), String> {
        self.patch_all(manifests, true)
    }

    fn patch_all(&self, manifests: &str, dry_run: bool) -> Result<(), String> {
        let objects: Vec<Value> = serde_saphyr::from_multiple(manifests).expect("YAML");
        let objects: Vec<Value> = objects.into_iter().filter(|object| !object.is_null()).collect();
        assert!(!objects.is_empty(), "nothing to apply");
        let params = PatchParams {
            dry_run,
            field_manager: Some("kubectl".to_owned()),
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::default()
        };
        let mut refused = Vec::new();
        for object in objects {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let kind = TypeMeta { api_version: text(&object["apiVersion"]), kind: text(&object["kind"]) };
            let (namespace, name) = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
            let applied = blocking(async {
                let api = self.api(&kind, &namespace).await?;
                api.patch(&name, &params, &Patch::Apply(&object)).await
            });
            refused.extend(applied.err().map(|error| format!("{} {namespace}/{name}: {}", kind.kind, said(&error))));
        }
        if refused.is_empty() { Ok(()) } else { Err(refused.join("\n")) }
    }

    /// An object, if it is there and the API server answers.
    #[must_use]
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let found = blocking(async { self.api(&named(kind), namespace).await?.get_opt(name).await });
        found.ok().flatten().map(as_shown)
    }

    /// The objects of a namespace, or of all: `*`.
    ///
    /// # Panics
    /// When the API server does not give them.
    #[track_caller]
    #[must_use]
    pub fn list(&self, kind: &str, namespace: &str) -> Vec<Value> {
        let found = blocking(async { self.api(&named(kind), namespace).await?.list(&ListParams::default()).await });
        let found = found.unwrap_or_else(|error| panic!("{kind} of {namespace}: {}", said(&error)));
        found.items.into_iter().map(as_shown).collect()
    }

    /// Merges this into an object.
    ///
    /// # Panics
    /// When the API server refuses it.
    #[track_caller]
    pub fn patch(&self, kind: &str, namespace: &str, name: &str, patch: &Value) {
        let params = PatchParams { field_manager: Some("kubectl-patch".to_owned()), ..PatchParams::default() };
        let patched = blocking(async {
            self.api(&named(kind), namespace).await?.patch(name, &params, &Patch::Merge(patch)).await
        });
        patched.unwrap_or_else(|error| panic!("{kind} {namespace}/{name}: {}", said(&error)));
    }

    /// Deletes an object, and waits until it is gone.
    ///
    /// # Panics
    /// When the API server refuses it, or something holds the object.
    #[track_caller]
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) {
        let deleted = self.try_delete(kind, namespace, name, &DeleteParams::background());
        let uid = deleted.unwrap_or_else(|error| panic!("{kind} {namespace}/{name}: {error}"));
        wait_until(PATIENCE, || match self.get(kind, namespace, name) {
            Some(found) => found["metadata"]["uid"] != uid,
            None => true,
        });
    }

    /// Whether an object may be deleted.
    #[must_use]
    pub fn would_delete(&self, kind: &str, namespace: &str, name: &str) -> bool {
        let params = DeleteParams { dry_run: true, ..DeleteParams::background() };
        self.try_delete(kind, namespace, name, &params).is_ok()
    }

    /// Gives the UID of what was there.
    fn try_delete(&self, kind: &str, namespace: &str, name: &str, params: &DeleteParams) -> Result<Value, String> {
        let deleted = blocking(async {
            let api = self.api(&named(kind), namespace).await?;
            let uid = api.get_metadata(name).await?.metadata.uid;
            api.delete(name, params).await.map(|_| uid)
        });
        deleted.map(|uid| json!(uid)).map_err(|error| said(&error))
    }

    /// Waits until the API server serves every kind that is defined.
    #[track_caller]
    pub fn wait_for_definitions(&self) {
        let is_served = |definition: &Value| {
            let mut conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
            conditions.any(|found| found["type"] == "Established" && found["status"] == "True")
        };
        wait_until(PATIENCE, || self.list("crd", "").iter().all(is_served));
    }

    async fn api(&self, kind: &TypeMeta, namespace: &str) -> Result<Api<DynamicObject>, Error> {
        let (resource, scope) = self.resource(GroupVersionKind::try_from(kind).expect("a version and a kind")).await?;
        let namespace = if namespace.is_empty() { "default" } else { namespace };
        Ok(match (scope, namespace) {
            (Scope::Cluster, _) | (_, "*") => Api::all_with(self.client.clone(), &resource),
            _ => Api::namespaced_with(self.client.clone(), namespace, &resource),
        })
    }

    /// Where the API server has a kind; it is asked once.
    async fn resource(&self, kind: GroupVersionKind) -> Result<(ApiResource, Scope), Error> {
        let kinds = || self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kinds().get(&kind) {
            return Ok(known.clone());
        }
        let (resource, about) = pinned_kind(&self.client, &kind).await?;
        let found = (resource, about.scope);
        kinds().insert(kind, found.clone());
        Ok(found)
    }
}

fn named(kind: &str) -> TypeMeta {
    let (_, api_version, kind) = NAMES.into_iter().find(|(name, ..)| *name == kind).expect("a name that is known");
    TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() }
}

/// An object without what kubectl does not show either.
fn as_shown(mut object: DynamicObject) -> Value {
    object.metadata.managed_fields = None;
    serde_json::to_value(object).expect("JSON")
}

fn said(error: &Error) -> String {
    match error {
        Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Outside of the runtime that a test may be in.
fn blocking<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| RUNTIME.block_on(future));
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
