use crate::kinds::Violation;
use crate::{Diagnostics, Source, parse};

/// A server that is right.
const BASE: &str = "source: {endpoint: {host: db.example.org}}
admin: {username: admin, passwordFrom: [{env: PASSWORD}]}";

fn text(spec: &str) -> String {
    let spec = spec.replace('\n', "\n  ");
    format!("apiVersion: tenantdb.dev/v1alpha1\nkind: DatabaseServer\nmetadata: {{name: x}}\nspec:\n  {spec}\n")
}

/// All messages about a server.
fn messages(text: String) -> Vec<String> {
    Diagnostics::messages(parse(&[Source { name: "a.yaml".to_owned(), text }]))
}

/// What is said about a spec.
fn said(spec: &str) -> Vec<String> {
    messages(text(spec))
}

/// What is said about fields beside those of [`BASE`].
fn with(fields: &str) -> Vec<String> {
    said(&format!("{BASE}\n{fields}"))
}

/// What is said about a custom resource of this spec.
fn of_resource(spec: &str) -> Vec<String> {
    let spec: serde_json::Value = serde_saphyr::from_str(spec).unwrap();
    let object = serde_json::json!({"metadata": {"name": "x"}, "spec": spec});
    Diagnostics::messages(crate::custom_resource::<crate::DatabaseServer>(object))
}

/// What is said about fields of a custom resource beside those of [`BASE`].
fn in_cluster(fields: &str) -> Vec<String> {
    of_resource(&format!("{BASE}\n{fields}"))
}

fn endpoint(fields: &str) -> Vec<String> {
    said(&BASE.replace("host: db.example.org", fields))
}

fn admin(fields: &str) -> Vec<String> {
    said(&BASE.replace("[{env: PASSWORD}]", fields))
}

#[test]
fn every_field_that_comes_later_is_refused_at_its_own_path() {
    for (path, spec) in [
        ("spec.engine", format!("engine: Redis\n{BASE}")),
        ("spec.engine", format!("engine: RabbitMQ\n{BASE}")),
        ("spec.defaults.settings.search_path", format!("{BASE}\ndefaults: {{settings: {{search_path: a}}}}")),
    ] {
        assert_eq!(said(&spec), [Violation::not_supported_yet(path).message], "{spec}");
    }
}

#[test]
fn passwords_themselves_are_only_for_a_server_that_proves_itself() {
    let passing = BASE.replace("username", "passwordPassthrough: true, username");
    let refused = ["passwords would be sent to a server that has not proved itself"];
    for tls in ["", "tls: {mode: disable}", "tls: {mode: prefer}", "tls: {mode: require}"] {
        assert_eq!(said(&format!("{passing}\n{tls}")), refused, "{tls}");
    }
    for tls in
        ["{caFrom: {file: ca.pem}}", "{mode: verify-ca, caFrom: {file: a}}", "{mode: verify-full, caFrom: {file: a}}"]
    {
        assert_eq!(said(&format!("{passing}\ntls: {tls}")), Vec::<String>::new(), "{tls}");
    }
}

#[test]
fn what_is_supported_is_accepted() {
    for spec in [
        "source: {local: {}}",
        "source: {local: {}}\npublish: {parameters: {application_name: x}}",
        BASE,
        "engine: PostgreSQL
default: true
source: {endpoint: {host: \"::1\", port: 6432}}
admin:
  username: admin
  maintenanceDatabase: db
  passwordFrom: [{env: A}, {env: B, username: postgres}, {file: /run/secrets/admin}]
tls: {mode: verify-full, caFrom: {file: ca.pem}}
publish: {parameters: {sslmode: require}}
naming: {database: \"{namespace}_{name}\", owner: \"{database}_user\"}
allow:
  namespaces: {names: [cafe]}
  names: \"{namespace}_*\"
  adopt: Never
  memberOf: [readers]
  templates: [template0]
  extensions: [pg_trgm]
  settings: [work_mem]
  secretPolicies: [Create, Merge]
  deliver: {stores: [a], namespaces: [b]}
  init: true
  restart: true
  unprotected: true
  connectionLimit: 50
  perNamespace: 0
limits: {databases: 500, connections: 3}
defaults: {connectionLimit: 20, settings: {work_mem: 4MB}}",
        "source: {local: {}}\nallow: {extensions: Trusted, names: Naming, namespaces: {selector: {matchLabels: {a: b}}}}",
    ] {
        assert_eq!(said(spec), [""; 0], "{spec}");
    }
    for fields in ["tls: {}", "tls: {mode: require}", "tls: {caFrom: {file: a}}", "limits: {connections: 100}"] {
        assert_eq!(with(fields), [""; 0], "{fields}");
    }
}

#[test]
fn a_server_has_no_namespace() {
    let text = text(BASE).replace("name: x", "name: x, namespace: default");
    assert_eq!(messages(text), ["a DatabaseServer has no namespace; it is the whole cluster's"]);
}

#[test]
fn a_server_has_exactly_one_source() {
    let expected = "spec.source must have exactly one of endpoint, local, cnpg and stackgres";
    assert_eq!(said("source: {}"), [expected]);
    assert_eq!(said("source: {local: }"), [expected]);
    assert!(said(&BASE.replace("source: {", "source: {local: {}, ")).contains(&expected.to_owned()));
    assert_eq!(said("default: true"), ["spec.source is missing"]);
}

#[test]
fn an_endpoint_is_one_host_and_a_port() {
    let path = "spec.source.endpoint";
    assert_eq!(endpoint("host: ''"), [format!("{path}.host is empty")]);
    for host in ["a b", "'a,b'", "/var/run", "\"a\\0\"", "\"a\\n\""] {
        assert_eq!(endpoint(&format!("host: {host}")), [format!("{path}.host must be one host name or address")]);
    }
    assert_eq!(endpoint("host: a, port: 0"), [format!("{path}.port must be from 1 to 65535")]);
    assert_eq!(
        endpoint("host: a, port: 65536"),
        [format!("{path}.port must be a port from 1 to 65535, not the number `65536`")]
    );
}

#[test]
fn an_endpoint_needs_an_administrator_with_a_password() {
    assert_eq!(said("source: {endpoint: {host: a}}"), ["spec.admin is missing: an endpoint needs an administrator"]);
    assert_eq!(admin("[]"), ["spec.admin.passwordFrom needs at least one place"]);
    for source in ["{}", "{username: a}", "{env: A, file: b}"] {
        let expected = ["spec.admin.passwordFrom[0] must have exactly one of env, file and secret"];
        assert_eq!(admin(&format!("[{source}]")), expected);
    }
    let expected = ["spec.admin.passwordFrom[1].env must be the name of an environment variable"];
    assert_eq!(admin("[{env: A}, {env: A=B}]"), expected);
    assert_eq!(admin("[{env: A}, {env: ''}]"), expected);
    assert_eq!(admin("[{file: ''}]"), ["spec.admin.passwordFrom[0].file is empty"]);
    assert_eq!(admin("[{env: A}, {secret: {namespace: a, name: b, key: c}}]"), Vec::<String>::new());
    let expected =
        "spec.admin.passwordFrom[0].secret.namespace is missing: a DatabaseServer has no namespace of its own";
    assert_eq!(admin("[{secret: {name: b, key: c}}]"), [expected]);
}

#[test]
fn a_local_server_is_tenantdbs_own() {
    let spec = format!(
        "{}\ntls: {{}}\npublish: {{host: a, port: 1}}",
        BASE.replace("endpoint: {host: db.example.org}", "local: {}")
    );
    let own = |path: &str| format!("{path} is tenantdb's own business on a local server");
    assert_eq!(said(&spec), ["spec.admin", "spec.tls", "spec.publish.host", "spec.publish.port"].map(own));
}

#[test]
fn tls_knows_the_authority_where_it_verifies_and_only_there() {
    for mode in ["verify-ca", "verify-full"] {
        assert_eq!(
            with(&format!("tls: {{mode: {mode}}}")),
            ["spec.tls.caFrom is missing: this mode verifies the server"]
        );
    }
    for mode in ["disable", "prefer", "require"] {
        assert_eq!(
            with(&format!("tls: {{mode: {mode}, caFrom: {{file: a}}}}")),
            ["spec.tls.mode does not verify the server, so caFrom has no use"]
        );
    }
    assert_eq!(with("tls: {caFrom: {file: ''}}"), ["spec.tls.caFrom.file is empty"]);
    let one = ["spec.tls.caFrom must have exactly one of file, secret and configMap"];
    assert_eq!(with("tls: {caFrom: {}}"), one);
    assert_eq!(in_cluster("tls: {caFrom: {file: a, secret: {namespace: a, name: b}}}"), one);
}

#[test]
fn what_only_a_cluster_has_is_the_operators() {
    for (field, path) in [
        ("{secret: {namespace: a, name: b}}", "spec.tls.caFrom.secret"),
        ("{configMap: {namespace: a, name: b, key: c}}", "spec.tls.caFrom.configMap"),
    ] {
        let tls = format!("tls: {{caFrom: {field}}}");
        assert_eq!(with(&tls), [format!("{path} is the operator's, which can read it")]);
        assert_eq!(in_cluster(&tls), [""; 0]);
    }
    for source in ["cnpg", "stackgres"] {
        let text = format!("source: {{{source}: {{namespace: a, cluster: b}}}}");
        assert_eq!(said(&text), [format!("spec.source.{source} is the operator's, which can ask the cluster")]);
        for more in ["", "admin: {username: a}", "tls: {mode: verify-full}", "publish: {host: pooler}"] {
            assert_eq!(of_resource(&format!("{text}\n{more}")), [""; 0], "{source} {more}");
        }
        let port = text.replace("cluster: b", "cluster: b, endpoint: {host: 'a,b', port: 0}");
        let path = format!("spec.source.{source}.endpoint");
        let wrong =
            [format!("{path}.host must be one host name or address"), format!("{path}.port must be from 1 to 65535")];
        assert_eq!(of_resource(&port), wrong);
    }
}

#[test]
fn naming_has_placeholders_that_exist() {
    for (naming, expected) in [
        ("database: ''", "spec.naming.database is empty"),
        ("owner: ''", "spec.naming.owner is empty"),
        ("database: '{database}'", "spec.naming.database: unknown placeholder `{database}`"),
        ("owner: '{databse}_x'", "spec.naming.owner: unknown placeholder `{databse}`"),
        ("owner: '{name'", "spec.naming.owner: a `{` has no partner"),
        ("database: 'name}'", "spec.naming.database: a `}` has no partner"),
    ] {
        assert_eq!(with(&format!("naming: {{{naming}}}")), [expected]);
    }
}

#[test]
fn limits_leave_tenantdb_enough_connections() {
    for connections in ["0", "2", "101"] {
        let expected = ["spec.limits.connections must be from 3 to 100"];
        assert_eq!(with(&format!("limits: {{connections: {connections}}}")), expected);
    }
}

#[test]
fn what_is_allowed_makes_sense() {
    for (allow, expected) in [
        ("names: ''", "spec.allow.names is empty"),
        ("names: '{name}'", "spec.allow.names: unknown placeholder `{name}`"),
        ("namespaces: {}", "spec.allow.namespaces names none, so nobody could use the server"),
        (
            "namespaces: {names: [a], selector: {matchLabels: {a: b}}}",
            "spec.allow.namespaces must have either names or a selector",
        ),
        ("namespaces: {selector: [a]}", "spec.allow.namespaces.selector must be a mapping, not a list"),
        ("namespaces: {selector: {labels: {}}}", "unknown field `spec.allow.namespaces.selector.labels`"),
        (
            "namespaces: {selector: {matchExpressions: [{key: a, operator: Exists}, {key: a, operator: In}]}}",
            "spec.allow.namespaces.selector.matchExpressions[1]: `In` and `NotIn` have values, and the others none",
        ),
        ("settings: [work_mem, role]", "`role` can't be allowed"),
        (
            "extensions: trusted",
            "spec.allow.extensions must be `Trusted` or a list of extensions, not the text `trusted`",
        ),
        ("extensions: {}", "spec.allow.extensions must be `Trusted` or a list of extensions, not a mapping"),
        ("extensions: [a, '']", "spec.allow.extensions[1]: a name can't be empty"),
    ] {
        assert_eq!(with(&format!("allow: {{{allow}}}")), [expected], "{allow}");
    }
}

#[test]
fn parameters_and_default_settings_are_checked() {
    assert_eq!(with("publish: {parameters: {'': x}}"), ["a parameter in spec.publish.parameters has no name"]);
    assert_eq!(with("defaults: {settings: {role: x}}"), ["spec.defaults.settings.role can't be set"]);
}
