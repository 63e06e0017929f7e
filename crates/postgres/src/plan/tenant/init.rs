//! The scripts that a database begins with: each runs once, as the tenant, before anyone else gets the credential.

use tenantdb_core::{Condition, CredentialStep, Held, Phase, Script};
use tenantdb_credentials::Decision;

use super::Planner;
use crate::init::{self, MARKED};
use crate::notes;
use crate::step::ContentStep;

impl Planner<'_> {
    /// Notes the scripts that a run committed which was killed then. Their marks are taken away only with that.
    pub(super) fn record_scripts(&mut self) {
        let database = self.database_name();
        for script in self.scripts {
            let Some(role) = self.marked_by(script).filter(|_| !self.has_run(script)) else { continue };
            let step = self.recording(role, &database, script);
            self.push(step, "it was run, and the ledger does not know");
        }
    }

    /// Runs what has not run, with the credential in hand, before it is handed out.
    pub(super) fn run_scripts(&mut self, role: &str) {
        let database = self.database_name();
        for script in self.pending() {
            let (role, database) = (role.to_owned(), database.clone());
            let step =
                ContentStep::RunScript { role: role.clone(), database: database.clone(), script: script.clone() };
            self.push(step, "declared, not run yet");
            let step = self.recording(role, &database, &script);
            self.push(step, "it was run");
        }
    }

    /// The same with a credential that was handed out before.
    pub(super) fn run_scripts_with_held_login(&mut self) {
        if self.pending().is_empty() {
            return;
        }
        let held = self.place.held.get(&self.tenant.claim).and_then(|held| held.as_ref().ok());
        let slots = self.row.into_iter().flat_map(|row| row.slots.values());
        let usable = match (&self.custody.decision, held) {
            (Decision::Keep, Some(Held::Credential { login, version, .. })) => {
                let slot = slots.clone().find(|slot| slot.login.as_ref() == Some(login));
                slot.map(|slot| (slot.role.clone(), login.clone(), *version))
            }
            _ => None,
        };
        match usable {
            Some((role, login, version)) => {
                self.credential(CredentialStep::Reuse { login, version }, "scripts run with it");
                self.run_scripts(&role);
            }
            None => self.tell_not_run("its credential is in another place; apply it from there"),
        }
    }

    /// Scripts that changed since they ran, and scripts that came too late.
    pub(super) fn tell_scripts(&mut self) {
        if self.row.is_none() {
            return;
        }
        let changed: Vec<String> = self.scripts.iter().filter(|script| self.was_another(script)).map(shown).collect();
        if !changed.is_empty() {
            let message = format!(
                "{} changed since it was run, and is not run again; `tenantdb connect {} -n {} -- -f FILE` runs it by hand",
                changed.join(", "),
                self.tenant.claim.name,
                self.tenant.claim.namespace
            );
            self.plan.conditions.push(Condition { kind: &notes::INIT_CHANGED, message });
        }
        if !self.is_being_made() {
            self.tell_not_run("scripts run when a database is made, and this one is there");
        }
    }

    fn tell_not_run(&mut self, why: &str) {
        let scripts = self.scripts.iter().filter(|script| !self.has_run(script) && !self.was_another(script));
        let scripts: Vec<String> = scripts.filter(|script| self.marked_by(script).is_none()).map(shown).collect();
        if !scripts.is_empty() {
            let message = format!("{} was not run: {why}", scripts.join(", "));
            self.plan.conditions.push(Condition { kind: &notes::INIT_NOT_RUN, message });
        }
    }

    fn recording(&self, role: String, database: &str, script: &Script) -> ContentStep {
        ContentStep::RecordScript {
            role,
            database: database.to_owned(),
            name: script.name().to_owned(),
            digest: script.digest().clone(),
            declared: self.tenant.applied.settings.get(MARKED).cloned(),
        }
    }

    /// What is to be run, in its order.
    fn pending(&self) -> Vec<Script> {
        let all = self.scripts.iter().filter(|_| self.is_being_made());
        let fresh = all.filter(|script| !self.has_run(script) && !self.was_another(script));
        fresh.filter(|script| self.marked_by(script).is_none()).cloned().collect()
    }

    /// Whether the database is made now, or its making was begun and not finished; one that is adopted was made before.
    fn is_being_made(&self) -> bool {
        self.database.is_none() || self.row.is_some_and(|row| row.phase == Phase::Claimed && !row.adopted)
    }

    /// Whether the ledger knows that it ran, in the database that is there.
    fn has_run(&self, script: &Script) -> bool {
        let row = self.row.filter(|_| self.database.is_some());
        row.is_some_and(|row| row.scripts.iter().any(|ran| ran.digest == *script.digest()))
    }

    /// Whether another text of the same name ran.
    fn was_another(&self, script: &Script) -> bool {
        let row = self.row.filter(|_| self.database.is_some());
        !self.has_run(script) && row.is_some_and(|row| row.scripts.iter().any(|ran| ran.name == script.name()))
    }

    /// The login that carries the mark of a script that was committed.
    fn marked_by(&self, script: &Script) -> Option<String> {
        self.database?;
        let place = (Some(self.database_name()), MARKED.to_owned());
        let mark = init::mark(script);
        let mut slots = self.custody.slots.values().map(|slot| &slot.role);
        let is_marked = |role: &&String| {
            let role = self.shared.roles.get(*role);
            role.is_some_and(|role| role.settings.get(&place) == Some(&mark))
        };
        slots.find(is_marked).cloned()
    }

    /// Whether a setting is a mark that is taken away together with its note in the ledger.
    pub(super) fn is_known_mark(&self, (_, parameter): &(Option<String>, String), value: &str) -> bool {
        let is_noted = || self.scripts.iter().any(|script| init::mark(script) == value && !self.has_run(script));
        parameter == MARKED && init::is_mark(value) && is_noted()
    }
}

fn shown(script: &Script) -> String {
    format!("script {}", script.name())
}
