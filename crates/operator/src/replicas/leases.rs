//! What the Leases say: which replicas live, and who has what. Whether one has run out is told by our own clock, from
//! when we last saw it renewed: those of two machines need not agree.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;
use tenantdb_core::Version;
use tenantdb_credentials::stores::secret::version_of;

use super::REPLICA;

/// The Leases of all replicas, as they were seen last.
#[derive(Debug)]
pub(crate) struct Leases {
    known: BTreeMap<String, Known>,
    lives: BTreeMap<String, Life>,
    /// How long a sign of life counts where nothing else is said.
    duration: Duration,
}

/// The state of a Lease that a change of it builds on.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) version: String,
    /// How often it was taken.
    pub(crate) transitions: i32,
}

/// A Lease.
#[derive(Clone, Debug)]
struct Known {
    version: Version,
    holder: Option<String>,
    transitions: i32,
    is_heartbeat: bool,
}

/// The last sign of a replica's life.
#[derive(Clone, Debug)]
struct Life {
    renewal: Option<MicroTime>,
    since: Instant,
    lasts: Duration,
}

impl Leases {
    pub(crate) fn new(duration: Duration) -> Self {
        Self { known: BTreeMap::new(), lives: BTreeMap::new(), duration }
    }

    /// Takes note of a Lease; what is older than what is known is told late.
    pub(crate) fn see(&mut self, lease: &Lease, now: Instant) {
        let (name, version) = (lease.name_any(), version_of(&lease.metadata));
        if self.known.get(&name).is_some_and(|known| known.version >= version) {
            return;
        }
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
        let is_heartbeat = name.starts_with(REPLICA);
        if let Some(holder) = &holder {
            let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            let lasts = seconds.map_or(self.duration, Duration::from_secs);
            // That somebody has something is no sign of life, unless it is the first that is heard of it.
            let life = self.lives.entry(holder.clone()).or_insert(Life { renewal: None, since: now, lasts });
            if is_heartbeat && life.renewal != spec.renew_time {
                *life = Life { renewal: spec.renew_time, since: now, lasts };
            }
        }
        let transitions = spec.lease_transitions.unwrap_or_default();
        self.known.insert(name, Known { version, holder, transitions, is_heartbeat });
    }

    /// Takes note that a Lease was deleted. A replica that lives makes its heartbeat anew.
    pub(crate) fn forget(&mut self, lease: &Lease) {
        let name = lease.name_any();
        if self.known.get(&name).is_some_and(|known| known.version <= version_of(&lease.metadata)) {
            self.known.remove(&name);
        }
    }

    /// Takes note of all that there is, after something may have been missed.
    pub(crate) fn see_all(&mut self, leases: &[Lease], now: Instant) {
        let names: BTreeSet<String> = leases.iter().map(ResourceExt::name_any).collect();
        self.known.retain(|name, _| names.contains(name));
        for lease in leases {
            self.see(lease, now);
        }
    }

    /// The replicas with a heartbeat that has not run out.
    pub(crate) fn living(&self, now: Instant) -> BTreeSet<String> {
        let heartbeats = self.known.values().filter(|known| known.is_heartbeat);
        heartbeats.filter_map(|known| known.holder.clone()).filter(|replica| !self.is_dead(replica, now)).collect()
    }

    /// Whether nothing was heard of a replica for as long as a sign of its life lasts.
    fn is_dead(&self, replica: &str, now: Instant) -> bool {
        self.lives.get(replica).is_none_or(|life| now.duration_since(life.since) >= life.lasts)
    }

    /// Who has the Lease of this name.
    pub(crate) fn holder(&self, lease: &str) -> Option<&str> {
        self.known.get(lease)?.holder.as_deref()
    }

    /// Whether nobody has it who lives.
    pub(crate) fn is_free(&self, lease: &str, now: Instant) -> bool {
        self.holder(lease).is_none_or(|holder| self.is_dead(holder, now))
    }

    /// What was seen of it last, if it is there.
    pub(crate) fn seen(&self, lease: &str) -> Option<Seen> {
        let Known { version, transitions, .. } = self.known.get(lease)?;
        Some(Seen { version: version.0.to_string(), transitions: *transitions })
    }

    /// Takes out those that nobody needs any more, with their versions: nobody who lives has them, and they are not among
    /// the `wanted`.
    pub(crate) fn take_left_over(&mut self, wanted: &BTreeSet<String>, now: Instant) -> Vec<(String, String)> {
        let names = self.known.keys().filter(|name| !wanted.contains(*name) && self.is_free(name, now));
        let names: Vec<String> = names.cloned().collect();
        names
            .into_iter()
            .filter_map(|name| Some((name.clone(), self.known.remove(&name)?.version.0.to_string())))
            .collect()
    }
}

#[cfg(test)]
#[path = "leases_tests.rs"]
mod tests;
