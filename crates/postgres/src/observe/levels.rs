//! Whether the roles that carry others' privileges in a database have them: all that they should, and nothing else.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use tenantdb_core::Failure;

use crate::access::Level;
use crate::connect::Session;

/// What a role that carries a level has, inside a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Privileges {
    /// Whether something is missing that its level says.
    pub(crate) lacks: bool,
    /// Whether it has something else.
    pub(crate) exceeds: bool,
    /// Whether something is its own.
    pub(crate) owns: bool,
}

impl Privileges {
    /// What a role has that is not there.
    pub(crate) const MISSING: Self = Self { lacks: true, exceeds: false, owns: false };
}

/// What to look for in a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The tenant's role.
    pub(crate) owner: String,
    /// The roles that carry a level.
    pub(crate) levels: BTreeMap<String, Level>,
}

/// What these roles have in the database of a session. A role that is not there has nothing.
pub(super) async fn read(session: &Session, wanted: &Wanted) -> Result<BTreeMap<String, Privileges>, Failure> {
    let levels = wanted.levels.iter().map(async |(role, level)| {
        let schemas: Vec<&str> = level.schemas.iter().map(String::as_str).collect();
        let (tables, sequences) = (level.on_tables(), level.on_sequences());
        let rows = session.query(QUERY, &[&role, &wanted.owner, &schemas, &tables, &sequences]).await?;
        let held = rows.first().map(|row| Privileges { lacks: row.get(0), exceeds: row.get(1), owns: row.get(2) });
        Ok::<_, Failure>((role.clone(), held.unwrap_or(Privileges::MISSING)))
    });
    Ok(try_join_all(levels).await?.into_iter().collect())
}

/// What should be and what is are both lists of (kind of thing, which, privilege). Default privileges stand for what
/// will be made. What it owns, and column privileges, come from `pg_shdepend`: nothing of that should be.
const QUERY: &str = "\
WITH r AS (
    SELECT g.oid AS role, o.oid AS owner FROM pg_catalog.pg_roles g, pg_catalog.pg_roles o
    WHERE g.rolname::text = $1 AND o.rolname::text = $2
), n AS (
    SELECT n.oid, n.nspowner, n.nspacl FROM pg_catalog.pg_namespace n, r
    WHERE CASE WHEN pg_catalog.cardinality($3::text[]) > 0 THEN n.nspname::text = ANY($3) ELSE n.nspowner = r.owner END
), c AS (
    SELECT c.oid, c.relkind, c.relacl, c.relnamespace FROM pg_catalog.pg_class c, r
    WHERE c.relowner = r.owner AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
), should AS (
    SELECT 'n' AS kind, n.oid, 'USAGE' AS privilege FROM n, r WHERE n.nspowner = r.owner
    UNION ALL SELECT 'c', c.oid, p FROM c,
        pg_catalog.unnest(CASE c.relkind WHEN 'S' THEN $5::text[] ELSE $4::text[] END) AS p
        WHERE pg_catalog.cardinality($3) = 0 OR c.relnamespace IN (SELECT n.oid FROM n)
    UNION ALL SELECT 'd' || k.kind, d.oid, p
        FROM (SELECT 0::oid WHERE pg_catalog.cardinality($3) = 0
              UNION ALL SELECT n.oid FROM n WHERE pg_catalog.cardinality($3) > 0) AS d (oid),
        (VALUES ('r', $4::text[]), ('S', $5::text[]), ('n', ARRAY['USAGE'])) AS k (kind, privileges),
        pg_catalog.unnest(k.privileges) AS p
        WHERE k.kind <> 'n' OR pg_catalog.cardinality($3) = 0
), found AS (
    SELECT 'n' AS kind, s.oid, a.privilege_type AS privilege, a.is_grantable
        FROM r, pg_catalog.pg_namespace s, pg_catalog.aclexplode(s.nspacl) a WHERE a.grantee = r.role
    UNION ALL SELECT 'c', s.oid, a.privilege_type, a.is_grantable
        FROM r, pg_catalog.pg_class s, pg_catalog.aclexplode(s.relacl) a
        WHERE a.grantee = r.role AND s.relpersistence <> 't'
    UNION ALL SELECT 'd' || s.defaclobjtype::text, s.defaclnamespace, a.privilege_type, a.is_grantable
        FROM r, pg_catalog.pg_default_acl s, pg_catalog.aclexplode(s.defaclacl) a
        WHERE a.grantee = r.role AND s.defaclrole = r.owner
), odd AS (
    SELECT s.deptype = 'o' AS owned FROM r, pg_catalog.pg_shdepend s, pg_catalog.pg_database d
    WHERE d.datname = pg_catalog.current_database() AND s.dbid = d.oid AND s.refobjid = r.role
    AND s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
    AND (s.deptype <> 'a' OR s.objsubid <> 0 OR s.classid NOT IN ('pg_catalog.pg_class'::pg_catalog.regclass,
        'pg_catalog.pg_namespace'::pg_catalog.regclass, 'pg_catalog.pg_default_acl'::pg_catalog.regclass))
)
SELECT EXISTS (SELECT kind, oid, privilege FROM should EXCEPT SELECT kind, oid, privilege FROM found),
    EXISTS (SELECT kind, oid, privilege FROM found EXCEPT SELECT kind, oid, privilege FROM should)
    OR EXISTS (SELECT FROM found WHERE is_grantable) OR EXISTS (SELECT FROM odd WHERE NOT owned),
    EXISTS (SELECT FROM odd WHERE owned)
FROM r";
