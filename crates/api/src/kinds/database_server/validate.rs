//! What the fields of a server must agree on.

use super::{
    Admin, Allow, CaSource, DatabaseServer, DatabaseServerSpec, Endpoint, EngineKind, LabelSelector, Naming,
    PasswordSource, Publish, ServerSource, Tls, TlsMode,
};
use crate::kinds::resource::Resource;
use crate::kinds::{Kind, Origin, Violation, settings};
use crate::template::{self, Rules};
use crate::values::SqlName;

/// How many connections of its own tenantdb needs and may have: one for the ledger, one for the database in hand, one
/// for its lock.
const CONNECTIONS: std::ops::RangeInclusive<u32> = 3..=100;

const NAMING: &[&str] = &["name", "namespace"];
const OWNER_NAMING: &[&str] = &["name", "namespace", "database"];

impl Kind for DatabaseServer {
    const RESOURCE: Resource = super::RESOURCE;

    fn validate(&self, origin: Origin) -> Vec<Violation> {
        let mut found = Vec::new();
        let spec = &self.spec;
        if self.metadata.namespace.is_some() {
            let message = "a DatabaseServer has no namespace; it is the whole cluster's";
            found.push(Violation::new("metadata.namespace", message).hint("remove the field"));
        }
        if spec.engine != EngineKind::PostgreSQL {
            found.push(not_yet("spec.engine").hint("only `PostgreSQL` is"));
        }
        check_source(&spec.source, origin, &mut found);
        if spec.source.local.is_some() && origin == Origin::Cluster {
            let message = "spec.source.local is the command line's: a cluster has no place to keep its data";
            found.push(Violation::new("spec.source.local", message).hint("name an `endpoint`"));
        } else if spec.source.local.is_some() {
            check_local(self, &mut found);
        }
        if spec.source.endpoint.is_some() && spec.admin.is_none() {
            let violation = Violation::new("spec.admin", "spec.admin is missing: an endpoint needs an administrator");
            found.push(violation.hint("a role with LOGIN, CREATEDB and CREATEROLE is enough"));
        }
        spec.admin.iter().for_each(|admin| check_admin(admin, &spec.source, &mut found));
        spec.tls.iter().for_each(|tls| check_tls(tls, &spec.source, origin, &mut found));
        check_passthrough(spec, &mut found);
        spec.publish.iter().for_each(|publish| check_publish(publish, &mut found));
        check_naming(&spec.naming, &mut found);
        check_allow(&spec.allow, &mut found);
        check_connect_for(&spec.connect_for, &mut found);
        if !CONNECTIONS.contains(&spec.limits.connections) {
            let (least, most) = CONNECTIONS.into_inner();
            let message = format!("spec.limits.connections must be from {least} to {most}");
            found.push(Violation::new("spec.limits.connections", message));
        }
        settings::check("spec.defaults.settings", &spec.defaults.settings, &mut found);
        found
    }
}

fn not_yet(path: &str) -> Violation {
    Violation::not_supported_yet(path)
}

/// Whether another operator's cluster tells what else has to be declared.
fn is_another_operators(source: &ServerSource) -> bool {
    source.cnpg.is_some() || source.stackgres.is_some()
}

fn check_source(source: &ServerSource, origin: Origin, found: &mut Vec<Violation>) {
    let kinds = [source.endpoint.is_some(), source.local.is_some(), source.cnpg.is_some(), source.stackgres.is_some()];
    if kinds.iter().filter(|given| **given).count() != 1 {
        let message = "spec.source must have exactly one of endpoint, local, cnpg and stackgres";
        let hint =
            "`endpoint: {host: …}` for a server that someone else runs, `local: {}` for one that tenantdb starts";
        found.push(Violation::new("spec.source", message).hint(hint));
    }
    source.endpoint.iter().for_each(|endpoint| check_endpoint("spec.source.endpoint", endpoint, found));
    for (path, cluster) in [("spec.source.cnpg", &source.cnpg), ("spec.source.stackgres", &source.stackgres)] {
        let Some(cluster) = cluster else { continue };
        if origin == Origin::Manifest {
            let violation = Violation::new(path, format!("{path} is the operator's, which can ask the cluster"));
            found.push(violation.hint("apply it with kubectl where `tenantdb operator` runs, or name an `endpoint`"));
        }
        cluster.endpoint.iter().for_each(|endpoint| check_endpoint(&format!("{path}.endpoint"), endpoint, found));
    }
}

fn check_endpoint(path: &str, endpoint: &Endpoint, found: &mut Vec<Violation>) {
    check_host(&format!("{path}.host"), &endpoint.host, found);
    if endpoint.port == 0 {
        let path = format!("{path}.port");
        found.push(Violation::new(&path, format!("{path} must be from 1 to 65535")));
    }
}

/// libpq reads a comma as a list of hosts and a slash as the folder of a socket.
fn check_host(path: &str, host: &str, found: &mut Vec<Violation>) {
    let message = if host.is_empty() {
        format!("{path} is empty")
    } else if host.contains(|c: char| c == '\0' || c == ',' || c == '/' || c.is_whitespace()) {
        format!("{path} must be one host name or address")
    } else {
        return;
    };
    found.push(
        Violation::new(path, message).hint("such as `db.example.org` or `10.0.0.5`; the port has a field of its own"),
    );
}

fn check_local(server: &DatabaseServer, found: &mut Vec<Violation>) {
    let publish = server.spec.publish.as_ref();
    for (path, given) in [
        ("spec.admin", server.spec.admin.is_some()),
        ("spec.tls", server.spec.tls.is_some()),
        ("spec.publish.host", publish.is_some_and(|publish| publish.host.is_some())),
        ("spec.publish.port", publish.is_some_and(|publish| publish.port.is_some())),
        ("spec.publish.direct", publish.is_some_and(|publish| publish.direct.is_some())),
        ("spec.publish.readOnly", publish.is_some_and(|publish| publish.read_only.is_some())),
    ] {
        if given {
            let message = format!("{path} is tenantdb's own business on a local server");
            found.push(Violation::new(path, message).hint("remove the field"));
        }
    }
}

/// A role that logs in: none of those that PostgreSQL reserves, nor the one that owns every tenant's database.
fn check_login(path: &str, name: &SqlName, found: &mut Vec<Violation>) {
    let name = name.as_str();
    if ["public", "none", "tenantdb_owner"].contains(&name) || name.starts_with("pg_") {
        found.push(Violation::new(path, format!("`{name}` is reserved, and no login")).hint("such as `admin_user`"));
    }
}

fn check_admin(admin: &Admin, source: &ServerSource, found: &mut Vec<Violation>) {
    check_login("spec.admin.username", &admin.username, found);
    if admin.password_from.is_empty() && !is_another_operators(source) {
        let violation = Violation::new("spec.admin.passwordFrom", "spec.admin.passwordFrom needs at least one place");
        found.push(violation.hint("such as `- env: POSTGRES_ADMIN_PASSWORD` or `- file: /run/secrets/admin`"));
    }
    for (index, source) in admin.password_from.iter().enumerate() {
        if let Some(username) = &source.username {
            check_login(&format!("spec.admin.passwordFrom[{index}].username"), username, found);
        }
        check_password_source(&format!("spec.admin.passwordFrom[{index}]"), source, found);
    }
}

/// Passwords themselves are for a server alone that has proved itself by a certificate.
fn check_passthrough(spec: &DatabaseServerSpec, found: &mut Vec<Violation>) {
    let passes = spec.admin.as_ref().is_some_and(|admin| admin.password_passthrough);
    let verifies = match spec.tls.as_ref().and_then(|tls| tls.mode) {
        None => spec.source.cnpg.is_some() || spec.tls.as_ref().is_some_and(|tls| tls.ca_from.is_some()),
        Some(mode) => matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull),
    };
    if passes && !verifies {
        let path = "spec.admin.passwordPassthrough";
        let message = "passwords would be sent to a server that has not proved itself";
        found.push(Violation::new(path, message).hint("set `tls: {mode: verify-full, caFrom: {file: …}}`"));
    }
}

fn check_password_source(path: &str, source: &PasswordSource, found: &mut Vec<Violation>) {
    let given = [source.env.is_some(), source.file.is_some(), source.secret.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        found.push(Violation::new(path, format!("{path} must have exactly one of env, file and secret")));
    }
    if source.env.as_ref().is_some_and(|name| name.is_empty() || name.contains(['=', '\0'])) {
        let path = format!("{path}.env");
        found.push(Violation::new(&path, format!("{path} must be the name of an environment variable")));
    }
    if source.file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
        let path = format!("{path}.file");
        found.push(Violation::new(&path, format!("{path} is empty")));
    }
    if source.secret.as_ref().is_some_and(|secret| secret.namespace.is_none()) {
        let path = format!("{path}.secret.namespace");
        found.push(Violation::new(&path, format!("{path} is missing: a DatabaseServer has no namespace of its own")));
    }
}

fn check_tls(tls: &Tls, source: &ServerSource, origin: Origin, found: &mut Vec<Violation>) {
    let verifies = tls.mode.map(|mode| matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull));
    match (verifies, &tls.ca_from) {
        (Some(true), None) if !is_another_operators(source) => {
            let violation =
                Violation::new("spec.tls.caFrom", "spec.tls.caFrom is missing: this mode verifies the server");
            found.push(violation.hint("`caFrom: {file: …}` names the certificate authority's PEM file"));
        }
        (Some(false), Some(_)) => {
            let violation =
                Violation::new("spec.tls.mode", "spec.tls.mode does not verify the server, so caFrom has no use");
            found.push(violation.hint("use `verify-full`, or remove caFrom"));
        }
        _ => {}
    }
    tls.ca_from.iter().for_each(|from| check_authority(from, origin, found));
}

fn check_authority(from: &CaSource, origin: Origin, found: &mut Vec<Violation>) {
    let path = "spec.tls.caFrom";
    let given = [from.file.is_some(), from.secret.is_some(), from.config_map.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        found.push(Violation::new(path, format!("{path} must have exactly one of file, secret and configMap")));
    }
    if from.file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
        found.push(Violation::new(format!("{path}.file"), format!("{path}.file is empty")));
    }
    for (field, reference) in [("secret", &from.secret), ("configMap", &from.config_map)] {
        let path = format!("{path}.{field}");
        match reference {
            Some(_) if origin == Origin::Manifest => {
                let violation = Violation::new(&path, format!("{path} is the operator's, which can read it"));
                found.push(violation.hint("name a `file`"));
            }
            Some(reference) if reference.key.is_empty() => {
                let path = format!("{path}.key");
                found.push(Violation::new(&path, format!("{path} is empty")));
            }
            _ => {}
        }
    }
}

fn check_publish(publish: &Publish, found: &mut Vec<Violation>) {
    publish.host.iter().for_each(|host| check_host("spec.publish.host", host, found));
    let ports = [("spec.publish.port", publish.port)];
    let others = [("spec.publish.direct", &publish.direct), ("spec.publish.readOnly", &publish.read_only)];
    let others = others.map(|(path, endpoint)| {
        if let Some(endpoint) = endpoint {
            check_host(&format!("{path}.host"), &endpoint.host, found);
        }
        (path, endpoint.as_ref().and_then(|endpoint| endpoint.port))
    });
    for (path, port) in ports.into_iter().chain(others) {
        if port == Some(0) {
            found.push(Violation::new(path, format!("{path}: a port is from 1 to 65535")));
        }
    }
    if publish.parameters.contains_key("") {
        found.push(Violation::new("spec.publish.parameters", "a parameter in spec.publish.parameters has no name"));
    }
}

/// As the name of a role PostgreSQL reads these as everybody and nobody, in quotes as well.
fn check_connect_for(names: &[SqlName], found: &mut Vec<Violation>) {
    for (index, name) in names.iter().enumerate().filter(|(_, name)| ["public", "none"].contains(&name.as_str())) {
        let violation =
            Violation::new(format!("spec.connectFor[{index}]"), format!("`{name}` is not the name of a role"));
        found.push(violation.hint("name the logins that may connect to every tenant's database"));
    }
}

fn check_naming(naming: &Naming, found: &mut Vec<Violation>) {
    for (path, template, known) in
        [("spec.naming.database", &naming.database, NAMING), ("spec.naming.owner", &naming.owner, OWNER_NAMING)]
    {
        check_pattern(path, template, known, found);
    }
}

fn check_pattern(path: &str, pattern: &str, known: &[&str], found: &mut Vec<Violation>) {
    if pattern.is_empty() {
        found.push(Violation::new(path, format!("{path} is empty")));
    }
    found.extend(template::check(path, pattern, Rules { known, escapes: false }).err());
}

fn check_allow(allow: &Allow, found: &mut Vec<Violation>) {
    if let Some(namespaces) = &allow.namespaces {
        let path = "spec.allow.namespaces";
        match &namespaces.selector {
            Some(_) if !namespaces.names.is_empty() => {
                found.push(Violation::new(path, format!("{path} must have either names or a selector")));
            }
            Some(selector) => check_selector(selector, found),
            None if namespaces.names.is_empty() => {
                let violation = Violation::new(path, format!("{path} names none, so nobody could use the server"));
                found.push(violation.hint("leave it out to allow all namespaces"));
            }
            None => {}
        }
    }
    if let Some(names) = &allow.names {
        check_pattern("spec.allow.names", names, &["namespace"], found);
    }
    for (index, name) in allow.settings.iter().flatten().enumerate() {
        if let Some(reason) = settings::refusal(name) {
            let path = format!("spec.allow.settings[{index}]");
            found.push(Violation::new(path, format!("`{name}` can't be allowed")).hint(reason));
        }
    }
}

/// A Kubernetes label selector.
fn check_selector(selector: &LabelSelector, found: &mut Vec<Violation>) {
    for (index, requirement) in selector.match_expressions.iter().enumerate() {
        if requirement.contradicts_itself() {
            let path = format!("spec.allow.namespaces.selector.matchExpressions[{index}]");
            let message = format!("{path}: `In` and `NotIn` have values, and the others none");
            found.push(Violation::new(path, message));
        }
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
