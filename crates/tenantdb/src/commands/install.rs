//! `tenantdb install`.

use serde_json::{Value, json};
use tenantdb_core::Authority;

use super::print;
use crate::arguments::InstallArguments;
use crate::error::{Error, Exit};

/// What helm makes of deploy/charts/tenantdb; a test compares them.
const CHART: &str = include_str!("install/chart.yaml");

/// Prints what a cluster needs for the operator to run in it.
pub fn run(arguments: &InstallArguments) -> Result<Exit, Error> {
    Authority::cluster(&arguments.cluster_id)
        .map_err(|error| Error::input(error.to_string(), "such as --cluster-id staging"))?;
    let failed = |error: serde_saphyr::Error| Error::failed(error.to_string());
    let mut objects = vec![namespace(arguments)];
    objects.extend(tenantdb_api::custom_resource_definitions());
    let rendered: Vec<Value> = serde_saphyr::from_multiple(CHART).map_err(failed)?;
    objects.extend(rendered.into_iter().map(|object| filled(object, arguments)));
    let text = serde_saphyr::to_string_multiple(&objects).map_err(|error| Error::failed(error.to_string()))?;
    print(text.as_bytes())
}

/// The one thing that helm makes itself.
fn namespace(arguments: &InstallArguments) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": arguments.namespace},
    })
}

/// An object of the chart, as the command line says.
fn filled(mut object: Value, arguments: &InstallArguments) -> Value {
    let namespace = json!(arguments.namespace);
    if let Some(place) = object.pointer_mut("/metadata/namespace") {
        *place = namespace.clone();
    }
    for subject in object.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        subject["namespace"] = namespace.clone();
    }
    if object["kind"] == "Deployment" {
        object["spec"]["replicas"] = json!(arguments.replicas);
        let operator = &mut object["spec"]["template"]["spec"]["containers"][0];
        if let Some(image) = &arguments.image {
            operator["image"] = json!(image);
        }
        set(&mut operator["args"], "--cluster-id", json!(arguments.cluster_id));
        set(&mut operator["args"], "--namespace", namespace);
    }
    object
}

/// Gives an option of a command another value.
fn set(arguments: &mut Value, option: &str, value: Value) {
    let arguments = arguments.as_array_mut().into_iter().flatten();
    if let Some(place) = arguments.skip_while(|argument| *argument != option).nth(1) {
        *place = value;
    }
}
