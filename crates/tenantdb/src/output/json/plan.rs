//! The shape of a plan.

use schemars::JsonSchema;
use serde::Serialize;
use tenantdb_core::{Actor, Condition, Plan, Planned, Refusal, Risk, Step, TenantChange, TenantPlan};

use super::{Content, Problem, TenantName};

/// What `plan` found.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plans {
    /// Each server that something is declared for.
    pub servers: Vec<ServerPlan>,
}

impl Content for Plans {
    const KIND: &'static str = "Plan";
}

/// What would be done on a server.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerPlan {
    /// Its name.
    server: String,
    /// What it needs before its first database.
    preparation: Vec<PlannedStep>,
    /// Each database that is declared, or would be removed.
    tenants: Vec<TenantPlanned>,
    /// What should be known about it.
    conditions: Vec<Condition>,
    /// Why nothing could be planned for it.
    failure: Option<Problem>,
}

/// What would be done to a database.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantPlanned {
    #[serde(flatten)]
    name: TenantName,
    /// What would become of it.
    change: TenantChange,
    /// The steps, in their order.
    steps: Vec<PlannedStep>,
    /// Why nothing, or not all, would be done.
    refusal: Option<Refusal>,
    /// What should be known about it.
    conditions: Vec<Condition>,
}

/// One step.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// Its number among the steps of its database.
    id: usize,
    /// What it does, such as `create-database`.
    kind: String,
    /// `+`, `~` or `-`; nothing for tenantdb's own bookkeeping.
    sign: Option<char>,
    /// What it does, for people.
    description: String,
    /// Why.
    reason: String,
    /// How much it can hurt.
    risk: Risk,
    /// As whom.
    actor: Actor,
    /// The steps that have to be done before.
    after: Vec<usize>,
    /// What is sent, without secrets.
    statements: Vec<String>,
}

impl ServerPlan {
    /// The plan of a server.
    pub fn of<S: Step>(plan: &Plan<S>) -> Self {
        Self {
            server: plan.server.to_string(),
            preparation: plan.preparation.iter().map(PlannedStep::of).collect(),
            tenants: plan.tenants.iter().map(TenantPlanned::of).collect(),
            conditions: plan.conditions.clone(),
            failure: None,
        }
    }

    /// A server for which nothing could be planned.
    pub fn failed(server: &str, failure: Problem) -> Self {
        Self {
            server: server.to_owned(),
            preparation: Vec::new(),
            tenants: Vec::new(),
            conditions: Vec::new(),
            failure: Some(failure),
        }
    }
}

impl TenantPlanned {
    fn of<S: Step>(plan: &TenantPlan<S>) -> Self {
        Self {
            name: TenantName::of(&plan.claim, &plan.database),
            change: plan.change,
            steps: plan.steps.iter().map(PlannedStep::of).collect(),
            refusal: plan.refusal.clone(),
            conditions: plan.conditions.clone(),
        }
    }
}

impl PlannedStep {
    fn of<S: Step>(step: &Planned<S>) -> Self {
        Self {
            id: step.id.0,
            kind: step.task.kind().to_owned(),
            sign: step.task.sign(),
            description: step.task.describe(),
            reason: step.reason.to_string(),
            risk: step.risk,
            actor: step.actor,
            after: step.after.iter().map(|id| id.0).collect(),
            statements: step.task.statements(),
        }
    }
}
