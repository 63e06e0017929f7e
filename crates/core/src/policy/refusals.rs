//! What declarations ask for and their server's `allow` does not allow.

use std::collections::BTreeMap;

use tenantdb_api::kinds::Violation;
use tenantdb_api::{Declared, Diagnostic, Namespace, Tenant};

use super::{Cluster, Known, violations};
use crate::{Authority, Claim, Declarations, Inventory, Refusal, RefusalKind};

/// Why each declaration is refused that asks for more than it may; all that it may not is told at once. `held` is what the
/// server has, and `trusted` whether it lets a tenant make a version of an extension.
#[must_use]
pub fn refusals(
    Declarations { server, tenants }: Declarations<'_>,
    authority: &Authority,
    held: &Inventory,
    trusted: &dyn Fn(&str, Option<&str>) -> Option<bool>,
    cluster: Option<Cluster<'_>>,
) -> BTreeMap<Claim, Refusal> {
    let mut of_namespaces: BTreeMap<Namespace, usize> = BTreeMap::new();
    for tenant in held.of(authority).filter(|tenant| tenant.claim.is_database()) {
        *of_namespaces.entry(tenant.claim.namespace.clone()).or_default() += 1;
    }
    let mut refusals = BTreeMap::new();
    for declared in tenants {
        let claim = Claim::new(authority, &declared.resource);
        let others = of_namespaces.entry(claim.namespace.clone()).or_default();
        let there = held.get(&claim);
        let known = Known { protected: there.map(|tenant| tenant.protected), others: *others, trusted, cluster };
        match refusal(declared, violations(&server.resource, &declared.resource, &known)) {
            Some(refusal) => drop(refusals.insert(claim, refusal)),
            None => *others += usize::from(there.is_none() && claim.is_database()),
        }
    }
    refusals
}

/// All that is not allowed of one declaration.
fn refusal(declared: &Declared<Tenant>, violations: Vec<Violation>) -> Option<Refusal> {
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
fn told(declared: &Declared<Tenant>, diagnostic: &Diagnostic, path: &str) -> String {
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
