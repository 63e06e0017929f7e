//! The rows of the ledger.

use super::*;

impl World {
    pub(super) fn ledger_step(&mut self, tenant: &TenantPlan<PostgresStep>, step: &LedgerStep, in_hand: &InHand) {
        match step {
            LedgerStep::Claim { database, reserved, .. } => {
                let row = claimed(self.next, tenant, step).expect("a claim");
                self.insert(row, database.is_some(), reserved);
            }
            LedgerStep::Recover { database, reserved, .. } => {
                let row = recovered(self.next, tenant, step).expect("a recovery");
                self.insert(row, database.is_some(), reserved);
            }
            LedgerStep::AcceptDatabase { oid, had, .. } => {
                let known = self.row(tenant).database_oid.replace(*oid);
                assert_eq!(known, Some(*had));
            }
            LedgerStep::TakeOver { from, .. } => self.take_over(from, tenant),
            LedgerStep::RecordSlot { slot, role, state, generation, place } => {
                let slot = self.row(tenant).slots.entry(*slot).or_insert_with(|| retired(role));
                slot.state = *state;
                slot.place.clone_from(place);
                match generation {
                    Some(generation) => (slot.generation, slot.login) = (*generation, in_hand.login.clone()),
                    None if *state == SlotState::Retired => slot.login = None,
                    None => {}
                }
            }
            LedgerStep::ForgetDatabase { .. } => {
                let row = self.row(tenant);
                (row.phase, row.database_oid, row.adopted) = (Phase::Claimed, None, false);
                row.scripts.clear();
            }
            LedgerStep::RecordDatabase { database } => {
                let oid = self.database(database).oid;
                self.row(tenant).database_oid = Some(oid);
            }
            LedgerStep::RecordDelivery { role, place, location, secret_name, generation } => {
                let (place, location, generation) = (place.clone(), location.clone(), *generation);
                let delivered = Delivered { place, location, login: in_hand.login(), generation };
                self.delivered(
                    tenant,
                    role,
                    DeliveryRow { delivered, secret_name: secret_name.parse().expect("a name") },
                );
            }
            LedgerStep::Settle { applied, origin, .. } => {
                let row = self.row(tenant);
                row.phase = Phase::Provisioned;
                row.applied = (**applied).clone();
                row.origin = origin.clone().or(row.origin.take());
            }
            LedgerStep::RecordChange { .. } => {}
            LedgerStep::RecordDeletion { overruled } => {
                let row = self.row(tenant);
                row.phase = Phase::Deleting;
                if let Some(applied) = overruled {
                    row.applied = (**applied).clone();
                }
            }
            LedgerStep::RecordOrphan { database, logins } => orphan(self.row(tenant), *database, *logins),
            LedgerStep::Forget => self.forget(&tenant.claim),
        }
    }

    fn delivered(&mut self, tenant: &TenantPlan<PostgresStep>, role: &str, delivery: DeliveryRow) {
        let slot = self.slot(tenant, role);
        (slot.state, slot.place) = (SlotState::Active, None);
        let deliveries = &mut self.row(tenant).deliveries;
        deliveries.retain(|earlier| earlier.delivered.place != delivery.delivered.place);
        deliveries.push(delivery);
    }

    fn forget(&mut self, claim: &Claim) {
        let ledger = self.ledger();
        let row = ledger.tenants.remove(claim).or_else(|| ledger.accounts.remove(claim));
        row.expect("a claim");
        ledger.roles.retain(|_, holder| holder != claim);
    }

    fn insert(&mut self, row: TenantRow, has_database: bool, reserved: &[String]) {
        let ledger = self.ledger();
        let names: BTreeSet<&String> = row.roles().into_iter().chain(reserved).collect();
        ledger.roles.extend(names.into_iter().map(|name| (name.clone(), row.claim.clone())));
        let rows = if has_database { &mut ledger.tenants } else { &mut ledger.accounts };
        assert!(rows.insert(row.claim.clone(), row).is_none(), "claimed twice");
    }

    fn take_over(&mut self, from: &Claim, tenant: &TenantPlan<PostgresStep>) {
        let mut row = self.ledger().tenants.remove(from).expect("an orphan");
        let shared = &self.observed.shared;
        for SlotRow { role, .. } in row.slots.values() {
            assert!(!shared.roles.get(role).is_some_and(|found| found.login), "{role} can still log in");
            assert!(!shared.databases.values().any(|all| all.sessions.contains_key(role)), "{role} is still in it");
        }
        (row.claim, row.phase, row.adopted) = (tenant.claim.clone(), Phase::Claimed, false);
        let ledger = self.ledger();
        for holder in ledger.roles.values_mut().filter(|holder| *holder == from) {
            holder.clone_from(&tenant.claim);
        }
        assert!(ledger.tenants.insert(tenant.claim.clone(), row).is_none(), "claimed twice");
    }
}

fn claimed(id: u32, tenant: &TenantPlan<PostgresStep>, step: &LedgerStep) -> Option<TenantRow> {
    let LedgerStep::Claim { database, owner, slots, applied, adopted, .. } = step else { return None };
    let mut slots: BTreeMap<Slot, SlotRow> = slots.iter().map(|(slot, role)| (*slot, retired(role))).collect();
    if adopted.as_ref().is_some_and(|adopted| adopted.login) {
        slots.insert(Slot::Owner, SlotRow { state: SlotState::Draining, ..retired(owner) });
    }
    Some(TenantRow {
        database_oid: adopted.as_ref().map(|adopted| adopted.oid),
        adopted: adopted.is_some(),
        applied: Applied { logins: applied.logins, ..Applied::default() },
        slots,
        ..begun(id, tenant, database.as_ref(), owner)
    })
}

fn recovered(id: u32, tenant: &TenantPlan<PostgresStep>, step: &LedgerStep) -> Option<TenantRow> {
    let LedgerStep::Recover { database, owner, slots, levels, scripts, applied, .. } = step else { return None };
    let slots = slots.iter().map(|(slot, (role, state))| (*slot, SlotRow { state: *state, ..retired(role) }));
    let scripts = scripts.iter().cloned().map(|(name, digest)| ScriptRow { name, digest });
    Some(TenantRow {
        database_oid: database.as_ref().map(|(_, oid)| *oid),
        phase: if database.is_some() { Phase::Claimed } else { Phase::Provisioned },
        applied: (**applied).clone(),
        slots: slots.collect(),
        levels: levels.clone(),
        scripts: scripts.collect(),
        ..begun(id, tenant, database.as_ref().map(|(name, _)| name), owner)
    })
}

/// A row that knows no more than names.
fn begun(id: u32, tenant: &TenantPlan<PostgresStep>, database: Option<&String>, owner: &str) -> TenantRow {
    TenantRow {
        id: i64::from(id),
        claim: tenant.claim.clone(),
        database: database.unwrap_or(&tenant.database).clone(),
        database_oid: None,
        owner: owner.to_owned(),
        adopted: false,
        phase: Phase::Claimed,
        applied: Applied::default(),
        epoch: 1,
        slots: BTreeMap::new(),
        levels: BTreeSet::new(),
        deliveries: Vec::new(),
        scripts: Vec::new(),
        origin: None,
    }
}

fn retired(role: &str) -> SlotRow {
    SlotRow { role: role.to_owned(), state: SlotState::Retired, generation: Generation(0), login: None, place: None }
}

fn orphan(row: &mut TenantRow, has_database: bool, has_logins: bool) {
    row.phase = Phase::Orphaned;
    if !has_database {
        row.database_oid = None;
        row.scripts.clear();
    }
    if !has_logins {
        retire(row);
    }
}

/// Ends all that its logins were.
pub(super) fn retire(row: &mut TenantRow) {
    row.deliveries.clear();
    for slot in row.slots.values_mut() {
        (slot.state, slot.login, slot.place) = (SlotState::Retired, None, None);
    }
}
