//! `tenantdb crds`.

use super::print;
use crate::error::{Error, Exit};

/// Prints the definitions that a cluster needs before it takes our kinds.
pub fn run() -> Result<Exit, Error> {
    let definitions = tenantdb_api::custom_resource_definitions();
    let text = serde_saphyr::to_string_multiple(&definitions).map_err(|error| Error::failed(error.to_string()))?;
    print(text.as_bytes())
}
