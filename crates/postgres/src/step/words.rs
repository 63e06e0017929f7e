//! What a plan says of each step.

use std::collections::BTreeMap;

use tenantdb_api::tenant_database::AccessLevel;
use tenantdb_core::{Slot, Step};
use tenantdb_credentials::SlotState;

use super::{Adopted, PostgresStep, Proof, REDACTED};
use crate::access::Level;
use crate::extension::Change;
use crate::ledger::VERSION;
use crate::{ESTATE, LEDGER};

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
            | Self::CreateOwnerLogin { .. }
            | Self::CreateSlot { .. }
            | Self::CreateLevel { .. }
            | Self::CreateSchema { .. }
            | Self::CreateExtension { .. }
            | Self::RunScript { .. } => Some('+'),
            Self::Claim { adopted: Some(_), .. }
            | Self::Recover { .. }
            | Self::AcceptDatabase { .. }
            | Self::AdoptDatabase { .. }
            | Self::TakeOver { .. }
            | Self::RetireLogin { .. }
            | Self::EnableLogin { .. }
            | Self::DisableLogin { .. }
            | Self::LiftExpiry { .. }
            | Self::TakePowers { .. }
            | Self::SetInherit { .. }
            | Self::GrantMembership { .. }
            | Self::JoinRole { .. }
            | Self::LeaveRole { .. }
            | Self::Admit { .. }
            | Self::GrantLevel { .. }
            | Self::Set { .. }
            | Self::Reset { .. }
            | Self::LimitRole { .. }
            | Self::Isolate { .. }
            | Self::OwnDatabase { .. }
            | Self::UnmarkTemplate { .. }
            | Self::LimitDatabase { .. }
            | Self::Comment { .. }
            | Self::OpenDatabase { drifted: true, .. }
            | Self::EmptySlot { stays: true, .. }
            | Self::OwnSchema { .. }
            | Self::ChangeExtension { .. }
            | Self::Settle { policies: Some(_), .. }
            | Self::Settle { returns: true, .. }
            | Self::Settle { note: Some(_), .. }
            | Self::RecordOrphan { database: true, logins: true } => Some('~'),
            Self::EndLogins { .. }
            | Self::EndSessions { .. }
            | Self::EndLocks { .. }
            | Self::Dismiss { .. }
            | Self::DropLevels { .. }
            | Self::DropDatabase { .. }
            | Self::LeaveDatabase { .. }
            | Self::DropRoles { .. } => Some('-'),
            Self::CreateLedgerTables
            | Self::UpgradeLedger { .. }
            | Self::Claim { .. }
            | Self::OpenDatabase { .. }
            | Self::CloseDatabase { .. }
            | Self::RecordSlot { .. }
            | Self::ForgetDatabase { .. }
            | Self::RecordDatabase { .. }
            | Self::RecordDelivery { .. }
            | Self::RecordScript { .. }
            | Self::Settle { .. }
            | Self::RecordChange { .. }
            | Self::RecordDeletion { .. }
            | Self::EmptySlot { stays: false, .. }
            | Self::EmptyLevels { .. }
            | Self::RecordOrphan { .. }
            | Self::Forget => None,
        }
    }

    #[allow(clippy::too_many_lines, reason = "one arm for each kind of step, and nothing else")]
    fn describe(&self) -> String {
        match self {
            Self::CreateEstate { create: true, .. } => format!("role {ESTATE}, which owns every tenant's database"),
            Self::CreateEstate { admin, .. } => format!("membership of {admin} in {ESTATE}"),
            Self::CreateLedger { .. } => format!("database {LEDGER}, the ledger of who owns what"),
            Self::CreateLedgerTables => "the ledger's tables".to_owned(),
            Self::UpgradeLedger { from } => format!("the ledger's tables, from version {from} to {VERSION}"),
            Self::Claim { database: Some(database), adopted: Some(Adopted { from, login, .. }), owner, .. } => {
                adopted(database, from, login.then_some(owner))
            }
            Self::Recover { database, owner, slots, .. } => recovered(database.as_ref(), owner, slots),
            Self::AcceptDatabase { database, .. } => {
                format!("database {database}: the ledger knows it as it was restored")
            }
            Self::Claim { database: Some(database), .. } => format!("claim on database {database}"),
            Self::Claim { owner, .. } => format!("claim on role {owner}"),
            Self::CreateDatabase { database, limit, create, .. } => {
                let parts = [
                    limit.map(|limit| format!("at most {limit} sessions in all")),
                    create.template.as_ref().map(|template| format!("a copy of {template}")),
                    create.encoding.clone(),
                    create.locale.as_ref().map(|locale| format!("locale {locale}")),
                    create.icu_locale.as_ref().map(|locale| format!("ICU locale {locale}")),
                ];
                let parts = parts.into_iter().flatten().map(|part| format!(", {part}"));
                format!("database {database}{}", parts.collect::<String>())
            }
            Self::AdoptDatabase { database, from, owner, schemas, administer, .. } => {
                handed_over(database, from, owner, schemas, *administer)
            }
            Self::EndLogins { from, roles } => format!("logins {} of {from}: ended", roles.join(", ")),
            Self::TakeOver { from, database } => format!("database {database}: taken over from {from}"),
            Self::RetireLogin { role, .. } => format!("role {role}: may not log in any more, no password"),
            Self::CreateOwner { owner, tenant: true } => format!("role {owner}, the tenant, without login"),
            Self::CreateOwner { owner, .. } => format!("role {owner}, without login"),
            Self::CreateOwnerLogin { owner, database, login, limit, settings } => {
                let login = match login {
                    Some(Proof::Password) => "login",
                    Some(Proof::External) => "login without password",
                    None => "role",
                };
                let tenant = if database.is_some() { ", the tenant" } else { "" };
                format!("{login} {owner}{tenant}{}", attributes(*limit, settings))
            }
            Self::CreateSlot { role, login, limit, settings, .. } => {
                let login = if *login { "login" } else { "spare login" };
                format!("{login} {role}{}", attributes(*limit, settings))
            }
            Self::EnableLogin { role, replaces: true, .. } => {
                format!("login {role}: a new password, and the earlier one ends")
            }
            Self::EnableLogin { role, proof: Proof::Password, .. } => format!("login {role}: may log in"),
            Self::EnableLogin { role, proof: Proof::External, .. } => {
                format!("login {role}: may log in, without password")
            }
            Self::DisableLogin { role } => format!("role {role}: may not log in, no password"),
            Self::LiftExpiry { role } => format!("login {role}: valid for good"),
            Self::TakePowers { role, powers, .. } => format!("role {role}: no {}", powers.join(", no ")),
            Self::SetInherit { role, inherit: true } => format!("login {role}: INHERIT"),
            Self::SetInherit { role, .. } => format!("login {role}: NOINHERIT"),
            Self::GrantMembership { role, owner, .. } => format!("login {role}: member of {owner}"),
            Self::JoinRole { role, member, .. } => format!("role {member}: member of {role}"),
            Self::LeaveRole { role, member, .. } => format!("role {member}: no member of {role}"),
            Self::Admit { database, login, .. } => format!("database {database}: open to {login}"),
            Self::CreateLevel { role } => format!("role {role}, for further logins"),
            Self::GrantLevel { role, owner, level, .. } => format!("role {role}: {}", may(level, owner)),
            Self::EmptyLevels { roles, .. } => format!("what {} may do in the database: revoked", roles.join(", ")),
            Self::DropLevels { roles } => format!("roles {}, which further logins had: dropped", roles.join(", ")),
            Self::Set { role, parameter, value, .. } => format!("login {role}: {parameter} = {value}"),
            Self::Reset { role, parameter, database, .. } => {
                let database = database.as_ref().map_or_else(String::new, |name| format!(" in database {name}"));
                format!("login {role}: {parameter} unset{database}")
            }
            Self::LimitRole { role, limit } => format!("login {role}: {}", sessions(*limit)),
            Self::Isolate { database, public, connect, visitors, create } => {
                let mut parts = Vec::new();
                if *public {
                    parts.push("closed to PUBLIC".to_owned());
                }
                let open: Vec<&str> = connect.iter().chain(visitors).map(String::as_str).collect();
                if !open.is_empty() {
                    parts.push(format!("open to {}", open.join(", ")));
                }
                if let Some(owner) = create {
                    parts.push(format!("{owner} may create in it"));
                }
                format!("database {database}: {}", parts.join(", "))
            }
            Self::Dismiss { database, visitors, .. } => {
                format!("database {database}: no longer open to {}", visitors.join(", "))
            }
            Self::UnmarkTemplate { database } => format!("database {database}: no template"),
            Self::OwnDatabase { database, .. } => format!("database {database}: owned by {ESTATE}"),
            Self::LimitDatabase { database, limit } => format!("database {database}: {} in all", sessions(*limit)),
            Self::Comment { database, comment: Some(comment) } => format!("database {database}: comment {comment:?}"),
            Self::Comment { database, .. } => format!("database {database}: no comment"),
            Self::OpenDatabase { database, .. } => format!("database {database}: accepts connections"),
            Self::CloseDatabase { database } => format!("database {database}: accepts no connections"),
            Self::RecordSlot { role, state, .. } => format!("slot {role} is {}", state.as_str()),
            Self::ForgetDatabase { database } => format!("the ledger knows that database {database} is gone"),
            Self::RecordDatabase { database } => format!("the ledger knows database {database}"),
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
            Self::RecordDelivery { location, .. } => format!("the ledger knows of {location}"),
            Self::Settle { policies, returns, note, .. } => settled(policies.as_ref(), *returns, note.as_ref()),
            Self::EndSessions { database, own, strangers, outsiders, .. } => {
                let others = [strangers.as_slice(), outsiders].concat();
                let whose = if others.is_empty() { own } else { &others };
                format!("sessions of {} in database {database}: ended", whose.join(", "))
            }
            Self::EndLocks { logins, roles, .. } => {
                format!("sessions of {} that hold locks on {}: ended", logins.join(", "), roles.join(", "))
            }
            Self::RecordChange { .. } => "the ledger knows of it".to_owned(),
            Self::RecordDeletion { .. } => "the ledger knows of the deletion".to_owned(),
            Self::DropDatabase { database } => format!("database {database}, with all its data: dropped"),
            Self::EmptySlot { role, database, stays: false, .. } => {
                format!("what {role} owns in database {database}: dropped")
            }
            Self::EmptySlot { role, owner, .. } => {
                format!("login {role}: what it owns is {owner}'s, and nothing is granted to it")
            }
            Self::LeaveDatabase { roles, database, .. } => {
                format!("what {} may do in database {database}: revoked", roles.join(", "))
            }
            Self::DropRoles { roles } => format!("roles {}: dropped", roles.join(", ")),
            Self::RecordOrphan { .. } => {
                "declaration: gone; database, roles and credential stay as they are".to_owned()
            }
            Self::Forget => "the ledger forgets it".to_owned(),
        }
    }

    fn statements(&self) -> Vec<String> {
        self.sql(REDACTED)
    }

    fn waits_for(&self) -> Option<&'static str> {
        let drops = matches!(self, Self::DropDatabase { .. });
        drops.then_some("the server writes all that changed to its disk first (a checkpoint)")
    }
}

/// What a level may do, for people.
fn may(level: &Level, owner: &str) -> String {
    let verb = match level.level {
        AccessLevel::ReadOnly => "may read",
        AccessLevel::ReadWrite => "may read and write",
    };
    if level.schemas.is_empty() {
        return format!("{verb} what {owner} has and will have");
    }
    let schemas: Vec<&str> = level.schemas.iter().map(String::as_str).collect();
    format!("{verb} what {owner} has and will have in {}", schemas.join(", "))
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

fn handed_over(database: &str, from: &str, owner: &str, schemas: &[String], administer: bool) -> String {
    let database_owner = (from != ESTATE).then(|| format!("owned by {ESTATE}"));
    let schemas = schemas.iter().map(|schema| format!("schema {schema} owned by {owner}"));
    let role = administer.then(|| format!("{ESTATE} decides who joins {owner}"));
    let parts: Vec<String> = database_owner.into_iter().chain(schemas).chain(role).collect();
    format!("database {database}: {}", parts.join(", "))
}

fn sessions(limit: Option<i32>) -> String {
    match limit {
        Some(1) => "at most 1 session".to_owned(),
        Some(limit) => format!("at most {limit} sessions"),
        None => "any number of sessions".to_owned(),
    }
}

/// What a new login is given beside its name.
fn attributes(limit: Option<i32>, settings: &BTreeMap<String, String>) -> String {
    let limit = limit.map(|limit| format!(", {}", sessions(Some(limit))));
    let settings = settings.iter().map(|(name, value)| format!(", {name} = {value}"));
    limit.into_iter().chain(settings).collect()
}
