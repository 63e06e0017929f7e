//! Event triggers that would run a tenant's code in an administrator's session: only a superuser makes one, and whoever
//! owns the function that it calls says what that does.

use tenantdb_core::{Failure, FailureKind, Refusal, RefusalKind};

use crate::connect::Session;
use crate::observe::Shared;
use crate::sql::name;

/// Whether there is any that is on, and we are not spared them (`event_triggers`, from PostgreSQL 17 on). Nearly nowhere is
/// one, and a new session would have to learn much to tell whose they are: 3 ms of the server's processor time.
const ANY: &str = "SELECT FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D' \
                   AND pg_catalog.current_setting('event_triggers', true) IS DISTINCT FROM 'off' LIMIT 1";

/// Those that are on and whose function is no superuser's.
const TRAPS: &str = "\
SELECT e.evtname::text, r.rolname::text
FROM pg_catalog.pg_event_trigger e
JOIN pg_catalog.pg_proc p ON p.oid = e.evtfoid JOIN pg_catalog.pg_roles r ON r.oid = p.proowner
WHERE e.evtenabled <> 'D' AND NOT r.rolsuper ORDER BY e.evtname";

/// What would run somebody else's code in an administrator's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trap {
    /// An event trigger that calls what somebody can change who is no superuser.
    Change { trigger: String, owner: String },
    /// An event trigger that each login sets off, before anybody can look whose function it calls.
    Login {
        database: String,
        /// The administrator's login.
        login: String,
    },
}

impl Trap {
    /// The first one in the database of a session. Looking at catalogs sets off none.
    pub(crate) async fn find(session: &Session) -> Result<Option<Self>, Failure> {
        if session.query(ANY, &[]).await?.is_empty() {
            return Ok(None);
        }
        let found = session.query(TRAPS, &[]).await?;
        Ok(found.first().map(|row| Self::Change { trigger: row.get(0), owner: row.get(1) }))
    }

    /// The one that our own login would set off in a database.
    pub(crate) fn at_login(shared: &Shared, database: &str) -> Option<Self> {
        let found = shared.databases.get(database)?;
        let trap = || Self::Login { database: database.to_owned(), login: shared.login.clone() };
        shared.is_set_off_by_login(database, found).then(trap)
    }

    /// Why nothing is done in a database that has it.
    pub(crate) fn refusal(&self) -> Refusal {
        Refusal::new(RefusalKind::Policy, self.message()).hint(self.hint())
    }

    /// The same, of one that was not there when the database was looked at.
    pub(crate) fn failure(&self) -> Failure {
        Failure::new(FailureKind::Rejected, self.message()).hint(self.hint())
    }

    fn message(&self) -> String {
        match self {
            Self::Change { trigger, owner } => {
                format!("event trigger `{trigger}` calls a function of `{owner}`, which would run as the administrator")
            }
            Self::Login { database, .. } => {
                format!("each login to database `{database}` runs an event trigger, and would as the administrator")
            }
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Change { trigger, .. } => format!(
                "as a superuser run there: ALTER EVENT TRIGGER {} DISABLE; or give its function to a superuser",
                name(trigger)
            ),
            Self::Login { login, .. } => format!(
                "as a superuser spare the administrator that: ALTER ROLE {} SET event_triggers = off; or drop the trigger, \
                 and log in there once",
                name(login)
            ),
        }
    }
}
