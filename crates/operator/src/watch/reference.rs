//! Objects that declarations refer to, and how they are read.

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::ByteString;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, Client, Error};
use tenantdb_api::{Namespace, ObjectName};
use tenantdb_core::{Failure, FailureKind};

/// What kinds of objects are referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ReferredKind {
    Secret,
    ConfigMap,
    /// A cluster of CloudNativePG.
    Cnpg,
    /// A cluster of StackGres.
    StackGres,
}

/// An object that a declaration refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    pub(crate) kind: ReferredKind,
    pub(crate) namespace: Namespace,
    pub(crate) name: ObjectName,
}

/// A key of a Secret or ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyOf {
    pub(crate) object: Reference,
    pub(crate) key: String,
}

impl ReferredKind {
    /// The kind as the client knows it.
    pub(crate) fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Cnpg => ("postgresql.cnpg.io", "v1", "Cluster", "clusters"),
            Self::StackGres => ("stackgres.io", "v1", "SGCluster", "sgclusters"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// What has to be there before the API server knows the kind.
    fn brought_by(self) -> &'static str {
        match self {
            Self::Cnpg => "CloudNativePG",
            Self::StackGres => "StackGres",
            Self::Secret | Self::ConfigMap => "Kubernetes",
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ReferredKind::Secret => "Secret",
            ReferredKind::ConfigMap => "ConfigMap",
            ReferredKind::Cnpg => "CloudNativePG Cluster",
            ReferredKind::StackGres => "SGCluster",
        };
        write!(f, "{kind} {}/{}", self.namespace, self.name)
    }
}

/// A failure that ends when something else is there.
pub(crate) fn waiting(message: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Waiting, message).hint(hint)
}

/// Reads what is referred to, and remembers what that was.
pub(crate) struct Reader<'a> {
    client: &'a Client,
    pub(crate) read: BTreeSet<Reference>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(client: &'a Client) -> Self {
        Self { client, read: BTreeSet::new() }
    }

    /// An object.
    ///
    /// # Errors
    /// When it is not there, or may not be read.
    pub(crate) async fn object(&mut self, reference: &Reference) -> Result<DynamicObject, Failure> {
        self.read.insert(reference.clone());
        let resource = reference.kind.resource();
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), reference.namespace.as_str(), &resource);
        match api.get(reference.name.as_str()).await {
            Ok(object) => Ok(object),
            Err(Error::Api(status)) if status.code == 404 && status.reason != "NotFound" => {
                let message = format!("{reference}: the API server does not know the kind {}", resource.kind);
                Err(waiting(message, format!("install {}; it is waited for", reference.kind.brought_by())))
            }
            Err(Error::Api(status)) if status.code == 404 => {
                Err(waiting(format!("there is no {reference}"), "make it, or name another; it is waited for"))
            }
            Err(Error::Api(status)) => {
                let message = format!("{reference}: {}", status.message);
                Err(waiting(message, "see whether the operator may read it"))
            }
            Err(_) => Err(waiting(format!("{reference}: the API server can't be reached"), "it is tried again")),
        }
    }

    /// The text under a key.
    ///
    /// # Errors
    /// When it is not there, or is no text.
    pub(crate) async fn text(&mut self, at: &KeyOf) -> Result<String, Failure> {
        let object = self.object(&at.object).await?;
        text(&object, at)
    }
}

/// The text under a key of an object that was read.
pub(crate) fn text(object: &DynamicObject, KeyOf { object: reference, key }: &KeyOf) -> Result<String, Failure> {
    let value = object.data.get("data").and_then(|data| data.get(key));
    let missing = || waiting(format!("{reference} has no key `{key}`"), "add it, or name another; it is waited for");
    let value = value.ok_or_else(missing)?.clone();
    let text = match reference.kind {
        ReferredKind::Secret => {
            serde_json::from_value::<ByteString>(value).ok().and_then(|bytes| String::from_utf8(bytes.0).ok())
        }
        _ => serde_json::from_value(value).ok(),
    };
    text.ok_or_else(|| waiting(format!("key `{key}` of {reference} is not UTF-8"), "store it as text"))
}
