//! What `operator` takes, and what brings it into a cluster.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tenantdb_api::Namespace;

use super::shared::time;

/// What `operator` takes.
#[derive(Debug, Args)]
pub struct OperatorArguments {
    /// What the ledgers of the servers call this cluster; it must not change, and no other cluster may have it
    #[arg(long, value_name = "ID")]
    pub cluster_id: String,
    /// Where the Leases are by which several operators share the servers: that of the pod, else of the context, else
    /// default
    #[arg(long, value_name = "NS")]
    pub namespace: Option<Namespace>,
    /// How long another operator waits for one that is silent, at least 1s
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = lease_duration)]
    pub lease_duration: Duration,
    /// Where /metrics, /healthz and /readyz are asked for
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// What its log on standard error looks like
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub log_format: LogFormat,
    /// The context of the kubeconfig; the current one, or the cluster that it runs in, when absent
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// What a log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

fn lease_duration(text: &str) -> Result<Duration, String> {
    let time = time(text)?;
    if time < Duration::from_secs(1) { Err("a Lease lasts a second at least".to_owned()) } else { Ok(time) }
}

/// What `install` takes.
#[derive(Debug, Args)]
pub struct InstallArguments {
    /// What the ledgers of the servers call this cluster; it must not change, and no other cluster may have it
    #[arg(long, value_name = "ID")]
    pub cluster_id: String,
    /// Where the operator runs
    #[arg(long, value_name = "NS", default_value = "tenantdb")]
    pub namespace: Namespace,
    /// What it runs from [default: the image of this version]
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// How many share the servers
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub replicas: u16,
}
