//! Our kinds as the API server knows them.

use tenantdb_testkit::{Objects, wait_until};

use super::site::{PATIENCE, with_our_kinds};

#[test]
fn the_api_server_explains_our_kinds() {
    let Some(cluster) = with_our_kinds() else { return };
    // What it explains is put together a moment after the kind is there.
    wait_until(PATIENCE, || {
        let kinds = ["databaseserver", "tenantdatabase", "tenantrole"];
        kinds.iter().all(|kind| cluster.try_kubectl(&["explain", kind], "").status.success())
    });
    let explained = [
        "databaseserver",
        "databaseserver.spec",
        "tenantdatabase.spec",
        "tenantdatabase.spec.credentials",
        "tenantrole.spec",
    ];
    let explained = explained.map(|path| cluster.kubectl(&["explain", path]));
    insta::assert_snapshot!(explained.join("\n----\n"));
}

#[test]
fn the_api_server_refuses_what_could_never_be_done() {
    let Some(cluster) = with_our_kinds() else { return };
    let objects = Objects::of(&cluster);
    let admin = "admin: {username: a, passwordFrom: [{env: P}]}";
    for (kind, spec, told) in [
        ("TenantDatabase", "{}", ""),
        (
            "TenantDatabase",
            "{extensions: [pg_trgm, {name: hstore, schema: app}], settings: {jit: false, work_mem: 8MB}}",
            "",
        ),
        ("TenantDatabase", "{conectionLimit: 3}", "conectionLimit: field not declared"),
        ("TenantDatabase", "{connectionLimit: 0}", "greater than or equal to 1"),
        ("TenantDatabase", "{dbDeletionPolicy: delete}", "supported values: \"Orphan\", \"Delete\""),
        ("TenantDatabase", "{sizeLimit: 1Gi}", "`sizeLimit` is not supported yet"),
        ("TenantDatabase", "{access: [{level: ReadOnly}]}", "exactly one of `name`"),
        ("TenantDatabase", "{access: [{name: ro, level: ReadOnly}]}", "reserved"),
        ("TenantDatabase", "{init: [{file: seed.sql}]}", "`file` is the command line's"),
        ("TenantDatabase", "{init: [{configMap: {name: seeds, key: seed.sql}}]}", ""),
        ("TenantDatabase", "{credentials: {restart: [{kind: Deployment, name: cafe}]}}", "not supported yet"),
        ("TenantRole", "{databases: [{name: cafe, level: ReadOnly}]}", ""),
        ("DatabaseServer", "{source: {}}", "exactly one of `endpoint`"),
        ("DatabaseServer", "{source: {local: {}}}", "`local` is the command line's"),
        ("DatabaseServer", "{source: {endpoint: {host: db}}}", "needs an administrator"),
        ("DatabaseServer", "{source: {endpoint: {host: db}}, admin: {username: a}}", "at least one place"),
        ("DatabaseServer", "{source: {cnpg: {namespace: a, cluster: b}}, tls: {mode: verify-ca}}", ""),
        ("DatabaseServer", "{source: {stackgres: {namespace: a, cluster: b}}, admin: {username: a}}", ""),
        ("DatabaseServer", "{source: {cnpg: {namespace: a, cluster: b}}, tls: {caFrom: {}}}", "exactly one of `file`"),
        ("DatabaseServer", &format!("{{source: {{endpoint: {{host: db}}}}, {admin}}}"), ""),
        (
            "DatabaseServer",
            &format!("{{source: {{endpoint: {{host: db}}}}, {admin}, tls: {{mode: verify-full}}}}"),
            "`caFrom` belongs",
        ),
        (
            "DatabaseServer",
            &format!(
                "{{source: {{endpoint: {{host: db}}}}, {admin}, \
                 allow: {{namespaces: {{selector: {{matchExpressions: [{{key: a, operator: In}}]}}}}}}}}"
            ),
            "`In` and `NotIn` have values",
        ),
        (
            "DatabaseServer",
            &format!("{{source: {{endpoint: {{host: db}}}}, {admin}, limits: {{connections: 2}}}}"),
            "connections",
        ),
    ] {
        let manifest =
            format!("{{apiVersion: tenantdb.dev/v1alpha1, kind: {kind}, metadata: {{name: cafe}}, spec: {spec}}}");
        let refused = objects.would_apply(&manifest).err().unwrap_or_default();
        assert_eq!(refused.is_empty(), told.is_empty(), "{kind} {spec}: {refused}");
        assert!(refused.contains(told), "{kind} {spec}: {refused}");
    }
}

#[test]
fn what_can_not_change_is_kept_by_the_api_server() {
    let Some(cluster) = with_our_kinds() else { return };
    let apply = |spec: &str| {
        let manifest = format!(
            "{{apiVersion: tenantdb.dev/v1alpha1, kind: TenantDatabase, metadata: {{name: cafe}}, spec: {spec}}}"
        );
        let output = cluster.try_kubectl(&["apply", "--server-side", "-f", "-"], &manifest);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert_eq!(apply("{}"), "");
    for spec in ["{server: mistyped, database: taken, owner: taken}", "{server: shared, database: cafe, owner: cafe}"] {
        assert_eq!(apply(spec), "", "nothing was made of it yet");
    }
    let made = r#"{"status": {"server": "shared", "database": "cafe", "owner": "cafe"}}"#;
    let _ = cluster.kubectl(&["patch", "tdb", "cafe", "--subresource=status", "--type=merge", "-p", made]);
    for spec in ["{server: other}", "{database: other}", "{owner: other}"] {
        assert!(apply(spec).contains("can't change"), "{spec}");
        assert_eq!(apply("{}"), "");
        assert!(apply(spec).contains("can't change"), "{spec} by a detour");
    }
    assert_eq!(apply("{server: shared, database: cafe, owner: cafe}"), "");
    assert!(apply("{credentials: {rotation: {strategy: InPlace}}}").contains("`strategy` can't change yet"));
}
