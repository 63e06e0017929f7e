//! Somebody who has every right in a namespace and means harm: whatever they write there, they get nothing of anybody else,
//! and the operator's log says who tried. Who wrote it, the API server's audit log knows.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tenantdb_testkit::{Admin, Options, wait_until};

use super::site::{PATIENCE, Site};
use crate::access::role;
use crate::canary::Secrets;
use crate::world::{query, tenant_in};

/// What `eve` may do in a namespace.
const EVE: &str = "\
---
apiVersion: v1
kind: Namespace
metadata: {name: NAMESPACE}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: tenantdb-test-eve, namespace: NAMESPACE}
rules:
  - {apiGroups: [tenantdb.dev], resources: ['*'], verbs: ['*']}
  - {apiGroups: [''], resources: [secrets, configmaps], verbs: ['*']}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tenantdb-test-eve, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: tenantdb-test-eve}
subjects: [{kind: User, name: eve, apiGroup: rbac.authorization.k8s.io}]
";

/// A server that allows little, and one that leaves nearly everything to the namespaces.
const LITTLE: &str = "namespaces: {names: [shop, lair, evil]}, connectionLimit: 5, perNamespace: 1";
const MUCH: &str =
    "names: '*', memberOf: [orders], templates: [orders], unprotected: true, secretPolicies: [Create, Merge, TakeOver]";

const DATABASE: &str = "TenantDatabase";
const ROLE: &str = "TenantRole";

const MERGE: &str = "{credentials: {secretName: app, secretPolicy: Merge}}";
const TAKE_OVER: &str = "{credentials: {secretName: app, secretPolicy: TakeOver, takeOverFrom: helm}}";

/// A key of `allow`; where somebody asks for more, by which kind and how; and what they are told.
const REQUESTS: [(&str, &str, &str, &str, &str); 25] = [
    ("namespaces", "outside", DATABASE, "{}", "metadata.namespace"),
    ("namespaces", "outside", ROLE, "{}", "metadata.namespace"),
    ("names", "evil", DATABASE, "{database: ours}", "spec.database"),
    ("names", "evil", DATABASE, "{owner: ours}", "spec.owner"),
    ("names", "evil", ROLE, "{role: ours}", "spec.role"),
    ("adopt", "evil", DATABASE, "{adopt: Existing}", "it needs the verb `adopt`"),
    ("memberOf", "evil", DATABASE, "{memberOf: [pg_read_all_data]}", "spec.memberOf[0]"),
    ("memberOf", "evil", ROLE, "{memberOf: [pg_monitor]}", "spec.memberOf[0]"),
    ("templates", "evil", DATABASE, "{create: {template: orders}}", "spec.create.template"),
    ("extensions", "evil", DATABASE, "{extensions: [pageinspect]}", "spec.extensions[0]"),
    ("settings", "evil", DATABASE, "{settings: {timezone: UTC}}", "spec.settings.timezone"),
    ("settings", "evil", ROLE, "{settings: {timezone: UTC}}", "spec.settings.timezone"),
    ("secretPolicies", "evil", DATABASE, MERGE, "spec.credentials.secretPolicy"),
    ("secretPolicies", "evil", DATABASE, TAKE_OVER, "spec.credentials.secretPolicy"),
    ("secretPolicies", "evil", ROLE, TAKE_OVER, "spec.credentials.secretPolicy"),
    ("deliver", "evil", DATABASE, "{credentials: {deliver: [{store: vault}]}}", "deliver"),
    ("deliver", "evil", ROLE, "{credentials: {deliver: [{store: vault}]}}", "deliver"),
    ("init", "evil", DATABASE, "{init: [{configMap: {name: seeds, key: a.sql}}]}", "spec.init"),
    ("restart", "evil", DATABASE, "{credentials: {restart: [{kind: Job, name: a}]}}", "restart"),
    ("restart", "evil", ROLE, "{credentials: {restart: [{kind: Job, name: a}]}}", "restart"),
    ("unprotected", "evil", DATABASE, "{deletionProtection: false}", "protect"),
    ("unprotected", "evil", ROLE, "{deletionProtection: false}", "protect"),
    ("connectionLimit", "evil", DATABASE, "{connectionLimit: 6}", "spec.connectionLimit"),
    ("connectionLimit", "evil", ROLE, "{connectionLimit: 6}", "spec.connectionLimit"),
    ("perNamespace", "lair", DATABASE, "{}", "metadata.namespace"),
];

/// Whatever is on the server is somebody's, by whichever field it is asked for. None of a round derives a role that another
/// of it derives: each is refused for whose it is, and not because somebody asked first.
const CLAIMS: [&[(&str, &str)]; 5] = [
    &[
        (DATABASE, "{database: orders}"),
        (DATABASE, "{database: left}"),
        (DATABASE, "{database: legacy}"),
        (DATABASE, "{database: postgres}"),
        (DATABASE, "{database: template1}"),
        (DATABASE, "{database: tenantdb}"),
        (DATABASE, "{memberOf: [orders]}"),
        (DATABASE, "{create: {template: orders}}"),
        // Its own database is made, without the login that is called as the administrator is.
        (
            DATABASE,
            "{owner: admin, access: [{name: user, level: ReadOnly}], deletionProtection: false, dbDeletionPolicy: Delete, \
             roleDeletionPolicy: Delete}",
        ),
        (DATABASE, "{owner: pg, access: [{name: monitor, level: ReadOnly}]}"),
        (ROLE, "{databases: [{namespace: shop, name: orders, level: ReadOnly}]}"),
        (ROLE, "{memberOf: [orders]}"),
    ],
    &[
        (DATABASE, "{owner: orders}"),
        (DATABASE, "{owner: admin_user}"),
        (DATABASE, "{owner: pg_read_all_data}"),
        (ROLE, "{role: left}"),
        (ROLE, "{role: tenantdb_owner}"),
        (ROLE, "{role: postgres}"),
    ],
    &[
        (DATABASE, "{owner: left}"),
        (DATABASE, "{owner: tenantdb_owner}"),
        (DATABASE, "{owner: postgres}"),
        (DATABASE, "{owner: orders_reporting_a}"),
        (ROLE, "{role: orders}"),
        (ROLE, "{role: admin_user}"),
        (ROLE, "{role: pg_monitor}"),
    ],
    &[
        (DATABASE, "{owner: orders_a}"),
        (DATABASE, "{owner: orders_reporting}"),
        (ROLE, "{role: orders_b}"),
        (ROLE, "{role: orders_ro}"),
        (ROLE, "{role: left_a}"),
    ],
    &[
        (DATABASE, "{owner: orders_b}"),
        (DATABASE, "{owner: orders_ro}"),
        (ROLE, "{role: orders_a}"),
        (ROLE, "{role: orders_reporting}"),
    ],
];

/// The database `orders` of the namespace `shop`, and `eve`, who has the namespaces `lair`, with a database of her own
/// called `mine`, `evil` and `outside`.
struct Scene {
    site: Site,
    /// What is kept of `orders`, and on the server of all but `mine`, before anything is tried.
    before: Vec<Value>,
}

/// Something that `eve` asks for.
#[derive(Debug)]
struct Attempt {
    kind: &'static str,
    namespace: &'static str,
    name: String,
    spec: String,
    /// What she is told.
    told: &'static str,
}

impl Attempt {
    /// One of the namespace `evil`.
    fn new(kind: &'static str, name: &str, spec: &str, told: &'static str) -> Self {
        Self { kind, namespace: "evil", name: name.to_owned(), spec: spec.to_owned(), told }
    }

    fn manifest(&self) -> String {
        match self.kind {
            DATABASE => tenant_in(self.namespace, &self.name, &self.spec),
            _ => role(&format!("{}, namespace: {}", self.name, self.namespace), &self.spec),
        }
    }

    /// Whether a resource is this one, and refused for its own sake.
    fn is_refused(&self, found: &Value) -> bool {
        let Self { kind, namespace, name, told, .. } = self;
        let metadata = &found["metadata"];
        let is_it = found["kind"] == *kind && metadata["namespace"] == *namespace && metadata["name"] == name.as_str();
        let ready = &found["status"]["conditions"][0];
        let message = ready["message"].as_str().unwrap_or_default();
        is_it && ready["status"] == "False" && message.contains(told) && !message.contains("belongs to evil/")
    }
}

impl Scene {
    fn set() -> Option<Self> {
        let mut site = Site::without_operator(Options::new(18, Admin::Plain))?;
        site.level = "info";
        site.start();
        let mut scene = Self { site, before: Vec::new() };
        scene.allow("unprotected: true");
        let site = &scene.site;
        site.namespace("shop");
        site.apply(&["lair", "evil", "outside"].map(|namespace| EVE.replace("NAMESPACE", namespace)).concat());
        let orders = tenant_in("shop", "orders", "{access: [{name: reporting, level: ReadOnly}]}");
        site.apply(&(orders + &tenant_in("shop", "left", "{deletionProtection: false}")));
        for name in ["orders", "left"] {
            site.ready("shop", name);
        }
        site.objects.delete("tdb", "shop", "left");
        site.server.psql("postgres", "CREATE DATABASE legacy");
        let orders = site.secret("shop", "orders-secret").unwrap();
        query(&site.server, &orders, "CREATE TABLE lines AS SELECT 'tea' AS what").unwrap();
        scene.allow(LITTLE);
        wait_until(PATIENCE, || {
            scene.eve(&["apply", "--server-side", "-f", "-"], &tenant_in("lair", "mine", "{}")).is_ok()
        });
        scene.site.ready("lair", "mine");
        scene.before = scene.kept();
        Some(scene)
    }

    /// Has the server allow this.
    fn allow(&self, allow: &str) {
        let server = self.site.server_yaml("  defaults: {connectionLimit: 5}\n");
        self.site.apply(&server.replace("unprotected: true", allow));
        self.site.ready_server();
    }

    /// Does something as `eve`; or what she is told.
    fn eve(&self, arguments: &[&str], input: &str) -> Result<(), String> {
        let output = self.site.cluster.try_kubectl(&[arguments, &["--as=eve"]].concat(), input);
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    #[track_caller]
    fn eve_applies(&self, manifests: &str) {
        self.eve(&["apply", "--server-side", "--force-conflicts", "-f", "-"], manifests).unwrap();
    }

    /// All of these are refused, and told why, by the API server or by the operator, whose log says whose they are.
    #[track_caller]
    fn are_refused(&self, asked: &[Attempt]) {
        let manifests: String = asked.iter().map(Attempt::manifest).collect();
        let refused = self.eve(&["apply", "--server-side", "-f", "-"], &manifests).err().unwrap_or_default();
        let of_api = |attempt: &&Attempt| {
            let (policy, schema) =
                (format!("{:?} is forbidden: Validating", attempt.name), format!("{:?} is invalid: ", attempt.name));
            let is_it = |line: &str| line.contains(&policy) || line.contains(&schema);
            refused.lines().any(|line| is_it(line) && line.contains(attempt.told))
        };
        let asked: Vec<&Attempt> = asked.iter().filter(|attempt| !of_api(attempt)).collect();
        let mut open = Vec::new();
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(PATIENCE, || {
                let all = ["tdb", "tenantrole"].map(|kind| self.site.objects.list(kind, "*")).concat();
                open = asked.iter().filter(|attempt| !all.iter().any(|one| attempt.is_refused(one))).collect();
                open.is_empty()
            });
        }));
        assert!(waited.is_ok(), "not refused: {open:?}; by the API server: {refused}");
        for Attempt { kind, namespace, name, told, .. } in asked {
            self.is_logged(kind, namespace, name, told);
        }
        for namespace in ["evil", "outside"] {
            self.clear(namespace, &["tdb,tenantroles", "--all"]);
        }
    }

    /// The operator's log tells this of a resource.
    #[track_caller]
    fn is_logged(&self, kind: &str, namespace: &str, name: &str, told: &str) {
        let who = format!("kind={kind:?} namespace={namespace:?} name={name:?}");
        let is_it = |line: &str| line.contains(&who) && line.contains(told);
        let is_so = || self.site.log().lines().any(is_it);
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait_until(PATIENCE, is_so)));
        assert!(waited.is_ok(), "the log does not say that {who} tried: {told}");
    }

    /// What the cluster keeps of the victim, and what the server keeps of all but `eve`'s own database.
    fn kept(&self) -> Vec<Value> {
        let of = |kind: &str, name: &str| self.site.get(kind, "shop", name).unwrap();
        let told = of("tdb", "orders");
        let mut kept = vec![of("secret", "orders-secret"), of("secret", "orders-secret-reporting")];
        kept.extend([
            told["spec"].clone(),
            told["status"]["conditions"].clone(),
            told["metadata"]["finalizers"].clone(),
        ]);
        let catalogs = [
            "SELECT oid, datname, datdba, datallowconn, datconnlimit, datacl FROM pg_database WHERE datname <> 'mine' \
             ORDER BY oid",
            "SELECT a FROM pg_authid a WHERE rolname !~ '^mine' ORDER BY oid",
            "SELECT roleid::regrole, member::regrole, m FROM pg_auth_members m WHERE roleid::regrole::text !~ '^mine' \
             ORDER BY m.oid",
            "SELECT s FROM pg_db_role_setting s WHERE setrole::regrole::text !~ '^mine' ORDER BY s::text",
        ];
        kept.extend(catalogs.map(|catalog| Value::from(self.site.server.psql("postgres", catalog))));
        kept
    }

    /// Takes away what nothing was made of.
    fn clear(&self, namespace: &str, what: &[&str]) {
        self.eve(&[&["delete", "-n", namespace, "--timeout=60s"], what].concat(), "").unwrap();
    }
}

/// Each field of `allow` has somebody who asks for more.
fn asks_for_more_than_the_server_allows(scene: &Scene) {
    let definition = scene.site.get("crd", "", "databaseservers.tenantdb.dev").unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let keys = schema["properties"]["allow"]["properties"].as_object().unwrap().keys().map(String::as_str);
    assert_eq!(REQUESTS.map(|(key, ..)| key).into_iter().collect::<BTreeSet<_>>(), keys.collect());

    let asked = REQUESTS.into_iter().enumerate().map(|(index, (key, namespace, kind, spec, told))| {
        let name = format!("{}-{index}", key.to_lowercase());
        Attempt { namespace, ..Attempt::new(kind, &name, spec, told) }
    });
    scene.are_refused(&asked.collect::<Vec<_>>());
    scene.clear("lair", &["tdb", "--field-selector=metadata.name!=mine"]);
}

fn claims_what_is_there(scene: &Scene) {
    for (round, claims) in CLAIMS.into_iter().enumerate() {
        let asked = claims
            .iter()
            .enumerate()
            .map(|(index, (kind, spec))| Attempt::new(kind, &format!("claim-{round}-{index}"), spec, ""));
        scene.are_refused(&asked.collect::<Vec<_>>());
    }
}

/// What the operator writes into its Secrets, written by somebody else.
fn forges_secrets(scene: &Scene) {
    let site = &scene.site;
    let password = "0123456789abcdefghijABCDEFGHIJ0123456789";
    let forge = |metadata: Value, username: &str| {
        let patch = json!({"metadata": metadata, "stringData": {"username": username, "password": password}});
        scene.eve(&["patch", "secret", "mine-secret", "-n", "lair", "-p", &patch.to_string()], "").unwrap();
    };
    forge(json!({"annotations": {"tenantdb.dev/generation": "9223372036854775807"}}), "orders_a");
    let is_mine = || {
        let login = site.secret("lair", "mine-secret").unwrap();
        query(&site.server, &login, "SELECT session_user ~ '^mine_' AND current_user = 'mine'") == Ok("t".to_owned())
    };
    wait_until(PATIENCE, is_mine);
    scene.is_logged(DATABASE, "lair", "mine", "changed by hand");
    // Marked as that of another claim, even of her own namespace, it is not the operator's to write.
    forge(json!({"annotations": {"tenantdb.dev/claim": "cluster:test TenantDatabase/orders"}}), "orders_a");
    site.wait_for("tdb", "lair", "mine", "Stalled", "True", "Conflict");
    scene.is_logged(DATABASE, "lair", "mine", "Secret lair/mine-secret");
    assert_eq!(site.secret("lair", "mine-secret").unwrap()["username"], "orders_a");
    scene.clear("lair", &["secret", "mine-secret"]);
    site.ready("lair", "mine");

    // All that the operator writes into that of `orders`, in her own namespace; and one that is nobody's of ours.
    let mut copy = site.get("secret", "shop", "orders-secret").unwrap();
    let (labels, annotations) = (copy["metadata"]["labels"].take(), copy["metadata"]["annotations"].take());
    let metadata = json!({"name": "orders-secret", "namespace": "evil", "labels": labels, "annotations": annotations});
    let data = json!({"username": "orders_a", "password": password});
    let secret =
        |metadata: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
    scene.eve_applies(&secret(metadata).to_string());
    scene.eve_applies(&secret(json!({"name": "web", "namespace": "evil"})).to_string());
    let before = site.secrets("evil");
    let asked = |name: &str, credentials: &str, told: &'static str| {
        Attempt::new(DATABASE, name, &format!("{{credentials: {{{credentials}}}}}"), told)
    };
    scene.are_refused(&[Attempt::new(DATABASE, "orders", "{}", "belongs to TenantDatabase shop/orders")]);
    let merged = "secretName: orders-secret, secretPolicy: Merge";
    scene.are_refused(&[asked("merged", merged, "Secret evil/orders-secret belongs to")]);
    scene.are_refused(&[
        asked("copied", "secretName: orders-secret", "Secret evil/orders-secret"),
        asked("web", "secretName: web", "Secret evil/web was not written by tenantdb"),
        asked("preload", "keys: {LD_PRELOAD: /tmp/eve.so}", "no placeholder"),
        asked("login", "keys: {username: 'orders{port}'}", "`username` always holds the login as it is"),
    ]);
    assert_eq!(site.secrets("evil"), before);
}

/// Status, finalizers and lines of the log.
fn forges_what_is_the_operators(scene: &Scene) {
    let patch = |more: &[&str]| {
        let patch = ["patch", "tdb", "mine", "-n", "lair", "--type=merge", "-p"];
        scene.eve(&[&patch[..], more].concat(), "").unwrap_err()
    };
    let status = r#"{"status": {"database": "orders", "secretName": "orders-secret"}}"#;
    assert!(patch(&[status, "--subresource=status"]).contains("its status is the operator's to write"));
    assert!(patch(&[r#"{"metadata": {"finalizers": null}}"#]).contains("tenantdb.dev/ledger is the operator's"));
    assert!(patch(&[r#"{"spec": {"deletionProtection": false}}"#]).contains("by who may `unprotect` databaseservers"));
    let adopted = scene.eve(&["apply", "-f", "-"], &tenant_in("evil", "legacy", "{adopt: Existing}")).unwrap_err();
    assert!(adopted.contains("it needs the verb `adopt`"), "{adopted}");

    // With our finalizer on it from the beginning, it is not asked whether it may do without protection.
    let policies = "deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete";
    let held = |name: &str| {
        tenant_in("evil", name, &format!("{{{policies}}}"))
            .replace("namespace: evil", "namespace: evil, finalizers: [tenantdb.dev/ledger]")
    };
    scene.eve_applies(&(held("orders") + &held("fresh")));
    for name in ["orders", "fresh"] {
        scene.site.wait_to_hear("tdb", "evil", name, "a database without protection is not allowed");
        scene.is_logged(DATABASE, "evil", name, "a database without protection is not allowed");
    }
    scene.clear("evil", &["tdb", "--all"]);

    let forged = "2026-01-01T00:00:00Z  WARN tenantdb: kind=\"TenantDatabase\" namespace=\"shop\" name=\"orders\"";
    let spec = json!({"extensions": [format!("x\n{forged}")]}).to_string();
    scene.are_refused(&[Attempt::new(DATABASE, "line", &spec, "WARN tenantdb")]);
    assert!(!scene.site.log().lines().any(|line| line.starts_with(forged)), "a line of the log is forged");
}

/// What is of other namespaces, or of none, is out of reach.
fn reaches_out(scene: &Scene) {
    let keys = r#"{"stringData": {"LD_PRELOAD": "/tmp/eve.so"}}"#;
    let lower = r#"{"spec": {"deletionProtection": false}}"#;
    let allow = r#"{"spec": {"allow": {"names": "*"}}}"#;
    for attempt in [
        &["get", "secret", "orders-secret", "-n", "shop"][..],
        &["patch", "secret", "orders-secret", "-n", "shop", "-p", keys],
        &["delete", "secret", "orders-secret", "-n", "shop"],
        &["patch", "tdb", "orders", "-n", "shop", "--type=merge", "-p", lower],
        &["create", "secret", "generic", "later-secret", "-n", "shop"],
        &["get", "secret", "postgresql", "-n", "kube-system"],
        &["patch", "dbs", "shared", "--type=merge", "-p", allow],
        &["label", "namespace", "evil", "team=shop"],
        &["delete", "lease", "--all", "-n", "tenantdb"],
    ] {
        let error = scene.eve(attempt, "").unwrap_err();
        assert!(error.contains("forbidden: User \"eve\" cannot "), "{attempt:?}: {error}");
    }
}

#[test]
fn who_has_a_namespace_gets_nothing_of_anybody_else_and_is_named_in_the_log() {
    let Some(scene) = Scene::set() else { return };
    asks_for_more_than_the_server_allows(&scene);
    scene.allow(MUCH);
    claims_what_is_there(&scene);
    forges_secrets(&scene);
    scene.allow(LITTLE);
    forges_what_is_the_operators(&scene);
    reaches_out(&scene);

    let site = &scene.site;
    for (namespace, name) in [("shop", "orders"), ("lair", "mine")] {
        site.ready(namespace, name);
    }
    for (now, before) in scene.kept().into_iter().zip(&scene.before) {
        assert_eq!(&now, before);
    }
    let (orders, mine) = (site.secret("shop", "orders-secret").unwrap(), site.secret("lair", "mine-secret").unwrap());
    assert_eq!(query(&site.server, &orders, "SELECT what FROM lines"), Ok("tea".to_owned()));
    let of_another = site.server.psql_as(&mine["username"], &mine["password"], "orders", "SELECT 1");
    assert!(of_another.unwrap_err().contains("42501"));
    let mut secrets = Secrets::of(&site.server);
    for keys in ["shop", "lair", "evil"].iter().flat_map(|namespace| site.secrets(namespace).into_values()) {
        secrets.add(&keys["password"]);
    }
    secrets.are_not_told("the operator's log", &site.log());
}
