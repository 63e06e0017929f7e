//! What is inside a tenant's database: schemas and extensions.

use std::collections::BTreeSet;

use tenantdb_core::{Condition, Phase, Refusal, RefusalKind};

use super::Planner;
use super::extensions::NewExtension;
use crate::Taking;
use crate::notes;
use crate::observe::Inside;
use crate::ownership;
use crate::step::ContentStep;

impl Planner<'_> {
    pub(super) fn inside(&mut self) {
        if let Some(why) = self.observed.unseen.get(self.names.database.as_str()) {
            let message = format!("it could not be looked into: {why}");
            let hint = "see why the administrator is kept out, and run it again with --refresh";
            self.plan.refusal = Some(Refusal::new(RefusalKind::Deferral, message).hint(hint));
            return;
        }
        // A database that is being made could not be looked into: all of it may be missing. One that was finished
        // and somebody closed is looked into when it is open again.
        let finished = self.row.is_some_and(|row| row.phase == Phase::Provisioned);
        let unseen = !self.database.is_some_and(|found| found.allows_connections || finished);
        if !unseen && self.inside.is_none() {
            return;
        }
        let nothing = Inside::default();
        let inside = self.inside.unwrap_or(&nothing);
        let owner = self.owner();
        let missing = self.missing();
        let new_extensions = match self.new_extensions(self.inside.filter(|_| !unseen)) {
            Ok(new) => new,
            Err(refusal) => {
                self.plan.refusal = Some(refusal);
                Vec::new()
            }
        };
        let (first, later): (Vec<_>, Vec<_>) = new_extensions.into_iter().partition(NewExtension::comes_first);
        let made: BTreeSet<String> =
            first.iter().filter(|new| new.makes_schema()).map(|new| new.schema.clone()).collect();
        for new in first {
            self.make_extension(new);
        }
        let schemas = std::iter::once("public".to_owned()).chain(self.tenant.applied.schemas.clone());
        for schema in schemas.filter(|schema| !made.contains(schema)) {
            let owner = owner.clone();
            match inside.schemas.get(&schema) {
                Some(found) if *found == owner => {}
                Some(found) if found == "pg_database_owner" && self.is_handed_over() => {}
                Some(found) if schema == "public" && self.public_stays(found) => self.public_is_shared(),
                Some(found) => self.own_schema(schema, found),
                None if unseen && schema == "public" => match Taking::of_new_public(self.shared) {
                    Some(taking) => {
                        let step = ContentStep::OwnSchema { schema, owner, taking: taking.clone() };
                        self.take(step, missing.to_owned(), &taking);
                    }
                    None => self.public_is_shared(),
                },
                None => self.push(ContentStep::CreateSchema { schema, owner }, "declared, not in the database"),
            }
        }
        for new in later {
            self.make_extension(new);
        }
        self.change_extensions(inside);
    }

    /// Whether a superuser's `public` has to stay as it was made.
    fn public_stays(&self, found: &str) -> bool {
        Taking::of_new_public(self.shared).is_none() && self.shared.roles.get(found).is_some_and(|role| role.superuser)
    }

    fn public_is_shared(&mut self) {
        let message = format!(
            "schema public of database {} stays a superuser's: before PostgreSQL 15 only a superuser can give it away",
            self.names.database
        );
        self.plan.conditions.push(Condition { kind: &notes::PUBLIC_SCHEMA_SHARED, message });
    }

    fn own_schema(&mut self, schema: String, found: &str) {
        let owner = self.owner();
        let Some(taking) = Taking::of(self.shared, found) else {
            let statement = format!("ALTER SCHEMA {} OWNER TO {}", crate::sql::name(&schema), crate::sql::name(&owner));
            self.plan.refusal = Some(ownership::out_of_reach(&format!("schema `{schema}`"), found, &statement));
            return;
        };
        let fresh = found == "pg_database_owner" && self.row.is_none_or(|row| row.phase != Phase::Provisioned);
        let reason = if fresh { self.missing().to_owned() } else { format!("it was owned by {found}") };
        self.take(ContentStep::OwnSchema { schema, owner, taking: taking.clone() }, reason, &taking);
    }
}
