//! What an API server refuses, for people.

use kube::Error;
use tenantdb_core::{Failure, FailureKind};

/// What the API server said, without the object that said it.
#[must_use]
pub fn told(error: &Error) -> String {
    match error {
        Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

/// Something that was asked of the API server and not done; its own words hold no more of a Secret than its name.
pub(crate) fn refused(doing: &str, error: &Error) -> Failure {
    let failed = |kind, said: &str| Failure::new(kind, format!("can't {doing}: {said}"));
    match error {
        Error::Api(status) if status.is_forbidden() => failed(FailureKind::Rejected, &status.message)
            .hint("ask whoever runs the cluster for that right, or name another context with --context"),
        Error::Api(status) => failed(FailureKind::Rejected, &status.message),
        // What a program for logins said may hold what it gave.
        Error::Auth(_) => failed(FailureKind::LoginRefused, "the login to the API server failed")
            .hint("see whether `kubectl get namespaces` works with the same context"),
        _ => failed(FailureKind::Unreachable, "the API server can't be reached")
            .hint("see whether `kubectl get namespaces` works with the same context"),
    }
}

/// The same of our kinds, which a cluster may not know.
pub(crate) fn unlisted(kind: &str, error: &Error) -> Failure {
    match error {
        Error::Api(status) if status.is_not_found() => {
            let message = format!("the cluster knows no {kind}");
            Failure::new(FailureKind::Rejected, message).hint("tenantdb crds | kubectl apply --server-side -f -")
        }
        error => refused(&format!("list {kind}s"), error),
    }
}
