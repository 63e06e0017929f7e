//! What others ask the operator over HTTP: `/metrics`, `/healthz` and `/readyz`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tenantdb_core::{Failure, FailureKind};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::metrics::Metrics;

/// How long the dispatcher may be silent.
const SILENCE: Duration = Duration::from_mins(1);

/// What `/readyz` says at first.
const NOT_READY: &str = "it does not know yet all that is declared; where that lasts, its log tells why\n";

/// How the operator is.
#[derive(Debug)]
pub(crate) struct Health {
    began: Instant,
    /// When the dispatcher last went round, in seconds since the beginning.
    beat: AtomicU64,
    /// Whether what it watches is complete.
    is_ready: AtomicBool,
    pub(crate) metrics: Metrics,
}

impl Health {
    pub(crate) fn new() -> Self {
        let (beat, is_ready) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { began: Instant::now(), beat, is_ready, metrics: Metrics::new() }
    }

    /// Says that all goes on.
    pub(crate) fn beat(&self) {
        self.beat.store(self.began.elapsed().as_secs(), Ordering::Relaxed);
    }

    pub(crate) fn ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Ordering::Relaxed);
    }

    fn is_alive(&self) -> bool {
        let last = Duration::from_secs(self.beat.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(last) < SILENCE
    }
}

/// Listens, and answers until the process ends.
///
/// # Errors
/// When nobody can listen there.
pub(crate) async fn serve(address: SocketAddr, health: Arc<Health>) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::new(FailureKind::Rejected, format!("can't listen on {address}: {error}"))
            .hint("choose another address with --listen")
    })?;
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route(
            "/healthz",
            get(async |State(health): State<Arc<Health>>| answer(health.is_alive(), "it stands still\n")),
        )
        .route(
            "/readyz",
            get(async |State(health): State<Arc<Health>>| answer(health.is_ready.load(Ordering::Relaxed), NOT_READY)),
        )
        .with_state(health);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "nobody listens any more");
        }
    });
    Ok(())
}

async fn metrics(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], health.metrics.text())
}

fn answer(is_so: bool, otherwise: &'static str) -> (StatusCode, &'static str) {
    if is_so { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, otherwise) }
}
