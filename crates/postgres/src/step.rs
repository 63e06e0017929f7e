//! What can be done to a server, one kind of step each, and the statements that do it.

use std::collections::BTreeMap;

use strum::{IntoStaticStr, VariantNames};
use tenantdb_core::{Generation, PlaceId, Slot, Step};
use tenantdb_credentials::SlotState;

use crate::Taking;
use crate::ledger::Applied;
use crate::sql::{name, names, text, text_or_null};
use crate::{ESTATE, LEDGER};

/// What is sent in the place of a verifier when a statement is shown.
pub(crate) const REDACTED: &str = "'<verifier>'";

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
    /// Takes a tenant's names in the ledger.
    Claim {
        /// The database.
        database: String,
        /// The tenant's role.
        owner: String,
        /// Its slots.
        slots: BTreeMap<Slot, String>,
        /// Every other name that derives from it.
        reserved: Vec<String>,
        /// What is declared.
        applied: Applied,
    },
    /// Makes a database that nobody can connect to yet.
    CreateDatabase {
        /// Its name.
        database: String,
        /// How many sessions it may have in all.
        limit: Option<i32>,
    },
    /// Makes the tenant's role.
    CreateOwner {
        /// Its name.
        owner: String,
    },
    /// Makes a login slot.
    CreateSlot {
        /// Its name.
        role: String,
        /// The tenant's role.
        owner: String,
        /// The database its settings hold for.
        database: String,
        /// Whether it can log in, with the credential in hand.
        login: bool,
        /// How many sessions it may have.
        limit: Option<i32>,
        /// Its settings.
        settings: BTreeMap<String, String>,
    },
    /// Lets a slot log in with the credential in hand.
    EnableLogin {
        /// Its name.
        role: String,
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
    /// Keeps a slot from using the tenant's privileges without switching to it.
    DisableInherit {
        /// Its name.
        role: String,
    },
    /// Makes a slot a member of the tenant's role.
    GrantMembership {
        /// The slot.
        role: String,
        /// The tenant's role.
        owner: String,
        /// Whether the server knows membership options.
        options: bool,
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
        /// The tenant's role, if it has to be allowed to make schemas and extensions.
        create: Option<String>,
    },
    /// Makes the estate the owner of a database again.
    OwnDatabase {
        /// The database.
        database: String,
        /// How it is taken from its owner.
        taking: Taking,
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
        /// The slot's role.
        role: String,
        /// Its new state.
        state: SlotState,
        /// Its generation; absent when it has no login any more.
        generation: Option<Generation>,
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
        applied: Applied,
        /// What was declared before, when the policies differ.
        policies: Option<(String, String)>,
        /// Whether the declaration had been gone.
        returns: bool,
        /// What the audit trail calls it.
        action: &'static str,
    },
    /// Ends the sessions of these logins, or all but ours, in a database.
    EndSessions {
        /// The database.
        database: String,
        /// The tenant's own logins, whose sessions the estate can end.
        own: Vec<String>,
        /// Other tenants' logins.
        strangers: Vec<String>,
        /// Whether the server knows membership options.
        options: bool,
    },
    /// Notes in the ledger that a deletion has begun.
    RecordDeletion,
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
}

impl PostgresStep {
    /// Every kind of step.
    pub const KINDS: &'static [&'static str] = <Self as VariantNames>::VARIANTS;

    pub(crate) fn venue(&self) -> Venue {
        match self {
            Self::CreateEstate { .. } | Self::CreateLedger { .. } | Self::CreateLedgerTables => Venue::Maintenance,
            Self::Claim { .. } => Venue::Claim,
            Self::CreateDatabase { .. } | Self::DropDatabase { .. } => Venue::Alone,
            Self::OwnSchema { .. } | Self::CreateSchema { .. } => Venue::Tenant,
            Self::CreateExtension { .. } | Self::EmptySlot { .. } | Self::LeaveDatabase { .. } => Venue::Inside,
            _ => Venue::Ledger,
        }
    }

    /// Whether other sessions must see what the steps before it did: new sessions come in until that is committed.
    pub(crate) fn needs_what_was_committed(&self) -> bool {
        matches!(self, Self::EndSessions { .. })
    }

    /// Whether its statements hold the credential in hand.
    pub(crate) fn needs_login(&self) -> bool {
        matches!(self, Self::CreateSlot { login: true, .. } | Self::EnableLogin { .. })
    }

    /// The statements of the step, with a placeholder for the verifier; those of the ledger are with its tables.
    #[allow(clippy::too_many_lines, reason = "one arm for each kind of step, and nothing else")]
    pub(crate) fn sql(&self, verifier: &str) -> Vec<String> {
        match self {
            Self::CreateEstate { admin, create, options } => {
                let role = format!("CREATE ROLE {ESTATE} NOLOGIN CREATEDB CREATEROLE");
                let options = if *options { " WITH INHERIT TRUE, SET TRUE" } else { "" };
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
            Self::CreateDatabase { database, limit } => {
                let limit = limit.map_or_else(String::new, |limit| format!(" CONNECTION LIMIT {limit}"));
                vec![format!("CREATE DATABASE {} TEMPLATE template0 ALLOW_CONNECTIONS false{limit}", name(database))]
            }
            Self::CreateOwner { owner } => vec![format!("CREATE ROLE {} NOLOGIN", name(owner))],
            Self::CreateSlot { role, owner, database, login, limit, settings } => {
                let login = if *login { format!("LOGIN PASSWORD {verifier}") } else { "NOLOGIN".to_owned() };
                let limit = limit.map_or_else(String::new, |limit| format!(" CONNECTION LIMIT {limit}"));
                let role_name = name(role);
                let create = format!("CREATE ROLE {role_name} NOINHERIT IN ROLE {} {login}{limit}", name(owner));
                let switch = format!("ALTER ROLE {role_name} SET role = {}", text(owner));
                let settings = settings.iter().map(|(parameter, value)| set(role, Some(database), parameter, value));
                [create, switch].into_iter().chain(settings).collect()
            }
            Self::EnableLogin { role } => vec![format!("ALTER ROLE {} LOGIN PASSWORD {verifier}", name(role))],
            Self::DisableLogin { role } => vec![format!("ALTER ROLE {} NOLOGIN PASSWORD NULL", name(role))],
            Self::LiftExpiry { role } => vec![format!("ALTER ROLE {} VALID UNTIL 'infinity'", name(role))],
            Self::DisableInherit { role } => vec![format!("ALTER ROLE {} NOINHERIT", name(role))],
            Self::GrantMembership { role, owner, options } => {
                let options = if *options { " WITH INHERIT FALSE, SET TRUE" } else { "" };
                vec![format!("GRANT {} TO {}{options}", name(owner), name(role))]
            }
            Self::Set { role, database, parameter, value } => vec![set(role, database.as_deref(), parameter, value)],
            Self::Reset { role, database, parameter } => {
                vec![format!("ALTER ROLE {}{} RESET {}", name(role), in_database(database.as_deref()), name(parameter))]
            }
            Self::LimitRole { role, limit } => {
                vec![format!("ALTER ROLE {} CONNECTION LIMIT {}", name(role), limit.unwrap_or(-1))]
            }
            Self::Isolate { database, public, connect, create } => {
                let database = name(database);
                let revoke = public.then(|| format!("REVOKE CONNECT, TEMPORARY ON DATABASE {database} FROM PUBLIC"));
                let connect = (!connect.is_empty())
                    .then(|| format!("GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {}", names(connect)));
                let create =
                    create.as_ref().map(|owner| format!("GRANT CREATE ON DATABASE {database} TO {}", name(owner)));
                [revoke, connect, create].into_iter().flatten().collect()
            }
            Self::OwnDatabase { database, taking } => {
                taking.around(format!("ALTER DATABASE {} OWNER TO {ESTATE}", name(database)))
            }
            Self::LimitDatabase { database, limit } => {
                vec![format!("ALTER DATABASE {} CONNECTION LIMIT {}", name(database), limit.unwrap_or(-1))]
            }
            Self::Comment { database, comment } => {
                vec![format!("COMMENT ON DATABASE {} IS {}", name(database), text_or_null(comment.as_ref()))]
            }
            Self::OpenDatabase { database, .. } => {
                vec![format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", name(database))]
            }
            Self::CloseDatabase { database } => {
                vec![format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", name(database))]
            }
            Self::OwnSchema { schema, owner, taking } => {
                taking.around(format!("ALTER SCHEMA {} OWNER TO {}", name(schema), name(owner)))
            }
            Self::CreateSchema { schema, owner } => {
                vec![format!("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}", name(schema), name(owner))]
            }
            Self::CreateExtension { extension, schema } => {
                vec![format!("CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA {}", name(extension), name(schema))]
            }
            Self::EndSessions { database, own, strangers, options } => end_sessions(database, own, strangers, *options),
            Self::DropDatabase { database } => vec![format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", name(database))],
            Self::EmptySlot { role, owner, options, .. } => {
                let (slot, owner) = (name(role), name(owner));
                let options = if *options { " WITH INHERIT TRUE, SET TRUE" } else { "" };
                vec![
                    format!("GRANT {owner}, {slot} TO {ESTATE}{options}"),
                    format!("REASSIGN OWNED BY {slot} TO {owner}"),
                    format!("DROP OWNED BY {slot}"),
                    format!("REVOKE {owner}, {slot} FROM {ESTATE}"),
                ]
            }
            Self::LeaveDatabase { roles, holders, options, .. } => {
                let options = if *options { " WITH INHERIT TRUE, SET TRUE" } else { "" };
                let (all, roles) = (format!("{}, {}", names(holders), names(roles)), names(roles));
                vec![
                    format!("GRANT {all} TO {ESTATE}{options}"),
                    format!("DROP OWNED BY {roles}"),
                    format!("REVOKE {all} FROM {ESTATE}"),
                ]
            }
            Self::DropRoles { roles } => {
                roles.iter().map(|role| format!("DROP ROLE IF EXISTS {}", name(role))).collect()
            }
            Self::CreateLedgerTables
            | Self::Claim { .. }
            | Self::RecordSlot { .. }
            | Self::ForgetDatabase { .. }
            | Self::RecordDatabase { .. }
            | Self::RecordDelivery { .. }
            | Self::RecordDeletion
            | Self::RecordOrphan { .. }
            | Self::Settle { .. }
            | Self::Forget => Vec::new(),
        }
    }
}

impl Step for PostgresStep {
    fn kind(&self) -> &'static str {
        self.into()
    }

    fn sign(&self) -> Option<char> {
        match self {
            Self::CreateEstate { .. }
            | Self::CreateLedger { .. }
            | Self::CreateDatabase { .. }
            | Self::CreateOwner { .. }
            | Self::CreateSlot { .. }
            | Self::CreateSchema { .. }
            | Self::CreateExtension { .. } => Some('+'),
            Self::EnableLogin { .. }
            | Self::DisableLogin { .. }
            | Self::LiftExpiry { .. }
            | Self::DisableInherit { .. }
            | Self::GrantMembership { .. }
            | Self::Set { .. }
            | Self::Reset { .. }
            | Self::LimitRole { .. }
            | Self::Isolate { .. }
            | Self::OwnDatabase { .. }
            | Self::LimitDatabase { .. }
            | Self::Comment { .. }
            | Self::OpenDatabase { drifted: true, .. }
            | Self::OwnSchema { .. }
            | Self::Settle { policies: Some(_), .. }
            | Self::Settle { returns: true, .. }
            | Self::RecordOrphan { database: true, logins: true } => Some('~'),
            Self::EndSessions { .. }
            | Self::DropDatabase { .. }
            | Self::LeaveDatabase { .. }
            | Self::DropRoles { .. } => Some('-'),
            Self::CreateLedgerTables
            | Self::Claim { .. }
            | Self::OpenDatabase { .. }
            | Self::CloseDatabase { .. }
            | Self::RecordSlot { .. }
            | Self::ForgetDatabase { .. }
            | Self::RecordDatabase { .. }
            | Self::RecordDelivery { .. }
            | Self::Settle { .. }
            | Self::RecordDeletion
            | Self::EmptySlot { .. }
            | Self::RecordOrphan { .. }
            | Self::Forget => None,
        }
    }

    fn describe(&self) -> String {
        let sessions = |limit: &Option<i32>| match limit {
            Some(1) => "at most 1 session".to_owned(),
            Some(limit) => format!("at most {limit} sessions"),
            None => "any number of sessions".to_owned(),
        };
        match self {
            Self::CreateEstate { create: true, .. } => format!("role {ESTATE}, which owns every tenant's database"),
            Self::CreateEstate { admin, .. } => format!("membership of {admin} in {ESTATE}"),
            Self::CreateLedger { .. } => format!("database {LEDGER}, the ledger of who owns what"),
            Self::CreateLedgerTables => "the ledger's tables".to_owned(),
            Self::Claim { database, .. } => format!("claim on database {database}"),
            Self::CreateDatabase { database, limit: Some(limit) } => {
                format!("database {database}, at most {limit} sessions in all")
            }
            Self::CreateDatabase { database, .. } => format!("database {database}"),
            Self::CreateOwner { owner } => format!("role {owner}, the tenant, without login"),
            Self::CreateSlot { role, login, limit, settings, .. } => {
                let login = if *login { "login" } else { "spare login" };
                let limit = limit.map_or_else(String::new, |_| format!(", {}", sessions(limit)));
                let settings = settings.iter().map(|(name, value)| format!(", {name} = {value}"));
                format!("{login} {role}{limit}{}", settings.collect::<String>())
            }
            Self::EnableLogin { role } => format!("login {role}: may log in"),
            Self::DisableLogin { role } => format!("role {role}: may not log in, no password"),
            Self::LiftExpiry { role } => format!("login {role}: valid for good"),
            Self::DisableInherit { role } => format!("login {role}: NOINHERIT"),
            Self::GrantMembership { role, owner, .. } => format!("login {role}: member of {owner}"),
            Self::Set { role, parameter, value, .. } => format!("login {role}: {parameter} = {value}"),
            Self::Reset { role, parameter, database } => {
                let database = database.as_ref().map_or_else(String::new, |name| format!(" in database {name}"));
                format!("login {role}: {parameter} unset{database}")
            }
            Self::LimitRole { role, limit } => format!("login {role}: {}", sessions(limit)),
            Self::Isolate { database, public, connect, create } => {
                let mut parts = Vec::new();
                if *public {
                    parts.push("closed to PUBLIC".to_owned());
                }
                if !connect.is_empty() {
                    parts.push(format!("open to {}", connect.join(", ")));
                }
                if let Some(owner) = create {
                    parts.push(format!("{owner} may create in it"));
                }
                format!("database {database}: {}", parts.join(", "))
            }
            Self::OwnDatabase { database, .. } => format!("database {database}: owned by {ESTATE}"),
            Self::LimitDatabase { database, limit } => format!("database {database}: {} in all", sessions(limit)),
            Self::Comment { database, comment: Some(comment) } => format!("database {database}: comment {comment:?}"),
            Self::Comment { database, .. } => format!("database {database}: no comment"),
            Self::OpenDatabase { database, .. } => format!("database {database}: accepts connections"),
            Self::CloseDatabase { database } => format!("database {database}: accepts no connections"),
            Self::RecordSlot { role, state, .. } => format!("slot {role} is {}", state.as_str()),
            Self::ForgetDatabase { database } => format!("the ledger knows that database {database} is gone"),
            Self::RecordDatabase { database } => format!("the ledger knows database {database}"),
            Self::OwnSchema { schema, owner, .. } => format!("schema {schema}: owned by {owner}"),
            Self::CreateSchema { schema, .. } => format!("schema {schema}"),
            Self::CreateExtension { extension, schema } => format!("extension {extension} in schema {schema}"),
            Self::RecordDelivery { location, .. } => format!("the ledger knows of {location}"),
            Self::Settle { policies: Some((_, to)), .. } => format!("policies: {to}"),
            Self::Settle { returns: true, .. } => "declaration: taken back from the orphans".to_owned(),
            Self::Settle { .. } => "the ledger knows what was applied".to_owned(),
            Self::EndSessions { database, own, strangers, .. } => {
                let whose = if strangers.is_empty() { own } else { strangers };
                format!("sessions of {} in database {database}", whose.join(", "))
            }
            Self::RecordDeletion => "the ledger knows of the deletion".to_owned(),
            Self::DropDatabase { database } => format!("database {database}, with all its data"),
            Self::EmptySlot { role, database, .. } => format!("what {role} owns in database {database}"),
            Self::LeaveDatabase { roles, database, .. } => {
                format!("what {} may do in database {database}", roles.join(", "))
            }
            Self::DropRoles { roles } => format!("roles {}", roles.join(", ")),
            Self::RecordOrphan { .. } => {
                "declaration: gone; database, roles and credential stay as they are".to_owned()
            }
            Self::Forget => "the ledger forgets it".to_owned(),
        }
    }

    fn statements(&self) -> Vec<String> {
        self.sql(REDACTED)
    }
}

fn set(role: &str, database: Option<&str>, parameter: &str, value: &str) -> String {
    format!("ALTER ROLE {}{} SET {} = {}", name(role), in_database(database), name(parameter), text(value))
}

fn in_database(database: Option<&str>) -> String {
    database.map_or_else(String::new, |database| format!(" IN DATABASE {}", name(database)))
}

/// Ending a session takes the privileges of its login: they are taken for the length of the transaction only.
fn end_sessions(database: &str, own: &[String], strangers: &[String], options: bool) -> Vec<String> {
    let logins: Vec<&String> = own.iter().chain(strangers).collect();
    let mut statements = Vec::new();
    if !logins.is_empty() {
        let options = if options { " WITH INHERIT TRUE, SET FALSE" } else { "" };
        statements.push(format!("GRANT {} TO {ESTATE}{options}", names(&logins)));
    }
    let list = logins.iter().map(text).collect::<Vec<_>>().join(", ");
    let condition = if logins.is_empty() { "false".to_owned() } else { format!("usename IN ({list})") };
    // A session that ends by itself between the look and the signal is worth no warning.
    statements.push("SET LOCAL client_min_messages = error".to_owned());
    statements.push(format!(
        "SELECT pg_catalog.pg_terminate_backend(pid, 10000) FROM pg_catalog.pg_stat_activity \
         WHERE datname = {} AND {condition}",
        text(database)
    ));
    statements.push("SET LOCAL client_min_messages = notice".to_owned());
    if !logins.is_empty() {
        statements.push(format!("REVOKE {} FROM {ESTATE}", names(&logins)));
    }
    statements
}
