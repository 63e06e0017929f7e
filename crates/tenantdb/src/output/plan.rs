//! A plan that reads like a diff: one line a change, with its reason.

use tenantdb_core::{Plan, Planned, Risk, Step, TenantChange, TenantPlan};

use super::style::{BAD, CHANGED, FAINT, STRONG};
use super::{Change, count, print_changes, printable, style};

/// How many tenants there are of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    create: usize,
    adopt: usize,
    update: usize,
    delete: usize,
    orphan: usize,
    unchanged: usize,
    refused: usize,
    partly_refused: usize,
    observed: usize,
    paused: usize,
    unknown: usize,
}

impl Totals {
    /// Counts the tenants of a plan.
    pub fn add<S: Step>(&mut self, plan: &Plan<S>) {
        for tenant in &plan.tenants {
            match tenant.change {
                TenantChange::Create => self.create += 1,
                TenantChange::Adopt => self.adopt += 1,
                TenantChange::Update => self.update += 1,
                TenantChange::Delete => self.delete += 1,
                TenantChange::Orphan => self.orphan += 1,
                TenantChange::Unchanged => self.unchanged += 1,
                TenantChange::Refused => self.refused += 1,
                TenantChange::Observed => self.observed += 1,
                TenantChange::Paused => self.paused += 1,
            }
            if tenant.refusal.is_some() && tenant.change != TenantChange::Refused {
                self.partly_refused += 1;
            }
        }
    }

    /// Counts tenants whose server could not be asked.
    pub fn add_unknown(&mut self, tenants: usize) {
        self.unknown += tenants;
    }

    /// Whether anything is refused.
    pub fn refused(&self) -> bool {
        self.refused + self.partly_refused > 0
    }

    /// The summary line.
    pub fn summary(&self) -> String {
        let parts = [
            (self.create, "to create"),
            (self.adopt, "to adopt"),
            (self.update, "to change"),
            (self.delete, "to delete"),
            (self.orphan, "to orphan"),
            (self.refused, "refused"),
            (self.partly_refused, "partly refused"),
            (self.observed, "only observed, and not as declared"),
            (self.paused, "paused"),
            (self.unknown, "unknown"),
            (self.unchanged, "unchanged"),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| format!("{number} {what}"))
            .collect();
        match parts.as_slice() {
            [] => "Nothing to plan: no database is declared.".to_owned(),
            [_] if self.unchanged > 0 => format!("No changes: {} as declared.", count_as(self.unchanged)),
            parts => format!("Plan: {}.", parts.join(", ")),
        }
    }
}

fn count_as(number: usize) -> String {
    let verb = if number == 1 { "is" } else { "are" };
    format!("{} {verb}", count(number, "database"))
}

/// Prints a plan to standard output, and what it refuses to standard error.
pub fn print<S: Step>(plan: &Plan<S>) {
    if !plan.preparation.is_empty() {
        print_steps(&format!("{STRONG}server {}{STRONG:#}", plan.server), &plan.preparation);
    }
    for tenant in &plan.tenants {
        if tenant.shown().next().is_some() {
            let title = format!("{STRONG}{}{STRONG:#} {FAINT}on {}{FAINT:#}", tenant.claim.path(), plan.server);
            print_steps(&title, &tenant.steps);
        }
        note(tenant);
    }
    conditions(plan);
}

/// Tells what a person should know beside the changes.
pub fn notes<S: Step>(plan: &Plan<S>) {
    plan.tenants.iter().for_each(note);
    conditions(plan);
}

fn note<S: Step>(tenant: &TenantPlan<S>) {
    if let Some(refusal) = &tenant.refusal {
        style::error(&format!("{}: {}", tenant.claim.path(), refusal.message), refusal.hint.as_deref());
    }
    for condition in &tenant.conditions {
        style::note(&format!("{}: {}: {}", tenant.claim.path(), condition.kind, condition.message));
    }
}

fn conditions<S: Step>(plan: &Plan<S>) {
    for condition in &plan.conditions {
        style::note(&format!("server {}: {}: {}", plan.server, condition.kind, condition.message));
    }
}

fn print_steps<S: Step>(title: &str, steps: &[Planned<S>]) {
    let changes = steps.iter().filter_map(|step| {
        let risk = match step.risk {
            Risk::Safe => String::new(),
            Risk::Disruptive => format!(" {CHANGED}[disruptive]{CHANGED:#}"),
            Risk::Destructive => format!(" {BAD}[destructive]{BAD:#}"),
        };
        let (sign, text) = (step.task.sign()?, printable(step.task.describe()));
        Some(Change { sign, text, reason: printable(&*step.reason), remark: risk })
    });
    print_changes(title, "  ", &changes.collect::<Vec<_>>());
}
