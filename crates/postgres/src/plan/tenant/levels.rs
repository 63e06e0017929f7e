//! The roles that carry what others may do in a tenant's database, and who is a member of them.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::tenant_database::Reconcile;
use tenantdb_core::{Actor, Claim, Condition, Phase, Refusal, RefusalKind, Risk, Task};

use super::Planner;
use crate::access::{self, Level};
use crate::extension::Making;
use crate::notes;
use crate::observe::{Privileges, Tie};
use crate::plan::departure;
use crate::step::{ContentStep, LevelStep, LoginStep, PostgresStep, RoleStep};
use crate::{ESTATE, Taking};

impl Planner<'_> {
    /// Makes those that are missing.
    pub(super) fn levels(&mut self) {
        for role in self.wanted_levels().into_keys() {
            let Some(found) = self.shared.roles.get(&role) else {
                self.push(LevelStep::CreateLevel { role }, "declared in `access`");
                continue;
            };
            if found.login {
                let reason = "it could log in, and only carries privileges";
                self.push(LoginStep::DisableLogin { role: role.clone() }, reason);
            }
            self.powers(&role);
        }
    }

    /// Who is a member of which: from one to the other in one transaction, so that nobody is without for a moment. A
    /// role that is not there yet joins when it is made.
    pub(super) fn level_members(&mut self) {
        let options = self.shared.has_membership_options();
        let let_in = self.let_in.clone();
        for (member, role) in &let_in {
            let Some(found) = self.shared.roles.get(member) else { continue };
            if !found.inherits.contains(role) {
                let (role, member) = (role.clone(), member.clone());
                let step = RoleStep::JoinRole { role, member, options, taking: Taking::Estate };
                self.push(step, "declared in `access`");
            }
        }
        for role in self.all_levels() {
            let found = self.shared.roles.get(&role).into_iter().flat_map(|found| &found.members);
            let others = found.filter(|member| *member != ESTATE && let_in.get(*member) != Some(&role));
            let others = others.filter(|member| !self.leaves_by_itself(member));
            let others: Vec<String> = others.cloned().collect();
            for member in others {
                self.expel_from_level(&member, &role);
            }
        }
    }

    /// Whether a member is the role of a database that is planned in the same run, and so leaves by its own plan.
    fn leaves_by_itself(&self, member: &str) -> bool {
        let holder = self.observed.ledger.as_ref().and_then(|ledger| ledger.roles.get(member));
        let is_planned = |claim: &Claim| {
            let tenant = self.databases.and_then(|databases| databases.get(claim));
            tenant.is_some_and(|tenant| tenant.reconcile == Reconcile::Full)
        };
        holder.is_some_and(|holder| *holder != self.tenant.claim && is_planned(holder))
    }

    fn expel_from_level(&mut self, member: &str, role: &str) {
        let risk = if self.observed.is_tenants(member) { Risk::Safe } else { Risk::Disruptive };
        let granted = self.shared.roles.get(member).into_iter().flat_map(|found| &found.granted);
        for granted in granted.filter(|granted| granted.role == role) {
            let grantor = self.shared.has_membership_options().then(|| granted.grantor.clone());
            let Some(taking) = Taking::of_granted(self.shared, granted) else { continue };
            let actor = if taking == Taking::Login { Actor::Login } else { Actor::Estate };
            let (role, member) = (role.to_owned(), member.to_owned());
            let step = RoleStep::LeaveRole { role, member, grantor, taking };
            self.plan.push(Task::Engine(step.into()), "nothing in `access` says so", risk, actor);
        }
    }

    /// Those that are declared, and those that were.
    pub(super) fn all_levels(&self) -> BTreeSet<String> {
        let before = self.row.map(|row| row.levels.clone()).unwrap_or_default();
        self.wanted_levels().into_keys().chain(before).collect()
    }

    /// Gives them their privileges, inside the database.
    pub(super) fn grant_levels(&mut self) {
        let wanted = self.wanted_levels();
        if wanted.is_empty() || self.plan.refusal.is_some() {
            return;
        }
        let finished = self.row.is_some_and(|row| row.phase == Phase::Provisioned);
        let unseen = !self.database.is_some_and(|found| found.allows_connections || finished);
        if !unseen && self.inside.is_none() {
            return;
        }
        for (role, level) in wanted {
            let missing = !self.shared.roles.contains_key(&role);
            let held = self.inside.and_then(|inside| inside.levels.get(&role).copied());
            let held = held.unwrap_or(Privileges::MISSING);
            if held.owns {
                self.level_owns(&role);
            }
            let lacks = held.lacks || self.takes_schema_of(&level);
            let reason = match (Privileges { lacks, ..held }) {
                Privileges { exceeds: true, owns: true, .. } => continue,
                Privileges { exceeds: true, .. } => "it had other privileges",
                Privileges { lacks: true, .. } if missing => "declared in `access`",
                Privileges { lacks: true, .. } => "it lacked some of them",
                Privileges { .. } => continue,
            };
            let (owner, options) = (self.owner(), self.shared.has_membership_options());
            self.push(LevelStep::GrantLevel { role, owner, level, anew: held.exceeds, options }, reason);
        }
    }

    /// Whether a schema becomes the tenant's by this plan, on which the level has nothing yet: one that is made falls
    /// under the default privileges of a level on all schemas only, one that was another's under none.
    fn takes_schema_of(&self, level: &Level) -> bool {
        let is_of =
            |schema: &String, on_all: bool| (on_all && level.schemas.is_empty()) || level.schemas.contains(schema);
        self.plan.steps.iter().any(|step| match &step.task {
            Task::Engine(PostgresStep::Content(ContentStep::OwnSchema { schema, .. })) => is_of(schema, true),
            Task::Engine(PostgresStep::Content(
                ContentStep::CreateSchema { schema, .. }
                | ContentStep::CreateExtension { schema, making: Making::New { .. }, .. },
            )) => is_of(schema, false),
            _ => false,
        })
    }

    /// What it owns stays: handed to the tenant, a function of it would run as the tenant.
    fn level_owns(&mut self, role: &str) {
        let (role_name, owner) = (crate::sql::name(role), crate::sql::name(&self.names.owner));
        let message = format!(
            "{role} owns something in database {}, which should be {}'s; once you know what, as a superuser run there: \
             REASSIGN OWNED BY {role_name} TO {owner}",
            self.names.database, self.names.owner
        );
        self.plan.conditions.push(Condition { kind: &notes::OWNED_BY_OTHERS, message });
    }

    /// Why nobody else can be let into this database, or not where the declaration says.
    pub(super) fn no_levels_here(&self) -> Option<Refusal> {
        let wanted = self.wanted_levels();
        if wanted.is_empty() || (self.database.is_some() && self.inside.is_none()) {
            return None;
        }
        let public_is_open = match self.inside {
            Some(inside) => inside.public_is_open,
            None => (1..15).contains(&self.shared.version),
        };
        if public_is_open {
            let message = "before PostgreSQL 15 every login may make things in schema public, read-only ones too";
            let database = crate::sql::name(&self.names.database);
            let hint = format!(
                "leave `access` out, or run in database {database}: REVOKE CREATE ON SCHEMA public FROM PUBLIC"
            );
            return Some(Refusal::new(RefusalKind::Policy, message).hint(hint));
        }
        let is_there = |schema: &String| {
            schema == "public"
                || self.tenant.applied.schemas.contains(schema)
                || self.inside.is_some_and(|inside| inside.schemas.contains_key(schema))
        };
        let missing = wanted.values().flat_map(|level| &level.schemas).find(|schema| !is_there(schema))?;
        let message = format!("`access` speaks of schema `{missing}`, which is not in the database");
        Some(Refusal::new(RefusalKind::Policy, message).hint("list it in `schemas`, so that it is made"))
    }

    /// Removes those that nothing in `access` needs any more.
    pub(super) fn drop_levels(&mut self) {
        let Some(row) = self.row else { return };
        let wanted = self.wanted_levels();
        let unneeded = row.levels.iter().filter(|role| !wanted.contains_key(*role));
        let (roles, stuck): (Vec<&String>, Vec<&String>) = unneeded.partition(|role| self.can_go(role));
        for role in stuck {
            self.level_stays(role);
        }
        let roles: Vec<String> = roles.into_iter().cloned().collect();
        if roles.is_empty() {
            return;
        }
        let reason = "nothing in `access` needs it any more";
        let there: Vec<String> = roles.iter().filter(|role| self.shared.roles.contains_key(*role)).cloned().collect();
        if !there.is_empty() && self.database.is_some() {
            let (owner, options) = (self.owner(), self.shared.has_membership_options());
            self.push(LevelStep::EmptyLevels { roles: there.clone(), owner, options }, reason);
        }
        for step in departure::untie(&there, row, self.observed) {
            let risk = if matches!(step, PostgresStep::Session(_)) { Risk::Disruptive } else { Risk::Safe };
            self.plan.push(Task::Engine(step), reason, risk, Actor::Estate);
        }
        self.push(LevelStep::DropLevels { roles }, reason);
    }

    /// Whether a level can be dropped: what it owns would go with it.
    fn can_go(&self, role: &str) -> bool {
        let Some(row) = self.row else { return true };
        let here = self.observed.ties.get(&row.database).and_then(|ties| ties.get(role));
        here != Some(&Tie::Owner) && departure::stuck(role, row, self.observed).is_none()
    }

    /// Nobody is a member of it any more, so that it does no harm.
    fn level_stays(&mut self, role: &str) {
        let Some((database, _)) = self.row.and_then(|row| departure::stuck(role, row, self.observed)) else {
            return self.level_owns(role);
        };
        let message = format!(
            "nothing in `access` needs {role} any more, and it is named in database {database}, which is no tenant's; as \
             a superuser run there: DROP OWNED BY {}",
            crate::sql::name(role)
        );
        self.plan.conditions.push(Condition { kind: &notes::LEVEL_STAYS, message });
    }

    fn wanted_levels(&self) -> BTreeMap<String, Level> {
        access::levels(self.names.owner.as_str(), &self.tenant.applied.access)
    }
}
