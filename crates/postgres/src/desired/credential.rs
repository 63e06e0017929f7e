//! What declarations ask of a credential.

use tenantdb_api::database_server::SourceKind;
use tenantdb_api::tenant_database::{CredentialMode, Credentials, RotationStrategy, SecretFormat, SecretPolicy};
use tenantdb_api::{DatabaseServer, Declared, Diagnostic, ObjectName};
use tenantdb_core::{Endpoint, Existing, LoginScheme};

/// What is wrong with what is asked of a credential, on its server.
pub(super) fn faults(
    server: &DatabaseServer,
    declared: &Declared<tenantdb_api::Tenant>,
    endpoint: &Endpoint,
) -> Vec<Diagnostic> {
    let credentials = declared.resource.credentials();
    let mut found = missing_endpoints(declared, credentials, endpoint);
    found.extend(asks_for_a_password(server, declared, credentials));
    found
}

/// Keys that speak of an endpoint that the server does not publish.
fn missing_endpoints(
    declared: &Declared<tenantdb_api::Tenant>,
    credentials: &Credentials,
    endpoint: &Endpoint,
) -> Vec<Diagnostic> {
    let published = [
        ("{uri_direct}", endpoint.direct.is_some(), "publish.direct"),
        ("{uri_ro}", endpoint.read_only.is_some(), "publish.readOnly"),
    ];
    let missing = published.into_iter().filter(|(_, is_published, _)| !is_published);
    let keys = &credentials.keys;
    missing
        .flat_map(|(placeholder, _, field)| {
            let speaking = keys.iter().filter(move |(_, template)| template.contains(placeholder));
            speaking.map(move |(key, _)| {
                let message = format!("`{key}` needs {placeholder}, and its server has no `{field}`");
                let hint = format!("declare `{field}` on the DatabaseServer, or leave the key out");
                declared.error(&format!("spec.credentials.keys.{key}"), message).hint(hint)
            })
        })
        .collect()
}

/// A tenant without a password on a server that lets nobody in without one.
fn asks_for_a_password(
    server: &DatabaseServer,
    declared: &Declared<tenantdb_api::Tenant>,
    credentials: &Credentials,
) -> Option<Diagnostic> {
    let nobody = server.source() == SourceKind::Local && login_scheme(credentials) == LoginScheme::Passwordless;
    nobody.then(|| {
        declared
            .error("spec.credentials.mode", "a local server lets nobody in without a password")
            .hint("leave `mode: None` to a server whose pg_hba.conf lets this login in otherwise")
    })
}

/// The sets of keys.
pub(super) fn formats(credentials: &Credentials) -> Vec<SecretFormat> {
    match credentials.formats.as_slice() {
        [] => vec![SecretFormat::Default],
        formats => formats.to_vec(),
    }
}

/// How applications log in.
pub(super) fn login_scheme(credentials: &Credentials) -> LoginScheme {
    match (credentials.mode, credentials.rotation.strategy) {
        (CredentialMode::None, _) => LoginScheme::Passwordless,
        (CredentialMode::Password, RotationStrategy::InPlace) => LoginScheme::InPlace,
        (CredentialMode::Password, RotationStrategy::Alternate) => LoginScheme::Alternate,
    }
}

/// The name of the Secret or file.
pub(super) fn secret_name(credentials: &Credentials, name: &ObjectName, suffix: &str) -> ObjectName {
    // A name that is too long for its suffix is refused by `validate`, unless the Secret has one of its own.
    let default = || format!("{name}-{suffix}").parse().unwrap_or_else(|_| name.clone());
    credentials.secret_name.clone().unwrap_or_else(default)
}

/// What may be done with a Secret that is there, as validation has found it to be complete.
pub(super) fn existing(credentials: &Credentials) -> Existing {
    match (credentials.secret_policy, &credentials.take_over_from) {
        (SecretPolicy::Merge, _) => Existing::Merged,
        (SecretPolicy::TakeOver, Some(from)) => Existing::TakenOver { from: from.clone() },
        (SecretPolicy::Create | SecretPolicy::TakeOver, _) => Existing::LeftAlone,
    }
}
