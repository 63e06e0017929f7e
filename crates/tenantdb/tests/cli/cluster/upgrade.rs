//! What was declared by the definitions of an earlier version is kept by those of now.

use serde_json::{Value, json};
use tenantdb_testkit::{Admin, TestServer};

use super::site::Site;
use crate::access::role;
use crate::world::{query, tenant};

/// The definitions of the first version that had an operator.
const FIRST: &str = include_str!("../fixtures/crds-1.yaml");

/// What a server could allow, and be, then.
const ALLOW: &str = "unprotected: false, namespaces: {names: [default]}, names: '*', adopt: IfOrphaned, \
                     memberOf: [readers], templates: [template0], extensions: [pg_trgm], settings: [work_mem], \
                     init: true, connectionLimit: 50, perNamespace: 5";
const SERVER: &str = "  engine: PostgreSQL
  naming: {database: '{namespace}_{name}', owner: '{database}'}
  publish: {host: localhost}
  tls: {mode: prefer}
  connectFor: [readers]
  limits: {databases: 10, connections: 5}
  defaults: {connectionLimit: 20}
";

/// What a database could be then.
const DATABASE: &str = "{server: shared, database: meals, owner: cook, comment: Meals, reconcile: Full, \
    deletionProtection: true, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete, adopt: IfOrphaned, \
    create: {encoding: UTF8, template: template0}, connectionLimit: 10, memberOf: [readers], extensions: [pg_trgm], \
    schemas: [app], settings: {work_mem: 8MB}, init: [{configMap: {name: seeds, key: seed.sql}}], \
    access: [{name: reporting, level: ReadOnly, schemas: [app]}, {role: default/grafana, level: ReadOnly}], \
    credentials: {mode: Password, secretName: login, secretType: Opaque, secretPolicy: Create, formats: [default, env], \
    keys: {DSN: '{uri}'}, rotation: {strategy: Alternate}}}";
const ROLE: &str = "{server: shared, role: watcher, deletionProtection: true, roleDeletionPolicy: Delete, \
    connectionLimit: 5, settings: {work_mem: 4MB}, databases: [{namespace: default, name: cafe, level: ReadOnly}], \
    credentials: {formats: [env]}}";

/// What the definitions took then, and take no more.
const ODD_SERVER: &str = "\
apiVersion: tenantdb.dev/v1alpha1
kind: DatabaseServer
metadata: {name: odd}
spec:
  source: {endpoint: {host: 127.0.0.1}}
  admin: {username: admin_user, passwordFrom: [{secret: {namespace: kube-system, name: postgresql, key: password}}]}
  allow: {namespaces: {selector: {matchExpressions: [{key: team, operator: Equals, values: [shop]}]}}}
";
const ODD_DATABASE: &str = "{credentials: {secretType: kubernetes.io/tls}}";

/// Each of them by its kind and name.
const DECLARED: [(&str, &str); 5] =
    [("dbs", "shared"), ("tdb", "cafe"), ("tenantrole", "grafana"), ("dbs", "odd"), ("tdb", "odd")];

/// Whether all that was declared still is; what was not may have a default since.
fn keeps(before: &Value, now: &Value) -> bool {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            before.iter().all(|(key, value)| now.get(key).is_some_and(|now| keeps(value, now)))
        }
        _ => before == now,
    }
}

/// Declares one of each kind as it could be then.
fn declare(site: &Site) {
    site.apply(FIRST);
    site.objects.wait_for_definitions();
    site.server.psql("postgres", "CREATE ROLE readers");
    site.store_password(site.server.admin_password());
    site.apply(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: seeds}, data: {seed.sql: CREATE TABLE dishes (name text)}}",
    );
    site.apply(&site.server_yaml(SERVER).replace("unprotected: true", ALLOW));
    site.apply(&(tenant("cafe", DATABASE) + &role("grafana", ROLE)));
    site.apply(&(tenant("odd", ODD_DATABASE) + "---\n" + ODD_SERVER));
}

fn specs(site: &Site) -> Vec<Value> {
    DECLARED.iter().map(|(kind, name)| site.get(kind, "default", name).unwrap()["spec"].take()).collect()
}

#[test]
fn what_the_first_definitions_took_is_kept_by_those_of_now() {
    let mut before = Vec::new();
    let upgrade = |site: &Site| {
        declare(site);
        before = specs(site);
        site.install();
    };
    let start = || TestServer::try_start(18, Admin::Superuser);
    let Some(mut site) = Site::installed(start, upgrade) else { return };
    site.start();
    site.ready_server();
    site.ready("default", "cafe");
    site.wait_for("tenantrole", "default", "grafana", "Ready", "True", "InSync");
    let login = site.secret("default", "login").unwrap();
    assert_eq!(query(&site.server, &login, "SELECT count(*) FROM dishes"), Ok("0".to_owned()));
    assert_eq!((login["username"].as_str(), login["database"].as_str()), ("cook_a", "meals"));

    // What is not as it has to be now may be changed elsewhere, and says what is wrong.
    site.objects.patch("tdb", "", "odd", &json!({"spec": {"comment": "Odd"}}));
    site.objects.patch("dbs", "", "odd", &json!({"spec": {"default": false}}));
    site.wait_for("tdb", "default", "odd", "Stalled", "True", "Invalid");
    site.wait_for("dbs", "", "odd", "Stalled", "True", "Invalid");
    for ((kind, name), (before, now)) in DECLARED.iter().zip(before.iter().zip(&specs(&site))) {
        assert!(keeps(before, now), "{kind} {name} was\n{before}\nand is\n{now}");
    }
    let cafe = tenant("cafe", &DATABASE.replace("comment: Meals", "comment: Dishes"));
    site.apply(&cafe);
    site.ready("default", "cafe");
}
