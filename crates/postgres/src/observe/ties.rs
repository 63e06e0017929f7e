//! What keeps roles and databases from being dropped.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_core::Failure;
use tokio_postgres::Row;

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

/// Who holds locks.
pub(crate) struct LockHolders {
    /// On databases.
    pub(crate) databases: BTreeMap<String, BTreeSet<String>>,
    /// On roles.
    pub(crate) roles: BTreeMap<String, BTreeSet<String>>,
}

/// The logins that hold a lock on a database or a role. An open transaction that changes a login's settings for the
/// database, or grants the role anything, is enough (measured on 15 and 18).
pub(crate) async fn read_lock_holders(session: &Session) -> Result<LockHolders, Failure> {
    let [database, role, login] = ["d.datname::text", "o.rolname::text", "r.rolname::text"].map(bytes_of);
    let query = |columns: &str, catalog: &str, locks: &str| {
        format!(
            "SELECT DISTINCT {columns} FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid) \
             JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid JOIN {catalog} WHERE {locks}"
        )
    };
    let (databases, roles) = tokio::try_join!(
        session.query(
            query(&format!("{database}, {login}"), "pg_catalog.pg_database d ON d.oid = l.objid", ON_DATABASE),
            &[]
        ),
        session.query(query(&format!("{role}, {login}"), "pg_catalog.pg_roles o ON o.oid = l.objid", ON_ROLE), &[]),
    )?;
    Ok(LockHolders { databases: by_object(&databases), roles: by_object(&roles) })
}

fn by_object(rows: &[Row]) -> BTreeMap<String, BTreeSet<String>> {
    let mut holders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        holders.entry(text(row, 0)).or_default().insert(text(row, 1));
    }
    holders
}

/// The locks on databases themselves, of `pg_locks l`.
pub(crate) const ON_DATABASE: &str =
    "l.locktype = 'object' AND l.database = 0 AND l.classid = 'pg_catalog.pg_database'::regclass AND l.granted";

/// The locks on roles, of `pg_locks l`.
pub(crate) const ON_ROLE: &str =
    "l.locktype = 'object' AND l.database = 0 AND l.classid = 'pg_catalog.pg_authid'::regclass AND l.granted";
