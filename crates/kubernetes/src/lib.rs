//! A cluster as the operator and the command line both read it: its API server, our kinds there, and what they refer to.
//!
//! Nothing here watches, and nothing here decides what a database server should be.

mod client;
mod credential;
mod ensure;
mod error;
mod object;
mod origin;
mod password;
mod server;
mod tenant;
mod transfer;

pub use client::{Cluster, client};
pub use credential::{Credential, credential};
pub use ensure::{Applied, Stopped, apply, wait};
pub use error::told;
pub use object::{api, api_resource, declared, declared_tenant};
pub use origin::{CLUSTER, namespace_uids, origins};
pub use password::read_password;
pub use server::{server, servers};
pub use tenant::{State, TenantResource, named, tenants};
pub use transfer::{REFRESH, bring, refresh};
