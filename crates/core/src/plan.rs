//! A plan: what would be done, as data.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use strum::{IntoStaticStr, VariantNames};
use tenantdb_api::{ObjectName, SqlName};

use crate::{Claim, Delivery, Digest, Generation, Note, Version};

/// One thing an engine can do. It is complete: carrying it out needs no decision, only a login's secret, which is
/// never in it.
pub trait Step: Clone + fmt::Debug + PartialEq + Send + Sync + 'static {
    /// Its kind, such as `create-database`; also the name of its failpoints.
    fn kind(&self) -> &'static str;
    /// `+`, `~` or `-`; a step of our own bookkeeping has none and is not shown.
    fn sign(&self) -> Option<char>;
    /// What it does, for people.
    fn describe(&self) -> String;
    /// The statements it will send, with secrets left out.
    fn statements(&self) -> Vec<String>;
    /// What it waits for when it takes long, as far as that is known.
    fn waits_for(&self) -> Option<&'static str> {
        None
    }
}

/// How much a step can hurt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub enum Risk {
    /// Creates, grants, or heals what is ours.
    Safe,
    /// Takes access away or ends sessions of a login that is not ours.
    Disruptive,
    /// Destroys data.
    Destructive,
}

/// As whom a step is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Actor {
    /// The role that owns every tenant's database.
    Estate,
    /// The administrator's own login, for what the estate may not do.
    Login,
    /// Whoever writes the credential's place.
    Place,
}

/// The number of a step in its tenant's plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepId(pub usize);

/// A part of the credential protocol, which is the same for every engine.
#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
pub enum CredentialStep {
    /// Leaves a marker in the place before the login changes.
    #[strum(serialize = "fence-credential")]
    Fence {
        /// The user name of the login that gets a new password.
        username: SqlName,
        /// Whether it gets one, and not only the login.
        password: bool,
        /// The generation that will be written.
        generation: Generation,
        /// The place as it was read.
        version: Version,
    },
    /// Puts the new password beside the one that it is about to replace.
    #[strum(serialize = "stage-credential")]
    Stage {
        /// Where, for people.
        location: String,
    },
    /// Takes a login that the place holds, instead of a new password.
    #[strum(serialize = "reuse-credential")]
    Reuse {
        /// Which one.
        login: Digest,
        /// The place as it was read.
        version: Version,
    },
    /// Logs in and sees who that is.
    #[strum(serialize = "probe-login")]
    Probe,
    /// Writes the credential into its place.
    #[strum(serialize = "publish-credential")]
    Publish {
        /// Its generation.
        generation: Generation,
        /// Where, for people.
        location: String,
        /// Whether something was there before.
        replaces: bool,
    },
    /// Removes the credential from its place.
    #[strum(serialize = "withdraw-credential")]
    Withdraw {
        /// Where, for people.
        location: String,
    },
}

impl CredentialStep {
    /// Every kind of step.
    pub const KINDS: &'static [&'static str] = <Self as VariantNames>::VARIANTS;
}

/// What a step does: something of the engine's, or a part of the credential protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Task<S> {
    /// The engine's.
    Engine(S),
    /// The protocol's.
    Credential(CredentialStep),
}

impl<S: Step> Step for Task<S> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Engine(step) => step.kind(),
            Self::Credential(step) => step.into(),
        }
    }

    fn sign(&self) -> Option<char> {
        match self {
            Self::Engine(step) => step.sign(),
            Self::Credential(CredentialStep::Publish { replaces: true, .. }) => Some('~'),
            Self::Credential(CredentialStep::Publish { .. }) => Some('+'),
            Self::Credential(CredentialStep::Withdraw { .. }) => Some('-'),
            Self::Credential(_) => None,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Engine(step) => step.describe(),
            Self::Credential(CredentialStep::Fence { generation, .. }) => {
                format!("mark the place for credential generation {generation}")
            }
            Self::Credential(CredentialStep::Stage { location }) => format!("`password_next` in {location}"),
            Self::Credential(CredentialStep::Reuse { .. }) => "take the delivered credential".to_owned(),
            Self::Credential(CredentialStep::Probe) => "log in with the credential".to_owned(),
            Self::Credential(CredentialStep::Publish { generation, location, .. }) => {
                format!("credential generation {generation} in {location}")
            }
            Self::Credential(CredentialStep::Withdraw { location }) => format!("credential in {location}: removed"),
        }
    }

    fn statements(&self) -> Vec<String> {
        match self {
            Self::Engine(step) => step.statements(),
            Self::Credential(_) => Vec::new(),
        }
    }

    fn waits_for(&self) -> Option<&'static str> {
        match self {
            Self::Engine(step) => step.waits_for(),
            Self::Credential(_) => None,
        }
    }
}

/// A step with its place in the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned<S> {
    /// Its number.
    pub id: StepId,
    /// What it does.
    pub task: Task<S>,
    /// Why.
    pub reason: Cow<'static, str>,
    /// How much it can hurt.
    pub risk: Risk,
    /// As whom.
    pub actor: Actor,
    /// What must have been done before.
    pub after: Vec<StepId>,
}

impl<S> Planned<S> {
    /// Adds a step that waits for all those before it.
    pub fn push(
        steps: &mut Vec<Self>,
        task: Task<S>,
        reason: impl Into<Cow<'static, str>>,
        risk: Risk,
        actor: Actor,
    ) -> StepId {
        let id = StepId(steps.len());
        let after = id.0.checked_sub(1).map(StepId).into_iter().collect();
        steps.push(Self { id, task, reason: reason.into(), risk, actor, after });
        id
    }
}

/// What happens to a tenant as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum TenantChange {
    /// It is as declared.
    Unchanged,
    /// It is made.
    Create,
    /// Its database, which somebody else made, becomes its own.
    Adopt,
    /// Parts of it are changed.
    Update,
    /// Its database is removed, and what else its policies say.
    Delete,
    /// Its declaration goes and its database stays, as its policies say.
    Orphan,
    /// It is left as it is, for a reason that the refusal tells.
    Refused,
    /// It is not as declared, and left so: it is only looked at.
    Observed,
    /// It is not looked at.
    Paused,
}

/// Why something is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum RefusalKind {
    /// It is someone else's.
    Conflict,
    /// It is protected.
    Protection,
    /// The platform does not allow it.
    Policy,
    /// Nobody consented to its risk.
    Consent,
    /// It has to wait.
    Deferral,
    /// Something that its declaration refers to is not there yet.
    Waiting,
}

/// A refusal: what, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Refusal {
    /// Why.
    pub kind: RefusalKind,
    /// What is refused, and because of what.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// The same refusal with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Something that a user should know and that no step mends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Condition {
    /// Its CamelCase type, such as `SystemDatabasesOpen`.
    #[serde(rename = "type")]
    #[schemars(with = "String")]
    pub kind: &'static Note,
    /// What it is, and what to do about it.
    pub message: String,
}

/// What happens to one tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantPlan<S> {
    /// Whose it is.
    pub claim: Claim,
    /// Its database, for people.
    pub database: String,
    /// What happens, in one word.
    pub change: TenantChange,
    /// The steps, in their order.
    pub steps: Vec<Planned<S>>,
    /// Why nothing is done, or not all.
    pub refusal: Option<Refusal>,
    /// What a user should know.
    pub conditions: Vec<Condition>,
    /// Where its credential goes.
    pub delivery: Option<Delivery>,
    /// What has to be done with before: what this plan builds on, or takes apart first.
    pub after: BTreeSet<Claim>,
}

impl<S: Step> TenantPlan<S> {
    /// The steps that a person is shown.
    pub fn shown(&self) -> impl Iterator<Item = &Planned<S>> {
        self.steps.iter().filter(|step| step.task.sign().is_some())
    }

    /// Adds a step that waits for all those before it.
    pub fn push(&mut self, task: Task<S>, reason: impl Into<Cow<'static, str>>, risk: Risk, actor: Actor) -> StepId {
        Planned::push(&mut self.steps, task, reason, risk, actor)
    }

    /// Puts steps before all others, which wait for them.
    pub fn put_first(&mut self, mut steps: Vec<Planned<S>>) {
        for Planned { task, reason, risk, actor, .. } in std::mem::take(&mut self.steps) {
            Planned::push(&mut steps, task, reason, risk, actor);
        }
        self.steps = steps;
    }
}

/// What happens on one server.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<S> {
    /// The server.
    pub server: ObjectName,
    /// What the server itself needs first.
    pub preparation: Vec<Planned<S>>,
    /// What happens to each tenant, in the order of their names.
    pub tenants: Vec<TenantPlan<S>>,
    /// What a user should know about the server.
    pub conditions: Vec<Condition>,
}

impl<S: Step> Plan<S> {
    /// Whether nothing would be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.preparation.is_empty() && self.tenants.iter().all(|tenant| tenant.steps.is_empty())
    }

    /// The highest risk in it.
    #[must_use]
    pub fn risk(&self) -> Risk {
        let steps = self.tenants.iter().flat_map(|tenant| &tenant.steps).chain(&self.preparation);
        steps.map(|step| step.risk).max().unwrap_or(Risk::Safe)
    }
}
