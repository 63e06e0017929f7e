//! What logs in: whether it can, with what, and what its sessions begin with.

use std::collections::BTreeMap;

use strum::{IntoStaticStr, VariantNames};
use tenantdb_core::Claim;

use super::{Group, PostgresStep, connection_limit, sessions};
use crate::Taking;
use crate::ledger::CHANGED_MEANWHILE;
use crate::sql::{Membership, name, text};

/// A step on what logs in.
#[derive(Clone, Debug, PartialEq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum LoginStep {
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
    /// Keeps the logins of an orphan from logging in, for whoever takes it over.
    EndLogins {
        /// Who left it behind.
        from: Claim,
        /// Their names.
        roles: Vec<String>,
    },
    /// Takes away the login that a tenant's role had before it was adopted.
    RetireLogin {
        /// The tenant's role.
        role: String,
        /// Its database.
        database: String,
    },
    /// Lets a slot's password work for good.
    LiftExpiry {
        /// Its name.
        role: String,
    },
    /// Whether a slot uses privileges of the tenant's role without switching to it.
    SetInherit {
        /// Its name.
        role: String,
        /// Whether it does.
        inherit: bool,
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
}

/// What lets a login in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The password of the credential in hand.
    Password,
    /// Whatever the server asks for that is no password.
    External,
}

impl From<LoginStep> for PostgresStep {
    fn from(step: LoginStep) -> Self {
        Self::Login(step)
    }
}

impl LoginStep {
    /// Whether its statements hold the credential in hand.
    pub(super) fn needs_login(&self) -> bool {
        matches!(
            self,
            Self::CreateSlot { login: true, .. }
                | Self::CreateOwnerLogin { login: Some(Proof::Password), .. }
                | Self::EnableLogin { proof: Proof::Password, .. }
        )
    }
}

impl Group for LoginStep {
    fn kind(&self) -> &'static str {
        self.into()
    }

    fn sign(&self) -> Option<char> {
        match self {
            Self::CreateOwnerLogin { .. } | Self::CreateSlot { .. } => Some('+'),
            Self::EnableLogin { .. }
            | Self::DisableLogin { .. }
            | Self::RetireLogin { .. }
            | Self::LiftExpiry { .. }
            | Self::SetInherit { .. }
            | Self::Set { .. }
            | Self::Reset { .. }
            | Self::LimitRole { .. } => Some('~'),
            Self::EndLogins { .. } => Some('-'),
        }
    }

    fn describe(&self) -> String {
        match self {
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
            Self::EndLogins { from, roles } => format!("logins {} of {from}: ended", roles.join(", ")),
            Self::RetireLogin { role, .. } => format!("role {role}: may not log in any more, no password"),
            Self::LiftExpiry { role } => format!("login {role}: valid for good"),
            Self::SetInherit { role, inherit: true } => format!("login {role}: INHERIT"),
            Self::SetInherit { role, .. } => format!("login {role}: NOINHERIT"),
            Self::Set { role, parameter, value, .. } => format!("login {role}: {parameter} = {value}"),
            Self::Reset { role, parameter, database, .. } => {
                let database = database.as_ref().map_or_else(String::new, |name| format!(" in database {name}"));
                format!("login {role}: {parameter} unset{database}")
            }
            Self::LimitRole { role, limit } => format!("login {role}: {}", sessions(*limit)),
        }
    }

    fn sql(&self, verifier: &str) -> Vec<String> {
        match self {
            Self::CreateOwnerLogin { owner, database, login, limit, settings } => {
                let login = match login {
                    Some(Proof::Password) => format!("LOGIN PASSWORD {verifier}"),
                    Some(Proof::External) => "LOGIN".to_owned(),
                    None => "NOLOGIN".to_owned(),
                };
                let create = format!("CREATE ROLE {} {login}{}", name(owner), connection_limit(*limit));
                std::iter::once(create).chain(set_all(owner, database.as_deref(), settings)).collect()
            }
            Self::CreateSlot { role, owner, database, how, login, limit, settings } => {
                let login = if *login { format!("LOGIN PASSWORD {verifier}") } else { "NOLOGIN".to_owned() };
                let limit = connection_limit(*limit);
                let role_name = name(role);
                let inherit = if *how == Membership::Switch { "NOINHERIT" } else { "INHERIT" };
                let create = format!("CREATE ROLE {role_name} {inherit} IN ROLE {} {login}{limit}", name(owner));
                let switch = format!("ALTER ROLE {role_name} SET role = {}", text(owner));
                let switch = (*how == Membership::Switch).then_some(switch);
                let settings = set_all(role, database.as_deref(), settings);
                std::iter::once(create).chain(switch).chain(settings).collect()
            }
            Self::EnableLogin { role, proof, .. } => {
                let password = if *proof == Proof::Password { verifier } else { "NULL" };
                vec![format!("ALTER ROLE {} LOGIN PASSWORD {password}", name(role))]
            }
            Self::DisableLogin { role } => vec![disable(role)],
            Self::EndLogins { roles, .. } => roles.iter().map(|role| disable(role)).collect(),
            Self::RetireLogin { role, database } => retire(role, database),
            Self::LiftExpiry { role } => vec![format!("ALTER ROLE {} VALID UNTIL 'infinity'", name(role))],
            Self::SetInherit { role, inherit } => {
                vec![format!("ALTER ROLE {} {}", name(role), if *inherit { "INHERIT" } else { "NOINHERIT" })]
            }
            Self::Set { role, database, parameter, value } => vec![set(role, database.as_deref(), parameter, value)],
            Self::Reset { role, database, parameter, taking } => {
                taking.around(reset(role, database.as_deref(), parameter))
            }
            Self::LimitRole { role, limit } => {
                vec![format!("ALTER ROLE {} CONNECTION LIMIT {}", name(role), limit.unwrap_or(-1))]
            }
        }
    }
}

/// What a new login is given beside its name.
fn attributes(limit: Option<i32>, settings: &BTreeMap<String, String>) -> String {
    let limit = limit.map(|limit| format!(", {}", sessions(Some(limit))));
    let settings = settings.iter().map(|(name, value)| format!(", {name} = {value}"));
    limit.into_iter().chain(settings).collect()
}

fn disable(role: &str) -> String {
    format!("ALTER ROLE {} NOLOGIN PASSWORD NULL", name(role))
}

/// Takes a login away that nobody uses: a session that came in since it was looked at ends the transaction instead.
fn retire(role: &str, database: &str) -> Vec<String> {
    let unused = format!(
        "DO $tenantdb$ BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE usename = {}) THEN \
         RAISE EXCEPTION 'it is in use' USING ERRCODE = '{CHANGED_MEANWHILE}'; END IF; END $tenantdb$",
        text(role)
    );
    vec![disable(role), format!("REVOKE CONNECT ON DATABASE {} FROM {}", name(database), name(role)), unused]
}

fn set_all(role: &str, database: Option<&str>, settings: &BTreeMap<String, String>) -> impl Iterator<Item = String> {
    settings.iter().map(move |(parameter, value)| set(role, database, parameter, value))
}

fn set(role: &str, database: Option<&str>, parameter: &str, value: &str) -> String {
    format!("ALTER ROLE {}{} SET {} = {}", name(role), in_database(database), name(parameter), text(value))
}

/// Takes a parameter off a role.
pub(crate) fn reset(role: &str, database: Option<&str>, parameter: &str) -> String {
    format!("ALTER ROLE {}{} RESET {}", name(role), in_database(database), name(parameter))
}

fn in_database(database: Option<&str>) -> String {
    database.map_or_else(String::new, |database| format!(" IN DATABASE {}", name(database)))
}
