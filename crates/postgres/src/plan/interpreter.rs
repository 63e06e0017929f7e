//! A server in memory: what each step would change, for tests of the planner. It knows nothing of how a plan is made.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::SqlName;
use tenantdb_core::{
    CredentialStep, Delivered, Digest, Generation, Held, Phase, PlaceView, Plan, Provenance, Slot, Step, Task,
    TenantPlan, Version,
};
use tenantdb_credentials::SlotState;

use super::recovery;
use crate::desired::Desired;
use crate::extension::{Change, Making};
use crate::init::{self, MARKED};
use crate::ledger::{DeliveryRow, Ledger, ScriptRow, SlotRow, TenantRow};
use crate::observe::{Database, Granted, Inside, Installed, Observed, Privileges, Role};
use crate::step::PostgresStep;
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
                    Task::Engine(step) => self.step(tenant, step, &mut in_hand),
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

    fn extension(&mut self, tenant: &TenantPlan<PostgresStep>, name: &str) -> &mut Installed {
        self.inside(&tenant.database).extensions.get_mut(name).unwrap_or_else(|| panic!("no extension {name}"))
    }

    fn row(&mut self, tenant: &TenantPlan<PostgresStep>) -> &mut TenantRow {
        let ledger = self.observed.ledger.as_mut().expect("a ledger");
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
                let (next, version) = (in_hand.login.clone(), Version(u64::from(self.fresh())));
                assert!(next.is_some(), "nothing to stage");
                let username = username(&login);
                let held = Held::Credential {
                    username,
                    generation,
                    login,
                    next,
                    current: false,
                    provenance: Provenance::Claimed,
                    version,
                };
                self.place.held.insert(claim, Ok(held));
            }
            CredentialStep::Reuse { login: wanted, .. } => {
                let Some(Held::Credential { login, next, .. }) = held else { panic!("nothing is held") };
                assert!(*wanted == login || Some(wanted) == next.as_ref(), "it is not held");
                in_hand.login = Some(wanted.clone());
            }
            CredentialStep::Probe => {
                let login = in_hand.login.as_ref().expect("a login");
                let (role, _) =
                    self.accepted.iter().find(|(_, accepted)| *accepted == login).expect("an accepted login");
                assert!(self.observed.shared.roles[role].login, "{role} can't log in");
            }
            CredentialStep::Publish { generation, .. } => {
                let login = in_hand.login.clone().expect("a login");
                let version = Version(u64::from(self.fresh()));
                let (username, generation) = (username(&login), *generation);
                let held = Held::Credential {
                    username,
                    generation,
                    login,
                    next: None,
                    current: true,
                    provenance: Provenance::Claimed,
                    version,
                };
                self.place.held.insert(claim, Ok(held));
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

    #[allow(clippy::too_many_lines, reason = "one arm for each kind of step, and nothing else")]
    fn step(&mut self, tenant: &TenantPlan<PostgresStep>, step: &PostgresStep, in_hand: &mut InHand) {
        match step {
            PostgresStep::CreateEstate { .. }
            | PostgresStep::CreateLedger { .. }
            | PostgresStep::CreateLedgerTables
            | PostgresStep::UpgradeLedger { .. } => {
                panic!("{} is no step of a tenant", step.kind());
            }
            PostgresStep::Claim { database, owner, slots, reserved, applied, adopted } => {
                let mut slots: BTreeMap<Slot, SlotRow> =
                    slots.iter().map(|(slot, role)| (*slot, retired(role))).collect();
                if adopted.as_ref().is_some_and(|adopted| adopted.login) {
                    slots.insert(Slot::Owner, SlotRow { state: SlotState::Draining, ..retired(owner) });
                }
                let names = slots.values().map(|slot| slot.role.clone()).chain(reserved.clone()).chain([owner.clone()]);
                let row = TenantRow {
                    id: i64::from(self.next),
                    claim: tenant.claim.clone(),
                    database: database.clone().unwrap_or_else(|| tenant.database.clone()),
                    database_oid: adopted.as_ref().map(|adopted| adopted.oid),
                    owner: owner.clone(),
                    adopted: adopted.is_some(),
                    phase: Phase::Claimed,
                    applied: crate::ledger::Applied { logins: applied.logins, ..crate::ledger::Applied::default() },
                    epoch: 1,
                    slots: slots.clone(),
                    levels: BTreeSet::new(),
                    deliveries: Vec::new(),
                    scripts: Vec::new(),
                    origin: None,
                };
                let ledger = self.observed.ledger.as_mut().expect("a ledger");
                ledger.roles.extend(names.map(|name| (name, tenant.claim.clone())));
                let rows = if database.is_some() { &mut ledger.tenants } else { &mut ledger.accounts };
                assert!(rows.insert(tenant.claim.clone(), row).is_none(), "claimed twice");
            }
            PostgresStep::Recover { database, owner, slots, levels, reserved, scripts, applied } => {
                let slots =
                    slots.iter().map(|(slot, (role, state))| (*slot, SlotRow { state: *state, ..retired(role) }));
                let scripts = scripts.iter().cloned().map(|(name, digest)| ScriptRow { name, digest });
                let row = TenantRow {
                    id: i64::from(self.next),
                    claim: tenant.claim.clone(),
                    database: database.as_ref().map_or_else(|| tenant.database.clone(), |(name, _)| name.clone()),
                    database_oid: database.as_ref().map(|(_, oid)| *oid),
                    owner: owner.clone(),
                    adopted: false,
                    phase: if database.is_some() { Phase::Claimed } else { Phase::Provisioned },
                    applied: (**applied).clone(),
                    epoch: 1,
                    slots: slots.collect(),
                    levels: levels.clone(),
                    deliveries: Vec::new(),
                    scripts: scripts.collect(),
                    origin: None,
                };
                let names: BTreeSet<String> = row.roles().into_iter().chain(reserved).cloned().collect();
                let ledger = self.observed.ledger.as_mut().expect("a ledger");
                ledger.roles.extend(names.into_iter().map(|name| (name, tenant.claim.clone())));
                let rows = if database.is_some() { &mut ledger.tenants } else { &mut ledger.accounts };
                assert!(rows.insert(tenant.claim.clone(), row).is_none(), "claimed twice");
            }
            PostgresStep::AcceptDatabase { oid, had, .. } => {
                let known = self.row(tenant).database_oid.replace(*oid);
                assert_eq!(known, Some(*had));
            }
            PostgresStep::AdoptDatabase { database, owner, login, administer, schemas, .. } => {
                if *administer {
                    self.role(ESTATE).administers.insert(owner.clone());
                }
                for schema in schemas {
                    self.inside(database).schemas.insert(schema.clone(), owner.clone()).expect("a schema");
                }
                let database = self.database(database);
                // What its owner was granted goes with the ownership.
                database.grants.remove(&Some(database.owner.clone()));
                ESTATE.clone_into(&mut database.owner);
                let granted = if *login { vec!["CREATE", "TEMPORARY", "CONNECT"] } else { vec!["CREATE", "TEMPORARY"] };
                database.grants.entry(Some(owner.clone())).or_default().extend(privileges(&granted));
            }
            PostgresStep::EndLogins { from, roles } => {
                for role in roles {
                    self.role(role).login = false;
                    self.accepted.remove(role);
                }
                let ledger = self.observed.ledger.as_mut().expect("a ledger");
                retire(ledger.tenants.get_mut(from).expect("an orphan"));
            }
            PostgresStep::TakeOver { from, .. } => {
                let logins = |role: &Role| role.login;
                let ledger = self.observed.ledger.as_mut().expect("a ledger");
                let mut row = ledger.tenants.remove(from).expect("an orphan");
                let shared = &self.observed.shared;
                assert!(!row.slots.values().any(|slot| shared.roles.get(&slot.role).is_some_and(logins)));
                let inside =
                    |slot: &SlotRow| shared.databases.values().any(|all| all.sessions.contains_key(&slot.role));
                assert!(!row.slots.values().any(inside), "somebody is still in it");
                (row.claim, row.phase, row.adopted) = (tenant.claim.clone(), Phase::Claimed, false);
                ledger
                    .roles
                    .values_mut()
                    .filter(|holder| *holder == from)
                    .for_each(|holder| *holder = row.claim.clone());
                assert!(ledger.tenants.insert(tenant.claim.clone(), row).is_none(), "claimed twice");
            }
            PostgresStep::RetireLogin { role, .. } => {
                self.role(role).login = false;
                self.accepted.remove(role);
                self.slot(tenant, role).state = SlotState::Retired;
            }
            PostgresStep::CreateDatabase { database, limit, .. } => {
                let made = Database {
                    oid: self.fresh(),
                    owner: ESTATE.to_owned(),
                    allows_connections: false,
                    connection_limit: limit.unwrap_or(-1),
                    grants: BTreeMap::from([(None, privileges(&["CONNECT", "TEMPORARY"]))]),
                    ..Database::default()
                };
                let inside = Inside {
                    foreign: BTreeMap::new(),
                    schemas: BTreeMap::from([("public".to_owned(), "pg_database_owner".to_owned())]),
                    extensions: BTreeMap::from([("plpgsql".to_owned(), Installed::default())]),
                    ..Inside::default()
                };
                self.observed.inside.insert(database.clone(), inside);
                assert!(self.observed.shared.databases.insert(database.clone(), made).is_none(), "{database} exists");
            }
            PostgresStep::CreateOwner { owner, .. } => self.make_role(owner, Role { inherit: true, ..unlimited() }),
            PostgresStep::CreateSlot { role, owner, database, how, login, limit, settings } => {
                let inherit = *how != Membership::Switch;
                let switch = (!inherit).then(|| ((None, "role".to_owned()), owner.clone()));
                let mut all: BTreeMap<(Option<String>, String), String> = switch.into_iter().collect();
                all.extend(settings_in(database.as_ref(), settings));
                let made = Role {
                    login: *login,
                    inherit,
                    inherits: inherit.then(|| owner.clone()).into_iter().collect(),
                    connection_limit: limit.unwrap_or(-1),
                    member_of: BTreeSet::from([owner.clone()]),
                    settings: all,
                    ..Role::default()
                };
                self.make_role(role, made);
                if *login {
                    self.accepted.insert(role.clone(), in_hand.login.clone().expect("a login"));
                }
            }
            PostgresStep::CreateOwnerLogin { owner, database, login, limit, settings } => {
                let made = Role {
                    login: login.is_some(),
                    inherit: true,
                    connection_limit: limit.unwrap_or(-1),
                    settings: settings_in(database.as_ref(), settings).collect(),
                    ..Role::default()
                };
                self.make_role(owner, made);
                if login.is_some() {
                    self.accepted.insert(owner.clone(), in_hand.login.clone().expect("a login"));
                }
            }
            PostgresStep::EnableLogin { role, .. } => {
                self.role(role).login = true;
                self.accepted.insert(role.clone(), in_hand.login.clone().expect("a login"));
            }
            PostgresStep::DisableLogin { role } => {
                self.role(role).login = false;
                self.accepted.remove(role);
            }
            PostgresStep::LiftExpiry { role } => self.role(role).expires = false,
            PostgresStep::TakePowers { role, .. } => {
                let role = self.role(role);
                (role.superuser, role.create_db, role.create_role) = (false, false, false);
                (role.replication, role.bypass_rls) = (false, false);
            }
            PostgresStep::SetInherit { role, inherit } => self.role(role).inherit = *inherit,
            PostgresStep::GrantMembership { role, owner, .. } => {
                let (owner, grantor) = (owner.clone(), ESTATE.to_owned());
                let role = self.role(role);
                role.member_of.insert(owner.clone());
                role.granted.push(Granted { role: owner, grantor, inherit: false, set: true, admin: false });
            }
            PostgresStep::Admit { database, login, .. } => {
                self.database(database).grants.entry(Some(login.clone())).or_default().extend(privileges(&["CONNECT"]));
            }
            PostgresStep::CreateLevel { role } => {
                self.make_role(role, Role { inherit: true, ..unlimited() });
                self.row(tenant).levels.insert(role.clone());
                let ledger = self.observed.ledger.as_mut().expect("a ledger");
                let holder = ledger.roles.insert(role.clone(), tenant.claim.clone());
                assert!(holder.is_none_or(|holder| holder == tenant.claim), "{role} is somebody else's");
            }
            PostgresStep::GrantLevel { role, level, .. } => {
                assert!(self.observed.shared.roles.contains_key(role), "no role {role}");
                let schemas = &self.inside(&tenant.database).schemas;
                assert!(level.schemas.iter().all(|schema| schemas.contains_key(schema)), "a schema is missing");
                self.inside(&tenant.database).levels.insert(role.clone(), Privileges::default());
            }
            PostgresStep::EmptyLevels { roles, .. } => {
                self.inside(&tenant.database).levels.retain(|role, _| !roles.contains(role));
            }
            PostgresStep::DropLevels { roles } => {
                let there: Vec<String> =
                    roles.iter().filter(|role| self.observed.shared.roles.contains_key(*role)).cloned().collect();
                self.drop_roles(&there);
                self.row(tenant).levels.retain(|role| !roles.contains(role));
            }
            PostgresStep::JoinRole { role, member, options, .. } => {
                let shared = role.clone();
                let role = self.role(member);
                role.inherits.insert(shared.clone());
                if !options {
                    role.member_of.insert(shared.clone());
                }
                let grantor = ESTATE.to_owned();
                role.granted.push(Granted { role: shared, grantor, inherit: true, set: !options, admin: false });
            }
            PostgresStep::LeaveRole { role, member, grantor, .. } => {
                let shared = role.clone();
                let role = self.role(member);
                let is_this = |granted: &Granted| {
                    granted.role == shared && grantor.as_ref().is_none_or(|grantor| granted.grantor == *grantor)
                };
                assert!(role.granted.iter().any(is_this), "{member} is no member of {shared}");
                role.granted.retain(|granted| !is_this(granted));
                let left = |holds: fn(&Granted) -> bool| {
                    let rest = role.granted.iter().filter(|granted| holds(granted));
                    rest.map(|granted| granted.role.clone()).collect::<BTreeSet<_>>()
                };
                let (member_of, inherits) = (left(|granted| granted.set), left(|granted| granted.inherit));
                let administers = left(|granted| granted.admin);
                role.member_of.retain(|role| *role != shared || member_of.contains(role));
                role.inherits.retain(|role| *role != shared || inherits.contains(role));
                role.administers.retain(|role| *role != shared || administers.contains(role));
            }
            PostgresStep::Set { role, database, parameter, value } => {
                self.role(role).settings.insert((database.clone(), parameter.clone()), value.clone());
            }
            PostgresStep::Reset { role, database, parameter, .. } => {
                self.role(role).settings.remove(&(database.clone(), parameter.clone())).expect("a setting");
            }
            PostgresStep::LimitRole { role, limit } => self.role(role).connection_limit = limit.unwrap_or(-1),
            PostgresStep::Isolate { database, public, connect, visitors, create } => {
                let grants = &mut self.database(database).grants;
                if *public {
                    grants.remove(&None).expect("PUBLIC to be in");
                }
                for login in connect.iter().filter(|login| *login != ESTATE) {
                    grants.entry(Some(login.clone())).or_default().extend(privileges(&["CONNECT", "TEMPORARY"]));
                }
                for visitor in visitors {
                    grants.entry(Some(visitor.clone())).or_default().extend(privileges(&["CONNECT"]));
                }
                if let Some(owner) = create {
                    grants.entry(Some(owner.clone())).or_default().extend(privileges(&["CREATE", "TEMPORARY"]));
                }
            }
            PostgresStep::Dismiss { database, visitors, .. } => {
                for visitor in visitors {
                    self.database(database).grants.remove(&Some(visitor.clone())).expect("a grant");
                }
            }
            PostgresStep::OwnDatabase { database, .. } => ESTATE.clone_into(&mut self.database(database).owner),
            PostgresStep::UnmarkTemplate { database } => self.database(database).is_template = false,
            PostgresStep::LimitDatabase { database, limit } => {
                self.database(database).connection_limit = limit.unwrap_or(-1);
            }
            PostgresStep::Comment { database, comment } => self.database(database).comment.clone_from(comment),
            PostgresStep::OpenDatabase { database, .. } => self.database(database).allows_connections = true,
            PostgresStep::CloseDatabase { database } => self.database(database).allows_connections = false,
            PostgresStep::RecordSlot { slot, role, state, generation, place } => {
                let login = in_hand.login.clone();
                let unused = SlotRow {
                    role: role.clone(),
                    state: *state,
                    generation: Generation::default(),
                    login: None,
                    place: None,
                };
                let slot = self.row(tenant).slots.entry(*slot).or_insert(unused);
                slot.state = *state;
                slot.place.clone_from(place);
                match generation {
                    Some(generation) => (slot.generation, slot.login) = (*generation, login),
                    None if *state == SlotState::Retired => slot.login = None,
                    None => {}
                }
            }
            PostgresStep::ForgetDatabase { .. } => {
                let row = self.row(tenant);
                (row.phase, row.database_oid, row.adopted) = (Phase::Claimed, None, false);
                (row.phase, row.database_oid) = (Phase::Claimed, None);
                row.scripts.clear();
            }
            PostgresStep::RecordDatabase { database } => {
                let oid = self.database(database).oid;
                self.row(tenant).database_oid = Some(oid);
            }
            PostgresStep::OwnSchema { schema, owner, .. } => {
                self.inside(&tenant.database).schemas.insert(schema.clone(), owner.clone()).expect("a schema");
            }
            PostgresStep::CreateSchema { schema, owner } => {
                self.inside(&tenant.database).schemas.entry(schema.clone()).or_insert_with(|| owner.clone());
            }
            PostgresStep::CreateExtension { extension, schema, version, making } => {
                let inside = self.inside(&tenant.database);
                if let Making::New { owner } = making {
                    let owner = owner.clone().unwrap_or_default();
                    assert!(inside.schemas.insert(schema.clone(), owner).is_none(), "schema {schema} exists");
                }
                assert!(inside.schemas.contains_key(schema), "no schema {schema}");
                let installed = Installed {
                    version: version.clone().unwrap_or_else(|| "1.0".to_owned()),
                    schema: schema.clone(),
                    owner: ESTATE.to_owned(),
                    relocatable: true,
                };
                assert!(inside.extensions.insert(extension.clone(), installed).is_none(), "{extension} exists");
            }
            PostgresStep::ChangeExtension { extension, change, .. } => match change {
                Change::Version { version, .. } => {
                    version.clone_into(&mut self.extension(tenant, extension).version);
                }
                Change::Schema(schema) => {
                    assert!(self.inside(&tenant.database).schemas.contains_key(schema), "no schema {schema}");
                    schema.clone_into(&mut self.extension(tenant, extension).schema);
                }
            },
            PostgresStep::RunScript { role, database, script } => {
                let login = in_hand.login.as_ref().expect("a login");
                assert_eq!(self.accepted.get(role), Some(login), "{role} can't log in");
                assert!(self.database(database).allows_connections, "database {database} is closed");
                self.role(role).settings.insert((Some(database.clone()), MARKED.to_owned()), init::mark(script));
                self.ran.push(script.name().to_owned());
            }
            PostgresStep::RecordScript { role, database, name, digest, declared } => {
                let setting = (Some(database.clone()), MARKED.to_owned());
                match declared {
                    Some(declared) => drop(self.role(role).settings.insert(setting, declared.clone())),
                    None => drop(self.role(role).settings.remove(&setting)),
                }
                let row = ScriptRow { name: name.clone(), digest: digest.clone() };
                self.row(tenant).scripts.push(row);
            }
            PostgresStep::RecordDelivery { role, place, location, secret_name, generation } => {
                let login = in_hand.login.clone().expect("a login");
                let slot = self.slot(tenant, role);
                (slot.state, slot.place) = (SlotState::Active, None);
                let delivered =
                    Delivered { place: place.clone(), location: location.clone(), login, generation: *generation };
                let row = self.row(tenant);
                row.deliveries.retain(|delivery| delivery.delivered.place != *place);
                row.deliveries.push(DeliveryRow { delivered, secret_name: secret_name.parse().expect("a name") });
            }
            PostgresStep::Settle { applied, origin, .. } => {
                let row = self.row(tenant);
                row.phase = Phase::Provisioned;
                row.applied = (**applied).clone();
                row.origin = origin.clone().or(row.origin.take());
            }
            PostgresStep::EndSessions { database, own, strangers, outsiders, .. } => {
                let sessions = &mut self.database(database).sessions;
                sessions.retain(|login, _| ![own, strangers, outsiders].iter().any(|ended| ended.contains(login)));
            }
            PostgresStep::EndLocks { logins, roles, .. } => {
                for role in roles {
                    self.role(role).locked_by.retain(|login| !logins.contains(login));
                }
            }
            PostgresStep::RecordChange { .. } => {}
            PostgresStep::RecordDeletion { overruled } => {
                let row = self.row(tenant);
                row.phase = Phase::Deleting;
                if let Some(applied) = overruled {
                    row.applied = (**applied).clone();
                }
            }
            PostgresStep::DropDatabase { database } => {
                assert!(self.observed.shared.databases.contains_key(database), "no database {database}");
                self.drop_database(database);
            }
            PostgresStep::LeaveDatabase { roles, database, .. } => {
                self.observed.ties.entry(database.clone()).or_default().retain(|role, _| !roles.contains(role));
            }
            PostgresStep::EmptySlot { role, database, stays, .. } => {
                if let Some(ties) = self.observed.ties.get_mut(database) {
                    ties.remove(role);
                }
                for found in self.observed.shared.databases.values_mut() {
                    found.grants.remove(&Some(role.clone()));
                }
                if *stays {
                    let let_in = privileges(&["CONNECT", "TEMPORARY"]);
                    self.database(database).grants.insert(Some(role.clone()), let_in);
                }
            }
            PostgresStep::DropRoles { roles } => self.drop_roles(roles),
            PostgresStep::RecordOrphan { database, logins } => {
                let row = self.row(tenant);
                row.phase = Phase::Orphaned;
                if !database {
                    row.database_oid = None;
                    row.scripts.clear();
                }
                if !logins {
                    retire(row);
                }
            }
            PostgresStep::Forget => {
                let ledger = self.observed.ledger.as_mut().expect("a ledger");
                let row = ledger.tenants.remove(&tenant.claim).or_else(|| ledger.accounts.remove(&tenant.claim));
                row.expect("a claim");
                ledger.roles.retain(|_, holder| *holder != tenant.claim);
            }
        }
    }

    fn make_role(&mut self, name: &str, role: Role) {
        assert!(self.observed.shared.roles.insert(name.to_owned(), role).is_none(), "{name} exists");
        self.role(ESTATE).administers.insert(name.to_owned());
    }

    /// A database takes with it what was set in it.
    pub(super) fn drop_database(&mut self, name: &str) {
        self.observed.shared.databases.remove(name);
        self.observed.inside.remove(name);
        for role in self.observed.shared.roles.values_mut() {
            role.settings.retain(|(scope, _), _| scope.as_deref() != Some(name));
        }
    }

    fn drop_roles(&mut self, roles: &[String]) {
        for role in roles {
            let granted = |database: &Database| database.grants.contains_key(&Some(role.clone()));
            assert!(!self.observed.shared.databases.values().any(granted), "{role} still has privileges");
            self.observed.shared.roles.remove(role).expect("a role");
            for other in self.observed.shared.roles.values_mut() {
                other.member_of.remove(role);
                other.inherits.remove(role);
                other.members.remove(role);
            }
            self.accepted.remove(role);
        }
    }
}

fn settings_in(
    database: Option<&String>,
    settings: &BTreeMap<String, String>,
) -> impl Iterator<Item = ((Option<String>, String), String)> {
    settings.iter().map(move |(name, value)| ((database.cloned(), name.clone()), value.clone()))
}

/// As whom a login logs in.
pub(super) fn username(login: &Digest) -> SqlName {
    login.as_str().split(' ').next().and_then(|name| name.parse().ok()).expect("a login that was made here")
}

fn unlimited() -> Role {
    Role { connection_limit: -1, ..Role::default() }
}

fn retired(role: &str) -> SlotRow {
    SlotRow { role: role.to_owned(), state: SlotState::Retired, generation: Generation(0), login: None, place: None }
}

fn retire(row: &mut TenantRow) {
    row.deliveries.clear();
    for slot in row.slots.values_mut() {
        (slot.state, slot.login, slot.place) = (SlotState::Retired, None, None);
    }
}

fn privileges(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
