//! How an extension is made, moved and upgraded. Its script runs as a superuser, with the extension's schema in front of
//! the search path: what a tenant has put there could be what the script calls. PostgreSQL trusts some extensions to be
//! safe from that, and lets a database's owner make them; any other is only made where no tenant can write.

use crate::Taking;
use crate::sql::{name, text};

/// The schema in which an extension that is not trusted is made or upgraded. It is gone before anyone else could see it.
const APART: &str = "tenantdb_extension";

/// Who makes an extension, and where its script runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Making {
    /// The estate makes it: PostgreSQL trusts it.
    Trusted,
    /// A superuser makes it where it stays: no tenant can write there yet.
    There,
    /// A superuser makes it in a new schema, which belongs to the tenant from then on.
    New {
        /// The tenant's role; absent for a schema that stays a superuser's.
        owner: Option<String>,
    },
    /// A superuser makes it in a schema of its own, and then moves it.
    Apart,
}

/// What an extension that is there gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Another version.
    Version {
        /// Which one.
        version: String,
        /// The schema that it leaves meanwhile, if it has to.
        apart_from: Option<String>,
    },
    /// Another schema.
    Schema(String),
}

/// The statements that make an extension.
pub(crate) fn create(extension: &str, schema: &str, version: Option<&str>, making: &Making) -> Vec<String> {
    if *making == Making::Trusted {
        let what = format!("IF NOT EXISTS {}", name(extension));
        return vec![create_in(&what, schema, version)];
    }
    Taking::Login.around_all(by_hand(extension, schema, version, making))
}

/// The same as a superuser runs it.
pub(crate) fn by_hand(extension: &str, schema: &str, version: Option<&str>, making: &Making) -> Vec<String> {
    let create = |schema: &str| create_in(&name(extension), schema, version);
    match making {
        Making::Trusted | Making::There => vec![create(schema)],
        Making::New { owner } => {
            let owner = owner.as_ref().map(|owner| format!("ALTER SCHEMA {} OWNER TO {}", name(schema), name(owner)));
            [format!("CREATE SCHEMA {}", name(schema)), create(schema)].into_iter().chain(owner).collect()
        }
        Making::Apart => apart([create(APART), set_schema(extension, schema)]),
    }
}

fn create_in(what: &str, schema: &str, version: Option<&str>) -> String {
    let version = version.map_or_else(String::new, |version| format!(" VERSION {}", text(version)));
    format!("CREATE EXTENSION {what} WITH SCHEMA {}{version}", name(schema))
}

/// The statements that upgrade or move an extension.
pub(crate) fn change(extension: &str, change: &Change) -> Vec<String> {
    match change {
        Change::Version { version, apart_from } => {
            let update = format!("ALTER EXTENSION {} UPDATE TO {}", name(extension), text(version));
            match apart_from {
                None => vec![update],
                Some(schema) => apart([set_schema(extension, APART), update, set_schema(extension, schema)]),
            }
        }
        Change::Schema(schema) => vec![set_schema(extension, schema)],
    }
}

fn set_schema(extension: &str, schema: &str) -> String {
    format!("ALTER EXTENSION {} SET SCHEMA {}", name(extension), name(schema))
}

fn apart<const N: usize>(statements: [String; N]) -> Vec<String> {
    let (begin, end) = (format!("CREATE SCHEMA {APART}"), format!("DROP SCHEMA {APART}"));
    [begin].into_iter().chain(statements).chain([end]).collect()
}
