//! What a custom resource says of itself: pure, from how its tenant came out of a pass.

use jiff::Timestamp;
use serde_json::{Value, json};
use tenantdb_api::{Diagnostic, Diagnostics};
use tenantdb_core::{Condition, Failure, FailureKind, Refusal, RefusalKind, TenantChange, TenantOutcome};
use tenantdb_postgres::Unusable;

use crate::events::Happened;
use crate::text::shortened;

/// How many bytes of a message are told: whoever declares something decides how much there is to say, and a status has to
/// be taken by the API server.
const LONGEST: usize = 4096;

/// Whether a declaration is kept, in one word and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    standing: Standing,
    reason: &'static str,
    message: String,
    /// What else is to be known.
    conditions: Vec<Condition>,
}

/// How a declaration stands (kstatus).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// As declared.
    Ready,
    /// It is worked on, and tried again without anybody's doing.
    Reconciling,
    /// Somebody has to do something.
    Stalled,
}

/// What is known of a tenant beside how it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) server: Option<String>,
    pub(crate) server_version: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) owner: Option<String>,
    /// The role, of one without a database.
    pub(crate) role: Option<String>,
    pub(crate) secret_name: Option<String>,
}

impl Verdict {
    /// How a tenant came out of a pass.
    pub(crate) fn of(outcome: &TenantOutcome) -> Self {
        let conditions = outcome.conditions.clone();
        let verdict = match (&outcome.failure, &outcome.refusal) {
            (Some(failure), _) => Self::failed(failure),
            (None, Some(refusal)) => Self::refused(refusal),
            (None, None) => match outcome.change {
                TenantChange::Paused => Self::new(Standing::Ready, "Paused", "it is neither looked at nor changed"),
                TenantChange::Observed => Self::observed(&outcome.conditions),
                _ => Self::new(Standing::Ready, "InSync", "it is as declared"),
            },
        };
        Self { conditions, ..verdict }
    }

    /// Something that stopped the work on it.
    pub(crate) fn failed(failure: &Failure) -> Self {
        let (standing, reason) = match failure.kind {
            FailureKind::Unreachable | FailureKind::LockLost => (Standing::Reconciling, "ServerUnreachable"),
            FailureKind::LoginRefused => (Standing::Reconciling, "LoginRefused"),
            FailureKind::Held => (Standing::Reconciling, "HeldByAnother"),
            FailureKind::Interrupted | FailureKind::Stale => (Standing::Reconciling, "TriedAgain"),
            FailureKind::Place => (Standing::Reconciling, "SecretFailed"),
            FailureKind::Waiting => (Standing::Reconciling, "Waiting"),
            FailureKind::Rejected => (Standing::Reconciling, "Failed"),
            FailureKind::Conflict => (Standing::Stalled, "Conflict"),
        };
        Self::new(standing, reason, with_hint(&failure.to_string(), failure.hint.as_deref()))
    }

    /// What is only looked at, and not as declared: somebody wants it so, and can use it unless it is not there at all.
    fn observed(conditions: &[Condition]) -> Self {
        let told = |kind: &str| conditions.iter().find(|condition| condition.kind == kind);
        match (told("Missing"), told("Drifted")) {
            (Some(missing), _) => Self::new(Standing::Stalled, missing.kind, &*missing.message),
            (None, Some(drifted)) => Self::new(Standing::Ready, drifted.kind, &*drifted.message),
            (None, None) => Self::new(Standing::Ready, "Drifted", "it is not as declared"),
        }
    }

    /// Something that may not be done, or not yet.
    pub(crate) fn refused(refusal: &Refusal) -> Self {
        let (standing, reason) = match refusal.kind {
            RefusalKind::Conflict => (Standing::Stalled, "Conflict"),
            RefusalKind::Protection => (Standing::Stalled, "Protected"),
            RefusalKind::Policy => (Standing::Stalled, "NotAllowed"),
            RefusalKind::Consent => {
                let message = format!("{}; a custom resource consents by `adopt: Existing` only", refusal.message);
                return Self::new(Standing::Stalled, "NeedsConsent", message);
            }
            RefusalKind::Deferral => (Standing::Reconciling, "Deferred"),
            RefusalKind::Waiting => (Standing::Reconciling, "Waiting"),
        };
        Self::new(standing, reason, with_hint(&refusal.message, refusal.hint.as_deref()))
    }

    /// A declaration that can't be used.
    pub(crate) fn invalid(faults: &Diagnostics) -> Self {
        Self::new(Standing::Stalled, "Invalid", told(faults.iter()))
    }

    /// A declaration that can't be used beside the others.
    pub(crate) fn unusable(why: &Unusable) -> Self {
        match why {
            Unusable::Wrong(faults) => Self::new(Standing::Stalled, "Invalid", told(faults.iter())),
            Unusable::Taken(faults) => Self::new(Standing::Stalled, "Conflict", told(faults.iter())),
        }
    }

    /// A server that was reached.
    pub(crate) fn server(conditions: &[Condition]) -> Self {
        let verdict = Self::new(Standing::Ready, "Reachable", "it answers");
        Self { conditions: conditions.to_vec(), ..verdict }
    }

    /// A declaration that no server is there for.
    pub(crate) fn stranded(why: String) -> Self {
        Self::new(Standing::Reconciling, "NoServer", why)
    }

    fn new(standing: Standing, reason: &'static str, message: impl Into<String>) -> Self {
        Self { standing, reason, message: message.into(), conditions: Vec::new() }
    }

    /// Whether it is as declared.
    pub(crate) fn is_ready(&self) -> bool {
        self.standing == Standing::Ready
    }

    /// Why it is, or is not, in one word.
    pub(crate) fn reason(&self) -> &'static str {
        self.reason
    }

    /// What is worth an Event, now that this follows upon the status `before`: that it is something new, and what somebody
    /// else had changed.
    pub(crate) fn happened(&self, before: &Value, outcome: &TenantOutcome) -> Vec<Happened> {
        let mut ready =
            before["conditions"].as_array().into_iter().flatten().filter(|earlier| earlier["type"] == "Ready");
        let earlier = ready.next().map(|ready| ready["reason"].clone()).unwrap_or_default();
        let mut all = Vec::new();
        if !outcome.done.is_empty() {
            let (reason, action) = match outcome.change {
                TenantChange::Create => ("Created", "Create"),
                TenantChange::Adopt => ("Adopted", "Adopt"),
                TenantChange::Delete => ("Deleted", "Delete"),
                TenantChange::Orphan => ("LeftBehind", "Delete"),
                _ => ("Changed", "Update"),
            };
            let done = outcome.done.iter().map(|(sign, what, why)| format!("{sign} {what} ({why})"));
            let note = match outcome.change {
                TenantChange::Create => format!("database {} with its credential", outcome.database),
                _ => done.collect::<Vec<_>>().join("; "),
            };
            all.push(Happened { is_warning: false, reason, action, note });
        }
        let is_to_be_known = !self.is_ready() || outcome.change == TenantChange::Observed;
        if is_to_be_known && earlier != self.reason {
            let note = self.message.clone();
            all.push(Happened { is_warning: true, reason: self.reason, action: "Reconcile", note });
        }
        all
    }
}

fn told<'a>(faults: impl Iterator<Item = &'a Diagnostic>) -> String {
    let told: Vec<String> = faults.map(|fault| with_hint(&fault.message, fault.hint.as_deref())).collect();
    told.join("; ")
}

fn with_hint(message: &str, hint: Option<&str>) -> String {
    hint.map_or_else(|| message.to_owned(), |hint| format!("{message}; {hint}"))
}

/// The status of a tenant that had the status `before`; what did not change keeps its time.
pub(crate) fn of_tenant(before: &Value, generation: i64, verdict: &Verdict, facts: &Facts, now: Timestamp) -> Value {
    let mut status = json!({
        "observedGeneration": generation,
        "conditions": conditions(before, generation, verdict, now),
    });
    let Facts { server, server_version, database, owner, role, secret_name } = facts;
    let fields = [
        ("server", server),
        ("serverVersion", server_version),
        ("database", database),
        ("owner", owner),
        ("role", role),
        ("secretName", secret_name),
    ];
    for (field, value) in fields {
        // What is not known now may have been known before.
        let known = value.clone().map_or_else(|| before[field].clone(), Value::from);
        if !known.is_null() {
            status[field] = known;
        }
    }
    if let Some(name) = status["secretName"].as_str() {
        status["binding"] = json!({"name": name});
    }
    status
}

/// `Ready`, and `Reconciling` or `Stalled` while it is not, and what else is to be known.
pub(crate) fn conditions(before: &Value, generation: i64, verdict: &Verdict, now: Timestamp) -> Value {
    let Verdict { standing, reason, message, conditions } = verdict;
    let says = |holds: bool| if holds { "True" } else { "False" };
    let mut all = vec![("Ready", says(*standing == Standing::Ready), *reason, message.as_str())];
    match standing {
        Standing::Ready => {}
        Standing::Reconciling => all.push(("Reconciling", "True", reason, message)),
        Standing::Stalled => all.push(("Stalled", "True", reason, message)),
    }
    all.extend(conditions.iter().map(|condition| (condition.kind, "True", condition.kind, condition.message.as_str())));
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|(kind, ..)| seen.insert(*kind));
    let told = all.into_iter().map(|(kind, status, reason, message)| {
        let earlier = before["conditions"].as_array().into_iter().flatten().find(|earlier| earlier["type"] == kind);
        let since =
            earlier.filter(|earlier| earlier["status"] == status).map(|same| same["lastTransitionTime"].clone());
        let since = since.filter(Value::is_string).unwrap_or_else(|| second(now).to_string().into());
        json!({
            "type": kind,
            "status": status,
            "observedGeneration": generation,
            "lastTransitionTime": since,
            "reason": reason,
            "message": shortened(message.to_owned(), LONGEST),
        })
    });
    told.collect()
}

/// Kubernetes keeps whole seconds.
fn second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
