//! Sessions that are in the way.

use strum::{IntoStaticStr, VariantNames};

use super::{Group, PostgresStep};
use crate::observe::{ON_DATABASE, ON_ROLE};
use crate::sql::{Membership, names, text, texts};
use crate::{ESTATE, Taking};

/// A step that ends sessions.
#[derive(Clone, Debug, PartialEq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum SessionStep {
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
}

impl From<SessionStep> for PostgresStep {
    fn from(step: SessionStep) -> Self {
        Self::Session(step)
    }
}

impl SessionStep {
    /// Asks whose sessions there are to end, where ending them is all that the step does.
    pub(super) fn whom_it_ends(&self) -> Option<String> {
        let Self::EndSessions { database, own, strangers, outsiders, .. } = self else { return None };
        let logins: Vec<&String> = own.iter().chain(strangers).chain(outsiders).collect();
        let of_these = in_database_or_holding_it(database);
        (!logins.is_empty()).then(|| format!("SELECT a.pid {}", sessions(&logins, &of_these)))
    }
}

impl Group for SessionStep {
    fn kind(&self) -> &'static str {
        self.into()
    }

    fn sign(&self) -> Option<char> {
        Some('-')
    }

    fn describe(&self) -> String {
        match self {
            Self::EndSessions { database, own, strangers, outsiders, .. } => {
                let others = [strangers.as_slice(), outsiders].concat();
                let whose = if others.is_empty() { own } else { &others };
                format!("sessions of {} in database {database}: ended", whose.join(", "))
            }
            Self::EndLocks { logins, roles, .. } => {
                format!("sessions of {} that hold locks on {}: ended", logins.join(", "), roles.join(", "))
            }
        }
    }

    fn sql(&self, _verifier: &str) -> Vec<String> {
        match self {
            Self::EndSessions { database, own, strangers, outsiders, options } => {
                let tenants: Vec<&String> = own.iter().chain(strangers).collect();
                end_sessions(database, &tenants, &outsiders.iter().collect::<Vec<_>>(), *options)
            }
            Self::EndLocks { logins, roles, options } => end_locks(logins, roles, *options),
        }
    }
}

/// Ends the sessions in a database, and those that hold a lock on it: tenants' as the estate, others' as the administrator.
fn end_sessions(database: &str, tenants: &[&String], outsiders: &[&String], options: bool) -> Vec<String> {
    let of_these = in_database_or_holding_it(database);
    let tenants = terminate(tenants, &of_these, options);
    let outsiders =
        if outsiders.is_empty() { Vec::new() } else { Taking::Login.around_all(signal(outsiders, &of_these)) };
    tenants.into_iter().chain(outsiders).collect()
}

fn in_database_or_holding_it(database: &str) -> String {
    let database = text(database);
    format!(
        "a.datname = {database} OR a.pid IN (SELECT l.pid FROM pg_catalog.pg_locks l \
         JOIN pg_catalog.pg_database d ON d.oid = l.objid WHERE d.datname = {database} AND {ON_DATABASE})"
    )
}

/// Ends the sessions that hold a lock on roles.
fn end_locks(logins: &[String], roles: &[String], options: bool) -> Vec<String> {
    let of_these = format!(
        "a.pid IN (SELECT l.pid FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_roles o ON o.oid = l.objid \
         WHERE o.rolname IN ({}) AND {ON_ROLE})",
        texts(roles)
    );
    terminate(&logins.iter().collect::<Vec<_>>(), &of_these, options)
}

/// Ending a session takes the privileges of its login: they are taken for the length of the transaction only.
fn terminate(logins: &[&String], of_these: &str, options: bool) -> Vec<String> {
    if logins.is_empty() {
        return Vec::new();
    }
    let options = Membership::Inherit.options(options);
    let joined = format!("GRANT {} TO {ESTATE}{options}", names(logins));
    let left = format!("REVOKE {} FROM {ESTATE}", names(logins));
    std::iter::once(joined).chain(signal(logins, of_these)).chain([left]).collect()
}

/// Ends sessions, and waits until they are gone.
fn signal(logins: &[&String], of_these: &str) -> Vec<String> {
    vec![
        // A session that ends by itself between the look and the signal is worth no warning.
        "SET LOCAL client_min_messages = error".to_owned(),
        format!("SELECT pg_catalog.pg_terminate_backend(a.pid, 10000) {}", sessions(logins, of_these)),
        "SET LOCAL client_min_messages = notice".to_owned(),
    ]
}

fn sessions(logins: &[&String], of_these: &str) -> String {
    format!("FROM pg_catalog.pg_stat_activity a WHERE a.usename IN ({}) AND ({of_these})", texts(logins))
}
