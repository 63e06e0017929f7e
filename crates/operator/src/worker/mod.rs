//! One worker for each server: it gathers what has to be looked at, looks at all of it at once, and has done what there
//! is to do. Where that takes long, the next pass runs beside it.

mod answer;
mod batch;
mod connect;
mod in_hand;
mod look;
pub(crate) mod origins;
mod repeats;
mod retries;
mod scripts;
mod sources;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tenantdb_api::{DatabaseServer, Declared, ObjectName};
use tenantdb_core::{Claim, Engine, Failure, Recorded, Report, TenantOutcome};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backoff::pause;
use crate::index::{Look, Work};
use crate::replicas::Term;
use crate::shared::Shared;
use crate::tell::reason;
use crate::tell::status::{self, Facts, Verdict};
use crate::tell::writer::Target;
use crate::watch::object::{Key, Meta, Object, Tenant};
use crate::watch::reference::Reader;
use crate::worker::connect::{Connected, Way};

use answer::Answer;
pub(crate) use batch::Batch;
use in_hand::{Begun, InHand};
use repeats::Repeats;
use retries::Retries;

/// How long to wait for more, once something has to be looked at.
const GATHERING: Duration = Duration::from_millis(5);

/// How long a pass has the server for itself before another may begin beside it: many that come one after the other are
/// looked at together.
const ALONE: Duration = Duration::from_secs(1);

/// How often all that a server has is looked at.
const ROUND: Duration = Duration::from_mins(10);

/// In how many of them all is looked at closely, with room for those that take long.
const ROUNDS_OF_A_DAY: usize = 120;

/// How long to wait at most after a server failed.
const LONGEST: Duration = Duration::from_secs(15);

/// The worker of one server.
pub(crate) struct Worker<E> {
    name: ObjectName,
    shared: Arc<Shared>,
    wake: Arc<Notify>,
    /// Who worked on it before, and may not have noticed that it does no more.
    predecessor: Option<String>,
    /// The server as it was declared when it was connected to.
    connected: Option<(i64, Connected<E>)>,
    /// Whether something that it refers to is another since.
    is_renewed: bool,
    /// The names that its ledger recorded.
    recorded: Option<Recorded>,
    answer: Option<Answer>,
    in_hand: InHand<E>,
    /// When it was looked at last.
    looked: Instant,
    /// When all of it is looked at again.
    round: Instant,
    /// Up to where all was looked at closely.
    closely: Option<Key>,
    /// What was done lately.
    repeats: Repeats,
    retries: Retries,
    failed: Option<Failed>,
}

/// A server that can't be worked on.
struct Failed {
    times: u32,
    until: Instant,
    /// The declaration that it was worked on by.
    generation: i64,
    why: Verdict,
    /// Who was told so, by which declaration.
    told: BTreeSet<(Key, i64)>,
}

impl<E: Engine> Worker<E> {
    pub(crate) fn new(name: ObjectName, shared: Arc<Shared>, term: Term) -> Self {
        let now = Instant::now();
        Self {
            round: now + jittered(ROUND, &name),
            name,
            shared,
            wake: term.wake,
            predecessor: term.predecessor,
            connected: None,
            is_renewed: false,
            recorded: None,
            answer: None,
            in_hand: InHand::none(),
            looked: now,
            closely: None,
            repeats: Repeats::default(),
            retries: Retries::default(),
            failed: None,
        }
    }

    /// Works until the term ends; while the server is not declared there is nothing to do.
    pub(crate) async fn run(mut self) {
        // Whoever had it before knew what had been looked at.
        self.shared.index(|index| index.look_at_server(&self.name, Look::Shallow));
        while !self.shared.interrupt.is_set() {
            let next = self.next_look();
            if Instant::now() < next {
                tokio::select! {
                    () = self.wake.notified() => self.tell_newcomers(),
                    () = tokio::time::sleep_until(next) => {}
                    Some((begun, report)) = self.in_hand.next() => self.conclude(begun, report).await,
                }
            } else {
                tokio::time::sleep(GATHERING).await;
                self.look().await;
            }
        }
        while let Some((begun, report)) = self.in_hand.next().await {
            self.conclude(begun, report).await;
        }
        self.forget().await;
    }

    /// When to look next.
    fn next_look(&self) -> Instant {
        let (generation, is_renewed, has_work) = self.shared.index(|index| {
            let generation = index.server(&self.name).map(|server| server.meta.generation);
            let has_work = index.has_work(&self.name, |key| self.in_hand.has(key));
            (generation, index.is_renewed(&self.name), has_work)
        });
        let (now, later) = (Instant::now(), self.retries.next().map_or(self.round, |next| next.min(self.round)));
        let is_gone = generation.is_none() && (self.connected.is_some() || self.failed.is_some());
        let due = if has_work || is_renewed || is_gone { now } else { later };
        let is_as_it_failed = |failed: &&Failed| generation == Some(failed.generation) && !is_renewed;
        let beside = (!self.in_hand.is_empty()).then(|| self.looked + ALONE);
        let recovered = self.failed.as_ref().filter(is_as_it_failed).map(|failed| failed.until);
        [beside, recovered].into_iter().flatten().fold(due, Instant::max)
    }

    /// Looks at all that is asked for or due, but for what is in hand.
    async fn look(&mut self) {
        let Some(server) = self.shared.index(|index| index.server(&self.name)) else {
            self.forget().await;
            self.round = Instant::now() + jittered(ROUND, &self.name);
            return;
        };
        self.ask_for_what_is_due();
        self.is_renewed |= self.shared.index(|index| index.take_renewed(&self.name));
        self.renew(&server).await;
        let (server, asked, waiting) = self.shared.index(|index| {
            // Its declaration may have changed since; whatever changes from here on is asked for again.
            let asked = index.take(&self.name, |key| self.in_hand.has(key));
            (index.server(&self.name), asked, index.waiting(&self.name))
        });
        self.shared.health.metrics.waiting(self.name.as_str(), waiting);
        let (Some(server), Some(asked)) = (server, asked) else { return };
        for key in asked.keys() {
            self.retries.begun(key);
        }
        self.looked = Instant::now();
        if let Err(failure) = self.look_at(&server, &asked).await {
            let reason = Verdict::failed(&failure).reason();
            self.shared.health.metrics.pass(self.name.as_str(), self.looked.elapsed(), Some(reason));
            self.put_off(&server, &asked, &failure).await;
        }
    }

    /// Asks for what failed and is tried again, and for all of it when it is time.
    fn ask_for_what_is_due(&mut self) {
        let now = Instant::now();
        for key in self.retries.take_due(now) {
            if self.shared.index(|index| index.tenant(&key)).is_some() {
                self.shared.index(|index| index.look_at(&key, Look::Shallow));
            } else {
                self.retries.forget(&key);
            }
        }
        if now >= self.round {
            self.closely = self.shared.index(|index| {
                index.look_at_server(&self.name, Look::Shallow);
                index.look_closely_at_next(&self.name, self.closely.as_ref(), ROUNDS_OF_A_DAY)
            });
            self.round = now + jittered(ROUND, &self.name);
        }
    }

    /// Lets go of a server that is declared no more; another one may come under its name.
    async fn forget(&mut self) {
        if let Some((_, connected)) = self.connected.take() {
            connected.pass.engine.close().await;
        }
        self.shared.health.metrics.forget(self.name.as_str());
        self.recorded = None;
        self.answer = None;
        self.failed = None;
        self.retries = Retries::default();
    }

    /// The server can't be worked on: whoever waits for it is told, and looked at later.
    async fn put_off(&mut self, server: &Object<DatabaseServer>, asked: &Work, failure: &Failure) {
        tracing::warn!(server = self.name.as_str(), %failure, "the server can't be worked on");
        let verdict = Verdict::failed(failure);
        self.tell_server(server, &verdict, None);
        self.shared.index(|index| {
            index.look_at_server_itself(&self.name);
            for (key, look) in asked {
                index.look_at(key, *look);
            }
        });
        if let Some((_, connected)) = self.connected.take() {
            connected.pass.engine.close().await;
        }
        let times = self.failed.as_ref().map_or(0, |failed| failed.times) + 1;
        let until = Instant::now() + pause(times, LONGEST);
        let (generation, told) = (server.meta.generation, BTreeSet::new());
        self.failed = Some(Failed { times, until, generation, why: verdict, told });
        self.tell_newcomers();
    }

    /// Tells those why they wait that were not told since the server can't be worked on.
    fn tell_newcomers(&mut self) {
        let Some(failed) = &mut self.failed else { return };
        let newcomers = self.shared.index(|index| index.newcomers(&self.name, &mut failed.told));
        let why = failed.why.clone();
        self.tell_waiting(&newcomers, &why);
    }

    /// Tells those that wait for something new, or had no server; the others stay as they are.
    fn tell_waiting(&self, asked: &Work, verdict: &Verdict) {
        for key in asked.keys() {
            let Some(tenant) = self.shared.index(|index| index.tenant(key)) else { continue };
            let Meta { status, generation, .. } = &tenant.meta;
            let is_stranded = status::reason(status) == Some(reason::NO_SERVER.note.name);
            if is_stranded || status["observedGeneration"] != *generation {
                self.shared.tell(key, &tenant, verdict, &Facts::default());
            }
        }
    }

    /// Has the server's status written, if it says something new; what it `answered` stays until it answers otherwise.
    fn tell_server(&self, server: &Object<DatabaseServer>, verdict: &Verdict, answered: Option<&Answer>) {
        let latest = self.shared.index(|index| index.server(&self.name));
        let before = latest.as_ref().map_or(&server.meta.status, |latest| &latest.meta.status);
        let mut status = serde_json::json!({
            "observedGeneration": server.meta.generation,
            "conditions": status::conditions(before, server.meta.generation, verdict, Timestamp::now()),
        });
        if let Some(Answer { version, address, ledger, databases }) = answered {
            status["version"] = version.as_str().into();
            status["endpoint"] = address.to_string().into();
            status["databases"] = databases.len().into();
            // What is absent from a patch stays as it is.
            if ledger.is_some() || !before["ledger"].is_null() {
                status["ledger"] = ledger.clone().into();
            }
        } else {
            for field in
                ["version", "endpoint", "databases", "ledger"].into_iter().filter(|field| !before[field].is_null())
            {
                status[field] = before[field].clone();
            }
        }
        if status != *before && !self.shared.interrupt.tenure().is_over() {
            let target = Target { kind: "DatabaseServer", namespace: None, name: self.name.clone() };
            self.shared.statuses.write(target, status);
        }
    }

    /// Looks whether the way to a server that works is another now.
    async fn renew(&mut self, server: &Object<DatabaseServer>) {
        if let (Some(_), Ok(declared)) = (&self.connected, &server.declared)
            && let Err(failure) = self.connect(server.meta.generation, declared).await
        {
            tracing::warn!(server = self.name.as_str(), %failure, "the server can't be reached as it is declared now");
        }
    }

    /// Prepares the connection anew where the declaration is another, or what it refers to. What can't be read any more
    /// breaks nothing that works.
    async fn connect(&mut self, generation: i64, declared: &Declared<DatabaseServer>) -> Result<(), Failure> {
        let is_renewed = std::mem::take(&mut self.is_renewed);
        let same_declaration = self.connected.as_ref().filter(|(of, _)| *of == generation).map(|(_, found)| found);
        if same_declaration.is_some() && !is_renewed {
            return Ok(());
        }
        let Shared { client, place, .. } = &*self.shared;
        let mut reader = Reader::new(client);
        let way = Way::find(E::SCHEME, &mut reader, &declared.resource).await;
        self.shared.index(|index| index.refers(&self.name, reader.read));
        match (way, same_declaration) {
            (Err(failure), Some(_)) => {
                tracing::warn!(server = self.name.as_str(), %failure, "what it refers to is gone; it is used as it was");
                return Ok(());
            }
            (Ok(way), Some(earlier)) if earlier.way.is_same(&way) => return Ok(()),
            (way, earlier) => {
                // A credential that was delivered says where the server is.
                let moved = |earlier: &Connected<E>| way.as_ref().is_ok_and(|way| earlier.way.endpoint != way.endpoint);
                self.shared.index(|index| match earlier.map(moved) {
                    Some(true) => index.look_at_server(&self.name, Look::Shallow),
                    Some(false) => index.look_at_server_itself(&self.name),
                    None => {}
                });
                if earlier.is_some() {
                    tracing::info!(server = self.name.as_str(), "what it refers to is another; it is reached anew");
                }
                let connected = way.and_then(|way| {
                    way.connect(&declared.resource, place.clone(), &self.shared.identity, &self.shared.interrupt)
                });
                if let Some((_, earlier)) = self.connected.take() {
                    earlier.pass.engine.close().await;
                }
                self.connected = Some((generation, connected?));
            }
        }
        Ok(())
    }

    /// Takes note of how a pass came out.
    async fn conclude(&mut self, begun: Begun<E>, report: Result<Report, Failure>) {
        let (outcomes, conditions, failure) = match report {
            Ok(report) => {
                if report.prepared {
                    // Now it has a ledger, by which others may know it.
                    self.shared.index(|index| index.look_at_server_itself(&self.name));
                }
                (report.tenants, report.conditions, report.failure)
            }
            Err(failure) => (Vec::new(), Vec::new(), Some(failure)),
        };
        let reason = failure.as_ref().map(|failure| Verdict::failed(failure).reason());
        self.shared.health.metrics.pass(self.name.as_str(), begun.since.elapsed(), reason);
        self.settle(&begun, &outcomes, failure.is_none()).await;
        if let Some(answer) = &mut self.answer {
            answer.follow(&outcomes);
        }
        let is_current = self.connected.as_ref().is_some_and(|(_, now)| Arc::ptr_eq(&now.pass, &begun.connected.pass));
        match failure {
            None if is_current => {
                self.failed = None;
                let conditions = [&*conditions, &begun.connected.way.notes].concat();
                self.tell_server(&begun.server, &Verdict::server(&conditions), self.answer.as_ref());
            }
            Some(failure) if is_current => self.put_off(&begun.server, &begun.work(), &failure).await,
            // It was begun on a way that is used no more.
            None => {}
            Some(failure) => {
                tracing::warn!(server = self.name.as_str(), %failure, "a pass could not be finished");
                self.shared.index(|index| begun.work().iter().for_each(|(key, look)| index.look_at(key, *look)));
            }
        }
    }

    /// Lets go of what was dealt with, and remembers what has to be looked at again.
    async fn settle(&mut self, Begun { batch, taken, .. }: &Begun<E>, outcomes: &[TenantOutcome], is_whole: bool) {
        for outcome in outcomes.iter().filter(|outcome| !outcome.done.is_empty()) {
            if let Some((_, object)) = batch.tenants.get(&outcome.claim.declaration()) {
                let what = outcome.done.iter().map(|(_, what, _)| what.clone()).collect();
                self.repeats.did(&outcome.claim, version_of(object), what, Instant::now());
            }
        }
        let open = open(batch.tenants.keys(), outcomes, is_whole);
        for (claim, (key, tenant)) in &batch.tenants {
            if open.contains(claim) || taken.contains(claim) {
                self.retries.failed(key, Instant::now());
                continue;
            }
            self.retries.forget(key);
            if tenant.meta.is_deleted {
                self.repeats.forget(claim);
                self.shared.finalizers.take_off(key, &tenant.meta.uid).await;
            }
        }
    }
}

/// Those of a pass that are not as declared. Of one that came to its end, who is not told of needs nothing; of another,
/// nobody knows.
fn open<'c>(
    claims: impl Iterator<Item = &'c Claim>,
    outcomes: &[TenantOutcome],
    is_whole: bool,
) -> BTreeSet<&'c Claim> {
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some() || outcome.refusal.is_some());
    let failed: BTreeSet<Claim> = failed.map(|outcome| outcome.claim.declaration()).collect();
    let told: BTreeSet<Claim> = outcomes.iter().map(|outcome| outcome.claim.declaration()).collect();
    claims.filter(|claim| failed.contains(claim) || !(is_whole || told.contains(claim))).collect()
}

/// What tells one version of a declaration from another.
fn version_of(tenant: &Tenant) -> (String, i64) {
    (tenant.meta.uid.clone(), tenant.meta.generation)
}

/// Spreads what many do at the same distance in time.
fn jittered(time: Duration, name: &ObjectName) -> Duration {
    let spread: u32 = name.as_str().bytes().map(u32::from).sum();
    time.mul_f64(0.9 + f64::from(spread % 200) / 1000.0)
}

#[cfg(test)]
mod tests {
    use tenantdb_core::{Authority, FailureKind, TenantChange};

    use super::*;

    fn claim(name: &str) -> Claim {
        Claim::at(&format!("default/{name}"), "TenantDatabase", &Authority::cluster("test").unwrap()).unwrap()
    }

    fn outcome(name: &str, failure: Option<Failure>) -> TenantOutcome {
        TenantOutcome {
            claim: claim(name),
            database: name.to_owned(),
            change: TenantChange::Unchanged,
            done: Vec::new(),
            failure,
            refusal: None,
            conditions: Vec::new(),
            credential: None,
            owner: None,
            secret_name: None,
        }
    }

    #[test]
    fn what_a_pass_did_not_get_to_is_not_done() {
        let (done, failed, untold) = (claim("done"), claim("failed"), claim("untold"));
        let outcomes = [outcome("done", None), outcome("failed", Some(Failure::new(FailureKind::Rejected, "no")))];
        let all = || [&done, &failed, &untold].into_iter();
        assert_eq!(open(all(), &outcomes, true), BTreeSet::from([&failed]));
        assert_eq!(open(all(), &outcomes, false), BTreeSet::from([&failed, &untold]));
        assert_eq!(open(all(), &[], false), all().collect());
    }
}
