//! One module a kind. The types are plain data that `serde` decodes; what a single value may be is decided by the
//! types in `values`, what must agree between fields by each kind's `validate`.

pub mod database_server;
pub mod resource;
mod settings;
pub mod status;
mod tenant;
pub mod tenant_database;
pub mod tenant_role;

pub use tenant::Tenant;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use self::resource::Resource;
use crate::values::{Namespace, ObjectName};

/// Every kind.
pub const RESOURCES: [&Resource; 3] = [&database_server::RESOURCE, &tenant_database::RESOURCE, &tenant_role::RESOURCE];

/// The part of Kubernetes' `ObjectMeta` that a manifest may carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectMeta {
    /// Unique among the objects of its kind in its namespace.
    pub name: ObjectName,
    /// `default` when absent; not allowed on cluster-scoped kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Carried for other tools; tenantdb reads none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Carried for other tools; of a resource in a cluster another value of `tenantdb.dev/refresh` asks for a closer look.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl ObjectMeta {
    /// The namespace, `default` when none was given.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        self.namespace.clone().unwrap_or_default()
    }
}

/// What the kinds have in common.
pub trait Kind: DeserializeOwned {
    /// What Kubernetes is told of it.
    const RESOURCE: Resource;

    /// What its fields don't agree on, and what is not supported yet where it stands; empty when it can be used.
    fn validate(&self, origin: Origin) -> Vec<Violation>;
}

/// Where a declaration stands: a few fields make sense in one place only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a file.
    Manifest,
    /// In a cluster, as a custom resource.
    Cluster,
}

/// What is wrong with a decoded object: where in it, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path from the object's root, such as `spec.access[0].level`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Whether it is the field's key that is wrong, not its value.
    on_key: bool,
}

impl Violation {
    /// A violation without a hint.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), hint: None, on_key: false }
    }

    /// The refusal of a field whose behaviour does not exist yet.
    #[must_use]
    pub fn not_supported_yet(path: &str) -> Self {
        Self::new(path, format!("{path} is not supported yet"))
    }

    /// The same violation with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same violation, of the field's key rather than its value.
    #[must_use]
    pub fn on_key(mut self) -> Self {
        self.on_key = true;
        self
    }

    pub(crate) fn is_on_key(&self) -> bool {
        self.on_key
    }
}
