//! Our finalizer: it keeps a resource until what it stands for was dealt with on its server.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client, Error, ResourceExt as _};
use serde_json::json;
use tenantdb_core::{Failure, FailureKind};
use tenantdb_kubernetes::told;

use crate::object::{FINALIZER, Key, Meta, Tenant, api};

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

    /// Puts it on all of these.
    ///
    /// # Errors
    /// When the API server can't be reached or refuses it, or one of them is gone.
    pub(crate) async fn put_on_all(&self, all: Vec<(Key, Tenant)>) -> Result<(), Failure> {
        let all: Vec<_> = all.iter().map(|(key, tenant)| self.put_on(key, tenant.meta())).collect();
        stream::iter(all).buffer_unordered(AT_A_TIME).try_collect().await
    }

    /// Puts it on one, which was last seen so.
    ///
    /// # Errors
    /// When the API server can't be reached or refuses it, or the resource is gone.
    pub(crate) async fn put_on(&self, key: &Key, seen: &Meta) -> Result<(), Failure> {
        let Some(api) = self.api(key) else { return Ok(()) };
        let mut current = Some((seen.version.clone(), seen.finalizers.clone()));
        loop {
            let Some((version, finalizers)) = current else {
                let message = "the resource was deleted before anything was done for it";
                return Err(Failure::new(FailureKind::Place, message));
            };
            if finalizers.iter().any(|one| one == FINALIZER) {
                return Ok(());
            }
            let all: Vec<String> = finalizers.into_iter().chain([FINALIZER.to_owned()]).collect();
            match replace(&api, key, &version, &all).await {
                Ok(true) => return Ok(()),
                Ok(false) => current = found(&api, key, &seen.uid).await.map_err(|error| refused(&error))?,
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
        while let Some((version, mut finalizers)) = found(&api, key, uid).await? {
            let before = finalizers.len();
            finalizers.retain(|one| one != FINALIZER);
            if finalizers.len() == before || replace(&api, key, &version, &finalizers).await? {
                break;
            }
        }
        Ok(())
    }

    fn api(&self, key: &Key) -> Option<Api<DynamicObject>> {
        api(self.client.clone(), key.kind, Some(&key.namespace))
    }
}

/// The version and the finalizers that a resource has now, if it is still there.
async fn found(api: &Api<DynamicObject>, key: &Key, uid: &str) -> Result<Option<(String, Vec<String>)>, Error> {
    let object = api.get_metadata_opt(key.name.as_str()).await?.filter(|object| object.uid().as_deref() == Some(uid));
    Ok(object.map(|object| (object.resource_version().unwrap_or_default(), object.finalizers().to_vec())))
}

/// Others put theirs on as well: each change is to the list of one version. `false` when that is gone or not the latest.
async fn replace(api: &Api<DynamicObject>, key: &Key, version: &str, finalizers: &[String]) -> Result<bool, Error> {
    let change = json!({"metadata": {"finalizers": finalizers, "resourceVersion": version}});
    match api.patch_metadata(key.name.as_str(), &PatchParams::default(), &Patch::Merge(&change)).await {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

fn refused(error: &Error) -> Failure {
    Failure::new(FailureKind::Place, format!("the finalizer can't be put on: {}", told(error)))
        .hint("see whether the operator may patch tenantdatabases and tenantroles")
}
