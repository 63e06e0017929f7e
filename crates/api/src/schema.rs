//! The shape of a manifest, for editors.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use crate::{API_VERSION, DatabaseServer, TenantDatabase, TenantRole};

/// A JSON Schema (draft 7, which editors know best) of one document of a manifest, from the types that read it. What
/// must agree between fields is not in it.
#[must_use]
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let kinds = [
        ("DatabaseServer", object::<DatabaseServer>(&mut generator, "DatabaseServer")),
        ("TenantDatabase", object::<TenantDatabase>(&mut generator, "TenantDatabase")),
        ("TenantRole", object::<TenantRole>(&mut generator, "TenantRole")),
    ];
    let names: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
    let rules: Vec<Value> = kinds
        .iter()
        .map(|(name, schema)| json!({"if": {"properties": {"kind": {"const": name}}}, "then": schema}))
        .collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": format!("{API_VERSION}: {}", names.join(" or ")),
        "type": "object",
        "required": ["apiVersion", "kind", "metadata"],
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"enum": names},
        },
        "allOf": rules,
        "definitions": generator.take_definitions(true),
    })
}

/// A kind as it stands in a manifest, with what tells it from the others.
fn object<T: JsonSchema>(generator: &mut SchemaGenerator, kind: &str) -> Value {
    let mut schema = T::json_schema(generator).to_value();
    schema["properties"]["apiVersion"] = json!({"const": API_VERSION});
    schema["properties"]["kind"] = json!({"const": kind});
    schema
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
