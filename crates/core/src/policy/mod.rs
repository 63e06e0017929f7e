//! What a namespace may ask of a server: a pure check of one declaration against the server's `allow`. Each key of it
//! limits the field of its name, by its default when it is absent.

mod refusals;

pub use refusals::refusals;

use std::collections::BTreeMap;

use tenantdb_api::database_server::{Allow, AllowedExtensions, AllowedNamespaces, Labels};
use tenantdb_api::kinds::Violation;
use tenantdb_api::tenant_database::{Credentials, DeletionProtection, SecretPolicy, SettingValue};
use tenantdb_api::{
    ConnectionLimit, DatabaseServer, Namespace, SettingName, SqlName, Tenant, TenantDatabase, TenantRole,
};

use crate::names;

/// The settings that may be made where `allow.settings` is absent.
const SETTINGS: [&str; 4] = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "work_mem"];

/// The template that may be copied where `allow.templates` is absent.
const TEMPLATE: &str = "template0";

/// What only the server knows.
pub struct Known<'a> {
    /// Whether the database is protected now; `None` when there is none yet.
    pub protected: Option<bool>,
    /// How many databases the namespace has besides.
    pub others: usize,
    /// Whether PostgreSQL lets a database's owner make a version of an extension; `None` when nobody could ask.
    pub trusted: &'a dyn Fn(&str, Option<&str>) -> Option<bool>,
    /// The cluster that the declaration stands in; `None` where there is none to ask, and a selector selects every
    /// namespace.
    pub cluster: Option<Cluster<'a>>,
}

/// What a cluster knows of its declarations.
#[derive(Clone, Copy, Debug)]
pub struct Cluster<'a> {
    /// The labels of all namespaces.
    pub namespaces: &'a Namespaces,
    /// Whether it asks everyone who takes protection away whether they may.
    pub guards_protection: bool,
    /// Whether it asks everyone who has a Secret merged into or taken over whether they may write it.
    pub guards_secrets: bool,
}

/// The labels of the namespaces of a cluster.
pub type Namespaces = BTreeMap<Namespace, Labels>;

/// Everything that a declaration asks for and its server does not allow, field by field.
#[must_use]
pub fn violations(server: &DatabaseServer, tenant: &Tenant, known: &Known) -> Vec<Violation> {
    let check = Check::new(server, tenant);
    match tenant {
        Tenant::Database(database) => check.database(database, known),
        Tenant::Role(role) => check.role(role, known),
    }
}

/// Whether it depends on more than names which namespaces may use a server.
#[must_use]
pub fn selects_namespaces(server: &DatabaseServer) -> bool {
    server.spec.allow.namespaces.as_ref().is_some_and(|namespaces| namespaces.selector.is_some())
}

/// What every kind of declaration may ask for, beside what allows it.
struct Check<'a> {
    server: &'a DatabaseServer,
    allow: &'a Allow,
    namespace: Namespace,
    member_of: &'a [SqlName],
    settings: &'a BTreeMap<SettingName, SettingValue>,
    credentials: &'a Credentials,
    protection: DeletionProtection,
    connection_limit: Option<ConnectionLimit>,
}

/// A violation of one key: what is asked for, and what the key allows.
fn violation(path: &str, asked: &str, key: &str, allowed: &str) -> Violation {
    let message = format!("{asked} is not allowed: `allow.{key}` is {allowed}");
    Violation::new(path, message).hint(format!("ask the platform to allow it in `allow.{key}`, or leave it out"))
}

fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(", "))
}

impl<'a> Check<'a> {
    fn new(server: &'a DatabaseServer, tenant: &'a Tenant) -> Self {
        let (member_of, settings, connection_limit) = match tenant {
            Tenant::Database(TenantDatabase { spec, .. }) => (&spec.member_of, &spec.settings, spec.connection_limit),
            Tenant::Role(TenantRole { spec, .. }) => (&spec.member_of, &spec.settings, spec.connection_limit),
        };
        Self {
            server,
            allow: &server.spec.allow,
            namespace: tenant.namespace(),
            member_of,
            settings,
            credentials: tenant.credentials(),
            protection: tenant.deletion_protection(),
            connection_limit,
        }
    }

    fn database(&self, database: &TenantDatabase, known: &Known) -> Vec<Violation> {
        let parts = [
            self.namespaces(known.cluster),
            self.names(database),
            self.adopt(database),
            self.member_of(),
            self.templates(database),
            self.extensions(database, known),
            self.settings(),
            self.secret_policies(known),
            self.deliver(),
            self.init(database),
            self.restart(),
            self.unprotected("database", known),
            self.connection_limit(),
            self.per_namespace(known),
        ];
        parts.into_iter().flatten().collect()
    }

    fn role(&self, role: &TenantRole, known: &Known) -> Vec<Violation> {
        let parts = [
            self.namespaces(known.cluster),
            self.name("role", role.spec.role.as_ref(), role.metadata.name.as_str()).into_iter().collect(),
            self.member_of(),
            self.settings(),
            self.secret_policies(known),
            self.deliver(),
            self.restart(),
            self.unprotected("role", known),
            self.connection_limit(),
        ];
        parts.into_iter().flatten().collect()
    }

    fn namespaces(&self, cluster: Option<Cluster<'_>>) -> Vec<Violation> {
        let asked = format!("namespace `{}`", self.namespace);
        match (&self.allow.namespaces, cluster.map(|cluster| cluster.namespaces)) {
            (Some(AllowedNamespaces { names, selector: None }), _) if !names.contains(&self.namespace) => {
                let found = violation("metadata.namespace", &asked, "namespaces.names", &listed(names));
                vec![found.hint("ask the platform to add it, or use another server")]
            }
            (Some(AllowedNamespaces { selector: Some(selector), .. }), Some(known))
                if !known.get(&self.namespace).is_some_and(|labels| selector.selects(labels)) =>
            {
                let found = violation("metadata.namespace", &asked, "namespaces.selector", &format!("`{selector}`"));
                vec![found.hint("ask the platform to label it so, or use another server")]
            }
            _ => Vec::new(),
        }
    }

    fn names(&self, tenant: &TenantDatabase) -> Vec<Violation> {
        let TenantDatabase { metadata, spec } = tenant;
        let mut values = names::placeholders(&metadata.name, &self.namespace);
        let by_naming = names::expand(&self.server.spec.naming.database, &values);
        let database = spec.database.as_ref().map_or(by_naming.as_str(), SqlName::as_str).to_owned();
        values.insert("database", &database);
        let owner_by_naming = names::expand(&self.server.spec.naming.owner, &values);
        let declared = [("database", &spec.database, &by_naming), ("owner", &spec.owner, &owner_by_naming)];
        declared.into_iter().filter_map(|(field, name, by_naming)| self.name(field, name.as_ref(), by_naming)).collect()
    }

    /// A name that was declared, and the one it has when it is not.
    fn name(&self, field: &str, declared: Option<&SqlName>, default: &str) -> Option<Violation> {
        let name = declared.filter(|name| name.as_str() != default)?;
        let pattern = self.allow.names.as_deref().unwrap_or("Naming");
        let of_namespace = names::expand(pattern, &BTreeMap::from([("namespace", self.namespace.as_str())]));
        if pattern != "Naming" && is_like(name.as_str(), &of_namespace) {
            return None;
        }
        let found = violation(&format!("spec.{field}"), &format!("`{name}`"), "names", pattern);
        Some(found.hint(match pattern {
            "Naming" => format!("leave `{field}` out: it is `{default}` then"),
            _ => format!("leave `{field}` out, or choose one like `{of_namespace}`"),
        }))
    }

    fn adopt(&self, tenant: &TenantDatabase) -> Vec<Violation> {
        let (asked, most) = (tenant.spec.adopt, self.allow.adopt.unwrap_or_default());
        let asks_more = asked > most;
        let found = || violation("spec.adopt", &format!("`{asked:?}`"), "adopt", &format!("{most:?}"));
        asks_more.then(found).into_iter().collect()
    }

    fn member_of(&self) -> Vec<Violation> {
        let asked = self.member_of.iter().enumerate();
        let refused = asked.filter(|(_, role)| !self.allow.member_of.contains(role)).map(|(index, role)| {
            let path = format!("spec.memberOf[{index}]");
            violation(&path, &format!("role `{role}`"), "memberOf", &listed(&self.allow.member_of))
        });
        refused.collect()
    }

    fn templates(&self, tenant: &TenantDatabase) -> Vec<Violation> {
        let asked = tenant.spec.create.as_ref().and_then(|create| create.template.as_ref());
        let (is_allowed, allowed) = match &self.allow.templates {
            Some(templates) => (asked.is_none_or(|asked| templates.contains(asked)), listed(templates)),
            None => (asked.is_none_or(|asked| asked.as_str() == TEMPLATE), listed([TEMPLATE])),
        };
        let refused = asked.filter(|_| !is_allowed);
        let found = refused
            .map(|asked| violation("spec.create.template", &format!("template `{asked}`"), "templates", &allowed));
        found.into_iter().collect()
    }

    fn extensions(&self, tenant: &TenantDatabase, known: &Known) -> Vec<Violation> {
        let asked = tenant.spec.extensions.iter().enumerate();
        let refused = asked.filter_map(|(index, extension)| {
            let name = &extension.name;
            let (is_allowed, allowed) = match &self.allow.extensions {
                Some(AllowedExtensions::List(names)) => (names.contains(name), listed(names)),
                Some(AllowedExtensions::Trusted(_)) | None => {
                    let trusted = (known.trusted)(name.as_str(), extension.version.as_deref());
                    (trusted != Some(false), "Trusted".to_owned())
                }
            };
            let path = format!("spec.extensions[{index}]");
            (!is_allowed).then(|| violation(&path, &format!("extension `{name}`"), "extensions", &allowed))
        });
        refused.collect()
    }

    fn settings(&self) -> Vec<Violation> {
        let allowed: Vec<&str> = match &self.allow.settings {
            Some(names) => names.iter().map(SettingName::as_str).collect(),
            None => SETTINGS.to_vec(),
        };
        let refused = self.settings.keys().filter(|name| !allowed.contains(&name.as_str()));
        let found = refused.map(|name| {
            let (path, asked) = (format!("spec.settings.{name}"), format!("setting `{name}`"));
            violation(&path, &asked, "settings", &listed(&allowed)).on_key()
        });
        found.collect()
    }

    /// Somebody else's Secret may be written where that is allowed, and whoever asks for it was asked whether they may.
    fn secret_policies(&self, known: &Known) -> Vec<Violation> {
        const PATH: &str = "spec.credentials.secretPolicy";
        let asked = self.credentials.secret_policy;
        let allowed = self.allow.secret_policies.clone().unwrap_or_else(|| vec![SecretPolicy::Create]);
        if !allowed.contains(&asked) {
            let allowed = listed(allowed.iter().map(|policy| format!("{policy:?}")));
            return vec![violation(PATH, &format!("`{asked:?}`"), "secretPolicies", &allowed)];
        }
        if asked == SecretPolicy::Create || known.cluster.is_none_or(|cluster| cluster.guards_secrets) {
            return Vec::new();
        }
        let message = format!("nobody asks whether who declares `{asked:?}` may write the Secret");
        let hint = "ask the platform to install the admission policies, which do";
        vec![Violation::new(PATH, message).hint(hint)]
    }

    fn deliver(&self) -> Vec<Violation> {
        let stores = &self.allow.deliver.stores;
        let namespaces = &self.allow.deliver.namespaces;
        let asked = self.credentials.deliver.iter().enumerate();
        let refused = asked.flat_map(|(index, place)| {
            let path = format!("spec.credentials.deliver[{index}]");
            let store = place["store"].as_str().filter(|name| !stores.iter().any(|store| store.as_str() == *name));
            let store = store.map(|name| {
                violation(&format!("{path}.store"), &format!("store `{name}`"), "deliver.stores", &listed(stores))
            });
            let is_other = |name: &&str| {
                *name != self.namespace.as_str() && !namespaces.iter().any(|allowed| allowed.as_str() == *name)
            };
            let namespace = place["secret"]["namespace"].as_str().filter(is_other).map(|name| {
                let path = format!("{path}.secret.namespace");
                violation(&path, &format!("namespace `{name}`"), "deliver.namespaces", &listed(namespaces))
            });
            store.into_iter().chain(namespace)
        });
        refused.collect()
    }

    fn init(&self, tenant: &TenantDatabase) -> Vec<Violation> {
        let refused = !self.allow.init && !tenant.spec.init.is_empty();
        refused.then(|| violation("spec.init", "a script", "init", "false")).into_iter().collect()
    }

    fn restart(&self) -> Vec<Violation> {
        let refused = !self.allow.restart && !self.credentials.restart.is_empty();
        let found = || violation("spec.credentials.restart", "a restart", "restart", "false");
        refused.then(found).into_iter().collect()
    }

    /// Something new may be made without protection where that is allowed; taking it away later is the platform's.
    fn unprotected(&self, what: &str, known: &Known) -> Vec<Violation> {
        const PATH: &str = "spec.deletionProtection";
        if self.protection == DeletionProtection::On {
            return Vec::new();
        }
        match known.protected {
            None if !self.allow.unprotected => {
                vec![violation(PATH, &format!("a {what} without protection"), "unprotected", "false")]
            }
            Some(true) if known.cluster.is_none_or(|cluster| !cluster.guards_protection) => {
                let message = format!("the protection of a {what} that is there is not the namespace's to take away");
                let hint = "set it to true, or ask the platform to take it away";
                // In a cluster it would be the platform's to say so, if anybody were asked.
                let unasked =
                    "set it to true; it can be taken away once the admission policies are installed, which ask who may";
                vec![Violation::new(PATH, message).hint(if known.cluster.is_some() { unasked } else { hint })]
            }
            _ => Vec::new(),
        }
    }

    fn connection_limit(&self) -> Vec<Violation> {
        let Some(most) = self.allow.connection_limit.map(ConnectionLimit::get) else { return Vec::new() };
        let asked = self.connection_limit.or(self.server.spec.defaults.connection_limit);
        let asked = asked.map(ConnectionLimit::get);
        if asked.is_some_and(|asked| asked <= most) {
            return Vec::new();
        }
        let shown = asked.map_or_else(|| "any number of sessions".to_owned(), |asked| format!("a limit of {asked}"));
        let found = violation("spec.connectionLimit", &shown, "connectionLimit", &most.to_string());
        vec![found.hint(format!("set `connectionLimit: {most}` or less"))]
    }

    fn per_namespace(&self, known: &Known) -> Vec<Violation> {
        let Some(most) = self.allow.per_namespace else { return Vec::new() };
        let is_new = known.protected.is_none();
        if !is_new || known.others < usize::try_from(most).unwrap_or(usize::MAX) {
            return Vec::new();
        }
        let asked = format!("another database for namespace `{}`, which has {},", self.namespace, known.others);
        let found = violation("metadata.namespace", &asked, "perNamespace", &most.to_string());
        vec![found.hint("delete one that is not needed, or ask the platform to raise it")]
    }
}

/// Whether a name is like a pattern, in which `*` stands for any text.
fn is_like(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests;
