//! What declarations ask for and their server's `allow` does not allow.

use std::collections::BTreeMap;

use tenantdb_api::kinds::Violation;
use tenantdb_api::{Declared, Diagnostic, Namespace};
use tenantdb_core::policy::{self, Cluster, Known};
use tenantdb_core::{Authority, Claim, Engine as _, Refusal, RefusalKind, TenantSummary};

use crate::desired::{Declarations, Desired};
use crate::engine::Postgres;
use crate::observe::Observed;

/// Why each declaration is refused that asks for more than it may; all that it may not is told at once.
#[must_use]
pub fn refusals(
    declarations: Declarations<'_>,
    authority: &Authority,
    observed: &Observed,
    cluster: Option<Cluster<'_>>,
) -> BTreeMap<Claim, Refusal> {
    let Declarations { server, tenants, roles } = declarations;
    let server = &server.resource;
    let held: BTreeMap<Claim, TenantSummary> =
        Postgres::tenants(observed).into_iter().map(|tenant| (tenant.claim.clone(), tenant)).collect();
    let mut of_namespaces: BTreeMap<Namespace, usize> = BTreeMap::new();
    for claim in held.keys().filter(|claim| claim.authority == *authority && is_database(claim)) {
        *of_namespaces.entry(claim.namespace.clone()).or_default() += 1;
    }
    let mut refusals = BTreeMap::new();
    for declared in tenants {
        let claim = Desired::claim(authority, &declared.resource);
        let others = of_namespaces.entry(claim.namespace.clone()).or_default();
        let there = held.get(&claim);
        let known = Known {
            protected: there.map(|tenant| tenant.protected),
            others: *others,
            trusted: &|extension, version| observed.trusts(extension, version),
            cluster,
        };
        match refusal(declared, policy::violations(server, &declared.resource, &known)) {
            Some(refusal) => drop(refusals.insert(claim, refusal)),
            None => *others += usize::from(there.is_none()),
        }
    }
    for declared in roles {
        let claim = Desired::claim_of_role(authority, &declared.resource);
        let known = Known {
            protected: held.get(&claim).map(|role| role.protected),
            others: 0,
            trusted: &|extension, version| observed.trusts(extension, version),
            cluster,
        };
        let refusal = refusal(declared, policy::role_violations(server, &declared.resource, &known));
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

/// The field, where it stands, and what is not allowed about it. A field that is absent stands where its object does; a
/// custom resource stands nowhere.
fn told<T>(declared: &Declared<T>, diagnostic: &Diagnostic, path: &str) -> String {
    let position = diagnostic.position.as_ref();
    let place = position.map(|at| format!(" ({}:{}:{})", at.source_name(), at.line(), at.column()));
    let place = place.or_else(|| declared.file().map(|_| format!(" ({})", declared.location())));
    format!("{path}{}: {}", place.unwrap_or_default(), diagnostic.message)
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
