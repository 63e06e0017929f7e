//! PostgreSQL: what a server is, what it should be, which steps lead there, and how they are carried out.
//!
//! The way of the data: `desired` resolves declarations to names, `observe` looks at the shared catalogs
//! and the ledger, `plan` compares the two without touching anything, `apply` sends the statements of its steps over the
//! sessions of `connect`. Nothing here knows Kubernetes or the command line.

mod access;
mod apply;
mod bootstrap;
mod connect;
mod desired;
mod engine;
mod extension;
mod init;
mod ledger;
pub mod notes;
mod observe;
mod ownership;
mod plan;
mod probe;
mod script;
mod sql;
mod step;
mod trap;

pub use engine::Postgres;
pub(crate) use ownership::Taking;
pub(crate) use sql::Membership;
pub use step::PostgresStep;

/// The role that owns every tenant's database and the ledger.
pub const ESTATE: &str = "tenantdb_owner";

/// The database that holds the ledger.
pub(crate) const LEDGER: &str = "tenantdb";
