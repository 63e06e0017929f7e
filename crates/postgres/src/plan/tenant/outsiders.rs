//! Whom somebody let in by hand: with privileges on the database, or as a member of one of the tenant's roles.

use std::collections::BTreeSet;

use tenantdb_core::{Actor, Condition, Risk, Task};

use super::Planner;
use crate::notes;
use crate::observe::{Database, Granted};
use crate::plan::sighting;
use crate::step::{self, DatabaseStep, RoleStep};
use crate::{ESTATE, Taking};

impl Planner<'_> {
    /// What nothing declares is taken back, with consent: somebody may live on it.
    pub(super) fn outsiders(&mut self) {
        self.grants();
        self.members();
    }

    /// Nobody but the tenant, and whom the server's `connectFor` names, is let into its database.
    fn grants(&mut self) {
        let Some(found) = self.database else { return };
        let (ours, shared) = (self.own_roles(), self.shared);
        let visitors = [&self.tenant.applied.connect_for, &self.before.connect_for];
        let may = |name: &String| {
            let is_superuser = shared.roles.get(name).is_some_and(|role| role.superuser);
            let is_visitor = visitors.iter().any(|named| named.contains(name));
            let is_ours = ours.contains(name) || self.let_in.contains_key(name);
            is_superuser || is_visitor || *name == shared.login || *name == ESTATE || is_ours
        };
        let strangers = found.grants.keys().flatten().filter(|grantee| !may(grantee)).cloned();
        let (tenants, others): (Vec<String>, Vec<String>) = strangers.partition(|name| self.observed.is_tenants(name));
        self.shut_out_strangers(found, tenants, Risk::Safe);
        self.shut_out_strangers(found, others, Risk::Disruptive);
    }

    fn shut_out_strangers(&mut self, found: &Database, strangers: Vec<String>, risk: Risk) {
        if strangers.is_empty() {
            return;
        }
        let grantors = strangers.iter().filter_map(|name| found.other_grantors.get(name)).flatten();
        let grantors: BTreeSet<String> = grantors.filter(|grantor| *grantor != ESTATE).cloned().collect();
        let seen = strangers.iter().filter_map(|login| {
            sighting::last_seen(login, found, self.observed).map(|seen| format!("{login} ({seen})"))
        });
        let seen: Vec<String> = seen.collect();
        let reason = match seen.as_slice() {
            [] => "nothing declares that".to_owned(),
            seen => format!("nothing declares that; open sessions stay: {}", seen.join(", ")),
        };
        let grantors = grantors.into_iter().collect();
        let step = DatabaseStep::Dismiss { database: self.database_name(), visitors: strangers, grantors };
        self.plan.push(Task::Engine(step.into()), reason, risk, Actor::Estate);
    }

    /// Nobody acts as the tenant but its logins.
    fn members(&mut self) {
        let ours = self.own_roles();
        let mut told = Vec::new();
        let levels = self.all_levels();
        for name in ours.difference(&levels) {
            let Some(role) = self.shared.roles.get(name) else { continue };
            let outsiders: Vec<&String> =
                role.members.iter().filter(|member| self.is_outsider(member, &ours)).collect();
            // What a member granted goes first: it would go with the member.
            for by_member in [true, false] {
                for member in &outsiders {
                    let granted = self.shared.roles.get(*member).into_iter().flat_map(|role| &role.granted);
                    let granted = granted.filter(|granted| granted.role == *name);
                    for granted in granted.filter(|granted| role.members.contains(&granted.grantor) == by_member) {
                        told.extend(self.expel(member, granted));
                    }
                }
            }
        }
        if !told.is_empty() {
            let message = format!("{}; nothing declares that", told.join(", "));
            self.plan.conditions.push(Condition { kind: &notes::OTHERS_HAVE_ACCESS, message });
        }
    }

    /// Superusers and administrators reach the tenant anyway.
    fn is_outsider(&self, member: &String, ours: &BTreeSet<String>) -> bool {
        let is_superuser = self.shared.roles.get(member).is_some_and(|role| role.superuser);
        !is_superuser && !ours.contains(member) && *member != ESTATE && *member != self.shared.login
    }

    /// Takes a member out, or says why not.
    fn expel(&mut self, member: &str, granted: &Granted) -> Option<String> {
        let role = granted.role.clone();
        let told = format!("{member} is a member of {role}");
        // What other tenants' roles are members of is taken from them where they are planned.
        if self.observed.is_tenants(member) {
            return Some(told);
        }
        let grantor = self.shared.has_membership_options().then(|| granted.grantor.clone());
        let Some(taking) = Taking::of_granted(self.shared, granted) else {
            let statement = step::leave(&role, member, grantor.as_deref());
            return Some(format!("{told} (as a superuser run: {statement})"));
        };
        let seen = self.database.and_then(|found| sighting::last_seen(member, found, self.observed));
        let seen = seen.map_or_else(String::new, |seen| format!("; {member}: {seen}"));
        let reason = format!("{} granted it, and nothing declares it{seen}", granted.grantor);
        let actor = if taking == Taking::Login { Actor::Login } else { Actor::Estate };
        let step = RoleStep::LeaveRole { role, member: member.to_owned(), grantor, taking };
        self.plan.push(Task::Engine(step.into()), reason, Risk::Disruptive, actor);
        None
    }
}
