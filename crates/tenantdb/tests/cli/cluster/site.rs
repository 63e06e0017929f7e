//! A cluster with an operator in it, and a server that its resources declare.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::process::Child;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tenantdb_testkit::{Admin, Cluster, Objects, Options, PortLease, TestServer, available, run_blocking, wait_until};

use super::charts;
use crate::world::{World, tenant};

/// How long the operator may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

fn database() -> GroupVersionKind {
    GroupVersionKind::gvk("tenantdb.dev", "v1alpha1", "TenantDatabase")
}

/// The operator's namespace, and its service account there.
pub const OPERATOR: &str = "tenantdb";

/// A cluster that knows our kinds, with a server and its operator.
pub struct Site {
    operators: Vec<(Child, PortLease)>,
    /// How much the operators log.
    pub level: &'static str,
    /// What their logs look like.
    pub log_format: &'static str,
    world: World,
    pub server: TestServer,
    pub cluster: Cluster,
    pub objects: Objects,
}

impl Site {
    /// One with a server of this version, called `shared`; `None` where a program is missing.
    pub fn with(major: u32, admin: Admin) -> Option<Self> {
        Self::on(Options::new(major, admin))
    }

    /// One with a server that is set up in a certain way.
    pub fn on(options: Options) -> Option<Self> {
        let mut site = Self::without_operator(options)?;
        site.start();
        Some(site)
    }

    /// One whose operator is not there yet.
    pub fn without_operator(options: Options) -> Option<Self> {
        let site = Self::around(|| available(options.major()).then(|| options.start()))?;
        site.declare_server();
        Some(site)
    }

    /// One with a server that no resource declares yet, and no operator.
    pub fn around(start: impl FnOnce() -> Option<TestServer>) -> Option<Self> {
        Self::installed(start, Self::install)
    }

    /// The same, where the operator's rights and all else that it needs come by this way.
    pub fn installed(start: impl FnOnce() -> Option<TestServer>, install: impl FnOnce(&Self)) -> Option<Self> {
        let cluster = Cluster::get()?;
        let server = start()?;
        let mut world = World::new();
        world.set("KUBECONFIG", cluster.kubeconfig().to_str().unwrap());
        let objects = Objects::of(&cluster);
        let mut site =
            Self { operators: Vec::new(), level: "debug", log_format: "text", world, server, cluster, objects };
        site.prepare(install);
        Some(site)
    }

    /// One with a server and an operator, whose rights and all else that it needs are a release of helm.
    pub fn by_helm(major: u32) -> Option<Self> {
        let mut site = Self::installed(|| TestServer::try_start(major, Admin::Plain), charts::operator::install)?;
        site.declare_server();
        site.start();
        Some(site)
    }

    /// Brings what the operator needs, and waits until the API server follows it.
    fn prepare(&mut self, install: impl FnOnce(&Self)) {
        install(self);
        self.objects.wait_for_definitions();
        self.cluster.operate_as(OPERATOR, OPERATOR);
        wait_until(PATIENCE, || !self.objects.would_delete("crd", "", "tenantroles.tenantdb.dev"));
    }

    /// Applies what `tenantdb install` prints; nothing runs the operator's Deployment.
    pub fn install(&self) {
        self.apply(&self.world.run(&["install", "--cluster-id", "test"]).exits(0).stdout);
    }

    /// Brings again what the operator needs and somebody took away, and has it work.
    pub fn install_again(&mut self, install: impl FnOnce(&Self)) {
        self.stop();
        self.prepare(install);
        self.start();
    }

    /// Another cluster takes the place of the one that is lost, with nothing in it but the operator and the server.
    pub fn lose_cluster(&mut self) -> Cluster {
        self.stop();
        let lost = std::mem::replace(&mut self.cluster, Cluster::get().unwrap());
        self.objects = Objects::of(&self.cluster);
        self.world.set("KUBECONFIG", self.cluster.kubeconfig().to_str().unwrap());
        self.prepare(Self::install);
        self.declare_server();
        lost
    }

    /// Declares the server.
    pub fn declare_server(&self) {
        self.store_password(self.server.admin_password());
        self.apply(&self.server_yaml(""));
    }

    /// Puts the administrator's password where the declaration says that it is.
    pub fn store_password(&self, password: &str) {
        self.store_password_as("postgresql", password);
    }

    fn store_password_as(&self, name: &str, password: &str) {
        let secret = serde_json::json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "kube-system"},
            "stringData": {"password": password},
        });
        self.apply(&secret.to_string());
    }

    /// Declares another server.
    pub fn declare(&self, name: &str, server: &TestServer) {
        self.store_password_as(name, server.admin_password());
        let port = |server: &TestServer| format!("port: {}", server.port());
        let yaml = self.server_yaml("").replace("name: shared", &format!("name: {name}"));
        let yaml =
            yaml.replace("name: postgresql", &format!("name: {name}")).replace("default: true", "default: false");
        self.apply(&yaml.replace(&port(&self.server), &port(server)));
    }

    /// The declaration of the server, with more.
    pub fn server_yaml(&self, more: &str) -> String {
        format!(
            "apiVersion: tenantdb.dev/v1alpha1\nkind: DatabaseServer\nmetadata: {{name: shared}}\nspec:\n  default: true\n  \
             source: {{endpoint: {{host: 127.0.0.1, port: {}}}}}\n  admin:\n    username: {}\n    passwordFrom:\n      \
             - secret: {{namespace: kube-system, name: postgresql, key: password}}\n  allow: {{unprotected: true}}\n{more}",
            self.server.port(),
            self.server.admin_username(),
        )
    }

    /// Starts an operator.
    pub fn start(&mut self) {
        let sharing = ["--namespace", OPERATOR, "--lease-duration", "1s", "--log-format", self.log_format];
        self.start_with(&[&["operator", "--cluster-id", "test"], &sharing[..]].concat());
    }

    /// Starts one with these arguments.
    pub fn start_with(&mut self, arguments: &[&str]) {
        let log = std::fs::File::options().create(true).append(true).open(self.world.folder().join("operator.log"));
        let log = log.unwrap();
        let port = PortLease::take();
        let listen = format!("127.0.0.1:{}", port.port());
        let mut command = self.world.command(arguments);
        command.args(["--context", "operator", "--listen", &listen]);
        command.env("TENANTDB_LOG", self.level);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.operators.push((command.spawn().unwrap(), port));
    }

    /// Kills the one with this process.
    pub fn kill_one(&mut self, process: u32) {
        let index = self.operators.iter().position(|(operator, _)| operator.id() == process).unwrap();
        let (mut operator, _) = self.operators.remove(index);
        operator.kill().unwrap();
        operator.wait().unwrap();
    }

    /// The processes of the operators, in the order in which they were started.
    pub fn processes(&self) -> Vec<u32> {
        self.operators.iter().map(|(operator, _)| operator.id()).collect()
    }

    /// Asks them to stop, and waits until they have.
    pub fn stop(&mut self) {
        self.end(Signal::SIGTERM);
    }

    /// Kills them.
    pub fn kill(&mut self) {
        self.end(Signal::SIGKILL);
    }

    fn end(&mut self, signal: Signal) {
        for (mut operator, _) in self.operators.drain(..) {
            let _ = kill(Pid::from_raw(i32::try_from(operator.id()).unwrap()), signal);
            operator.wait().unwrap();
        }
    }

    /// What the last operator that was started answers over HTTP: the status and the text; nothing before it listens.
    pub fn ask(&self, path: &str) -> (String, String) {
        let (_, port) = self.operators.last().unwrap();
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port.port())) else { return Default::default() };
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
    }

    /// What the operator logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.world.folder().join("operator.log")).unwrap_or_default()
    }

    /// Applies manifests.
    #[track_caller]
    pub fn apply(&self, manifests: &str) {
        self.objects.apply(manifests);
    }

    /// Makes databases of one spec, called `many-0`, `many-1` and so on, several at a time.
    pub fn make_many(&self, numbers: Range<usize>, spec: &str) {
        self.make_many_called("many", numbers, spec);
    }

    /// The same, called something else.
    pub fn make_many_called(&self, name: &str, numbers: Range<usize>, spec: &str) {
        run_blocking(async {
            let databases = self.databases().await;
            let spec: Value = serde_json::from_str(spec).unwrap();
            let make = |number: usize| {
                let kind = ApiResource::from_gvk(&database());
                let object = DynamicObject::new(&format!("{name}-{number}"), &kind).data(json!({"spec": spec}));
                let databases = &databases;
                async move { drop(databases.create(&PostParams::default(), &object).await.unwrap()) }
            };
            stream::iter(numbers).map(make).buffer_unordered(16).collect::<()>().await;
        });
    }

    /// Waits until the operator keeps the server.
    pub fn ready_server(&self) {
        self.wait_for("dbs", "", "shared", "Ready", "True", "Reachable");
    }

    /// Waits until the operator has written so many statuses of databases.
    pub fn told(&self, number: usize) {
        wait_until(PATIENCE, || {
            let (_, metrics) = self.ask("/metrics");
            let written = metrics.lines().find_map(|line| {
                line.strip_prefix("tenantdb_status_writes_total{kind=\"TenantDatabase\"} ")?.parse::<usize>().ok()
            });
            written.is_some_and(|written| written >= number)
        });
    }

    async fn databases(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.cluster.client(None).await, "default", &ApiResource::from_gvk(&database()))
    }

    /// Takes away the policy that protects, until this database could be deleted.
    #[track_caller]
    pub fn guard_no_more(&self, namespace: &str, name: &str) {
        self.objects.delete("validatingadmissionpolicybinding", "", "tenantdb-protection");
        wait_until(PATIENCE, || self.objects.would_delete("tdb", namespace, name));
    }

    /// Makes a namespace.
    pub fn namespace(&self, name: &str) {
        self.apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}"));
    }

    /// Has a database of the namespace `default` looked at closely.
    pub fn look_closely_at(&self, name: &str) {
        let refresh = json!({"tenantdb.dev/refresh": format!("{:x}", rand::random::<u64>())});
        self.objects.patch("tdb", "default", name, &json!({"metadata": {"annotations": refresh}}));
    }

    /// An object, if it is there.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        self.objects.get(kind, namespace, name)
    }

    /// Waits until a condition of an object has this status and reason.
    #[track_caller]
    pub fn wait_for(&self, kind: &str, namespace: &str, name: &str, condition: &str, status: &str, reason: &str) {
        let mut last = Value::Null;
        let is_so = || {
            last = self.get(kind, namespace, name).unwrap_or_default();
            let is_current = last["status"]["observedGeneration"] == last["metadata"]["generation"];
            let mut conditions = last["status"]["conditions"].as_array().into_iter().flatten();
            let is_it =
                |found: &Value| found["type"] == condition && found["status"] == status && found["reason"] == reason;
            is_current && conditions.any(is_it)
        };
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait_until(PATIENCE, is_so)));
        assert!(
            waited.is_ok(),
            "{kind} {namespace}/{name} never was {condition}={status} {reason}: {}",
            last["status"]
        );
    }

    /// Waits until a condition of an object tells this.
    #[track_caller]
    pub fn wait_to_hear(&self, kind: &str, namespace: &str, name: &str, told: &str) {
        let mut last = Value::Null;
        let is_so = || {
            last = self.get(kind, namespace, name).unwrap_or_default()["status"]["conditions"].take();
            let mut conditions = last.as_array().into_iter().flatten();
            conditions.any(|found| found["message"].as_str().is_some_and(|message| message.contains(told)))
        };
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait_until(PATIENCE, is_so)));
        assert!(waited.is_ok(), "{kind} {namespace}/{name} never told {told}: {last}");
    }

    /// Writes a ConfigMap of the namespace `default` with one key.
    #[track_caller]
    pub fn store(&self, name: &str, key: &str, text: &str) {
        let metadata = json!({"name": name, "namespace": "default"});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {key: text}});
        self.apply(&map.to_string());
    }

    /// What the events of the namespace `default` say, a line each: of which object, the reason and the message.
    pub fn events(&self) -> String {
        let line = "jsonpath={range .items[*]}{.involvedObject.name}: {.reason}: {.message}{'\\n'}{end}";
        self.cluster.kubectl(&["get", "events", "-o", line])
    }

    /// Declares a database of the namespace `default`, and waits until it is ready.
    #[track_caller]
    pub fn make(&self, name: &str, spec: &str) {
        self.apply(&tenant(name, spec));
        self.ready("default", name);
    }

    /// Waits until a database is ready.
    #[track_caller]
    pub fn ready(&self, namespace: &str, name: &str) {
        self.wait_for("tdb", namespace, name, "Ready", "True", "InSync");
    }

    /// Waits until all of these databases of the namespace `default` are ready.
    #[track_caller]
    pub fn all_ready(&self, names: &[impl AsRef<str>]) {
        for name in names {
            self.ready("default", name.as_ref());
        }
    }

    /// What a Secret holds, if it is there.
    pub fn secret(&self, namespace: &str, name: &str) -> Option<BTreeMap<String, String>> {
        self.secrets(namespace).remove(name)
    }

    /// What each Secret of a namespace holds.
    pub fn secrets(&self, namespace: &str) -> BTreeMap<String, BTreeMap<String, String>> {
        let secrets = self.objects.list("secret", namespace).into_iter().map(|secret| {
            let secret: Secret = serde_json::from_value(secret).unwrap();
            let data = secret.data.unwrap_or_default().into_iter();
            let data = data.map(|(key, value)| (key, String::from_utf8(value.0).unwrap())).collect();
            (secret.metadata.name.unwrap(), data)
        });
        secrets.collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.end(Signal::SIGKILL);
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the end of the operator's log:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// A cluster that knows our kinds.
pub fn with_our_kinds() -> Option<Cluster> {
    let cluster = Cluster::get()?;
    let objects = Objects::of(&cluster);
    objects.apply(&World::new().run(&["crds"]).exits(0).stdout);
    objects.wait_for_definitions();
    Some(cluster)
}
