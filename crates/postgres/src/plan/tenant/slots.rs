//! A tenant's role and its login slots.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_core::{Actor, Condition, Risk, Slot, Task};
use tenantdb_credentials::{Decision, SlotState};

use super::{Planner, shown_limit};
use crate::access;
use crate::ledger::TenantRow;
use crate::notes;
use crate::observe::{Granted, Role, Tie};
use crate::plan::credential::SlotPlan;
use crate::step::{self, ContentStep, LedgerStep, LoginStep, Proof, RoleStep};
use crate::{Membership, Taking};

impl Planner<'_> {
    pub(super) fn roles(&mut self) {
        if !self.custody.slots.contains_key(&Slot::Owner) {
            self.owner_without_login();
        }
        let slots = std::mem::take(&mut self.custody.slots);
        for slot in slots.values() {
            self.slot(slot);
        }
        self.custody.slots = slots;
    }

    fn owner_without_login(&mut self) {
        let owner = self.owner();
        match self.shared.roles.get(&owner) {
            None => {
                let missing = self.missing();
                let tenant = !self.tenant.is_account();
                self.push(RoleStep::CreateOwner { owner: owner.clone(), tenant }, missing);
            }
            Some(role) if role.login && !self.legacy => {
                self.push(LoginStep::DisableLogin { role: owner.clone() }, "the tenant's role could log in");
            }
            Some(role) if !role.login => self.retired_by_hand(),
            Some(_) => {}
        }
        self.powers(&owner);
    }

    /// Somebody else took the earlier login away.
    fn retired_by_hand(&mut self) {
        if let Some(role) = self.row.and_then(TenantRow::legacy_login) {
            let (slot, role, state) = (Slot::Owner, role.clone(), SlotState::Retired);
            let step = LedgerStep::RecordSlot { slot, role, state, generation: None, place: None };
            self.push(step, "its login was taken away");
        }
    }

    /// What a role of a tenant may do beyond its privileges is not its own.
    pub(super) fn powers(&mut self, name: &str) {
        let Some(role) = self.shared.roles.get(name) else { return };
        let powers = role.powers();
        if let (false, Some(taking)) = (powers.is_empty(), Taking::of_powers(self.shared, role)) {
            let reason = format!("it was {}", powers.join(" "));
            let step = RoleStep::TakePowers { role: name.to_owned(), powers, taking: taking.clone() };
            self.take(step, reason, &taking);
        }
    }

    /// The tenant's role and its slots.
    pub(super) fn own_roles(&self) -> BTreeSet<String> {
        let slots = self.custody.slots.values().map(|slot| slot.role.clone());
        let levels = access::levels(self.names.owner.as_str(), &self.tenant.applied.access).into_keys();
        slots.chain(levels).chain([self.owner()]).collect()
    }

    fn slot(&mut self, slot: &SlotPlan) {
        let issued = match &self.custody.decision {
            Decision::Issue { generation, .. } if slot.set => {
                Some((SlotState::Issuing, *generation, "its login is set"))
            }
            Decision::Repair { generation, .. } if slot.set => {
                Some((SlotState::Active, *generation, "its login is set"))
            }
            Decision::Confirm { generation, .. } if slot.found => Some((SlotState::Active, *generation, "it logs in")),
            _ => None,
        };
        match self.shared.roles.get(&slot.role) {
            None => {
                let missing = self.missing_slot(slot);
                let step = self.new_slot(slot);
                self.push(step, missing);
            }
            Some(role) => self.heal_slot(slot, role),
        }
        // A place that this run does not read may still name it: whoever reads that one repairs it.
        let elsewhere = matches!(self.custody.decision, Decision::Elsewhere { .. });
        let dead = slot.state != SlotState::Retired && !slot.logs_in && !elsewhere;
        if let Some((state, generation, reason)) = issued {
            let (slot, role) = (slot.slot, slot.role.clone());
            let place = (state == SlotState::Issuing).then(|| self.place.id.clone());
            let step = LedgerStep::RecordSlot { slot, role, state, generation: Some(generation), place };
            self.push(step, reason);
        } else if dead {
            let (slot, role) = (slot.slot, slot.role.clone());
            let step = LedgerStep::RecordSlot { slot, role, state: SlotState::Retired, generation: None, place: None };
            self.push(step, "its login was taken away");
        }
    }

    fn new_slot(&self, slot: &SlotPlan) -> LoginStep {
        let (owner, database, how) = (self.owner(), self.settings_scope(), self.acting());
        let limit = self.tenant.applied.connection_limit;
        let settings = self.tenant.applied.settings.clone();
        if slot.slot == Slot::Owner {
            let login = slot.set.then(|| self.proof());
            LoginStep::CreateOwnerLogin { owner, database, login, limit, settings }
        } else {
            LoginStep::CreateSlot { role: slot.role.clone(), owner, database, how, login: slot.set, limit, settings }
        }
    }

    /// How logins use the role that they share: a tenant's switch to it, so that it owns what they make; an account's
    /// have its privileges as they are.
    fn acting(&self) -> Membership {
        if self.tenant.is_account() { Membership::Inherit } else { Membership::Switch }
    }

    /// Where the settings of the logins hold: in the tenant's database; an account's may use several.
    fn settings_scope(&self) -> Option<String> {
        (!self.tenant.is_account()).then(|| self.database_name())
    }

    /// What the tenant's logins are let in with.
    fn proof(&self) -> Proof {
        if self.tenant.applied.logins.has_password() { Proof::Password } else { Proof::External }
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
        // What somebody else made of a login stays as it is while it logs in as before.
        if self.legacy && slot.slot == Slot::Owner {
            return self.powers(&name);
        }
        if slot.set {
            let reason = match &self.custody.decision {
                Decision::Issue { reason, .. } => format!("a new credential: {reason}"),
                Decision::Repair { reason, .. } => (*reason).to_owned(),
                _ => "its login is set".to_owned(),
            };
            let replaces = matches!(self.custody.decision, Decision::Issue { disrupts: true, .. });
            let step = LoginStep::EnableLogin { role: name.clone(), proof: self.proof(), replaces };
            let risk = if replaces { Risk::Disruptive } else { Risk::Safe };
            self.plan.push(Task::Engine(step.into()), reason, risk, Actor::Estate);
        } else if role.login && !slot.logs_in {
            self.push(LoginStep::DisableLogin { role: name.clone() }, "it could log in, and holds no credential");
        }
        if role.expires {
            self.push(LoginStep::LiftExpiry { role: name.clone() }, "its password was made to expire");
        }
        self.powers(&name);
        if slot.slot != Slot::Owner {
            self.membership(&name, role);
        }
        self.settings(slot, role);
        let limit = self.tenant.applied.connection_limit;
        let declared = limit.is_some() || self.before.connection_limit.is_some();
        if declared && role.connection_limit != limit.unwrap_or(-1) {
            let reason = format!("it was {}", shown_limit(role.connection_limit));
            self.push(LoginStep::LimitRole { role: name, limit }, reason);
        }
    }

    /// A slot acts as the role that it shares with the others, and only as that.
    fn membership(&mut self, name: &str, role: &Role) {
        let owner = self.owner();
        let inherit = self.acting() != Membership::Switch;
        if role.inherit != inherit {
            let reason = if inherit { "it was NOINHERIT" } else { "it was INHERIT" };
            self.push(LoginStep::SetInherit { role: name.to_owned(), inherit }, reason);
        }
        let memberships = if inherit { &role.inherits } else { &role.member_of };
        let of_owner = role.granted.iter().filter(|granted| granted.role == owner);
        let (excess, plain): (Vec<&Granted>, Vec<&Granted>) = of_owner.partition(|granted| self.exceeds(granted));
        let taken = excess.iter().filter(|granted| self.leave_own(name, granted)).count();
        if memberships.contains(&owner) && (taken == 0 || !plain.is_empty()) {
            return;
        }
        let reason = if taken == 0 { "it was no member" } else { "only to switch to it" };
        let (role, options) = (name.to_owned(), self.shared.has_membership_options());
        let step = if inherit {
            RoleStep::JoinRole { role: owner, member: role, options, taking: Taking::Estate }
        } else {
            RoleStep::GrantMembership { role, owner, options }
        };
        self.push(step, reason);
    }

    /// Whether a slot may do more with its membership than a tenant's login should: let others in, or use the role's
    /// privileges without switching to it, and so own what it makes.
    fn exceeds(&self, granted: &Granted) -> bool {
        let inherits = self.acting() == Membership::Switch && self.shared.has_membership_options() && granted.inherit;
        granted.admin || inherits
    }

    /// Takes such a membership back, or says why not.
    fn leave_own(&mut self, member: &str, granted: &Granted) -> bool {
        let options = [(granted.admin, "ADMIN"), (granted.inherit, "INHERIT")];
        let options: Vec<&str> = options.into_iter().filter(|(has, _)| *has).map(|(_, option)| option).collect();
        let (role, options) = (granted.role.clone(), options.join(" "));
        let grantor = self.shared.has_membership_options().then(|| granted.grantor.clone());
        let Some(taking) = Taking::of_granted(self.shared, granted) else {
            let statement = step::leave(&role, member, grantor.as_deref());
            let message = format!("{member} is a member of {role} with {options}; as a superuser run: {statement}");
            self.plan.conditions.push(Condition { kind: &notes::MORE_THAN_ITS_OWN, message });
            return false;
        };
        let step = RoleStep::LeaveRole { role, member: member.to_owned(), grantor, taking: taking.clone() };
        self.take(step, format!("it was one with {options}"), &taking);
        true
    }

    /// A slot acts as its tenant's role, and has nothing of its own: what it has is out of the other slot's reach.
    pub(super) fn empty_slots(&mut self) {
        let database = self.database_name();
        let Some(ties) = self.observed.ties.get(&database).filter(|_| self.database.is_some()) else { return };
        let slots = self.custody.slots.values().filter(|slot| slot.slot != Slot::Owner);
        let having: Vec<(String, Tie)> =
            slots.filter_map(|slot| Some((slot.role.clone(), *ties.get(&slot.role)?))).collect();
        for (role, tie) in having {
            let (owner, options) = (self.owner(), self.shared.has_membership_options());
            let reason = match tie {
                Tie::Owner => "it had made something as itself",
                Tie::Privileges => "it had been granted something itself",
            };
            let step = ContentStep::EmptySlot { role, owner, database: database.clone(), stays: true, options };
            self.push(step, reason);
        }
    }

    /// A slot belongs wholly to tenantdb: what is set on it and not declared is drift.
    fn settings(&mut self, slot: &SlotPlan, role: &Role) {
        let (name, database, scope) = (slot.role.as_str(), self.database_name(), self.settings_scope());
        let mut wanted: BTreeMap<(Option<String>, String), String> = BTreeMap::new();
        if slot.slot != Slot::Owner && self.acting() == Membership::Switch {
            wanted.insert((None, "role".to_owned()), self.owner());
        }
        for (parameter, value) in &self.tenant.applied.settings {
            wanted.insert((scope.clone(), parameter.clone()), value.clone());
        }
        // What was set in a database that is gone, or about to be, went with it.
        let lasting = |scope: &Option<String>| {
            self.database.is_some() || self.tenant.is_account() || scope.as_ref() != Some(&database)
        };
        let found = role.settings.iter().filter(|((scope, _), _)| lasting(scope));
        let found: BTreeMap<_, _> = found.filter(|(setting, value)| !self.is_known_mark(setting, value)).collect();
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
            self.push(LoginStep::Set { role: name.to_owned(), database, parameter, value }, reason);
        }
    }

    fn reset(&mut self, role: &str, (database, parameter): (Option<String>, String), value: &str) {
        let Some(taking) = Taking::of_parameter(self.shared, &parameter) else {
            let statement = step::reset(role, database.as_deref(), &parameter);
            let message =
                format!("login {role}: {parameter} is {value}, which is not declared; as a superuser run: {statement}");
            self.plan.conditions.push(Condition { kind: &notes::SETTING_STAYS, message });
            return;
        };
        let step = LoginStep::Reset { role: role.to_owned(), database, parameter, taking: taking.clone() };
        self.take(step, format!("it was {value}, which is not declared"), &taking);
    }
}
