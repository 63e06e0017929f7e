//! What a server needs before its first tenant.

use strum::{IntoStaticStr, VariantNames};

use super::{Group, PostgresStep, Venue};
use crate::ledger::VERSION;
use crate::sql::{Membership, name};
use crate::{ESTATE, LEDGER};

/// A step that prepares a server.
#[derive(Clone, Debug, PartialEq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum ServerStep {
    /// Makes the estate, and the administrator's login a member of it.
    CreateEstate {
        /// The administrator's login.
        admin: String,
        /// Whether the role itself is missing, or only the membership.
        create: bool,
        /// Whether the server knows membership options.
        options: bool,
    },
    /// Makes the ledger's database, closed until PUBLIC is out.
    CreateLedger {
        /// Whether the database itself is missing, or only what follows.
        create: bool,
    },
    /// Makes the ledger's tables.
    CreateLedgerTables,
    /// Makes the ledger's tables what this version writes.
    UpgradeLedger {
        /// The version that they have.
        from: i32,
    },
}

impl From<ServerStep> for PostgresStep {
    fn from(step: ServerStep) -> Self {
        Self::Server(step)
    }
}

impl Group for ServerStep {
    fn kind(&self) -> &'static str {
        self.into()
    }

    fn venue(&self) -> Venue {
        Venue::Maintenance
    }

    fn sign(&self) -> Option<char> {
        match self {
            Self::CreateEstate { .. } | Self::CreateLedger { .. } => Some('+'),
            Self::CreateLedgerTables | Self::UpgradeLedger { .. } => None,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::CreateEstate { create: true, .. } => format!("role {ESTATE}, which owns every tenant's database"),
            Self::CreateEstate { admin, .. } => format!("membership of {admin} in {ESTATE}"),
            Self::CreateLedger { .. } => format!("database {LEDGER}, the ledger of who owns what"),
            Self::CreateLedgerTables => "the ledger's tables".to_owned(),
            Self::UpgradeLedger { from } => format!("the ledger's tables, from version {from} to {VERSION}"),
        }
    }

    fn sql(&self, _verifier: &str) -> Vec<String> {
        match self {
            Self::CreateEstate { admin, create, options } => {
                let role = format!("CREATE ROLE {ESTATE} NOLOGIN CREATEDB CREATEROLE");
                let options = Membership::Full.options(*options);
                let membership = format!("GRANT {ESTATE} TO {}{options}", name(admin));
                if *create { vec![role, membership] } else { vec![membership] }
            }
            Self::CreateLedger { create } => {
                let database = format!("CREATE DATABASE {LEDGER} TEMPLATE template0 ALLOW_CONNECTIONS false");
                let rest = [
                    format!("REVOKE ALL ON DATABASE {LEDGER} FROM PUBLIC"),
                    format!("ALTER DATABASE {LEDGER} ALLOW_CONNECTIONS true"),
                ];
                create.then_some(database).into_iter().chain(rest).collect()
            }
            Self::CreateLedgerTables | Self::UpgradeLedger { .. } => Vec::new(),
        }
    }
}
