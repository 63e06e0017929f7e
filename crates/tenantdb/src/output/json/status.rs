//! The shapes of what is there, what was left behind and what was done before.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Content, Problem, TenantName};

/// What `status` shows.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Statuses {
    /// Each database.
    pub tenants: Vec<Status>,
    /// The servers that could not be asked.
    pub failures: Vec<Problem>,
}

impl Content for Statuses {
    const KIND: &'static str = "Status";
}

/// How a database is.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    #[serde(flatten)]
    pub name: TenantName,
    /// The server it is on.
    pub server: String,
    /// `Ready`, `Drifted`, `Paused`, `Missing`, `Claimed`, `Deleting`, `Orphaned`, or why it is refused: `Conflict`, `Protection`,
    /// `Policy`, `Consent`, `Deferral`. Of a cluster's resource `Ready`, or the reason why it is not, as it says.
    pub state: String,
    /// How many changes `apply` would make, where declarations were given and it may make them.
    pub changes: Option<usize>,
    /// Whether deleting it is refused.
    pub protected: bool,
    /// How much it takes on the server's disk, in bytes.
    pub size: Option<u64>,
    /// How many sessions are in it.
    pub sessions: Option<u64>,
    /// How many there may be; nothing is any number.
    pub session_limit: Option<u32>,
    /// Its credential, if one was delivered.
    pub credential: Option<Credential>,
    /// When it was left behind.
    pub orphaned_since: Option<Timestamp>,
    /// When its resource was made, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// What its resource says about it, in a cluster, while it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Where a credential is.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// Where it was delivered.
    pub location: String,
    /// When it was made.
    pub since: Option<Timestamp>,
}

/// What `orphans` shows.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Orphans {
    /// Each database that was left behind.
    pub orphans: Vec<Status>,
    /// The servers that could not be asked.
    pub failures: Vec<Problem>,
}

impl Content for Orphans {
    const KIND: &'static str = "Orphans";
}

/// What `history` shows.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// What was done, from the oldest on.
    pub entries: Vec<Entry>,
    /// The servers that could not be asked.
    pub failures: Vec<Problem>,
}

impl Content for History {
    const KIND: &'static str = "History";
}

/// Something that was done to a database.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// The server it is on.
    pub server: String,
    /// Who spoke for its declaration.
    pub authority: String,
    /// The further login that it was done to; nothing for the database itself.
    pub access: Option<String>,
    /// What.
    pub action: String,
    /// By whom: program, process and host.
    pub by: String,
}
