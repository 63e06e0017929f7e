//! Two replicas that share eight servers: what it takes until both have found everything as declared, and how long a lost
//! one is missed.

use std::time::{Duration, Instant};

use kube::api::PostParams;
use tenantdb_testkit::{ADMIN_PASSWORD_VARIABLE, Admin, TestServer, server_manifest};

use super::plain::{each, object};
use super::site::{Operator, Site};
use crate::measure::{settle, start};

/// How many servers are shared.
const SERVERS: usize = 8;

/// How many tenants a pass has looked at.
const LOOKED_AT: &str = "tenantdb_tenants_reconciled_total";

/// How many servers an operator works on.
const HELD: &str = "tenantdb_servers";

/// What a start of two costs that find so many databases, and how long the other takes when one is killed.
pub fn measure(major: u32, tenants: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let fleet = Fleet::new(major).await;
        fleet.make(tenants).await;
        settle();
        println!("PostgreSQL {major}, {tenants} databases on {SERVERS} servers, two replicas");
        let began = Instant::now();
        let replicas = [fleet.operator(), fleet.operator()];
        fleet.wait_until_looked_at(&replicas, tenants / SERVERS).await;
        let took = began.elapsed();
        println!("    start to all confirmed: {:.2} s", took.as_secs_f64());
        fleet.wait_until_shared(&replicas).await;
        for replica in &replicas {
            println!(
                "    a replica with {} servers: {:.2} s of processor, {} MiB, statuses written: {}",
                replica.metric(HELD).await,
                replica.processor().as_secs_f64(),
                replica.memory(),
                replica.metric("tenantdb_status_writes_total").await,
            );
        }
        let [lost, other] = replicas;
        lost.kill();
        let took = other.wait_for(HELD, SERVERS as u64).await;
        println!("    killed, and its servers taken over: {:.2} s, of which the Lease is 15 s\n", took.as_secs_f64());
    });
}

struct Fleet {
    site: Site,
    others: Vec<TestServer>,
}

impl Fleet {
    async fn new(major: u32) -> Self {
        let site = Site::new(major).await;
        let others: Vec<TestServer> = (1..SERVERS).map(|_| start(major, Admin::Plain)).collect();
        for (number, server) in (1..).zip(&others) {
            let manifest = server_manifest(server).replace("name: shared", &format!("name: {}", server_name(number)));
            let manifest = manifest.replace("default: true", "default: false");
            let manifest = manifest.replace(ADMIN_PASSWORD_VARIABLE, &variable(number));
            site.cluster.kubectl_with(&["apply", "--server-side", "-f", "-"], &manifest);
        }
        Self { site, others }
    }

    fn operator(&self) -> Operator {
        let passwords = (1..).zip(&self.others);
        let passwords: Vec<(String, String)> =
            passwords.map(|(number, server)| (variable(number), server.admin_password().to_owned())).collect();
        self.site.start(&passwords)
    }

    /// Has all databases made, in turns on each of the servers.
    async fn make(&self, tenants: usize) {
        let mut readiness = self.site.readiness();
        let operator = self.operator();
        operator.wait_for(HELD, SERVERS as u64).await;
        each(tenants, |number| {
            let databases = self.site.databases();
            async move {
                let mut object = object(number);
                object.data["spec"]["server"] = server_name(number % SERVERS).into();
                databases.create(&PostParams::default(), &object).await.expect("it is made");
            }
        })
        .await;
        readiness.wait(tenants).await;
    }

    /// Waits until each server was looked at by one of them.
    async fn wait_until_looked_at(&self, replicas: &[Operator], each: usize) {
        for number in 0..SERVERS {
            let server = format!("server=\"{}\"", server_name(number));
            loop {
                let [one, other] = [&replicas[0], &replicas[1]].map(|replica| replica.metric_where(LOOKED_AT, &server));
                if one.await.max(other.await) >= each as u64 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Waits until each of them has as many servers as the other.
    async fn wait_until_shared(&self, replicas: &[Operator]) {
        for replica in replicas {
            while replica.metric(HELD).await != SERVERS as u64 / 2 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn server_name(number: usize) -> String {
    if number == 0 { "shared".to_owned() } else { format!("server-{number}") }
}

fn variable(number: usize) -> String {
    format!("BENCH_ADMIN_PASSWORD_{number}")
}
