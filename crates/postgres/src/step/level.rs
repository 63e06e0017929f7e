//! The statements that give a role the privileges of a level in a tenant's database, or take them away.

use crate::ESTATE;
use crate::access::Level;
use crate::sql::{Membership, name, names, text, texts};

/// Gives a role what its level says, on what is there and on what will be made; `anew` takes away first whatever else it
/// has in the database.
///
/// Objects are gone through one by one: `ON ALL TABLES` fails when one of them is not the tenant's. What is made from
/// then on follows the default privileges of the tenant, which whoever logs in for it acts as (PostgreSQL documentation,
/// ALTER DEFAULT PRIVILEGES).
pub(super) fn grant(role: &str, owner: &str, level: &Level, anew: bool, options: bool) -> Vec<String> {
    let both = names([owner, role]);
    let drop = anew.then(|| format!("DROP OWNED BY {}", name(role)));
    let joined = format!("GRANT {both} TO {ESTATE}{}", Membership::Full.options(options));
    let switched = format!("SET LOCAL ROLE {}", name(owner));
    let left = [format!("SET LOCAL ROLE {ESTATE}"), format!("REVOKE {both} FROM {ESTATE}")];
    let present = on_what_is_there(role, owner, level);
    std::iter::once(joined)
        .chain(drop)
        .chain([switched])
        .chain(defaults(role, level))
        .chain([present])
        .chain(left)
        .collect()
}

/// Takes away all that roles may do in the database.
pub(super) fn revoke(roles: &[String], owner: &str, options: bool) -> Vec<String> {
    let all = names(std::iter::once(owner).chain(roles.iter().map(String::as_str)));
    vec![
        format!("GRANT {all} TO {ESTATE}{}", Membership::Full.options(options)),
        format!("DROP OWNED BY {}", names(roles)),
        format!("REVOKE {all} FROM {ESTATE}"),
    ]
}

/// What the level may do with what will be made.
fn defaults(role: &str, level: &Level) -> Vec<String> {
    let role = name(role);
    let (scope, schemas) = if level.schemas.is_empty() {
        (String::new(), Some(format!("ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO {role}")))
    } else {
        (format!(" IN SCHEMA {}", names(&level.schemas)), None)
    };
    let others = [("TABLES", level.on_tables()), ("SEQUENCES", level.on_sequences())].map(|(kind, privileges)| {
        format!("ALTER DEFAULT PRIVILEGES{scope} GRANT {} ON {kind} TO {role}", privileges.join(", "))
    });
    schemas.into_iter().chain(others).collect()
}

/// What the level may do with what is there.
fn on_what_is_there(role: &str, owner: &str, level: &Level) -> String {
    let schemas =
        if level.schemas.is_empty() { String::new() } else { format!(" AND n.nspname IN ({})", texts(&level.schemas)) };
    let (tables, sequences) = (level.on_tables().join(", "), level.on_sequences().join(", "));
    let (owner, role) = (text(name(owner)), text(name(role)));
    format!(
        "DO $tenantdb$ DECLARE object text; BEGIN \
         FOR object IN SELECT pg_catalog.format('GRANT USAGE ON SCHEMA %I', n.nspname) FROM pg_catalog.pg_namespace n \
         WHERE n.nspowner = {owner}::pg_catalog.regrole{schemas} \
         UNION ALL SELECT pg_catalog.format(CASE c.relkind WHEN 'S' THEN 'GRANT {sequences} ON SEQUENCE %I.%I' \
         ELSE 'GRANT {tables} ON TABLE %I.%I' END, n.nspname, c.relname) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relowner = {owner}::pg_catalog.regrole AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') \
         AND c.relpersistence <> 't'{schemas} \
         LOOP EXECUTE object || ' TO ' || {role}; END LOOP; END $tenantdb$"
    )
}
