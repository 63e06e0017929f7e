//! What can be done to a server, one kind of step each: what it is called, what people read of it, and what is sent.

mod content;
mod database;
mod ledger;
mod level;
mod login;
mod role;
mod server;
mod session;

use strum::VariantNames;
use tenantdb_core::Step;

pub(crate) use content::ContentStep;
pub(crate) use database::DatabaseStep;
pub(crate) use ledger::{Adopted, LedgerStep};
pub(crate) use level::LevelStep;
pub(crate) use login::{LoginStep, Proof, reset};
pub(crate) use role::{RoleStep, administer_role, leave, without};
pub(crate) use server::ServerStep;
pub(crate) use session::SessionStep;

/// What is sent in the place of a verifier when a statement is shown.
pub(crate) const REDACTED: &str = "'<verifier>'";

/// One step. Its kind is the name of the variant within its group: `create-database`.
#[derive(Clone, Debug, PartialEq)]
pub enum PostgresStep {
    /// On the server, before its first tenant.
    Server(ServerStep),
    /// On what logs in.
    Login(LoginStep),
    /// On other roles, and on who is a member of which.
    Role(RoleStep),
    /// On roles that carry what others may do in a database.
    Level(LevelStep),
    /// On a database as a whole.
    Database(DatabaseStep),
    /// On what is in a database.
    Content(ContentStep),
    /// On sessions that are in the way.
    Session(SessionStep),
    /// On what the ledger knows.
    Ledger(LedgerStep),
}

/// What the steps of a group are to those who show them and carry them out.
trait Group {
    fn kind(&self) -> &'static str;

    fn venue(&self) -> Venue {
        Venue::Ledger
    }

    fn sign(&self) -> Option<char>;

    fn describe(&self) -> String;

    /// The statements, with the verifier where a login is given a password; those of the ledger are with its tables.
    fn sql(&self, verifier: &str) -> Vec<String>;
}

/// Where a step's statements are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Venue {
    /// In the maintenance database, before there is a ledger.
    Maintenance,
    /// In the ledger database, in the transaction that takes the tenant's names.
    Claim,
    /// In the ledger database, together with its neighbours in one transaction.
    Ledger,
    /// In the ledger database, alone: it can't run in a transaction.
    Alone,
    /// In the tenant's database, together with its neighbours in one transaction, as a member of the tenant's role.
    Tenant,
    /// In the tenant's database, by itself.
    Inside,
    /// In the tenant's database, logged in as the tenant.
    Login,
}

impl PostgresStep {
    /// Every kind of step.
    pub fn kinds() -> impl Iterator<Item = &'static str> {
        let groups = [
            ServerStep::VARIANTS,
            LoginStep::VARIANTS,
            RoleStep::VARIANTS,
            LevelStep::VARIANTS,
            DatabaseStep::VARIANTS,
            ContentStep::VARIANTS,
            SessionStep::VARIANTS,
            LedgerStep::VARIANTS,
        ];
        groups.into_iter().flatten().copied()
    }

    fn group(&self) -> &dyn Group {
        match self {
            Self::Server(step) => step,
            Self::Login(step) => step,
            Self::Role(step) => step,
            Self::Level(step) => step,
            Self::Database(step) => step,
            Self::Content(step) => step,
            Self::Session(step) => step,
            Self::Ledger(step) => step,
        }
    }

    pub(crate) fn venue(&self) -> Venue {
        self.group().venue()
    }

    /// The statements of the step, with the verifier where a login is given a password; those of the ledger are with its
    /// tables.
    pub(crate) fn sql(&self, verifier: &str) -> Vec<String> {
        self.group().sql(verifier)
    }

    /// The database it is sent to, when that is another than its tenant's.
    pub(crate) fn database(&self) -> Option<&str> {
        match self {
            Self::Content(ContentStep::LeaveDatabase { database, .. }) => Some(database),
            _ => None,
        }
    }

    /// Whether other sessions must see what the steps before it did: new sessions come in until that is committed.
    pub(crate) fn needs_what_was_committed(&self) -> bool {
        matches!(self, Self::Session(_))
    }

    /// Whether it changes nothing that others may be changing at the same time: roles, and who may connect to what.
    pub(crate) fn is_its_tenants_alone(&self) -> bool {
        match self {
            Self::Database(step) => matches!(step, DatabaseStep::CloseDatabase { .. }),
            Self::Ledger(step) => matches!(
                step,
                LedgerStep::RecordSlot { .. }
                    | LedgerStep::RecordDatabase { .. }
                    | LedgerStep::RecordDelivery { .. }
                    | LedgerStep::RecordChange { .. }
                    | LedgerStep::RecordDeletion { .. }
                    | LedgerStep::RecordOrphan { .. }
                    | LedgerStep::Settle { .. }
            ),
            _ => false,
        }
    }

    /// Whether its statements hold the credential in hand.
    pub(crate) fn needs_login(&self) -> bool {
        matches!(self, Self::Login(step) if step.needs_login())
    }

    /// Asks whose sessions there are to end, where ending them is all that the step does.
    pub(crate) fn whom_it_ends(&self) -> Option<String> {
        match self {
            Self::Session(step) => step.whom_it_ends(),
            _ => None,
        }
    }
}

impl Step for PostgresStep {
    fn kind(&self) -> &'static str {
        self.group().kind()
    }

    fn sign(&self) -> Option<char> {
        self.group().sign()
    }

    fn describe(&self) -> String {
        self.group().describe()
    }

    fn statements(&self) -> Vec<String> {
        self.sql(REDACTED)
    }

    fn waits_for(&self) -> Option<&'static str> {
        let drops = matches!(self, Self::Database(DatabaseStep::DropDatabase { .. }));
        drops.then_some("the server writes all that changed to its disk first (a checkpoint)")
    }
}

/// How a limit of sessions is said.
fn sessions(limit: Option<i32>) -> String {
    match limit {
        Some(1) => "at most 1 session".to_owned(),
        Some(limit) => format!("at most {limit} sessions"),
        None => "any number of sessions".to_owned(),
    }
}

/// How a limit of sessions is asked for of something new.
fn connection_limit(limit: Option<i32>) -> String {
    limit.map_or_else(String::new, |limit| format!(" CONNECTION LIMIT {limit}"))
}
