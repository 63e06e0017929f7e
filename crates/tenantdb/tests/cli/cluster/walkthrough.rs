//! The guide's way from an empty cluster to a deleted database. No kubelet is here to run the Deployment's pods: processes
//! stand in for them, with the Deployment's arguments and the rights of its service account.

use serde_json::{Value, json};
use tenantdb_testkit::{Admin, TestServer, wait_until};

use super::site::{OPERATOR, PATIENCE, Site};
use crate::docs::{Page, Sandbox, compare, root};

const MAJOR: u32 = 18;

#[test]
fn the_walkthrough_goes_as_the_guide_shows() {
    let page = Page::read(&root(), "docs/guide/walkthrough.md");
    // The first transcript installs the operator; all that follow need it.
    let (first, rest) = page.transcripts().split_first().map(|(first, rest)| (first.clone(), rest.concat())).unwrap();
    let (mut sandbox, mut results) = (None, Vec::new());
    let install = |site: &Site| {
        let machine = Sandbox::new(MAJOR).reaching(&site.server, site.server.admin_password());
        let machine = machine.with_cluster(&site.cluster);
        page.files().for_each(|(name, text)| machine.write(name, text));
        results = machine.run(&first);
        sandbox = Some(machine);
    };
    let Some(mut site) = Site::installed(|| TestServer::try_start(MAJOR, Admin::Plain), install) else { return };
    run_deployment(&mut site);
    results.extend(sandbox.unwrap().run(&rest));
    compare(&page, &results);
}

/// Starts the Deployment's replicas, and says so in its status once the last of them is ready.
fn run_deployment(site: &mut Site) {
    let deployment = site.get("deployment", OPERATOR, "tenantdb").unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let arguments: Vec<&str> = container["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let replicas = deployment["spec"]["replicas"].as_u64().unwrap();
    for _ in 0..replicas {
        site.start_with(&arguments);
    }
    wait_until(PATIENCE, || site.ask("/readyz").0 == "200");
    let counts = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"].map(|count| (count, replicas));
    let mut status: serde_json::Map<String, Value> =
        counts.map(|(count, replicas)| (count.to_owned(), replicas.into())).into_iter().collect();
    status.insert("observedGeneration".to_owned(), deployment["metadata"]["generation"].clone());
    let patch = json!({"status": status}).to_string();
    let of = ["deployment", "tenantdb", "-n", OPERATOR, "--subresource=status", "--type=merge", "-p", &patch];
    let _ = site.cluster.kubectl(&[&["patch"], &of[..]].concat());
}
