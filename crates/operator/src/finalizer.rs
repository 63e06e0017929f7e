//! Our finalizer: it keeps a resource until what it stands for was dealt with on its server.

use kube::api::{Patch, PatchParams};
use kube::{Client, Error, ResourceExt as _};
use serde_json::json;
use tenantdb_core::{Failure, FailureKind};
use tokio::task::JoinSet;

use crate::object::{FINALIZER, Key, api};

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

    /// Puts it on all of these that are still there.
    ///
    /// # Errors
    /// When the API server can't be reached or refuses it.
    pub(crate) async fn put_on(&self, all: Vec<(Key, String)>) -> Result<(), Failure> {
        let mut waiting = all.into_iter();
        let mut running = JoinSet::new();
        loop {
            while running.len() < AT_A_TIME
                && let Some((key, uid)) = waiting.next()
            {
                running.spawn(change(self.client.clone(), key, uid, true));
            }
            let Some(done) = running.join_next().await else { return Ok(()) };
            done.unwrap_or(Ok(())).map_err(|error| {
                Failure::new(FailureKind::Place, format!("the finalizer can't be put on: {error}"))
                    .hint("see whether the operator may patch tenantdatabases and tenantroles")
            })?;
        }
    }

    /// Takes it off; what fails is tried again with the next look.
    pub(crate) async fn take_off(&self, key: &Key, uid: &str) {
        if let Err(error) = change(self.client.clone(), key.clone(), uid.to_owned(), false).await {
            tracing::warn!(name = key.name.as_str(), %error, "the finalizer can't be taken off yet");
        }
    }
}

/// Others put theirs on as well: each change is to the list as it is now.
async fn change(client: Client, key: Key, uid: String, on: bool) -> Result<(), Error> {
    let (name, namespace) = (key.name.as_str(), Some(&key.namespace));
    let Some(api) = api(client, key.kind, namespace) else { return Ok(()) };
    loop {
        let Some(object) = api.get_metadata_opt(name).await? else { return Ok(()) };
        if object.uid().as_ref() != Some(&uid) || object.finalizers().iter().any(|one| one == FINALIZER) == on {
            return Ok(());
        }
        let others = object.finalizers().iter().filter(|one| *one != FINALIZER);
        let all: Vec<&str> = others.map(String::as_str).chain(on.then_some(FINALIZER)).collect();
        let version = object.resource_version().unwrap_or_default();
        let change = json!({"metadata": {"finalizers": all, "resourceVersion": version}});
        match api.patch_metadata(name, &PatchParams::default(), &Patch::Merge(&change)).await {
            Err(Error::Api(status)) if status.is_conflict() => {}
            Err(Error::Api(status)) if status.is_not_found() => return Ok(()),
            done => return done.map(drop),
        }
    }
}
