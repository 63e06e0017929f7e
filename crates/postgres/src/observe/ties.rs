//! What keeps roles and databases from being dropped.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_core::Failure;

use super::text::{bytes_of, text};
use crate::connect::Session;

/// How a role is tied to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tie {
    /// It was granted something there.
    Privileges,
    /// It owns something there.
    Owner,
}

/// What ties these roles to databases (`pg_shdepend`), by database and role: what is inside the databases, not the
/// databases themselves.
pub(crate) async fn read(
    session: &Session,
    roles: &[String],
) -> Result<BTreeMap<String, BTreeMap<String, Tie>>, Failure> {
    let [database, role] = ["d.datname::text", "r.rolname::text"].map(bytes_of);
    let rows = session
        .query(
            format!(
                "SELECT {database}, {role}, pg_catalog.bool_or(s.deptype = 'o') FROM pg_catalog.pg_shdepend s \
             JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid JOIN pg_catalog.pg_database d ON d.oid = s.dbid \
             WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND r.rolname = ANY($1) GROUP BY 1, 2"
            ),
            &[&roles],
        )
        .await?;
    let mut ties: BTreeMap<String, BTreeMap<String, Tie>> = BTreeMap::new();
    for row in rows {
        let tie = if row.get(2) { Tie::Owner } else { Tie::Privileges };
        ties.entry(text(&row, 0)).or_default().insert(text(&row, 1), tie);
    }
    Ok(ties)
}

/// The logins that hold a lock on a database, by database. An open transaction that changes a login's settings for it
/// is enough (measured on 15 and 18).
pub(crate) async fn read_locks(session: &Session) -> Result<BTreeMap<String, BTreeSet<String>>, Failure> {
    let [database, role] = ["d.datname::text", "r.rolname::text"].map(bytes_of);
    let rows = session
        .query(
            format!(
                "SELECT DISTINCT {database}, {role} FROM pg_catalog.pg_locks l \
                 JOIN pg_catalog.pg_stat_activity a USING (pid) JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid \
                 JOIN pg_catalog.pg_database d ON d.oid = l.objid WHERE {ON_DATABASE}"
            ),
            &[],
        )
        .await?;
    let mut holders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        holders.entry(text(&row, 0)).or_default().insert(text(&row, 1));
    }
    Ok(holders)
}

/// The locks on databases themselves, of `pg_locks l`.
pub(crate) const ON_DATABASE: &str =
    "l.locktype = 'object' AND l.database = 0 AND l.classid = 'pg_catalog.pg_database'::regclass AND l.granted";
