//! The shared roles that a tenant joins, and those that it was let into otherwise.

use std::collections::BTreeSet;

use tenantdb_core::{Actor, Condition, Risk, Task};

use super::Planner;
use crate::Taking;
use crate::notes;
use crate::observe::{Granted, Role};
use crate::step::{self, RoleStep};

impl Planner<'_> {
    /// A tenant has what its declaration lets it join, and nothing more.
    pub(super) fn memberships(&mut self) {
        let roles = self.own_roles();
        let ours: BTreeSet<String> = self.names.roles().into_iter().chain(roles.clone()).collect();
        let elsewhere = self.settled_elsewhere.clone();
        // What one of ours was let in by another of ours goes first: it would go with the other.
        for by_ours in [true, false] {
            for name in &roles {
                let Some(role) = self.shared.roles.get(name) else { continue };
                let foreign = role.granted.iter().filter(|granted| !ours.contains(&granted.role));
                let foreign = foreign.filter(|granted| !elsewhere.contains(&granted.role));
                for granted in foreign.filter(|granted| roles.contains(&granted.grantor) == by_ours) {
                    if !self.is_declared(name, granted) {
                        self.leave(name, role, granted);
                    }
                }
            }
        }
        self.join();
    }

    fn join(&mut self) {
        let owner = self.owner();
        let joined: BTreeSet<&String> = match self.shared.roles.get(&owner) {
            Some(role) => {
                let as_declared = role.granted.iter().filter(|granted| self.is_declared(&owner, granted));
                as_declared.map(|granted| &granted.role).collect()
            }
            None => BTreeSet::new(),
        };
        let is_new = !self.shared.roles.contains_key(&owner);
        let missing = self.joined.iter().filter(|role| !joined.contains(role));
        let missing = missing.filter(|role| is_new || !self.settled_elsewhere.contains(*role));
        let missing: Vec<String> = missing.cloned().collect();
        for role in &missing {
            // What is made before in the same run is the estate's.
            let made_before = !self.shared.roles.contains_key(role);
            let taking = made_before.then_some(Taking::Estate).or_else(|| Taking::of_membership(self.shared, role));
            let Some(taking) = taking else { continue };
            let options = self.shared.has_membership_options();
            let step =
                RoleStep::JoinRole { role: role.clone(), member: owner.clone(), options, taking: taking.clone() };
            let made = self.shared.roles.contains_key(&owner) && self.before.member_of.contains(role);
            let reason = if made { "it was no member" } else { "declared" };
            self.take(step, reason.to_owned(), &taking);
        }
    }

    /// Whether this is how a declared membership is granted.
    fn is_declared(&self, member: &str, granted: &Granted) -> bool {
        // Before PostgreSQL 16 whoever has a role's privileges may also switch to it.
        let is_plain = !self.shared.has_membership_options() || (granted.inherit && !granted.set);
        let is_tenant = member == self.names.owner.as_str();
        is_tenant && is_plain && !granted.admin && self.joined.contains(&granted.role)
    }

    fn leave(&mut self, member: &str, role: &Role, granted: &Granted) {
        let options = self.shared.has_membership_options();
        let grantor = options.then(|| granted.grantor.clone());
        // Whoever still logs in as before may live on it.
        if self.legacy && member == self.names.owner.as_str() {
            let role = &granted.role;
            let message = format!(
                "{member} is a member of {role}, which nothing declares; that stays while it logs in as before: declare \
                 `memberOf: [{role}]` to keep it"
            );
            self.plan.conditions.push(Condition { kind: &notes::MORE_THAN_ITS_OWN, message });
            return;
        }
        let Some(taking) = Taking::of_granted(self.shared, granted) else {
            let statement = step::leave(&granted.role, member, grantor.as_deref());
            let message = format!(
                "{member} is a member of {}, which nothing declares; as a superuser run: {statement}",
                granted.role
            );
            self.plan.conditions.push(Condition { kind: &notes::MORE_THAN_ITS_OWN, message });
            return;
        };
        let is_tenant = member == self.names.owner.as_str();
        let reason = if is_tenant && self.joined.contains(&granted.role) {
            let options = [(granted.admin, "ADMIN"), (options && granted.set, "SET"), (!granted.inherit, "NOINHERIT")];
            let options = options.into_iter().filter(|(has, _)| *has).map(|(_, option)| option);
            format!("it was one with {}", options.collect::<Vec<_>>().join(" "))
        } else if is_tenant && self.before.member_of.contains(&granted.role) {
            "no longer declared".to_owned()
        } else {
            format!("{} granted it, and nothing declares it", granted.grantor)
        };
        // Somebody may be logged in as a role that is not among the tenant's logins.
        let is_login = role.login && !self.custody.slots.values().any(|slot| slot.role == member);
        let risk = if is_login { Risk::Disruptive } else { Risk::Safe };
        let actor = if taking == Taking::Login { Actor::Login } else { Actor::Estate };
        let step = RoleStep::LeaveRole { role: granted.role.clone(), member: member.to_owned(), grantor, taking };
        self.plan.push(Task::Engine(step.into()), reason, risk, actor);
    }
}
