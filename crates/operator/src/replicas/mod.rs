//! Several operators share the servers: each server is worked on by the one that has its Lease.
//!
//! A replica shows that it lives by one heartbeat, a Lease that it renews; the Leases of servers only say who has them,
//! and count as long as their holder lives. A replica that can't renew its heartbeat stops writing before the others
//! may take over what it had. Which replica a server goes to follows from the names of both, so that nobody has to ask.

mod assign;
mod leases;
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use kube::Client;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use tenantdb_api::{ObjectName, shorten};
use tenantdb_core::{Interrupt, Tenure};
use tokio::sync::Notify;
use tokio::sync::watch::Receiver;
use tokio::task::{Id, JoinSet};

use crate::watch::why;
use assign::assign;
use leases::Leases;
use requests::{Done, Requests};

/// What the name of a heartbeat begins with.
const REPLICA: &str = "tenantdb.replica.";

/// How often is looked whether somebody's time has run out.
const TICK: Duration = Duration::from_millis(100);

/// What one replica works on at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Share {
    /// What belongs to no server.
    Cluster,
    /// A server, with all that is declared for it.
    Server(ObjectName),
}

impl Share {
    /// The name of its Lease.
    fn lease(&self) -> String {
        match self {
            Self::Cluster => "tenantdb".to_owned(),
            // At most as long as the name of an object may be (RFC 1123).
            Self::Server(name) => shorten(&format!("tenantdb.server.{name}"), 253),
        }
    }
}

/// The time in which a replica works on a share.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    /// Asks it to let go.
    pub(crate) interrupt: Interrupt,
    /// Wakes whoever works on it.
    pub(crate) wake: Arc<Notify>,
    /// Who had it before, and did not let go of it.
    pub(crate) predecessor: Option<String>,
}

impl Term {
    fn stop(&self) {
        self.interrupt.set();
        self.wake.notify_one();
    }
}

/// What this replica does about a share.
enum State {
    /// It asks for the Lease, or gives it back.
    Asking,
    Working(Term),
    /// Another may have it; whoever worked on it is about to notice.
    Lost,
}

/// This replica among the others.
pub(crate) struct Replicas<B> {
    requests: Requests,
    identity: String,
    leases: Leases,
    /// How long we may write.
    tenure: Tenure,
    duration: Duration,
    shares: Receiver<BTreeSet<Share>>,
    /// Works on a share for a term.
    begin: B,
    plan: Assignment,
    states: BTreeMap<Share, State>,
    working: JoinSet<()>,
    tasks: BTreeMap<Id, Share>,
    asked: FuturesUnordered<BoxFuture<'static, Done>>,
    next_beat: Instant,
    is_beating: bool,
}

/// Which replica works on what, of these.
#[derive(Default)]
struct Assignment {
    shares: BTreeSet<Share>,
    replicas: BTreeSet<String>,
    assigned: BTreeMap<Share, String>,
}

/// How replicas share.
pub(crate) struct Sharing {
    /// The namespace of their Leases.
    pub(crate) namespace: String,
    /// Who we are; no other process is called so.
    pub(crate) identity: String,
    /// How long a heartbeat counts.
    pub(crate) duration: Duration,
}

impl<B, W> Replicas<B>
where
    B: Fn(Share, Term) -> W,
    W: Future<Output = ()> + Send + 'static,
{
    /// This replica; what there is to share is told later.
    pub(crate) fn new(client: Client, sharing: Sharing, shares: Receiver<BTreeSet<Share>>, begin: B) -> Self {
        let Sharing { namespace, identity, duration } = sharing;
        Self {
            requests: Requests::new(client, &namespace, identity.clone(), duration),
            identity,
            leases: Leases::new(duration),
            tenure: Tenure::until(Instant::now()),
            duration,
            shares,
            begin,
            plan: Assignment::default(),
            states: BTreeMap::new(),
            working: JoinSet::new(),
            tasks: BTreeMap::new(),
            asked: FuturesUnordered::new(),
            next_beat: Instant::now(),
            is_beating: false,
        }
    }

    /// Takes its part until somebody asks to stop; what is in hand then is finished, and given back.
    pub(crate) async fn run(mut self, interrupt: &Interrupt) {
        let mut events = watcher(self.requests.api(), watcher::Config::default().labels(&requests::ours()))
            .default_backoff()
            .boxed();
        let mut found = Vec::new();
        let mut is_complete = false;
        loop {
            tokio::select! {
                Some(event) = events.next() => match event {
                    Ok(Event::Init) => found.clear(),
                    Ok(Event::InitApply(lease)) => found.push(lease),
                    Ok(Event::InitDone) => {
                        self.leases.see_all(&std::mem::take(&mut found), Instant::now());
                        is_complete = true;
                    }
                    Ok(Event::Apply(lease)) => self.leases.see(&lease, Instant::now()),
                    Ok(Event::Delete(lease)) => self.leases.forget(&lease),
                    Err(error) => tracing::warn!(kind = "Lease", error = why(&error), "the watch broke, and begins anew"),
                },
                Some(done) = self.asked.next(), if !self.asked.is_empty() => self.conclude(done),
                Some(ended) = self.working.join_next_with_id(), if !self.working.is_empty() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    self.let_go(id);
                }
                () = tokio::time::sleep(TICK) => {}
            }
            self.beat();
            if interrupt.is_set() {
                self.states.values().for_each(stop);
                if self.states.is_empty() {
                    break;
                }
            } else if is_complete && !self.tenure.is_over() {
                self.share();
            }
            self.give_up_what_is_lost();
        }
        self.requests.end().await;
    }

    /// Shows that we live.
    fn beat(&mut self) {
        if !self.is_beating && Instant::now() >= self.next_beat {
            self.is_beating = true;
            self.next_beat = Instant::now() + self.duration / 4;
            self.asked.push(Box::pin(self.requests.clone().beat()));
        }
    }

    /// Takes what is ours to take, and asks whoever works on what is another's to let go.
    fn share(&mut self) {
        let now = Instant::now();
        self.assign(now);
        let is_ours = |share: &Share| self.plan.assigned.get(share) == Some(&self.identity);
        let idle = self.plan.shares.iter().filter(|share| !self.states.contains_key(share));
        for share in idle.cloned().collect::<Vec<_>>() {
            let lease = share.lease();
            let (holder, seen) = (self.leases.holder(&lease), self.leases.seen(&lease));
            let is_held = holder == Some(&self.identity);
            if is_ours(&share) && (is_held || self.leases.is_free(&lease, now)) {
                let predecessor = holder.filter(|_| !is_held).map(str::to_owned);
                self.asked.push(Box::pin(self.requests.clone().take(share.clone(), seen, predecessor)));
            } else if let (true, Some(seen)) = (is_held, seen) {
                self.asked.push(Box::pin(self.requests.clone().give_back(share.clone(), seen)));
            } else {
                continue;
            }
            self.states.insert(share.clone(), State::Asking);
        }
        self.states.iter().filter(|(share, _)| !is_ours(share)).for_each(|(_, state)| stop(state));
        if matches!(self.states.get(&Share::Cluster), Some(State::Working(_))) {
            let wanted = self.plan.shares.iter().map(Share::lease).collect();
            for (lease, version) in self.leases.take_left_over(&wanted, now) {
                self.asked.push(Box::pin(self.requests.clone().delete(lease, version)));
            }
        }
    }

    /// Shares out anew what there is among those who live.
    fn assign(&mut self, now: Instant) {
        let mut living = self.leases.living(now);
        living.insert(self.identity.clone());
        let shares = self.shares.borrow_and_update();
        if self.plan.replicas != living || self.plan.shares != *shares {
            let assigned = assign(&shares, &living);
            self.plan = Assignment { shares: shares.clone(), replicas: living, assigned };
        }
    }

    /// Nobody writes any more to what is another's, or may be.
    fn give_up_what_is_lost(&mut self) {
        for (share, state) in &mut self.states {
            let State::Working(term) = &*state else { continue };
            let lease = share.lease();
            if self.tenure.is_over() || self.leases.holder(&lease) != Some(&self.identity) {
                tracing::warn!(lease, "the Lease is lost");
                term.interrupt.tenure().end();
                term.stop();
                *state = State::Lost;
            }
        }
    }

    /// Takes note of what the API server answered.
    fn conclude(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Beat { began, renewed } => {
                self.is_beating = false;
                // What was lost while nobody looked is not had again without asking.
                self.give_up_what_is_lost();
                if let Some(lease) = renewed {
                    // The others count from when they see it, which is later.
                    self.tenure.renew(began + self.duration * 3 / 4);
                    self.leases.see(&lease, now);
                }
            }
            Done::Taken { share, lease: Some(lease), predecessor } => {
                self.leases.see(&lease, now);
                self.begin(share, predecessor);
            }
            Done::Taken { share, lease: None, .. } => drop(self.states.remove(&share)),
            Done::GivenBack { share, lease } => {
                if let Some(lease) = lease {
                    self.leases.see(&lease, now);
                }
                self.states.remove(&share);
            }
            Done::Deleted => {}
        }
    }

    /// Works on a share that is ours now.
    fn begin(&mut self, share: Share, predecessor: Option<String>) {
        tracing::info!(lease = share.lease(), predecessor, "this operator works on it");
        let interrupt = Interrupt::within(self.tenure.part());
        let term = Term { interrupt, wake: Arc::default(), predecessor };
        let id = self.working.spawn((self.begin)(share.clone(), term.clone())).id();
        self.tasks.insert(id, share.clone());
        self.states.insert(share, State::Working(term));
    }

    /// Gives back what nobody works on any more, unless it was lost.
    fn let_go(&mut self, id: Id) {
        let Some(share) = self.tasks.remove(&id) else { return };
        let lease = share.lease();
        let seen = self.leases.seen(&lease).filter(|_| self.leases.holder(&lease) == Some(&self.identity));
        let Some(seen) = seen else { return drop(self.states.remove(&share)) };
        tracing::info!(lease, "this operator lets go of it");
        self.states.insert(share.clone(), State::Asking);
        self.asked.push(Box::pin(self.requests.clone().give_back(share, seen)));
    }
}

fn stop(state: &State) {
    if let State::Working(term) = state {
        term.stop();
    }
}
