//! What servers hold for those who declare it, of whichever kind.

use super::resource::Resource;
use super::tenant_database::{Adopt, Credentials, DeletionProtection, TenantDatabase};
use super::tenant_role::TenantRole;
use super::{ObjectMeta, tenant_database, tenant_role};
use crate::values::{Namespace, ObjectName, ObjectPath};

/// A declaration that a server is there for.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are databases")]
pub enum Tenant {
    /// A database.
    Database(TenantDatabase),
    /// A login without a database of its own.
    Role(TenantRole),
}

impl Tenant {
    /// Its kinds.
    pub const RESOURCES: [&'static Resource; 2] = [&tenant_database::RESOURCE, &tenant_role::RESOURCE];

    /// What Kubernetes is told of its kind.
    #[must_use]
    pub fn resource(&self) -> &'static Resource {
        match self {
            Self::Database(_) => &tenant_database::RESOURCE,
            Self::Role(_) => &tenant_role::RESOURCE,
        }
    }

    /// Its name and namespace.
    #[must_use]
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Database(database) => &database.metadata,
            Self::Role(role) => &role.metadata,
        }
    }

    /// The namespace, `default` when none was given.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        self.metadata().namespace()
    }

    /// The server that it names.
    #[must_use]
    pub fn server(&self) -> Option<&ObjectName> {
        match self {
            Self::Database(database) => database.spec.server.as_ref(),
            Self::Role(role) => role.spec.server.as_ref(),
        }
    }

    /// How its credential is made and where it goes.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        match self {
            Self::Database(database) => &database.spec.credentials,
            Self::Role(role) => &role.spec.credentials,
        }
    }

    /// Whether deleting it is refused.
    #[must_use]
    pub fn deletion_protection(&self) -> DeletionProtection {
        match self {
            Self::Database(database) => database.spec.deletion_protection,
            Self::Role(role) => role.spec.deletion_protection,
        }
    }

    /// What it may take over of others.
    #[must_use]
    pub fn adopt(&self) -> Adopt {
        match self {
            Self::Database(database) => database.spec.adopt,
            Self::Role(_) => Adopt::Never,
        }
    }

    /// Whether it declares further logins beside its own.
    #[must_use]
    pub fn has_further_logins(&self) -> bool {
        match self {
            Self::Database(database) => !database.spec.access.is_empty(),
            Self::Role(_) => false,
        }
    }

    /// Whether it leaves a name to its server's `naming`.
    #[must_use]
    pub fn is_named_by_its_server(&self) -> bool {
        match self {
            Self::Database(database) => database.spec.database.is_none() || database.spec.owner.is_none(),
            Self::Role(role) => role.spec.role.is_none(),
        }
    }

    /// The declarations of other kinds that it speaks of, by kind: what becomes of it is also theirs to look at.
    #[must_use]
    pub fn speaks_of(&self) -> Vec<(&'static str, ObjectPath)> {
        match self {
            Self::Database(database) => {
                let roles = database.spec.access.iter().filter_map(|access| access.role.clone());
                roles.map(|path| (tenant_role::RESOURCE.kind, path)).collect()
            }
            Self::Role(role) => {
                let namespace = role.namespace();
                let databases = role.spec.databases.iter().map(|database| database.path(&namespace));
                databases.map(|path| (tenant_database::RESOURCE.kind, path)).collect()
            }
        }
    }
}

impl From<TenantDatabase> for Tenant {
    fn from(database: TenantDatabase) -> Self {
        Self::Database(database)
    }
}

impl From<TenantRole> for Tenant {
    fn from(role: TenantRole) -> Self {
        Self::Role(role)
    }
}
