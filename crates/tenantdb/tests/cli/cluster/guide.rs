//! What the guide says of a cluster.

use tenantdb_testkit::Admin;

use super::site::Site;
use crate::docs::{Page, root};

#[test]
fn what_the_guide_shows_can_be_applied() {
    let Some(site) = Site::with(16, Admin::Plain) else { return };
    site.namespace("shop");
    let page = Page::read(&root(), "docs/guide/kubernetes.md");
    let shown: Vec<&str> =
        page.blocks.iter().filter(|block| block.info == "yaml cluster").map(|block| block.text.as_str()).collect();
    for manifest in &shown {
        let manifest = manifest
            .replace("host: db.example.org, port: 5432", &format!("host: 127.0.0.1, port: {}", site.server.port()))
            .replace("{password}", site.server.admin_password());
        site.apply(&manifest);
    }
    site.ready("shop", "orders");
    assert!(site.secret("shop", "orders-secret").is_some() && site.secret("shop", "orders-secret-reporting").is_some());
    assert_eq!(shown.len(), 7);
}

#[test]
fn every_metric_is_in_the_guide() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    site.make("cafe", "{}");
    site.wait_for("dbs", "", "shared", "Ready", "True", "Reachable");
    let guide = std::fs::read_to_string(root().join("docs/guide/operator.md")).unwrap();
    let (_, text) = site.ask("/metrics");
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names: Vec<&str> = types.filter_map(|line| line.split(' ').next()).collect();
    assert!(names.len() > 5, "{text}");
    for name in names {
        assert!(guide.contains(&format!("`{name}")), "{name} is not in the guide");
    }
}
