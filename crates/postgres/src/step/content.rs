//! What is in a database: schemas, extensions, what scripts make, and what roles have there.

use strum::{IntoStaticStr, VariantNames};
use tenantdb_core::{Digest, Script};

use super::{Group, PostgresStep, Venue};
use crate::extension::{self, Change, Making};
use crate::init;
use crate::sql::{Membership, name, names};
use crate::{ESTATE, Taking};

/// A step on what is in a database.
#[derive(Clone, Debug, PartialEq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum ContentStep {
    /// Gives a schema to the tenant.
    OwnSchema {
        /// The schema.
        schema: String,
        /// The tenant's role.
        owner: String,
        /// How it is taken from its owner.
        taking: Taking,
    },
    /// Makes a schema of the tenant's.
    CreateSchema {
        /// The schema.
        schema: String,
        /// The tenant's role.
        owner: String,
    },
    /// Makes an extension.
    CreateExtension {
        /// Its name.
        extension: String,
        /// The schema it is made in.
        schema: String,
        /// Its version; the server's default when absent.
        version: Option<String>,
        /// Who makes it, and where.
        making: Making,
    },
    /// Upgrades an extension, or moves it.
    ChangeExtension {
        /// Its name.
        extension: String,
        /// What it gets.
        change: Change,
        /// How the estate gets at it.
        taking: Taking,
    },
    /// Runs a script, logged in with the credential in hand.
    RunScript {
        /// The login.
        role: String,
        /// The database.
        database: String,
        /// The script.
        script: Script,
    },
    /// Notes in the ledger that a script was run, and takes its mark off the login.
    RecordScript {
        /// The login.
        role: String,
        /// The database.
        database: String,
        /// What the script was declared as.
        name: String,
        /// Which one it was.
        digest: Digest,
        /// What is declared for the parameter that carried the mark.
        declared: Option<String>,
    },
    /// Hands what a slot owns in a database to the tenant, and takes its privileges there away.
    EmptySlot {
        /// The slot.
        role: String,
        /// The tenant's role.
        owner: String,
        /// The database.
        database: String,
        /// Whether it goes on logging in to the database.
        stays: bool,
        /// Whether the server knows membership options.
        options: bool,
    },
    /// Takes away what roles were granted in another tenant's database.
    LeaveDatabase {
        /// The roles.
        roles: Vec<String>,
        /// The roles of the tenant whose database it is: what they granted is taken back as theirs.
        holders: Vec<String>,
        /// The database.
        database: String,
        /// Whether the server knows membership options.
        options: bool,
    },
}

impl From<ContentStep> for PostgresStep {
    fn from(step: ContentStep) -> Self {
        Self::Content(step)
    }
}

impl Group for ContentStep {
    fn kind(&self) -> &'static str {
        self.into()
    }

    fn venue(&self) -> Venue {
        match self {
            Self::OwnSchema { .. } | Self::CreateSchema { .. } => Venue::Tenant,
            Self::CreateExtension { .. }
            | Self::ChangeExtension { .. }
            | Self::EmptySlot { .. }
            | Self::LeaveDatabase { .. } => Venue::Inside,
            Self::RunScript { .. } => Venue::Login,
            Self::RecordScript { .. } => Venue::Ledger,
        }
    }

    fn sign(&self) -> Option<char> {
        match self {
            Self::CreateSchema { .. } | Self::CreateExtension { .. } | Self::RunScript { .. } => Some('+'),
            Self::OwnSchema { .. } | Self::ChangeExtension { .. } | Self::EmptySlot { stays: true, .. } => Some('~'),
            Self::LeaveDatabase { .. } => Some('-'),
            Self::RecordScript { .. } | Self::EmptySlot { .. } => None,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::OwnSchema { schema, owner, .. } => format!("schema {schema}: owned by {owner}"),
            Self::CreateSchema { schema, .. } => format!("schema {schema}"),
            Self::CreateExtension { extension, schema, version, .. } => {
                let version = version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
                format!("extension {extension}{version} in schema {schema}")
            }
            Self::ChangeExtension { extension, change, .. } => match change {
                Change::Version { version, .. } => format!("extension {extension}: version {version}"),
                Change::Schema(schema) => format!("extension {extension}: in schema {schema}"),
            },
            Self::RunScript { role, script, .. } => format!("script {}, logged in as {role}", script.name()),
            Self::RecordScript { name, .. } => format!("the ledger knows that script {name} was run"),
            Self::EmptySlot { role, database, stays: false, .. } => {
                format!("what {role} owns in database {database}: dropped")
            }
            Self::EmptySlot { role, owner, .. } => {
                format!("login {role}: what it owns is {owner}'s, and nothing is granted to it")
            }
            Self::LeaveDatabase { roles, database, .. } => {
                format!("what {} may do in database {database}: revoked", roles.join(", "))
            }
        }
    }

    fn sql(&self, _verifier: &str) -> Vec<String> {
        match self {
            Self::OwnSchema { schema, owner, taking } => {
                taking.around(format!("ALTER SCHEMA {} OWNER TO {}", name(schema), name(owner)))
            }
            Self::CreateSchema { schema, owner } => {
                vec![format!("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}", name(schema), name(owner))]
            }
            Self::CreateExtension { extension, schema, version, making } => {
                extension::create(extension, schema, version.as_deref(), making)
            }
            Self::ChangeExtension { extension, change, taking } => {
                taking.around_all(extension::change(extension, change))
            }
            // What is in it may be a secret.
            Self::RunScript { role, script, .. } => vec![format!("-- logged in as {}: {}", name(role), script.name())],
            Self::RecordScript { role, database, declared, .. } => {
                vec![init::remove_mark(role, database, declared.as_deref())]
            }
            Self::EmptySlot { role, owner, database, stays, options } => {
                empty_slot(role, owner, database, *stays, *options)
            }
            Self::LeaveDatabase { roles, holders, options, .. } => {
                let options = Membership::Full.options(*options);
                let (all, roles) = (format!("{}, {}", names(holders), names(roles)), names(roles));
                vec![
                    format!("GRANT {all} TO {ESTATE}{options}"),
                    format!("DROP OWNED BY {roles}"),
                    format!("REVOKE {all} FROM {ESTATE}"),
                ]
            }
        }
    }
}

/// Hands what a slot owns to its tenant. What is taken away besides is all that it was granted, its way into the
/// database as well (PostgreSQL documentation, DROP OWNED).
fn empty_slot(slot: &str, owner: &str, database: &str, stays: bool, options: bool) -> Vec<String> {
    let (slot, owner) = (name(slot), name(owner));
    let options = Membership::Full.options(options);
    let let_in = stays.then(|| format!("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {slot}", name(database)));
    let emptied = [
        format!("GRANT {owner}, {slot} TO {ESTATE}{options}"),
        format!("REASSIGN OWNED BY {slot} TO {owner}"),
        format!("DROP OWNED BY {slot}"),
        format!("REVOKE {owner}, {slot} FROM {ESTATE}"),
    ];
    emptied.into_iter().chain(let_in).collect()
}
