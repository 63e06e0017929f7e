//! The command line against a cluster: its Secrets, and what its resources say.

use tenantdb_testkit::{Admin, TestServer};

use super::site::{Site, with_our_kinds};
use crate::everyday::workplace;
use crate::world::{World, tenant, tenant_in};

#[test]
fn a_password_is_read_from_a_secret_when_nothing_before_it_is_there() {
    let Some(cluster) = with_our_kinds() else { return };
    let Some(server) = TestServer::try_start(18, Admin::Plain) else { return };
    let secret = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "postgresql", "namespace": "kube-system"},
        "stringData": {"password": server.admin_password(), "empty": ""},
    });
    cluster.kubectl_with(&["apply", "-f", "-"], &secret.to_string());
    let mut world = World::new();
    let declared = |key: &str| {
        format!(
            "apiVersion: tenantdb.dev/v1alpha1\nkind: DatabaseServer\nmetadata: {{name: shared}}\nspec:\n  default: true\n  \
             source: {{endpoint: {{host: 127.0.0.1, port: {}}}}}\n  tls: {{mode: disable}}\n  admin:\n    username: {}\n    \
             passwordFrom:\n      - env: FIRST_PASSWORD\n      - secret: {{namespace: kube-system, name: postgresql, key: \
             {key}}}\n",
            server.port(),
            server.admin_username(),
        )
    };
    world.write("server.yaml", &declared("password"));
    let nowhere = world.folder().join("nowhere").display().to_string();
    world.set("KUBECONFIG", &nowhere);
    let tried = world.apply(&tenant("cafe", "{}")).exits(1).stderr;
    // What comes first is enough.
    world.set("FIRST_PASSWORD", server.admin_password());
    world.run_on(&["apply"]).exits(0).says("1 created");
    world.set("FIRST_PASSWORD", "");
    world.set("KUBECONFIG", cluster.kubeconfig().to_str().unwrap());
    world.run_on(&["plan", "--exit-code"]).exits(0);
    world.run_on(&["plan", "--exit-code", "--context", "test"]).exits(0);
    world.run(&["status"]).exits(0).says("cafe");
    let other = world.run_on(&["apply", "--context", "tets"]).exits(1).stderr;
    world.write("server.yaml", &declared("empty"));
    let empty = world.run_on(&["apply"]).exits(1).stderr;
    let folder = world.folder().display().to_string();
    insta::assert_snapshot!([tried, other, empty].join("----\n").replace(&folder, "[folder]"));
}

/// A kubeconfig with a second context, `alice`, of a user who may see our resources and nothing else.
fn with_alice(site: &Site) -> String {
    let text = std::fs::read_to_string(site.cluster.kubeconfig()).unwrap();
    let token = text.split("token: ").nth(1).and_then(|rest| rest.split('}').next()).unwrap();
    site.apply(
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: tenants}, rules: [{apiGroups: \
         [tenantdb.dev], resources: [tenantdatabases, tenantroles], verbs: [get, list]}]}\n---\n\
         {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: alice}, roleRef: {apiGroup: \
         rbac.authorization.k8s.io, kind: ClusterRole, name: tenants}, subjects: [{kind: User, name: alice, apiGroup: \
         rbac.authorization.k8s.io}]}",
    );
    text.replace("users: [", &format!("users: [{{name: alice, user: {{token: {token}, as: alice}}}}, "))
        .replace("contexts: [", "contexts: [{name: alice, context: {cluster: test, user: alice}}, ")
}

#[test]
fn what_a_cluster_has_is_shown_and_used_from_its_resources() {
    let Some(mut site) = Site::with(18, Admin::Plain) else { return };
    let mut world = workplace(&site.server);
    world.set("KUBECONFIG", world.write("kubeconfig", &with_alice(&site)).to_str().unwrap());
    site.namespace("shop");
    site.apply(
        &(tenant_in("shop", "cafe", "{access: [{name: reporting, level: ReadOnly}]}")
            + &tenant_in("shop", "erp", "{adopt: Never}")),
    );
    site.ready("shop", "cafe");
    site.ready("shop", "erp");
    site.apply(&tenant_in("shop", "blog", "{database: cafe}"));
    site.wait_for("tdb", "shop", "blog", "Stalled", "True", "NotAllowed");
    let run = |arguments: &[&str]| world.run(arguments);
    let on = |command: &str, name: &str, rest: &[&str]| {
        run(&[&[command, name, "--context", "test", "-n", "shop"], rest].concat())
    };

    let shown = run(&["status", "--context", "test"]).exits(0);
    let age = regex::Regex::new(r"\b\d+ s +").unwrap();
    let mut told = vec![age.replace_all(&(shown.stdout + &shown.stderr), "[age]  ").into_owned()];
    let json: serde_json::Value =
        serde_json::from_str(&run(&["status", "blog", "--context", "alice", "-o", "json"]).exits(0).stdout).unwrap();
    assert_eq!((&json["tenants"][0]["state"], &json["tenants"][1]), (&"NotAllowed".into(), &serde_json::Value::Null));

    let owner = site.secret("shop", "cafe-secret").unwrap();
    let printed = on("credentials", "cafe", &["--format", "json"]).exits(0).stdout;
    let printed: std::collections::BTreeMap<String, String> = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed, owner);
    let reporting = on("credentials", "cafe", &["--access", "reporting", "--format", "uri"]).exits(0).stdout;
    assert_eq!(reporting.trim(), site.secret("shop", "cafe-secret-reporting").unwrap()["uri"]);
    on("connect", "cafe", &["--", "-tAc", "SELECT current_user"]).exits(0).says("cafe");
    on("exec", "cafe", &["--access", "reporting", "--", "sh", "-c", "echo $PGUSER"]).exits(0).says("cafe_reporting_a");

    site.stop();
    let _ = site.cluster.kubectl(&["delete", "secret", "-n", "shop", "erp-secret"]);
    let refused = [
        (2, run(&["status", "caef", "--context", "test"])),
        (2, on("credentials", "caef", &[])),
        (2, run(&["exec", "cafe", "--context", "alice", "--", "true"])),
        (2, on("connect", "cafe", &["--access", "report"])),
        (1, on("credentials", "blog", &[])),
        (1, on("exec", "erp", &["--", "true"])),
        (1, run(&["credentials", "cafe", "-n", "shop", "--context", "alice"])),
        (1, run(&["credentials", "cafe", "-n", "shop", "--context", "bob"])),
        (2, run(&["credentials", "cafe", "--context", "test", "--credentials", "folder"])),
    ];
    for (code, run) in refused {
        let run = run.exits(code);
        assert_eq!(run.stdout, "");
        told.push(run.stderr);
    }
    site.apply(
        "{apiVersion: v1, kind: Secret, metadata: {name: erp-secret, namespace: shop}, stringData: {username: eve}}",
    );
    told.push(on("credentials", "erp", &[]).exits(1).stderr);
    let told = told.join("----\n");
    assert!(!told.contains(&owner["password"]));
    insta::assert_snapshot!(told);
}
