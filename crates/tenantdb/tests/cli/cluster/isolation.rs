//! What holds of the command line's tenants holds of a cluster's.

use serde_json::Value;
use tenantdb_testkit::{Admin, Options, wait_until};

use super::site::{PATIENCE, Site};
use crate::canary::Secrets;
use crate::isolation::{declarations, each_reaches_what_is_its_own_and_nothing_else, tenants};
use crate::world::{query, tenant, tenant_in};

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
    site.objects.delete("secret", "", "erp-secret");
    site.server.psql("postgres", "ALTER ROLE cafe_a PASSWORD 'something-Else-1'");
    site.look_closely_at("cafe");
    wait_until(PATIENCE, || Value::from(site.objects.list("event", "")).to_string().contains("cafe_a"));
    wait_until(PATIENCE, || site.secrets("default").contains_key("erp-secret"));
    delivered.extend(site.secrets("default").into_iter().map(|(name, keys)| (format!("later {name}"), keys)));
    for keys in delivered.values() {
        secrets.add(&keys["password"]);
    }
    assert_eq!(delivered.len(), 6);
    site.objects.delete("tdb", "", "cafe");
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

/// Whoever may write a Secret may write anything into it: what the operator believes of it gives nobody's login away.
#[test]
fn a_forged_secret_takes_nobodys_login() {
    let Some(site) = Site::with(18, Admin::Superuser) else { return };
    site.make("cafe", "{access: [{name: reporting, level: ReadOnly}]}");
    let logins = ["cafe_c", "cafe_reporting_c"];
    for login in logins {
        site.server.psql("postgres", &format!("CREATE ROLE {login} LOGIN CREATEDB PASSWORD 'of-somebody-else'"));
    }
    let before = "SELECT string_agg(a::text, ';' ORDER BY rolname) FROM pg_authid a WHERE rolname LIKE 'cafe%\\_c'";
    let theirs = site.server.psql("postgres", before);
    let forge = |secret: &str, login: &str, generation: &str| {
        let patch = serde_json::json!({
            "metadata": {"annotations": {"tenantdb.dev/generation": generation}},
            "stringData": {"username": login, "password": "0123456789abcdefghijABCDEFGHIJ0123456789"},
        });
        site.objects.patch("secret", "", secret, &patch);
    };
    for generation in ["50", "9223372036854775807"] {
        forge("cafe-secret", "cafe_c", generation);
        forge("cafe-secret-reporting", "cafe_reporting_c", generation);
        site.look_closely_at("cafe");
        let is_healed = || {
            let secrets = site.secrets("default");
            let logs_in = |name: &str| query(&site.server, &secrets[name], "SELECT 1").is_ok();
            logs_in("cafe-secret") && logs_in("cafe-secret-reporting")
        };
        if generation == "50" {
            wait_until(PATIENCE, is_healed);
        }
    }
    // A number that nobody can count to leaves the next one alone.
    site.objects.delete("secret", "", "cafe-secret");
    site.objects.delete("secret", "", "cafe-secret-reporting");
    site.look_closely_at("cafe");
    site.wait_for("tdb", "default", "cafe", "Ready", "False", "Deferred");
    assert_eq!(site.server.psql("postgres", before), theirs);
}

/// A name alone lets nobody in, and proves nothing: neither does `mode: None`, where there is nothing to prove.
#[test]
fn a_secret_without_a_password_gets_nobody_what_the_ledger_has_lost() {
    let Some(mut site) = Site::with(18, Admin::Superuser) else { return };
    site.apply(&site.server_yaml("").replace("unprotected: true", "names: '*'"));
    let trusted = "{owner: trusted, credentials: {mode: None}}";
    site.apply(&(tenant("orders", "{}") + &tenant("trusted", trusted)));
    site.all_ready(&["orders", "trusted"]);
    let orders = site.secret("default", "orders-secret").unwrap();
    site.stop();
    site.server.psql("postgres", "DROP DATABASE tenantdb WITH (FORCE)");
    let _lost = site.lose_cluster();

    site.namespace("evil");
    let forge = |name: &str, username: &str| {
        let annotations = serde_json::json!({
            "tenantdb.dev/claim": format!("cluster:test TenantDatabase/{name}"), "tenantdb.dev/server": "shared",
        });
        let metadata = serde_json::json!({
            "name": format!("{name}-secret"), "namespace": "evil", "annotations": annotations,
        });
        let data = serde_json::json!({"username": username});
        let secret =
            serde_json::json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
        site.apply(&secret.to_string());
    };
    forge("orders", "orders_a");
    forge("trusted", "trusted");
    site.apply(&(tenant_in("evil", "orders", "{}") + &tenant_in("evil", "trusted", trusted)));
    site.start();
    for name in ["orders", "trusted"] {
        site.wait_to_hear("tdb", "evil", name, "is there as tenantdb makes it");
        let _ = site.cluster.kubectl(&["delete", "secret", &format!("{name}-secret"), "-n", "evil"]);
        let refresh = format!("tenantdb.dev/refresh={name}");
        let _ = site.cluster.kubectl(&["annotate", "tdb", name, "-n", "evil", &refresh]);
        site.wait_for("tdb", "evil", name, "Ready", "False", "Conflict");
    }
    assert_eq!(site.secrets("evil"), std::collections::BTreeMap::new());
    assert_eq!(query(&site.server, &orders, "SELECT current_user"), Ok("orders".to_owned()));
}

#[test]
fn a_secret_that_lost_its_password_gets_a_login_that_works() {
    let Some(site) = Site::with(16, Admin::Plain) else { return };
    site.make("cafe", "{}");
    let gone = r#"{"data": {"password": null, "DB_PASSWORD": null}}"#;
    let _ = site.cluster.kubectl(&["patch", "secret", "cafe-secret", "-p", gone]);
    let works = || {
        let found = site.secret("default", "cafe-secret").unwrap();
        found.contains_key("password") && query(&site.server, &found, "SELECT 1").is_ok()
    };
    wait_until(PATIENCE, works);
    site.ready("default", "cafe");
}

/// What somebody declares decides how much there is to say of it.
#[test]
fn a_message_that_is_too_long_keeps_no_status_from_being_written() {
    let Some(site) = Site::with(16, Admin::Plain) else { return };
    let long = "q".repeat(600_000);
    let all: String =
        (0..3).map(|number| tenant(&format!("a{number}"), &format!("{{extensions: [{long}]}}"))).collect();
    site.apply(&(all + &tenant("cafe", "{}")));
    site.ready("default", "cafe");
    for number in 0..3 {
        site.wait_for("tdb", "default", &format!("a{number}"), "Ready", "False", "Invalid");
    }
}

/// A name is not had by asking for what one may not have, nor a database that somebody made by hand by asking first.
#[test]
fn who_may_not_have_a_name_keeps_it_from_nobody() {
    let Some(mut site) = Site::without_operator(Options::new(18, Admin::Superuser)) else { return };
    let allow = "names: '*', adopt: Existing, namespaces: {names: [default, evil]}";
    site.apply(&site.server_yaml("").replace("unprotected: true", allow));
    site.namespace("evil");
    site.namespace("outside");
    site.server.psql("postgres", "CREATE ROLE legacy LOGIN");
    site.server.psql("postgres", "CREATE DATABASE legacy OWNER legacy");
    site.apply(
        &(tenant_in("outside", "squat", "{database: cafe, owner: cafe}")
            + &tenant_in("evil", "squat", "{database: legacy}")),
    );
    std::thread::sleep(std::time::Duration::from_secs(1));
    site.apply(&(tenant("cafe", "{}") + &tenant("legacy", "{adopt: Existing}")));
    site.start();
    site.all_ready(&["cafe", "legacy"]);
    site.wait_for("tdb", "outside", "squat", "Ready", "False", "NotAllowed");
    site.wait_for("tdb", "evil", "squat", "Ready", "False", "Conflict");
}
