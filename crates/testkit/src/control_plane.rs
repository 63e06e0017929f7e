//! A Kubernetes control plane: etcd and the API server, and controllers for who asks for them; nothing would run a pod.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kube::api::{ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Request;
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::client::run_blocking;
use crate::files;
use crate::leftovers::Home;
use crate::ports::PortLease;
use crate::wait::wait_until;

/// How long a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(50);

const PROGRAMS: [&str; 5] = ["etcd", "kube-apiserver", "kubectl", "controllers", "helm"];

/// What the API server makes itself when it starts, and a test leaves alone.
const STANDING: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// The control planes that no test uses at the moment. Starting one takes seconds.
static IDLE: Mutex<Vec<ControlPlane>> = Mutex::new(Vec::new());

/// A control plane of a test's own, empty when it is handed out.
#[derive(Debug)]
pub struct Cluster {
    plane: Option<ControlPlane>,
}

/// The processes.
#[derive(Debug)]
struct ControlPlane {
    programs: PathBuf,
    home: Home,
    etcd_port: PortLease,
    peer_port: PortLease,
    api_port: PortLease,
    token: String,
    /// That of who the context `operator` is.
    operator: String,
    etcd: Option<Child>,
    api: Option<Child>,
    controllers: Option<Child>,
}

impl Cluster {
    /// A control plane, if the programs are here: with `CI=true` it is a failure when they are not, elsewhere a line on
    /// stderr.
    #[must_use]
    pub fn get() -> Option<Self> {
        let programs = match programs() {
            Ok(programs) => programs,
            Err(message) => {
                crate::binaries::skip(&message);
                return None;
            }
        };
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Some(Self { plane: Some(idle.unwrap_or_else(|| ControlPlane::start(programs))) })
    }

    fn plane(&self) -> &ControlPlane {
        self.plane.as_ref().expect("it is there until it is dropped")
    }

    /// The file that says how to reach it: as its administrator, and in the context `operator` as nobody
    /// before [`Self::operate_as`].
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.plane().kubeconfig()
    }

    /// The folder with kubectl and helm.
    #[must_use]
    pub fn programs(&self) -> &Path {
        &self.plane().programs
    }

    /// Asks it as its administrator, or as the user of another context.
    ///
    /// # Panics
    /// When the context is not there.
    pub async fn client(&self, context: Option<&str>) -> Client {
        self.plane().client(context).await.expect("a context of the kubeconfig")
    }

    /// Runs kubectl; what it takes from standard input is `input`.
    #[must_use]
    pub fn try_kubectl(&self, arguments: &[&str], input: &str) -> Output {
        let plane = self.plane();
        let mut child = Command::new(plane.programs.join("kubectl"))
            .arg("--kubeconfig")
            .arg(plane.kubeconfig())
            .arg("--cache-dir")
            .arg(plane.home.path().join("cache"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl can be started");
        // Whoever reads no input closes it early.
        let _ = child.stdin.take().expect("it was piped").write_all(input.as_bytes());
        child.wait_with_output().expect("kubectl can be waited for")
    }

    /// The same, and what it printed; panics when it fails.
    #[track_caller]
    #[must_use]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_with(arguments, "")
    }

    /// The same with input; what it printed is not always of use.
    #[track_caller]
    #[allow(clippy::must_use_candidate, reason = "it is also called for what it does")]
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> String {
        let output = self.try_kubectl(arguments, input);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {}: {error}", arguments.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs helm on it; for `helm template` and `helm lint`, [`helm`] needs no cluster.
    #[must_use]
    pub fn try_helm(&self, arguments: &[&str]) -> Output {
        let plane = self.plane();
        let mut command = helm_of(&plane.programs);
        command.arg("--kubeconfig").arg(plane.kubeconfig()).args(arguments).stdin(Stdio::null());
        command.output().expect("helm can be started")
    }

    /// The same, and what it printed; panics when it fails.
    #[track_caller]
    #[allow(clippy::must_use_candidate, reason = "it is also called for what it does")]
    pub fn helm(&self, arguments: &[&str]) -> String {
        let output = self.try_helm(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "helm {}: {error}", arguments.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// From now on the context `operator` is this service account, as a pod of it would be.
    pub fn operate_as(&mut self, namespace: &str, account: &str) {
        let token = run_blocking(async { token(&self.client(None).await, namespace, account).await });
        if let Some(plane) = &mut self.plane {
            plane.operator = token;
            plane.write_kubeconfig();
        }
        // An account of this name that was there before is remembered for a moment.
        wait_until(PATIENCE, || {
            run_blocking(async { self.client(Some("operator")).await.apiserver_version().await.is_ok() })
        });
    }

    /// Ends the API server at once.
    pub fn stop_api_server(&mut self) {
        if let Some(plane) = &mut self.plane {
            end(&mut plane.api);
        }
    }

    /// Starts it again; etcd has kept what it had.
    pub fn start_api_server(&mut self) {
        if let Some(plane) = &mut self.plane {
            plane.start_api();
        }
    }

    /// Starts the namespace controller: from then on a deleted namespace goes, with all that is in it, some 5 s later.
    pub fn start_controllers(&mut self) {
        if let Some(plane) = &mut self.plane {
            plane.start_controllers();
        }
    }

    /// Has etcd forget what was before: whoever goes on from there is told that it is gone.
    pub fn compact(&self) {
        let plane = self.plane();
        let range = format!("{{\"key\": \"{}\"}}", BASE64.encode("/registry"));
        let answer: Value = serde_json::from_str(&plane.etcd("/v3/kv/range", &range)).expect("JSON");
        let revision = answer["header"]["revision"].as_str().expect("a revision");
        plane.etcd("/v3/kv/compaction", &format!("{{\"revision\": {revision}, \"physical\": true}}"));
    }

    /// All that etcd holds, as keys and values; the values are in the API server's binary form, with texts as they are.
    #[must_use]
    pub fn stored(&self) -> Vec<(String, Vec<u8>)> {
        self.plane().stored("/registry/")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // What a test left broken is not handed on.
        if let Some(mut plane) = self.plane.take()
            && plane.api.as_mut().is_some_and(|api| matches!(api.try_wait(), Ok(None)))
            && !std::thread::panicking()
        {
            end(&mut plane.controllers);
            plane.wipe();
            plane.operator.clear();
            plane.write_kubeconfig();
            IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(plane);
        }
    }
}

impl ControlPlane {
    fn start(programs: PathBuf) -> Self {
        let mut plane = Self {
            programs,
            home: Home::new(false),
            etcd_port: PortLease::take(),
            peer_port: PortLease::take(),
            api_port: PortLease::take(),
            token: files::random_text(24),
            operator: String::new(),
            etcd: None,
            api: None,
            controllers: None,
        };
        plane.configure();
        plane.start_etcd();
        plane.start_api();
        plane
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    fn configure(&self) {
        // Administrators are never told to wait.
        let tokens = format!("{},admin,1,system:masters\n", self.token);
        files::write_private(&self.path("tokens.csv"), tokens.as_bytes(), None);
        let pair = rcgen::KeyPair::generate().expect("a key can be made");
        files::write_private(&self.path("service-account.key"), pair.serialize_pem().as_bytes(), None);
        files::write_private(&self.path("service-account.pub"), pair.public_key_pem().as_bytes(), None);
    }

    fn start_etcd(&mut self) {
        let (client, peer) = (url(&self.etcd_port), url(&self.peer_port));
        let mut command = self.command("etcd");
        command.arg("--data-dir").arg(self.path("etcd")).args([
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
            "--listen-peer-urls",
            &peer,
            "--unsafe-no-fsync",
        ]);
        self.etcd = Some(self.spawn(command, "etcd"));
    }

    fn start_api(&mut self) {
        let mut command = self.command("kube-apiserver");
        command
            .arg(format!("--etcd-servers={}", url(&self.etcd_port)))
            .arg(format!("--cert-dir={}", self.path("certificates").display()))
            .arg(format!("--secure-port={}", self.api_port.port()))
            .arg(format!("--service-account-key-file={}", self.path("service-account.pub").display()))
            .arg(format!("--service-account-signing-key-file={}", self.path("service-account.key").display()))
            .arg(format!("--token-auth-file={}", self.path("tokens.csv").display()))
            .args([
                "--bind-address=127.0.0.1",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--service-cluster-ip-range=10.0.0.0/24",
                // It needs a controller that isn't here.
                "--disable-admission-plugins=ServiceAccount",
            ]);
        self.api = Some(self.spawn(command, "kube-apiserver"));
        self.wait_until_ready();
        self.write_kubeconfig();
    }

    fn start_controllers(&mut self) {
        let mut command = self.command("controllers");
        command.arg("--kubeconfig").arg(self.kubeconfig());
        end(&mut self.controllers);
        self.controllers = Some(self.spawn(command, "controllers"));
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir("/").stdin(Stdio::null()).process_group(0);
        command
    }

    fn spawn(&self, mut command: Command, name: &str) -> Child {
        let log = File::options().create(true).append(true).open(self.path(&format!("{name}.log"))).expect("a log");
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("can't start {name}: {error}"));
        self.home.keep_process(&child);
        child
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_ready() {
            let ended = self.api.as_mut().and_then(|api| api.try_wait().ok().flatten());
            let log = || fs::read_to_string(self.path("kube-apiserver.log")).unwrap_or_default();
            assert!(ended.is_none(), "kube-apiserver ended:\n{}", last(&log()));
            assert!(Instant::now() < deadline, "kube-apiserver is not ready:\n{}", last(&log()));
            std::thread::sleep(PAUSE);
        }
    }

    fn is_ready(&self) -> bool {
        if !self.path("certificates/apiserver.crt").exists() {
            return false;
        }
        self.write_kubeconfig();
        run_blocking(async {
            // A certificate that is being written can't be read.
            let Ok(client) = self.client(None).await else { return false };
            let ready = Request::new("/readyz").list(&ListParams::default()).expect("a path");
            client.request_text(ready).await.is_ok()
        })
    }

    async fn client(&self, context: Option<&str>) -> Result<Client, Box<dyn std::error::Error>> {
        // Another test may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig())?;
        let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        Ok(Client::try_from(config)?)
    }

    fn write_kubeconfig(&self) {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: 'https://127.0.0.1:{}', certificate-authority: '{}'}}}}]\n\
             users: [{{name: admin, user: {{token: '{}'}}}}, {{name: operator, user: {{token: '{}'}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: admin}}}}, \
             {{name: operator, context: {{cluster: test, user: operator}}}}]\n",
            self.api_port.port(),
            self.path("certificates/apiserver.crt").display(),
            self.token,
            self.operator,
        );
        files::write_private(&self.kubeconfig(), text.as_bytes(), None);
    }

    /// Takes away what tests made: everything of ours, and what is in namespaces.
    fn wipe(&self) {
        for (key, value) in self.stored("/registry/") {
            let mut parts = key.trim_start_matches("/registry/").split('/');
            let kind = parts.next().unwrap_or_default();
            let is_made = match kind {
                "secrets" | "configmaps" | "events" | "leases" | "roles" | "rolebindings" | "deployments"
                | "tenantdb.dev" | "postgresql.cnpg.io" | "stackgres.io" => !key.contains("/kube-"),
                "apiextensions.k8s.io" | "validatingadmissionpolicies" | "validatingadmissionpolicybindings" => true,
                // What the API server makes of these itself is labelled.
                "clusterroles" | "clusterrolebindings" => !contains(&value, b"kubernetes.io/bootstrapping"),
                "namespaces" => parts.next().is_some_and(|name| !STANDING.contains(&name)),
                "flowschemas" | "prioritylevelconfigurations" => key.ends_with("/throttled"),
                _ => false,
            };
            // What `tenantdb install` and the charts make, of whatever kind.
            if is_made || key.split('/').any(|part| part.starts_with("tenantdb")) {
                self.etcd("/v3/kv/deleterange", &format!("{{\"key\": \"{}\"}}", BASE64.encode(&key)));
            }
        }
    }

    fn stored(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let range = format!("{{\"key\": \"{}\", \"range_end\": \"{}\"}}", BASE64.encode(prefix), BASE64.encode(&end));
        let answer: Value = serde_json::from_str(&self.etcd("/v3/kv/range", &range)).expect("JSON");
        let pairs = answer["kvs"].as_array().cloned().unwrap_or_default();
        let field = |pair: &Value, name: &str| {
            BASE64.decode(pair[name].as_str().unwrap_or_default()).expect("what etcd encoded")
        };
        pairs
            .iter()
            .map(|pair| (String::from_utf8_lossy(&field(pair, "key")).into_owned(), field(pair, "value")))
            .collect()
    }

    /// Asks etcd, whose interface for HTTP/1.1 takes and gives JSON.
    fn etcd(&self, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.etcd_port.port())).expect("etcd listens");
        let request = format!(
            "POST {path} HTTP/1.0\r\nHost: etcd\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("etcd reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("etcd answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer of HTTP");
        assert!(head.contains(" 200 "), "etcd refuses {path}: {answer}");
        body.to_owned()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        end(&mut self.controllers);
        end(&mut self.api);
        end(&mut self.etcd);
    }
}

/// helm without a cluster; `None` where the programs are missing.
#[must_use]
pub fn helm() -> Option<Command> {
    programs().map(|programs| helm_of(&programs)).map_err(|message| crate::binaries::skip(&message)).ok()
}

/// helm, which shares nothing with that of whoever runs the tests.
fn helm_of(programs: &Path) -> Command {
    let mut command = Command::new(programs.join("helm"));
    for place in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(place, files::target_directory().join("helm"));
    }
    command.env_remove("KUBECONFIG").env_remove("HELM_NAMESPACE");
    command
}

/// A day's token of a service account.
async fn token(client: &Client, namespace: &str, account: &str) -> String {
    let accounts = Request::new(format!("/api/v1/namespaces/{namespace}/serviceaccounts"));
    let wanted = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 24 * 60 * 60},
    });
    let request =
        accounts.create_subresource("token", account, &PostParams::default(), wanted.to_string().into_bytes());
    let made: Value = client.request(request.expect("a path")).await.expect("a service account");
    made["status"]["token"].as_str().expect("a token").to_owned()
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn url(port: &PortLease) -> String {
    format!("http://127.0.0.1:{}", port.port())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn last(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Where the programs are: `KUBEBUILDER_ASSETS`, else where `scripts/setup` built them.
fn programs() -> Result<PathBuf, String> {
    let folder = match std::env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => files::target_directory().join("control-plane"),
    };
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(|program| !is_program(&folder.join(program))).collect();
    if missing.is_empty() {
        return Ok(folder);
    }
    Err(format!(
        "{} of a Kubernetes control plane can't be found in {}: install Go and run `scripts/setup test` (or set \
         KUBEBUILDER_ASSETS)",
        missing.join(", "),
        folder.display()
    ))
}

fn is_program(path: &Path) -> bool {
    path.is_file()
}
