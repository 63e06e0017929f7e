//! How Argo CD sees our kinds.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tenantdb_testkit::{Admin, skip};

use super::definitions;
use crate::cluster::site::Site;
use crate::docs::root;
use crate::world::tenant;

/// Of these, the first that is here.
const LUA: [&str; 4] = ["lua5.1", "luajit", "lua5.4", "lua"];

/// What a health script says of an object, as status and message.
fn health(lua: &str, script: &str, object: &Value) -> (String, String) {
    let program = format!(
        "local function health(obj)\n{script}\nend\nlocal told = health({})\nprint(told.status)\nprint(told.message)",
        table(object)
    );
    let mut child = Command::new(lua).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}");
    let told = String::from_utf8(output.stdout).unwrap();
    let (status, message) = told.trim_end().split_once('\n').unwrap();
    (status.to_owned(), message.to_owned())
}

/// A value as Lua writes it.
fn table(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("[{}] = {}", json!(name), table(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("{{{}}}", items.iter().map(table).collect::<Vec<_>>().join(", ")),
        Value::Null => "nil".to_owned(),
        other => other.to_string(),
    }
}

#[test]
fn argo_cd_waits_for_what_is_not_ready() {
    let Some(lua) = LUA.into_iter().find(|lua| Command::new(lua).arg("-v").output().is_ok()) else {
        skip("Lua can't be found: install lua5.1, or run `scripts/setup test`");
        return;
    };
    let text = std::fs::read_to_string(root().join("deploy/argocd/health.yaml")).unwrap();
    let fragment: Value = serde_saphyr::from_str(&text).unwrap();
    let scripts = fragment["data"].as_object().unwrap();
    let kinds: Vec<String> = definitions().iter().map(|kind| kind["spec"]["names"]["kind"].to_string()).collect();
    assert_eq!(scripts.len(), kinds.len());
    let condition =
        |kind: &str, status: &str, message: &str| json!({"type": kind, "status": status, "message": message});
    let object = |observed: u8, conditions: &[Value]| json!({"metadata": {"generation": 2}, "status": {"observedGeneration": observed, "conditions": conditions}});
    let ready = condition("Ready", "True", "it is as declared");
    let not_ready = condition("Ready", "False", "the server does not answer");
    let not_yet = "the operator has not looked at it yet";
    for kind in kinds {
        let script = format!("resource.customizations.health.tenantdb.dev_{}", kind.trim_matches('"'));
        let script = scripts[&script].as_str().unwrap();
        for (object, status, message) in [
            (json!({"metadata": {"generation": 1}}), "Progressing", not_yet),
            (object(1, std::slice::from_ref(&ready)), "Progressing", not_yet),
            (object(1, &[condition("Stalled", "True", "of before")]), "Progressing", not_yet),
            (object(2, &[condition("Stalled", "False", ""), ready.clone()]), "Healthy", "it is as declared"),
            (
                object(2, &[not_ready.clone(), condition("Stalled", "True", "the name is taken")]),
                "Degraded",
                "the name is taken",
            ),
            (
                object(2, &[condition("Reconciling", "True", ""), not_ready.clone()]),
                "Progressing",
                "the server does not answer",
            ),
            (object(2, &[]), "Progressing", "it is not ready yet"),
        ] {
            let told = health(lua, script, &object);
            assert_eq!((told.0.as_str(), told.1.as_str()), (status, message), "{object}");
        }
    }
}

/// The scripts on what the operator says itself, and the fragment beside other keys of the ConfigMap.
#[test]
fn argo_cd_sees_a_ready_database_as_healthy() {
    let Some(lua) = LUA.into_iter().find(|lua| Command::new(lua).arg("-v").output().is_ok()) else { return };
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    site.namespace("argocd");
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm", "namespace": "argocd"},
        "data": {"url": "https://argocd.example.org"},
    });
    site.cluster.kubectl_with(&["create", "-f", "-"], &theirs.to_string());
    site.apply(&std::fs::read_to_string(root().join("deploy/argocd/health.yaml")).unwrap());
    let all = site.get("configmap", "argocd", "argocd-cm").unwrap();
    assert_eq!(all["data"]["url"], "https://argocd.example.org");
    site.apply(&tenant("cafe", "{}"));
    site.apply(&tenant("second", "{database: cafe}"));
    site.ready("default", "cafe");
    site.ready_server();
    site.wait_for("tdb", "default", "second", "Stalled", "True", "NotAllowed");
    for (resource, kind, name, expected) in [
        ("dbs", "DatabaseServer", "shared", "Healthy"),
        ("tdb", "TenantDatabase", "cafe", "Healthy"),
        ("tdb", "TenantDatabase", "second", "Degraded"),
    ] {
        let script = &all["data"][format!("resource.customizations.health.tenantdb.dev_{kind}")];
        let told = health(lua, script.as_str().unwrap(), &site.get(resource, "default", name).unwrap());
        assert_eq!(told.0, expected, "{told:?}");
    }
}
