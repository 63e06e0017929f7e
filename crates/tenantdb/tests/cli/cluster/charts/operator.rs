//! The chart of the operator, and what `tenantdb install` prints.

use std::path::PathBuf;

use serde_json::{Value, json};
use tenantdb_testkit::{Admin, Cluster, Objects, helm, wait_until};

use super::{are_taken, chart, definitions, is_refused, is_well_formed, make_namespace, objects, rendered};
use crate::cluster::site::{OPERATOR, PATIENCE, Site, with_our_kinds};
use crate::docs::{REWRITE, root};
use crate::world::{World, query, tenant_in};

const CHART: &str = "tenantdb";

/// Every value is something else than by default.
const EVERYTHING: &str = "
clusterId: eu-west/staging
replicas: 3
leaseDuration: 30s
image:
  repository: registry.example.org/tenantdb
  tag: '7'
  digest: sha256:0123456789abcdef
  pullPolicy: Always
  pullSecrets: [registry]
log: {format: text, level: 'info,tenantdb_operator=debug'}
automation:
  - system:serviceaccount:flux-system:kustomize-controller
  - 'oidc:o''hara \"the robot\"'
crds: {install: false}
serviceMonitor: {enabled: true, interval: 10s, labels: {release: prometheus}}
networkPolicy:
  enabled: true
  metricsFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
resources: {requests: {cpu: 100m}, limits: {cpu: '1', memory: 1Gi}}
terminationGracePeriodSeconds: 120
runAsUser: null
priorityClassName: system-cluster-critical
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: dedicated, operator: Exists}]
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/arch, operator: In, values: [amd64]}]}]
podAnnotations: {sidecar.istio.io/inject: 'false'}
podLabels: {team: platform}
extraEnv: [{name: PGPASSWORD, valueFrom: {secretKeyRef: {name: postgresql, key: password}}}]
extraVolumes: [{name: ca, configMap: {name: ca}}]
extraVolumeMounts: [{name: ca, mountPath: /ca, readOnly: true}]
";

/// What takes away whatever can be done without.
const LITTLE: &str = "
clusterId: a
crds: {install: false}
automation: []
networkPolicy: {enabled: false}
resources: {}
replicas: 0
";

/// Compares a file that is made with what it should be.
#[track_caller]
fn is_made(path: &str, text: &str) {
    let path: PathBuf = root().join(path);
    if std::fs::read_to_string(&path).unwrap_or_default() != text {
        if std::env::var_os(REWRITE).is_some() {
            std::fs::write(&path, text).unwrap();
        }
        panic!("{} is not as it is made; {REWRITE}=1 rewrites it", path.display());
    }
}

#[test]
fn it_is_well_formed() {
    for values in ["", EVERYTHING, LITTLE] {
        is_well_formed(CHART, values);
    }
}

#[test]
fn the_chart_is_of_the_programs_version() {
    let about = std::fs::read_to_string(root().join("deploy/charts/tenantdb/Chart.yaml")).unwrap();
    let about: Value = serde_saphyr::from_str(&about).unwrap();
    assert_eq!(about["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_chart_has_the_definitions_of_the_program() {
    let mut definitions = definitions();
    for definition in &mut definitions {
        definition["metadata"]["annotations"] = json!({"helm.sh/resource-policy": "keep"});
    }
    let text = serde_saphyr::to_string_multiple(&definitions).unwrap();
    assert!(!text.contains("{{"), "helm would take it for its own");
    let text = format!("{{{{- if .Values.crds.install }}}}\n{text}{{{{- end }}}}\n");
    is_made("deploy/charts/tenantdb/templates/crds.yaml", &text);
    let Some(made) = rendered(CHART, "clusterId: a", &[]) else { return };
    let made = objects(&made).into_iter().filter(|object| object["kind"] == "CustomResourceDefinition");
    assert_eq!(made.collect::<Vec<_>>(), definitions);
}

#[test]
fn install_prints_what_the_chart_makes() {
    let without_definitions = "crds: {install: false}";
    let Some(usual) = rendered(CHART, without_definitions, &["clusterId=staging"]) else { return };
    is_made("crates/tenantdb/src/commands/install/chart.yaml", &usual);

    let world = World::new();
    let install = |namespace: &str, arguments: &[&str]| {
        let printed = world.run(&[&["install"], arguments].concat()).exits(0).stdout;
        let mut printed = objects(&printed);
        let made = printed.remove(0);
        assert_eq!((&made["kind"], &made["metadata"]["name"]), (&json!("Namespace"), &json!(namespace)));
        let definitions = definitions();
        let rest = printed.split_off(definitions.len());
        assert_eq!(printed, definitions);
        rest
    };
    assert_eq!(install("tenantdb", &["--cluster-id", "staging"]), objects(&usual));
    let arguments =
        ["--cluster-id", "a/b", "--namespace", "db", "--replicas", "5", "--image", "registry.example.org/tenantdb:v7"];
    let chosen =
        "clusterId=a/b,replicas=5,image.repository=registry.example.org/tenantdb,image.tag=v7,crds.install=false";
    let mut helm = helm().unwrap();
    helm.args(["template", "tenantdb", &chart(CHART), "--namespace", "db", "--set", chosen]);
    let output = helm.output().unwrap();
    assert_eq!(install("db", &arguments), objects(&String::from_utf8(output.stdout).unwrap()));
    world.run(&["install", "--cluster-id", "a b"]).exits(2).tells("such as --cluster-id staging");
}

#[test]
fn values_that_it_can_not_use_are_refused_with_the_reason() {
    for (values, told) in [
        ("", "clusterId is missing"),
        ("clusterId: 'my cluster'", "'/clusterId'"),
        ("{clusterId: a, replica: 3}", "additional properties 'replica' not allowed"),
        ("{clusterId: a, image: {name: x}}", "additional properties 'name' not allowed"),
        ("{clusterId: a, automation: argocd}", "at '/automation'"),
        ("{clusterId: a, leaseDuration: fast}", "'/leaseDuration'"),
    ] {
        is_refused(CHART, values, told);
    }
}

/// An object of a certain kind.
fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("there is no {kind}"))
}

#[test]
fn the_api_server_takes_whatever_it_makes() {
    let Some(cluster) = with_our_kinds() else { return };
    make_namespace(&cluster);
    for values in ["clusterId: a", EVERYTHING, LITTLE] {
        let mut made = objects(&rendered(CHART, values, &[]).unwrap());
        // Its definition is the Prometheus operator's.
        made.retain(|object| object["kind"] != "ServiceMonitor");
        let pod = &of_kind(&made, "Deployment")["spec"]["template"];
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"], "spec": pod["spec"]});
        pod["metadata"]["name"] = json!("a");
        pod["metadata"]["namespace"] = json!(OPERATOR);
        made.push(pod.clone());
        are_taken(&cluster, &made);
        pod["spec"]["securityContext"]["runAsNonRoot"].take();
        assert!(Objects::of(&cluster).would_apply(&pod.to_string()).is_err(), "nobody looks at pods");
    }
}

#[test]
fn values_go_where_they_belong() {
    let Some(made) = rendered(CHART, EVERYTHING, &[]) else { return };
    let made = objects(&made);
    let deployment = of_kind(&made, "Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    let operator = &pod["containers"][0];
    assert_eq!(operator["image"], "registry.example.org/tenantdb@sha256:0123456789abcdef");
    let arguments = ["operator", "--cluster-id", "eu-west/staging", "--namespace", OPERATOR];
    let more = ["--lease-duration", "30s", "--log-format", "text"];
    assert_eq!(operator["args"], json!([&arguments[..], &more[..]].concat()));
    assert_eq!(operator["env"][0], json!({"name": "TENANTDB_LOG", "value": "info,tenantdb_operator=debug"}));
    assert_eq!(operator["env"][1]["name"], "PGPASSWORD");
    assert_eq!(operator["volumeMounts"][0]["name"], pod["volumes"][0]["name"]);
    assert!(pod["securityContext"].get("runAsUser").is_none());
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "registry"}]));
    assert_eq!(of_kind(&made, "ServiceMonitor")["metadata"]["labels"]["release"], "prometheus");
    assert!(of_kind(&made, "NetworkPolicy")["spec"]["ingress"][0]["from"].is_array());
    assert!(!made.iter().any(|object| object["kind"] == "CustomResourceDefinition"));
    let policies: Vec<&Value> = made.iter().filter(|object| object["kind"] == "ValidatingAdmissionPolicy").collect();
    let accounts = r#"["system:serviceaccount:flux-system:kustomize-controller","oidc:o'hara \"the robot\""]"#;
    let of_automation = policies.iter().filter(|policy| policy["spec"]["variables"].to_string().contains("automation"));
    assert_eq!(of_automation.clone().count(), 5);
    for policy in of_automation {
        let mut variables = policy["spec"]["variables"].as_array().unwrap().iter();
        assert_eq!(variables.find(|variable| variable["name"] == "automation").unwrap()["expression"], accounts);
    }

    let little = objects(&rendered(CHART, LITTLE, &[]).unwrap());
    assert!(!little.iter().any(|object| object["kind"] == "NetworkPolicy" || object["kind"] == "ServiceMonitor"));
}

#[test]
fn helm_installs_upgrades_and_removes_it() {
    let Some(mut site) = Site::by_helm(16) else { return };
    site.make("orders", "{}");
    let upgrade = ["upgrade", "tenantdb", &chart(CHART), "-n", OPERATOR, "--reuse-values", "--set", "replicas=3"];
    for (set, told) in
        [("clusterId=other", "clusterId is test since it was installed"), ("clusterId=", "--set clusterId=test")]
    {
        let refused = site.cluster.try_helm(&[&upgrade[..], &["--set", set]].concat());
        assert!(String::from_utf8_lossy(&refused.stderr).contains(told), "{refused:?}");
    }
    site.cluster.helm(&upgrade);
    assert_eq!(site.get("deployment", OPERATOR, "tenantdb").unwrap()["spec"]["replicas"], 3);
    site.cluster.helm(&["rollback", "tenantdb", "-n", OPERATOR]);
    assert_eq!(site.get("deployment", OPERATOR, "tenantdb").unwrap()["spec"]["replicas"], 2);
    refuses_a_newer_ledger(&site);
    site.cluster.helm(&[&upgrade[..], &["--set", "crds.install=false"]].concat());
    let definition = site.get("crd", "", "tenantdatabases.tenantdb.dev").unwrap();
    assert!(definition["metadata"]["deletionTimestamp"].is_null());

    site.cluster.helm(&["uninstall", "tenantdb", "-n", OPERATOR]);
    assert_eq!(site.get("deployment", OPERATOR, "tenantdb"), None);
    assert_eq!(site.get("validatingadmissionpolicy", "", "tenantdb-protection"), None);
    assert_logs_in(&site);
    wait_until(PATIENCE, || site.objects.would_delete("crd", "", "tenantdatabases.tenantdb.dev"));
    site.install_again(install);
    site.make("orders", "{connectionLimit: 5}");
    let limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'orders_a'";
    assert_eq!(site.server.psql("postgres", limit), "5");
}

/// What went back finds a ledger that the newer one wrote.
fn refuses_a_newer_ledger(site: &Site) {
    let set_version =
        |version: u32| site.server.psql("tenantdb", &format!("UPDATE ledger.server SET version = {version}"));
    let version = site.server.psql("tenantdb", "SELECT version FROM ledger.server").parse().unwrap();
    set_version(version + 1);
    let refresh = json!({"metadata": {"annotations": {"tenantdb.dev/refresh": "back"}}});
    site.objects.patch("dbs", "", "shared", &refresh);
    site.wait_for("dbs", "", "shared", "Reconciling", "True", "Failed");
    site.wait_to_hear("dbs", "", "shared", &format!("the ledger has version {}", version + 1));
    assert_logs_in(site);
    set_version(version);
    site.ready_server();
}

#[track_caller]
fn assert_logs_in(site: &Site) {
    let credential = site.secret("default", "orders-secret").unwrap();
    assert_eq!(query(&site.server, &credential, "SELECT current_database()"), Ok("orders".to_owned()));
}

/// Installs it by helm.
pub fn install(site: &Site) {
    let arguments = ["install", "tenantdb", &chart(CHART), "-n", OPERATOR, "--create-namespace"];
    let told = site.cluster.helm(&[&arguments[..], &["--set", "clusterId=test"]].concat());
    let (_, steps) = told.split_once("NOTES:").unwrap();
    let shown: Vec<&str> = steps.split("EOF\n").skip(1).step_by(2).collect();
    assert_eq!(shown.len(), 2, "{told}");
    for shown in shown {
        // The API server takes its time until it knows a kind.
        wait_until(PATIENCE, || site.objects.would_apply(shown).is_ok());
    }
}

#[test]
fn a_release_takes_over_what_was_applied() {
    let Some(cluster) = Cluster::get() else { return };
    let manifests = World::new().run(&["install", "--cluster-id", "test"]).exits(0).stdout;
    Objects::of(&cluster).apply(&manifests);
    let operator = chart(CHART);
    let install = ["install", "tenantdb", &operator, "-n", OPERATOR, "--set", "clusterId=test"];
    assert!(!cluster.try_helm(&install).status.success());
    cluster.helm(&[&install[..], &["--take-ownership"]].concat());
    let second = ["install", "second", &operator, "-n", "second", "--create-namespace", "--set", "clusterId=second"];
    assert!(!cluster.try_helm(&second).status.success(), "a cluster has one operator");
}

/// The platform's team, and an editor of the namespace `shop`, bound to the roles of the chart.
const PEOPLE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: tenantdb-platform}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: tenantdb-platform}
subjects: [{kind: User, name: pat, apiGroup: rbac.authorization.k8s.io}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tenantdb-edit, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: tenantdb-edit}
subjects: [{kind: User, name: ann, apiGroup: rbac.authorization.k8s.io}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tenantdb-view, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: tenantdb-view}
subjects: [{kind: User, name: vic, apiGroup: rbac.authorization.k8s.io}]
";

#[test]
fn people_may_what_their_roles_say() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    site.namespace("shop");
    site.apply(PEOPLE);
    for (role, into) in [("edit", &["edit", "admin"][..]), ("view", &["view"])] {
        let role = site.get("clusterrole", "", &format!("tenantdb-{role}")).unwrap();
        for into in into {
            let label = format!("rbac.authorization.k8s.io/aggregate-to-{into}");
            assert_eq!(role["metadata"]["labels"][label], "true");
        }
    }
    let try_as = |user: &str, arguments: &[&str], input: &str| {
        let output = site.cluster.try_kubectl(&[arguments, &[&format!("--as={user}")]].concat(), input);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let apply = ["apply", "--server-side", "-f", "-"];
    wait_until(PATIENCE, || try_as("ann", &apply, &tenant_in("shop", "cafe", "{}")).0);
    site.ready("shop", "cafe");
    wait_until(PATIENCE, || try_as("vic", &["get", "tdb,tenantroles", "-n", "shop"], "").0);
    let unprotected = r#"{"spec": {"deletionProtection": false}}"#;
    let unprotect = ["patch", "tdb", "cafe", "-n", "shop", "--type=merge", "-p", unprotected];
    let no_finalizer = r#"{"metadata": {"finalizers": null}}"#;
    let release = ["patch", "tdb", "cafe", "-n", "shop", "--type=merge", "-p", no_finalizer];
    let status = r#"{"status": {"database": "cafe"}}"#;
    let status = ["patch", "tdb", "cafe", "-n", "shop", "--subresource=status", "--type=merge", "-p", status];
    let server = ["patch", "dbs", "shared", "--type=merge", "-p", r#"{"spec": {"allow": {"unprotected": false}}}"#];
    for attempt in [&unprotect[..], &release, &status, &server] {
        let attempt = [attempt, &["--dry-run=server"]].concat();
        let (done, error) = try_as("pat", &attempt, "");
        assert!(done, "{attempt:?}: {error}");
        for user in ["ann", "vic"] {
            let (done, error) = try_as(user, &attempt, "");
            assert!(!done && error.contains("orbidden"), "{user} {attempt:?}: {error}");
        }
    }
    let (done, error) = try_as("ann", &unprotect, "");
    assert!(!done && error.contains("who may `unprotect` databaseservers"), "{error}");
    assert!(!try_as("vic", &["get", "secrets", "-n", "shop"], "").0);
    assert!(try_as("pat", &unprotect, "").0);
    assert!(try_as("ann", &["delete", "tdb", "cafe", "-n", "shop", "--timeout=60s"], "").0);
}
