use crate::kinds::Violation;
use crate::tenant_database::SettingValue;
use crate::{Diagnostics, Source, Tenant, TenantDatabase, custom_resource, parse};
use serde_json::json;

fn text(spec: &str) -> String {
    format!("apiVersion: tenantdb.dev/v1alpha1\nkind: TenantDatabase\nmetadata: {{name: x}}\nspec: {{{spec}}}\n")
}

/// All messages about a database.
fn messages(text: String) -> Vec<String> {
    Diagnostics::messages(parse(&[Source { name: "a.yaml".to_owned(), text }]))
}

/// What is said about a spec.
fn said(spec: &str) -> Vec<String> {
    messages(text(spec))
}

/// What is said about the spec of a custom resource.
fn said_in_cluster(spec: &serde_json::Value) -> Vec<String> {
    Diagnostics::messages(custom_resource::<TenantDatabase>(json!({"metadata": {"name": "x"}, "spec": spec})))
}

#[test]
fn every_field_that_comes_later_is_refused_at_its_own_path() {
    for (path, spec) in [
        ("spec.contact", "contact: {team: payments}"),
        ("spec.sizeLimit", "sizeLimit: 10Gi"),
        ("spec.settings.search_path", "settings: {search_path: a}"),
        ("spec.credentials.passwordFrom", "credentials: {passwordFrom: {secret: {name: a, key: b}}}"),
        ("spec.credentials.rotation.every", "credentials: {rotation: {every: 30d}}"),
        ("spec.credentials.rotation.grace", "credentials: {rotation: {grace: 24h}}"),
        ("spec.credentials.restart", "credentials: {restart: [{kind: Deployment, name: a}]}"),
        ("spec.credentials.deliver", "credentials: {deliver: [{store: a}]}"),
    ] {
        assert_eq!(said(spec), [Violation::not_supported_yet(path).message], "{spec}");
    }
}

#[test]
fn a_key_that_holds_the_login_is_not_overwritten() {
    for key in ["username", "password", "password_next", "DB_USER", "DB_PASSWORD"] {
        let said = said(&format!("credentials: {{keys: {{{key}: 'x{{uri}}'}}}}"));
        assert_eq!(said, [format!("`{key}` always holds the login as it is")]);
    }
}

#[test]
fn a_secret_that_is_there_is_named_with_who_has_it() {
    let in_files = said("credentials: {secretName: a, secretPolicy: Merge}");
    assert_eq!(in_files, ["`secretPolicy: Merge` is the operator's: credentials go into files here"]);
    let said = |credentials: serde_json::Value| said_in_cluster(&json!({"credentials": credentials}));
    assert!(said(json!({"secretPolicy": "Merge", "secretName": "a", "formats": ["env"]})).is_empty());
    assert!(said(json!({"secretPolicy": "TakeOver", "secretName": "a", "takeOverFrom": "helm"})).is_empty());
    for (credentials, message) in [
        (
            json!({"secretPolicy": "Merge"}),
            "`secretPolicy: Merge` is about a Secret that is there: `secretName` is missing",
        ),
        (
            json!({"secretPolicy": "TakeOver", "secretName": "a"}),
            "`secretPolicy: TakeOver` takes a Secret from a field manager: `takeOverFrom` is missing",
        ),
        (
            json!({"secretPolicy": "TakeOver", "secretName": "a", "takeOverFrom": ""}),
            "spec.credentials.takeOverFrom must have 1 to 128 bytes",
        ),
        (
            json!({"secretPolicy": "Merge", "secretName": "a", "takeOverFrom": "helm"}),
            "spec.credentials.takeOverFrom is only for `secretPolicy: TakeOver`",
        ),
        (
            json!({"secretPolicy": "Merge", "secretName": "a", "secretType": "Opaque"}),
            "`secretPolicy: Merge` leaves the type of the Secret as it is",
        ),
    ] {
        assert_eq!(said(credentials), [message]);
    }
}

#[test]
fn a_type_of_secret_that_promises_a_login_needs_a_format_that_has_one() {
    let wrong = said("credentials: {secretType: kubernetes.io/basic-auth, formats: [env]}");
    assert_eq!(wrong, ["this type of Secret promises `username` and `password`, which `formats: [env]` has not"]);
    assert!(said("credentials: {secretType: kubernetes.io/basic-auth, formats: [env, default]}").is_empty());
}

#[test]
fn what_is_supported_is_accepted() {
    for spec in [
        "",
        "contact: {}, reconcile: Full, adopt: Never, memberOf: [], init: [], access: []",
        "server: a, database: my app, owner: ö, comment: \"two\\nlines\", deletionProtection: false",
        "dbDeletionPolicy: Delete, roleDeletionPolicy: Delete, connectionLimit: 50",
        "extensions: [pg_trgm, {name: vector}], schemas: [app, PG_x], settings: {a.b: 1, c: -2, d: 1.5, e: true, f: g}",
        "credentials: {mode: Password, secretName: a, secretType: Opaque, secretPolicy: Create, formats: [default, env, cnpg, crossplane, servicebinding]}",
        "credentials: {keys: {URL: '{uri}', a.b-c_D: 'x{{{host}:{port}}}'}, rotation: {strategy: Alternate}, deliver: []}",
        "credentials: {mode: None, keys: {URL: '{uri}'}}",
        "credentials: {rotation: {strategy: InPlace}}, init: [{file: seed.sql}, {file: more/seed.sql}]",
    ] {
        assert_eq!(said(spec), [""; 0], "{spec}");
    }
}

#[test]
fn a_script_is_one_file_once_and_has_a_login_to_run_as() {
    for (spec, message) in [
        ("init: [{}]", "spec.init[0] must have exactly one of file and configMap"),
        ("init: [{file: a, configMap: {name: a, key: b}}]", "spec.init[0] must have exactly one of file and configMap"),
        ("init: [{file: ''}]", "spec.init[0].file is empty"),
        (
            "init: [{file: a}, {configMap: {name: a, key: b}}]",
            "spec.init[1].configMap is the operator's, which can read it",
        ),
        ("init: [{file: a}, {file: a}]", "the script `a` is listed twice"),
        (
            "init: [{file: a}], credentials: {mode: None}",
            "scripts run logged in as the tenant, and `credentials.mode: None` has no password",
        ),
        ("memberOf: [none]", "`none` is not the name of a role"),
        ("extensions: [{name: a, version: ''}]", "spec.extensions[0].version is no version"),
        ("extensions: [{name: a, schema: pg_catalog}]", "the schema name `pg_catalog` is PostgreSQL's own"),
    ] {
        assert_eq!(said(spec), [message], "{spec}");
    }
}

#[test]
fn a_custom_resource_has_its_scripts_in_maps_of_its_namespace() {
    let said = |init: serde_json::Value| said_in_cluster(&json!({"init": init}));
    let map = |name: &str, key: &str| json!({"configMap": {"name": name, "key": key}});
    assert_eq!(said(json!([map("a", "b"), map("a", "c"), map("c", "b")])), [""; 0]);
    assert_eq!(said(json!([map("a", "b"), map("a", "b")])), ["the script `a/b` is listed twice"]);
    assert_eq!(said(json!([map("a", "")])), ["spec.init[0].configMap.key is empty"]);
    let file = "spec.init[0].file is the command line's: a custom resource has no files beside it";
    assert_eq!(said(json!([{"file": "seed.sql"}])), [file]);
}

#[test]
fn bare_setting_values_become_text() {
    let source = Source {
        name: "a.yaml".to_owned(),
        text: text("settings: {a: 1, b: -2, c: 1.50, d: true, e: false, f: off, g: 4MB, h: ''}"),
    };
    let Tenant::Database(tenant) = parse(&[source]).unwrap().tenants.remove(0).resource else { panic!() };
    let values: Vec<&str> = tenant.spec.settings.values().map(SettingValue::as_str).collect();
    assert_eq!(values, ["1", "-2", "1.5", "on", "off", "off", "4MB", ""]);
}

#[test]
fn settings_that_are_not_the_tenants_are_refused() {
    for name in [
        "role",
        "session_authorization",
        "client_min_messages",
        "session_preload_libraries",
        "local_preload_libraries",
        "shared_preload_libraries",
    ] {
        assert_eq!(said(&format!("settings: {{{name}: a}}")), [format!("spec.settings.{name} can't be set")]);
    }
    for value in ["a\\0", "a\\nb", "a\\r"] {
        assert_eq!(
            said(&format!("settings: {{x.y: \"{value}\"}}")),
            ["spec.settings.x.y can't hold a line break or a NUL character"]
        );
    }
    assert_eq!(
        said("settings: {work_mem: .inf}"),
        ["spec.settings.work_mem must be a finite number, not the number `.inf`"]
    );
}

#[test]
fn nothing_is_listed_twice() {
    assert_eq!(said("extensions: [a, b, {name: a}]"), ["the extension `a` is listed twice"]);
    assert_eq!(said("schemas: [a, A, a]"), ["the schema `a` is listed twice"]);
}

#[test]
fn schemas_of_postgresql_are_not_the_tenants() {
    assert_eq!(said("schemas: [public]"), ["the schema `public` is always there"]);
    for schema in ["pg_catalog", "pg_x", "information_schema"] {
        assert_eq!(said(&format!("schemas: [{schema}]")), [format!("the schema name `{schema}` is PostgreSQL's own")]);
    }
}

#[test]
fn keys_are_keys_of_a_secret_made_of_the_credential() {
    let keys = |key: &str, template: &str| said(&format!("credentials: {{keys: {{{key}: '{template}'}}}}"));
    let long = "k".repeat(254);
    for key in ["a b", "ä", "a/b", "''", long.as_str()] {
        let name = if key == "''" { "" } else { key };
        assert_eq!(keys(key, "{uri}"), [format!("`{name}` can't be the key of a Secret")]);
    }
    let path = "spec.credentials.keys.A";
    assert_eq!(keys("A", "text"), [format!("{path} has no placeholder, so it is no credential")]);
    assert_eq!(keys("A", "{{uri}}"), [format!("{path} has no placeholder, so it is no credential")]);
    assert_eq!(keys("A", "{url}"), [format!("{path}: unknown placeholder `{{url}}`")]);
    assert_eq!(keys("A", "{uri"), [format!("{path}: a `{{` has no partner")]);
}

#[test]
fn a_comment_has_no_nul() {
    assert_eq!(said("comment: \"a\\0\""), ["spec.comment can't hold a NUL character"]);
}

#[test]
fn a_name_leaves_room_for_the_secrets() {
    let long = text("").replace("name: x", &format!("name: {}", "x".repeat(247)));
    assert_eq!(messages(long.clone()), ["metadata.name is too long for the Secret's name, `<name>-secret`"]);
    assert_eq!(messages(long.replace("spec: {}", "spec: {credentials: {secretName: a}}")), [""; 0]);
    assert_eq!(messages(text("").replace("name: x", &format!("name: {}", "x".repeat(246)))), [""; 0]);
}

#[test]
fn an_extension_is_a_name_or_a_mapping_with_one() {
    let form = "the name of an extension, or a mapping with its name";
    assert_eq!(
        said("extensions: [5, [a], {version: '1'}, {name: a, nam: b}, '', ~]"),
        [
            format!("spec.extensions[0] must be {form}, not the number `5`"),
            format!("spec.extensions[1] must be {form}, not a list"),
            "spec.extensions[2].name is missing".to_owned(),
            "unknown field `spec.extensions[3].nam`".to_owned(),
            "spec.extensions[4]: a name can't be empty".to_owned(),
            format!("spec.extensions[5] must be {form}, not empty"),
        ]
    );
}

#[test]
fn an_access_says_whose_it_is_and_derives_names_of_its_own() {
    let fine = "access: [{name: reporting, level: ReadOnly, schemas: [public, app]}, \
                {role: monitoring/grafana, level: ReadWrite}, {role: home/grafanareader, level: ReadOnly}]";
    assert_eq!(said(fine), Vec::<String>::new());
    for (access, message) in [
        ("{level: ReadOnly}", "it says not whose access it is"),
        ("{name: x, role: m/y, level: ReadOnly}", "either `name` or `role`, not both"),
        ("{name: ro, level: ReadOnly}", "`ro` is reserved: its role's name would be the tenant's own"),
        ("{name: x, level: ReadOnly, schemas: [pg_catalog]}", "the schema `pg_catalog` is PostgreSQL's own"),
        ("{name: x, level: ReadOnly, schemas: [app, app]}", "the schema `app` is listed twice"),
        ("{role: grafana, level: ReadOnly}", "spec.access[0].role: `grafana` is not `namespace/name`"),
        (
            "{name: x, level: ReadOnly}, {name: x, level: ReadWrite}",
            "another one is called `x`, and both derive the same role's name",
        ),
        (
            "{name: x, level: ReadOnly}, {role: m/x, level: ReadWrite}",
            "another one is called `x`, and both derive the same role's name",
        ),
        ("{role: m/x, level: ReadOnly}, {role: m/x, level: ReadWrite}", "`m/x` is listed twice"),
    ] {
        assert_eq!(said(&format!("access: [{access}]")), [message]);
    }
}
