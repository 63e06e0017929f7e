//! Manifests: all declarations of all sources, checked on their own and against each other.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::decode::decode;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::{Document, Source, Value};
use crate::kinds::database_server::DatabaseServer;
use crate::kinds::tenant_database::TenantDatabase;
use crate::kinds::tenant_role::TenantRole;
use crate::kinds::{Kind, Origin, RESOURCES, Tenant, Violation};
use crate::{API_VERSION, Severity, did_you_mean, nearest};

/// The kinds that are planned.
const LATER_KINDS: [&str; 9] = [
    "TenantCache",
    "TenantVhost",
    "CredentialStore",
    "CredentialGrant",
    "TenantFleet",
    "DatabaseBackup",
    "DatabaseRestore",
    "DatabaseMigration",
    "DeletionRequest",
];

/// A declaration that can still point back at where it was declared.
#[derive(Clone, Debug)]
pub struct Declared<T> {
    /// What was declared.
    pub resource: T,
    document: Option<Arc<Document>>,
}

impl<T> Declared<T> {
    /// A declaration that stands in no source: a custom resource, or a test's.
    #[must_use]
    pub fn synthetic(resource: T) -> Self {
        Self { resource, document: None }
    }

    /// An error at the field that `path` names, such as `spec.access[0].level`; when it does not exist, at what comes
    /// nearest to it. Without a source it has no position.
    pub fn error(&self, path: &str, message: impl Into<String>) -> Diagnostic {
        match &self.document {
            Some(document) => document.error(path, message),
            None => Diagnostic::error(message),
        }
    }

    /// The same as [`Declared::error`], as a warning.
    pub fn warning(&self, path: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..self.error(path, message) }
    }

    /// What a kind's `validate` found, where it is.
    #[must_use]
    pub fn violation(&self, violation: &Violation) -> Diagnostic {
        match &self.document {
            Some(document) => document.violation(violation),
            None => Diagnostic { hint: violation.hint.clone(), ..Diagnostic::error(&violation.message) },
        }
    }

    /// The same as one of the kinds that servers are there for.
    #[must_use]
    pub fn tenant(self) -> Declared<Tenant>
    where
        T: Into<Tenant>,
    {
        Declared { resource: self.resource.into(), document: self.document }
    }

    /// The file that it is declared in, if it is in any.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.document.as_deref().map(|document| document.source().name.as_str())
    }

    /// Where it is declared, as `file:line`. It reads the file up to there.
    #[must_use]
    pub fn location(&self) -> String {
        location(self.document.as_deref())
    }
}

fn location(document: Option<&Document>) -> String {
    document
        .map_or_else(|| "<no file>".to_owned(), |document| format!("{}:{}", document.source().name, document.line()))
}

/// All declarations of all sources, in their order.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The servers.
    pub servers: Vec<Declared<DatabaseServer>>,
    /// What is declared for servers.
    pub tenants: Vec<Declared<Tenant>>,
    /// Whether anything is wrong with what is, or may be, a server: then nobody can say what its tenants get.
    pub lacks_servers: bool,
}

/// Reads, decodes and validates all documents of all sources.
///
/// # Errors
/// Everything that is wrong with any of them, sorted by file and position.
pub fn parse(sources: &[Source]) -> Result<Manifests, Diagnostics> {
    let (manifests, problems) = Manifests::read(sources);
    if problems.is_empty() { Ok(manifests) } else { Err(problems) }
}

/// Decodes and validates a custom resource: its `metadata` as far as a manifest may carry it, and its `spec`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn custom_resource<T: Kind>(object: serde_json::Value) -> Result<Declared<T>, Diagnostics> {
    let text = object.to_string();
    if let Ok(resource) = serde_json::from_value::<T>(object) {
        let violations = resource.validate(Origin::Cluster);
        if violations.is_empty() {
            return Ok(Declared::synthetic(resource));
        }
    }
    // Read again as a document, which tells all that is wrong, and what is meant by it.
    let (documents, mut problems) = Document::read(&Source { name: T::RESOURCE.kind.to_owned(), text });
    for document in documents {
        let found = decode::<T>(&document, &[]);
        let violations = found.object.as_ref().map(|object| object.validate(Origin::Cluster)).unwrap_or_default();
        let faithful = violations.iter().filter(|violation| found.is_faithful_at(&document, &violation.path));
        problems.extend(faithful.map(|violation| document.violation(violation)).collect::<Vec<_>>());
        problems.extend(found.problems);
    }
    Err(problems)
}

/// The same of any of the kinds that servers are there for; `None` when it is no such kind.
#[must_use]
pub fn custom_tenant(kind: &str, object: serde_json::Value) -> Option<Result<Declared<Tenant>, Diagnostics>> {
    if kind == TenantDatabase::RESOURCE.kind {
        Some(custom_resource::<TenantDatabase>(object).map(Declared::tenant))
    } else if kind == TenantRole::RESOURCE.kind {
        Some(custom_resource::<TenantRole>(object).map(Declared::tenant))
    } else {
        None
    }
}

impl Manifests {
    /// Reads, decodes and validates all documents of all sources: what is right, and everything that is wrong with the
    /// rest, sorted by file and position. Of two that are the same the first is kept.
    #[must_use]
    pub fn read(sources: &[Source]) -> (Self, Diagnostics) {
        let mut manifests = Self::default();
        let mut problems = Diagnostics::default();
        for source in sources {
            let (documents, unreadable) = Document::read(source);
            manifests.lacks_servers |= !unreadable.is_empty();
            problems.extend(unreadable);
            for document in documents {
                manifests.add(document, &mut problems);
            }
        }
        let before = problems.len();
        refuse_duplicates(
            &mut manifests.servers,
            |server| (DatabaseServer::RESOURCE.kind, server.metadata.name.to_string()),
            &mut problems,
        );
        refuse_second_defaults(&manifests.servers, &mut problems);
        manifests.lacks_servers |= problems.len() > before;
        let identity = |tenant: &Tenant| {
            let metadata = tenant.metadata();
            (tenant.resource().kind, format!("{}/{}", metadata.namespace(), metadata.name))
        };
        refuse_duplicates(&mut manifests.tenants, identity, &mut problems);
        problems.sort();
        (manifests, problems)
    }

    fn add(&mut self, document: Document, problems: &mut Diagnostics) {
        let before = problems.len();
        match kind(&document, problems) {
            Some(kind) if kind == TenantDatabase::RESOURCE.kind => {
                return self.tenants.extend(tenant::<TenantDatabase>(document, problems));
            }
            Some(kind) if kind == TenantRole::RESOURCE.kind => {
                return self.tenants.extend(tenant::<TenantRole>(document, problems));
            }
            Some(kind) if kind == DatabaseServer::RESOURCE.kind => self.servers.extend(object(document, problems)),
            _ => {}
        }
        self.lacks_servers |= problems.len() > before;
    }
}

/// Checks the `apiVersion` and `kind` of a document; the kind, if it is one of ours.
fn kind(document: &Document, problems: &mut Diagnostics) -> Option<&'static str> {
    if !matches!(document.root().value, Value::Mapping(_)) {
        let begin = format!("a declaration begins with `apiVersion: {API_VERSION}`");
        problems.push(document.error_at_start("this is not a declaration").hint(begin));
        return None;
    }
    match text(document, "apiVersion") {
        Some(API_VERSION) => {}
        Some(other) if other.starts_with("tenantdb.dev/") || nearest(other, [API_VERSION]).is_some() => {
            let unknown = document.error("apiVersion", format!("unknown apiVersion `{other}`"));
            problems.push(unknown.hint(format!("did you mean `{API_VERSION}`?")));
        }
        Some(other) => {
            let foreign = document.error("apiVersion", format!("objects of `{other}` are not tenantdb's"));
            problems.push(foreign.hint(format!("only `{API_VERSION}` is read; keep other objects in other files")));
            return None;
        }
        None => {
            let missing = document.error_at_start("apiVersion is missing");
            problems.push(missing.hint(format!("write `apiVersion: {API_VERSION}`")));
        }
    }
    let known = RESOURCES.map(|resource| resource.kind);
    let Some(kind) = text(document, "kind") else {
        let missing = document.error_at_start("kind is missing");
        problems.push(missing.hint(format!("write `kind: {}` or `kind: {}`", known[1], known[0])));
        return None;
    };
    let found = known.into_iter().find(|known| *known == kind);
    if LATER_KINDS.contains(&kind) {
        problems.push(document.error("kind", format!("kind {kind} is not supported yet")));
    } else if found.is_none() {
        let hint =
            did_you_mean(kind, known.into_iter().chain(LATER_KINDS), format!("the kinds are {}", known.join(", ")));
        problems.push(document.error("kind", format!("unknown kind `{kind}`")).hint(hint));
    }
    found
}

/// What stands under a key of the document's root, if it is a scalar.
fn text<'d>(document: &'d Document, key: &str) -> Option<&'d str> {
    let node = &document.root().get(key)?.value;
    match &node.value {
        Value::Text(text) => Some(text),
        _ if node.is_scalar() => document.text().get(node.span.clone()),
        _ => None,
    }
}

/// Decodes and validates a document; the object, unless something in it could not be decoded.
fn object<T: Kind>(document: Document, problems: &mut Diagnostics) -> Option<Declared<T>> {
    let document = Arc::new(document);
    let decoded = decode::<T>(&document, &["apiVersion", "kind"]);
    let violations = decoded.object.as_ref().map(|object| object.validate(Origin::Manifest)).into_iter().flatten();
    for violation in violations.filter(|violation| decoded.is_faithful_at(&document, &violation.path)) {
        problems.push(document.violation(&violation));
    }
    let is_whole = decoded.problems.is_empty();
    problems.extend(decoded.problems);
    decoded.object.filter(|_| is_whole).map(|resource| Declared { resource, document: Some(Arc::clone(&document)) })
}

/// The same as one of the kinds that servers are there for.
fn tenant<T: Kind + Into<Tenant>>(document: Document, problems: &mut Diagnostics) -> Option<Declared<Tenant>> {
    object::<T>(document, problems).map(Declared::tenant)
}

/// Refuses all but the first of those that share their kind, and what no two objects of it share.
fn refuse_duplicates<T>(
    all: &mut Vec<Declared<T>>,
    identity: impl Fn(&T) -> (&'static str, String),
    problems: &mut Diagnostics,
) {
    let mut first: HashMap<(&str, String), Option<Arc<Document>>> = HashMap::new();
    all.retain(|declared| {
        let identity = identity(&declared.resource);
        let Some(other) = first.get(&identity) else {
            first.insert(identity, declared.document.clone());
            return true;
        };
        let (kind, name) = identity;
        let message = format!("{kind} `{name}` is already declared at {}", location(other.as_deref()));
        problems.push(declared.error("metadata.name", message));
        false
    });
}

fn refuse_second_defaults(servers: &[Declared<DatabaseServer>], problems: &mut Diagnostics) {
    let mut first: BTreeMap<_, &Declared<DatabaseServer>> = BTreeMap::new();
    for server in servers.iter().filter(|server| server.resource.spec.default) {
        let engine = server.resource.spec.engine;
        let Some(other) = first.get(&engine) else {
            first.insert(engine, server);
            continue;
        };
        let name = &other.resource.metadata.name;
        let message =
            format!("the default server for {engine:?} is already `{name}`, declared at {}", other.location());
        problems.push(server.error("spec.default", message).hint("one server per engine may be the default"));
    }
}

#[cfg(test)]
#[path = "manifests_tests.rs"]
mod tests;
