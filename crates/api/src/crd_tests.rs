use serde_json::Value;

use super::custom_resource_definitions;

fn schemas() -> Vec<(String, Value)> {
    let schema = |definition: &Value| {
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap().to_owned();
        (kind, definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone())
    };
    custom_resource_definitions().iter().map(schema).collect()
}

/// Calls `look` with each schema in a schema, and where it is.
fn walk(path: &str, schema: &Value, look: &mut impl FnMut(&str, &Value)) {
    look(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, look);
    }
    for (inner, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[inner].is_object() {
            walk(&format!("{path}{mark}"), &schema[inner], look);
        }
    }
}

#[test]
fn every_field_has_a_type_or_takes_anything_and_is_described() {
    for (kind, schema) in schemas() {
        walk(&kind, &schema, &mut |path, schema| {
            let takes_anything = schema["x-kubernetes-preserve-unknown-fields"] == true;
            assert_eq!(schema["type"].is_string(), !takes_anything, "{path}: {schema}");
            for unknown in ["$ref", "oneOf", "anyOf", "allOf", "const", "patternProperties", "definitions"] {
                assert_eq!(schema[unknown], Value::Null, "{path}: {schema}");
            }
            let is_field = path.contains('.') && !path.ends_with("[]") && !path.ends_with("{}");
            let is_kubernetes_own =
                ["apiVersion", "kind", "metadata"].iter().any(|own| path == format!("{kind}.{own}"));
            assert!(!is_field || is_kubernetes_own || schema["description"].is_string(), "{path}: {schema}");
        });
    }
}

#[test]
fn every_rule_is_about_a_field_that_is_there() {
    let mut rules = 0;
    for (kind, schema) in schemas() {
        walk(&kind, &schema, &mut |path, schema| {
            let found = schema["x-kubernetes-validations"].as_array().map_or(0, Vec::len);
            assert!(found == 0 || schema["type"] == "object", "{path}: {schema}");
            rules += found;
        });
    }
    let all = [crate::database_server::RESOURCE, crate::tenant_database::RESOURCE, crate::tenant_role::RESOURCE];
    assert_eq!(rules, all.iter().flat_map(|resource| resource.rules.iter().copied().flatten()).count());
}

#[test]
fn what_a_manifest_leaves_out_has_the_same_value_in_a_cluster() {
    let schemas = schemas();
    let spec = &schemas.iter().find(|(kind, _)| kind == "TenantDatabase").unwrap().1["properties"]["spec"];
    let by_field = spec["properties"].as_object().unwrap().iter();
    let defaults: serde_json::Map<_, _> =
        by_field.filter_map(|(field, schema)| Some((field.clone(), schema.get("default")?.clone()))).collect();
    let from_cluster: crate::tenant_database::TenantDatabaseSpec = serde_json::from_value(defaults.into()).unwrap();
    assert_eq!(from_cluster, crate::tenant_database::TenantDatabaseSpec::default());
    assert_eq!(from_cluster.deletion_protection, crate::tenant_database::DeletionProtection::On);
}
