//! What was done.

use std::time::Duration;

use tenantdb_api::ObjectName;
use tenantdb_core::{FailureKind, Report, TenantChange, TenantOutcome};

use crate::arguments::Output;
use crate::commands::Context;
use crate::error::{Error, Exit};

use super::json::{self, Problem, Reports, ServerReport};
use super::style::{FAINT, STRONG, of_sign};
use super::{Change, count, print_changes, printable, say, style};

/// What a run tells of its servers: as text at once, otherwise when all is done.
pub struct Told {
    output: Output,
    totals: Totals,
    reports: Reports,
    /// How it ends, so far.
    pub exit: Exit,
}

impl Told {
    /// Nothing yet.
    pub fn new(output: Output) -> Self {
        Self { output, totals: Totals::default(), reports: Reports::default(), exit: Exit::Done }
    }

    /// Tells how a server came out, which had so many tenants.
    pub fn add(&mut self, context: &Context, server: &ObjectName, tenants: usize, done: Result<Report, Error>) {
        let ended = match done {
            Ok(report) => {
                self.totals.add(&report);
                match self.output {
                    Output::Text => print(&report),
                    Output::Json => self.reports.servers.push(ServerReport::of(&report)),
                }
                let ended = report.outcome().into();
                if report.failure.is_some() {
                    self.totals.add_missing(tenants.saturating_sub(report.tenants.len()), ended);
                }
                ended
            }
            Err(error) => {
                self.reports.servers.push(ServerReport::failed(server.as_str(), Problem::of_error(&error)));
                let ended = context.report(error);
                self.totals.add_missing(tenants, ended);
                ended
            }
        };
        self.exit = self.exit.worst(ended);
    }

    /// Tells the end, and how the run ends.
    pub fn finish(self, took: Duration, summary: fn(&Totals, Duration) -> String) -> Result<Exit, Error> {
        match self.output {
            Output::Text => say!("{}", summary(&self.totals, took)),
            Output::Json => json::print(self.reports.took(took))?,
        }
        Ok(self.exit)
    }
}

/// How many tenants came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    created: usize,
    adopted: usize,
    changed: usize,
    deleted: usize,
    orphaned: usize,
    unchanged: usize,
    observed: usize,
    paused: usize,
    refused: usize,
    failed: usize,
    interrupted: usize,
}

impl Totals {
    /// Counts the tenants of a report.
    pub fn add(&mut self, report: &Report) {
        for tenant in &report.tenants {
            let failure = tenant.failure.as_ref().map(|failure| failure.kind);
            let number = match (failure, tenant.refusal.is_some(), tenant.change) {
                (Some(FailureKind::Interrupted), _, _) => &mut self.interrupted,
                (Some(_), _, _) => &mut self.failed,
                (_, true, _) | (_, _, TenantChange::Refused) => &mut self.refused,
                (_, _, TenantChange::Create) => &mut self.created,
                (_, _, TenantChange::Adopt) => &mut self.adopted,
                (_, _, TenantChange::Update) => &mut self.changed,
                (_, _, TenantChange::Orphan) => &mut self.orphaned,
                (_, _, TenantChange::Delete) => &mut self.deleted,
                (_, _, TenantChange::Unchanged) => &mut self.unchanged,
                (_, _, TenantChange::Observed) => &mut self.observed,
                (_, _, TenantChange::Paused) => &mut self.paused,
            };
            *number += 1;
        }
    }

    /// Counts tenants that nothing was done about, because it ended like this before.
    pub fn add_missing(&mut self, tenants: usize, ended: Exit) {
        match ended {
            Exit::Interrupted => self.interrupted += tenants,
            _ => self.failed += tenants,
        }
    }

    /// The summary line of a deletion.
    pub fn deletion_summary(&self, took: Duration) -> String {
        let others = Self { unchanged: 0, ..*self };
        if others == Self::default() { "Nothing to delete.".to_owned() } else { others.summary(took) }
    }

    /// The summary line.
    pub fn summary(&self, took: Duration) -> String {
        let parts = [
            (self.created, "created"),
            (self.adopted, "adopted"),
            (self.changed, "changed"),
            (self.deleted, "deleted"),
            (self.orphaned, "orphaned"),
            (self.refused, "refused"),
            (self.failed, "failed"),
            (self.interrupted, "interrupted"),
            (self.observed, "only observed, and not as declared"),
            (self.paused, "paused"),
            (self.unchanged, "unchanged"),
        ];
        let told: Vec<String> = parts
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| format!("{number} {what}"))
            .collect();
        match told.as_slice() {
            [] => "Nothing to do: there is no database.".to_owned(),
            [_] if self.unchanged > 0 => {
                let verb = if self.unchanged == 1 { "is" } else { "are" };
                format!("Nothing to do: {} {verb} as declared.", count(self.unchanged, "database"))
            }
            _ => format!("Done in {:.1} s: {}.", took.as_secs_f64(), told.join(", ")),
        }
    }
}

/// Prints what was done on a server, and tells what failed or was refused.
pub fn print(report: &Report) {
    for tenant in &report.tenants {
        if !tenant.done.is_empty() {
            print_tenant(tenant);
        }
    }
    tell_rest(report);
}

/// Tells what failed or was refused on a server, and what a user should know.
pub fn tell_rest(report: &Report) {
    let (waiting, others): (Vec<_>, Vec<_>) = report.tenants.iter().partition(|tenant| never_begun(tenant));
    for tenant in others {
        tell(tenant);
    }
    match waiting.as_slice() {
        [] => {}
        [tenant] => tell(tenant),
        several => {
            let number = count(several.len(), "database");
            style::error(&format!("interrupted before {number} could be begun"), Some("run it again to finish"));
        }
    }
    for condition in &report.conditions {
        style::note(&format!("server {}: {}: {}", report.server, condition.kind, condition.message));
    }
    if let Some(failure) = &report.failure {
        style::error(&failure.to_string(), failure.hint.as_deref());
    }
}

fn print_tenant(tenant: &TenantOutcome) {
    let name = tenant.claim.path();
    let (sign, word) = match tenant.change {
        TenantChange::Create => ('+', "created"),
        TenantChange::Adopt => ('~', "adopted"),
        TenantChange::Orphan => ('~', "orphaned"),
        TenantChange::Delete => ('-', "deleted"),
        _ => ('~', "changed"),
    };
    let word = if tenant.failure.is_some() { "begun" } else { word };
    let sign_style = of_sign(sign);
    let credential = match (&tenant.credential, tenant.change) {
        (Some(location), TenantChange::Create | TenantChange::Adopt) => {
            format!("  {FAINT}# credential in {}{FAINT:#}", printable(location))
        }
        _ => String::new(),
    };
    let title = format!("{sign_style}{sign}{sign_style:#} {STRONG}{name}{STRONG:#} {word}{credential}");
    // Of what was made whole its name says enough.
    let told = if tenant.change == TenantChange::Create && tenant.failure.is_none() { &[] } else { &*tenant.done };
    let changes = told.iter().map(|(sign, text, reason)| Change {
        sign: *sign,
        text: printable(text),
        reason: printable(reason),
        remark: String::new(),
    });
    print_changes(&title, "    ", &changes.collect::<Vec<_>>());
}

/// Whether the user asked to stop before it was its turn.
fn never_begun(tenant: &TenantOutcome) -> bool {
    tenant.done.is_empty() && tenant.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Interrupted)
}

fn tell(tenant: &TenantOutcome) {
    let name = tenant.claim.path();
    if let Some(failure) = &tenant.failure {
        style::error(&format!("{name}: {failure}"), failure.hint.as_deref());
    }
    if let Some(refusal) = &tenant.refusal {
        style::error(&format!("{name}: {}", refusal.message), refusal.hint.as_deref());
    }
    for condition in &tenant.conditions {
        style::note(&format!("{name}: {}: {}", condition.kind, condition.message));
    }
}
