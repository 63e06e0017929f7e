//! What the fields of a database must agree on.

use std::collections::BTreeSet;

use super::{
    Access, Create, CredentialMode, Credentials, RotationStrategy, SecretFormat, SecretPolicy, SecretType,
    TenantDatabase, TenantDatabaseSpec,
};
use crate::kinds::resource::Resource;
use crate::kinds::{Kind, Origin, Violation, settings};
use crate::template::{self, Rules, braced};
use crate::values::{ObjectName, SqlName};

/// The placeholders of a key in a Secret.
const KEY_PLACEHOLDERS: &[&str] =
    &["uri", "uri_direct", "uri_ro", "host", "port", "database", "username", "password", "endpoint", "generation"];

/// The keys by which a delivered login is known again.
const OWN_KEYS: [&str; 5] = ["username", "password", "password_next", "DB_USER", "DB_PASSWORD"];

/// What Kubernetes allows a key of a Secret to have, in bytes.
const MAX_KEY_BYTES: usize = 253;

/// What Kubernetes allows the name of a field manager to have, in bytes.
const MAX_MANAGER_BYTES: usize = 128;

/// What Kubernetes allows a name to have, less `-secret`.
const MAX_NAME_BYTES: usize = 253 - "-secret".len();

impl Kind for TenantDatabase {
    const RESOURCE: Resource = super::RESOURCE;

    fn validate(&self, origin: Origin) -> Vec<Violation> {
        let mut found = Vec::new();
        let spec = &self.spec;
        if spec.credentials.secret_name.is_none() && self.metadata.name.as_str().len() > MAX_NAME_BYTES {
            let message = "metadata.name is too long for the Secret's name, `<name>-secret`";
            found.push(Violation::new("metadata.name", message).hint("set spec.credentials.secretName"));
        }
        if spec.comment.as_ref().is_some_and(|comment| comment.contains('\0')) {
            found.push(Violation::new("spec.comment", "spec.comment can't hold a NUL character"));
        }
        refuse_unsupported(spec, &mut found);
        spec.create.iter().for_each(|create| check_create(create, &mut found));
        check_extensions(spec, &mut found);
        check_members(&spec.member_of, &mut found);
        check_init(spec, origin, &mut found);
        check_schemas(&spec.schemas, &mut found);
        settings::check("spec.settings", &spec.settings, &mut found);
        check_access(&spec.access, &mut found);
        check_credentials(&spec.credentials, origin, &mut found);
        found
    }
}

fn not_yet(path: &str) -> Violation {
    Violation::not_supported_yet(path)
}

fn refuse_unsupported(spec: &TenantDatabaseSpec, found: &mut Vec<Violation>) {
    for (path, given) in [("spec.contact", !spec.contact.is_empty()), ("spec.sizeLimit", spec.size_limit.is_some())] {
        if given {
            found.push(not_yet(path));
        }
    }
}

fn check_create(create: &Create, found: &mut Vec<Violation>) {
    for (field, value) in
        [("encoding", &create.encoding), ("locale", &create.locale), ("icuLocale", &create.icu_locale)]
    {
        let path = format!("spec.create.{field}");
        match value.as_deref() {
            Some("") => found.push(Violation::new(&path, format!("{path} is empty")).hint("leave it out")),
            Some(text) if text.contains('\0') => {
                found.push(Violation::new(&path, format!("{path} can't hold a NUL character")));
            }
            _ => {}
        }
    }
}

fn check_extensions(spec: &TenantDatabaseSpec, found: &mut Vec<Violation>) {
    let mut seen = BTreeSet::new();
    for (index, extension) in spec.extensions.iter().enumerate() {
        let path = format!("spec.extensions[{index}]");
        if extension.version.as_ref().is_some_and(|version| version.is_empty() || version.contains('\0')) {
            let violation = Violation::new(format!("{path}.version"), format!("{path}.version is no version"));
            found.push(violation.hint("such as \"1.6\"; leave it out for whatever the server has"));
        }
        let schema = extension.schema.as_ref().map(SqlName::as_str);
        if let Some(schema) = schema.filter(|schema| schema.starts_with("pg_") || *schema == "information_schema") {
            let message = format!("the schema name `{schema}` is PostgreSQL's own");
            let hint = "leave it out: an extension that belongs there gets there by itself";
            found.push(Violation::new(format!("{path}.schema"), message).hint(hint));
        }
        if !seen.insert(&extension.name) {
            found.push(Violation::new(path, format!("the extension `{}` is listed twice", extension.name)));
        }
    }
}

/// As the name of a role PostgreSQL reads these as everybody and nobody, in quotes as well.
fn check_members(roles: &[SqlName], found: &mut Vec<Violation>) {
    let mut seen = BTreeSet::new();
    for (index, role) in roles.iter().enumerate() {
        let path = format!("spec.memberOf[{index}]");
        if ["public", "none"].contains(&role.as_str()) {
            found.push(Violation::new(&path, format!("`{role}` is not the name of a role")));
        }
        if !seen.insert(role) {
            found.push(Violation::new(path, format!("the role `{role}` is listed twice")));
        }
    }
}

fn check_init(spec: &TenantDatabaseSpec, origin: Origin, found: &mut Vec<Violation>) {
    let (mut seen, mut maps) = (BTreeSet::new(), BTreeSet::new());
    for (index, script) in spec.init.iter().enumerate() {
        let path = format!("spec.init[{index}]");
        match (&script.file, &script.config_map) {
            (Some(_), None) if origin == Origin::Cluster => {
                let message = format!("{path}.file is the command line's: a custom resource has no files beside it");
                found.push(Violation::new(format!("{path}.file"), message).hint("name a `configMap` of its namespace"));
            }
            (Some(file), None) if file.as_os_str().is_empty() => {
                found.push(Violation::new(format!("{path}.file"), format!("{path}.file is empty")));
            }
            (Some(file), None) if !seen.insert(file) => {
                found.push(Violation::new(path, format!("the script `{}` is listed twice", file.display())));
            }
            (None, Some(_)) if origin == Origin::Manifest => {
                let path = format!("{path}.configMap");
                let violation = Violation::new(&path, format!("{path} is the operator's, which can read it"));
                found.push(violation.hint("name a `file`"));
            }
            (None, Some(from)) if from.key.is_empty() => {
                let path = format!("{path}.configMap.key");
                found.push(Violation::new(&path, format!("{path} is empty")));
            }
            (None, Some(from)) if !maps.insert((&from.name, &from.key)) => {
                found.push(Violation::new(path, format!("the script `{}/{}` is listed twice", from.name, from.key)));
            }
            (Some(_), None) | (None, Some(_)) => {}
            _ => found.push(Violation::new(&path, format!("{path} must have exactly one of file and configMap"))),
        }
    }
    if !spec.init.is_empty() && spec.credentials.mode == CredentialMode::None {
        let violation = Violation::new(
            "spec.init",
            "scripts run logged in as the tenant, and `credentials.mode: None` has no password",
        );
        found.push(violation.hint("leave `init` out, and run them by hand"));
    }
}

fn check_schemas(schemas: &[SqlName], found: &mut Vec<Violation>) {
    let mut seen = BTreeSet::new();
    for (index, schema) in schemas.iter().enumerate() {
        let path = format!("spec.schemas[{index}]");
        let name = schema.as_str();
        if name == "public" {
            found.push(Violation::new(&path, "the schema `public` is always there").hint("leave it out"));
        } else if name == "information_schema" || name.starts_with("pg_") {
            found.push(Violation::new(&path, format!("the schema name `{name}` is PostgreSQL's own")));
        }
        if !seen.insert(schema) {
            found.push(Violation::new(path, format!("the schema `{name}` is listed twice")));
        }
    }
}

/// Names that would derive the same roles as the tenant itself does.
const RESERVED_ACCESS: [&str; 5] = ["a", "b", "c", "ro", "rw"];

fn check_access(all: &[Access], found: &mut Vec<Violation>) {
    let mut names = BTreeSet::new();
    let mut roles = BTreeSet::new();
    for (index, access) in all.iter().enumerate() {
        let path = format!("spec.access[{index}]");
        match (&access.name, &access.role) {
            (None, None) => {
                let hint = "`name` for a login of its own, `role: namespace/name` for a TenantRole";
                found.push(Violation::new(&path, "it says not whose access it is").hint(hint));
            }
            (Some(_), Some(_)) => {
                let violation = Violation::new(format!("{path}.role"), "either `name` or `role`, not both");
                found.push(violation.hint("list them one by one"));
            }
            (Some(name), None) if RESERVED_ACCESS.contains(&name.as_str()) => {
                let message = format!("`{name}` is reserved: its role's name would be the tenant's own");
                found.push(Violation::new(format!("{path}.name"), message).hint("give it another name"));
            }
            (None, Some(role)) if !roles.insert(role) => {
                found.push(Violation::new(format!("{path}.role"), format!("`{role}` is listed twice")));
                continue;
            }
            _ => {}
        }
        if access.short_name().is_some_and(|name| !names.insert(name)) {
            let name = access.short_name().map_or("", ObjectName::as_str);
            let message = format!("another one is called `{name}`, and both derive the same role's name");
            found.push(Violation::new(&path, message).hint("rename one of them"));
        }
        check_access_schemas(&path, &access.schemas, found);
    }
}

fn check_access_schemas(path: &str, schemas: &[SqlName], found: &mut Vec<Violation>) {
    let mut seen = BTreeSet::new();
    for (index, schema) in schemas.iter().enumerate() {
        let path = format!("{path}.schemas[{index}]");
        let name = schema.as_str();
        if name == "information_schema" || name.starts_with("pg_") {
            found.push(Violation::new(&path, format!("the schema `{name}` is PostgreSQL's own")));
        }
        if !seen.insert(schema) {
            found.push(Violation::new(path, format!("the schema `{name}` is listed twice")));
        }
    }
}

pub(in crate::kinds) fn check_credentials(credentials: &Credentials, origin: Origin, found: &mut Vec<Violation>) {
    let only_variables =
        !credentials.formats.is_empty() && credentials.formats.iter().all(|one| *one == SecretFormat::Env);
    if credentials.secret_type() != SecretType::Opaque && only_variables {
        let message = "this type of Secret promises `username` and `password`, which `formats: [env]` has not";
        found.push(Violation::new("spec.credentials.secretType", message).hint("add `default` to `formats`"));
    }
    check_secret_policy(credentials, origin, found);
    for (path, given) in [
        ("spec.credentials.passwordFrom", credentials.password_from.is_some()),
        ("spec.credentials.rotation.every", credentials.rotation.every.is_some()),
        ("spec.credentials.rotation.grace", credentials.rotation.grace.is_some()),
        ("spec.credentials.restart", !credentials.restart.is_empty()),
        ("spec.credentials.deliver", !credentials.deliver.is_empty()),
    ] {
        if given {
            found.push(not_yet(path));
        }
    }
    for (key, template) in &credentials.keys {
        check_key(key, template, found);
    }
    if credentials.mode == CredentialMode::None {
        check_without_password(credentials, found);
    }
}

/// A Secret that is somebody else's is named, as is who has it, and its type is theirs.
fn check_secret_policy(credentials: &Credentials, origin: Origin, found: &mut Vec<Violation>) {
    const POLICY: &str = "spec.credentials.secretPolicy";
    const MANAGER: &str = "spec.credentials.takeOverFrom";
    let policy = credentials.secret_policy;
    if policy != SecretPolicy::Create && origin == Origin::Manifest {
        let message = format!("`secretPolicy: {policy:?}` is the operator's: credentials go into files here");
        found.push(Violation::new(POLICY, message).hint("leave it out"));
        return;
    }
    if policy != SecretPolicy::Create && credentials.secret_name.is_none() {
        let message = format!("`secretPolicy: {policy:?}` is about a Secret that is there: `secretName` is missing");
        found.push(Violation::new(POLICY, message).hint("set `secretName` to its name"));
    }
    match (&credentials.take_over_from, policy) {
        (None, SecretPolicy::TakeOver) => {
            let message = "`secretPolicy: TakeOver` takes a Secret from a field manager: `takeOverFrom` is missing";
            let hint = "kubectl get secret NAME --show-managed-fields -o yaml tells who manages it";
            found.push(Violation::new(POLICY, message).hint(hint));
        }
        (Some(manager), SecretPolicy::TakeOver) if manager.is_empty() || manager.len() > MAX_MANAGER_BYTES => {
            let message = format!("{MANAGER} must have 1 to {MAX_MANAGER_BYTES} bytes");
            found.push(Violation::new(MANAGER, message));
        }
        (Some(_), SecretPolicy::Create | SecretPolicy::Merge) => {
            let message = format!("{MANAGER} is only for `secretPolicy: TakeOver`");
            found.push(Violation::new(MANAGER, message).hint("leave it out"));
        }
        _ => {}
    }
    if policy == SecretPolicy::Merge && credentials.secret_type.is_some() {
        let message = "`secretPolicy: Merge` leaves the type of the Secret as it is";
        found.push(Violation::new("spec.credentials.secretType", message).hint("leave `secretType` out"));
    }
}

/// What speaks of a password where there is none.
fn check_without_password(credentials: &Credentials, found: &mut Vec<Violation>) {
    const WHY: &str = "`credentials.mode: None` has no password";
    if credentials.rotation.strategy == RotationStrategy::InPlace {
        found.push(Violation::new("spec.credentials.rotation.strategy", WHY).hint("leave `rotation` out"));
    }
    for (key, _) in credentials.keys.iter().filter(|(_, template)| template.contains("{password}")) {
        let path = format!("spec.credentials.keys.{key}");
        found.push(Violation::new(path, WHY).hint("leave `{password}` out, or the whole key"));
    }
}

fn check_key(key: &str, template: &str, found: &mut Vec<Violation>) {
    let path = format!("spec.credentials.keys.{key}");
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if key.is_empty() || key.len() > MAX_KEY_BYTES || !key.bytes().all(legal) {
        let violation = Violation::new(&path, format!("`{key}` can't be the key of a Secret")).on_key();
        found.push(violation.hint(format!("letters, digits, `-`, `_` and `.`, at most {MAX_KEY_BYTES} of them")));
        return;
    }
    if OWN_KEYS.contains(&key) {
        let violation = Violation::new(&path, format!("`{key}` always holds the login as it is")).on_key();
        found.push(violation.hint("give the key another name"));
        return;
    }
    match template::check(&path, template, Rules { known: KEY_PLACEHOLDERS, escapes: true }) {
        Ok(0) => {
            let violation = Violation::new(&path, format!("{path} has no placeholder, so it is no credential"));
            found.push(violation.hint(format!("the placeholders are {}", braced(KEY_PLACEHOLDERS))));
        }
        Ok(_) => {}
        Err(violation) => found.push(violation),
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
