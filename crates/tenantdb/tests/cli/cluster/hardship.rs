//! Bad luck: whatever is killed, restored, full, away or in the way, all becomes as declared, and no credential that was
//! delivered stops working.
//!
//! `TENANTDB_SOAK=1` makes the full number of kills.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tenantdb_testkit::{Admin, Options, wait_until};

use super::site::{PATIENCE, Site};
use crate::world::{query, tenant};

/// That each Secret logs in, as the tenant that it was made for.
#[track_caller]
fn all_log_in(site: &Site, secrets: &BTreeMap<String, BTreeMap<String, String>>) {
    for (name, login) in secrets {
        let tenant = name.strip_suffix("-secret").unwrap();
        assert_eq!(query(&site.server, login, "SELECT current_user"), Ok(tenant.to_owned()), "{name}");
    }
}

#[test]
fn an_operator_that_is_killed_at_any_moment_leaves_nothing_that_the_next_does_not_finish() {
    let Some(mut site) = Site::with(18, Admin::Plain) else { return };
    let is_soak = std::env::var("TENANTDB_SOAK").is_ok_and(|value| value == "1");
    let (tenants, kills): (usize, usize) = if is_soak { (100, 100) } else { (20, 6) };
    let seed = std::env::var("TENANTDB_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    eprintln!("TENANTDB_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let names: Vec<String> = (0..tenants).map(|number| format!("app-{number}")).collect();
    for part in names.chunks(tenants.div_ceil(kills)) {
        // They come while the operator works, and while it is away.
        site.apply(&part.iter().map(|name| tenant(name, "{}")).collect::<String>());
        std::thread::sleep(Duration::from_millis(random.random_range(0..1500)));
        site.kill();
        all_log_in(&site, &site.secrets("default"));
        site.start();
    }
    site.all_ready(&names);
    let secrets = site.secrets("default");
    assert_eq!(secrets.len(), names.len());
    all_log_in(&site, &secrets);
    let count = |sql: &str| site.server.psql("postgres", sql);
    assert_eq!(count("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'app-%'"), (3 * names.len()).to_string());
    assert_eq!(count("SELECT count(*) FROM pg_database WHERE datname LIKE 'app-%'"), names.len().to_string());
}

/// A server that is as it was yesterday, behind the Secrets of today.
#[test]
fn a_server_that_was_restored_gets_the_logins_of_the_secrets_again() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    let names = ["blog", "cafe", "erp"];
    site.apply(&names.map(|name| tenant(name, "{}")).concat());
    site.all_ready(&names);
    site.server.stop();
    let (data, yesterday) = (site.server.data_directory(), site.server.directory().join("yesterday"));
    copy(&data, &yesterday);
    site.server.start_again();
    // Since then, two got another password, of one a role was made anew, and one came.
    for secret in ["cafe-secret", "erp-secret"] {
        let before = site.secret("default", secret).unwrap();
        site.objects.delete("secret", "", secret);
        wait_until(PATIENCE, || site.secret("default", secret).is_some_and(|now| now != before));
    }
    site.server.psql("postgres", "DROP OWNED BY erp_a; DROP ROLE erp_a");
    site.look_closely_at("erp");
    wait_until(PATIENCE, || {
        site.server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'erp_a'") == "1"
    });
    site.make("shop", "{}");
    let today = site.secrets("default");
    all_log_in(&site, &today);

    site.server.stop();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&yesterday, &data);
    site.server.start_again();
    assert!(query(&site.server, &today["cafe-secret"], "SELECT 1").is_err(), "it was restored");
    for name in ["blog", "cafe", "erp", "shop"] {
        site.look_closely_at(name);
    }
    let works = |login: &BTreeMap<String, String>| query(&site.server, login, "SELECT 1").is_ok();
    wait_until(PATIENCE, || today.values().all(works));
    all_log_in(&site, &today);
    site.all_ready(&["blog", "cafe", "erp", "shop"]);
    assert_eq!(site.secrets("default"), today);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn a_server_that_is_full_or_restarts_midway_is_worked_on_when_it_can_be() {
    let full = Options::new(15, Admin::Plain).setting("max_connections", "12");
    let Some(site) = Site::on(full) else { return };
    site.make("blog", "{}");
    let login = site.secret("default", "blog-secret").unwrap();
    let sleeper = || {
        let sleep = std::thread::spawn({
            let (port, login) = (site.server.port(), login.clone());
            let sql = "SELECT pg_sleep(60)";
            move || tenantdb_testkit::query_at(port, &login["username"], &login["password"], "blog", sql)
        });
        std::thread::sleep(Duration::from_millis(30));
        sleep
    };
    let held: Vec<_> = (0..12).map(|_| sleeper()).collect();
    site.apply(&tenant("cafe", "{}"));
    wait_until(PATIENCE, || {
        let found = site.get("tdb", "default", "cafe").unwrap_or_default();
        found["status"]["conditions"][0]["message"].to_string().contains("too many")
            || found["status"]["conditions"][0]["message"].to_string().contains("reserved")
    });
    site.server.psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'blog_a'");
    drop(held);
    site.ready("default", "cafe");

    let names: Vec<String> = (0..10).map(|number| format!("app-{number}")).collect();
    site.apply(&names.iter().map(|name| tenant(name, "{}")).collect::<String>());
    wait_until(PATIENCE, || {
        site.server.psql("postgres", "SELECT count(*) > 3 FROM pg_database WHERE datname ~ 'app'") == "t"
    });
    site.server.restart();
    site.all_ready(&names);
    all_log_in(&site, &site.secrets("default"));
}

/// It forgets what was, and those that watched from then begin anew.
/// A script that waits for a database that somebody makes, and is longer in hand than anything else.
const SLOW: &str = "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = 'go') \
                    LOOP PERFORM pg_catalog.pg_sleep(0.05); END LOOP; END $$;";

#[test]
fn a_tenant_that_takes_long_holds_up_nobody_who_comes_later() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    site.apply(&site.server_yaml("").replace("unprotected: true", "unprotected: true, init: true"));
    let seeds = serde_json::json!({"seed.sql": SLOW});
    site.apply(&format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: seeds}}, data: {seeds}}}"));
    site.apply(&tenant("slow", "{init: [{configMap: {name: seeds, key: seed.sql}}]}"));
    let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'slow' AND query LIKE '%pg_sleep%'";
    wait_until(PATIENCE, || site.server.psql("postgres", sleeps) != "0");

    let unprotected = "deletionProtection: false, dbDeletionPolicy: Delete";
    site.apply(&(tenant("cafe", &format!("{{{unprotected}}}")) + &tenant("blog", "{}")));
    site.all_ready(&["cafe", "blog"]);
    site.apply(&tenant("cafe", &format!("{{schemas: [app], {unprotected}}}")));
    site.ready("default", "cafe");
    site.objects.delete("tdb", "", "cafe");
    assert!(!site.server.has_database("cafe"));
    // What is asked for meanwhile of the one in hand is done when it is free.
    site.apply(&tenant("slow", "{comment: Long, init: [{configMap: {name: seeds, key: seed.sql}}]}"));
    assert_eq!(site.secret("default", "slow-secret"), None, "it is still in hand");
    site.server.psql("postgres", "CREATE DATABASE go");
    site.ready("default", "slow");
    let comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'slow'";
    assert!(site.server.psql("postgres", comment).contains("Long"));
    let databases = || site.get("dbs", "", "shared").unwrap()["status"]["databases"].clone();
    wait_until(PATIENCE, || databases() == 2);
}

#[test]
fn an_api_server_that_restarts_and_has_forgotten_is_waited_for() {
    let Some(mut site) = Site::with(16, Admin::Plain) else { return };
    site.make("blog", "{}");
    site.cluster.stop_api_server();
    std::thread::sleep(Duration::from_secs(2));
    site.cluster.compact();
    site.cluster.start_api_server();
    site.make("cafe", "{}");
    site.objects.delete("secret", "", "blog-secret");
    wait_until(PATIENCE, || site.secret("default", "blog-secret").is_some());
    assert!(site.log().contains("begins anew"));
}

/// Somebody changes what the operator is about to write, all the time.
/// A few requests of the operator's account at a time; one that comes meanwhile is rejected (429).
const THROTTLED: &str = "\
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: throttled}
spec: {type: Limited, limited: {nominalConcurrencyShares: 1, borrowingLimitPercent: 0, limitResponse: {type: Reject}}}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: throttled}
spec:
  matchingPrecedence: 100
  priorityLevelConfiguration: {name: throttled}
  rules:
    - subjects: [{kind: ServiceAccount, serviceAccount: {namespace: tenantdb, name: tenantdb}}]
      resourceRules: [{verbs: ['*'], apiGroups: ['*'], namespaces: ['*'], clusterScope: true, resources: ['*']}]
";

#[test]
fn an_api_server_that_has_enough_to_do_is_asked_again() {
    let Some(site) = Site::with(16, Admin::Plain) else { return };
    site.ready_server();
    site.apply(THROTTLED);
    let dump = ["get", "--raw", "/debug/api_priority_and_fairness/dump_priority_levels"];
    let rejected = || -> Option<u32> {
        let levels = site.cluster.kubectl(&dump);
        let ours = levels.lines().find(|line| line.starts_with("throttled,"))?;
        ours.split(',').nth(7)?.trim().parse().ok()
    };
    wait_until(PATIENCE, || rejected().is_some());
    let (mut made, mut names) = (0, Vec::new());
    while rejected() == Some(0) {
        assert!(made < 200, "no request was rejected");
        // Of those that are paused, all is told at once.
        site.make_many(made..made + 4, "{}");
        site.make_many(made + 4..made + 20, "{\"reconcile\": \"Paused\"}");
        names.extend((made..made + 4).map(|number| format!("many-{number}")));
        made += 20;
        site.told(made);
    }
    site.all_ready(&names);
    assert_eq!(site.secrets("default").len(), names.len());
    all_log_in(&site, &site.secrets("default"));
}

#[test]
fn others_may_write_to_the_same_objects() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    let names: Vec<String> = (0..8).map(|number| format!("app-{number}")).collect();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let annotation = format!("example.com/turn={turn}");
                let _ = site.cluster.try_kubectl(&["annotate", "--overwrite", "--all", "tdb,secret", &annotation], "");
            }
        });
        site.apply(&names.iter().map(|name| tenant(name, "{}")).collect::<String>());
        site.all_ready(&names);
        for name in &names {
            let before = site.secret("default", &format!("{name}-secret")).unwrap();
            site.objects.delete("secret", "", &format!("{name}-secret"));
            wait_until(PATIENCE, || site.secret("default", &format!("{name}-secret")).is_some_and(|now| now != before));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    // A status that somebody wrote is ours to write, and a finalizer that somebody took off is put on again.
    let _ = site.cluster.kubectl(&[
        "patch",
        "tdb",
        "app-0",
        "--subresource=status",
        "--type=merge",
        "-p",
        "{\"status\": {\"database\": \"another\", \"owner\": \"eve\"}}",
    ]);
    site.objects.patch("tdb", "", "app-1", &json!({"metadata": {"finalizers": []}}));
    site.look_closely_at("app-0");
    wait_until(PATIENCE, || {
        let (first, second) =
            (site.get("tdb", "default", "app-0").unwrap(), site.get("tdb", "default", "app-1").unwrap());
        first["status"]["owner"] == "app-0"
            && first["status"]["database"] == "app-0"
            && second["metadata"]["finalizers"] != Value::Null
    });
    all_log_in(&site, &site.secrets("default"));
}

#[test]
fn thousands_of_resources_at_its_start_hold_nobody_up() {
    let Some(mut site) = Site::without_operator(Options::new(18, Admin::Plain)) else { return };
    site.make_many(0..2000, "{\"reconcile\": \"Paused\"}");
    site.apply(&tenant("cafe", "{}"));
    site.start();
    site.ready("default", "cafe");
    site.told(2001);
    site.wait_for("tdb", "default", "many-1999", "Ready", "True", "Paused");
    assert_eq!(site.server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'many-%'"), "0");
}
