//! How an extension that is declared and not there can be made, or why it can't.

use tenantdb_api::did_you_mean;
use tenantdb_core::{Refusal, RefusalKind};

use crate::desired::Tenant;
use crate::extension::{self, Making};
use crate::ledger::Extension;
use crate::observe::{AvailableExtension, ExtensionVersion, Inside, Shared};
use crate::sql::name;

/// An extension that is not there.
pub(super) struct Missing<'a> {
    pub(super) name: &'a str,
    pub(super) declared: &'a Extension,
    pub(super) tenant: &'a Tenant,
    /// The tenant's database and its role.
    pub(super) database: &'a str,
    pub(super) owner: &'a str,
    pub(super) shared: &'a Shared,
    /// The database, if it could be looked into; else it is new.
    pub(super) inside: Option<&'a Inside>,
}

impl Missing<'_> {
    /// The schema it gets into.
    pub(super) fn schema(&self) -> &str {
        let fixed = self.version().and_then(|version| version.schema.as_deref());
        fixed.or(self.declared.schema.as_deref()).unwrap_or("public")
    }

    /// How it is made; a server that nobody asked makes what it can.
    pub(super) fn making(&self) -> Result<Making, Refusal> {
        let Some(all) = &self.shared.extensions else { return Ok(Making::Trusted) };
        let available = all.get(self.name).ok_or_else(|| {
            let nearest = tenantdb_api::nearest(self.name, all.keys().map(String::as_str));
            let hint = nearest.map_or_else(
                || "install it on the server; Debian has most in postgresql-contrib".to_owned(),
                |nearest| format!("did you mean `{nearest}`? Otherwise install it on the server"),
            );
            refusal(format!("the server has no extension `{}`", self.name), hint)
        })?;
        let version = self.known_version(available)?;
        self.check_schema(version)?;
        self.check_requirements(version)?;
        if version.trusted {
            return Ok(Making::Trusted);
        }
        let making = self.making_by_superuser(version)?;
        if self.shared.admin().superuser { Ok(making) } else { Err(self.not_trusted(&making)) }
    }

    fn version(&self) -> Option<&ExtensionVersion> {
        self.shared.extensions.as_ref()?.get(self.name)?.version(self.declared.version.as_ref())
    }

    fn known_version<'a>(&self, available: &'a AvailableExtension) -> Result<&'a ExtensionVersion, Refusal> {
        let asked = self.declared.version.as_ref();
        available.version(asked).ok_or_else(|| unknown_version(self.name, asked, available))
    }

    /// Whether there is, or will be, the schema.
    fn check_schema(&self, version: &ExtensionVersion) -> Result<(), Refusal> {
        let Some(declared) = &self.declared.schema else { return Ok(()) };
        if let Some(fixed) = version.schema.as_ref().filter(|fixed| *fixed != declared) {
            let message = format!("extension `{}` belongs into schema `{fixed}`, not `{declared}`", self.name);
            return Err(refusal(message, "leave its `schema` out"));
        }
        check_schema(self.name, declared, self.tenant, self.inside)
    }

    /// Whether the extensions that it needs are there or declared, too.
    fn check_requirements(&self, version: &ExtensionVersion) -> Result<(), Refusal> {
        let there = |needed: &str| {
            let unknown = self.inside.is_none() && self.tenant.create.template.is_some();
            unknown
                || needed == "plpgsql"
                || self.tenant.applied.extensions.contains_key(needed)
                || self.inside.is_some_and(|inside| inside.extensions.contains_key(needed))
        };
        let lacking: Vec<&str> = version.requires.iter().map(String::as_str).filter(|needed| !there(needed)).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let message = format!("extension `{}` needs {}", self.name, lacking.join(", "));
        Err(refusal(message, format!("declare it as well: `extensions: [{}, {}]`", lacking.join(", "), self.name)))
    }

    /// Where a superuser can make it without running what the tenant has put there.
    fn making_by_superuser(&self, version: &ExtensionVersion) -> Result<Making, Refusal> {
        let in_catalog = |needed: &&String| {
            let installed = self.inside.and_then(|inside| inside.extensions.get(*needed));
            installed.is_some_and(|installed| installed.schema == "pg_catalog")
        };
        let schema = self.schema();
        if let Some(needed) = version.requires.iter().find(|needed| !in_catalog(needed)) {
            let message = format!(
                "extension `{}` is not trusted, and needs `{needed}`, which is where the tenant can write: its script \
                 could run what the tenant has put there",
                self.name
            );
            let statement = self.statements(&Making::There);
            let hint =
                format!("leave it out; a superuser who has looked there may run in database {}: ", self.database);
            return Err(refusal(message, hint + &statement));
        }
        let is_there = self.inside.is_some_and(|inside| inside.schemas.contains_key(schema));
        let is_new = !is_there && schema != "public";
        let tenants = || self.tenant.applied.schemas.contains(schema).then(|| self.owner.to_owned());
        match () {
            () if schema == "pg_catalog" => Ok(Making::There),
            () if version.relocatable && version.schema.is_none() => Ok(Making::Apart),
            () if is_new => Ok(Making::New { owner: tenants() }),
            () if schema == "public" && self.public_is_nobodys() => Ok(Making::There),
            () => {
                let message = format!(
                    "extension `{}` is not trusted, and can't be moved: in schema `{schema}`, where the tenant can \
                     write, its script could run what the tenant has put there",
                    self.name
                );
                let name = self.name;
                let hint = format!(
                    "give it a new schema: `schemas: [{name}]`, `extensions: [{{name: {name}, schema: {name}}}]`"
                );
                Err(refusal(message, hint))
            }
        }
    }

    /// Whether no tenant could write to `public` yet: from PostgreSQL 15 on nobody can in a new database, until it is
    /// given to the tenant.
    fn public_is_nobodys(&self) -> bool {
        let template = self.tenant.create.template.as_ref();
        let found = self.inside.and_then(|inside| inside.schemas.get("public"));
        (self.shared.version >= 15 || self.shared.version == 0)
            && template.is_none_or(|template| template.as_str() == "template0")
            && found.map_or(self.inside.is_none(), |owner| owner == "pg_database_owner")
    }

    fn not_trusted(&self, making: &Making) -> Refusal {
        let message = format!("extension `{}` is not trusted: only a superuser can make it", self.name);
        let statement = self.statements(making);
        let (database, then) = (self.database, if self.inside.is_some() { "" } else { "leave it out, and " });
        refusal(message, format!("{then}let a superuser run in database {database}: {statement}"))
    }

    /// What a superuser would run by hand.
    fn statements(&self, making: &Making) -> String {
        let statements = extension::by_hand(self.name, self.schema(), self.declared.version.as_deref(), making);
        match statements.as_slice() {
            [only] => only.clone(),
            several => format!("BEGIN; {}; COMMIT", several.join("; ")),
        }
    }
}

/// A version that the server does not have.
pub(super) fn unknown_version(extension: &str, asked: Option<&String>, available: &AvailableExtension) -> Refusal {
    let asked = asked.map_or("", String::as_str);
    let known: Vec<&str> = available.versions.keys().map(String::as_str).collect();
    let message = format!("the server has no version `{asked}` of extension `{extension}`");
    let hint = match tenantdb_api::nearest(asked, known.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`? It has {}", known.join(", ")),
        None => format!("it has {}", known.join(", ")),
    };
    refusal(message, hint)
}

/// Whether a declared schema is there, or is declared itself.
pub(super) fn check_schema(
    extension: &str,
    schema: &str,
    tenant: &Tenant,
    inside: Option<&Inside>,
) -> Result<(), Refusal> {
    let is_declared = schema == "public" || tenant.applied.schemas.contains(schema);
    // What a template brings along is seen when it is there.
    let is_there = inside.map_or(tenant.create.template.is_some(), |inside| inside.schemas.contains_key(schema));
    if is_declared || is_there {
        return Ok(());
    }
    let known = inside.into_iter().flat_map(|inside| inside.schemas.keys());
    let known = known.chain(&tenant.applied.schemas).map(String::as_str).chain(["public"]);
    let otherwise = format!("declare it as well: `schemas: [{}]`", name(schema).trim_matches('"'));
    let message = format!("there is no schema `{schema}` for extension `{extension}`");
    Err(refusal(message, did_you_mean(schema, known, otherwise)))
}

/// A refusal of what the server can't be asked.
pub(super) fn refusal(message: String, hint: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::Policy, message).hint(hint)
}
