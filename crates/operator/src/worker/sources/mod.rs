//! Other operators' clusters: from such a resource to where its server is, and how to log in. Pure; each operator's
//! names and habits are in a module of its own.

mod cnpg;
mod stackgres;

use kube::api::DynamicObject;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tenantdb_api::database_server::{ClusterReference, TlsMode};
use tenantdb_api::{Namespace, ObjectName};
use tenantdb_core::{Address, Condition, Failure};

use crate::watch::reference::{KeyOf, Reference, ReferredKind, waiting};

pub(crate) use cnpg::locate as cnpg;
pub(crate) use stackgres::locate as stackgres;

/// Where a cluster's server is, and where what opens it is.
#[derive(Debug)]
pub(crate) struct Located {
    /// Where the server itself listens.
    pub(crate) address: Address,
    /// What applications are told.
    pub(crate) published: Address,
    /// The way past a pooler, if `published` is one.
    pub(crate) direct: Option<Address>,
    /// The certificates that may have signed the server's, and what that proves.
    pub(crate) authority: Option<(KeyOf, TlsMode)>,
    /// Where the administrator's login is.
    pub(crate) login: Result<LoginSecret, Failure>,
    /// What else is to be known.
    pub(crate) notes: Vec<Condition>,
}

/// A Secret that holds a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoginSecret {
    pub(crate) secret: Reference,
    pub(crate) username_key: &'static str,
    pub(crate) password_key: &'static str,
}

/// The fields of a cluster's spec and status that are read; the message says which is not as expected.
fn fields<Spec: DeserializeOwned, Status: DeserializeOwned>(
    cluster: &DynamicObject,
    at: &Reference,
) -> Result<(Spec, Status), Failure> {
    let data = without_nulls(&cluster.data);
    let part = |name| data.get(name).cloned().unwrap_or_else(|| json!({}));
    let wrong = |error| {
        waiting(format!("{at} is not as its operator makes it: {error}"), "see whether its version is supported")
    };
    let spec = serde_json::from_value(part("spec")).map_err(wrong)?;
    Ok((spec, serde_json::from_value(part("status")).map_err(wrong)?))
}

/// The same object, in which what is null is absent.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let given = fields.iter().filter(|(_, value)| !value.is_null());
            given.map(|(field, value)| (field.clone(), without_nulls(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// A Secret beside a cluster.
fn secret(at: &Reference, name: &str) -> Result<Reference, Failure> {
    let name: ObjectName =
        name.parse().map_err(|error| waiting(format!("{at} names a Secret `{name}`: {error}"), "correct it there"))?;
    Ok(Reference { kind: ReferredKind::Secret, namespace: at.namespace.clone(), name })
}

/// The name under which a Service is known in the whole Kubernetes cluster.
fn host(service: &str, namespace: &Namespace) -> String {
    format!("{service}.{namespace}.svc")
}

/// Where tenantdb itself reaches a cluster that listens here.
fn reached_at(source: &ClusterReference, service: &Address) -> Address {
    let declared = source.endpoint.as_ref();
    declared.map_or_else(|| service.clone(), |own| Address { host: own.host.clone(), port: own.port })
}
