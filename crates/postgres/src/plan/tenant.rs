//! What it takes to make a tenant as declared, whether nothing, a part or all of it is there.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::did_you_mean;
use tenantdb_core::names::TenantNames;
use tenantdb_core::{
    Actor, Condition, CredentialStep, PlaceView, Refusal, RefusalKind, Risk, Slot, Task, TenantChange, TenantPlan,
};
use tenantdb_credentials::{Decision, SlotState};

use super::conflict::conflict;
use super::credential::{Custody, SlotPlan, custody};
use super::{PostgresTenantPlan, Room, refused};
use crate::desired::{Desired, Tenant};
use crate::ledger::{Applied, Phase, TenantRow};
use crate::observe::{Database, Inside, Observed, Role, Setter, Shared};
use crate::ownership;
use crate::step::{self, PostgresStep};
use crate::{ESTATE, Taking};

/// Sessions beyond the tenant's own, so that the administrator always gets in.
const SPARE_SESSIONS: i32 = 3;

/// Plans for one tenant.
pub(super) fn plan(
    tenant: &Tenant,
    desired: &Desired,
    observed: &Observed,
    place: &PlaceView,
    room: &mut Room,
) -> PostgresTenantPlan {
    let row = super::row(observed, &tenant.claim);
    let names = row.and_then(TenantRow::names).unwrap_or_else(|| tenant.names.clone());
    let planned = conflict(tenant, row, &names, desired, observed).map_or(Ok(()), Err).and_then(|()| {
        if row.is_none() {
            room.take()?;
        }
        for extension in &tenant.applied.extensions {
            check_extension(extension, &observed.shared)?;
        }
        for parameter in tenant.applied.settings.keys() {
            check_parameter(parameter, &observed.shared)?;
        }
        let custody = custody(tenant, &names, row, &observed.shared, place)?;
        Ok(Planner::new(tenant, row, names.clone(), observed, place, custody).plan())
    });
    planned.unwrap_or_else(|refusal| refused(&tenant.claim, names.database.as_str(), refusal))
}

fn check_extension(name: &str, shared: &Shared) -> Result<(), Refusal> {
    let Some(extensions) = &shared.extensions else { return Ok(()) };
    match extensions.get(name) {
        Some(available) if available.trusted => Ok(()),
        Some(_) => Err(Refusal::new(
            RefusalKind::Policy,
            format!("extension `{name}` is not trusted: only a superuser can make it"),
        )
        .hint(format!("leave it out, and let a superuser run: CREATE EXTENSION {}", crate::sql::name(name)))),
        None => {
            let nearest = tenantdb_api::nearest(name, extensions.keys().map(String::as_str));
            let hint = nearest.map_or_else(
                || "install it on the server; Debian has most in postgresql-contrib".to_owned(),
                |nearest| format!("did you mean `{nearest}`? Otherwise install it on the server"),
            );
            Err(Refusal::new(RefusalKind::Policy, format!("the server has no extension `{name}`")).hint(hint))
        }
    }
}

fn check_parameter(name: &str, shared: &Shared) -> Result<(), Refusal> {
    let Some(parameters) = &shared.parameters else { return Ok(()) };
    match parameters.get(name) {
        Some(Setter::Anyone) => Ok(()),
        Some(Setter::Superuser) => Err(Refusal::new(RefusalKind::Policy, format!("only a superuser can set `{name}`"))
            .hint(format!("leave it out, and let a superuser run: ALTER DATABASE … SET {name} = …"))),
        Some(Setter::Nobody) => {
            Err(Refusal::new(RefusalKind::Policy, format!("`{name}` holds for the whole server, not for a login"))
                .hint("leave it out, and set it in the server's configuration"))
        }
        None => {
            let otherwise = "leave it out; what a library brings along can only be set by a superuser";
            let hint = did_you_mean(name, parameters.keys().map(String::as_str), otherwise);
            Err(Refusal::new(RefusalKind::Policy, format!("the server has no setting `{name}`")).hint(hint))
        }
    }
}

/// The plan of one tenant in the making.
struct Planner<'a> {
    tenant: &'a Tenant,
    row: Option<&'a TenantRow>,
    names: TenantNames,
    shared: &'a Shared,
    observed: &'a Observed,
    place: &'a PlaceView,
    database: Option<&'a Database>,
    inside: Option<&'a Inside>,
    custody: Custody,
    before: Applied,
    plan: PostgresTenantPlan,
}

impl<'a> Planner<'a> {
    fn new(
        tenant: &'a Tenant,
        row: Option<&'a TenantRow>,
        names: TenantNames,
        observed: &'a Observed,
        place: &'a PlaceView,
        custody: Custody,
    ) -> Self {
        let database = observed.shared.databases.get(names.database.as_str());
        let delivery = place.deliveries.get(&tenant.claim).cloned();
        let plan = TenantPlan { delivery, ..super::empty(&tenant.claim, names.database.as_str()) };
        Self {
            tenant,
            row,
            shared: &observed.shared,
            observed,
            place,
            database: database.filter(|database| !database.invalid()),
            inside: observed.inside.get(names.database.as_str()),
            custody,
            before: row.map(|row| row.applied.clone()).unwrap_or_default(),
            names,
            plan,
        }
    }

    fn plan(mut self) -> PostgresTenantPlan {
        self.claim();
        self.database();
        self.take_credential();
        self.roles();
        self.isolation();
        self.attributes();
        self.open();
        self.inside();
        self.deliver_credential();
        self.settle();
        self.strangers();
        self.plan.change = match (self.plan.steps.is_empty(), self.database.is_none() && self.row.is_none()) {
            (true, _) if self.plan.refusal.is_some() => TenantChange::Refused,
            (true, _) => TenantChange::Unchanged,
            (false, true) => TenantChange::Create,
            (false, false) => TenantChange::Update,
        };
        self.plan
    }

    fn push(&mut self, step: PostgresStep, reason: impl Into<String>) {
        self.plan.push(Task::Engine(step), reason, Risk::Safe, Actor::Estate);
    }

    /// Adds a step that takes what another role owns.
    fn take(&mut self, step: PostgresStep, reason: String, taking: &Taking) {
        let actor = if *taking == Taking::AsLogin { Actor::Login } else { Actor::Estate };
        self.plan.push(Task::Engine(step), reason, Risk::Safe, actor);
    }

    fn credential(&mut self, step: CredentialStep, reason: impl Into<String>) {
        self.plan.push(Task::Credential(step), reason, Risk::Safe, Actor::Place);
    }

    /// Why something is made that is not there.
    fn missing(&self) -> &'static str {
        match self.row.map(|row| row.phase) {
            None => "declared, not on the server",
            Some(Phase::Claimed) => "begun, not finished",
            Some(Phase::Provisioned) => "gone from the server",
            Some(Phase::Deleting) => "declared again while it was being deleted",
            Some(Phase::Orphaned) => "declared again",
        }
    }

    fn database_name(&self) -> String {
        self.names.database.to_string()
    }

    fn owner(&self) -> String {
        self.names.owner.to_string()
    }

    fn claim(&mut self) {
        if self.row.is_some() {
            return;
        }
        let slots: BTreeMap<Slot, String> =
            self.custody.slots.iter().map(|(slot, plan)| (*slot, plan.role.clone())).collect();
        let used: BTreeSet<String> = slots.values().cloned().chain([self.owner()]).collect();
        let reserved = self.names.roles().into_iter().filter(|role| !used.contains(role)).collect();
        let (database, owner, applied) = (self.database_name(), self.owner(), self.tenant.applied.clone());
        self.push(PostgresStep::Claim { database, owner, slots, reserved, applied }, "declared, not in the ledger");
    }

    fn database(&mut self) {
        let database = self.database_name();
        let Some(found) = self.database else {
            if self.shared.databases.contains_key(&database) {
                self.push(
                    PostgresStep::DropDatabase { database: database.clone() },
                    "its deletion was interrupted, and nothing is left in it",
                );
            }
            let limit = self.database_limit();
            let missing = self.missing();
            if self.row.is_some_and(|row| row.database_oid.is_some()) {
                // Else, after a crash, the new one would be taken for somebody else's, or for finished.
                self.push(PostgresStep::ForgetDatabase { database: database.clone() }, missing);
            }
            self.push(PostgresStep::CreateDatabase { database, limit }, missing);
            return;
        };
        if found.owner != ESTATE {
            let reason = format!("it was owned by {}", found.owner);
            if let Some(taking) = Taking::of(self.shared, &found.owner) {
                self.take(PostgresStep::OwnDatabase { database, taking: taking.clone() }, reason, &taking);
            }
        }
    }

    /// The ceiling over all logins.
    fn database_limit(&self) -> Option<i32> {
        let logins = self.custody.slots.values().filter(|slot| slot.logs_in).count().max(1);
        let logins = i32::try_from(logins).unwrap_or(1);
        self.tenant.applied.connection_limit.map(|limit| limit.saturating_mul(logins).saturating_add(SPARE_SESSIONS))
    }

    fn take_credential(&mut self) {
        match self.custody.decision.clone() {
            Decision::Issue { slot, generation, version, reason, .. } => {
                let username = self.names.slot(slot);
                self.credential(CredentialStep::Fence { username, generation, version }, reason);
            }
            Decision::Repair { version, .. }
            | Decision::Republish { version, .. }
            | Decision::Confirm { version, .. } => {
                self.credential(CredentialStep::Reuse { version }, "it was delivered");
            }
            Decision::Keep | Decision::Elsewhere { .. } | Decision::Refuse(_) => {}
        }
    }

    fn roles(&mut self) {
        let owner = self.owner();
        match self.shared.roles.get(&owner) {
            None => {
                let missing = self.missing();
                self.push(PostgresStep::CreateOwner { owner }, missing);
            }
            Some(role) if role.login => {
                self.push(PostgresStep::DisableLogin { role: owner }, "the tenant's role could log in");
            }
            Some(_) => {}
        }
        let slots = std::mem::take(&mut self.custody.slots);
        for slot in slots.values() {
            self.slot(slot);
        }
        self.custody.slots = slots;
    }

    fn slot(&mut self, slot: &SlotPlan) {
        let issued = match &self.custody.decision {
            Decision::Issue { generation, .. } if slot.set => Some((SlotState::Issuing, *generation)),
            Decision::Repair { generation, .. } if slot.set => Some((SlotState::Active, *generation)),
            _ => None,
        };
        match self.shared.roles.get(&slot.role) {
            None => {
                let missing = self.missing_slot(slot);
                let step = PostgresStep::CreateSlot {
                    role: slot.role.clone(),
                    owner: self.owner(),
                    database: self.database_name(),
                    login: slot.set,
                    limit: self.tenant.applied.connection_limit,
                    settings: self.tenant.applied.settings.clone(),
                };
                self.push(step, missing);
            }
            Some(role) => self.heal_slot(slot, role),
        }
        // A place that this run does not read may still name it: whoever reads that one repairs it.
        let elsewhere = matches!(self.custody.decision, Decision::Elsewhere { .. });
        let dead = slot.state != SlotState::Retired && !slot.logs_in && !elsewhere;
        if let Some((state, generation)) = issued {
            let (slot, role) = (slot.slot, slot.role.clone());
            let step = PostgresStep::RecordSlot { slot, role, state, generation: Some(generation) };
            self.push(step, "its login is set");
        } else if dead {
            let (slot, role) = (slot.slot, slot.role.clone());
            let step = PostgresStep::RecordSlot { slot, role, state: SlotState::Retired, generation: None };
            self.push(step, "its login was taken away");
        }
    }

    /// Why a login is made; a third one only when neither of the pair is free.
    fn missing_slot(&self, slot: &SlotPlan) -> String {
        match (&self.custody.decision, self.row) {
            (Decision::Issue { reason, .. }, Some(row)) if !row.slots.contains_key(&slot.slot) => {
                format!("a new credential: {reason}, and no other login is free")
            }
            _ => self.missing().to_owned(),
        }
    }

    fn heal_slot(&mut self, slot: &SlotPlan, role: &Role) {
        let name = slot.role.clone();
        if slot.set {
            let reason = match &self.custody.decision {
                Decision::Issue { reason, .. } => format!("a new credential: {reason}"),
                Decision::Repair { reason, .. } => (*reason).to_owned(),
                _ => "its login is set".to_owned(),
            };
            self.push(PostgresStep::EnableLogin { role: name.clone() }, reason);
        } else if role.login && !slot.logs_in {
            self.push(PostgresStep::DisableLogin { role: name.clone() }, "it could log in, and holds no credential");
        }
        if role.expires {
            self.push(PostgresStep::LiftExpiry { role: name.clone() }, "its password was made to expire");
        }
        if role.inherit {
            self.push(PostgresStep::DisableInherit { role: name.clone() }, "it was INHERIT");
        }
        if !role.member_of.contains(self.names.owner.as_str()) {
            let owner = self.owner();
            let options = self.shared.has_membership_options();
            self.push(PostgresStep::GrantMembership { role: name.clone(), owner, options }, "it was no member");
        }
        self.settings(&name, role);
        let limit = self.tenant.applied.connection_limit;
        let declared = limit.is_some() || self.before.connection_limit.is_some();
        if declared && role.connection_limit != limit.unwrap_or(-1) {
            let reason = format!("it was {}", shown_limit(role.connection_limit));
            self.push(PostgresStep::LimitRole { role: name, limit }, reason);
        }
    }

    /// A slot belongs wholly to tenantdb: what is set on it and not declared is drift.
    fn settings(&mut self, name: &str, role: &Role) {
        let database = self.database_name();
        let mut wanted: BTreeMap<(Option<String>, String), String> =
            BTreeMap::from([((None, "role".to_owned()), self.owner())]);
        for (parameter, value) in &self.tenant.applied.settings {
            wanted.insert((Some(database.clone()), parameter.clone()), value.clone());
        }
        // What was set in a database that is gone, or about to be, went with it.
        let lasting = |scope: &Option<String>| self.database.is_some() || scope.as_ref() != Some(&database);
        let found: BTreeMap<_, _> = role.settings.iter().filter(|((scope, _), _)| lasting(scope)).collect();
        for (setting, value) in &found {
            let (database, parameter) = setting;
            if !wanted.contains_key(setting) {
                let setting = (database.clone(), parameter.clone());
                self.reset(name, setting, value);
            }
        }
        for (setting, value) in wanted {
            let reason = match found.get(&setting) {
                Some(found) if **found == value => continue,
                Some(found) => format!("it was {found}"),
                None => "it was unset".to_owned(),
            };
            let (database, parameter) = setting;
            self.push(PostgresStep::Set { role: name.to_owned(), database, parameter, value }, reason);
        }
    }

    fn reset(&mut self, role: &str, (database, parameter): (Option<String>, String), value: &str) {
        let Some(taking) = Taking::of_parameter(self.shared, &parameter) else {
            let statement = step::reset(role, database.as_deref(), &parameter);
            let message =
                format!("login {role}: {parameter} is {value}, which is not declared; as a superuser run: {statement}");
            self.plan.conditions.push(Condition { kind: "SettingStays", message });
            return;
        };
        let step = PostgresStep::Reset { role: role.to_owned(), database, parameter, taking: taking.clone() };
        self.take(step, format!("it was {value}, which is not declared"), &taking);
    }

    fn isolation(&mut self) {
        let database = self.database_name();
        let logins: Vec<String> = self.custody.slots.values().map(|slot| slot.role.clone()).collect();
        let owner = self.owner();
        let (public, connect, create) = match self.database {
            None => (true, logins, Some(owner)),
            Some(found) => {
                let shut_out = |login: &String| {
                    !found.grants(login, "CONNECT")
                        || !found.grants(login, "TEMPORARY")
                        || !self.shared.roles.contains_key(login)
                };
                let estate = found.owner_shut_out.then(|| ESTATE.to_owned());
                let connect = logins.into_iter().filter(shut_out).chain(estate).collect();
                let create = !found.grants(&owner, "CREATE");
                (found.open_to_public(), connect, create.then_some(owner))
            }
        };
        if !public && connect.is_empty() && create.is_none() {
            return;
        }
        let only_new = create.is_none() && !connect.iter().any(|login| self.shared.roles.contains_key(login));
        let reason = match (self.database, public) {
            (Some(found), true) if found.allows_connections => "every login could connect",
            (Some(found), false) if found.allows_connections && only_new => "for the new login",
            (Some(found), false) if found.allows_connections => "a privilege was taken away",
            _ => self.missing(),
        };
        self.push(PostgresStep::Isolate { database, public, connect, create }, reason);
    }

    fn attributes(&mut self) {
        let database = self.database_name();
        if let Some(found) = self.database {
            let declared = self.tenant.applied.connection_limit.is_some() || self.before.connection_limit.is_some();
            let limit = self.database_limit();
            if declared && found.connection_limit != limit.unwrap_or(-1) {
                let reason = format!("it was {}", shown_limit(found.connection_limit));
                self.push(PostgresStep::LimitDatabase { database: database.clone(), limit }, reason);
            }
        }
        let comment = self.tenant.applied.comment.clone();
        let found = self.database.and_then(|found| found.comment.clone());
        let declared = comment.is_some() || self.before.comment.is_some();
        if declared && comment != found {
            let reason = match found {
                Some(found) => format!("it was {found:?}"),
                None if self.before.comment.is_some() => "it was removed".to_owned(),
                None => "declared".to_owned(),
            };
            self.push(PostgresStep::Comment { database, comment }, reason);
        }
    }

    fn open(&mut self) {
        let database = self.database_name();
        let known = self.row.and_then(|row| row.database_oid);
        if self.database.is_none() || self.database.map(|found| found.oid) != known {
            let missing = self.missing();
            self.push(PostgresStep::RecordDatabase { database: database.clone() }, missing);
        }
        match self.database {
            Some(found) if found.allows_connections => {}
            Some(_) if self.row.is_some_and(|row| row.phase == Phase::Provisioned) => {
                self.push(PostgresStep::OpenDatabase { database, drifted: true }, "it accepted no connections");
            }
            _ => {
                let missing = self.missing();
                self.push(PostgresStep::OpenDatabase { database, drifted: false }, missing);
            }
        }
    }

    fn inside(&mut self) {
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
        let schemas = std::iter::once("public".to_owned()).chain(self.tenant.applied.schemas.clone());
        for schema in schemas {
            let owner = owner.clone();
            match inside.schemas.get(&schema) {
                Some(found) if *found == owner => {}
                Some(found) if schema == "public" && self.public_stays(found) => self.public_is_shared(),
                Some(found) => self.own_schema(schema, found),
                None if unseen && schema == "public" => match Taking::of_new_public(self.shared) {
                    Some(taking) => {
                        let step = PostgresStep::OwnSchema { schema, owner, taking: taking.clone() };
                        self.take(step, missing.to_owned(), &taking);
                    }
                    None => self.public_is_shared(),
                },
                None => self.push(PostgresStep::CreateSchema { schema, owner }, "declared, not in the database"),
            }
        }
        for extension in self.tenant.applied.extensions.difference(&inside.extensions) {
            let fixed = self
                .shared
                .extensions
                .as_ref()
                .and_then(|all| all.get(extension))
                .and_then(|available| available.schema.clone());
            let schema = fixed.unwrap_or_else(|| "public".to_owned());
            let step = PostgresStep::CreateExtension { extension: extension.clone(), schema };
            self.plan.push(Task::Engine(step), "declared, not in the database", Risk::Safe, Actor::Estate);
        }
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
        self.plan.conditions.push(Condition { kind: "PublicSchemaShared", message });
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
        self.take(PostgresStep::OwnSchema { schema, owner, taking: taking.clone() }, reason, &taking);
    }

    fn deliver_credential(&mut self) {
        let location = self.place.locations.get(&self.tenant.claim).cloned().unwrap_or_default();
        let (slot, generation, reason, probe, publish) = match self.custody.decision.clone() {
            Decision::Keep | Decision::Refuse(_) => return,
            Decision::Elsewhere { location } => return self.elsewhere(&location),
            Decision::Issue { slot, generation, reason, replaces, .. } => {
                (slot, generation, reason, true, Some(replaces))
            }
            Decision::Repair { slot, generation, reason, republish, .. } => {
                (slot, generation, reason, true, republish.then_some(true))
            }
            Decision::Republish { slot, generation, .. } => {
                (slot, generation, "its keys or its address changed", false, Some(true))
            }
            Decision::Confirm { slot, generation, republish, .. } => {
                (slot, generation, "delivered, not in the ledger", true, republish.then_some(true))
            }
        };
        if probe {
            self.credential(CredentialStep::Probe, reason);
        }
        if let Some(replaces) = publish {
            let location = location.clone();
            self.credential(CredentialStep::Publish { generation, location, replaces }, reason);
        }
        let step = PostgresStep::RecordDelivery {
            role: self.names.slot(slot).to_string(),
            place: self.place.id.clone(),
            location,
            secret_name: self.tenant.secret_name.to_string(),
            generation,
        };
        self.push(step, reason);
        // The login that the new one replaces keeps working: applications may still use it.
        let earlier: Vec<(Slot, String)> = self
            .custody
            .slots
            .iter()
            .filter(|(other, plan)| **other != slot && plan.state == SlotState::Active && plan.logs_in)
            .map(|(slot, plan)| (*slot, plan.role.clone()))
            .collect();
        for (slot, role) in earlier {
            let step = PostgresStep::RecordSlot { slot, role, state: SlotState::Draining, generation: None };
            self.push(step, "replaced");
        }
    }

    fn elsewhere(&mut self, location: &str) {
        let works = self.custody.slots.values().any(|slot| slot.logs_in);
        let (kind, message) = if works {
            ("CredentialElsewhere", format!("its credential was delivered to {location}; this run leaves it alone"))
        } else {
            (
                "LoginLost",
                format!(
                    "its login was taken away, and its credential is in {location}: apply it from there to repair it"
                ),
            )
        };
        self.plan.conditions.push(Condition { kind, message });
    }

    fn settle(&mut self) {
        if self.observed.unseen.contains_key(self.names.database.as_str()) {
            return;
        }
        let phase = self.row.map(|row| row.phase);
        let as_before = phase == Some(Phase::Provisioned) && self.before == self.tenant.applied;
        if as_before && self.plan.steps.is_empty() {
            return;
        }
        let (from, to) = (self.before.policies(), self.tenant.applied.policies());
        let policies = (self.row.is_some() && from != to).then_some((from.clone(), to));
        let returns = phase == Some(Phase::Orphaned);
        let reason = match (&policies, returns) {
            (_, true) => "declared again".to_owned(),
            (Some(_), _) => format!("they were: {from}"),
            (None, _) => "applied".to_owned(),
        };
        let action = if self.row.is_none() { "create" } else { "update" };
        let step = PostgresStep::Settle { applied: self.tenant.applied.clone(), policies, returns, action };
        self.push(step, reason);
    }

    /// Whoever came in while PUBLIC could connect is still inside, also when it was shut out since.
    fn strangers(&mut self) {
        let Some(found) = self.database else { return };
        let strangers = self.observed.strangers(found, &self.tenant.claim);
        if strangers.is_empty() {
            return;
        }
        let step = PostgresStep::EndSessions {
            database: self.database_name(),
            own: Vec::new(),
            strangers,
            options: self.shared.has_membership_options(),
        };
        self.plan.push(Task::Engine(step), "they came in while every login could", Risk::Disruptive, Actor::Estate);
    }
}

fn shown_limit(limit: i32) -> String {
    if limit < 0 { "unlimited".to_owned() } else { limit.to_string() }
}
