//! Custom resource definitions: the kinds as a Kubernetes API server knows them, from the types that read manifests.

mod structural;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::kinds::resource::{Column, Resource, Rule, Scope};
use crate::kinds::status::{DatabaseServerStatus, TenantDatabaseStatus, TenantRoleStatus};
use crate::kinds::{database_server, tenant_database, tenant_role};
use crate::{GROUP, VERSION};
use structural::structural;

/// The `CustomResourceDefinition` of every kind. What reads a manifest and what the API server accepts is the same, but
/// for what only the other objects, or the server, can tell.
#[must_use]
pub fn custom_resource_definitions() -> Vec<Value> {
    vec![
        definition::<database_server::DatabaseServerSpec, DatabaseServerStatus>(&database_server::RESOURCE),
        definition::<tenant_database::TenantDatabaseSpec, TenantDatabaseStatus>(&tenant_database::RESOURCE),
        definition::<tenant_role::TenantRoleSpec, TenantRoleStatus>(&tenant_role::RESOURCE),
    ]
}

fn definition<Spec: JsonSchema, Status: JsonSchema>(resource: &Resource) -> Value {
    let Resource { kind, plural, short_names, scope, description, columns, rules } = resource;
    let mut spec = schema::<Spec>();
    let (scope, required) = match scope {
        Scope::Cluster => ("Cluster", json!(["spec"])),
        Scope::Namespaced => {
            spec["default"] = json!({});
            ("Namespaced", json!([]))
        }
    };
    let mut whole = json!({
        "type": "object",
        "description": description,
        "required": required,
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": schema::<Status>(),
        },
    });
    for rule in rules.iter().copied().flatten() {
        add_rule(&mut whole, rule);
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {
                "kind": kind,
                "listKind": format!("{kind}List"),
                "plural": plural,
                "singular": kind.to_lowercase(),
                "shortNames": short_names,
                "categories": ["tenantdb"],
            },
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns.iter().map(column).collect::<Vec<_>>(),
                "schema": {"openAPIV3Schema": whole},
            }],
        },
    })
}

fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    structural(settings.into_generator().into_root_schema_for::<T>().to_value())
}

fn column(column: &Column) -> Value {
    let Column { name, kind, path, is_wide } = column;
    json!({"name": name, "type": kind, "jsonPath": path, "priority": i32::from(*is_wide)})
}

/// Lays a rule over the part of a schema that it is about.
fn add_rule(whole: &mut Value, rule: &Rule) {
    let fields = rule.path.split('.').filter(|part| !part.is_empty());
    let field = fields.fold(whole, |node, part| match part.strip_suffix("[]") {
        Some(list) => &mut node["properties"][list]["items"],
        None => &mut node["properties"][part],
    });
    let added = json!({"rule": rule.expression, "message": rule.message});
    match &mut field["x-kubernetes-validations"] {
        Value::Array(all) => all.push(added),
        none => *none = json!([added]),
    }
}

#[cfg(test)]
#[path = "crd_tests.rs"]
mod tests;
