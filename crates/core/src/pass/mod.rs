//! The one way through the program: look at a server, plan for all its tenants together, review, and carry out with
//! bounded parallelism.

mod credential;
mod logins;
mod outcome;
mod queue;
mod turns;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use crate::{
    Claim, Consent, CredentialStep, Depth, Engine, Failure, FailureKind, Interrupt, Password, Place, Plan, Step, Task,
    TenantPlan, failpoint, review,
};
use credential::CredentialInHand;
pub use outcome::{Event, Listener, Outcome, Report, TenantOutcome};
use queue::Queue;
pub use turns::Turns;

/// How often a tenant is looked at again because somebody else changed it meanwhile.
const MAX_ROUNDS: usize = 8;

/// How long a step may take before somebody is told what it waits for.
const LONG: Duration = Duration::from_secs(2);

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
    async fn plan(&self, desired: &E::Desired, depth: Depth) -> Result<(E::Observed, Plan<E::Step>), Failure> {
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

fn panicked(error: &tokio::task::JoinError) -> Failure {
    Failure::new(FailureKind::Rejected, format!("a task of the pass ended early: {error}"))
        .hint("this is a bug in tenantdb")
}
