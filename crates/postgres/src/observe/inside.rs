//! What only a session in a database can see. It reads catalogs and nothing that a tenant can define.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_core::Failure;

use crate::connect::Session;

/// What is inside a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inside {
    /// The owner of each schema.
    pub(crate) schemas: BTreeMap<String, String>,
    /// The extensions it has.
    pub(crate) extensions: BTreeSet<String>,
}

/// Looks inside the database of a session.
pub(crate) async fn visit(session: &Session) -> Result<Inside, Failure> {
    let (schemas, extensions) = tokio::try_join!(
        session.query(
            "SELECT n.nspname::text, pg_catalog.pg_get_userbyid(n.nspowner)::text FROM pg_catalog.pg_namespace n \
             WHERE n.nspname !~ '^pg_'",
            &[]
        ),
        session.query("SELECT extname::text FROM pg_catalog.pg_extension", &[]),
    )?;
    Ok(Inside {
        schemas: schemas.iter().map(|row| (row.get(0), row.get(1))).collect(),
        extensions: extensions.iter().map(|row| row.get(0)).collect(),
    })
}
