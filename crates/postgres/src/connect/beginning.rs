//! What a server warns about when a session begins.

use tenantdb_core::{Failure, FailureKind};

use super::Session;
use crate::sql::name;

/// Of these warnings, those that are not about a role that a database or the login would have its sessions take, and
/// that they may not; nor about a system that sorts text otherwise than when the database was made, which is told.
///
/// The server tries each of those settings, also where the session brings a role of its own, and takes none: our option
/// outranks `role`, and nothing outranks who logged in (measured on 15, 16 and 18). Somebody who owned a database could
/// otherwise keep us out of it with a single `ALTER DATABASE … SET role`.
const OTHERS: &str = "\
SELECT w.warning FROM pg_catalog.unnest($1::text[]) AS w (warning)
WHERE w.warning NOT IN (
    pg_catalog.format('database \"%s\" has a collation version mismatch', pg_catalog.current_database()),
    pg_catalog.format('database \"%s\" has no actual collation version, but a version was recorded',
        pg_catalog.current_database()))
AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) AS c (setting),
        (VALUES ('role', 'role'), ('session_authorization', 'session authorization')) AS k (parameter, words),
        pg_catalog.substr(c.setting, pg_catalog.length(k.parameter) + 2) AS v (role)
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
    AND s.setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user))
    AND pg_catalog.starts_with(c.setting, k.parameter || '=')
    AND w.warning IN (pg_catalog.format('permission denied to set %s \"%s\"', k.words, v.role),
        pg_catalog.format('role \"%s\" does not exist', v.role)))";

impl Session {
    /// Sees that the server let us in as we asked. An option of ours that it refuses ends the session at once, so a
    /// warning is about what was set on the database or the login.
    ///
    /// Tells whether the system sorts text otherwise than when the database was made.
    pub(super) async fn begun(&self, login: &str) -> Result<bool, Failure> {
        let warnings = self.take_warnings();
        if warnings.is_empty() {
            return Ok(false);
        }
        let others = self.query(OTHERS, &[&warnings]).await?;
        let Some(warning) = others.first().map(|row| row.get::<_, String>(0)) else {
            return Ok(warnings.iter().any(|warning| warning.contains(" collation version")));
        };
        let (database, login) = (name(self.database()), name(login));
        let failure = Failure::new(FailureKind::Rejected, format!("the server warned: {warning}")).hint(format!(
            "mend what it names; a setting is taken away with ALTER DATABASE {database} RESET … or ALTER ROLE {login} \
             RESET … (pg_db_role_setting has them all)"
        ));
        Err(failure.within("connecting").within(format!("database {}", self.database())))
    }
}
