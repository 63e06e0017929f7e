//! A server in memory: what each step would change, for tests of the planner. It knows nothing of how a plan is made.

mod content;
mod database;
mod ledger;
mod login;
mod role;

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::SqlName;
use tenantdb_core::{
    Claim, CredentialStep, Delivered, Digest, Generation, Held, Phase, PlaceView, Plan, Provenance, Slot, Step, Task,
    TenantPlan, Version,
};
use tenantdb_credentials::SlotState;

use self::ledger::retire;
use super::recovery;
use crate::desired::Desired;
use crate::extension::{Change, Making};
use crate::init::{self, MARKED};
use crate::ledger::{Applied, DeliveryRow, Ledger, ScriptRow, SlotRow, TenantRow};
use crate::observe::{Database, Granted, Inside, Installed, Observed, Privileges, Role};
use crate::step::{ContentStep, DatabaseStep, LedgerStep, LevelStep, LoginStep, PostgresStep, RoleStep, SessionStep};
use crate::{ESTATE, Membership};

/// A server and the place of a pass.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) observed: Observed,
    pub(super) place: PlaceView,
    /// The login that each slot would accept.
    pub(super) accepted: BTreeMap<String, Digest>,
    /// The scripts that were committed, in their order.
    pub(super) ran: Vec<String>,
    next: u32,
}

/// What a pass over one tenant has in hand.
#[derive(Default)]
struct InHand {
    login: Option<Digest>,
}

impl InHand {
    fn login(&self) -> Digest {
        self.login.clone().expect("a login")
    }
}

impl World {
    pub(super) fn new(observed: Observed, place: PlaceView) -> Self {
        Self { observed, place, accepted: BTreeMap::new(), ran: Vec::new(), next: 1000 }
    }

    /// Carries a plan out.
    pub(super) fn apply(&mut self, plan: &Plan<PostgresStep>) {
        if !plan.preparation.is_empty() {
            self.prepare();
        }
        for tenant in &plan.tenants {
            let mut in_hand = InHand::default();
            for step in &tenant.steps {
                match &step.task {
                    Task::Engine(step) => self.step(tenant, step, &in_hand),
                    Task::Credential(step) => self.credential(tenant, step, &mut in_hand),
                }
            }
        }
    }

    /// Carries out the first steps of the only tenant, and is killed then.
    pub(super) fn apply_first(&mut self, plan: &Plan<PostgresStep>, steps: usize) {
        let mut begun = plan.clone();
        for tenant in &mut begun.tenants {
            tenant.steps.truncate(steps);
        }
        self.apply(&begun);
    }

    fn prepare(&mut self) {
        let login = self.observed.shared.login.clone();
        let roles = &mut self.observed.shared.roles;
        let estate = || Role { create_db: true, create_role: true, ..Role::default() };
        roles.entry(ESTATE.to_owned()).or_insert_with(estate);
        roles.entry(login).or_default().member_of.insert(ESTATE.to_owned());
        let ledger = Database { owner: ESTATE.to_owned(), allows_connections: true, ..Database::default() };
        self.observed.shared.databases.insert(crate::LEDGER.to_owned(), ledger);
        self.observed.ledger.get_or_insert_with(Ledger::default);
    }

    fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn role(&mut self, name: &str) -> &mut Role {
        self.observed.shared.roles.get_mut(name).unwrap_or_else(|| panic!("no role {name}"))
    }

    fn database(&mut self, name: &str) -> &mut Database {
        self.observed.shared.databases.get_mut(name).unwrap_or_else(|| panic!("no database {name}"))
    }

    fn inside(&mut self, name: &str) -> &mut Inside {
        assert!(self.database(name).allows_connections, "database {name} is closed");
        self.observed.inside.entry(name.to_owned()).or_default()
    }

    fn ledger(&mut self) -> &mut Ledger {
        self.observed.ledger.as_mut().expect("a ledger")
    }

    fn row(&mut self, tenant: &TenantPlan<PostgresStep>) -> &mut TenantRow {
        let ledger = self.ledger();
        let row = ledger.tenants.get_mut(&tenant.claim).or_else(|| ledger.accounts.get_mut(&tenant.claim));
        row.expect("a claim")
    }

    fn slot(&mut self, tenant: &TenantPlan<PostgresStep>, role: &str) -> &mut SlotRow {
        self.row(tenant).slots.values_mut().find(|slot| slot.role == role).expect("a slot")
    }

    fn credential(&mut self, tenant: &TenantPlan<PostgresStep>, step: &CredentialStep, in_hand: &mut InHand) {
        let claim = tenant.claim.clone();
        let held = self.place.held.get(&claim).cloned().and_then(Result::ok);
        match step {
            CredentialStep::Fence { username, password, .. } => {
                let number = if *password { self.fresh() } else { 0 };
                in_hand.login = Some(Digest::from_stored(format!("{username} {number}")));
            }
            CredentialStep::Stage { .. } => {
                let Some(Held::Credential { login, generation, .. }) = held else { panic!("nothing is held") };
                let next = in_hand.login();
                let staged = credential(login, Some(next), generation, u64::from(self.fresh()));
                self.place.held.insert(claim, Ok(staged));
            }
            CredentialStep::Reuse { login: wanted, .. } => {
                let Some(Held::Credential { login, next, .. }) = held else { panic!("nothing is held") };
                assert!(*wanted == login || Some(wanted) == next.as_ref(), "it is not held");
                in_hand.login = Some(wanted.clone());
            }
            CredentialStep::Probe => {
                let login = in_hand.login();
                let (role, _) =
                    self.accepted.iter().find(|(_, accepted)| **accepted == login).expect("an accepted login");
                assert!(self.observed.shared.roles[role].login, "{role} can't log in");
            }
            CredentialStep::Publish { generation, .. } => {
                let published = credential(in_hand.login(), None, *generation, u64::from(self.fresh()));
                self.place.held.insert(claim, Ok(published));
            }
            CredentialStep::Withdraw { .. } => {
                self.place.held.insert(claim, Ok(Held::Nothing { version: Version(0) }));
            }
        }
        self.place.refused.clear();
        self.place.accepted.clear();
    }

    /// Tries what the place holds and the ledger does not know.
    pub(super) fn try_logins(&mut self, desired: &Desired) {
        for claim in recovery::doubtful(desired, &self.observed, &self.place) {
            let Some(Ok(Held::Credential { login, .. })) = self.place.held.get(&claim) else { continue };
            let works = self.accepted.values().any(|accepted| accepted == login);
            if works {
                self.place.accepted.insert(claim)
            } else {
                self.place.refused.insert(claim)
            };
        }
    }

    fn step(&mut self, tenant: &TenantPlan<PostgresStep>, step: &PostgresStep, in_hand: &InHand) {
        match step {
            PostgresStep::Server(_) => panic!("{} is no step of a tenant", step.kind()),
            PostgresStep::Login(step) => self.login_step(tenant, step, in_hand),
            PostgresStep::Role(step) => self.role_step(step),
            PostgresStep::Level(step) => self.level_step(tenant, step),
            PostgresStep::Database(step) => self.database_step(step),
            PostgresStep::Content(step) => self.content_step(tenant, step, in_hand),
            PostgresStep::Session(step) => self.session_step(step),
            PostgresStep::Ledger(step) => self.ledger_step(tenant, step, in_hand),
        }
    }
}

/// A credential as a place holds it; it is current unless another password is about to take its place.
pub(super) fn credential(login: Digest, next: Option<Digest>, generation: Generation, version: u64) -> Held {
    Held::Credential {
        username: username(&login),
        generation,
        login,
        current: next.is_none(),
        next,
        provenance: Provenance::Claimed,
        version: Version(version),
    }
}

/// As whom a login logs in.
fn username(login: &Digest) -> SqlName {
    login.as_str().split(' ').next().and_then(|name| name.parse().ok()).expect("a login that was made here")
}

fn privileges(names: impl IntoIterator<Item = &'static str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}
