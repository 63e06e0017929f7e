//! What only a session in a database can see. It reads catalogs and nothing that a tenant can define.

use std::collections::BTreeMap;

use tenantdb_core::Failure;
use tokio_postgres::Row;

use super::foreign::{self, Foreign};
use super::levels::{self, Privileges, Wanted};
use super::text::{bytes_of, text};
use crate::connect::Session;
use crate::trap::Trap;

/// What is inside a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inside {
    /// The owner of each schema.
    pub(crate) schemas: BTreeMap<String, String>,
    /// The extensions it has.
    pub(crate) extensions: BTreeMap<String, Installed>,
    /// What is not its tenant's, by kind and owner.
    pub(crate) foreign: BTreeMap<(String, String), Foreign>,
    /// The roles that carry what others may do in it.
    pub(crate) levels: BTreeMap<String, Privileges>,
    /// Whether every login may make things in `public`, as it was before PostgreSQL 15.
    pub(crate) public_is_open: bool,
    /// What would run a tenant's code as the administrator.
    pub(crate) trap: Option<Trap>,
}

/// An extension of a database (`pg_extension`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Installed {
    pub(crate) version: String,
    pub(crate) schema: String,
    pub(crate) owner: String,
    /// Whether it can be moved to another schema.
    pub(crate) relocatable: bool,
}

/// Looks inside the database of a session, which is or will be this tenant's.
pub(crate) async fn visit(session: &Session, wanted: &Wanted) -> Result<Inside, Failure> {
    let [schema, owner] = ["nspname::text", "pg_catalog.pg_get_userbyid(nspowner)::text"].map(bytes_of);
    let [extension_schema, extension_owner] =
        ["n.nspname::text", "pg_catalog.pg_get_userbyid(e.extowner)::text"].map(bytes_of);
    let (schemas, extensions, foreign, public, levels, trap) = tokio::try_join!(
        session.query(
            format!(
                "SELECT {schema}, {owner} FROM pg_catalog.pg_namespace WHERE NOT pg_catalog.starts_with(nspname::text, 'pg_')"
            ),
            &[]
        ),
        session.query(
            format!(
                "SELECT e.extname::text, e.extversion, {extension_schema}, {extension_owner}, e.extrelocatable \
                 FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace"
            ),
            &[]
        ),
        foreign::read(session, &wanted.owner),
        session.query(
            "SELECT FROM pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) a \
             WHERE n.nspname = 'public' AND a.grantee = 0 AND a.privilege_type = 'CREATE'",
            &[]
        ),
        levels::read(session, wanted),
        Trap::find(session),
    )?;
    Ok(Inside {
        schemas: schemas.iter().map(|row| (text(row, 0), text(row, 1))).collect(),
        extensions: extensions.iter().map(|row| (row.get(0), installed(row))).collect(),
        foreign,
        levels,
        public_is_open: !public.is_empty(),
        trap,
    })
}

fn installed(row: &Row) -> Installed {
    Installed { version: row.get(1), schema: text(row, 2), owner: text(row, 3), relocatable: row.get(4) }
}
