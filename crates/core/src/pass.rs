//! The one way through the program: look at a server, plan for all its tenants together, review, and carry out with
//! bounded parallelism.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tenantdb_api::ObjectName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::engine::PlaceView;
use crate::queue::{Hindrance, Queue};
use crate::{
    Claim, Condition, Consent, CredentialStep, Delivery, Depth, Digest, Engine, Failure, FailureKind, Held, Interrupt,
    Login, Marker, Password, Place, Plan, Refusal, Step, Task, TenantChange, TenantPlan, Version, failpoint, review,
};

/// How often a tenant is looked at again because somebody else changed it meanwhile.
const MAX_ROUNDS: usize = 8;

/// How long a step may take before somebody is told what it waits for.
const LONG: Duration = Duration::from_secs(2);

/// What happens during a pass, as it happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// A tenant's steps are begun.
    Started(Claim),
    /// A step takes long, for a reason that is known.
    Waiting(Claim, &'static str),
    /// A tenant is done with, unless it is stale and planned again.
    Finished(Box<TenantOutcome>),
}

/// Hears what happens during a pass, and may keep a tenant from being touched.
pub trait Listener: Send + Sync + 'static {
    /// Asked before a tenant's first step.
    ///
    /// # Errors
    /// What keeps it from being touched.
    fn begin<'a>(&'a self, _claim: &'a Claim) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Told as it happens.
    fn hear(&self, event: Event);
}

impl<F: Fn(Event) + Send + Sync + 'static> Listener for F {
    fn hear(&self, event: Event) {
        self(event);
    }
}

/// How a tenant came out of a pass.
#[derive(Clone, Debug)]
pub struct TenantOutcome {
    /// Whose it is.
    pub claim: Claim,
    /// Its database.
    pub database: String,
    /// What was to be done.
    pub change: TenantChange,
    /// What a person was shown of the steps that were carried out: sign, description and reason.
    pub done: Vec<(char, String, String)>,
    /// Why it is not as declared.
    pub failure: Option<Failure>,
    /// Why nothing was done, or not all.
    pub refusal: Option<Refusal>,
    /// What a user should know.
    pub conditions: Vec<Condition>,
    /// Where its credential was written to, for people.
    pub credential: Option<String>,
    /// Its role.
    pub owner: Option<String>,
    /// The name of its Secret or file.
    pub secret_name: Option<ObjectName>,
}

/// How a whole pass came out.
#[derive(Clone, Debug)]
pub struct Report {
    /// The server.
    pub server: ObjectName,
    /// Every tenant of the pass, in the order of their claims.
    pub tenants: Vec<TenantOutcome>,
    /// Why the pass could not begin or had to end.
    pub failure: Option<Failure>,
    /// What a user should know about the server.
    pub conditions: Vec<Condition>,
    /// Whether the server was given what it needs before its first tenant.
    pub prepared: bool,
}

/// The worst that happened in a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Everything is as declared.
    Done,
    /// Something was refused; the rest is done.
    Refused,
    /// Something failed; the rest is done.
    Failed,
    /// The user asked to stop.
    Interrupted,
}

impl Report {
    /// The worst that happened.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let failures = self.tenants.iter().filter_map(|tenant| tenant.failure.as_ref()).chain(&self.failure);
        let of_failures = failures.map(|failure| match failure.kind {
            FailureKind::Interrupted => Outcome::Interrupted,
            _ => Outcome::Failed,
        });
        let of_refusals = self.tenants.iter().filter(|tenant| tenant.refusal.is_some()).map(|_| Outcome::Refused);
        of_failures.chain(of_refusals).max().unwrap_or(Outcome::Done)
    }
}

/// How many tenants of a server are in hand at a time, whatever passes they belong to.
#[derive(Clone, Debug)]
pub struct Turns {
    most: usize,
    free: Arc<Semaphore>,
}

impl Turns {
    /// As many at a time.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, free: Arc::new(Semaphore::new(most)) }
    }

    /// Waits for a turn; whoever asked first has it first.
    async fn next(&self) -> OwnedSemaphorePermit {
        self.free.clone().acquire_owned().await.expect("the turns never end")
    }
}

/// How a server is worked on. Passes over it may run beside each other, as long as no two are about the same tenant.
pub struct Pass<E> {
    /// The server.
    pub engine: Arc<E>,
    /// Where credentials live.
    pub place: Arc<dyn Place>,
    /// Makes a new password.
    pub new_password: fn() -> Password,
    /// Who writes, for the marker: host name and process.
    pub writer: String,
    /// How many tenants are in hand at a time.
    pub turns: Turns,
    /// The wish to stop.
    pub interrupt: Interrupt,
}

impl<E: Engine> Pass<E> {
    /// Looks and plans; touches nothing.
    ///
    /// # Errors
    /// When the server can't be observed.
    pub async fn plan(&self, desired: &E::Desired, depth: Depth) -> Result<(E::Observed, Plan<E::Step>), Failure> {
        let observed = self.engine.observe(desired, depth).await?;
        let plan = self.plan_from(desired, &observed, depth).await?;
        Ok((observed, plan))
    }

    /// Plans from what was observed before.
    ///
    /// # Errors
    /// When a credential's login can't be tried.
    pub async fn plan_from(
        &self,
        desired: &E::Desired,
        observed: &E::Observed,
        depth: Depth,
    ) -> Result<Plan<E::Step>, Failure> {
        let mut place = self.view(E::deliveries(desired, observed)).await;
        let doubtful = E::doubtful(desired, observed, &place);
        self.try_logins(&mut place, depth, &doubtful).await?;
        let plan = E::plan(desired, observed, &place);
        let faults = review::lint(&plan);
        if let Some(fault) = faults.first() {
            return Err(Failure::new(FailureKind::Rejected, format!("the plan is malformed: {fault}"))
                .hint("this is a bug in tenantdb; nothing was touched"));
        }
        Ok(plan)
    }

    /// Carries a plan out as far as `consent` goes. What others changed meanwhile is looked at and planned again.
    pub async fn apply(
        self: &Arc<Self>,
        desired: &E::Desired,
        observed: Arc<E::Observed>,
        plan: Plan<E::Step>,
        consent: Consent,
        listener: Arc<dyn Listener>,
    ) -> Report {
        let (server, conditions) = (plan.server.clone(), plan.conditions.clone());
        let mut report = Report { server, tenants: Vec::new(), failure: None, conditions, prepared: false };
        let mut finished: BTreeMap<Claim, TenantOutcome> = BTreeMap::new();
        let mut next = Some((observed, plan));
        let mut begun = false;
        for round in 1.. {
            let Some((observed, plan)) = next.take() else { break };
            let plan = review::review(plan, &consent);
            let prepares = !plan.preparation.is_empty();
            begun |= plan.tenants.iter().any(|tenant| !tenant.steps.is_empty());
            let outcomes = match self.round(observed, plan, &listener).await {
                Ok(outcomes) => outcomes,
                Err(failure) => {
                    report.failure = Some(failure);
                    break;
                }
            };
            report.prepared |= prepares;
            let mut stale = BTreeSet::new();
            for outcome in outcomes {
                let is_stale = outcome.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Stale);
                if is_stale && round < MAX_ROUNDS {
                    stale.insert(outcome.claim.clone());
                }
                finished
                    .entry(outcome.claim.clone())
                    .and_modify(|earlier| earlier.continue_with(&outcome))
                    .or_insert(outcome);
            }
            if stale.is_empty() {
                break;
            }
            tracing::debug!(count = stale.len(), round, "changed by someone else meanwhile; looking again");
            match self.plan(&E::only(desired, &stale), Depth::Shallow).await {
                Ok((observed, plan)) => next = Some((Arc::new(observed), plan)),
                Err(failure) => report.failure = Some(failure),
            }
        }
        report.tenants = finished.into_values().collect();
        if begun && let Err(failure) = self.engine.flush().await {
            let mut failures = report.tenants.iter().filter_map(|tenant| tenant.failure.as_ref());
            if !failures.any(|told| told.kind == failure.kind) {
                report.failure.get_or_insert(failure);
            }
        }
        report
    }

    async fn view(&self, deliveries: BTreeMap<Claim, Delivery>) -> PlaceView {
        let (claims, deliveries): (Vec<Claim>, Vec<Delivery>) = deliveries.into_iter().unzip();
        let found = self.place.read(&deliveries).await;
        let (mut held, mut locations) = (BTreeMap::new(), BTreeMap::new());
        for ((claim, delivery), found) in claims.iter().zip(&deliveries).zip(found) {
            locations.insert(claim.clone(), self.place.location(delivery));
            held.insert(claim.clone(), found.map_err(|error| error.to_string()));
        }
        let deliveries = claims.into_iter().zip(deliveries).collect();
        let (refused, accepted) = (BTreeSet::new(), BTreeSet::new());
        PlaceView { id: self.place.id().clone(), held, deliveries, locations, refused, accepted }
    }

    /// Tries what is in doubt; on a deep look, all that the place holds.
    async fn try_logins(&self, view: &mut PlaceView, depth: Depth, doubtful: &BTreeSet<Claim>) -> Result<(), Failure> {
        let budget = Arc::new(Semaphore::new(self.turns.most));
        let mut tries = JoinSet::new();
        for (claim, delivery) in &view.deliveries {
            let Some(Ok(Held::Credential { login, .. })) = view.held.get(claim) else { continue };
            let is_doubtful = doubtful.contains(claim);
            if depth == Depth::Shallow && !is_doubtful {
                continue;
            }
            let (engine, place, budget) = (self.engine.clone(), self.place.clone(), budget.clone());
            let (claim, delivery, login) = (claim.clone(), delivery.clone(), login.clone());
            let wrong = is_doubtful.then(self.new_password);
            tries.spawn(async move {
                let _permit = budget.acquire_owned().await;
                let answer = try_login(&*engine, &*place, &delivery, &login, wrong).await;
                answer.map(|answer| (claim, answer))
            });
        }
        while let Some(done) = tries.join_next().await {
            match done.map_err(|error| panicked(&error))?? {
                (claim, Answer::Refused) => drop(view.refused.insert(claim)),
                (claim, Answer::Proved) => drop(view.accepted.insert(claim)),
                (_, Answer::LetIn) => {}
            }
        }
        Ok(())
    }

    async fn round(
        self: &Arc<Self>,
        observed: Arc<E::Observed>,
        plan: Plan<E::Step>,
        listener: &Arc<dyn Listener>,
    ) -> Result<Vec<TenantOutcome>, Failure> {
        let preparation: Vec<E::Step> =
            plan.preparation.iter().filter_map(|step| engine_step(&step.task)).cloned().collect();
        if !preparation.is_empty() {
            self.interrupt.check()?;
            self.engine.prepare(&preparation).await?;
        }
        let mut running = JoinSet::new();
        let (idle, busy): (Vec<_>, Vec<_>) = plan.tenants.into_iter().partition(|tenant| tenant.steps.is_empty());
        let mut outcomes: Vec<_> = idle.iter().map(TenantOutcome::of).collect();
        let mut queue = Queue::new(busy);
        let mut ready = VecDeque::from(queue.ready());
        while !(ready.is_empty() && running.is_empty()) {
            let hindrance = ready.front().and_then(|tenant| queue.check(tenant).err());
            let outcome = if let Some(hindrance) = hindrance {
                ready.pop_front().map(|tenant| TenantOutcome::of(&tenant).hindered_by(hindrance))
            } else {
                tokio::select! {
                    biased;
                    // Only the first of a pass stands in line: another pass has its turn between, however long this one is.
                    turn = self.turns.next(), if !ready.is_empty() => {
                        if let Some(tenant) = ready.pop_front() {
                            running.spawn(self.clone().one(tenant, turn, &observed, listener));
                        }
                        None
                    }
                    Some(done) = running.join_next() => Some(done.map_err(|error| panicked(&error))?),
                }
            };
            if let Some(outcome) = outcome {
                queue.finished(&outcome);
                outcomes.push(outcome);
                ready.extend(queue.ready());
            }
        }
        outcomes.sort_by(|one, other| one.claim.cmp(&other.claim));
        Ok(outcomes)
    }

    /// Works on one tenant, whose turn it is.
    fn one(
        self: Arc<Self>,
        tenant: TenantPlan<E::Step>,
        turn: OwnedSemaphorePermit,
        observed: &Arc<E::Observed>,
        listener: &Arc<dyn Listener>,
    ) -> impl Future<Output = TenantOutcome> + Send + use<E> {
        let (observed, listener) = (observed.clone(), listener.clone());
        async move {
            let _turn = turn;
            listener.hear(Event::Started(tenant.claim.clone()));
            tracing::debug!(tenant = tenant.claim.path(), steps = tenant.steps.len(), "begun");
            let mut outcome = TenantOutcome::of(&tenant);
            outcome.failure = self.tenant(&tenant, &observed, &mut outcome, &*listener).await.err();
            listener.hear(Event::Finished(Box::new(outcome.clone())));
            let failed = outcome.failure.is_some();
            tracing::debug!(tenant = tenant.claim.path(), failed, "ended");
            outcome
        }
    }

    async fn tenant(
        &self,
        tenant: &TenantPlan<E::Step>,
        observed: &E::Observed,
        outcome: &mut TenantOutcome,
        listener: &dyn Listener,
    ) -> Result<(), Failure> {
        self.interrupt.check()?;
        listener.begin(&tenant.claim).await?;
        let mut hold = self.engine.hold(tenant, observed, &self.interrupt).await?;
        let result = self.steps(tenant, &mut hold, outcome, listener).await;
        self.engine.release(hold).await;
        result
    }

    async fn steps(
        &self,
        tenant: &TenantPlan<E::Step>,
        hold: &mut E::Hold,
        outcome: &mut TenantOutcome,
        listener: &dyn Listener,
    ) -> Result<(), Failure> {
        let mut credential = CredentialInHand::default();
        let mut rest = tenant.steps.as_slice();
        while let Some(first) = rest.first() {
            self.interrupt.check()?;
            let batch = match &first.task {
                Task::Engine(_) => {
                    let length = rest.iter().take_while(|step| engine_step(&step.task).is_some()).count();
                    let steps: Vec<&E::Step> =
                        rest[..length].iter().filter_map(|step| engine_step(&step.task)).collect();
                    let tell = |what| listener.hear(Event::Waiting(tenant.claim.clone(), what));
                    let work = self.engine.carry_out(hold, &steps, credential.login.as_ref());
                    let done = telling(first.task.waits_for(), tell, work).await?;
                    &rest[..done.clamp(1, length)]
                }
                Task::Credential(step) => {
                    failpoint::hit(&format!("before-{}", first.task.kind()));
                    outcome.conditions.extend(self.credential(tenant, step, &mut credential).await?);
                    failpoint::hit(&format!("after-{}", first.task.kind()));
                    &rest[..1]
                }
            };
            if let Task::Credential(CredentialStep::Publish { location, .. }) = &first.task {
                outcome.credential = Some(location.clone());
            }
            outcome.done.extend(
                batch.iter().filter_map(|step| {
                    step.task.sign().map(|sign| (sign, step.task.describe(), step.reason.to_string()))
                }),
            );
            rest = &rest[batch.len()..];
        }
        Ok(())
    }

    async fn credential(
        &self,
        tenant: &TenantPlan<E::Step>,
        step: &CredentialStep,
        in_hand: &mut CredentialInHand,
    ) -> Result<Vec<Condition>, Failure> {
        let delivery = tenant.delivery.as_ref().ok_or_else(|| missing("a delivery"))?;
        match step {
            CredentialStep::Fence { username, password, generation, version } => {
                let marker = Marker { generation: *generation, writer: self.writer.clone() };
                in_hand.version = self.place.fence(delivery, &marker, *version).await.map_err(Failure::from)?;
                let password = password.then(self.new_password);
                in_hand.login = Some(Login { username: username.clone(), password });
            }
            CredentialStep::Stage { .. } => {
                let next = in_hand.login()?.password.as_ref().ok_or_else(|| missing("a password"))?;
                let staged = self.place.stage(delivery, next, in_hand.version).await;
                in_hand.version = staged.map_err(Failure::from)?;
            }
            CredentialStep::Reuse { login, version } => {
                in_hand.version = *version;
                in_hand.login = self.place.login(delivery, login).await.map_err(Failure::from)?;
                in_hand.login()?;
            }
            CredentialStep::Probe => return self.engine.probe(delivery, in_hand.login()?).await,
            CredentialStep::Publish { generation, .. } => {
                let login = in_hand.login()?;
                let published = self.place.publish(delivery, login, *generation, in_hand.version).await;
                in_hand.version = published.map_err(Failure::from)?;
            }
            CredentialStep::Withdraw { .. } => self.place.withdraw(delivery).await.map_err(Failure::from)?,
        }
        Ok(Vec::new())
    }
}

/// What a server says of a login that a place holds.
enum Answer {
    /// It does not let it in.
    Refused,
    /// It lets it in, and would perhaps let anyone in.
    LetIn,
    /// It lets it in, and with another password it would not.
    Proved,
}

/// Tries a login; with a `wrong` password as well, where it is to prove something.
async fn try_login<E: Engine>(
    engine: &E,
    place: &dyn Place,
    delivery: &Delivery,
    login: &Digest,
    wrong: Option<Password>,
) -> Result<Answer, Failure> {
    let Ok(Some(login)) = place.login(delivery, login).await else { return Ok(Answer::LetIn) };
    // What lets a login in that has no password is not ours to show.
    if login.password.is_none() {
        return Ok(if wrong.is_some() { Answer::Proved } else { Answer::LetIn });
    }
    if !engine.try_login(delivery, &login).await? {
        return Ok(Answer::Refused);
    }
    let Some(password) = wrong else { return Ok(Answer::LetIn) };
    let wrong = Login { password: Some(password), ..login };
    Ok(if engine.try_login(delivery, &wrong).await? { Answer::LetIn } else { Answer::Proved })
}

/// The credential that a tenant's steps set or use.
#[derive(Default)]
struct CredentialInHand {
    login: Option<Login>,
    version: Version,
}

impl CredentialInHand {
    fn login(&self) -> Result<&Login, Failure> {
        self.login.as_ref().ok_or_else(|| {
            Failure::new(FailureKind::Stale, "the credential that was there is gone").hint("run it again")
        })
    }
}

impl TenantOutcome {
    fn of<S: Step>(tenant: &TenantPlan<S>) -> Self {
        Self {
            claim: tenant.claim.clone(),
            database: tenant.database.clone(),
            change: tenant.change,
            done: Vec::new(),
            failure: None,
            refusal: tenant.refusal.clone(),
            conditions: tenant.conditions.clone(),
            credential: None,
            owner: tenant.delivery.as_ref().and_then(|delivery| delivery.acts_as.as_ref()).map(ToString::to_string),
            secret_name: tenant.delivery.as_ref().map(|delivery| delivery.secret_name.clone()),
        }
    }

    /// A tenant that was not begun.
    fn hindered_by(mut self, hindrance: Hindrance) -> Self {
        match hindrance {
            Hindrance::Stale(failure) => self.failure = Some(failure),
            Hindrance::Deferred(refusal) => self.refusal = Some(refusal),
        }
        self
    }

    /// Takes over how a further look came out; what was done before stays done.
    fn continue_with(&mut self, later: &Self) {
        let mut done = std::mem::take(&mut self.done);
        let change = if done.is_empty() { later.change } else { self.change };
        done.extend(later.done.iter().cloned());
        let credential = later.credential.clone().or_else(|| self.credential.take());
        *self = Self { change, done, credential, ..later.clone() };
    }
}

fn engine_step<S>(task: &Task<S>) -> Option<&S> {
    match task {
        Task::Engine(step) => Some(step),
        Task::Credential(_) => None,
    }
}

/// Tells what work waits for, if it is known and takes long.
async fn telling<T>(what: Option<&'static str>, tell: impl Fn(&'static str), work: impl Future<Output = T>) -> T {
    let Some(what) = what else { return work.await };
    let mut work = std::pin::pin!(work);
    if let Ok(done) = tokio::time::timeout(LONG, &mut work).await {
        return done;
    }
    tell(what);
    work.await
}

fn missing(what: &str) -> Failure {
    Failure::new(FailureKind::Rejected, format!("the plan lacks {what}")).hint("this is a bug in tenantdb")
}

fn panicked(error: &tokio::task::JoinError) -> Failure {
    Failure::new(FailureKind::Rejected, format!("a task of the pass ended early: {error}"))
        .hint("this is a bug in tenantdb")
}
