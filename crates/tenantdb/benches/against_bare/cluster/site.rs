//! A control plane, a server, and an operator.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tenantdb_testkit::{Admin, Cluster, PortLease, TestServer, server_manifest};

use super::watch::Readiness;
use crate::measure::start;
use crate::program::program;

/// A control plane that knows our kinds, with a server that it declares.
pub struct Site {
    folder: TempDir,
    pub server: TestServer,
    pub cluster: Cluster,
    pub client: Client,
}

/// An operator that runs.
pub struct Operator {
    process: Child,
    port: PortLease,
}

impl Site {
    /// One with a server of this version.
    pub async fn new(major: u32) -> Self {
        let cluster = Cluster::get().expect("the programs of a control plane");
        let server = start(major, Admin::Plain);
        let folder = tempfile::Builder::new().prefix("tenantdb-bench-").tempdir().expect("a folder");
        let definitions = program(folder.path(), &server, &["crds"]).output().expect("the program starts").stdout;
        let apply = ["apply", "--server-side", "-f", "-"];
        cluster.kubectl_with(&apply, &String::from_utf8_lossy(&definitions));
        let _ = cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]);
        cluster.kubectl_with(&apply, &server_manifest(&server));
        let client = cluster.client(None).await;
        Self { folder, server, cluster, client }
    }

    /// Starts the operator, and waits until it keeps the server.
    pub async fn operator(&self) -> Operator {
        let operator = self.start(&[]);
        operator.wait_for("tenantdb_server_up", 1).await;
        operator
    }

    /// Starts an operator with this in its environment.
    pub fn start(&self, environment: &[(String, String)]) -> Operator {
        let port = PortLease::take();
        let listen = format!("127.0.0.1:{}", port.port());
        let mut command =
            program(self.folder.path(), &self.server, &["operator", "--cluster-id", "bench", "--listen", &listen]);
        command.env("KUBECONFIG", self.cluster.kubeconfig()).stdout(Stdio::null()).stderr(Stdio::null());
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let process = command.spawn().expect("the program starts");
        Operator { process, port }
    }

    /// Our databases in the namespace `default`.
    pub fn databases(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), "default", &database())
    }

    /// Tells which of them are ready.
    pub fn readiness(&self) -> Readiness {
        Readiness::watch(self.databases())
    }

    /// How many sessions the server has ever had.
    pub fn sessions(&self) -> u64 {
        let count = self.server.psql("postgres", "SELECT sum(sessions) FROM pg_catalog.pg_stat_database");
        count.trim().parse().expect("a number")
    }
}

impl Operator {
    /// What it used of the processor so far, in all its threads: Linux counts in hundredths of a second.
    pub fn processor(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("it runs");
        // The second field may hold anything in its parentheses; the times are the 14th and the 15th.
        let fields = stat.rsplit_once(") ").expect("a name").1.split(' ');
        let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Its resident memory, in MiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        resident.and_then(|resident| resident.trim().parse::<u64>().ok()).expect("a number") / 1024
    }

    /// The sum of a metric over all its labels; 0 while it does not answer.
    pub async fn metric(&self, name: &str) -> u64 {
        self.metric_where(name, "").await
    }

    /// The same, over what has this label.
    pub async fn metric_where(&self, name: &str, label: &str) -> u64 {
        let text = self.metrics().await.unwrap_or_default();
        let samples = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name) && line.contains(label));
        samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }

    /// Ends without a word, as its machine would.
    pub fn kill(mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Waits until a metric is at least so much; how long that took.
    pub async fn wait_for(&self, name: &str, least: u64) -> Duration {
        let began = Instant::now();
        while self.metric(name).await < least {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        began.elapsed()
    }

    async fn metrics(&self) -> std::io::Result<String> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port.port())).await?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

impl Drop for Operator {
    /// It lets go of its Lease, so that the next one need not wait.
    fn drop(&mut self) {
        let process = Pid::from_raw(i32::try_from(self.process.id()).expect("a process's number"));
        let _ = kill(process, Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

/// The kind of our databases.
pub fn database() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("tenantdb.dev", "v1alpha1", "TenantDatabase"))
}
