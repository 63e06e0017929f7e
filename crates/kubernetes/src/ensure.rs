//! A database by its resource: declared to the cluster, and waited for.

use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Map, Value, json};
use tenantdb_api::tenant_database::TenantDatabaseSpec;
use tenantdb_api::{API_VERSION, TenantDatabase, tenant_database};
use tenantdb_core::{Failure, FailureKind, Interrupt, Refusal, RefusalKind, TenantChange};

use crate::error::refused;
use crate::object::api;
use crate::tenant::{State, TenantResource};

/// As whom resources are declared; what others declare of them stays theirs.
const FIELD_MANAGER: &str = "tenantdb-ensure";

/// How often is looked how it is.
const PAUSE: Duration = Duration::from_millis(500);

/// A resource as it was declared.
pub struct Applied {
    /// What that changed: its resource, or nothing.
    pub change: TenantChange,
    generation: Option<i64>,
}

/// Why a database is not there as declared.
#[derive(Debug)]
pub enum Stopped {
    /// Somebody or something does not allow it.
    Refused(Refusal),
    /// It failed.
    Failed(Failure),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Declares a database to a cluster, by server-side apply: what another declares of the same resource is not overridden.
///
/// # Errors
/// When somebody else declares a field otherwise, or the API server refuses it.
pub async fn apply(client: &Client, declaration: &TenantDatabase) -> Result<Applied, Stopped> {
    let (namespace, name) = (declaration.namespace(), &declaration.metadata.name);
    let kind = tenant_database::RESOURCE.kind;
    let path = format!("{kind} {namespace}/{name}");
    let Some(resources) = api(client.clone(), kind, Some(&namespace)) else { return Err(unknown().into()) };
    let before = resources.get_opt(name.as_str()).await.map_err(|error| refused(&format!("read {path}"), &error))?;
    let object = json!({
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": declared_fields(&declaration.spec),
    });
    let parameters = PatchParams::apply(FIELD_MANAGER);
    let after = match resources.patch(name.as_str(), &parameters, &Patch::Apply(object)).await {
        Ok(after) => after,
        Err(kube::Error::Api(status)) if status.is_conflict() => return Err(conflict(&status.message)),
        Err(error) => return Err(unapplied(&path, namespace.as_str(), &error).into()),
    };
    let generation = after.metadata.generation;
    let change = match before {
        None => TenantChange::Create,
        Some(before) if before.metadata.generation == generation => TenantChange::Unchanged,
        Some(_) => TenantChange::Update,
    };
    Ok(Applied { change, generation })
}

/// Waits until what was declared is there; `tell` hears how it is whenever that changes.
///
/// # Errors
/// When it is refused, somebody has to do something about it, or it takes too long.
pub async fn wait(
    client: &Client,
    declaration: &TenantDatabase,
    applied: &Applied,
    patience: Duration,
    interrupt: &Interrupt,
    mut tell: impl FnMut(&State),
) -> Result<TenantResource, Stopped> {
    let (began, kind) = (Instant::now(), tenant_database::RESOURCE.kind);
    let (namespace, name) = (declaration.namespace(), &declaration.metadata.name);
    let path = format!("{namespace}/{name}");
    let Some(resources) = api(client.clone(), kind, Some(&namespace)) else { return Err(unknown().into()) };
    let mut last = State { ready: false, stalled: false, reason: String::new(), message: String::new() };
    loop {
        interrupt.check()?;
        let found = resources.get_opt(name.as_str()).await;
        let found = found.map_err(|error| refused(&format!("read {kind} {path}"), &error))?;
        let Some(resource) = found.and_then(|object| current(kind, &object, applied)) else {
            let message = format!("{path}: somebody deleted it meanwhile");
            return Err(Failure::new(FailureKind::Stale, message).hint("run it again").into());
        };
        match &resource.state {
            state if state.ready => return Ok(resource),
            state if state.stalled => return Err(stalled(state)),
            state => {
                if *state != last {
                    tell(state);
                    last = state.clone();
                }
            }
        }
        if began.elapsed() >= patience {
            return Err(late(&resource, patience).into());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What an object says of what was applied, or of what somebody declared after that.
fn current(kind: &'static str, object: &DynamicObject, applied: &Applied) -> Option<TenantResource> {
    (object.metadata.generation >= applied.generation).then(|| TenantResource::of(kind, object)).flatten()
}

/// A declaration's fields that are not as they would be without it.
fn declared_fields(spec: &TenantDatabaseSpec) -> Value {
    let values = |spec: &TenantDatabaseSpec| serde_json::to_value(spec).unwrap_or_default();
    different(&values(spec), &values(&TenantDatabaseSpec::default()))
}

fn different(value: &Value, default: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(key, field)| !field.is_null() && **field != default[key.as_str()]);
            fields
                .map(|(key, field)| (key.clone(), different(field, &default[key.as_str()])))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Array(items) => items.iter().map(|item| different(item, &Value::Null)).collect(),
        value => value.clone(),
    }
}

fn unknown() -> Failure {
    Failure::new(FailureKind::Rejected, "there is no such kind")
}

/// What the API server says of it names the fields and who has them.
fn conflict(said: &str) -> Stopped {
    let refusal = Refusal::new(RefusalKind::Conflict, format!("another declares it otherwise: {said}"));
    Stopped::Refused(refusal.hint("declare it in one place: leave it to the other, or take those fields out there"))
}

fn unapplied(path: &str, namespace: &str, error: &kube::Error) -> Failure {
    let failure = refused(&format!("apply {path}"), error);
    match error {
        kube::Error::Api(status) if status.is_not_found() && status.message.contains("namespaces") => {
            failure.hint(format!("kubectl create namespace {namespace}"))
        }
        kube::Error::Api(status) if status.is_not_found() => {
            failure.hint("tenantdb crds | kubectl apply --server-side -f -")
        }
        _ => failure,
    }
}

fn stalled(State { reason, message, .. }: &State) -> Stopped {
    let message = format!("{reason}: {message}");
    let kind = match reason.as_str() {
        "Conflict" => RefusalKind::Conflict,
        "NotAllowed" => RefusalKind::Policy,
        "Protected" => RefusalKind::Protection,
        "NeedsConsent" => RefusalKind::Consent,
        _ => {
            let hint = "it stays so until somebody does something about it, on the server or in the cluster";
            return Stopped::Failed(Failure::new(FailureKind::Rejected, message).hint(hint));
        }
    };
    Stopped::Refused(Refusal::new(kind, message).hint("whoever runs the cluster's servers decides on that"))
}

fn late(resource: &TenantResource, patience: Duration) -> Failure {
    let State { reason, message, .. } = &resource.state;
    let hint = "--timeout waits longer; what was declared stays, and goes on without this run";
    let message = format!("not ready after {} s: {reason}: {message}", patience.as_secs());
    Failure::new(FailureKind::Unreachable, message).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_declared_is_applied() {
        let spec = json!({
            "database": "isp_billing",
            "extensions": [{"name": "vector"}],
            "credentials": {"formats": ["env"], "rotation": {"strategy": "InPlace"}},
        });
        let read: TenantDatabaseSpec = serde_json::from_value(spec.clone()).unwrap();
        let applied = declared_fields(&read);
        assert_eq!(applied["credentials"], spec["credentials"]);
        assert_eq!(applied.as_object().unwrap().len(), 3, "{applied}");
        assert_eq!(serde_json::from_value::<TenantDatabaseSpec>(applied).unwrap(), read);
        assert_eq!(declared_fields(&TenantDatabaseSpec::default()), json!({}));
    }
}
