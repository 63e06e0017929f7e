//! Making a server ready with one login of a superuser: a plain administrator who needs no superuser any more, and the
//! databases that come with every cluster closed to everyone.

use std::collections::BTreeSet;

use strum::IntoStaticStr;
use tenantdb_api::ObjectName;
use tenantdb_core::{Actor, Failure, FailureKind, Plan, Planned, Risk, Step, Task};

use crate::ESTATE;
use crate::observe::{Database, Observed, Role, Shared};
use crate::plan::{SYSTEM_DATABASES, estate_members, strange_databases, unusable_visitors};
use crate::sql::{Membership, name, names};
use crate::step::REDACTED;

/// What a plain administrator needs.
const POWERS: [&str; 3] = ["LOGIN", "CREATEDB", "CREATEROLE"];

/// One step, which a superuser's login takes.
#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum BootstrapStep {
    /// Makes the administrator's login.
    CreateAdmin {
        /// Its name.
        login: String,
    },
    /// Gives a login what an administrator needs.
    EmpowerAdmin {
        /// Its name.
        login: String,
        /// What it lacks, as `ALTER ROLE` spells it.
        lacks: Vec<&'static str>,
    },
    /// Gives a login the password of the declaration.
    SetPassword {
        /// Its name.
        login: String,
    },
    /// Makes an estate that somebody else made what it should be.
    TameEstate {
        /// What it has to become, as `ALTER ROLE` spells it.
        lacks: Vec<&'static str>,
    },
    /// Makes the administrator a member of an estate that somebody else made.
    JoinEstate {
        /// The administrator's login.
        login: String,
        /// Whether the server knows membership options.
        options: bool,
    },
    /// Lets logins into a database that is closed to everyone.
    Admit {
        /// The database.
        database: String,
        /// The logins.
        logins: Vec<String>,
    },
    /// Takes PUBLIC out of a database.
    Close {
        /// The database.
        database: String,
        /// The logins that lose access, and how many sessions each has there now.
        losers: Vec<(String, i64)>,
        /// How many logins of tenants do as well.
        tenants: usize,
    },
}

impl BootstrapStep {
    /// The statement, with a placeholder for the verifier.
    pub(crate) fn sql(&self, verifier: &str) -> String {
        match self {
            Self::CreateAdmin { login } => {
                format!("CREATE ROLE {} {} PASSWORD {verifier}", name(login), POWERS.join(" "))
            }
            Self::EmpowerAdmin { login, lacks } => format!("ALTER ROLE {} {}", name(login), lacks.join(" ")),
            Self::SetPassword { login } => format!("ALTER ROLE {} PASSWORD {verifier}", name(login)),
            Self::TameEstate { lacks } => format!("ALTER ROLE {ESTATE} {}", lacks.join(" ")),
            Self::JoinEstate { login, options } => {
                format!("GRANT {ESTATE} TO {}{}", name(login), Membership::Full.options(*options))
            }
            Self::Admit { database, logins } => {
                format!("GRANT CONNECT ON DATABASE {} TO {}", name(database), names(logins))
            }
            Self::Close { database, .. } => {
                format!("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC", name(database))
            }
        }
    }

    fn risk(&self) -> Risk {
        match self {
            Self::SetPassword { .. } | Self::TameEstate { .. } => Risk::Disruptive,
            Self::Close { losers, .. } if !losers.is_empty() => Risk::Disruptive,
            _ => Risk::Safe,
        }
    }
}

impl Step for BootstrapStep {
    fn kind(&self) -> &'static str {
        self.into()
    }

    fn sign(&self) -> Option<char> {
        Some(if matches!(self, Self::CreateAdmin { .. }) { '+' } else { '~' })
    }

    fn describe(&self) -> String {
        match self {
            Self::CreateAdmin { login } => format!("login {login}, the administrator, {}", POWERS[1..].join(" ")),
            Self::EmpowerAdmin { login, lacks } => format!("login {login}: {}", lacks.join(", ")),
            Self::SetPassword { login } => format!("login {login}: the password of the declaration"),
            Self::TameEstate { lacks } => format!("role {ESTATE}: {}", lacks.join(", ")),
            Self::JoinEstate { login, .. } => format!("login {login}: member of {ESTATE}"),
            Self::Admit { database, logins } => format!("database {database}: open to {}", logins.join(", ")),
            Self::Close { database, losers, tenants } => {
                let shown = |(login, sessions): &(String, i64)| match sessions {
                    0 => login.clone(),
                    _ => format!("{login} (connected now)"),
                };
                let losers = losers.iter().map(shown);
                let tenants = match tenants {
                    0 => None,
                    1 => Some("1 tenant's login".to_owned()),
                    number => Some(format!("{number} tenants' logins")),
                };
                let losers: Vec<String> = losers.chain(tenants).collect();
                let lose = match losers.as_slice() {
                    [] => String::new(),
                    losers => format!(", and so to {}", losers.join(", ")),
                };
                format!("database {database}: closed to PUBLIC{lose}")
            }
        }
    }

    fn statements(&self) -> Vec<String> {
        vec![self.sql(REDACTED)]
    }
}

/// Who is to administer a server, and who else is to keep access to its own databases.
pub(crate) struct Wanted<'a> {
    /// The administrator's login.
    pub(crate) admin: &'a str,
    /// Whether it can log in with the password of the declaration.
    pub(crate) logs_in: bool,
    /// Other logins that keep CONNECT.
    pub(crate) connect_for: &'a [String],
}

/// What a superuser has to do, seen by its own login.
pub(crate) fn plan(
    server: &ObjectName,
    wanted: &Wanted<'_>,
    observed: &Observed,
) -> Result<Plan<BootstrapStep>, Failure> {
    check(wanted, observed)?;
    let mut planner = Planner { wanted, observed, steps: Vec::new() };
    planner.administrator();
    planner.estate();
    let shared = &observed.shared;
    let databases = SYSTEM_DATABASES.into_iter().chain([shared.maintenance_database.as_str()]);
    for database in databases.collect::<BTreeSet<_>>() {
        planner.database(database);
    }
    let members = estate_members(shared, wanted.admin).into_iter();
    let conditions = members
        .chain(strange_databases(observed, &BTreeSet::new()))
        .chain(unusable_visitors(wanted.connect_for, observed));
    let conditions = conditions.collect();
    Ok(Plan { server: server.clone(), preparation: planner.steps, tenants: Vec::new(), conditions })
}

struct Planner<'a> {
    wanted: &'a Wanted<'a>,
    observed: &'a Observed,
    steps: Vec<Planned<BootstrapStep>>,
}

impl Planner<'_> {
    fn push(&mut self, step: BootstrapStep, reason: &'static str) {
        let risk = step.risk();
        Planned::push(&mut self.steps, Task::Engine(step), reason, risk, Actor::Login);
    }

    fn administrator(&mut self) {
        let login = self.wanted.admin.to_owned();
        let Some(role) = self.observed.shared.roles.get(&login) else {
            return self.push(BootstrapStep::CreateAdmin { login }, "it is not there");
        };
        let lacks = lacks(role);
        if !lacks.is_empty() {
            self.push(BootstrapStep::EmpowerAdmin { login: login.clone(), lacks }, "it is not so");
        }
        if !self.wanted.logs_in {
            self.push(BootstrapStep::SetPassword { login }, "the server refuses it");
        }
    }

    /// The estate, if somebody made it already; otherwise the administrator will.
    fn estate(&mut self) {
        let shared = &self.observed.shared;
        let Some(estate) = shared.roles.get(ESTATE) else { return };
        let lacks = estate_lacks(estate);
        if !lacks.is_empty() {
            self.push(BootstrapStep::TameEstate { lacks }, "somebody else made it otherwise");
        }
        let login = self.wanted.admin.to_owned();
        let joined = |role: &Role| role.member_of.contains(ESTATE) || role.superuser;
        if !shared.roles.get(&login).is_some_and(joined) {
            let options = shared.has_membership_options();
            self.push(BootstrapStep::JoinEstate { login, options }, "another login made the estate");
        }
    }

    /// A database that the administrator comes into, or that is closed to everyone else.
    fn database(&mut self, database: &str) {
        let shared = &self.observed.shared;
        let Some(found) = shared.databases.get(database) else { return };
        let visitors = self.wanted.connect_for.iter().filter(|name| self.observed.visitor(name).is_ok());
        let kept: BTreeSet<String> = visitors.cloned().chain([self.wanted.admin.to_owned()]).collect();
        let closes = SYSTEM_DATABASES.contains(&database) && found.open_to_public();
        // Where every login may connect, and still may afterwards, there is nothing to keep.
        let public = found.grants.get(&None).is_some_and(|privileges| privileges.contains("CONNECT"));
        let logins: Vec<String> = kept.iter().filter(|login| !comes_in(shared, found, login)).cloned().collect();
        if !logins.is_empty() && (closes || !public) {
            self.push(BootstrapStep::Admit { database: database.to_owned(), logins }, "it keeps access");
        }
        if closes {
            let (losers, tenants) = losers(self.observed, found, &kept);
            let step = BootstrapStep::Close { database: database.to_owned(), losers, tenants };
            self.push(step, "every login could connect");
        }
    }
}

/// What can't be made ready.
fn check(wanted: &Wanted<'_>, observed: &Observed) -> Result<(), Failure> {
    let shared = &observed.shared;
    let stop = |message: String, hint: &str| Err(Failure::new(FailureKind::Rejected, message).hint(hint));
    if !shared.admin().superuser {
        return stop(
            format!("the login {} is no superuser", shared.login),
            "name one with --superuser; a managed service has none, and its own administrator needs no bootstrap",
        );
    }
    if observed.is_tenants(wanted.admin) {
        return stop(format!("the login {} is a tenant's", wanted.admin), "name another in `admin.username`");
    }
    Ok(())
}

fn lacks(role: &Role) -> Vec<&'static str> {
    let has = [role.login, role.create_db || role.superuser, role.create_role || role.superuser];
    let lacks = POWERS.into_iter().zip(has).filter(|(_, has)| !has).map(|(power, _)| power);
    lacks.chain(role.expires.then_some("VALID UNTIL 'infinity'")).collect()
}

/// What the estate has to become: it owns databases and makes roles, and does nothing else.
pub(crate) fn estate_lacks(role: &Role) -> Vec<&'static str> {
    let wrong = [
        (role.login, "NOLOGIN PASSWORD NULL"),
        (role.superuser, "NOSUPERUSER"),
        (role.replication, "NOREPLICATION"),
        (role.bypass_rls, "NOBYPASSRLS"),
        (!role.create_db, "CREATEDB"),
        (!role.create_role, "CREATEROLE"),
    ];
    wrong.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, mends)| mends).collect()
}

/// Whether a login gets into a database without PUBLIC's help.
fn comes_in(shared: &Shared, database: &Database, login: &str) -> bool {
    if shared.roles.get(login).is_some_and(|role| role.superuser) {
        return true;
    }
    let as_whom = shared.privileges_of(login);
    as_whom.iter().any(|role| database.owner == *role && !database.owner_shut_out || database.grants(role, "CONNECT"))
}

/// The logins that only get in as everyone does: those that are no tenant's with their sessions, and how many are.
fn losers(observed: &Observed, database: &Database, kept: &BTreeSet<String>) -> (Vec<(String, i64)>, usize) {
    let shared = &observed.shared;
    let logins = shared.roles.iter().filter(|(_, role)| role.login).map(|(name, _)| name);
    let losing = logins.filter(|login| !kept.contains(*login) && !comes_in(shared, database, login));
    let (tenants, others): (Vec<&String>, Vec<&String>) = losing.partition(|login| observed.is_tenants(login));
    let with_sessions = |login: &String| (login.clone(), database.sessions.get(login).copied().unwrap_or_default());
    (others.into_iter().map(with_sessions).collect(), tenants.len())
}

#[cfg(test)]
#[path = "bootstrap_tests.rs"]
mod tests;
