//! Accounts: what is let into databases that are not its own, with logins and a credential of its own.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::database_server::default_maintenance_database;
use tenantdb_api::tenant_database::{Access, AccessLevel, Adopt, Create, TenantDatabaseSpec};
use tenantdb_api::{DatabaseServer, Declared, Diagnostic, ObjectName, SqlName, TenantDatabase, TenantRole};
use tenantdb_core::names::{TenantNames, check_owner};
use tenantdb_core::{Claim, Existing, LoginScheme, Recorded};

use super::credential::{existing, formats, login_scheme, secret_name};
use super::reserved::Reserved;
use super::{Tenant, connection_limit, settings};
use crate::access::Consent;
use crate::ledger::Applied;

/// Whom a database consents to, and to what.
pub(super) fn consents(spec: &TenantDatabaseSpec) -> Vec<Consent> {
    let consent = |Access { name, role, level, schemas }: &Access| {
        let to = role.as_ref().map(ToString::to_string).or_else(|| name.as_ref().map(ToString::to_string));
        Some(Consent { to: to?, level: *level, schemas: schemas.iter().map(ToString::to_string).collect() })
    };
    spec.access.iter().filter_map(consent).collect()
}

/// The further logins of a database that are its own, each with its number in the declaration.
pub(super) fn further_logins(
    tenant: &Tenant,
    declared: &Declared<tenantdb_api::Tenant>,
    declaration: &TenantDatabase,
) -> Result<Vec<(usize, Tenant)>, Vec<Diagnostic>> {
    let named = declaration.spec.access.iter().enumerate();
    let named = named.filter_map(|(index, access)| Some((index, access.name.as_ref()?, access.level)));
    let (mut logins, mut found) = (Vec::new(), Vec::new());
    for (index, name, level) in named {
        let path = format!("spec.access[{index}].name");
        let wrong = |message: String| declared.error(&path, message).hint("choose a shorter name");
        let role = check_owner(&format!("{}_{name}", tenant.names.owner));
        let secret_name = format!("{}-{name}", tenant.secret_name).parse();
        match (role, secret_name) {
            (Ok(role), Ok(secret_name)) => logins.push((index, further_login(tenant, name, role, secret_name, level))),
            (role, secret) => found.extend([role.err(), secret.err()].into_iter().flatten().map(|e| wrong(e.0))),
        }
    }
    if found.is_empty() { Ok(logins) } else { Err(found) }
}

/// A further login: it has the limits, settings and policies of its database's tenant.
fn further_login(
    tenant: &Tenant,
    name: &ObjectName,
    role: SqlName,
    secret_name: ObjectName,
    level: AccessLevel,
) -> Tenant {
    let claim = Claim { access: Some(name.clone()), ..tenant.claim.clone() };
    let applied = Applied {
        logins: LoginScheme::Alternate,
        databases: vec![(tenant.claim.path(), level)],
        comment: None,
        schemas: BTreeSet::new(),
        extensions: BTreeMap::new(),
        connect_for: BTreeSet::new(),
        access: Vec::new(),
        member_of: BTreeSet::new(),
        ..tenant.applied.clone()
    };
    Tenant {
        claim,
        names: TenantNames { database: tenant.names.database.clone(), owner: role },
        declared_database: None,
        declared_owner: None,
        applied,
        secret_name,
        existing: Existing::LeftAlone,
        ..tenant.clone()
    }
}

/// A role without a database of its own.
pub(super) fn role(
    server: &DatabaseServer,
    declared: &Declared<tenantdb_api::Tenant>,
    TenantRole { metadata, spec }: &TenantRole,
    claim: Claim,
    admin: &str,
    recorded: &Recorded,
) -> Result<Tenant, Vec<Diagnostic>> {
    let wrong = |message: String| vec![declared.error("spec.role", message).hint("set it as `role` in its `spec`")];
    let owner = if let Some(names) = recorded.get(&claim) {
        names.owner.clone()
    } else {
        let name = spec.role.as_ref().map_or_else(|| metadata.name.to_string(), ToString::to_string);
        check_owner(&name).map_err(|error| wrong(error.0))?
    };
    let database = server.spec.admin.as_ref().map(|admin| admin.maintenance_database.clone());
    let names = TenantNames { database: database.unwrap_or_else(default_maintenance_database), owner };
    let reserved = Reserved::of(server, admin);
    if let Some(why) = names.of_account().iter().find_map(|role| reserved.why(role)) {
        return Err(wrong(format!("the role name {why}")));
    }
    let applied = Applied {
        logins: login_scheme(&spec.credentials),
        connection_limit: connection_limit(server, spec.connection_limit),
        settings: settings(server, &spec.settings),
        member_of: spec.member_of.iter().map(ToString::to_string).collect(),
        databases: spec.databases.iter().map(|one| (one.path(&claim.namespace).to_string(), one.level)).collect(),
        deletion_protection: spec.deletion_protection,
        role_deletion_policy: spec.role_deletion_policy,
        ..Applied::default()
    };
    Ok(Tenant {
        claim,
        names,
        declared_database: None,
        declared_owner: spec.role.clone(),
        applied,
        adopt: Adopt::Never,
        reconcile: spec.reconcile,
        create: Create::default(),
        secret_name: secret_name(&spec.credentials, &metadata.name, "role-secret"),
        formats: formats(&spec.credentials),
        keys: spec.credentials.keys.clone(),
        secret_type: spec.credentials.secret_type(),
        existing: existing(&spec.credentials),
    })
}
