//! A cluster as the operator and the command line both read it: its API server, our kinds there, and what they refer to.
//!
//! Nothing here watches, and nothing here decides what a database server should be.

mod client;
mod object;
mod password;

pub use client::{Cluster, client};
pub use object::{api, api_resource, declared};
pub use password::read_password;
