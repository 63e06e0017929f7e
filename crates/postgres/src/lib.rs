//! PostgreSQL: what a server is, what it should be, which steps lead there, and how they are carried out.
//!
//! The way of the data: [`desired`] resolves declarations to names, `observe` reads the shared catalogs and the
//! ledger, `plan` compares the two without touching anything, `apply` sends the statements of its steps over the
//! sessions of `connect`. Nothing here knows Kubernetes or the command line.

mod access;
pub mod allow;
mod apply;
mod bootstrap;
mod connect;
pub mod desired;
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

pub use access::{Consent, Level};
pub use bootstrap::BootstrapStep;
pub use desired::{Declarations, Desired, Recorded, Scripts, Tenant, Unusable};
pub use engine::{Postgres, Seen};
pub use init::{Fault, InitScript};
pub use observe::Observed;
pub use ownership::Taking;
pub use script::script;
pub use sql::Membership;
pub use step::{Adopted, PostgresStep};

/// The role that owns every tenant's database and the ledger.
pub const ESTATE: &str = "tenantdb_owner";

/// The scheme of connection URIs (PostgreSQL documentation, 34.1.1.2).
pub const SCHEME: &str = "postgresql";

/// The database that holds the ledger.
pub const LEDGER: &str = "tenantdb";
