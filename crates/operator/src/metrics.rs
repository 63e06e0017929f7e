//! What can be measured of the operator, for Prometheus.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfServer {
    server: String,
}

/// A server, and how a tenant on it came out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    server: String,
    reason: String,
}

/// A kind of resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: String,
}

/// All that is counted, while this process runs.
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    passes: Family<OfServer, Histogram, fn() -> Histogram>,
    outcomes: Family<OfOutcome, Counter>,
    failures: Family<OfOutcome, Counter>,
    waiting: Family<OfServer, Gauge>,
    up: Family<OfServer, Gauge>,
    writes: Family<OfKind, Counter>,
    servers: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// From 10 milliseconds to 20 minutes.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 18))
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("tenantdb")),
            passes: Family::new_with_constructor(seconds),
            outcomes: Family::default(),
            failures: Family::default(),
            waiting: Family::default(),
            up: Family::default(),
            writes: Family::default(),
            servers: Gauge::default(),
        };
        let mut registry = metrics.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let passes = metrics.passes.clone();
        registry.register_with_unit("pass_duration", "How long a pass over a server took", Unit::Seconds, passes);
        let outcomes = metrics.outcomes.clone();
        registry.register("tenants_reconciled", "Tenants that a pass looked at, by how they came out", outcomes);
        let failures = metrics.failures.clone();
        registry.register("passes_failed", "Passes that could not be made or had to end, by reason", failures);
        let waiting = metrics.waiting.clone();
        registry.register("queue_depth", "Resources that wait for the next pass over their server", waiting);
        registry.register("server_up", "Whether the last pass over a server reached it", metrics.up.clone());
        registry.register("status_writes", "Statuses that were written", metrics.writes.clone());
        registry.register("servers", "Servers that this operator works on", metrics.servers.clone());
        drop(registry);
        metrics
    }

    /// A pass came to its end, or could not be made.
    pub(crate) fn pass(&self, server: &str, took: Duration, failed: Option<&'static str>) {
        let of_server = OfServer { server: server.to_owned() };
        self.passes.get_or_create(&of_server).observe(took.as_secs_f64());
        self.up.get_or_create(&of_server).set(i64::from(failed.is_none()));
        if let Some(reason) = failed {
            self.failures.get_or_create(&OfOutcome { server: server.to_owned(), reason: reason.to_owned() }).inc();
        }
    }

    /// A server is declared no more, or another operator's to tell of.
    pub(crate) fn forget(&self, server: &str) {
        let of_server = OfServer { server: server.to_owned() };
        self.up.remove(&of_server);
        self.waiting.remove(&of_server);
    }

    /// A pass looked at a tenant.
    pub(crate) fn tenant(&self, server: &str, reason: &'static str) {
        self.outcomes.get_or_create(&OfOutcome { server: server.to_owned(), reason: reason.to_owned() }).inc();
    }

    /// A status was written.
    pub(crate) fn status(&self, kind: &'static str) {
        self.writes.get_or_create(&OfKind { kind: kind.to_owned() }).inc();
    }

    /// On how many servers this process works.
    pub(crate) fn servers(&self, number: usize) {
        self.servers.set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// How many wait for a server.
    pub(crate) fn waiting(&self, server: &str, number: usize) {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        self.waiting.get_or_create(&OfServer { server: server.to_owned() }).set(number);
    }

    /// All of it, in the text format of `OpenMetrics`.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing into a text can't fail.
        let _ = encode(&mut text, &registry);
        text
    }
}
