//! Real servers for tests.
//!
//! What lives here: throw-away PostgreSQL clusters ([`TestServer`]), the matrix of server versions and
//! admin kinds over which a test runs ([`on_every_server!`], [`on_servers!`]), declarations, and small helpers that tests
//! share.
//!
//! What may not: anything that a program outside a test needs. This crate is only ever a dev-dependency, and it
//! depends on none of our crates, so that what tests a crate never shares a mistake with it. It panics where a test
//! should fail.

#![allow(clippy::missing_panics_doc, reason = "a test helper panics wherever the test should fail")]

mod account;
mod binaries;
mod client;
mod control_plane;
mod files;
mod leftovers;
mod manifests;
mod matrix;
mod objects;
mod options;
mod ports;
mod process;
mod server;
mod template;
mod wait;

pub use binaries::{available, bin_dir, skip};
pub use client::{query_at, run_blocking};
pub use control_plane::{Cluster, helm};
pub use files::{copy_tree, scratch_directory};
pub use manifests::{ADMIN_PASSWORD_VARIABLE, server_manifest, tenant_manifest};
pub use matrix::{MAJORS, Outcome, majors, run_async, run_sync};
pub use objects::Objects;
pub use options::{Admin, Options};
pub use ports::{PortLease, free_port};
pub use server::TestServer;
pub use wait::{wait_until, wait_until_async};
