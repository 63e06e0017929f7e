//! What a declaration asks of a server, and the server may not have for it.

use tenantdb_api::did_you_mean;
use tenantdb_core::names::TenantNames;
use tenantdb_core::{Phase, Refusal, RefusalKind};

use super::extension::Missing;
use super::forbidden::{why_forbidden, why_forbidden_to_a_role};
use crate::desired::Tenant;
use crate::ledger::Extension;
use crate::observe::{Database, Observed, Setter};
use crate::sql::name;
use crate::{LEDGER, Taking};

/// Checks the shared roles, extensions and settings of a tenant; all that is wrong is told at once.
pub(super) fn check(tenant: &Tenant, names: &TenantNames, observed: &Observed) -> Result<(), Refusal> {
    let members = tenant.applied.member_of.iter().map(|role| check_membership(role, tenant, names, observed));
    let extensions = tenant.applied.extensions.iter();
    let extensions = extensions.map(|extension| check_extension(extension, tenant, names, observed));
    let settings = tenant.applied.settings.iter().map(|setting| check_setting(setting, tenant, observed));
    let creation = check_creation(tenant, observed);
    all_at_once(members.chain(extensions).chain(settings).chain([creation]))
}

/// Checks the settings and the shared roles of an account; all that is wrong is told at once.
pub(super) fn check_account(account: &Tenant, names: &TenantNames, observed: &Observed) -> Result<(), Refusal> {
    let settings = account.applied.settings.iter().map(|setting| check_setting(setting, account, observed));
    let members = account.applied.member_of.iter().map(|role| check_membership(role, account, names, observed));
    all_at_once(settings.chain(members))
}

fn all_at_once(checks: impl Iterator<Item = Result<(), Refusal>>) -> Result<(), Refusal> {
    let refusals: Vec<Refusal> = checks.filter_map(Result::err).collect();
    let told = |refusal: &Refusal| match &refusal.hint {
        Some(hint) => format!("{} ({hint})", refusal.message),
        None => refusal.message.clone(),
    };
    match refusals.as_slice() {
        [] => Ok(()),
        [only] => Err(only.clone()),
        several => {
            let all: Vec<String> = several.iter().map(told).collect();
            Err(Refusal::new(RefusalKind::Policy, all.join("; ")).hint("correct each of them in its declaration"))
        }
    }
}

/// What a database that has to be made is made of.
fn check_creation(tenant: &Tenant, observed: &Observed) -> Result<(), Refusal> {
    let shared = &observed.shared;
    if shared.databases.contains_key(tenant.names.database.as_str()) {
        return Ok(());
    }
    let refuse = |message: String, hint: &str| Err(Refusal::new(RefusalKind::Policy, message).hint(hint));
    if tenant.create.icu_locale.is_some() && !shared.has_locale_providers() {
        let message = format!("`create.icuLocale` needs PostgreSQL 15, and this is {}", shared.version);
        return refuse(message, "leave it out; `create.locale` is libc's");
    }
    // A server that was never started has the usual templates.
    let Some(template) = tenant.create.template.as_ref().filter(|_| !shared.databases.is_empty()) else {
        return Ok(());
    };
    // A tenant's database stays one when somebody renames it.
    let is_tenants = |found: &Database| {
        let by_name = observed.ledger.as_ref().is_some_and(|ledger| ledger.database(template.as_str()).is_some());
        by_name || super::holder(found, observed).is_some()
    };
    match shared.databases.get(template.as_str()) {
        Some(found) if template.as_str() == LEDGER || is_tenants(found) => refuse(
            format!("database `{template}` is never copied: a tenant's data, or the ledger, is in it"),
            "leave it out; `template0` is an empty database",
        ),
        Some(found) if found.is_template => Ok(()),
        Some(_) => refuse(
            format!("database `{template}` can't be copied: it is no template"),
            "only what its owner marked is one: ALTER DATABASE … IS_TEMPLATE true",
        ),
        None => {
            let known = shared.databases.iter().filter(|(_, found)| found.is_template).map(|(name, _)| name.as_str());
            let hint = did_you_mean(template.as_str(), known, "leave it out; `template0` is an empty database");
            refuse(format!("the server has no template `{template}`"), &hint)
        }
    }
}

/// A role that a tenant wants to join.
fn check_membership(role: &str, tenant: &Tenant, names: &TenantNames, observed: &Observed) -> Result<(), Refusal> {
    let shared = &observed.shared;
    let why_forbidden = if tenant.is_account() { why_forbidden_to_a_role } else { why_forbidden };
    let refuse = |message: String, hint: String| Err(Refusal::new(RefusalKind::Policy, message).hint(hint));
    if let Some(why) = why_forbidden(role, observed) {
        let message = format!("no tenant may join `{role}`, which {why}");
        return refuse(message, "make a role that has what the tenant needs, and nothing more".to_owned());
    }
    if !shared.roles.contains_key(role) {
        let known = shared.roles.keys().map(String::as_str).filter(|name| why_forbidden(name, observed).is_none());
        let otherwise = format!("a shared role is yours to make: CREATE ROLE {} NOLOGIN", name(role));
        return refuse(format!("the server has no role `{role}`"), did_you_mean(role, known, otherwise));
    }
    let is_member = shared.roles.get(names.owner.as_str()).is_some_and(|owner| owner.inherits.contains(role));
    if is_member || Taking::of_membership(shared, role).is_some() {
        return Ok(());
    }
    refuse(
        format!("this administrator can't let anyone join `{role}`"),
        format!("as a superuser run: GRANT {} TO {} WITH ADMIN OPTION", name(role), shared.grantor()),
    )
}

/// An extension that has to be made. What is not as declared of one that is there is seen with what is inside.
fn check_extension(
    (extension, declared): (&String, &Extension),
    tenant: &Tenant,
    names: &TenantNames,
    observed: &Observed,
) -> Result<(), Refusal> {
    let (database, owner) = (names.database.as_str(), names.owner.as_str());
    let inside = observed.inside.get(database);
    let row = super::row(observed, &tenant.claim).filter(|row| row.phase == Phase::Provisioned);
    let was_made = inside.map_or_else(
        || row.is_some_and(|row| row.applied.extensions.contains_key(extension)),
        |inside| inside.extensions.contains_key(extension),
    );
    if was_made || (inside.is_none() && row.is_some()) {
        return Ok(());
    }
    let missing = Missing { name: extension, declared, tenant, database, owner, shared: &observed.shared, inside };
    missing.making().map(drop)
}

fn check_setting((name, value): (&String, &String), tenant: &Tenant, observed: &Observed) -> Result<(), Refusal> {
    let Some(parameters) = &observed.shared.parameters else { return Ok(()) };
    let refuse = |message: String, hint: String| Err(Refusal::new(RefusalKind::Policy, message).hint(hint));
    if let Some(failure) = observed.refused.get(&(name.clone(), value.clone())) {
        let hint = failure.hint.clone().unwrap_or_else(|| format!("correct `settings.{name}`"));
        return refuse(format!("the server refuses `{name}: {value}`: {}", failure.message), hint);
    }
    match parameters.get(name) {
        Some(Setter::Anyone) => Ok(()),
        Some(Setter::Superuser) => refuse(
            format!("only a superuser can set `{name}`"),
            format!(
                "leave it out, and let a superuser run: ALTER DATABASE {} SET {name} = {}",
                crate::sql::name(&tenant.names.database),
                crate::sql::text(value)
            ),
        ),
        Some(Setter::Nobody) => refuse(
            format!("`{name}` holds for the whole server, not for a login"),
            "leave it out, and set it in the server's configuration".to_owned(),
        ),
        None => {
            let otherwise = "leave it out; what a library brings along can only be set by a superuser";
            let known =
                parameters.iter().filter(|(_, setter)| **setter == Setter::Anyone).map(|(name, _)| name.as_str());
            refuse(format!("the server has no setting `{name}`"), did_you_mean(name, known, otherwise))
        }
    }
}
