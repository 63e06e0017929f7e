//! What people want to know of tenants, and no plan needs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tenantdb_api::{Namespace, ObjectName};
use tenantdb_core::{AuditEntry, Authority, Claim, Failure, Vitals};
use tokio_postgres::Row;

use crate::connect::Session;
use crate::ledger::{self, KIND, Ledger, ROLE_KIND};

/// What each tenant uses. Whoever may not connect to a database may not see its size either (PostgreSQL documentation,
/// 9.28.7).
pub(crate) async fn read_vitals(session: &Session, ledger: &Ledger) -> Result<BTreeMap<Claim, Vitals>, Failure> {
    let rows = session
        .query(
            "SELECT t.id, CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT') \
             THEN pg_catalog.pg_database_size(d.oid) END, \
             CASE WHEN t.database_name IS NOT NULL \
             THEN (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid AND a.usesysid IS NOT NULL) \
             ELSE (SELECT count(*) FROM pg_catalog.pg_stat_activity a JOIN ledger.role r ON r.name = a.usename::text \
             WHERE r.tenant = t.id) END, \
             d.datconnlimit, floor(extract(epoch FROM t.orphaned_at))::bigint, \
             (SELECT floor(extract(epoch FROM max(v.issued_at)))::bigint FROM ledger.delivery v WHERE v.tenant = t.id) \
             FROM ledger.tenant t LEFT JOIN pg_catalog.pg_database d ON d.oid = t.database_oid",
            &[],
        )
        .await?;
    let by_id: BTreeMap<i64, &Row> = rows.iter().map(|row| (row.get(0), row)).collect();
    let rows = ledger.tenants.values().chain(ledger.accounts.values());
    let vitals = rows.filter_map(|tenant| {
        let row = by_id.get(&tenant.id)?;
        let vitals = Vitals {
            size: row.get::<_, Option<i64>>(1).and_then(|size| u64::try_from(size).ok()),
            sessions: u64::try_from(row.get::<_, i64>(2)).unwrap_or_default(),
            session_limit: row.get::<_, Option<i32>>(3).and_then(|limit| u32::try_from(limit).ok()),
            orphaned_since: timestamp(row.get(4)),
            credential_since: timestamp(row.get(5)),
        };
        Some((tenant.claim.clone(), vitals))
    });
    Ok(vitals.collect())
}

/// What was done to the tenants of a name.
pub(crate) async fn read_history(
    session: &Session,
    namespace: &Namespace,
    name: &ObjectName,
) -> Result<Vec<AuditEntry>, Failure> {
    let rows = session
        .query(
            "SELECT floor(extract(epoch FROM at))::bigint, authority, action, by, kind, access FROM ledger.audit \
             WHERE namespace = $1 AND name = $2 ORDER BY id",
            &[&namespace.as_str(), &name.as_str()],
        )
        .await?;
    let entries = rows.iter().filter_map(|row| {
        let authority: Authority = row.get::<_, &str>(1).parse().ok()?;
        let kind = [KIND, ROLE_KIND].into_iter().find(|kind| *kind == row.get::<_, &str>(4))?;
        let access = ledger::access(row.get(5)).ok()?;
        let claim = Claim { authority, kind, namespace: namespace.clone(), name: name.clone(), access };
        Some(AuditEntry { at: timestamp(row.get(0))?, claim, action: row.get(2), by: row.get(3) })
    });
    Ok(entries.collect())
}

fn timestamp(seconds: Option<i64>) -> Option<Timestamp> {
    Timestamp::from_second(seconds?).ok()
}
