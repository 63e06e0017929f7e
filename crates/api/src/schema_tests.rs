use serde_json::json;

use super::schema;
use crate::{Source, parse};

fn accepts(manifest: &serde_json::Value) -> bool {
    jsonschema::draft7::new(&schema()).unwrap().is_valid(manifest)
}

fn is_read(manifest: &serde_json::Value) -> bool {
    parse(&[Source { name: "test.json".to_owned(), text: manifest.to_string() }]).is_ok()
}

#[test]
fn what_the_schema_says_of_a_manifest_is_what_reading_it_says() {
    let server = |spec| json!({"apiVersion": crate::API_VERSION, "kind": "DatabaseServer", "metadata": {"name": "dev"}, "spec": spec});
    let tenant = |spec| json!({"apiVersion": crate::API_VERSION, "kind": "TenantDatabase", "metadata": {"name": "cafe"}, "spec": spec});
    let full = json!({
        "server": "dev", "database": "Größe", "connectionLimit": 20, "deletionProtection": false,
        "dbDeletionPolicy": "Delete", "extensions": ["pg_trgm"], "schemas": ["app"],
        "settings": {"work_mem": "8MB", "jit": false, "random_page_cost": 1.5}, "credentials": {"formats": ["env"]},
    });
    for (manifest, good) in [
        (tenant(json!({})), true),
        (tenant(json!(null)), true),
        (tenant(full), true),
        (server(json!({"source": {"local": {}}, "default": true})), true),
        (
            server(
                json!({"source": {"endpoint": {"host": "db"}}, "admin": {"username": "a", "passwordFrom": [{"env": "P"}]}}),
            ),
            true,
        ),
        (server(json!({})), false),
        (tenant(json!({"conectionLimit": 20})), false),
        (tenant(json!({"connectionLimit": 0})), false),
        (tenant(json!({"dbDeletionPolicy": "delete"})), false),
        (tenant(json!({"server": "Not A Name"})), false),
        (tenant(json!({"settings": {"Work Mem": 1}})), false),
        (json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}), false),
        (json!({"apiVersion": crate::API_VERSION, "kind": "TenantDatabase"}), false),
    ] {
        assert_eq!((accepts(&manifest), is_read(&manifest)), (good, good), "{manifest}");
    }
}
