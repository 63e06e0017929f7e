//! What a replica asks of the API server about Leases.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Status;
use kube::{Api, Client, Error};
use serde_json::json;
use tenantdb_credentials::stores::secret::MANAGED_BY;
use tenantdb_kubernetes::told;

use super::leases::Seen;
use super::{REPLICA, Share};

/// Selects the Leases of replicas.
pub(crate) fn ours() -> String {
    format!("{}={}", MANAGED_BY.0, MANAGED_BY.1)
}

/// How long to wait after something that could not be done, before it is asked for again.
const PAUSE: Duration = Duration::from_millis(500);

/// What came of a request.
pub(crate) enum Done {
    /// The heartbeat, as it was renewed by a request that began then.
    Beat { began: Instant, renewed: Option<Lease> },
    /// The Lease of a share, if we have it now, and who had it before.
    Taken { share: Share, lease: Option<Lease>, predecessor: Option<String> },
    /// The Lease of a share that we had, if it is still there.
    GivenBack { share: Share, lease: Option<Lease> },
    /// A Lease that nobody needs.
    Deleted,
}

/// Who asks.
#[derive(Clone)]
pub(crate) struct Requests {
    client: Client,
    namespace: String,
    identity: String,
    /// How long a heartbeat counts.
    duration: Duration,
}

impl Requests {
    pub(crate) fn new(client: Client, namespace: &str, identity: String, duration: Duration) -> Self {
        Self { client, namespace: namespace.to_owned(), identity, duration }
    }

    pub(crate) fn api(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn heartbeat(&self) -> String {
        let (unique, _) = self.identity.split_once(' ').unwrap_or((&self.identity, ""));
        format!("{REPLICA}{unique}")
    }

    /// Renews the heartbeat, and makes it where it is not there.
    pub(crate) async fn beat(self) -> Done {
        let began = Instant::now();
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX).max(1)),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        };
        let renewing = async {
            let change = Patch::Merge(json!({"spec": spec}));
            match self.api().patch(&self.heartbeat(), &PatchParams::default(), &change).await {
                Err(Error::Api(status)) if status.is_not_found() => self.create(&self.heartbeat(), spec).await,
                renewed => renewed,
            }
        };
        let renewed = match tokio::time::timeout(self.duration / 2, renewing).await {
            Ok(Ok(lease)) => Some(lease),
            Ok(Err(error)) => {
                tracing::warn!(error = told(&error), "the heartbeat can't be renewed yet");
                None
            }
            Err(_) => {
                tracing::warn!("the heartbeat can't be renewed yet: the API server does not answer");
                None
            }
        };
        Done::Beat { began, renewed }
    }

    /// Takes a Lease that was free when it was seen, or is not there.
    pub(crate) async fn take(self, share: Share, seen: Option<Seen>, predecessor: Option<String>) -> Done {
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            acquire_time: Some(MicroTime(Timestamp::now())),
            lease_transitions: Some(seen.as_ref().map_or(0, |seen| seen.transitions + 1)),
            ..LeaseSpec::default()
        };
        let name = share.lease();
        let lease = match seen {
            None => answer(&name, self.create(&name, spec).await).await,
            Some(seen) => self.replace(&name, spec, seen.version).await,
        };
        Done::Taken { share, lease, predecessor }
    }

    /// Lets others have a Lease that was ours when it was seen.
    pub(crate) async fn give_back(self, share: Share, seen: Seen) -> Done {
        let spec = LeaseSpec { lease_transitions: Some(seen.transitions), ..LeaseSpec::default() };
        let lease = self.replace(&share.lease(), spec, seen.version).await;
        Done::GivenBack { share, lease }
    }

    /// Removes a Lease that nobody needs, if it is still at this version.
    pub(crate) async fn delete(self, name: String, version: String) -> Done {
        let preconditions = Some(Preconditions { resource_version: Some(version), uid: None });
        let parameters = DeleteParams { preconditions, ..DeleteParams::default() };
        answer(&name, self.api().delete(&name, &parameters).await).await;
        Done::Deleted
    }

    /// Removes the heartbeat, after all was given back.
    pub(crate) async fn end(&self) {
        let name = self.heartbeat();
        answer(&name, self.api().delete(&name, &DeleteParams::default()).await).await;
    }

    async fn create(&self, name: &str, spec: LeaseSpec) -> Result<Lease, Error> {
        self.api().create(&PostParams::default(), &Lease { metadata: metadata(name, None), spec: Some(spec) }).await
    }

    async fn replace(&self, name: &str, spec: LeaseSpec, version: String) -> Option<Lease> {
        let lease = Lease { metadata: metadata(name, Some(version)), spec: Some(spec) };
        answer(name, self.api().replace(name, &PostParams::default(), &lease).await).await
    }
}

fn metadata(name: &str, resource_version: Option<String>) -> ObjectMeta {
    let (key, value) = MANAGED_BY;
    let labels = Some([(key.to_owned(), value.to_owned())].into());
    ObjectMeta { name: Some(name.to_owned()), labels, resource_version, ..ObjectMeta::default() }
}

/// What was answered, if it was done; that somebody else was faster is nothing to speak of.
async fn answer<T>(lease: &str, answer: Result<T, Error>) -> Option<T> {
    let error = match answer {
        Ok(done) => return Some(done),
        Err(error) => error,
    };
    let was_faster = |status: &Status| status.is_conflict() || status.is_already_exists() || status.is_not_found();
    if !matches!(&error, Error::Api(status) if was_faster(status)) {
        tracing::warn!(lease, error = told(&error), "the Lease can't be written yet");
    }
    tokio::time::sleep(PAUSE).await;
    None
}
