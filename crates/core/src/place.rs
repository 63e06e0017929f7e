//! Where a credential lives.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use tenantdb_api::tenant_database::{SecretFormat, SecretType};
use tenantdb_api::{ObjectName, SqlName};

use crate::{Claim, Digest, Failure, FailureKind, Generation, Login, Password};

/// Tells one place from every other, on whatever machine it is looked at: the ledger remembers it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceId(pub String);

impl fmt::Display for PlaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The host.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What applications are told to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The scheme of a connection URI.
    pub scheme: &'static str,
    /// What they use.
    pub address: Address,
    /// The way past a pooler, if there is one.
    pub direct: Option<Address>,
    /// Replicas that only answer, if there are any.
    pub read_only: Option<Address>,
    /// Parameters of the connection URI.
    pub parameters: BTreeMap<String, String>,
    /// The certificates that may have signed the server's, in PEM.
    pub authority: Option<String>,
}

/// What may be done with a Secret that is there and somebody else's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Nothing.
    #[default]
    LeftAlone,
    /// Keys are added to it.
    Merged,
    /// It becomes the tenant's.
    TakenOver {
        /// The field manager that has each of its keys until then.
        from: String,
    },
}

/// What is delivered for a tenant, but for the login itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Whose it is; its namespace is also the credential's.
    pub claim: Claim,
    /// The name of the Secret or file.
    pub secret_name: ObjectName,
    /// The server the tenant is on.
    pub server: ObjectName,
    /// The database the login is for.
    pub database: SqlName,
    /// The role as which its logins act; as themselves when absent.
    pub acts_as: Option<SqlName>,
    /// What applications connect to.
    pub endpoint: Endpoint,
    /// The sets of keys.
    pub formats: Vec<SecretFormat>,
    /// Further keys and their templates.
    pub keys: BTreeMap<String, String>,
    /// The type of a Secret that holds it.
    pub secret_type: SecretType,
    /// What may be done with a Secret of that name that is somebody else's.
    pub existing: Existing,
    /// What a cluster tells the declaration from all others by, if it stands in one.
    pub uid: Option<String>,
}

/// What the ledger says of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The place.
    pub place: PlaceId,
    /// Where that is, for people.
    pub location: String,
    /// What was delivered.
    pub login: Digest,
    /// Its generation.
    pub generation: Generation,
}

/// The state of a place at the moment it was read; a write names the version it builds on, and is refused when the
/// place has moved on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

/// Who is about to write, left in the place before the login is changed: metadata, never a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The generation that will be written.
    pub generation: Generation,
    /// Who writes it.
    pub writer: String,
}

/// Whose a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// The claim's.
    Claimed,
    /// The place tells that it was written for this very declaration, and it looks like what is written there: a ledger
    /// that does not know it is older.
    Vouched,
    /// Still another's, of any server: the declaration takes it over.
    TakenOver,
}

/// What a place holds for a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// No credential; there may be a marker.
    Nothing {
        /// For the next write.
        version: Version,
    },
    /// A credential that was written for this claim, or gives way to one.
    Credential {
        /// As whom it logs in.
        username: SqlName,
        /// How many its tenant had been given with it, at least.
        generation: Generation,
        /// Tells which login it is.
        login: Digest,
        /// The same login with the password that was about to take the other's place.
        next: Option<Digest>,
        /// Whether its keys and values are what the delivery asks for.
        current: bool,
        /// Whose it is.
        provenance: Provenance,
        /// For the next write.
        version: Version,
    },
    /// There is nothing to add a credential to yet.
    Awaited {
        /// What is awaited, for the message.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// Something that was not written for this claim.
    Foreign {
        /// What it is, for the message.
        what: String,
        /// What to do about it.
        hint: String,
    },
}

/// Why a place could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Somebody wrote in between.
    #[error("{0} was changed by someone else meanwhile")]
    Moved(String),
    /// What is there is not ours.
    #[error("{0}")]
    Foreign(String),
    /// It did not work.
    #[error("{message}")]
    Failed {
        /// What happened.
        message: String,
        /// What to do next.
        hint: Option<String>,
    },
}

impl From<PlaceError> for Failure {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::Moved(_) => Self::new(FailureKind::Stale, error.to_string()),
            PlaceError::Foreign(message) => Self::new(FailureKind::Place, message),
            PlaceError::Failed { message, hint } => Self { hint, ..Self::new(FailureKind::Place, message) },
        }
    }
}

/// Somewhere a credential lives: a folder of files, a cluster's Secrets, a store.
#[async_trait]
pub trait Place: Send + Sync + 'static {
    /// Tells this place from every other.
    fn id(&self) -> &PlaceId;

    /// Where the credential of a delivery is, for people.
    fn location(&self, delivery: &Delivery) -> String;

    /// Reads what is there now for each of these, in their order, never from a cache.
    async fn read(&self, deliveries: &[Delivery]) -> Vec<Result<Held, PlaceError>>;

    /// Reads a login that was written for this claim, if it is still there.
    async fn login(&self, delivery: &Delivery, digest: &Digest) -> Result<Option<Login>, PlaceError>;

    /// Leaves a marker, if the place is still at `expected`.
    async fn fence(&self, delivery: &Delivery, marker: &Marker, expected: Version) -> Result<Version, PlaceError>;

    /// Adds the password that is about to take the place of the one that is there, if the place is still at `expected`.
    async fn stage(&self, delivery: &Delivery, next: &Password, expected: Version) -> Result<Version, PlaceError>;

    /// Writes the credential in one atomic step, if the place is still at `expected`.
    async fn publish(
        &self,
        delivery: &Delivery,
        login: &Login,
        generation: Generation,
        expected: Version,
    ) -> Result<Version, PlaceError>;

    /// Removes the credential that was written for this claim; none being there is success.
    async fn withdraw(&self, delivery: &Delivery) -> Result<(), PlaceError>;
}
