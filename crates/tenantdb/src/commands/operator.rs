//! `tenantdb operator`.

use tenantdb_core::{Authority, Interrupt};

use crate::arguments::OperatorArguments;
use crate::error::{Error, Exit};

/// Works until it is asked to stop.
pub async fn run(arguments: &OperatorArguments, interrupt: Interrupt) -> Result<Exit, Error> {
    let authority = Authority::cluster(&arguments.cluster_id)
        .map_err(|error| Error::input(error.to_string(), "such as --cluster-id staging"))?;
    let client = tenantdb_operator::client(arguments.context.as_deref()).await?;
    tenantdb_operator::run(client, authority, interrupt).await;
    Ok(Exit::Done)
}
