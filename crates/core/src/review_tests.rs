use tenantdb_api::ObjectName;

use super::*;
use crate::{Actor, Authority, Claim, Planned, Task, TenantChange};

#[derive(Clone, Debug, PartialEq)]
struct Work(&'static str, Option<char>);

impl Step for Work {
    fn kind(&self) -> &'static str {
        "work"
    }
    fn sign(&self) -> Option<char> {
        self.1
    }
    fn describe(&self) -> String {
        self.0.to_owned()
    }
    fn statements(&self) -> Vec<String> {
        vec![self.0.to_owned()]
    }
}

fn plan(steps: &[(Work, Risk, &[usize])]) -> Plan<Work> {
    let steps = steps.iter().enumerate().map(|(index, (work, risk, after))| Planned {
        id: StepId(index),
        task: Task::Engine(work.clone()),
        reason: "a test".into(),
        risk: *risk,
        actor: Actor::Estate,
        after: after.iter().copied().map(StepId).collect(),
    });
    let name: ObjectName = "cafe".parse().unwrap();
    let claim = Claim {
        authority: Authority::project("test").unwrap(),
        kind: "TenantDatabase",
        namespace: "default".parse().unwrap(),
        name: name.clone(),
        access: None,
    };
    let tenant = TenantPlan {
        claim,
        database: "cafe".to_owned(),
        change: TenantChange::Update,
        steps: steps.collect(),
        refusal: None,
        conditions: Vec::new(),
        delivery: None,
        after: BTreeSet::new(),
    };
    Plan { server: name, preparation: Vec::new(), tenants: vec![tenant], conditions: Vec::new() }
}

const SHOWN: Option<char> = Some('-');

#[test]
fn a_step_without_consent_takes_only_what_depends_on_it_along() {
    let plan = plan(&[
        (Work("grant", SHOWN), Risk::Safe, &[]),
        (Work("drop", SHOWN), Risk::Destructive, &[]),
        (Work("forget", None), Risk::Safe, &[1]),
        (Work("comment", SHOWN), Risk::Safe, &[0]),
    ]);
    let reviewed = review(plan, &Consent::to(Risk::Safe));
    let left: Vec<String> = reviewed.tenants[0].steps.iter().map(|step| step.task.describe()).collect();
    assert_eq!(left, ["grant", "comment"]);
    let refusal = reviewed.tenants[0].refusal.as_ref().unwrap();
    assert_eq!((refusal.kind, refusal.message.as_str()), (RefusalKind::Consent, "needs consent: drop"));
}

#[test]
fn with_consent_nothing_is_withheld() {
    let whole = plan(&[(Work("drop", SHOWN), Risk::Destructive, &[])]);
    assert_eq!(review(whole.clone(), &Consent::to(Risk::Destructive)), whole);
}

#[test]
fn nothing_is_prepared_for_what_is_withheld() {
    let mut plan = plan(&[(Work("adopt", SHOWN), Risk::Disruptive, &[])]);
    plan.preparation.clone_from(&plan.tenants[0].steps);
    assert_eq!(review(plan.clone(), &Consent::to(Risk::Safe)).preparation, []);
    assert_eq!(review(plan.clone(), &Consent::to(Risk::Disruptive)).preparation, plan.preparation);
}

#[test]
fn a_malformed_plan_is_told_from_a_sound_one() {
    assert!(lint(&plan(&[(Work("drop", SHOWN), Risk::Safe, &[])])).is_empty());
    assert_eq!(lint(&plan(&[(Work("drop", SHOWN), Risk::Safe, &[3])])).len(), 1);
    assert_eq!(lint(&plan(&[(Work("SCRAM-SHA-256$4096:x", SHOWN), Risk::Safe, &[])])).len(), 1);
}
