//! The chart of a team's databases.

use serde_json::{Value, json};
use tenantdb_testkit::wait_until;

use super::{are_taken, chart, definitions, is_refused, is_well_formed, make_namespace, objects, rendered, values};
use crate::cluster::site::{OPERATOR, PATIENCE, Site, with_our_kinds};
use crate::world::query;

const CHART: &str = "tenant-databases";

/// As users wrote them for the chart of an earlier setup.
const TEAM: &str = "
tenantDatabases:
  - name: my-app-db
    namespace: my-namespace
  - name: my-test-db
    namespace: my-namespace
    deletionProtection: false
    roleDeletionPolicy: Delete
    dbDeletionPolicy: Delete
";

/// The same databases, with all that an entry may have.
const TEAM_WITH_MORE: &str = "
tenantDatabases:
  - name: my-app-db
    deletionProtection: true
    roleDeletionPolicy: Orphan
    dbDeletionPolicy: Orphan
    spec: {schemas: [app], connectionLimit: 1000000, access: [{name: reporting, level: ReadOnly}]}
syncWave: 0
";

#[test]
fn it_is_well_formed() {
    for values in ["", TEAM, TEAM_WITH_MORE] {
        is_well_formed(CHART, values);
    }
}

#[test]
fn values_that_it_can_not_use_are_refused_with_the_reason() {
    for (values, told) in [
        ("databases: []", "additional properties 'databases' not allowed"),
        ("tenantDatabases: [{namespace: shop}]", "missing property 'name'"),
        ("tenantDatabases: [{name: My_db}]", "'/tenantDatabases/0/name'"),
        ("tenantDatabases: [{name: a, schemas: [app]}]", "additional properties 'schemas'"),
        ("tenantDatabases: [{name: a, dbDeletionPolicy: Keep}]", "must be one of 'Orphan', 'Delete'"),
        ("tenantDatabases: [{name: a, deletionProtection: 'no'}]", "want boolean"),
        ("tenantDatabases: [{name: a, spec: {shemas: [app]}}]", "invalid propertyName 'shemas'"),
        ("tenantDatabases: [{name: a}, {name: a, namespace: tenantdb}]", "is listed twice"),
        (
            "tenantDatabases: [{name: a, deletionProtection: true, spec: {deletionProtection: false}}]",
            "a of namespace tenantdb has deletionProtection twice",
        ),
    ] {
        is_refused(CHART, values, told);
    }
}

#[test]
fn it_knows_the_fields_of_a_database() {
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string(format!("{}/values.schema.json", chart(CHART))).unwrap())
            .unwrap();
    let known = &schema["properties"]["tenantDatabases"]["items"]["properties"]["spec"]["propertyNames"]["enum"];
    let definitions = definitions();
    let of_databases = definitions.iter().find(|found| found["spec"]["names"]["kind"] == "TenantDatabase").unwrap();
    let spec = &of_databases["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    assert_eq!(*known, json!(spec.as_object().unwrap().keys().collect::<Vec<_>>()));
}

#[test]
fn the_api_server_takes_whatever_it_makes() {
    let Some(cluster) = with_our_kinds() else { return };
    make_namespace(&cluster);
    for values in [&TEAM.replace("my-namespace", "default"), TEAM_WITH_MORE] {
        are_taken(&cluster, &objects(&rendered(CHART, values, &[]).unwrap()));
    }
}

#[test]
fn values_go_where_they_belong() {
    let Some(made) = rendered(CHART, TEAM, &[]) else { return };
    let team = objects(&made);
    let meta = |name: &str| json!({"name": name, "namespace": "my-namespace"});
    assert_eq!((&team[0]["metadata"], &team[0]["spec"]), (&meta("my-app-db"), &json!({})));
    let deleted = json!({"dbDeletionPolicy": "Delete", "deletionProtection": false, "roleDeletionPolicy": "Delete"});
    assert_eq!((&team[1]["metadata"], &team[1]["spec"]), (&meta("my-test-db"), &deleted));
    let more = objects(&rendered(CHART, TEAM_WITH_MORE, &[]).unwrap());
    assert_eq!(more[0]["metadata"]["namespace"], OPERATOR);
    assert_eq!(more[0]["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"], "0");
    assert_eq!(more[0]["spec"]["connectionLimit"], 1_000_000);
}

#[test]
fn helm_installs_upgrades_and_removes_databases() {
    let Some(site) = Site::by_helm(16) else { return };
    site.namespace("my-namespace");
    let (team, file) = (chart(CHART), values(TEAM));
    let file = file.path().to_str().unwrap();
    site.cluster.helm(&["install", "team", &team, "-n", "my-namespace", "--values", file]);
    for (name, database) in [("my-app-db", "my-app-db"), ("my-test-db", "my-test-db")] {
        site.ready("my-namespace", name);
        let credential = site.secret("my-namespace", &format!("{name}-secret")).unwrap();
        assert_eq!(query(&site.server, &credential, "SELECT current_database()"), Ok(database.to_owned()));
    }
    // What the setup before gave to applications.
    let credential = site.secret("my-namespace", "my-app-db-secret").unwrap();
    for key in ["username", "password", "endpoint", "port"] {
        assert!(credential.contains_key(key), "{key}");
    }

    let wave = ["upgrade", "team", &team, "-n", "my-namespace", "--values", file, "--set", "syncWave=-1"];
    site.cluster.helm(&wave);
    let app = || site.get("tdb", "my-namespace", "my-app-db");
    assert_eq!(app().unwrap()["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"], "-1");
    site.ready("my-namespace", "my-app-db");
    // What is listed no more goes, unless it is protected; listed again, it is the release's again.
    let fewer = values(&TEAM.replace("  - name: my-app-db\n    namespace: my-namespace\n", ""));
    let fewer = ["upgrade", "team", &team, "-n", "my-namespace", "--values", fewer.path().to_str().unwrap()];
    assert!(!site.cluster.helm(&fewer).contains("my-app-db"));
    site.ready("my-namespace", "my-app-db");
    site.cluster.helm(&wave);
    let refused = site.cluster.try_helm(&["uninstall", "team", "-n", "my-namespace", "--debug"]);
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && error.contains("it is protected from deletion"), "{error}");
    wait_until(PATIENCE, || !site.server.has_database("my-test-db"));
    site.ready("my-namespace", "my-app-db");
    site.objects.patch("tdb", "my-namespace", "my-app-db", &json!({"spec": {"deletionProtection": false}}));
    site.ready("my-namespace", "my-app-db");
    site.cluster.helm(&["uninstall", "team", "-n", "my-namespace"]);
    wait_until(PATIENCE, || app().is_none());
    assert!(site.server.has_database("my-app-db"));

    // Listed again, it is the same database with the same credential.
    site.cluster.helm(&["install", "team", &team, "-n", "my-namespace", "--values", file]);
    site.ready("my-namespace", "my-app-db");
    assert_eq!(site.secret("my-namespace", "my-app-db-secret"), Some(credential));
}
