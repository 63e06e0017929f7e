//! What a cluster's databases and roles say of themselves.

use jiff::Timestamp;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;
use tenantdb_api::kinds::resource::Resource;
use tenantdb_api::kinds::status::{ConditionStatus, StatusCondition};
use tenantdb_api::{Namespace, ObjectName, Tenant};
use tenantdb_core::Failure;

use crate::error::{refused, unlisted};
use crate::object::api_resource;

/// A `TenantDatabase` or a `TenantRole`, as far as people ask about it.
#[derive(Clone, Debug)]
pub struct TenantResource {
    /// Which of them.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: ObjectName,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// The server that it is on, or asks for.
    pub server: Option<String>,
    /// Its database.
    pub database: Option<String>,
    /// The Secret with its credential.
    pub secret_name: Option<String>,
    /// Whether deleting it is refused.
    pub protected: bool,
    /// Its further logins.
    pub access: Vec<ObjectName>,
    /// How it is.
    pub state: State,
}

/// How a resource is, as its operator said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Whether it is as declared.
    pub ready: bool,
    /// Whether somebody has to do something before it is.
    pub stalled: bool,
    /// Why, in one word.
    pub reason: String,
    /// Why, and what to do next.
    pub message: String,
}

/// The databases and roles of a namespace or, without one, of the cluster.
///
/// # Errors
/// When they can't be listed.
pub async fn tenants(client: &Client, namespace: Option<&Namespace>) -> Result<Vec<TenantResource>, Failure> {
    let mut all = Vec::new();
    for kind in Tenant::RESOURCES {
        let listed = api(client, kind, namespace).list(&ListParams::default()).await;
        let listed = listed.map_err(|error| match &error {
            error if is_forbidden(error) && namespace.is_none() => {
                unlisted(kind.kind, error).hint("with -n only a namespace that you may read is asked")
            }
            error => unlisted(kind.kind, error),
        })?;
        all.extend(listed.items.iter().filter_map(|object| TenantResource::of(kind.kind, object)));
    }
    all.sort_by(|one, other| (&one.namespace, &one.name, one.kind).cmp(&(&other.namespace, &other.name, other.kind)));
    Ok(all)
}

/// Those of this name, which may be one of each kind.
///
/// # Errors
/// When they can't be read.
pub async fn named(
    client: &Client,
    kind: Option<&str>,
    namespace: &Namespace,
    name: &ObjectName,
) -> Result<Vec<TenantResource>, Failure> {
    let (mut all, mut forbidden) = (Vec::new(), None);
    for wanted in Tenant::RESOURCES.into_iter().filter(|known| kind.is_none_or(|kind| kind == known.kind)) {
        let doing = || format!("read {} {namespace}/{name}", wanted.kind);
        match api(client, wanted, Some(namespace)).get_opt(name.as_str()).await {
            Ok(found) => all.extend(found.and_then(|object| TenantResource::of(wanted.kind, &object))),
            // Whoever may read the one kind only means that one.
            Err(error) if is_forbidden(&error) => {
                forbidden.get_or_insert(refused(&doing(), &error));
            }
            Err(error) => return Err(refused(&doing(), &error)),
        }
    }
    forbidden.filter(|_| all.is_empty()).map_or(Ok(all), Err)
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_forbidden())
}

fn api(client: &Client, kind: &Resource, namespace: Option<&Namespace>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace.as_str(), &api_resource(kind)),
        None => Api::all_with(client.clone(), &api_resource(kind)),
    }
}

impl TenantResource {
    /// What an object says; `None` when its name is none that ours can have.
    pub(crate) fn of(kind: &'static str, object: &DynamicObject) -> Option<Self> {
        let (spec, status) = (&object.data["spec"], &object.data["status"]);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let access = spec["access"].as_array().into_iter().flatten();
        Some(Self {
            kind,
            namespace: object.namespace()?.parse().ok()?,
            name: object.name_any().parse().ok()?,
            created: object.creation_timestamp().map(|time| time.0),
            server: text(&status["server"]).or_else(|| text(&spec["server"])),
            database: text(&status["database"]),
            secret_name: text(&status["secretName"]),
            protected: spec["deletionProtection"].as_bool().unwrap_or(true),
            access: access.filter_map(|access| access["name"].as_str()?.parse().ok()).collect(),
            state: State::of(object),
        })
    }

    /// As people write it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl State {
    fn of(object: &DynamicObject) -> Self {
        let status = &object.data["status"];
        let conditions: Vec<StatusCondition> = serde_json::from_value(status["conditions"].clone()).unwrap_or_default();
        let holds = |kind: &str| {
            let mut of_kind = conditions.iter().filter(|condition| condition.kind == kind);
            of_kind.next().is_some_and(|condition| condition.status == ConditionStatus::True)
        };
        let ready = conditions.iter().find(|condition| condition.kind == "Ready");
        let is_current = status["observedGeneration"].as_i64() == object.metadata.generation;
        match ready {
            _ if object.metadata.deletion_timestamp.is_some() => Self::waiting("Deleting", "it is being deleted"),
            Some(ready) if is_current => Self {
                ready: holds("Ready"),
                stalled: holds("Stalled"),
                reason: ready.reason.clone(),
                message: ready.message.clone(),
            },
            _ => Self::waiting("Waiting", "no operator has looked at it as it is now"),
        }
    }

    fn waiting(reason: &str, message: &str) -> Self {
        Self { ready: false, stalled: false, reason: reason.to_owned(), message: message.to_owned() }
    }
}
