//! What can be done to a server, one kind of step each; `statements` has what is sent, `words` what people read.

mod level;
mod statements;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use strum::{IntoStaticStr, VariantNames};
use tenantdb_api::tenant_database::Create;
use tenantdb_core::{Claim, Digest, Generation, Origin, PlaceId, Script, Slot};
use tenantdb_credentials::SlotState;

use crate::access::Level;
use crate::extension::{Change, Making};
use crate::ledger::Applied;
use crate::{Membership, Taking};
pub(crate) use statements::{REDACTED, administer_role, leave, reset, without};

/// One step. Its kind is the variant's name: `create-database`.
#[derive(Clone, Debug, PartialEq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum PostgresStep {
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
    /// Makes the estate the owner of a database that somebody else made, and gives the tenant what its owner had.
    AdoptDatabase {
        /// The database.
        database: String,
        /// Whose it is.
        from: String,
        /// The tenant's role.
        owner: String,
        /// Whether the tenant's role logs in.
        login: bool,
        /// Whether the estate has to be let decide who joins that role.
        administer: bool,
        /// The schemas that belong to whoever owns the database.
        schemas: Vec<String>,
        /// How it is taken from its owner.
        taking: Taking,
        /// Whether the server knows membership options.
        options: bool,
    },
    /// Keeps the logins of an orphan from logging in, for whoever takes it over.
    EndLogins {
        /// Who left it behind.
        from: Claim,
        /// Their names.
        roles: Vec<String>,
    },
    /// Gives an orphan to the claim in hand, in the ledger.
    TakeOver {
        /// Who left it behind.
        from: Claim,
        /// Its database.
        database: String,
    },
    /// Takes away the login that a tenant's role had before it was adopted.
    RetireLogin {
        /// The tenant's role.
        role: String,
        /// Its database.
        database: String,
    },
    /// Makes a database that nobody can connect to yet.
    CreateDatabase {
        /// Its name.
        database: String,
        /// How many sessions it may have in all.
        limit: Option<i32>,
        /// What it is copied from, and how texts are kept and sorted in it.
        create: Create,
        /// Whether the server knows providers of locales.
        providers: bool,
    },
    /// Makes the tenant's role, which can't log in.
    CreateOwner {
        /// Its name.
        owner: String,
        /// Whether it owns a database's content, or only carries what its logins may do.
        tenant: bool,
    },
    /// Makes the tenant's role where it is also what logs in.
    CreateOwnerLogin {
        /// Its name.
        owner: String,
        /// The database its settings hold for; all when absent.
        database: Option<String>,
        /// What it is given to log in, if it is.
        login: Option<Proof>,
        /// How many sessions it may have.
        limit: Option<i32>,
        /// Its settings.
        settings: BTreeMap<String, String>,
    },
    /// Makes a login slot.
    CreateSlot {
        /// Its name.
        role: String,
        /// The tenant's role.
        owner: String,
        /// The database its settings hold for; all when absent.
        database: Option<String>,
        /// Whether it switches to the tenant's role, or has its privileges as it is.
        how: Membership,
        /// Whether it can log in, with the credential in hand.
        login: bool,
        /// How many sessions it may have.
        limit: Option<i32>,
        /// Its settings.
        settings: BTreeMap<String, String>,
    },
    /// Lets a slot log in.
    EnableLogin {
        /// Its name.
        role: String,
        /// With what.
        proof: Proof,
        /// Whether somebody may be using the password that this ends.
        replaces: bool,
    },
    /// Keeps a role from logging in, and forgets its password.
    DisableLogin {
        /// Its name.
        role: String,
    },
    /// Lets a slot's password work for good.
    LiftExpiry {
        /// Its name.
        role: String,
    },
    /// Takes away what a role of a tenant may do beyond its privileges.
    TakePowers {
        /// Its name.
        role: String,
        /// As `CREATE ROLE` spells them, such as `CREATEDB`.
        powers: Vec<&'static str>,
        /// How the estate gets at it.
        taking: Taking,
    },
    /// Whether a slot uses privileges of the tenant's role without switching to it.
    SetInherit {
        /// Its name.
        role: String,
        /// Whether it does.
        inherit: bool,
    },
    /// Makes a slot a member of the tenant's role, which it switches to.
    GrantMembership {
        /// The slot.
        role: String,
        /// The tenant's role.
        owner: String,
        /// Whether the server knows membership options.
        options: bool,
    },
    /// Lets a login into a database that is no tenant's.
    Admit {
        /// The database.
        database: String,
        /// The login.
        login: String,
        /// How the estate may do that.
        taking: Taking,
    },
    /// Makes a role that carries what others may do in a database.
    CreateLevel {
        /// Its name.
        role: String,
    },
    /// Gives such a role its privileges, on what is there and on what will be made.
    GrantLevel {
        /// Its name.
        role: String,
        /// The tenant's role.
        owner: String,
        /// What it may do.
        level: Level,
        /// Whether it has something else, which is taken away first.
        anew: bool,
        /// Whether the server knows membership options.
        options: bool,
    },
    /// Takes away all that such roles may do in the database.
    EmptyLevels {
        /// Their names.
        roles: Vec<String>,
        /// The tenant's role.
        owner: String,
        /// Whether the server knows membership options.
        options: bool,
    },
    /// Makes a role a member of another: it has its privileges, and can't switch to it.
    JoinRole {
        /// The role that it joins.
        role: String,
        /// The role that joins.
        member: String,
        /// Whether the server knows membership options.
        options: bool,
        /// Who may grant it.
        taking: Taking,
    },
    /// Takes a role of a tenant out of a role that it should not be in.
    LeaveRole {
        /// The role that it is in.
        role: String,
        /// The tenant's.
        member: String,
        /// Who granted it, on a server where several may have.
        grantor: Option<String>,
        /// Who may take it back.
        taking: Taking,
    },
    /// Destroys such roles.
    DropLevels {
        /// Their names.
        roles: Vec<String>,
    },
    /// Sets a parameter of a role.
    Set {
        /// The role.
        role: String,
        /// In this database only.
        database: Option<String>,
        /// The parameter.
        parameter: String,
        /// Its value.
        value: String,
    },
    /// Removes a parameter of a role.
    Reset {
        /// The role.
        role: String,
        /// In this database only.
        database: Option<String>,
        /// The parameter.
        parameter: String,
        /// How the estate gets at it.
        taking: Taking,
    },
    /// Sets how many sessions a login may have.
    LimitRole {
        /// The login.
        role: String,
        /// How many; unlimited when absent.
        limit: Option<i32>,
    },
    /// Takes PUBLIC out of a database, and lets the tenant in.
    Isolate {
        /// The database.
        database: String,
        /// Whether PUBLIC has to be taken out.
        public: bool,
        /// The logins that are let in.
        connect: Vec<String>,
        /// Other logins that are let in.
        visitors: Vec<String>,
        /// The tenant's role, if it has to be allowed to make schemas and extensions.
        create: Option<String>,
    },
    /// Keeps out other logins that were let in.
    Dismiss {
        /// The database.
        database: String,
        /// The logins.
        visitors: Vec<String>,
        /// Who else than the database's owner let them in, and may let nobody in any more.
        grantors: Vec<String>,
    },
    /// Makes the estate the owner of a database again.
    OwnDatabase {
        /// The database.
        database: String,
        /// How it is taken from its owner.
        taking: Taking,
    },
    /// Lets nobody but its owner copy a database any more (PostgreSQL documentation, 22.3).
    UnmarkTemplate {
        /// The database.
        database: String,
    },
    /// Sets how many sessions a database may have.
    LimitDatabase {
        /// The database.
        database: String,
        /// How many; unlimited when absent.
        limit: Option<i32>,
    },
    /// Sets or removes a database's comment.
    Comment {
        /// The database.
        database: String,
        /// The comment.
        comment: Option<String>,
    },
    /// Lets sessions into a database.
    OpenDatabase {
        /// The database.
        database: String,
        /// Whether somebody had closed it, and it is not just being made.
        drifted: bool,
    },
    /// Keeps new sessions out of a database.
    CloseDatabase {
        /// The database.
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
    /// Ends the sessions of these logins in a database.
    EndSessions {
        /// The database.
        database: String,
        /// The tenant's own logins, whose sessions the estate can end.
        own: Vec<String>,
        /// Other tenants' logins.
        strangers: Vec<String>,
        /// Logins that are no tenant's; ending their sessions takes the administrator's own login, a superuser's.
        outsiders: Vec<String>,
        /// Whether the server knows membership options.
        options: bool,
    },
    /// Ends the sessions of other tenants' logins that hold a lock on roles.
    EndLocks {
        /// The logins.
        logins: Vec<String>,
        /// The roles.
        roles: Vec<String>,
        /// Whether the server knows membership options.
        options: bool,
    },
    /// Notes in the ledger that a deletion has begun.
    RecordDeletion {
        /// What counts from here on as last applied, where the policies are overruled.
        overruled: Option<Box<Applied>>,
    },
    /// Destroys a database.
    DropDatabase {
        /// The database.
        database: String,
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
    /// Destroys roles.
    DropRoles {
        /// The roles.
        roles: Vec<String>,
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

/// What lets a login in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The password of the credential in hand.
    Password,
    /// Whatever the server asks for that is no password.
    External,
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
    pub const KINDS: &'static [&'static str] = <Self as VariantNames>::VARIANTS;

    pub(crate) fn venue(&self) -> Venue {
        match self {
            Self::CreateEstate { .. }
            | Self::CreateLedger { .. }
            | Self::CreateLedgerTables
            | Self::UpgradeLedger { .. } => Venue::Maintenance,
            Self::Claim { .. } | Self::Recover { .. } => Venue::Claim,
            Self::CreateDatabase { .. } | Self::DropDatabase { .. } => Venue::Alone,
            Self::OwnSchema { .. } | Self::CreateSchema { .. } => Venue::Tenant,
            Self::CreateExtension { .. }
            | Self::GrantLevel { .. }
            | Self::EmptyLevels { .. }
            | Self::ChangeExtension { .. }
            | Self::EmptySlot { .. }
            | Self::LeaveDatabase { .. }
            | Self::AdoptDatabase { .. } => Venue::Inside,
            Self::RunScript { .. } => Venue::Login,
            _ => Venue::Ledger,
        }
    }

    /// The database it is sent to, when that is another than its tenant's.
    pub(crate) fn database(&self) -> Option<&str> {
        match self {
            Self::LeaveDatabase { database, .. } => Some(database),
            _ => None,
        }
    }

    /// Whether other sessions must see what the steps before it did: new sessions come in until that is committed.
    pub(crate) fn needs_what_was_committed(&self) -> bool {
        matches!(self, Self::EndSessions { .. } | Self::EndLocks { .. })
    }

    /// Whether it changes nothing that others may be changing at the same time: roles, and who may connect to what.
    pub(crate) fn is_its_tenants_alone(&self) -> bool {
        matches!(
            self,
            Self::CloseDatabase { .. }
                | Self::RecordSlot { .. }
                | Self::RecordDatabase { .. }
                | Self::RecordDelivery { .. }
                | Self::RecordChange { .. }
                | Self::RecordDeletion { .. }
                | Self::RecordOrphan { .. }
                | Self::Settle { .. }
        )
    }

    /// Whether its statements hold the credential in hand.
    pub(crate) fn needs_login(&self) -> bool {
        matches!(
            self,
            Self::CreateSlot { login: true, .. }
                | Self::CreateOwnerLogin { login: Some(Proof::Password), .. }
                | Self::EnableLogin { proof: Proof::Password, .. }
        )
    }
}
