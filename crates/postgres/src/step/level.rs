//! The roles that carry what others may do in a tenant's database, and what they may do.

use strum::{IntoStaticStr, VariantNames};
use tenantdb_api::tenant_database::AccessLevel;

use super::{Group, PostgresStep, Venue, role};
use crate::ESTATE;
use crate::access::Level;
use crate::sql::{Membership, name, names, text, texts};

/// A step on such roles.
#[derive(Clone, Debug, PartialEq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum LevelStep {
    /// Makes a role that carries what others may do in a database.
    CreateLevel {
        /// Its name.
        role: String,
    },
    /// Gives such a role its privileges, on what is there and on what will be made.
    GrantLevel {
        /// Its name.
        role: String,
        /// The tenant's role.
        owner: String,
        /// What it may do.
        level: Level,
        /// Whether it has something else, which is taken away first.
        anew: bool,
        /// Whether the server knows membership options.
        options: bool,
    },
    /// Takes away all that such roles may do in the database.
    EmptyLevels {
        /// Their names.
        roles: Vec<String>,
        /// The tenant's role.
        owner: String,
        /// Whether the server knows membership options.
        options: bool,
    },
    /// Destroys such roles.
    DropLevels {
        /// Their names.
        roles: Vec<String>,
    },
}

impl From<LevelStep> for PostgresStep {
    fn from(step: LevelStep) -> Self {
        Self::Level(step)
    }
}

impl Group for LevelStep {
    fn kind(&self) -> &'static str {
        self.into()
    }

    fn venue(&self) -> Venue {
        match self {
            Self::CreateLevel { .. } | Self::DropLevels { .. } => Venue::Ledger,
            Self::GrantLevel { .. } | Self::EmptyLevels { .. } => Venue::Inside,
        }
    }

    fn sign(&self) -> Option<char> {
        match self {
            Self::CreateLevel { .. } => Some('+'),
            Self::GrantLevel { .. } => Some('~'),
            Self::EmptyLevels { .. } => None,
            Self::DropLevels { .. } => Some('-'),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::CreateLevel { role } => format!("role {role}, for further logins"),
            Self::GrantLevel { role, owner, level, .. } => format!("role {role}: {}", may(level, owner)),
            Self::EmptyLevels { roles, .. } => format!("what {} may do in the database: revoked", roles.join(", ")),
            Self::DropLevels { roles } => format!("roles {}, which further logins had: dropped", roles.join(", ")),
        }
    }

    fn sql(&self, _verifier: &str) -> Vec<String> {
        match self {
            Self::CreateLevel { role } => vec![format!("CREATE ROLE {} NOLOGIN", name(role))],
            Self::GrantLevel { role, owner, level, anew, options } => grant(role, owner, level, *anew, *options),
            Self::EmptyLevels { roles, owner, options } => revoke(roles, owner, *options),
            Self::DropLevels { roles } => role::drop_all(roles),
        }
    }
}

/// What a level may do, for people.
fn may(level: &Level, owner: &str) -> String {
    let verb = match level.level {
        AccessLevel::ReadOnly => "may read",
        AccessLevel::ReadWrite => "may read and write",
    };
    if level.schemas.is_empty() {
        return format!("{verb} what {owner} has and will have");
    }
    let schemas: Vec<&str> = level.schemas.iter().map(String::as_str).collect();
    format!("{verb} what {owner} has and will have in {}", schemas.join(", "))
}

/// Gives a role what its level says, on what is there and on what will be made; `anew` takes away first whatever else it
/// has in the database.
///
/// Objects are gone through one by one: `ON ALL TABLES` fails when one of them is not the tenant's. What is made from
/// then on follows the default privileges of the tenant, which whoever logs in for it acts as (PostgreSQL documentation,
/// ALTER DEFAULT PRIVILEGES).
fn grant(role: &str, owner: &str, level: &Level, anew: bool, options: bool) -> Vec<String> {
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
fn revoke(roles: &[String], owner: &str, options: bool) -> Vec<String> {
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
