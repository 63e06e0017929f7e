//! What the ledger knows. Its statements are with its tables, in `apply::bookkeeping`.

use std::collections::{BTreeMap, BTreeSet};

use strum::{IntoStaticStr, VariantNames};
use tenantdb_core::{Claim, Digest, Generation, Origin, PlaceId, Slot};
use tenantdb_credentials::SlotState;

use super::{Group, PostgresStep, Venue};
use crate::ESTATE;
use crate::ledger::Applied;

/// A step that only the ledger sees.
#[derive(Clone, Debug, PartialEq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum LedgerStep {
    /// Takes a tenant's names in the ledger.
    Claim {
        /// The database; absent where it is only let into others'.
        database: Option<String>,
        /// The tenant's role.
        owner: String,
        /// Its slots.
        slots: BTreeMap<Slot, String>,
        /// Every other name that derives from it.
        reserved: Vec<String>,
        /// What is declared.
        applied: Box<Applied>,
        /// What is known of its database, if somebody else made it.
        adopted: Option<Adopted>,
    },
    /// Gives the ledger back what it knew of a tenant: that it is there, and who logs in.
    Recover {
        /// Its database with the OID; absent where it is only let into others'.
        database: Option<(String, u32)>,
        /// The tenant's role.
        owner: String,
        /// Its logins, and whether somebody may be using them.
        slots: BTreeMap<Slot, (String, SlotState)>,
        /// The roles that carry what others may do in its database.
        levels: BTreeSet<String>,
        /// Every other name that derives from it.
        reserved: Vec<String>,
        /// The scripts that count as run, with their digests.
        scripts: Vec<(String, Digest)>,
        /// What it begins with.
        applied: Box<Applied>,
    },
    /// Notes in the ledger that a database which a restore made anew is the tenant's.
    AcceptDatabase {
        /// The database.
        database: String,
        /// Which one it is.
        oid: u32,
        /// Which one it was.
        had: u32,
    },
    /// Gives an orphan to the claim in hand, in the ledger.
    TakeOver {
        /// Who left it behind.
        from: Claim,
        /// Its database.
        database: String,
    },
    /// Notes in the ledger which login a slot was given, in the transaction that gives it.
    RecordSlot {
        /// The slot.
        slot: Slot,
        /// Its role.
        role: String,
        /// Its new state.
        state: SlotState,
        /// Its generation; absent when it has no login any more.
        generation: Option<Generation>,
        /// Where its login goes; absent when it goes nowhere new.
        place: Option<PlaceId>,
    },
    /// Notes in the ledger that the database it knows is gone, and that only the tenant's names are sure.
    ForgetDatabase {
        /// The database.
        database: String,
    },
    /// Notes in the ledger which database this is.
    RecordDatabase {
        /// The database.
        database: String,
    },
    /// Notes in the ledger where the credential in hand was delivered.
    RecordDelivery {
        /// The slot's role.
        role: String,
        /// The place.
        place: PlaceId,
        /// Where that is, for people.
        location: String,
        /// The name of the Secret or file.
        secret_name: String,
        /// The generation.
        generation: Generation,
    },
    /// Notes in the ledger what was applied.
    Settle {
        /// What is declared now.
        applied: Box<Applied>,
        /// Where the declaration stands, in a cluster.
        origin: Option<Origin>,
        /// What was declared before, when the policies differ.
        policies: Option<(String, String)>,
        /// Whether the declaration had been gone.
        returns: bool,
        /// What people should know of what changes nothing else.
        note: Option<String>,
        /// What the audit trail calls it.
        action: String,
    },
    /// Notes in the audit trail what was done after the rest had been.
    RecordChange {
        /// What.
        action: String,
    },
    /// Notes in the ledger that a deletion has begun.
    RecordDeletion {
        /// What counts from here on as last applied, where the policies are overruled.
        overruled: Option<Box<Applied>>,
    },
    /// Notes in the ledger what is left of a tenant whose declaration is gone.
    RecordOrphan {
        /// Whether its database is still there.
        database: bool,
        /// Whether its logins are still there.
        logins: bool,
    },
    /// Takes a tenant out of the ledger.
    Forget,
}

/// A database that somebody else made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// Which one it is.
    pub oid: u32,
    /// Whose it was.
    pub from: String,
    /// Whether the tenant's role logs in already, with a password that nobody told us.
    pub login: bool,
}

impl From<LedgerStep> for PostgresStep {
    fn from(step: LedgerStep) -> Self {
        Self::Ledger(step)
    }
}

impl Group for LedgerStep {
    fn kind(&self) -> &'static str {
        self.into()
    }

    fn venue(&self) -> Venue {
        match self {
            Self::Claim { .. } | Self::Recover { .. } => Venue::Claim,
            _ => Venue::Ledger,
        }
    }

    fn sign(&self) -> Option<char> {
        match self {
            Self::Claim { adopted: Some(_), .. }
            | Self::Recover { .. }
            | Self::AcceptDatabase { .. }
            | Self::TakeOver { .. }
            | Self::Settle { policies: Some(_), .. }
            | Self::Settle { returns: true, .. }
            | Self::Settle { note: Some(_), .. }
            | Self::RecordOrphan { database: true, logins: true } => Some('~'),
            Self::Claim { .. }
            | Self::RecordSlot { .. }
            | Self::ForgetDatabase { .. }
            | Self::RecordDatabase { .. }
            | Self::RecordDelivery { .. }
            | Self::Settle { .. }
            | Self::RecordChange { .. }
            | Self::RecordDeletion { .. }
            | Self::RecordOrphan { .. }
            | Self::Forget => None,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Claim { database: Some(database), adopted: Some(Adopted { from, login, .. }), owner, .. } => {
                adopted(database, from, login.then_some(owner))
            }
            Self::Claim { database: Some(database), .. } => format!("claim on database {database}"),
            Self::Claim { owner, .. } => format!("claim on role {owner}"),
            Self::Recover { database, owner, slots, .. } => recovered(database.as_ref(), owner, slots),
            Self::AcceptDatabase { database, .. } => {
                format!("database {database}: the ledger knows it as it was restored")
            }
            Self::TakeOver { from, database } => format!("database {database}: taken over from {from}"),
            Self::RecordSlot { role, state, .. } => format!("slot {role} is {}", state.as_str()),
            Self::ForgetDatabase { database } => format!("the ledger knows that database {database} is gone"),
            Self::RecordDatabase { database } => format!("the ledger knows database {database}"),
            Self::RecordDelivery { location, .. } => format!("the ledger knows of {location}"),
            Self::Settle { policies, returns, note, .. } => settled(policies.as_ref(), *returns, note.as_ref()),
            Self::RecordChange { .. } => "the ledger knows of it".to_owned(),
            Self::RecordDeletion { .. } => "the ledger knows of the deletion".to_owned(),
            Self::RecordOrphan { .. } => {
                "declaration: gone; database, roles and credential stay as they are".to_owned()
            }
            Self::Forget => "the ledger forgets it".to_owned(),
        }
    }

    fn sql(&self, _verifier: &str) -> Vec<String> {
        Vec::new()
    }
}

fn settled(policies: Option<&(String, String)>, returns: bool, note: Option<&String>) -> String {
    let policies = policies.map(|(_, to)| format!("policies: {to}"));
    let returns = returns.then(|| "declaration: taken back from the orphans".to_owned());
    let told: Vec<String> = [policies.or(returns), note.cloned()].into_iter().flatten().collect();
    if told.is_empty() { "the ledger knows what was applied".to_owned() } else { told.join("; ") }
}

/// Whoever logs in goes on.
fn recovered(database: Option<&(String, u32)>, owner: &str, slots: &BTreeMap<Slot, (String, SlotState)>) -> String {
    let what = database.map_or_else(|| format!("role {owner}"), |(name, _)| format!("database {name}"));
    let logins = slots.values().filter(|(_, state)| state.logs_in());
    let logins: Vec<&str> = logins.map(|(role, _)| role.as_str()).collect();
    let go_on = if logins.is_empty() { String::new() } else { format!("; {} as before", logins.join(", ")) };
    format!("{what}: in the ledger again{go_on}")
}

/// `login` is who keeps it.
fn adopted(database: &str, from: &str, login: Option<&String>) -> String {
    let keeps = match login {
        Some(login) if login == from => ", which keeps its login and its password".to_owned(),
        Some(login) => format!("; {login} keeps its login and its password"),
        None => String::new(),
    };
    let from = if from == ESTATE { String::new() } else { format!(" from {from}") };
    format!("database {database}: adopted{from}{keeps}")
}
