//! The tenant's credential: taken in hand before its login is set, and delivered when the login works.

use tenantdb_core::{Actor, Condition, CredentialStep, Risk, Slot, Task};
use tenantdb_credentials::{Decision, SlotState};

use super::Planner;
use crate::notes;
use crate::step::LedgerStep;

impl Planner<'_> {
    pub(super) fn take_credential(&mut self) {
        match self.custody.decision.clone() {
            Decision::Issue { slot, generation, version, reason, replaces, disrupts } => {
                let username = self.names.slot(slot);
                let password = self.tenant.applied.logins.has_password();
                // Without consent to the new password, its place is not touched either.
                let risk = if disrupts { Risk::Disruptive } else { Risk::Safe };
                let fence = CredentialStep::Fence { username, password, generation, version };
                self.plan.push(Task::Credential(fence), reason, risk, Actor::Place);
                if replaces && disrupts {
                    // A crash between the login's change and the delivery then loses no password.
                    let stage = CredentialStep::Stage { location: self.location() };
                    self.plan.push(Task::Credential(stage), reason, risk, Actor::Place);
                }
            }
            Decision::Repair { login, version, .. }
            | Decision::Republish { login, version, .. }
            | Decision::Confirm { login, version, .. } => {
                self.credential(CredentialStep::Reuse { login, version }, "it was delivered");
            }
            Decision::Keep | Decision::Elsewhere { .. } | Decision::Refuse(_) => {}
        }
    }

    pub(super) fn deliver_credential(&mut self) {
        let location = self.location();
        let (slot, generation, reason, probe, publish) = match self.custody.decision.clone() {
            Decision::Keep | Decision::Refuse(_) => return self.run_scripts_with_held_login(),
            Decision::Elsewhere { location } => {
                self.run_scripts_with_held_login();
                return self.elsewhere(&location);
            }
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
        if probe && self.tenant.applied.logins.has_password() {
            self.credential(CredentialStep::Probe, reason);
        }
        if self.tenant.applied.logins.has_password() {
            self.run_scripts(self.names.slot(slot).as_str());
        }
        if let Some(replaces) = publish {
            let location = location.clone();
            self.credential(CredentialStep::Publish { generation, location, replaces }, reason);
        }
        let step = LedgerStep::RecordDelivery {
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
            let step = LedgerStep::RecordSlot { slot, role, state: SlotState::Draining, generation: None, place: None };
            self.push(step, "replaced");
        }
    }

    /// Where the credential is or will be, for people.
    fn location(&self) -> String {
        self.place.locations.get(&self.tenant.claim).cloned().unwrap_or_default()
    }

    fn elsewhere(&mut self, location: &str) {
        let works = self.custody.slots.values().any(|slot| slot.logs_in);
        let (kind, message) = if works {
            (
                &notes::CREDENTIAL_ELSEWHERE,
                format!(
                    "its credential was delivered to {location}; this run leaves it alone (--reissue delivers a new one here)"
                ),
            )
        } else {
            (
                &notes::LOGIN_LOST,
                format!(
                    "its login was taken away, and its credential is in {location}: apply it from there to repair it"
                ),
            )
        };
        self.plan.conditions.push(Condition { kind, message });
    }
}
