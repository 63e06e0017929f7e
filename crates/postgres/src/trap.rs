//! Event triggers that would run a tenant's code in an administrator's session: only a superuser makes one, and whoever
//! owns the function that it calls says what that does.

use tenantdb_core::{Failure, FailureKind, Refusal, RefusalKind};

use crate::connect::Session;
use crate::sql::name;

/// Whether there is any that is on. Nearly nowhere is one, and a new session would have to learn much to tell whose they
/// are: 3 ms of the server's processor time.
const ANY: &str = "SELECT FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D' LIMIT 1";

/// Those that are on and whose function is no superuser's.
const TRAPS: &str = "\
SELECT e.evtname::text, r.rolname::text
FROM pg_catalog.pg_event_trigger e
JOIN pg_catalog.pg_proc p ON p.oid = e.evtfoid JOIN pg_catalog.pg_roles r ON r.oid = p.proowner
WHERE e.evtenabled <> 'D' AND NOT r.rolsuper ORDER BY e.evtname";

/// An event trigger that calls what somebody can change who is no superuser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trap {
    trigger: String,
    owner: String,
}

impl Trap {
    /// The first one in the database of a session. Looking at catalogs sets off none.
    pub(crate) async fn find(session: &Session) -> Result<Option<Self>, Failure> {
        if session.query(ANY, &[]).await?.is_empty() {
            return Ok(None);
        }
        let found = session.query(TRAPS, &[]).await?;
        Ok(found.first().map(|row| Self { trigger: row.get(0), owner: row.get(1) }))
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
        let Self { trigger, owner } = self;
        format!("event trigger `{trigger}` calls a function of `{owner}`, which would run as the administrator")
    }

    fn hint(&self) -> String {
        let trigger = name(&self.trigger);
        format!("as a superuser run there: ALTER EVENT TRIGGER {trigger} DISABLE; or give its function to a superuser")
    }
}
