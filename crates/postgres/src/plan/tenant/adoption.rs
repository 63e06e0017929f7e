//! A database that somebody else made and that becomes a tenant's, and the login that worked with it until then.

use tenantdb_core::{Actor, Condition, Refusal, RefusalKind, Risk, Task};

use super::Planner;
use crate::notes;
use crate::observe::{Database, Foreign};
use crate::plan::{adoption, sighting};
use crate::sql::name;
use crate::step::{Adopted, DatabaseStep, PostgresStep};
use crate::{ESTATE, Taking};

/// Why anything is done about a database that is adopted.
pub(super) const ADOPTED: &str = "somebody else made it, and `adopt` is Existing";

impl Planner<'_> {
    /// What the ledger is told of a database that is to be adopted.
    pub(super) fn adopted(&self) -> Option<Adopted> {
        let found = self.database.filter(|_| self.row.is_none())?;
        let login = self.shared.roles.get(self.names.owner.as_str()).is_some_and(|role| role.login);
        Some(Adopted { oid: found.oid, from: found.owner.clone(), login })
    }

    /// Gives the database to the estate, and what its owner had to the tenant, in one go: nobody who is at work in it sees
    /// a moment without.
    pub(super) fn hand_over(&mut self) {
        let Some(found) = self.database else { return };
        let owner = self.owner();
        let mut schemas = self.of_database_owner();
        let administer = self.administer(&owner);
        let begun = found.owner == ESTATE && !(self.adopts && (administer || !schemas.is_empty()));
        if !self.is_adopted() || begun {
            return;
        }
        let Some(taking) = adoption::taking(self.shared, found, &owner) else { return };
        schemas.sort();
        let step = DatabaseStep::AdoptDatabase {
            database: self.database_name(),
            from: found.owner.clone(),
            owner,
            login: self.legacy,
            administer,
            schemas,
            taking: taking.clone(),
            options: self.shared.has_membership_options(),
        };
        let actor = if administer || taking == Taking::Login { Actor::Login } else { Actor::Estate };
        let reason =
            if found.owner == ESTATE { ADOPTED.to_owned() } else { format!("it was owned by {}", found.owner) };
        self.plan.push(Task::Engine(step.into()), reason, self.adoption_risk(), actor);
    }

    /// Whether the estate has to be let decide who joins a role that somebody else made.
    fn administer(&self, owner: &str) -> bool {
        self.shared.roles.contains_key(owner) && Taking::of_membership(self.shared, owner) == Some(Taking::Login)
    }

    /// The schemas that belong to whoever owns the database.
    fn of_database_owner(&self) -> Vec<String> {
        let schemas = self.inside.iter().flat_map(|inside| &inside.schemas);
        schemas.filter(|(_, owner)| *owner == "pg_database_owner").map(|(schema, _)| schema.clone()).collect()
    }

    /// Whether the steps so far give what was the owner's to the tenant.
    pub(super) fn is_handed_over(&self) -> bool {
        let hands_over = |step: &Task<PostgresStep>| {
            matches!(step, Task::Engine(PostgresStep::Database(DatabaseStep::AdoptDatabase { .. })))
        };
        self.plan.steps.iter().any(|step| hands_over(&step.task))
    }

    /// Whether somebody else had made its database.
    pub(super) fn is_adopted(&self) -> bool {
        self.adopts || self.row.is_some_and(|row| row.adopted)
    }

    /// Nobody else's database is touched without consent.
    pub(super) fn adoption_risk(&self) -> Risk {
        if self.adopts { Risk::Disruptive } else { Risk::Safe }
    }

    /// Who can't come in any more once a live database is closed to PUBLIC.
    pub(super) fn shut_out(&self, found: &Database) -> String {
        let shared = self.shared;
        let ours = self.own_roles();
        let keeps = |login: &String| {
            *login == shared.login
                || *login == ESTATE
                || ours.contains(login)
                || self.observed.is_tenants(login)
                || self.tenant.applied.connect_for.contains(login)
                || found.grants(login, "CONNECT")
        };
        let logins = shared.roles.iter().filter(|(login, role)| role.login && !role.superuser && !keeps(login));
        let (mut told, mut never) = (Vec::new(), 0);
        for (login, _) in logins {
            match sighting::last_seen(login, found, self.observed) {
                Some(seen) => told.push(format!("{login} ({seen})")),
                None => never += 1,
            }
        }
        let others = match (never, told.is_empty()) {
            (0, _) => None,
            (1, true) => Some("1 login, never seen in it,".to_owned()),
            (1, false) => Some("1 other, never seen in it,".to_owned()),
            (never, true) => Some(format!("{never} logins, never seen in it,")),
            (never, false) => Some(format!("{never} others, never seen in it,")),
        };
        told.extend(others);
        if told.is_empty() {
            return "every login could connect".to_owned();
        }
        let who = told.join(", ");
        let who = who.trim_end_matches(',');
        format!("every login could connect; who loses that, and keeps the sessions that are open: {who}")
    }

    /// The login that applications may still use with the password from before.
    pub(super) fn legacy_login(&mut self) {
        if !self.legacy {
            return;
        }
        let owner = self.owner();
        let Some(found) = self.database else { return };
        let seen = sighting::last_seen(&owner, found, self.observed);
        let unseen = if self.adopts { "not in it now" } else { "not seen since it was adopted" };
        let seen = seen.unwrap_or_else(|| unseen.to_owned());
        if self.tenant.applied.logins.slots().contains(&tenantdb_core::Slot::Owner) {
            self.unknown_credential(&owner, &seen);
            return;
        }
        let claim = &self.tenant.claim;
        let message = format!(
            "role {owner} still logs in with the password that it had before it was adopted ({seen}); when nothing uses \
             that any more: tenantdb rotate {} -n {} --retire",
            claim.name, claim.namespace
        );
        self.plan.conditions.push(Condition { kind: &notes::LEGACY_LOGIN, message });
    }

    /// The only login there is has a password that nobody told us.
    fn unknown_credential(&mut self, owner: &str, seen: &str) {
        let is_replaced = self.plan.steps.iter().any(|step| matches!(step.task, Task::Credential(_)));
        if is_replaced || self.plan.refusal.is_some() {
            return;
        }
        let message = format!(
            "its role `{owner}` logs in with a password that it had before it was adopted ({seen}), and that tenantdb does \
             not know: no credential was delivered"
        );
        let refusal = Refusal::new(RefusalKind::Deferral, message);
        self.plan.refusal =
            Some(refusal.hint("--reissue gives it a new password, which ends the earlier one, and delivers that"));
    }

    /// What is in its database and somebody else's; nothing of ours takes it away.
    pub(super) fn foreign_objects(&mut self) {
        let Some(inside) = self.inside.filter(|inside| !inside.foreign.is_empty()) else { return };
        let owner = name(&self.names.owner);
        let told = inside.foreign.iter().map(|((kind, whose), Foreign { count, names })| {
            let (singular, what) = (*count == 1, kind.to_lowercase());
            let objects = if singular { format!("1 {what}") } else { format!("{count} {what}s") };
            let statements: Vec<String> =
                names.iter().map(|object| format!("ALTER {kind} {object} OWNER TO {owner}")).collect();
            let rest = usize::try_from(*count).unwrap_or_default().saturating_sub(names.len());
            let more = if rest == 0 { String::new() } else { format!(", and {rest} more like that") };
            format!("{objects} of {whose} (to hand over: {}{more})", statements.join("; "))
        });
        let told: Vec<String> = told.collect();
        let message = format!("not the tenant's in its database, and left so: {}", told.join(", "));
        self.plan.conditions.push(Condition { kind: &notes::FOREIGN_OBJECTS, message });
    }
}
