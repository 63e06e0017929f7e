//! `TenantRole`: a login without a database of its own, such as Grafana's or an exporter's.

mod resource;
mod validate;

pub use resource::RESOURCE;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ObjectMeta;
use super::tenant_database::{AccessLevel, Credentials, DeletionPolicy, DeletionProtection, Reconcile, SettingValue};
use crate::values::{ConnectionLimit, Namespace, ObjectName, ObjectPath, SettingName, SqlName};

/// A login without a database of its own. Namespaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantRole {
    /// Its name and namespace.
    pub metadata: ObjectMeta,
    /// What it may do.
    #[serde(default)]
    #[schemars(with = "Option<TenantRoleSpec>")]
    pub spec: TenantRoleSpec,
}

/// The declaration of a [`TenantRole`]; every field is optional.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TenantRoleSpec {
    /// The server it is on; the default server when absent.
    pub server: Option<ObjectName>,
    /// The role's name, up to 60 bytes; `metadata.name` when absent. It can't change.
    pub role: Option<SqlName>,
    /// How far tenantdb goes.
    pub reconcile: Reconcile,
    /// Whether deleting it is refused.
    pub deletion_protection: DeletionProtection,
    /// What deleting the declaration does to the role and its logins.
    pub role_deletion_policy: DeletionPolicy,
    /// How many sessions each login may have; the server's `defaults` when absent.
    pub connection_limit: Option<ConnectionLimit>,
    /// Shared roles that it joins, such as `pg_monitor`.
    pub member_of: Vec<SqlName>,
    /// Settings of its logins; not `role`, `session_authorization`, `client_min_messages` and `*_preload_libraries`.
    pub settings: BTreeMap<SettingName, SettingValue>,
    /// The databases that it may use, once their declarations consent. The first is the one in its credential; without
    /// any that is the server's maintenance database.
    pub databases: Vec<RoleDatabase>,
    /// How the credential is made and where it goes; `secretName` is `<name>-role-secret` when absent.
    pub credentials: Credentials,
}

/// A database that a role may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleDatabase {
    /// The namespace of its declaration; the role's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// The name of its declaration.
    pub name: ObjectName,
    /// What the role may do there, and the database's declaration consents to.
    pub level: AccessLevel,
}

impl TenantRole {
    /// The namespace, `default` when none was given.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        self.metadata.namespace()
    }
}

impl RoleDatabase {
    /// The declaration it names, for a role of this namespace.
    #[must_use]
    pub fn path(&self, namespace: &Namespace) -> ObjectPath {
        ObjectPath::new(self.namespace.clone().unwrap_or_else(|| namespace.clone()), self.name.clone())
    }
}
