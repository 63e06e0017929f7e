//! The command line against a cluster: its Secrets, and what its resources say.

use tenantdb_testkit::{Admin, TestServer};

use super::site::with_our_kinds;
use crate::world::{World, tenant};

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
