use serde::de::IntoDeserializer;
use serde::de::value::Error as ValueError;
use tenantdb_api::tenant_database::Adopt;
use tenantdb_api::{DatabaseServer, Source, parse};

use super::*;

fn server(allow: &str) -> DatabaseServer {
    let text = format!(
        "apiVersion: tenantdb.dev/v1alpha1\nkind: DatabaseServer\nmetadata: {{name: shared}}\n\
         spec: {{source: {{local: {{}}}}, naming: {{database: \"{{namespace}}_{{name}}\"}}, allow: {allow}}}\n"
    );
    let manifests = parse(&[Source { name: "server.yaml".to_owned(), text }]).unwrap();
    manifests.servers.into_iter().next().unwrap().resource
}

fn tenant(spec: &str) -> Tenant {
    let text = format!(
        "apiVersion: tenantdb.dev/v1alpha1\nkind: TenantDatabase\nmetadata: {{name: cafe, namespace: shop}}\nspec: {spec}\n"
    );
    let manifests = parse(&[Source { name: "cafe.yaml".to_owned(), text }]).unwrap();
    manifests.tenants.into_iter().next().unwrap().resource
}

/// A server that trusts `pg_trgm` and has `dblink`, too.
fn trusted(extension: &str, _: Option<&str>) -> Option<bool> {
    (extension != "unknown").then(|| extension != "dblink")
}

const NEW: Known = Known { protected: None, others: 0, trusted: &trusted, cluster: None };

fn paths(allow: &str, tenant: &Tenant, known: &Known) -> Vec<String> {
    violations(&server(allow), tenant, known).into_iter().map(|violation| violation.path).collect()
}

/// What is refused of a new database.
fn refused(allow: &str, spec: &str) -> Vec<String> {
    paths(allow, &tenant(spec), &NEW)
}

#[test]
fn each_key_limits_its_field_and_has_its_default() {
    // An allow that refuses, one that does not, what is asked for, and where it is refused.
    let cases = [
        ("{namespaces: {names: [erp]}}", "{namespaces: {names: [erp, shop]}}", "{}", "metadata.namespace"),
        ("{}", "{names: \"{namespace}-*\"}", "{database: shop-x}", "spec.database"),
        ("{names: \"{namespace}-*\"}", "{names: \"*\"}", "{owner: erp-x}", "spec.owner"),
        ("{adopt: Never}", "{}", "{}", "spec.adopt"),
        ("{}", "{memberOf: [readers]}", "{memberOf: [readers]}", "spec.memberOf[0]"),
        ("{}", "{templates: [seed]}", "{create: {template: seed}}", "spec.create.template"),
        ("{templates: []}", "{}", "{create: {template: template0}}", "spec.create.template"),
        ("{}", "{extensions: [dblink, pg_trgm]}", "{extensions: [pg_trgm, dblink]}", "spec.extensions[1]"),
        ("{extensions: Trusted}", "{extensions: [dblink]}", "{extensions: [dblink]}", "spec.extensions[0]"),
        ("{extensions: [hstore]}", "{}", "{extensions: [pg_trgm]}", "spec.extensions[0]"),
        ("{}", "{settings: [timezone]}", "{settings: {timezone: UTC}}", "spec.settings.timezone"),
        ("{settings: []}", "{}", "{settings: {work_mem: 8MB}}", "spec.settings.work_mem"),
        ("{secretPolicies: [Merge]}", "{}", "{}", "spec.credentials.secretPolicy"),
        ("{}", "{init: true}", "{init: [{file: seed.sql}]}", "spec.init"),
        ("{}", "{unprotected: true}", "{deletionProtection: false}", "spec.deletionProtection"),
        ("{connectionLimit: 5}", "{connectionLimit: 9}", "{connectionLimit: 9}", "spec.connectionLimit"),
        ("{connectionLimit: 5}", "{}", "{}", "spec.connectionLimit"),
        ("{perNamespace: 0}", "{perNamespace: 1}", "{}", "metadata.namespace"),
    ];
    for (refuses, allows, spec, path) in cases {
        assert_eq!(refused(refuses, spec), [path], "{refuses} {spec}");
        assert_eq!(refused(allows, spec), [""; 0], "{allows} {spec}");
    }
    let settings = SETTINGS.map(|name| format!("{name}: 1")).join(", ");
    assert_eq!(refused("{}", &format!("{{settings: {{{settings}}}, extensions: [unknown]}}")), [""; 0]);
}

/// What is refused of a new role without a database.
fn refused_of_role(allow: &str, spec: &str) -> Vec<String> {
    let text = format!(
        "apiVersion: tenantdb.dev/v1alpha1\nkind: TenantRole\nmetadata: {{name: grafana, namespace: shop}}\nspec: {spec}\n"
    );
    let manifests = parse(&[Source { name: "role.yaml".to_owned(), text }]).unwrap();
    let role = manifests.tenants.into_iter().next().unwrap().resource;
    violations(&server(allow), &role, &NEW).into_iter().map(|violation| violation.path).collect()
}

#[test]
fn a_role_without_a_database_is_limited_by_the_same_keys() {
    let cases = [
        ("{namespaces: {names: [erp]}}", "{namespaces: {names: [erp, shop]}}", "{}", "metadata.namespace"),
        ("{}", "{names: \"{namespace}-*\"}", "{role: shop-x}", "spec.role"),
        ("{}", "{memberOf: [pg_monitor]}", "{memberOf: [pg_monitor]}", "spec.memberOf[0]"),
        ("{}", "{settings: [timezone]}", "{settings: {timezone: UTC}}", "spec.settings.timezone"),
        ("{secretPolicies: [Merge]}", "{}", "{}", "spec.credentials.secretPolicy"),
        ("{}", "{unprotected: true}", "{deletionProtection: false}", "spec.deletionProtection"),
        ("{connectionLimit: 5}", "{connectionLimit: 9}", "{connectionLimit: 9}", "spec.connectionLimit"),
    ];
    for (refuses, allows, spec, path) in cases {
        assert_eq!(refused_of_role(refuses, spec), [path], "{refuses} {spec}");
        assert_eq!(refused_of_role(allows, spec), [""; 0], "{allows} {spec}");
    }
    assert_eq!(refused_of_role("{perNamespace: 0}", "{role: grafana}"), [""; 0]);
}

#[test]
fn what_the_declaration_can_not_ask_for_yet_is_limited_as_well() {
    let Tenant::Database(mut asking) = tenant("{}") else { panic!() };
    let spec = &mut asking.spec;
    spec.adopt = Adopt::Existing;
    spec.credentials.secret_policy = SecretPolicy::TakeOver;
    let workload = tenant_workload();
    spec.credentials.restart = vec![workload];
    let secret = |fields: &[(&'static str, &'static str)]| {
        value(BTreeMap::from([("secret", fields.iter().copied().collect::<BTreeMap<_, _>>())]))
    };
    spec.credentials.deliver = vec![
        value(BTreeMap::from([("store", "vault")])),
        secret(&[("name", "a"), ("namespace", "erp")]),
        secret(&[("name", "a"), ("namespace", "shop")]),
        secret(&[("name", "a")]),
    ];
    let expected = [
        "spec.adopt",
        "spec.credentials.secretPolicy",
        "spec.credentials.deliver[0].store",
        "spec.credentials.deliver[1].secret.namespace",
        "spec.credentials.restart",
    ];
    let asking = Tenant::Database(asking);
    assert_eq!(paths("{}", &asking, &NEW), expected);
    let all =
        "{adopt: Existing, secretPolicies: [TakeOver], restart: true, deliver: {stores: [vault], namespaces: [erp]}}";
    assert_eq!(paths(all, &asking, &NEW), [""; 0]);
}

#[test]
fn a_secret_of_others_needs_a_cluster_that_asks_who_may_write_it() {
    let Tenant::Database(mut asking) = tenant("{}") else { panic!() };
    asking.spec.credentials.secret_policy = SecretPolicy::Merge;
    let asking = Tenant::Database(asking);
    let namespaces = Namespaces::new();
    let said = |guards_secrets| {
        let cluster = Some(Cluster { namespaces: &namespaces, guards_protection: false, guards_secrets });
        paths("{secretPolicies: [Create, Merge]}", &asking, &Known { cluster, ..NEW })
    };
    assert_eq!(said(false), ["spec.credentials.secretPolicy"]);
    assert_eq!(said(true), [""; 0]);
}

/// A value as a manifest would have it.
fn value<'a, T: serde::Deserialize<'a>>(fields: impl IntoDeserializer<'a, ValueError>) -> T {
    T::deserialize(fields.into_deserializer()).unwrap()
}

fn tenant_workload() -> tenantdb_api::tenant_database::Workload {
    tenantdb_api::tenant_database::Workload { kind: "Deployment".to_owned(), name: "a".parse().unwrap() }
}

#[test]
fn names_that_naming_gives_are_always_allowed() {
    assert_eq!(refused("{}", "{database: shop_cafe, owner: shop_cafe}"), [""; 0]);
    assert_eq!(refused("{names: \"x-*\"}", "{}"), [""; 0]);
    assert_eq!(refused("{names: \"{namespace}*\"}", "{database: erp, owner: shop}"), ["spec.database"]);
    let likes = [
        ("a*c", "abc", true),
        ("a*c", "ac", true),
        ("a*c", "acb", false),
        ("a", "ab", false),
        ("a*b*c", "aXbYc", true),
        ("*a", "ba", true),
    ];
    for (pattern, name, is) in likes {
        assert_eq!(is_like(name, pattern), is, "{pattern} {name}");
    }
}

#[test]
fn what_is_there_keeps_what_it_has() {
    let there = |protected| Known { protected: Some(protected), others: 9, trusted: &trusted, cluster: None };
    let open = tenant("{deletionProtection: false}");
    assert_eq!(paths("{perNamespace: 1}", &open, &there(false)), [""; 0]);
    // Lowering it is the platform's, whatever a new database may be made with.
    assert_eq!(paths("{unprotected: true}", &open, &there(true)), ["spec.deletionProtection"]);
    assert_eq!(paths("{}", &tenant("{}"), &there(true)), [""; 0]);
}

#[test]
fn a_selector_needs_the_labels_of_the_namespace() {
    let allow = "{namespaces: {selector: {matchExpressions: [{key: frozen, operator: DoesNotExist}]}}}";
    let with = |namespaces: Option<&Namespaces>| {
        let cluster =
            namespaces.map(|namespaces| Cluster { namespaces, guards_protection: false, guards_secrets: false });
        paths(allow, &tenant("{}"), &Known { cluster, ..NEW })
    };
    let labelled = |label: &str| {
        let labels = [(label.to_owned(), "yes".to_owned())].into();
        Namespaces::from([("shop".parse().unwrap(), labels)])
    };
    assert_eq!(with(None), [""; 0]);
    assert_eq!(with(Some(&labelled("other"))), [""; 0]);
    assert_eq!(with(Some(&labelled("frozen"))), ["metadata.namespace"]);
    // A namespace that was not heard of yet may be anything.
    assert_eq!(with(Some(&Namespaces::new())), ["metadata.namespace"]);
}

#[test]
fn a_violation_says_what_is_allowed_and_how_to_go_on() {
    let found = violations(&server("{memberOf: [writers]}"), &tenant("{memberOf: [readers]}"), &NEW);
    assert_eq!(found[0].message, "role `readers` is not allowed: `allow.memberOf` is [writers]");
    assert!(found.iter().all(|violation| violation.hint.is_some()));
    assert!(selects_namespaces(&server("{namespaces: {selector: {matchLabels: {a: b}}}}")));
}
