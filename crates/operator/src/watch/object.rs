//! Custom resources as they are watched.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::Value;
use tenantdb_api::tenant_database::{DeletionProtection, SecretPolicy};
use tenantdb_api::{Declared, Diagnostics, Kind, Namespace, ObjectName, ObjectPath, TenantRole};
use tenantdb_core::{Authority, Claim};
use tenantdb_kubernetes::REFRESH;
pub(crate) use tenantdb_kubernetes::{api, api_resource};

use crate::protect::sync_options;

/// Keeps an object from vanishing before what it stands for is dealt with.
pub(crate) const FINALIZER: &str = "tenantdb.dev/ledger";

/// An object of a namespaced kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) kind: &'static str,
    pub(crate) namespace: Namespace,
    pub(crate) name: ObjectName,
}

impl Key {
    /// The claim of the declaration.
    pub(crate) fn claim(&self, authority: &Authority) -> Claim {
        let Self { kind, namespace, name } = self.clone();
        Claim { authority: authority.clone(), kind, namespace, name, access: None }
    }

    /// The declaration that a claim is of.
    pub(crate) fn of(claim: &Claim) -> Self {
        Self { kind: claim.kind, namespace: claim.namespace.clone(), name: claim.name.clone() }
    }

    fn at(kind: &'static str, path: &ObjectPath) -> Self {
        Self { kind, namespace: path.namespace().clone(), name: path.name().clone() }
    }
}

/// What an operator needs to know of any object beside its declaration.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) uid: String,
    /// Counts the changes of its spec.
    pub(crate) generation: i64,
    pub(crate) created: Timestamp,
    /// Whether somebody deleted it.
    pub(crate) is_deleted: bool,
    pub(crate) marks: Marks,
    /// What the annotation says that asks for a closer look.
    pub(crate) refresh: Option<String>,
    /// What its status says.
    pub(crate) status: Value,
}

/// What is on an object that says what becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    /// The version that was seen.
    pub(crate) version: String,
    /// What keeps it from vanishing.
    pub(crate) finalizers: Vec<String>,
    /// What Argo CD is told of it.
    pub(crate) sync_options: Option<String>,
}

impl Marks {
    pub(crate) fn of(meta: &ObjectMeta) -> Self {
        Self {
            version: meta.resource_version.clone().unwrap_or_default(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
            sync_options: meta.annotations.as_ref().and_then(|all| all.get(sync_options::ANNOTATION)).cloned(),
        }
    }

    pub(crate) fn has_finalizer(&self) -> bool {
        self.finalizers.iter().any(|finalizer| finalizer == FINALIZER)
    }
}

/// An object with its declaration, or what is wrong with that.
#[derive(Clone, Debug)]
pub(crate) struct Object<T> {
    pub(crate) meta: Meta,
    pub(crate) declared: Result<Declared<T>, Diagnostics>,
}

/// A declaration that a server is there for.
pub(crate) type Tenant = Arc<Object<tenantdb_api::Tenant>>;

impl Meta {
    fn of(object: &DynamicObject) -> Self {
        Self {
            uid: object.uid().unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or_default(),
            created: object.creation_timestamp().map(|time| time.0).unwrap_or_default(),
            is_deleted: object.metadata.deletion_timestamp.is_some(),
            marks: Marks::of(&object.metadata),
            refresh: object.annotations().get(REFRESH).cloned(),
            status: object.data.get("status").cloned().unwrap_or_default(),
        }
    }

    /// Whether our finalizer is on it.
    pub(crate) fn is_held(&self) -> bool {
        self.marks.has_finalizer()
    }

    /// Whether a closer look is asked for that was not asked for before.
    pub(crate) fn asks_for_closer_look(&self, before: &Self) -> bool {
        self.refresh.is_some() && self.refresh != before.refresh
    }

    /// Whether there may be something to do that there was not before. That we put our finalizer on is no news.
    pub(crate) fn is_news(&self, before: &Self) -> bool {
        let lost_hold = before.is_held() && !self.is_held();
        (&self.uid, self.generation, self.is_deleted, &self.refresh)
            != (&before.uid, before.generation, before.is_deleted, &before.refresh)
            || lost_hold
    }
}

impl<T: Kind> Object<T> {
    /// An object as the API server gave it.
    pub(crate) fn new(object: &DynamicObject) -> Self {
        Self { meta: Meta::of(object), declared: tenantdb_kubernetes::declared(object) }
    }
}

impl Object<tenantdb_api::Tenant> {
    /// An object of a kind that servers are there for, as the API server gave it.
    pub(crate) fn tenant(kind: &str, object: &DynamicObject) -> Option<Self> {
        Some(Self { meta: Meta::of(object), declared: tenantdb_kubernetes::declared_tenant(kind, object)? })
    }

    /// What it declares, if that can be read.
    fn resource(&self) -> Option<&tenantdb_api::Tenant> {
        self.declared.as_ref().ok().map(|declared| &declared.resource)
    }

    /// Whether something belongs on it that is not there yet.
    pub(crate) fn lacks_marks(&self, is_protected: bool) -> bool {
        let Meta { marks, is_deleted, .. } = &self.meta;
        let lacks =
            !marks.has_finalizer() || sync_options::change(is_protected, marks.sync_options.as_deref()).is_some();
        lacks && !is_deleted
    }

    /// Whether something is there that is protected from deletion.
    pub(crate) fn is_guarded(&self) -> bool {
        self.is_protected() && self.meta.is_held() && !self.meta.is_deleted
    }

    /// Whether it is declared with protection from deletion; what can't be read is.
    pub(crate) fn is_protected(&self) -> bool {
        self.resource().map(tenantdb_api::Tenant::deletion_protection) != Some(DeletionProtection::Off)
    }

    /// Whether it declares further logins beside its own.
    pub(crate) fn has_further_logins(&self) -> bool {
        self.resource().is_some_and(tenantdb_api::Tenant::has_further_logins)
    }

    /// The Secret of somebody else that its keys are added to, if it is declared so.
    pub(crate) fn merged_secret(&self) -> Option<&ObjectName> {
        let credentials = self.resource()?.credentials();
        credentials.secret_name.as_ref().filter(|_| credentials.secret_policy == SecretPolicy::Merge)
    }

    /// What is wrong with its declaration.
    pub(crate) fn fault(&self) -> Option<&Diagnostics> {
        self.declared.as_ref().err()
    }

    /// The role's name, of one without a database.
    pub(crate) fn role(&self) -> Option<String> {
        let tenantdb_api::Tenant::Role(TenantRole { metadata, spec }) = self.resource()? else { return None };
        Some(spec.role.as_ref().map_or_else(|| metadata.name.to_string(), ToString::to_string))
    }

    /// The server that its status tells of.
    pub(crate) fn told_server(&self) -> Option<ObjectName> {
        self.meta.status["server"].as_str()?.parse().ok()
    }

    /// The server that it names.
    pub(crate) fn server(&self) -> Option<&ObjectName> {
        self.resource()?.server()
    }

    /// The declarations of other kinds that it speaks of: what becomes of it is also theirs to look at.
    pub(crate) fn speaks_of(&self) -> Vec<Key> {
        let all = self.resource().map(tenantdb_api::Tenant::speaks_of).unwrap_or_default();
        all.iter().map(|(kind, path)| Key::at(kind, path)).collect()
    }
}
