//! The servers that a cluster declares.

use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt as _};
use tenantdb_api::{DatabaseServer, ObjectName, database_server};
use tenantdb_core::{Failure, FailureKind};

use crate::error::{refused, unlisted};
use crate::object::{api_resource, declared};

/// All of them, by their names; one whose declaration can't be used says why.
///
/// # Errors
/// When they can't be listed.
pub async fn servers(client: &Client) -> Result<Vec<Result<DatabaseServer, Failure>>, Failure> {
    let listed = api(client).list(&ListParams::default()).await;
    let listed = listed.map_err(|error| unlisted(database_server::RESOURCE.kind, &error))?;
    Ok(listed.items.iter().map(read).collect())
}

/// The one of a name, if it is there.
///
/// # Errors
/// When it can't be read, or its declaration can't be used.
pub async fn server(client: &Client, name: &ObjectName) -> Result<Option<DatabaseServer>, Failure> {
    let found = api(client).get_opt(name.as_str()).await;
    let found = found.map_err(|error| refused(&format!("read DatabaseServer {name}"), &error))?;
    found.as_ref().map(read).transpose()
}

fn api(client: &Client) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &api_resource(&database_server::RESOURCE))
}

fn read(object: &DynamicObject) -> Result<DatabaseServer, Failure> {
    declared::<DatabaseServer>(object).map(|declared| declared.resource).map_err(|faults| {
        let message = format!("DatabaseServer {}: {}", object.name_any(), faults.to_string().trim_end());
        Failure::new(FailureKind::Rejected, message).hint("put its declaration right in the cluster")
    })
}
