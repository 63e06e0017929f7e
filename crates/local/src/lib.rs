//! PostgreSQL servers that tenantdb starts and keeps itself (`source: {local: {}}`), for development and demos.
//!
//! What lives here: finding the server's programs ([`Installation`]), and one server's life under
//! `$TENANTDB_HOME/servers/<name>/` ([`LocalServer`]): initialise, start, look, stop. What may not: SQL beyond what
//! makes a new server safe, printing, knowing any other crate of ours.
//!
//! ```text
//! servers/dev/data/         the cluster, owned by the account that the server runs as
//! servers/dev/server.json   port, admin and version; mode 0600, replaced by rename
//! servers/dev/server.log    what the server says, without statements
//! servers/dev/lock          held while something starts, stops or repairs it
//! ```
//!
//! Whatever moment a crash hits, the next [`LocalServer::start`] repairs what it left: a cluster is made in a directory
//! beside `data` and renamed when it is complete, and nothing else is ever half done.

mod account;
mod error;
mod files;
mod initialise;
mod installation;
mod layout;
mod lock;
mod log;
mod password;
mod port;
mod postmaster;
mod program;
mod record;
mod server;
mod settings;

pub use account::Account;
pub use error::{Error, Result};
pub use initialise::ADMIN;
pub use installation::{BIN_VARIABLE, Installation, NotFound};
pub use server::{LocalServer, Running, State};
