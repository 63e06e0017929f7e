//! CloudNativePG (`postgresql.cnpg.io/v1`, as of 1.30).

use kube::api::DynamicObject;
use serde::Deserialize;
use tenantdb_api::database_server::{ClusterReference, TlsMode};
use tenantdb_core::{Address, Condition, Failure};
use tenantdb_postgres::ESTATE;

use super::{Located, LoginSecret, fields, host, reached_at, secret};
use crate::tell::notes;
use crate::watch::reference::{KeyOf, Reference, waiting};

/// The port of all its Services.
const PORT: u16 = 5432;

/// The superuser of every cluster.
const SUPERUSER: &str = "postgres";

/// The role that is proposed where none is declared.
const PROPOSED: &str = "tenantdb_admin";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    enable_superuser_access: bool,
    superuser_secret: Option<Named>,
    certificates: Certificates,
    managed: Managed,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Managed {
    roles: Vec<Role>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(clippy::struct_excessive_bools, reason = "CloudNativePG's fields")]
struct Role {
    name: String,
    ensure: Option<String>,
    login: bool,
    superuser: bool,
    createdb: bool,
    createrole: bool,
    in_roles: Vec<String>,
    password_secret: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Certificates {
    #[serde(rename = "serverCASecret")]
    server_ca_secret: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    current_primary: String,
    write_service: String,
    certificates: Certificates,
    phase: String,
}

/// Where a cluster's server is; `admin` is the login that is declared.
///
/// # Errors
/// When it has no primary yet.
pub(crate) fn locate(
    cluster: &DynamicObject,
    at: &Reference,
    source: &ClusterReference,
    admin: Option<&str>,
) -> Result<Located, Failure> {
    let (spec, status): (Spec, Status) = fields(cluster, at)?;
    if status.current_primary.is_empty() {
        let phase = if status.phase.is_empty() { "it has no status" } else { &status.phase };
        return Err(waiting(format!("{at} has no primary yet: {phase}"), "it is waited for; see `kubectl describe`"));
    }
    let or_default = |name: &str, suffix: &str| match name {
        "" => format!("{}-{suffix}", at.name),
        name => name.to_owned(),
    };
    let declared = &spec.certificates.server_ca_secret;
    let used =
        if status.certificates.server_ca_secret.is_empty() { declared } else { &status.certificates.server_ca_secret };
    let authority = KeyOf { object: secret(at, &or_default(used, "ca"))?, key: "ca.crt".to_owned() };
    let service = Address { host: host(&or_default(&status.write_service, "rw"), &at.namespace), port: PORT };
    Ok(Located {
        address: reached_at(source, &service),
        published: service,
        direct: None,
        authority: Some((authority, TlsMode::VerifyFull)),
        login: login(&spec, at, admin),
        notes: notes(&spec, at, admin),
    })
}

/// The Secret of the superuser, where that may log in, else that of the role that is declared.
fn login(spec: &Spec, at: &Reference, admin: Option<&str>) -> Result<LoginSecret, Failure> {
    let of =
        |name: &str| Ok(LoginSecret { secret: secret(at, name)?, username_key: "username", password_key: "password" });
    match admin {
        None | Some(SUPERUSER) if spec.enable_superuser_access => match &spec.superuser_secret {
            Some(Named { name }) => of(name),
            None => of(&format!("{}-superuser", at.name)),
        },
        Some(SUPERUSER) => Err(waiting(
            format!("{at} lets no superuser log in"),
            "set `enableSuperuserAccess: true` there, or declare another `admin.username`",
        )),
        _ => match managed(spec, admin) {
            Some(Role { password_secret: Some(Named { name }), .. }) => of(name),
            _ => Err(lacks_role(at, admin)),
        },
    }
}

/// The declared login, if it may do what an administrator has to.
fn managed<'s>(spec: &'s Spec, admin: Option<&str>) -> Option<&'s Role> {
    let powers = |role: &&Role| role.login && (role.superuser || role.createdb && role.createrole);
    let is_it = |role: &&Role| Some(role.name.as_str()) == admin && role.ensure.as_deref() != Some("absent");
    spec.managed.roles.iter().find(is_it).filter(powers)
}

fn lacks_role(at: &Reference, admin: Option<&str>) -> Failure {
    let name = admin.unwrap_or(PROPOSED);
    let (message, hint) = match admin {
        Some(_) => (format!("{at} has no role `{name}` that could administer it"), String::new()),
        None => (
            format!("{at} lets no superuser log in, and no `admin` is declared"),
            format!("set `enableSuperuserAccess: true` there; or declare `admin: {{username: {name}}}` here, and "),
        ),
    };
    let secret = name.replace('_', "-");
    let role = format!(
        "add this role there, and a Secret `{secret}` of type kubernetes.io/basic-auth beside it:\n\
         spec:\n  managed:\n    roles:\n      - name: {name}\n        login: true\n        createdb: true\n        \
         createrole: true\n        passwordSecret: {{name: {secret}}}"
    );
    waiting(message, hint + &role)
}

/// CloudNativePG compares a managed role's memberships with its declaration, and takes back what is not there.
fn notes(spec: &Spec, at: &Reference, admin: Option<&str>) -> Vec<Condition> {
    let loses = managed(spec, admin).filter(|role| !role.superuser && !role.in_roles.iter().any(|name| name == ESTATE));
    let note = loses.map(|role| Condition {
        kind: &notes::MEMBERSHIP_NOT_DECLARED,
        message: format!(
            "{at} takes back the memberships that it does not list: add `inRoles: [{ESTATE}]` to its role {}, now that \
             {ESTATE} is there",
            role.name
        ),
    });
    note.into_iter().collect()
}

#[cfg(test)]
#[path = "cnpg_tests.rs"]
mod tests;
