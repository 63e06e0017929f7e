//! Which values of settings a server takes.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use tenantdb_core::{Failure, FailureKind};

use crate::connect::Session;

/// A setting and its value.
pub(crate) type Setting = (String, String);

/// What can be set before it exists, or exists in another database only.
const OF_A_DATABASE: [&str; 4] =
    ["default_table_access_method", "default_tablespace", "default_text_search_config", "temp_tablespaces"];

/// Those of these settings that the server refuses, and why. Each is made for the length of a transaction that does
/// nothing else.
pub(crate) async fn read_refused(
    session: &Session,
    settings: BTreeSet<Setting>,
) -> Result<BTreeMap<Setting, Failure>, Failure> {
    let settings: Vec<Setting> =
        settings.into_iter().filter(|(name, _)| !OF_A_DATABASE.contains(&name.as_str())).collect();
    let tries = settings
        .iter()
        .map(async |(name, value)| session.query("SELECT pg_catalog.set_config($1, $2, true)", &[name, value]).await);
    let tries = join_all(tries).await;
    let mut refused = BTreeMap::new();
    for (setting, tried) in settings.into_iter().zip(tries) {
        match tried {
            // Invalid parameter value: any other refusal is about who sets it.
            Err(failure) if failure.has_code("22023") => drop(refused.insert(setting, failure)),
            Err(failure) if failure.kind == FailureKind::Unreachable => return Err(failure),
            _ => {}
        }
    }
    Ok(refused)
}
