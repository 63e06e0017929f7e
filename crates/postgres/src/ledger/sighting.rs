//! Which logins were seen in which databases: who loses access is told when it was last there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_postgres::Row;

use crate::sql::text;

/// When logins were last seen in a database, by the database's OID and the login.
pub(crate) type Sightings = BTreeMap<u32, BTreeMap<String, Timestamp>>;

/// Reads them all.
pub(super) const READ: &str = "SELECT database, login, floor(extract(epoch FROM seen_at))::bigint FROM ledger.sighting";

/// What [`READ`] found.
pub(super) fn read(rows: &[Row]) -> Sightings {
    let mut sightings = Sightings::new();
    for row in rows {
        if let Ok(seen) = Timestamp::from_second(row.get(2)) {
            sightings.entry(row.get(0)).or_default().insert(row.get(1), seen);
        }
    }
    sightings
}

/// Notes that these logins were seen just now, and forgets those of databases that are gone.
pub(crate) fn note(seen: &[(u32, &String)]) -> String {
    let rows: Vec<String> = seen.iter().map(|(database, login)| format!("({database}, {})", text(login))).collect();
    format!(
        "WITH gone AS (DELETE FROM ledger.sighting s WHERE NOT EXISTS \
         (SELECT FROM pg_catalog.pg_database d WHERE d.oid = s.database)) \
         INSERT INTO ledger.sighting (database, login) VALUES {} \
         ON CONFLICT (database, login) DO UPDATE SET seen_at = now()",
        rows.join(", ")
    )
}
