//! Our finalizer: it keeps a resource until what it stands for was dealt with on its server. With it goes what Argo CD is
//! told of a protected one.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client, Error, ResourceExt as _};
use serde_json::{Value, json};
use tenantdb_core::{Failure, FailureKind};
use tenantdb_kubernetes::told;

use crate::protect::sync_options;
use crate::watch::object::{FINALIZER, Key, Marks, Tenant, api};

/// How many requests are under way.
const AT_A_TIME: usize = 16;

/// Puts the finalizer on and takes it off.
pub(crate) struct Finalizers {
    client: Client,
}

impl Finalizers {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Puts it on all of these, which are protected or not.
    ///
    /// # Errors
    /// When the API server can't be reached or refuses it, or one of them is gone.
    pub(crate) async fn put_on_all(&self, all: Vec<(Key, Tenant, bool)>) -> Result<(), Failure> {
        let all: Vec<_> =
            all.iter().map(|(key, tenant, is_protected)| self.put_on(key, tenant, *is_protected)).collect();
        stream::iter(all).buffer_unordered(AT_A_TIME).try_collect().await
    }

    /// Puts it on one, with what others are told of it.
    ///
    /// # Errors
    /// When the API server can't be reached or refuses it, or the resource is gone.
    pub(crate) async fn put_on(&self, key: &Key, tenant: &Tenant, is_protected: bool) -> Result<(), Failure> {
        let Some(api) = self.api(key) else { return Ok(()) };
        let mut current = Some(tenant.meta.marks.clone());
        loop {
            let Some(marks) = current else {
                let message = "the resource was deleted before anything was done for it";
                return Err(Failure::new(FailureKind::Place, message));
            };
            let Some(change) = marks.change(is_protected) else { return Ok(()) };
            match patch(&api, key, &change).await {
                Ok(true) => return Ok(()),
                Ok(false) => current = found(&api, key, &tenant.meta.uid).await.map_err(|error| refused(&error))?,
                Err(error) => return Err(refused(&error)),
            }
        }
    }

    /// Takes it off; what fails is tried again with the next look.
    pub(crate) async fn take_off(&self, key: &Key, uid: &str) {
        if let Err(error) = self.try_take_off(key, uid).await {
            tracing::warn!(name = key.name.as_str(), error = told(&error), "the finalizer can't be taken off yet");
        }
    }

    async fn try_take_off(&self, key: &Key, uid: &str) -> Result<(), Error> {
        let Some(api) = self.api(key) else { return Ok(()) };
        while let Some(Marks { version, mut finalizers, .. }) = found(&api, key, uid).await? {
            let before = finalizers.len();
            finalizers.retain(|one| one != FINALIZER);
            let change = json!({"finalizers": finalizers, "resourceVersion": version});
            if finalizers.len() == before || patch(&api, key, &change).await? {
                break;
            }
        }
        Ok(())
    }

    fn api(&self, key: &Key) -> Option<Api<DynamicObject>> {
        api(self.client.clone(), key.kind, Some(&key.namespace))
    }
}

impl Marks {
    /// The change of its metadata that puts on what belongs there.
    fn change(&self, is_protected: bool) -> Option<Value> {
        let annotation = sync_options::change(is_protected, self.sync_options.as_deref());
        if self.has_finalizer() && annotation.is_none() {
            return None;
        }
        let mut change = json!({"resourceVersion": self.version});
        if !self.has_finalizer() {
            let all = self.finalizers.iter().map(String::as_str).chain([FINALIZER]);
            change["finalizers"] = all.collect::<Vec<_>>().into();
        }
        if let Some(annotation) = annotation {
            change["annotations"] = json!({sync_options::ANNOTATION: annotation});
        }
        Some(change)
    }
}

/// What a resource has on it now, if it is still there.
async fn found(api: &Api<DynamicObject>, key: &Key, uid: &str) -> Result<Option<Marks>, Error> {
    let object = api.get_metadata_opt(key.name.as_str()).await?.filter(|object| object.uid().as_deref() == Some(uid));
    Ok(object.map(|object| Marks::of(&object.metadata)))
}

/// Others put theirs on as well: each change is to the list of one version. `false` when that is gone or not the latest.
async fn patch(api: &Api<DynamicObject>, key: &Key, change: &Value) -> Result<bool, Error> {
    let change = Patch::Merge(json!({"metadata": change}));
    match api.patch_metadata(key.name.as_str(), &PatchParams::default(), &change).await {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

fn refused(error: &Error) -> Failure {
    Failure::new(FailureKind::Place, format!("the finalizer can't be put on: {}", told(error)))
        .hint("see whether the operator may patch tenantdatabases and tenantroles")
}
