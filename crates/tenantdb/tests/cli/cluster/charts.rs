//! What is in deploy/, as helm and a real API server take it.

mod argo;
pub mod operator;
mod team;

use std::io::Write as _;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tenantdb_testkit::{Cluster, Objects, helm};

use super::site::OPERATOR;
use crate::docs::root;
use crate::world::World;

fn chart(name: &str) -> String {
    root().join("deploy/charts").join(name).display().to_string()
}

/// A file of values.
fn values(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// What helm says of a chart with these values, asking no cluster.
fn try_helm(command: &[&str], name: &str, text: &str, set: &[&str]) -> Option<Output> {
    let file = values(text);
    let chart = chart(name);
    let mut helm = helm()?;
    helm.args(command).arg(&chart).arg("--values").arg(file.path()).args(["--namespace", OPERATOR]);
    for value in set {
        helm.args(["--set", value]);
    }
    Some(helm.output().unwrap())
}

/// What a chart makes of these values.
#[track_caller]
fn rendered(name: &str, text: &str, set: &[&str]) -> Option<String> {
    let output = try_helm(&["template", "tenantdb"], name, text, set)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

fn objects(manifests: &str) -> Vec<Value> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(manifests).unwrap();
    objects.into_iter().filter(|object| !object.is_null()).collect()
}

fn definitions() -> Vec<Value> {
    objects(&World::new().run(&["crds"]).exits(0).stdout)
}

/// helm finds nothing to say against a chart with these values.
#[track_caller]
fn is_well_formed(name: &str, values: &str) {
    let Some(output) = try_helm(&["lint", "--strict"], name, values, &[]) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// helm refuses these values, and tells why.
#[track_caller]
fn is_refused(name: &str, values: &str, told: &str) {
    let Some(output) = try_helm(&["template", "tenantdb"], name, values, &[]) else { return };
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains(told), "{name} {values}: {error}");
}

/// The API server would take all of these, knows each of their fields, and warns of none.
#[track_caller]
fn are_taken(cluster: &Cluster, objects: &[Value]) {
    let dry = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let output = cluster.try_kubectl(&dry, &list.to_string());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{list}: {error}");
    let taken = String::from_utf8_lossy(&output.stdout).lines().count();
    assert_eq!(taken, objects.len());
}

/// Makes the operator's namespace, which takes only pods with the least rights on their node.
fn make_namespace(cluster: &Cluster) {
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": OPERATOR, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    });
    Objects::of(cluster).apply(&namespace.to_string());
}
