//! Databases as custom resources.

use std::str::FromStr as _;

use serde_json::{Value, json};
use tenantdb_testkit::{Admin, Options, PortLease, TestServer, wait_until};

use super::site::{PATIENCE, Site};
use crate::access::role;
use crate::world::{query, tenant};

#[test]
fn a_resource_becomes_a_database_with_its_secret() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    site.namespace("shop");
    site.apply(
        &tenant("cafe", "{schemas: [app], access: [{name: reporting, level: ReadOnly}]}")
            .replace("metadata: {name: cafe}", "metadata: {name: cafe, namespace: shop}"),
    );
    site.ready("shop", "cafe");
    let owner = site.secret("shop", "cafe-secret").unwrap();
    let reporting = site.secret("shop", "cafe-secret-reporting").unwrap();
    assert_eq!(query(&site.server, &owner, "SELECT current_user"), Ok("cafe".to_owned()));
    assert_eq!(query(&site.server, &reporting, "SELECT session_user"), Ok("cafe_reporting_a".to_owned()));
}

#[test]
fn a_secret_has_the_type_and_the_keys_that_its_readers_expect() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    site.apply(
        &(tenant("cafe", "{credentials: {formats: [cnpg]}}")
            + &tenant("blog", "{credentials: {formats: [servicebinding]}}")),
    );
    for (name, expected) in [("cafe", "kubernetes.io/basic-auth"), ("blog", "servicebinding.io/postgresql")] {
        site.ready("default", name);
        let secret = site.get("secret", "default", &format!("{name}-secret")).unwrap();
        let resource = site.get("tdb", "default", name).unwrap();
        assert_eq!(secret["type"], expected);
        assert_eq!(secret["metadata"]["labels"]["tenantdb.dev/owner-uid"], resource["metadata"]["uid"]);
        assert_eq!(secret["metadata"]["ownerReferences"], serde_json::Value::Null);
        assert_eq!(resource["status"]["binding"]["name"], format!("{name}-secret"));
        let login = site.secret("default", &format!("{name}-secret")).unwrap();
        let url = tokio_postgres::Config::from_str(&login["uri"]).unwrap();
        assert_eq!(url.get_user(), Some(format!("{name}_a").as_str()));
    }
    site.apply(&tenant("cafe", "{credentials: {formats: [default]}}"));
    site.wait_for("tdb", "default", "cafe", "Ready", "False", "Conflict");
    site.objects.delete("secret", "", "cafe-secret");
    site.ready("default", "cafe");
    assert_eq!(site.get("secret", "default", "cafe-secret").unwrap()["type"], "Opaque");
}

#[test]
fn a_secret_that_is_somebody_elses_is_never_written() {
    let Some(site) = Site::with(15, Admin::Superuser) else { return };
    let ours = "labels: {app.kubernetes.io/managed-by: tenantdb}, annotations: {tenantdb.dev/claim: 'cluster:test TenantDatabase/forged', tenantdb.dev/server: shared}";
    for (name, more) in [
        ("foreign", "stringData: {username: eve}"),
        ("forged", "stringData: {username: eve, password: guessed, LD_PRELOAD: /tmp/eve.so}"),
        ("frozen", "immutable: true, stringData: {username: eve}"),
    ] {
        let metadata =
            if name == "forged" { format!("name: forged-secret, {ours}") } else { format!("name: {name}-secret") };
        site.apply(&format!("{{apiVersion: v1, kind: Secret, metadata: {{{metadata}}}, {more}}}"));
        let before = site.secret("default", &format!("{name}-secret"));
        site.apply(&tenant(name, "{}"));
        site.wait_for("tdb", "default", name, "Ready", "False", "Conflict");
        assert_eq!(site.secret("default", &format!("{name}-secret")), before);
        site.objects.delete("secret", "", &format!("{name}-secret"));
        site.ready("default", name);
        assert_eq!(site.secret("default", &format!("{name}-secret")).unwrap()["username"], format!("{name}_a"));
    }
}

#[test]
fn a_further_login_that_can_not_be_delivered_is_told_by_its_database() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    site.apply("{apiVersion: v1, kind: Secret, metadata: {name: cafe-secret-reporting}, stringData: {a: b}}");
    site.apply(&tenant("cafe", "{access: [{name: reporting, level: ReadOnly}]}"));
    site.wait_for("tdb", "default", "cafe", "Ready", "False", "Conflict");
    let found = site.get("tdb", "default", "cafe").unwrap();
    let told = found["status"]["conditions"][0]["message"].as_str().unwrap();
    assert!(
        told.starts_with("default/cafe:reporting: Secret default/cafe-secret-reporting was not written by tenantdb"),
        "{told}"
    );
    assert!(site.secret("default", "cafe-secret").is_some());
    site.objects.delete("secret", "", "cafe-secret-reporting");
    site.ready("default", "cafe");
}

#[test]
fn what_is_to_be_known_of_a_further_login_is_told_by_its_database() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    site.make("cafe", "{access: [{name: reporting, level: ReadOnly}]}");
    site.server.psql("postgres", "CREATE ROLE readers");
    site.server.psql("postgres", "GRANT readers TO cafe_reporting_a");
    site.look_closely_at("cafe");
    site.wait_to_hear("tdb", "default", "cafe", "default/cafe:reporting: ");
    site.wait_for("tdb", "default", "cafe", "MoreThanItsOwn", "True", "MoreThanItsOwn");
}

#[test]
fn what_somebody_takes_away_comes_back() {
    let Some(site) = Site::with(16, Admin::Plain) else { return };
    site.make("cafe", "{}");
    let before = site.secret("default", "cafe-secret").unwrap();
    site.objects.delete("secret", "", "cafe-secret");
    wait_until(PATIENCE, || site.secret("default", "cafe-secret").is_some());
    let after = site.secret("default", "cafe-secret").unwrap();
    assert_ne!(before["password"], after["password"]);
    assert_eq!(query(&site.server, &after, "SELECT current_user"), Ok("cafe".to_owned()));
    site.objects.patch("secret", "", "cafe-secret", &json!({"stringData": {"DB_HOST": "evil"}}));
    wait_until(PATIENCE, || {
        site.secret("default", "cafe-secret").is_some_and(|secret| secret["DB_HOST"] == "127.0.0.1")
    });
}

#[test]
fn a_deleted_resource_leaves_behind_what_its_policies_say() {
    let Some(site) = Site::with(15, Admin::Plain) else { return };
    let gone = "{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete, \
                credentials: {formats: [cnpg]}}";
    let kept = "{dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}";
    site.apply(&(tenant("cafe", gone) + &tenant("blog", kept)));
    site.ready("default", "cafe");
    site.ready("default", "blog");
    let login = site.secret("default", "blog-secret").unwrap();
    site.objects.delete("tdb", "", "cafe");
    site.guard_no_more("", "blog");
    site.objects.delete("tdb", "", "blog");
    assert_eq!(
        site.server.psql("postgres", "SELECT datname FROM pg_database WHERE datname IN ('cafe', 'blog')"),
        "blog"
    );
    assert_eq!(site.secret("default", "cafe-secret"), None);
    assert_eq!(site.secret("default", "blog-secret"), Some(login.clone()));
    assert_eq!(query(&site.server, &login, "SELECT current_user"), Ok("blog".to_owned()));
    site.apply(&tenant("blog", kept));
    site.ready("default", "blog");
    assert_eq!(site.secret("default", "blog-secret"), Some(login));
}

#[test]
fn a_resource_whose_server_is_gone_can_be_deleted() {
    let Some(site) = Site::with(16, Admin::Plain) else { return };
    let gone = "{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}";
    site.apply(&(tenant("cafe", gone) + &tenant("blog", gone)));
    site.ready("default", "cafe");
    site.ready("default", "blog");
    let login = site.secret("default", "cafe-secret").unwrap();
    site.objects.delete("dbs", "", "shared");
    site.wait_for("tdb", "default", "cafe", "Ready", "False", "NoServer");
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tenantdb %'";
    wait_until(PATIENCE, || site.server.psql("postgres", sessions) == "0");
    wait_until(PATIENCE, || !site.ask("/metrics").1.contains("tenantdb_server_up{"));
    site.objects.delete("tdb", "", "cafe");
    wait_until(PATIENCE, || site.events().contains("LeftBehind: DatabaseServer shared is not there any more"));
    assert_eq!(query(&site.server, &login, "SELECT current_user"), Ok("cafe".to_owned()));
    // One of the same name is worked on as before.
    site.apply(&site.server_yaml(""));
    site.ready("default", "blog");
    site.objects.delete("tdb", "", "blog");
    assert_eq!(
        site.server.psql("postgres", "SELECT datname FROM pg_database WHERE datname IN ('cafe', 'blog')"),
        "cafe"
    );
}

#[test]
fn what_is_only_observed_or_paused_is_left_as_it_is() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    site.apply(&(tenant("cafe", "{}") + &tenant("blog", "{}") + &tenant("shop", "{reconcile: Observe}")));
    site.all_ready(&["cafe", "blog"]);
    site.wait_for("tdb", "default", "shop", "Stalled", "True", "Missing");
    site.apply(&(tenant("cafe", "{reconcile: Observe}") + &tenant("blog", "{reconcile: Paused}")));
    site.ready("default", "cafe");
    site.wait_for("tdb", "default", "blog", "Ready", "True", "Paused");
    site.server.psql("postgres", "GRANT CONNECT ON DATABASE cafe TO PUBLIC; GRANT CONNECT ON DATABASE blog TO PUBLIC");
    site.look_closely_at("cafe");
    site.look_closely_at("blog");
    site.wait_for("tdb", "default", "cafe", "Ready", "True", "Drifted");
    site.wait_to_hear("tdb", "default", "cafe", "`reconcile: Observe` leaves it so: database cafe: closed to PUBLIC");
    site.objects.delete("tdb", "", "shop");
    let open = "SELECT datname FROM pg_database, aclexplode(datacl) a \
                WHERE a.grantee = 0 AND datname IN ('cafe', 'blog') ORDER BY 1";
    assert_eq!(site.server.psql("postgres", open), "blog\ncafe");
    site.apply(&(tenant("cafe", "{}") + &tenant("blog", "{}")));
    site.all_ready(&["cafe", "blog"]);
    assert_eq!(site.server.psql("postgres", open), "");
}

#[test]
fn a_database_stays_with_its_server_when_that_is_the_default_no_more() {
    let Some(mut site) = Site::with(16, Admin::Plain) else { return };
    site.make("cafe", "{}");
    site.apply(&site.server_yaml("").replace("default: true", "default: false"));
    site.stop();
    site.apply(&(tenant("cafe", "{comment: Meals}") + &tenant("blog", "{}")));
    site.start();
    site.ready("default", "cafe");
    site.wait_for("tdb", "default", "blog", "Ready", "False", "NoServer");
    site.wait_to_hear("tdb", "default", "blog", "it names no `server`, and no DatabaseServer is the default");
}

#[test]
fn what_waits_for_a_server_tells_why_and_can_name_another() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    site.apply(&tenant("shop", "{server: late}"));
    site.wait_for("tdb", "default", "shop", "Ready", "False", "NoServer");
    site.wait_to_hear("tdb", "default", "shop", "there is no DatabaseServer `late`");
    let dead = PortLease::take();
    let here = format!("port: {}", site.server.port());
    let late = site.server_yaml("").replace("name: shared", "name: late").replace("default: true", "default: false");
    site.apply(&late.replace(&here, &format!("port: {}", dead.port())));
    site.wait_for("tdb", "default", "shop", "Ready", "False", "ServerUnreachable");
    site.apply(&tenant("blog", "{server: late}"));
    site.wait_for("tdb", "default", "blog", "Ready", "False", "ServerUnreachable");
    site.make("shop", "{server: shared}");
    site.apply(&tenant("erp", "{server: shared, database: shop}"));
    site.wait_for("tdb", "default", "erp", "Ready", "False", "NotAllowed");
    let status = site.get("tdb", "default", "erp").unwrap()["status"].take();
    assert_eq!(
        (&status["server"], &status["database"], &status["secretName"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    site.make("erp", "{server: shared, database: erp}");
}

#[test]
fn the_second_claim_on_a_database_is_a_conflict_and_harms_nobody() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    let policies = "deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete";
    site.namespace("other");
    site.apply(&tenant("cafe", &format!("{{{policies}}}")));
    site.ready("default", "cafe");
    let login = site.secret("default", "cafe-secret").unwrap();
    let second = tenant("cafe", &format!("{{{policies}}}")).replace("{name: cafe}", "{name: cafe, namespace: other}");
    site.apply(&second);
    site.wait_for("tdb", "other", "cafe", "Ready", "False", "Conflict");
    let found = site.get("tdb", "other", "cafe").unwrap();
    assert_eq!(found["metadata"]["finalizers"], serde_json::Value::Null);
    site.objects.delete("tdb", "other", "cafe");
    assert_eq!(query(&site.server, &login, "SELECT current_user"), Ok("cafe".to_owned()));
}

#[test]
fn what_a_person_reads_of_a_resource() {
    let Some(mut site) = Site::around(|| TestServer::try_start(18, Admin::Plain)) else { return };
    site.store_password(site.server.admin_password());
    site.apply(&site.server_yaml("").replace("unprotected: true", "names: '*'"));
    site.apply(&(tenant("blog", "{comment: Posts}") + &tenant("cafe", "{database: blog, adopt: Never}")));
    site.start();
    site.ready("default", "blog");
    // At first both are only declared; once the one is made, the ledger tells whose the name is.
    site.wait_to_hear("tdb", "default", "cafe", "belongs to TenantDatabase default/blog");
    // Other writers than that of its status tell of it, and of the server.
    wait_until(PATIENCE, || site.objects.list("event", "").iter().any(|event| event["reason"] == "Created"));
    wait_until(PATIENCE, || site.get("dbs", "", "shared").unwrap()["status"]["databases"] == 1);
    let read = [
        site.cluster.kubectl(&["get", "tdb,dbs", "-A"]),
        site.cluster.kubectl(&["describe", "tdb", "blog"]),
        site.cluster.kubectl(&["get", "tdb", "cafe", "-o", "jsonpath={.status.conditions[*].message}"]),
    ];
    let mut text = read.join("\n----\n");
    for (pattern, name) in [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "[time]"),
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "[uid]"),
        (r"(Resource Version:\s+)\d+", "$1[version]"),
        (r"\b18\.\d+\b", "18.x"),
        (r"\b\d+m?s\b *", "[age]  "),
        (r" +(\n|$)", "$1"),
    ] {
        text = regex::Regex::new(pattern).unwrap().replace_all(&text, name).into_owned();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn what_happens_while_no_operator_runs_is_found_by_the_next() {
    let Some(mut site) = Site::with(16, Admin::Superuser) else { return };
    site.apply(
        &(tenant("blog", "{}")
            + &tenant("cafe", "{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}")),
    );
    site.ready("default", "blog");
    site.ready("default", "cafe");
    site.stop();
    let _ = site.cluster.kubectl(&["delete", "tdb", "cafe", "--wait=false"]);
    site.objects.delete("secret", "", "blog-secret");
    site.server.psql("postgres", "GRANT CONNECT ON DATABASE blog TO PUBLIC");
    site.apply(&tenant("shop", "{}"));
    site.start();
    site.ready("default", "shop");
    wait_until(PATIENCE, || {
        site.get("tdb", "default", "cafe").is_none() && site.secret("default", "blog-secret").is_some()
    });
    let login = site.secret("default", "blog-secret").unwrap();
    assert_eq!(query(&site.server, &login, "SELECT current_user"), Ok("blog".to_owned()));
    let open = "SELECT count(*) FROM pg_database, aclexplode(datacl) a WHERE datname = 'blog' AND a.grantee = 0";
    assert_eq!(site.server.psql("postgres", open), "0");
}

#[test]
fn a_server_that_is_away_is_waited_for_and_a_new_password_is_taken() {
    let Some(site) = Site::with(15, Admin::Plain) else { return };
    site.make("blog", "{}");
    site.server.stop();
    site.apply(&tenant("cafe", "{}"));
    site.wait_for("dbs", "", "shared", "Ready", "False", "ServerUnreachable");
    site.wait_for("tdb", "default", "cafe", "Ready", "False", "ServerUnreachable");
    site.ready("default", "blog");
    site.server.start_again();
    site.ready("default", "cafe");
    site.server.psql("postgres", "ALTER ROLE admin_user PASSWORD 'another-Password-1'");
    site.server.restart();
    site.apply(&tenant("shop", "{}"));
    site.wait_for("tdb", "default", "shop", "Ready", "False", "LoginRefused");
    site.store_password("another-Password-1");
    site.ready("default", "shop");
}

#[test]
fn a_resource_that_can_not_be_used_says_why_and_stops_no_other() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    site.apply(
        &(tenant("cafe", "{credentials: {deliver: [{store: aws}]}}") + &tenant("blog", "{settings: {role: x}}")),
    );
    site.apply(
        &(tenant("lost", "{server: nowhere}") + &tenant("shop", "{memberOf: [postgres]}") + &tenant("erp", "{}")),
    );
    site.ready("default", "erp");
    site.wait_for("tdb", "default", "cafe", "Stalled", "True", "Invalid");
    site.wait_for("tdb", "default", "blog", "Stalled", "True", "Invalid");
    site.wait_for("tdb", "default", "lost", "Ready", "False", "NoServer");
    site.wait_for("tdb", "default", "shop", "Stalled", "True", "NotAllowed");
    assert_eq!(
        site.server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname ~ '^(cafe|blog|lost|shop)'"),
        "0"
    );
}

#[test]
fn drift_is_healed_and_told_in_an_event() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    site.make("cafe", "{access: [{name: reporting, level: ReadOnly}]}");
    site.server.psql("postgres", "GRANT CONNECT ON DATABASE cafe TO PUBLIC; ALTER ROLE cafe_a CREATEDB; ALTER ROLE cafe_reporting_a PASSWORD 'x'");
    site.look_closely_at("cafe");
    wait_until(PATIENCE, || site.events().contains("database cafe: closed to PUBLIC (every login could connect)"));
    let told = site.events();
    assert!(told.contains("cafe: Created: database cafe with its credential"), "{told}");
    assert!(told.contains("role cafe_a: no CREATEDB (it was CREATEDB)"), "{told}");
    let login = site.secret("default", "cafe-secret-reporting").unwrap();
    wait_until(PATIENCE, || query(&site.server, &login, "SELECT session_user") == Ok("cafe_reporting_a".to_owned()));
    assert_eq!(site.secret("default", "cafe-secret-reporting"), Some(login));
}

#[test]
fn of_two_declarations_of_one_server_the_elder_has_it() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    site.make("cafe", "{}");
    let ledger = site.server.psql("tenantdb", "SELECT id FROM ledger.server");
    wait_until(PATIENCE, || site.get("dbs", "", "shared").unwrap()["status"]["ledger"] == ledger.as_str());
    site.declare("again", &site.server);
    site.apply(&tenant("blog", "{server: again}"));
    site.wait_for("dbs", "", "again", "Ready", "False", "Conflict");
    site.wait_to_hear("dbs", "", "again", "DatabaseServer shared is the same server, and was there before");
    site.wait_for("tdb", "default", "blog", "Stalled", "True", "Conflict");
    assert_eq!(site.server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'blog%'"), "0");
    site.make("shop", "{}");
    site.wait_for("dbs", "", "shared", "Ready", "True", "Reachable");
    // Another server is one of its own.
    let other = Options::new(18, Admin::Plain).start();
    site.declare("again", &other);
    site.ready("default", "blog");
    site.wait_for("dbs", "", "again", "Ready", "True", "Reachable");
    assert!(other.has_database("blog"));
}

#[test]
fn what_an_operator_does_can_be_measured() {
    let Some(mut site) = Site::with(18, Admin::Plain) else { return };
    site.apply(&(tenant("blog", "{}") + &tenant("shop", "{memberOf: [postgres]}")));
    site.ready("default", "blog");
    site.wait_for("tdb", "default", "shop", "Ready", "False", "NotAllowed");
    assert_eq!((site.ask("/healthz").0.as_str(), site.ask("/readyz").0.as_str()), ("200", "200"));
    let (_, text) = site.ask("/metrics");
    for line in [
        "# TYPE tenantdb_pass_duration_seconds histogram",
        "tenantdb_tenants_reconciled_total{server=\"shared\",reason=\"InSync\"} ",
        "tenantdb_tenants_reconciled_total{server=\"shared\",reason=\"NotAllowed\"} ",
        "tenantdb_server_up{server=\"shared\"} 1",
        "tenantdb_queue_depth{server=\"shared\"} 0",
        "tenantdb_servers 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    site.server.stop();
    site.apply(&tenant("cafe", "{}"));
    wait_until(PATIENCE, || site.ask("/metrics").1.contains("tenantdb_server_up{server=\"shared\"} 0"));
    site.start();
    wait_until(PATIENCE, || site.ask("/readyz").0 == "200");
}

#[test]
fn a_log_can_be_one_object_a_line() {
    let Some(mut site) = Site::without_operator(Options::new(18, Admin::Plain)) else { return };
    (site.level, site.log_format) = ("info", "json");
    site.start();
    site.ready_server();
    site.server.stop();
    site.apply(&tenant("cafe", "{}"));
    wait_until(PATIENCE, || site.log().contains("the server can't be worked on"));
    site.stop();
    let log = site.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for field in ["timestamp", "level", "target", "message"] {
        assert!(lines.iter().all(|line| line[field].is_string()), "{field}: {log}");
    }
    let trouble = lines.iter().find(|line| line["level"] == "WARN" && line["server"] == "shared").expect(&log);
    assert!(trouble["failure"].as_str().unwrap().starts_with("server shared (127.0.0.1:"), "{trouble}");
    assert!(lines.iter().any(|line| line["message"].as_str().unwrap().starts_with("stopping")), "{log}");
}

#[test]
fn what_somebody_always_changes_back_is_told_and_left() {
    let Some(site) = Site::with(16, Admin::Plain) else { return };
    site.make("cafe", "{}");
    let open = "SELECT count(*) FROM pg_database, aclexplode(datacl) a WHERE datname = 'cafe' AND a.grantee = 0";
    for round in 0..3 {
        site.server.psql("postgres", "GRANT CONNECT ON DATABASE cafe TO PUBLIC");
        site.look_closely_at("cafe");
        if round < 2 {
            wait_until(PATIENCE, || site.server.psql("postgres", open) == "0");
        }
    }
    site.wait_for("tdb", "default", "cafe", "Contested", "True", "Contested");
    assert_eq!(site.server.psql("postgres", open), "1");
    site.make("cafe", "{comment: Now}");
    assert_eq!(site.server.psql("postgres", open), "0");
}

#[test]
fn a_role_uses_the_databases_that_consent_to_it() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    site.namespace("monitoring");
    let grafana = role("grafana", "{databases: [{namespace: default, name: cafe, level: ReadOnly}]}")
        .replace("{name: grafana}", "{name: grafana, namespace: monitoring}");
    site.apply(&grafana);
    site.wait_for("tenantrole", "monitoring", "grafana", "Ready", "False", "NotAllowed");
    site.make("cafe", "{access: [{role: monitoring/grafana, level: ReadOnly}]}");
    site.wait_for("tenantrole", "monitoring", "grafana", "Ready", "True", "InSync");
    let found = site.get("tenantrole", "monitoring", "grafana").unwrap();
    assert_eq!((&found["status"]["role"], &found["status"]["database"]), (&"grafana".into(), &serde_json::Value::Null));
    let owner = site.secret("default", "cafe-secret").unwrap();
    query(&site.server, &owner, "CREATE TABLE orders (id int)").unwrap();
    let login = site.secret("monitoring", "grafana-role-secret").unwrap();
    assert_eq!(query(&site.server, &login, "SELECT count(*) FROM orders"), Ok("0".to_owned()));
    assert!(query(&site.server, &login, "INSERT INTO orders VALUES (1)").is_err());
    // Consent that is withdrawn is withdrawn at once.
    site.apply(&tenant("cafe", "{access: []}"));
    wait_until(PATIENCE, || query(&site.server, &login, "SELECT count(*) FROM orders").is_err());
}
