//! A Lease: of several operators one works. Whether another's has run out is told by our own clock, from when we last
//! saw it renewed: those of two machines need not agree.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as Resource, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, Error};
use tenantdb_core::Interrupt;
use tenantdb_kubernetes::told;
use tokio::time::Instant;

/// A Lease that this process wants, or has.
pub(crate) struct Lease {
    api: Api<Resource>,
    name: String,
    /// Who we are; no other process is called so.
    identity: String,
    duration: Duration,
    /// Another's renewal, and when we first saw it.
    seen: Option<(LeaseSpec, Instant)>,
}

impl Lease {
    /// The Lease of this name, which runs out when it is not renewed for `duration`.
    pub(crate) fn new(client: Client, namespace: &str, name: &str, identity: String, duration: Duration) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, name: name.to_owned(), identity, duration, seen: None }
    }

    /// How long to wait between two looks.
    fn pause(&self) -> Duration {
        self.duration / 4
    }

    /// Waits until we have it; `false` when somebody asks to stop first.
    pub(crate) async fn acquire(&mut self, interrupt: &Interrupt) -> bool {
        let mut is_told = false;
        while !interrupt.is_set() {
            match self.take().await {
                Ok(true) => return true,
                Ok(false) if is_told => {}
                Ok(false) => {
                    let holder = self.seen.as_ref().and_then(|(spec, _)| spec.holder_identity.clone());
                    tracing::info!(lease = self.name, holder, "another operator works, and this one waits");
                    is_told = true;
                }
                Err(error) => tracing::warn!(lease = self.name, error = told(&error), "the Lease can't be taken yet"),
            }
            tokio::time::sleep(self.pause()).await;
        }
        false
    }

    /// Renews it until it is lost: somebody else has it, or it can't be renewed for so long that somebody else may.
    pub(crate) async fn keep(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.pause()).await;
            let began = Instant::now();
            let left = (self.duration * 3 / 4).saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.take()).await {
                Ok(Ok(true)) => renewed = began,
                Ok(Err(error)) => {
                    tracing::warn!(lease = self.name, error = told(&error), "the Lease can't be renewed yet");
                }
                Ok(Ok(false)) | Err(_) => return,
            }
        }
    }

    /// Lets go of it, so that nobody has to wait until it has run out.
    pub(crate) async fn release(&mut self) {
        let Ok(Some(mut found)) = self.api.get_opt(&self.name).await else { return };
        let spec = found.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() == Some(&self.identity) {
            spec.holder_identity = None;
            if let Err(error) = self.api.replace(&self.name, &PostParams::default(), &found).await {
                tracing::debug!(lease = self.name, error = told(&error), "the Lease runs out by itself");
            }
        }
    }

    /// Takes or renews it, if nobody else has it.
    async fn take(&mut self) -> Result<bool, Error> {
        let Some(mut found) = self.api.get_opt(&self.name).await? else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let lease = Resource { metadata, spec: Some(self.renewed(&LeaseSpec::default())) };
            return was_first(self.api.create(&PostParams::default(), &lease).await);
        };
        let spec = found.spec.take().unwrap_or_default();
        if self.is_anothers(&spec) {
            return Ok(false);
        }
        // The version that was read makes sure that nobody was faster.
        found.spec = Some(self.renewed(&spec));
        was_first(self.api.replace(&self.name, &PostParams::default(), &found).await)
    }

    /// Whether somebody else has it, and it has not run out.
    fn is_anothers(&mut self, spec: &LeaseSpec) -> bool {
        let holder = spec.holder_identity.as_ref().filter(|holder| !holder.is_empty());
        if holder.is_none_or(|holder| *holder == self.identity) {
            return false;
        }
        let term = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let term = term.map_or(self.duration, Duration::from_secs);
        match &self.seen {
            Some((seen, since)) if seen == spec => since.elapsed() < term,
            _ => {
                self.seen = Some((spec.clone(), Instant::now()));
                true
            }
        }
    }

    fn renewed(&self, before: &LeaseSpec) -> LeaseSpec {
        let now = Some(MicroTime(Timestamp::now()));
        let is_ours = before.holder_identity.as_ref() == Some(&self.identity);
        let seconds = i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX).max(1);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(seconds),
            acquire_time: if is_ours { before.acquire_time.clone() } else { now.clone() },
            renew_time: now,
            lease_transitions: Some(before.lease_transitions.unwrap_or_default() + i32::from(!is_ours)),
            ..before.clone()
        }
    }
}

/// Whether our request came before any other's.
fn was_first<T>(written: Result<T, Error>) -> Result<bool, Error> {
    match written {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
        Err(error) => Err(error),
    }
}
