//! Kubernetes: custom resources are watched, and servers are kept as they declare.
//!
//! The way of the data: `watch` tells what changed to `index`, which knows no client and says which server has to look
//! at what; each server's `worker` gathers that, looks, and runs the one pass that the command line runs as well; `tell`
//! says how each tenant came out. `protect` marks what may not go without a word, `cluster` sees to what belongs to no
//! server, and of several operators `replicas` says which one works on which server. Nothing here plans anything itself.

mod backoff;
mod cluster;
mod index;
mod metrics;
mod protect;
mod replicas;
mod serve;
mod shared;
mod tell;
mod watch;
mod worker;

pub use tell::reason;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tenantdb_api::Tenant;
use tenantdb_core::{Authority, Failure, Interrupt};
use tenantdb_credentials::stores::secret::{self, SecretPlace};
use tenantdb_postgres::Postgres;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch::{Sender, channel};
use tokio::task::JoinSet;

use index::Index;
use protect::finalizer::Finalizers;
use protect::guard::Guard;
use replicas::{Replicas, Share, Sharing, Term};
use serve::Health;
use shared::Shared;
use tell::events::Events;
use tell::writer::StatusWriter;
use watch::Seen;
use watch::follow::Following;
use worker::Worker;
use worker::origins::Origins;

/// How often is looked whether to stop.
const STOP: Duration = Duration::from_millis(100);

/// How an operator runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who speaks for the cluster's declarations.
    pub authority: Authority,
    /// Where the Leases are by which replicas share the servers; the namespace that the client was made for when absent.
    pub namespace: Option<String>,
    /// How long a replica is waited for that gives no sign of life.
    pub lease_duration: Duration,
    /// Where metrics and health are asked for.
    pub listen: SocketAddr,
}

/// Works on its part of the servers until somebody asks to stop; what is in hand then is finished.
///
/// # Errors
/// When nobody can listen where metrics are to be asked for.
pub async fn run(client: Client, options: Options, interrupt: Interrupt) -> Result<(), Failure> {
    let Options { authority, namespace, lease_duration, listen } = options;
    let health = Arc::new(Health::new());
    serve::serve(listen, health.clone()).await?;
    let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    let identity = format!("{:016x} {}", rand::random::<u64>(), tenantdb_core::writer());
    let place = secret::place_id(&authority);
    let (statuses, writing) = StatusWriter::new(client.clone(), health.clone());
    let (events, telling) = Events::new(client.clone());
    let shared = Shared {
        client: client.clone(),
        authority,
        identity: identity.clone(),
        place: Arc::new(SecretPlace::new(client.clone(), place)),
        index: Arc::default(),
        statuses,
        events,
        finalizers: Arc::new(Finalizers::new(client.clone())),
        guard: Arc::new(Guard::new(client.clone())),
        origins: Arc::new(Origins::new(client.clone())),
        health,
        wakes: Arc::default(),
        interrupt: interrupt.clone(),
    };
    let (writing, telling) = (tokio::spawn(writing), tokio::spawn(telling));
    let (announce, announced) = channel(BTreeSet::new());
    let of_term = shared.clone();
    let begin = move |share, term| work(of_term.of_term(&share, &term), share, term);
    let sharing = Sharing { namespace, identity, duration: lease_duration };
    let replicas = Replicas::new(client, sharing, announced, begin);
    tokio::join!(dispatch(shared, announce), replicas.run(&interrupt));
    let _ = tokio::join!(writing, telling);
    Ok(())
}

/// Works on a share for a term.
async fn work(shared: Arc<Shared>, share: Share, term: Term) {
    match share {
        Share::Cluster => cluster::work(shared.clone(), term.wake).await,
        Share::Server(ref server) => Worker::<Postgres>::new(server.clone(), shared.clone(), term).run().await,
    }
    shared.end_of_term(&share);
}

/// Brings what the watches see into the index, says what there is to share, and wakes those who work on it.
async fn dispatch(shared: Shared, announce: Sender<BTreeSet<Share>>) {
    let (sender, mut seen) = unbounded_channel();
    let mut watches = watches(&shared, &sender);
    let number = watches.len();
    let mut following = Following::new(shared.client.clone(), sender);
    let mut complete = BTreeSet::new();
    let mut heard = Vec::new();
    while !shared.interrupt.is_set() {
        shared.health.beat();
        if let Some(references) = shared.index(Index::take_references) {
            following.only(references);
        }
        tokio::select! {
            _ = seen.recv_many(&mut heard, 1000) => {}
            () = tokio::time::sleep(STOP) => {}
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
        if complete.len() < number {
            continue;
        }
        shared.health.ready(true);
        announce.send_if_modified(|shares| {
            let servers = shared.index(|index| index.servers().cloned().map(Share::Server).collect::<Vec<_>>());
            let now: BTreeSet<Share> = std::iter::once(Share::Cluster).chain(servers).collect();
            let is_another = *shares != now;
            *shares = now;
            is_another
        });
        shared.wake_those_with_work();
    }
    watches.shutdown().await;
}

/// Watches all that is declared, and the Secrets.
fn watches(shared: &Shared, sender: &UnboundedSender<Seen>) -> JoinSet<()> {
    let mut watches = JoinSet::new();
    watches.spawn(watch::servers(shared.client.clone(), sender.clone()));
    for resource in Tenant::RESOURCES {
        watches.spawn(watch::tenants(shared.client.clone(), resource, sender.clone()));
    }
    watches.spawn(watch::namespaces(shared.client.clone(), sender.clone()));
    let (of_secrets, sender) = (shared.clone(), sender.clone());
    watches.spawn(async move {
        watch::secrets(of_secrets.client, &of_secrets.place, &of_secrets.authority, sender).await;
    });
    watches
}
