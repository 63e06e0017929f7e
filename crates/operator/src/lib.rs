//! Kubernetes: custom resources are watched, and servers are kept as they declare.
//!
//! The way of the data: `watch` tells what changed to `index`, which knows no client and says which server has to look
//! at what; each server's `worker` gathers that, looks, and runs the one pass that the command line runs as well; `status`
//! says how each tenant came out, and `writer` alone writes it. Nothing here plans anything itself.

mod backoff;
mod connect;
mod events;
mod finalizer;
mod follow;
mod index;
mod lease;
mod metrics;
mod object;
mod reference;
mod references;
mod report;
mod scripts;
mod serve;
mod shared;
mod sources;
mod status;
mod stranded;
mod text;
mod watch;
mod worker;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::Client;
use tenantdb_api::ObjectName;
use tenantdb_core::{Authority, Failure, Interrupt};
use tenantdb_credentials::stores::secret::{self, SecretPlace};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use events::Events;
use finalizer::Finalizers;
use follow::Following;
use index::Index;
use lease::Lease;
use serve::Health;
use shared::Shared;
use stranded::strand;
use watch::Seen;
use worker::Worker;
use writer::StatusWriter;

/// The name of the Lease, whatever the cluster is called: its resources are kept by one operator.
const LEASE: &str = "tenantdb";

/// How often is looked whether to stop.
const STOP: Duration = Duration::from_millis(100);

/// How an operator runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who speaks for the cluster's declarations.
    pub authority: Authority,
    /// Where its Lease is; the namespace that the client was made for when absent.
    pub namespace: Option<String>,
    /// How long the Lease lasts that is not renewed.
    pub lease_duration: Duration,
    /// Where metrics and health are asked for.
    pub listen: SocketAddr,
}

/// Works while this process has the cluster's Lease, until somebody asks to stop; what is in hand then is finished.
///
/// # Errors
/// When nobody can listen where metrics are to be asked for.
pub async fn run(client: Client, options: Options, interrupt: Interrupt) -> Result<(), Failure> {
    let Options { authority, namespace, lease_duration, listen } = options;
    let health = Arc::new(Health::new());
    serve::serve(listen, health.clone()).await?;
    let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    let identity = format!("{}_{:x}", tenantdb_core::writer(), rand::random::<u64>());
    let mut lease = Lease::new(client.clone(), &namespace, LEASE, identity, lease_duration);
    while acquire(&mut lease, &health, &interrupt).await {
        tracing::info!(lease = LEASE, "this operator works");
        health.ready(false);
        health.metrics.leads(true);
        let term = Interrupt::default();
        let work = work(client.clone(), authority.clone(), health.clone(), term.clone());
        let keeping = async {
            tokio::select! {
                () = lease.keep() => tracing::warn!(lease = LEASE, "the Lease is lost"),
                () = asked_to_stop(&interrupt) => {}
            }
            term.set();
            // It is kept until what is in hand is finished.
            lease.keep().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = work => {}
            () = keeping => {}
        }
        health.metrics.leads(false);
        lease.release().await;
    }
    Ok(())
}

/// Stands by until this process has the Lease; `false` when somebody asks to stop first.
async fn acquire(lease: &mut Lease, health: &Health, interrupt: &Interrupt) -> bool {
    health.ready(true);
    let standing_by = async {
        loop {
            health.beat();
            tokio::time::sleep(STOP).await;
        }
    };
    tokio::select! {
        acquired = lease.acquire(interrupt) => acquired,
        () = standing_by => false,
    }
}

async fn asked_to_stop(interrupt: &Interrupt) {
    while !interrupt.is_set() {
        tokio::time::sleep(STOP).await;
    }
}

/// Watches the cluster and works.
async fn work(client: Client, authority: Authority, health: Arc<Health>, interrupt: Interrupt) {
    let place = secret::place_id(&authority);
    let (statuses, writing) = StatusWriter::new(client.clone(), health.clone());
    let (events, telling) = Events::new(client.clone());
    let shared = Arc::new(Shared {
        client: client.clone(),
        authority,
        place: Arc::new(SecretPlace::new(client.clone(), place)),
        index: Mutex::new(Index::default()),
        statuses,
        events,
        finalizers: Finalizers::new(client.clone()),
        health,
        interrupt: interrupt.clone(),
    });
    let (sender, seen) = unbounded_channel();
    let mut watches = JoinSet::new();
    watches.spawn(watch::servers(client.clone(), sender.clone()));
    watches.spawn(watch::databases(client.clone(), sender.clone()));
    watches.spawn(watch::roles(client.clone(), sender.clone()));
    watches.spawn(watch::namespaces(client.clone(), sender.clone()));
    let following = Following::new(client.clone(), sender.clone());
    let for_secrets = shared.clone();
    watches.spawn(async move {
        watch::secrets(client, &for_secrets.place, &for_secrets.authority, sender).await;
    });
    let (writing, telling) = (tokio::spawn(writing), tokio::spawn(telling));
    dispatch(&shared, seen, following, watches.len()).await;
    watches.shutdown().await;
    drop(shared);
    let _ = tokio::join!(writing, telling);
}

/// Brings what so many watches see into the index, and wakes those who have to look at it.
async fn dispatch(shared: &Arc<Shared>, mut seen: UnboundedReceiver<Seen>, mut following: Following, watches: usize) {
    let mut workers: BTreeMap<ObjectName, Arc<Notify>> = BTreeMap::new();
    let mut running = JoinSet::new();
    let mut complete = BTreeSet::new();
    let mut heard = Vec::new();
    while !shared.interrupt.is_set() {
        shared.health.beat();
        if let Some(references) = shared.index(Index::take_references) {
            following.only(references);
        }
        tokio::select! {
            _ = seen.recv_many(&mut heard, 1000) => {}
            () = tokio::time::sleep(STOP) => continue,
        }
        for told in heard.drain(..) {
            match told {
                Seen::Complete(kind) => {
                    complete.insert(kind);
                }
                Seen::Change(change) => shared.index(|index| index.change(change)),
            }
        }
        // Before all is known, an object may seem to have no server, and a name to be free.
        if complete.len() < watches {
            continue;
        }
        shared.health.ready(true);
        strand(shared, &mut running);
        for server in shared.index(|index| index.busy()) {
            shared.health.metrics.waiting(server.as_str(), shared.index(|index| index.waiting(&server)));
            let wake = workers.entry(server.clone()).or_insert_with(|| {
                let wake = Arc::new(Notify::new());
                running.spawn(Worker::new(server, shared.clone(), wake.clone()).run());
                wake
            });
            wake.notify_one();
        }
        // One whose server is gone lets go of its connections.
        let is_gone = |server: &ObjectName| shared.index(|index| index.server(server).is_none());
        workers.iter().filter(|(server, _)| is_gone(server)).for_each(|(_, wake)| wake.notify_one());
    }
    for wake in workers.values() {
        wake.notify_one();
    }
    while running.join_next().await.is_some() {}
}
