//! What a pass tells while it goes on, and how it came out.

use futures_util::future::BoxFuture;
use tenantdb_api::ObjectName;

use super::queue::Hindrance;
use crate::{Claim, Condition, Failure, FailureKind, Refusal, Step, TenantChange, TenantPlan};

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

impl TenantOutcome {
    pub(super) fn of<S: Step>(tenant: &TenantPlan<S>) -> Self {
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
    pub(super) fn hindered_by(mut self, hindrance: Hindrance) -> Self {
        match hindrance {
            Hindrance::Stale(failure) => self.failure = Some(failure),
            Hindrance::Deferred(refusal) => self.refusal = Some(refusal),
        }
        self
    }

    /// Takes over how a further look came out; what was done before stays done.
    pub(super) fn continue_with(&mut self, later: &Self) {
        let mut done = std::mem::take(&mut self.done);
        let change = if done.is_empty() { later.change } else { self.change };
        done.extend(later.done.iter().cloned());
        let credential = later.credential.clone().or_else(|| self.credential.take());
        *self = Self { change, done, credential, ..later.clone() };
    }
}
