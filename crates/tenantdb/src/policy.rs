//! What declarations ask for and their server's `allow` does not allow.

use std::collections::BTreeMap;

use tenantdb_api::{Declared, Diagnostic, Namespace, TenantDatabase};
use tenantdb_core::policy::{self, Known};
use tenantdb_core::{Authority, Claim, Engine as _, Refusal, RefusalKind, TenantSummary};
use tenantdb_postgres::{Desired, Observed, Postgres};

use crate::input::ServerInput;
use crate::output::style;

/// Why each tenant is refused that asks for more than it may; all that it may not is told at once.
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
    for claim in held.keys().filter(|claim| claim.authority == *authority) {
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
        let violations = policy::violations(server, &declared.resource, &known);
        if violations.is_empty() {
            *others += usize::from(there.is_none());
        } else {
            let told =
                violations.iter().map(|violation| told(declared, &declared.violation(violation), &violation.path));
            let message = told.collect::<Vec<_>>().join("; ");
            let hints: Vec<String> = violations.into_iter().filter_map(|violation| violation.hint).collect();
            refusals.insert(claim, Refusal::new(RefusalKind::Policy, message).hint(distinct(hints).join("; ")));
        }
    }
    refusals
}

/// The field, where it stands, and what is not allowed about it. A field that is absent stands where its object does.
fn told(declared: &Declared<TenantDatabase>, diagnostic: &Diagnostic, path: &str) -> String {
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
