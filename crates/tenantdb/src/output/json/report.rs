//! The shape of what was done.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tenantdb_core::{Condition, FailureKind, Refusal, Report, TenantChange, TenantOutcome};

use super::{Content, Problem, TenantName};

/// What `apply` or `delete` did.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reports {
    /// Each server that something was to be done on.
    pub servers: Vec<ServerReport>,
    /// How long it took.
    pub seconds: f64,
}

impl Reports {
    /// Closes the report.
    pub fn took(mut self, took: Duration) -> Self {
        self.seconds = took.as_secs_f64();
        self
    }
}

impl Content for Reports {
    const KIND: &'static str = "Report";
}

/// What was done on a server.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerReport {
    /// Its name.
    server: String,
    /// Each database that something was to be done to, or nothing had to.
    tenants: Vec<TenantReport>,
    /// What should be known about it.
    conditions: Vec<Condition>,
    /// Why it could not be begun, or had to end.
    failure: Option<Problem>,
}

/// What was done to a database.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantReport {
    #[serde(flatten)]
    name: TenantName,
    /// What was to become of it.
    change: TenantChange,
    /// What became of it.
    result: Outcome,
    /// What was done, as it was told.
    done: Vec<Done>,
    /// Why it is not as declared.
    failure: Option<Problem>,
    /// Why nothing, or not all, was done.
    refusal: Option<Refusal>,
    /// What should be known about it.
    conditions: Vec<Condition>,
    /// Where its credential was written to, if it was.
    credential: Option<String>,
}

/// Something that was done.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// `+`, `~` or `-`.
    sign: char,
    /// What.
    description: String,
    /// Why.
    reason: String,
}

/// What became of a database.
#[derive(Serialize, JsonSchema)]
pub enum Outcome {
    /// It is as declared, or gone, or left alone because that was declared.
    Done,
    /// Something failed; what was done stays done.
    Failed,
    /// Something was refused; the rest is done.
    Refused,
    /// The user asked to stop.
    Interrupted,
}

impl ServerReport {
    /// The report of a server.
    pub fn of(report: &Report) -> Self {
        Self {
            server: report.server.to_string(),
            tenants: report.tenants.iter().map(TenantReport::of).collect(),
            conditions: report.conditions.clone(),
            failure: report.failure.as_ref().map(Problem::of),
        }
    }

    /// A server on which nothing could be begun.
    pub fn failed(server: &str, failure: Problem) -> Self {
        Self { server: server.to_owned(), tenants: Vec::new(), conditions: Vec::new(), failure: Some(failure) }
    }
}

impl TenantReport {
    fn of(tenant: &TenantOutcome) -> Self {
        let result = match (&tenant.failure, &tenant.refusal) {
            (Some(failure), _) if failure.kind == FailureKind::Interrupted => Outcome::Interrupted,
            (Some(_), _) => Outcome::Failed,
            (None, Some(_)) => Outcome::Refused,
            (None, None) => Outcome::Done,
        };
        let done = tenant.done.iter().map(|(sign, description, reason)| Done {
            sign: *sign,
            description: description.clone(),
            reason: reason.clone(),
        });
        Self {
            name: TenantName::of(&tenant.claim, &tenant.database),
            change: tenant.change,
            result,
            done: done.collect(),
            failure: tenant.failure.as_ref().map(Problem::of),
            refusal: tenant.refusal.clone(),
            conditions: tenant.conditions.clone(),
            credential: tenant.credential.clone(),
        }
    }
}
