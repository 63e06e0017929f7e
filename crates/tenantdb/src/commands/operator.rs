//! `tenantdb operator`.

use tenantdb_core::{Authority, Interrupt};
use tenantdb_operator::Options;

use crate::arguments::OperatorArguments;
use crate::error::{Error, Exit};

/// Works until it is asked to stop.
pub async fn run(arguments: &OperatorArguments, interrupt: Interrupt) -> Result<Exit, Error> {
    let authority = Authority::cluster(&arguments.cluster_id)
        .map_err(|error| Error::input(error.to_string(), "such as --cluster-id staging"))?;
    let client = tenantdb_kubernetes::client(arguments.context.as_deref()).await?;
    let namespace = arguments.namespace.as_ref().map(ToString::to_string);
    let options = Options { authority, namespace, lease_duration: arguments.lease_duration, listen: arguments.listen };
    tenantdb_operator::run(client, options, interrupt).await?;
    Ok(Exit::Done)
}
