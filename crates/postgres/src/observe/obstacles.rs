//! What keeps databases and roles from being dropped until somebody else lets go of them.

use std::collections::BTreeMap;

use tenantdb_core::Failure;

use super::text::{bytes_of, text};
use super::ties::{ON_DATABASE, ON_ROLE};
use crate::connect::Session;

/// What `DROP DATABASE` and `DROP ROLE` stumble over, and nothing ends by itself (PostgreSQL documentation, DROP DATABASE).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Obstacle {
    /// A transaction that somebody prepared: it holds its locks for good.
    Prepared {
        /// Its name.
        gid: String,
        /// Where it was prepared, and is ended.
        database: String,
    },
    /// A subscription in the database.
    Subscription(String),
    /// A replication slot in the database that somebody reads from; one that nobody reads from goes with it.
    ReplicationSlot(String),
}

/// What is in the way, by database and by role.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Obstacles {
    pub(crate) databases: BTreeMap<String, Vec<Obstacle>>,
    pub(crate) roles: BTreeMap<String, Vec<Obstacle>>,
    /// Prepared transactions that change roles or databases, by whose they are: which ones is not told.
    pub(crate) changes: Vec<(String, Obstacle)>,
}

/// Reads them for the whole server.
pub(crate) async fn read(session: &Session) -> Result<Obstacles, Failure> {
    let [database, role, gid] = ["d.datname::text", "o.rolname::text", "p.gid"].map(bytes_of);
    let owner = bytes_of("p.owner::text");
    let [home, subscription, slot] = ["p.database::text", "s.subname::text", "s.slot_name::text"].map(bytes_of);
    // Its virtual transaction is `-1/…` only after a restart of the server (measured on 15, 16 and 18): what it always has
    // is the lock on itself.
    let locks = "pg_catalog.pg_prepared_xacts p JOIN pg_catalog.pg_locks x ON x.transactionid = p.transaction \
                 AND x.mode = 'ExclusiveLock' AND x.pid IS NULL \
                 JOIN pg_catalog.pg_locks l ON l.virtualtransaction = x.virtualtransaction AND l.pid IS NULL";
    let mut answers = session.ask([
        format!(
            "SELECT DISTINCT {database}, {gid}, {home} FROM {locks} JOIN pg_catalog.pg_database d \
             ON d.datname = p.database OR d.oid = l.objid AND {ON_DATABASE}"
        ),
        format!(
            "SELECT DISTINCT {role}, {gid}, {home} FROM {locks} JOIN pg_catalog.pg_roles o ON o.oid = l.objid \
             AND {ON_ROLE}"
        ),
        format!(
            "SELECT DISTINCT {owner}, {gid}, {home} FROM {locks} WHERE l.locktype = 'relation' AND l.database = 0 \
             AND l.mode = 'RowExclusiveLock' AND l.relation IN ('pg_catalog.pg_authid'::regclass, \
             'pg_catalog.pg_database'::regclass, 'pg_catalog.pg_db_role_setting'::regclass, \
             'pg_catalog.pg_auth_members'::regclass)"
        ),
        format!(
            "SELECT {database}, {subscription} FROM pg_catalog.pg_subscription s \
             JOIN pg_catalog.pg_database d ON d.oid = s.subdbid"
        ),
        format!(
            "SELECT {database}, {slot} FROM pg_catalog.pg_replication_slots s JOIN pg_catalog.pg_database d \
             ON d.datname = s.database WHERE s.active"
        ),
    ]);
    let mut found = Obstacles::default();
    for row in answers.next().await? {
        let prepared = Obstacle::Prepared { gid: text(&row, 1), database: text(&row, 2) };
        found.databases.entry(text(&row, 0)).or_default().push(prepared);
    }
    for row in answers.next().await? {
        let prepared = Obstacle::Prepared { gid: text(&row, 1), database: text(&row, 2) };
        found.roles.entry(text(&row, 0)).or_default().push(prepared);
    }
    for row in answers.next().await? {
        found.changes.push((text(&row, 0), Obstacle::Prepared { gid: text(&row, 1), database: text(&row, 2) }));
    }
    for row in answers.next().await? {
        found.databases.entry(text(&row, 0)).or_default().push(Obstacle::Subscription(text(&row, 1)));
    }
    for row in answers.next().await? {
        found.databases.entry(text(&row, 0)).or_default().push(Obstacle::ReplicationSlot(text(&row, 1)));
    }
    Ok(found)
}
