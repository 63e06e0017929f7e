//! What a custom resource says of itself: pure, from how its tenant came out of a pass.

use jiff::Timestamp;
use serde_json::{Value, json};
use tenantdb_api::{Diagnostic, Diagnostics};
use tenantdb_core::{
    Condition, Failure, FailureKind, Note, Refusal, RefusalKind, TenantChange, TenantOutcome, Unusable, notes,
};

use crate::tell::events::Happened;
use crate::tell::reason::{self, Reason, Standing};
use crate::tell::text::shortened;

/// How many bytes of a message are told: whoever declares something decides how much there is to say, and a status has to
/// be taken by the API server.
const LONGEST: usize = 4096;

/// Whether a declaration is kept, in one word and for people.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    reason: &'static Reason,
    message: String,
    /// What else is to be known.
    conditions: Vec<Condition>,
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
                TenantChange::Paused => Self::new(&reason::PAUSED, "it is neither looked at nor changed"),
                TenantChange::Observed => Self::observed(&outcome.conditions),
                _ => Self::new(&reason::IN_SYNC, "it is as declared"),
            },
        };
        Self { conditions, ..verdict }
    }

    /// Something that stopped the work on it.
    pub(crate) fn failed(failure: &Failure) -> Self {
        let reason = match failure.kind {
            FailureKind::Unreachable | FailureKind::LockLost => &reason::SERVER_UNREACHABLE,
            FailureKind::LoginRefused => &reason::LOGIN_REFUSED,
            FailureKind::Held => &reason::HELD_BY_ANOTHER,
            FailureKind::Interrupted | FailureKind::Stale => &reason::TRIED_AGAIN,
            FailureKind::Place => &reason::SECRET_FAILED,
            FailureKind::Waiting => &reason::WAITING,
            FailureKind::Rejected => &reason::FAILED,
            FailureKind::Conflict => &reason::CONFLICT,
        };
        Self::new(reason, with_hint(&failure.to_string(), failure.hint.as_deref()))
    }

    /// What is only looked at, and not as declared: somebody wants it so, and can use it unless it is not there at all.
    fn observed(conditions: &[Condition]) -> Self {
        let told = |kind: &Note| conditions.iter().find(|condition| condition.kind == kind);
        match (told(&notes::MISSING), told(&notes::DRIFTED)) {
            (Some(missing), _) => Self::new(&reason::MISSING, &*missing.message),
            (None, Some(drifted)) => Self::new(&reason::DRIFTED, &*drifted.message),
            (None, None) => Self::new(&reason::DRIFTED, "it is not as declared"),
        }
    }

    /// Something that may not be done, or not yet.
    pub(crate) fn refused(refusal: &Refusal) -> Self {
        let reason = match refusal.kind {
            RefusalKind::Conflict => &reason::CONFLICT,
            RefusalKind::Protection => &reason::PROTECTED,
            RefusalKind::Policy => &reason::NOT_ALLOWED,
            RefusalKind::Consent => {
                let message = format!("{}; a custom resource consents by `adopt: Existing` only", refusal.message);
                return Self::new(&reason::NEEDS_CONSENT, message);
            }
            RefusalKind::Deferral => &reason::DEFERRED,
            RefusalKind::Waiting => &reason::WAITING,
        };
        Self::new(reason, with_hint(&refusal.message, refusal.hint.as_deref()))
    }

    /// A declaration that can't be used.
    pub(crate) fn invalid(faults: &Diagnostics) -> Self {
        Self::new(&reason::INVALID, told(faults.iter()))
    }

    /// A declaration that can't be used beside the others.
    pub(crate) fn unusable(why: &Unusable) -> Self {
        match why {
            Unusable::Wrong(faults) => Self::new(&reason::INVALID, told(faults.iter())),
            Unusable::Taken(faults) => Self::new(&reason::CONFLICT, told(faults.iter())),
        }
    }

    /// A server that was reached.
    pub(crate) fn server(conditions: &[Condition]) -> Self {
        let verdict = Self::new(&reason::REACHABLE, "it answers");
        Self { conditions: conditions.to_vec(), ..verdict }
    }

    /// A declaration that no server is there for.
    pub(crate) fn stranded(why: String) -> Self {
        Self::new(&reason::NO_SERVER, why)
    }

    fn new(reason: &'static Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), conditions: Vec::new() }
    }

    /// Whether it is as declared.
    pub(crate) fn is_ready(&self) -> bool {
        self.reason.standing == Standing::Ready
    }

    /// Why it is, or is not, in one word.
    pub(crate) fn reason(&self) -> &'static str {
        self.reason.note.name
    }

    /// What is worth an Event, now that this follows upon the status `before`: that it is something new, and what somebody
    /// else had changed.
    pub(crate) fn happened(&self, before: &Value, outcome: &TenantOutcome) -> Vec<Happened> {
        let mut all = Vec::new();
        if !outcome.done.is_empty() {
            let deed = match outcome.change {
                TenantChange::Create => &reason::CREATED,
                TenantChange::Adopt => &reason::ADOPTED,
                TenantChange::Delete => &reason::DELETED,
                TenantChange::Orphan => &reason::LEFT_BEHIND,
                _ => &reason::CHANGED,
            };
            let done = outcome.done.iter().map(|(sign, what, why)| format!("{sign} {what} ({why})"));
            let note = match outcome.change {
                TenantChange::Create => format!("database {} with its credential", outcome.database),
                _ => done.collect::<Vec<_>>().join("; "),
            };
            all.push(Happened::done(deed, note));
        }
        let is_to_be_known = !self.is_ready() || outcome.change == TenantChange::Observed;
        if is_to_be_known && reason(before) != Some(self.reason()) {
            all.push(Happened::not_kept(self.reason, self.message.clone()));
        }
        all
    }
}

/// Why a resource was as declared, or was not, by its status.
pub(crate) fn reason(status: &Value) -> Option<&str> {
    let mut conditions = status["conditions"].as_array()?.iter();
    conditions.find(|condition| condition["type"] == "Ready")?["reason"].as_str()
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
    let (reason, message) = (verdict.reason(), verdict.message.as_str());
    let says = |holds: bool| if holds { "True" } else { "False" };
    let mut all = vec![("Ready", says(verdict.is_ready()), reason, message)];
    match verdict.reason.standing {
        Standing::Ready => {}
        Standing::Reconciling => all.push(("Reconciling", "True", reason, message)),
        Standing::Stalled => all.push(("Stalled", "True", reason, message)),
    }
    let notes = joined(&verdict.conditions);
    all.extend(notes.iter().map(|(kind, message)| (*kind, "True", *kind, message.as_str())));
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

/// One of each kind, with all that it tells: a resource has no two conditions of a type.
fn joined(notes: &[Condition]) -> Vec<(&'static str, String)> {
    let mut all: Vec<(&'static str, String)> = Vec::new();
    for Condition { kind, message } in notes {
        match all.iter_mut().find(|(known, _)| *known == kind.name) {
            Some((_, told)) => *told = format!("{told}; {message}"),
            None => all.push((kind.name, message.clone())),
        }
    }
    all
}

/// Kubernetes keeps whole seconds.
fn second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
