//! What is in a tenant's database and not the tenant's.

use std::collections::BTreeMap;

use tenantdb_core::Failure;

use super::text::{bytes_of, text};
use crate::connect::Session;

/// How many objects of one kind and owner are named.
const NAMED: usize = 3;

/// Objects of one kind that one role owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// How many there are.
    pub(crate) count: i64,
    /// The first of them, as a statement names them.
    pub(crate) names: Vec<String>,
}

/// The owned objects of a database, by what `ALTER … OWNER TO` calls their kind. What belongs to an extension, or goes
/// with a table, is left out; so is what event triggers call, which nobody should be told to hand over.
const OBJECTS: &str = "\
    SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' \
    WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS kind, c.relowner AS owner, \
    pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, n.nspname AS space, \
    'pg_catalog.pg_class'::regclass AS class, c.oid AS oid \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') \
    UNION ALL SELECT 'ROUTINE', p.proowner, pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, \
    pg_catalog.pg_get_function_identity_arguments(p.oid)), n.nspname, 'pg_catalog.pg_proc'::regclass, p.oid \
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
    WHERE p.prorettype <> 'pg_catalog.event_trigger'::regtype \
    UNION ALL SELECT 'TYPE', t.typowner, pg_catalog.format('%I.%I', n.nspname, t.typname), n.nspname, \
    'pg_catalog.pg_type'::regclass, t.oid \
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
    LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid \
    WHERE t.typtype IN ('d', 'e', 'r') OR (t.typtype = 'c' AND c.relkind = 'c') \
    UNION ALL SELECT 'SCHEMA', n.nspowner, pg_catalog.quote_ident(n.nspname), n.nspname, \
    'pg_catalog.pg_namespace'::regclass, n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname <> 'public'";

/// The objects that are not the tenant's, by kind and owner.
pub(super) async fn read(session: &Session, tenant: &str) -> Result<BTreeMap<(String, String), Foreign>, Failure> {
    let [owner, name] = ["r.rolname::text", "o.name"].map(bytes_of);
    let tenant = crate::sql::text(tenant);
    let rows = session
        .query(
            format!(
                "SELECT kind, owner, name, count FROM (SELECT o.kind, {owner} AS owner, {name} AS name, \
                 count(*) OVER same AS count, \
                 row_number() OVER (PARTITION BY o.kind, o.owner ORDER BY o.name COLLATE \"C\") AS number \
                 FROM ({OBJECTS}) o JOIN pg_catalog.pg_roles r ON r.oid = o.owner \
                 WHERE r.rolname <> {tenant} AND r.rolname <> 'pg_database_owner' \
                 AND o.space <> 'information_schema' AND NOT pg_catalog.starts_with(o.space::text, 'pg_') \
                 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
                 WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype IN ('e', 'a', 'i') \
                 AND (d.deptype = 'e' OR o.kind = 'SEQUENCE')) \
                 WINDOW same AS (PARTITION BY o.kind, o.owner)) all_of_them WHERE number <= {NAMED} \
                 ORDER BY kind, owner, number"
            ),
            &[],
        )
        .await?;
    let mut found: BTreeMap<(String, String), Foreign> = BTreeMap::new();
    for row in &rows {
        let foreign = found.entry((row.get(0), text(row, 1))).or_default();
        foreign.count = row.get(3);
        foreign.names.push(text(row, 2));
    }
    Ok(found)
}
