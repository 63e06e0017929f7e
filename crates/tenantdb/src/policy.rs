//! What declarations ask for and their server's `allow` does not allow.

use std::collections::BTreeMap;

use tenantdb_api::kinds::Violation;
use tenantdb_api::{Declared, Diagnostic, Namespace};
use tenantdb_core::policy::{self, Known};
use tenantdb_core::{Authority, Claim, Engine as _, Refusal, RefusalKind, TenantSummary};
use tenantdb_postgres::{Desired, Observed, Postgres};

use crate::input::ServerInput;
use crate::output::style;

/// Why each declaration is refused that asks for more than it may; all that it may not is told at once.
pub fn refusals(input: &ServerInput, authority: &Authority, observed: &Observed) -> BTreeMap<Claim, Refusal> {
    let server = &input.server.resource;
    if policy::selects_namespaces(server) {
        let name = &server.metadata.name;
        style::note(&format!(
            "server {name}: which namespaces `allow.namespaces.selector` selects is only known in a cluster; every one is \
             taken for allowed here"
        ));
    }
    let held: BTreeMap<Claim, TenantSummary> =
        Postgres::tenants(observed).into_iter().map(|tenant| (tenant.claim.clone(), tenant)).collect();
    let mut of_namespaces: BTreeMap<Namespace, usize> = BTreeMap::new();
    for claim in held.keys().filter(|claim| claim.authority == *authority && is_database(claim)) {
        *of_namespaces.entry(claim.namespace.clone()).or_default() += 1;
    }
    let mut refusals = BTreeMap::new();
    for declared in &input.tenants {
        let claim = Desired::claim(authority, &declared.resource);
        let others = of_namespaces.entry(claim.namespace.clone()).or_default();
        let there = held.get(&claim);
        let known = Known {
            protected: there.map(|tenant| tenant.protected),
            others: *others,
            trusted: &|extension, version| observed.trusts(extension, version),
        };
        match refusal(declared, policy::violations(server, &declared.resource, &known)) {
            Some(refusal) => drop(refusals.insert(claim, refusal)),
            None => *others += usize::from(there.is_none()),
        }
    }
    for declared in &input.roles {
        let claim = Desired::claim_of_role(authority, &declared.resource);
        let protected = held.get(&claim).map(|role| role.protected);
        let refusal = refusal(declared, policy::role_violations(server, &declared.resource, protected));
        refusals.extend(refusal.map(|refusal| (claim, refusal)));
    }
    refusals
}

/// Whether it is about a database, and not about who is let into one.
fn is_database(claim: &Claim) -> bool {
    claim.kind == "TenantDatabase" && claim.access.is_none()
}

/// All that is not allowed of one declaration.
fn refusal<T>(declared: &Declared<T>, violations: Vec<Violation>) -> Option<Refusal> {
    if violations.is_empty() {
        return None;
    }
    let told = violations.iter().map(|violation| told(declared, &declared.violation(violation), &violation.path));
    let message = told.collect::<Vec<_>>().join("; ");
    let hints: Vec<String> = violations.into_iter().filter_map(|violation| violation.hint).collect();
    Some(Refusal::new(RefusalKind::Policy, message).hint(distinct(hints).join("; ")))
}

/// The field, where it stands, and what is not allowed about it. A field that is absent stands where its object does.
fn told<T>(declared: &Declared<T>, diagnostic: &Diagnostic, path: &str) -> String {
    let place = match &diagnostic.position {
        Some(position) => format!("{}:{}:{}", position.source_name(), position.line(), position.column()),
        None => declared.location(),
    };
    format!("{path} ({place}): {}", diagnostic.message)
}

fn distinct(mut hints: Vec<String>) -> Vec<String> {
    let mut seen = Vec::new();
    hints.retain(|hint| {
        let is_new = !seen.contains(hint);
        seen.push(hint.clone());
        is_new
    });
    hints
}
