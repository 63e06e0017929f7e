//! From which version of an extension a server knows the way to another.

use std::collections::BTreeSet;

use tenantdb_core::Failure;

use crate::connect::Session;

/// A way from one version of an extension to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Upgrade {
    pub(crate) extension: String,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// The ways to these versions of extensions that the server has.
pub(crate) async fn read(session: &Session, wanted: BTreeSet<(String, String)>) -> Result<BTreeSet<Upgrade>, Failure> {
    if wanted.is_empty() {
        return Ok(BTreeSet::new());
    }
    let (extensions, versions): (Vec<String>, Vec<String>) = wanted.into_iter().unzip();
    let rows = session
        .query(
            "SELECT w.name, p.source, p.target FROM ROWS FROM (pg_catalog.unnest($1::text[]), \
             pg_catalog.unnest($2::text[])) AS w(name, version), \
             LATERAL pg_catalog.pg_extension_update_paths(w.name::name) p \
             WHERE p.target = w.version AND p.path IS NOT NULL",
            &[&extensions, &versions],
        )
        .await?;
    let upgrades = rows.iter().map(|row| Upgrade { extension: row.get(0), from: row.get(1), to: row.get(2) });
    Ok(upgrades.collect())
}
