//! The declarations of tenantdb, `tenantdb.dev/v1alpha1`: their types, defaults and validation, and the diagnostics
//! that point into the source they were read from.
//!
//! The way of the data: a [`Source`] is read into a [`Document`] that remembers where each value stood, decoded into
//! one of the [`kinds`], validated, and handed on as [`Declared`], which can still point back at its source. Nothing
//! here opens a file, a socket or a clock.

mod crd;
mod decode;
mod diagnostic;
mod document;
pub mod kinds;
mod manifests;
mod mask;
mod nearest;
mod schema;
mod shorten;
mod template;
mod values;

pub use crd::custom_resource_definitions;
pub use diagnostic::{Diagnostic, Diagnostics, Position, Severity};
pub use document::{Document, Source};
pub use kinds::database_server::{self, DatabaseServer};
pub use kinds::tenant_database::{self, TenantDatabase};
pub use kinds::tenant_role::{self, TenantRole};
pub use kinds::{Kind, ObjectMeta, Tenant};
pub use manifests::{Declared, Manifests, custom_resource, custom_tenant, parse};
pub use nearest::{did_you_mean, nearest};
pub use schema::schema;
pub use shorten::shorten;
pub use values::{ConnectionLimit, InvalidValue, Namespace, ObjectName, ObjectPath, SettingName, SqlName};

/// The API group of every kind.
pub const GROUP: &str = "tenantdb.dev";

/// The version of every kind.
pub const VERSION: &str = "v1alpha1";

/// The `apiVersion` of every kind in this crate.
pub const API_VERSION: &str = "tenantdb.dev/v1alpha1";
