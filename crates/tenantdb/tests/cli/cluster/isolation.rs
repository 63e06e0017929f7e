//! What holds of the command line's tenants holds of a cluster's.

use tenantdb_testkit::{Admin, Options, wait_until};

use super::site::{PATIENCE, Site};
use crate::canary::Secrets;
use crate::isolation::{declarations, each_reaches_what_is_its_own_and_nothing_else, tenants};
use crate::world::tenant;

#[tokio::test(flavor = "multi_thread")]
async fn each_resource_reaches_what_is_its_own_and_nothing_else() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    let _ = site.cluster.kubectl(&[
        "patch",
        "dbs",
        "shared",
        "--type=merge",
        "-p",
        "{\"spec\": {\"allow\": {\"names\": \"*\"}}}",
    ]);
    site.apply(&declarations());
    wait_until(PATIENCE, || site.secrets("default").len() == 30);
    let secrets = site.secrets("default");
    each_reaches_what_is_its_own_and_nothing_else(&site.server, &tenants(|name| secrets[name].clone())).await;
}

/// With all logged, in all that a cluster keeps, what people read, and what the operator says.
#[test]
fn no_password_is_anywhere_but_in_secrets() {
    let options = Options::new(18, Admin::Plain);
    let Some(mut site) = Site::without_operator(options) else { return };
    site.level = "trace";
    site.start();
    let unprotected = "deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete";
    site.apply(&tenant("cafe", &format!("{{{unprotected}, access: [{{name: reporting, level: ReadOnly}}]}}")));
    site.apply(&tenant("erp", "{}"));
    site.ready("default", "cafe");
    site.ready("default", "erp");
    let mut secrets = Secrets::of(&site.server);
    let mut delivered = site.secrets("default");
    // A new credential, one whose password somebody changed, a failure, and one that goes.
    let _ = site.cluster.kubectl(&["delete", "secret", "erp-secret"]);
    site.server.psql("postgres", "ALTER ROLE cafe_a PASSWORD 'something-Else-1'");
    site.look_closely_at("cafe");
    wait_until(PATIENCE, || site.cluster.kubectl(&["get", "events"]).contains("cafe_a"));
    wait_until(PATIENCE, || site.secrets("default").contains_key("erp-secret"));
    delivered.extend(site.secrets("default").into_iter().map(|(name, keys)| (format!("later {name}"), keys)));
    for keys in delivered.values() {
        secrets.add(&keys["password"]);
    }
    assert_eq!(delivered.len(), 6);
    let _ = site.cluster.kubectl(&["delete", "tdb", "cafe", "--timeout=60s"]);
    site.server.stop();
    site.apply(&tenant("blog", "{}"));
    site.wait_for("tdb", "default", "blog", "Ready", "False", "ServerUnreachable");
    site.server.start_again();
    site.ready("default", "blog");

    let stored = site.cluster.stored();
    let holders: Vec<&str> =
        stored.iter().filter(|(_, value)| secrets.are_in(value)).map(|(key, _)| key.as_str()).collect();
    assert!(holders.contains(&"/registry/secrets/default/erp-secret"), "{holders:?}");
    assert_eq!(holders.iter().find(|key| !key.starts_with("/registry/secrets/")), None);
    assert!(!stored.iter().any(|(_, value)| String::from_utf8_lossy(value).contains("SCRAM-SHA-256$")));
    let log = site.log();
    assert!(log.contains("TRACE"), "all is logged");
    secrets.are_not_told("the operator's log", &log);
    secrets.are_not_told("the metrics", &site.ask("/metrics").1);
    let read = ["get", "describe"].map(|verb| site.cluster.kubectl(&[verb, "tdb,dbs,events", "-A"]));
    secrets.are_not_told("what kubectl shows", &read.join("\n"));
    secrets.are_not_at(&site.server);
}
