//! Custom resources as they are watched.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::Value;
use tenantdb_api::tenant_database::{DeletionProtection, SecretPolicy};
use tenantdb_api::{
    Declared, Diagnostics, Kind, Namespace, ObjectName, ObjectPath, TenantDatabase, TenantRole, tenant_database,
    tenant_role,
};
use tenantdb_core::{Authority, Claim};
use tenantdb_kubernetes::REFRESH;
pub(crate) use tenantdb_kubernetes::{api, api_resource};

use crate::sync_options;

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

/// A declaration of either namespaced kind.
#[derive(Clone, Debug)]
pub(crate) enum Tenant {
    Database(Arc<Object<TenantDatabase>>),
    Role(Arc<Object<TenantRole>>),
}

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

impl Tenant {
    pub(crate) fn meta(&self) -> &Meta {
        match self {
            Self::Database(object) => &object.meta,
            Self::Role(object) => &object.meta,
        }
    }

    /// Whether something belongs on it that is not there yet.
    pub(crate) fn lacks_marks(&self, is_protected: bool) -> bool {
        let Meta { marks, is_deleted, .. } = self.meta();
        let lacks =
            !marks.has_finalizer() || sync_options::change(is_protected, marks.sync_options.as_deref()).is_some();
        lacks && !is_deleted
    }

    /// Whether something is there that is protected from deletion.
    pub(crate) fn is_guarded(&self) -> bool {
        self.is_protected() && self.meta().is_held() && !self.meta().is_deleted
    }

    /// Whether it is declared with protection from deletion; what can't be read is.
    pub(crate) fn is_protected(&self) -> bool {
        let protection = match self {
            Self::Database(object) => {
                object.declared.as_ref().map(|declared| declared.resource.spec.deletion_protection)
            }
            Self::Role(object) => object.declared.as_ref().map(|declared| declared.resource.spec.deletion_protection),
        };
        protection.ok() != Some(DeletionProtection::Off)
    }

    /// The Secret of somebody else that its keys are added to, if it is declared so.
    pub(crate) fn merged_secret(&self) -> Option<&ObjectName> {
        let credentials = match self {
            Self::Database(object) => &object.declared.as_ref().ok()?.resource.spec.credentials,
            Self::Role(object) => &object.declared.as_ref().ok()?.resource.spec.credentials,
        };
        credentials.secret_name.as_ref().filter(|_| credentials.secret_policy == SecretPolicy::Merge)
    }

    /// What is wrong with its declaration.
    pub(crate) fn fault(&self) -> Option<&Diagnostics> {
        match self {
            Self::Database(object) => object.declared.as_ref().err(),
            Self::Role(object) => object.declared.as_ref().err(),
        }
    }

    /// The role's name, of one without a database.
    pub(crate) fn role(&self) -> Option<String> {
        let Self::Role(object) = self else { return None };
        let TenantRole { metadata, spec } = &object.declared.as_ref().ok()?.resource;
        Some(spec.role.as_ref().map_or_else(|| metadata.name.to_string(), ToString::to_string))
    }

    /// The server that its status tells of.
    pub(crate) fn told_server(&self) -> Option<ObjectName> {
        self.meta().status["server"].as_str()?.parse().ok()
    }

    /// The server that it names.
    pub(crate) fn server(&self) -> Option<&ObjectName> {
        match self {
            Self::Database(object) => object.declared.as_ref().ok()?.resource.spec.server.as_ref(),
            Self::Role(object) => object.declared.as_ref().ok()?.resource.spec.server.as_ref(),
        }
    }

    /// The declarations of the other kind that it speaks of: what becomes of it is also theirs to look at.
    pub(crate) fn speaks_of(&self) -> Vec<Key> {
        match self {
            Self::Database(object) => {
                let access = object.declared.iter().flat_map(|declared| &declared.resource.spec.access);
                let roles = access.filter_map(|access| access.role.as_ref());
                roles.map(|path| Key::at(tenant_role::RESOURCE.kind, path)).collect()
            }
            Self::Role(object) => {
                let paths = object.declared.iter().flat_map(|declared| {
                    let namespace = declared.resource.namespace();
                    declared.resource.spec.databases.iter().map(move |database| database.path(&namespace))
                });
                paths.map(|path| Key::at(tenant_database::RESOURCE.kind, &path)).collect()
            }
        }
    }
}
