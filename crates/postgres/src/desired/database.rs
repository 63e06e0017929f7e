//! A database with its tenant, resolved.

use tenantdb_api::tenant_database::{self, TenantDatabaseSpec};
use tenantdb_api::{DatabaseServer, Declared, Diagnostic, InvalidValue, TenantDatabase};
use tenantdb_core::Claim;
use tenantdb_core::names::{self, TenantNames};

use super::credential::{existing, formats, login_scheme, secret_name};
use super::reserved::Reserved;
use super::{Tenant, account, connection_limit, settings};
use crate::ledger::{Applied, Extension};

/// The names that a tenant gets when it is made.
pub(super) fn new_names(
    server: &DatabaseServer,
    declared: &Declared<tenantdb_api::Tenant>,
    TenantDatabase { metadata, spec }: &TenantDatabase,
    admin: &str,
) -> Result<TenantNames, Vec<Diagnostic>> {
    let naming = &server.spec.naming;
    let namespace = metadata.namespace();
    let mut values = names::placeholders(&metadata.name, &namespace);
    let database = match &spec.database {
        Some(name) => name.to_string(),
        None => names::expand(&naming.database, &values),
    };
    values.insert("database", &database);
    let owner = match &spec.owner {
        Some(name) => name.to_string(),
        None => names::expand(&naming.owner, &values),
    };
    let too_long = |field: &str, error: &InvalidValue| {
        declared.error(&format!("spec.{field}"), error.to_string()).hint(format!("set it as `{field}` in its `spec`"))
    };
    let database = names::check_database(&database).map_err(|error| too_long("database", &error));
    let owner = names::check_owner(&owner).map_err(|error| too_long("owner", &error));
    let names = match (database, owner) {
        (Ok(database), Ok(owner)) => TenantNames { database, owner },
        // An owner that follows from the database is mended with it.
        (Err(database), Err(_)) if spec.owner.is_none() && naming.owner.contains("{database}") => {
            return Err(vec![database]);
        }
        (database, owner) => return Err([database.err(), owner.err()].into_iter().flatten().collect()),
    };
    let reserved = Reserved::of(server, admin);
    let database = reserved
        .why(names.database.as_str())
        .map(|why| declared.error("spec.database", format!("the database name {why}")));
    let role = names.roles().iter().find_map(|role| reserved.why(role));
    let role = role.map(|why| declared.error("spec.owner", format!("the role name {why}")));
    let found: Vec<Diagnostic> = database.into_iter().chain(role).collect();
    if found.is_empty() { Ok(names) } else { Err(found) }
}

/// What a database should be, under these names.
pub(super) fn database(server: &DatabaseServer, tenant: &TenantDatabase, claim: Claim, names: TenantNames) -> Tenant {
    let spec = &tenant.spec;
    Tenant {
        claim,
        names,
        declared_database: spec.database.clone(),
        declared_owner: spec.owner.clone(),
        applied: applied(server, spec),
        adopt: spec.adopt,
        reconcile: spec.reconcile,
        create: spec.create.clone().unwrap_or_default(),
        secret_name: secret_name(&spec.credentials, &tenant.metadata.name, "secret"),
        formats: formats(&spec.credentials),
        keys: spec.credentials.keys.clone(),
        secret_type: spec.credentials.secret_type(),
        existing: existing(&spec.credentials),
    }
}

/// The attributes of a tenant, with the server's defaults beneath.
fn applied(server: &DatabaseServer, spec: &TenantDatabaseSpec) -> Applied {
    Applied {
        logins: login_scheme(&spec.credentials),
        connection_limit: connection_limit(server, spec.connection_limit),
        comment: spec.comment.clone(),
        settings: settings(server, &spec.settings),
        member_of: spec.member_of.iter().map(ToString::to_string).collect(),
        schemas: spec.schemas.iter().map(ToString::to_string).collect(),
        extensions: spec.extensions.iter().map(extension).collect(),
        connect_for: server.spec.connect_for.iter().map(ToString::to_string).collect(),
        access: account::consents(spec),
        databases: Vec::new(),
        deletion_protection: spec.deletion_protection,
        db_deletion_policy: spec.db_deletion_policy,
        role_deletion_policy: spec.role_deletion_policy,
    }
}

fn extension(declared: &tenant_database::Extension) -> (String, Extension) {
    let tenant_database::Extension { name, version, schema } = declared;
    (name.to_string(), Extension { version: version.clone(), schema: schema.as_ref().map(ToString::to_string) })
}
