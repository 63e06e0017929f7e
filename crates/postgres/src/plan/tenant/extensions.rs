//! A tenant's extensions: those to be made, and those that are not as declared.

use tenantdb_core::Refusal;

use super::Planner;
use crate::Taking;
use crate::extension::{self, Change, Making};
use crate::ledger::Extension;
use crate::observe::{Inside, Installed, Upgrade};
use crate::plan::extension::{Missing, check_schema, refusal};
use crate::step::ContentStep;

/// An extension that is to be made.
pub(super) struct NewExtension {
    name: String,
    pub(super) schema: String,
    version: Option<String>,
    making: Making,
}

impl NewExtension {
    /// Whether it has to be made before the tenant gets its schemas.
    pub(super) fn comes_first(&self) -> bool {
        matches!(self.making, Making::There | Making::New { .. })
    }

    /// Whether its schema is made with it.
    pub(super) fn makes_schema(&self) -> bool {
        matches!(self.making, Making::New { .. })
    }
}

impl Planner<'_> {
    /// The extensions that are missing, each after those that it needs.
    pub(super) fn new_extensions(&self, inside: Option<&Inside>) -> Result<Vec<NewExtension>, Refusal> {
        let there = |name: &str| inside.is_some_and(|inside| inside.extensions.contains_key(name));
        let declared = self.tenant.applied.extensions.iter().filter(|(name, _)| !there(name));
        let mut waiting: Vec<(&String, &Extension)> = declared.collect();
        let mut new = Vec::new();
        while !waiting.is_empty() {
            let needs = |name: &str| waiting.iter().any(|(other, _)| self.requires(name, other));
            let next = waiting.iter().position(|(name, _)| !needs(name)).unwrap_or_default();
            let (name, declared) = waiting.remove(next);
            let missing = self.missing_extension(name, declared, inside);
            let (making, schema) = (missing.making()?, missing.schema().to_owned());
            new.push(NewExtension { name: name.clone(), schema, version: declared.version.clone(), making });
        }
        Ok(new)
    }

    fn missing_extension<'b>(
        &'b self,
        name: &'b str,
        declared: &'b Extension,
        inside: Option<&'b Inside>,
    ) -> Missing<'b> {
        let (database, owner) = (self.names.database.as_str(), self.names.owner.as_str());
        Missing { name, declared, tenant: self.tenant, database, owner, shared: self.shared, inside }
    }

    fn requires(&self, name: &str, other: &str) -> bool {
        let available = self.shared.extensions.as_ref().and_then(|all| all.get(name));
        let version = self.tenant.applied.extensions.get(name).and_then(|declared| declared.version.as_ref());
        let version = available.and_then(|available| available.version(version));
        version.is_some_and(|version| version.requires.iter().any(|needed| needed == other))
    }

    pub(super) fn make_extension(&mut self, new: NewExtension) {
        let NewExtension { name: extension, schema, version, making } = new;
        let taking = if making == Making::Trusted { Taking::Estate } else { Taking::Login };
        let step = ContentStep::CreateExtension { extension, schema, version, making };
        self.take(step, "declared, not in the database".to_owned(), &taking);
    }

    /// Upgrades and moves what is there otherwise than declared.
    pub(super) fn change_extensions(&mut self, inside: &Inside) {
        for (name, declared) in &self.tenant.applied.extensions {
            let Some(found) = inside.extensions.get(name) else { continue };
            let changes = [self.upgrade(name, declared, found), self.movement(name, declared, found, inside)];
            for change in changes {
                match change {
                    Ok(Some((change, reason, taking))) => {
                        let extension = name.clone();
                        let step = ContentStep::ChangeExtension { extension, change, taking: taking.clone() };
                        self.take(step, reason, &taking);
                    }
                    Ok(None) => {}
                    Err(refusal) => self.plan.refusal = Some(refusal),
                }
            }
        }
    }

    fn upgrade(&self, name: &str, declared: &Extension, found: &Installed) -> Result<Option<Planned>, Refusal> {
        let Some(version) = declared.version.as_ref().filter(|version| **version != found.version) else {
            return Ok(None);
        };
        let upgrade = Upgrade { extension: name.to_owned(), from: found.version.clone(), to: version.clone() };
        let available = self.shared.extensions.as_ref().and_then(|all| all.get(name));
        if !self.observed.upgrades.contains(&upgrade) {
            let is_known = available.is_some_and(|available| available.versions.contains_key(version));
            let message =
                format!("extension `{name}` has version {}, from which no way leads to {version}", found.version);
            return Err(match available.filter(|_| !is_known) {
                Some(available) => crate::plan::extension::unknown_version(name, Some(version), available),
                None => refusal(message, format!("set its `version` to \"{}\", or leave it out", found.version)),
            });
        }
        let facts = available.and_then(|available| available.version(Some(version)));
        let trusted = facts.is_some_and(|facts| facts.trusted);
        let by_superuser = self.shared.admin().superuser.then_some(Taking::Login);
        let needs_others = facts.is_some_and(|facts| !facts.requires.is_empty());
        let (taking, apart_from) = match () {
            () if trusted => (Taking::of(self.shared, &found.owner), None),
            () if found.schema == "pg_catalog" => (by_superuser, None),
            () if found.relocatable && !needs_others => (by_superuser, Some(found.schema.clone())),
            () => (None, None),
        };
        let change = Change::Version { version: version.clone(), apart_from };
        let Some(taking) = taking else {
            let message =
                format!("extension `{name}` has version {}, and this administrator can't upgrade it", found.version);
            return Err(refusal(message, self.by_a_superuser(name, &change)));
        };
        Ok(Some((change, format!("it was {}", found.version), taking)))
    }

    fn movement(
        &self,
        name: &str,
        declared: &Extension,
        found: &Installed,
        inside: &Inside,
    ) -> Result<Option<Planned>, Refusal> {
        let Some(schema) = declared.schema.as_ref().filter(|schema| **schema != found.schema) else { return Ok(None) };
        if !found.relocatable {
            let message = format!("extension `{name}` is in schema `{}`, and can't be moved", found.schema);
            return Err(refusal(message, format!("set its `schema` to `{}`, or leave it out", found.schema)));
        }
        check_schema(name, schema, self.tenant, Some(inside))?;
        let change = Change::Schema(schema.clone());
        // What a trusted extension is made of belongs to who made the server, whoever made the extension.
        if !self.shared.admin().superuser {
            let message =
                format!("extension `{name}` is in schema `{}`, and only a superuser can move it", found.schema);
            return Err(refusal(message, self.by_a_superuser(name, &change)));
        }
        Ok(Some((change, format!("it was in {}", found.schema), Taking::Login)))
    }

    fn by_a_superuser(&self, name: &str, change: &Change) -> String {
        let statements = extension::change(name, change).join("; ");
        format!("as a superuser run in database {}: {statements}", self.names.database)
    }
}

/// What changes, why, and as whom.
type Planned = (Change, String, Taking);
