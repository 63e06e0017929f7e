//! What the steps write into the ledger, in the same transaction as what they do.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_core::names::DERIVED_SUFFIXES;
use tenantdb_core::{Authority, Claim, Digest, Failure, Generation, Login, Origin, Phase, PlaceId, Slot};
use tenantdb_credentials::SlotState;

use super::{Hold, bug};
use crate::connect::{Connections, Session, Statement};
use crate::ledger::{self, Applied, ROLE_DDL_LOCK};
use crate::sql::{text, text_or_null, texts};
use crate::step::{Adopted, ContentStep, LedgerStep, LevelStep, LoginStep, PostgresStep};

/// What is committed after this does not wait for the disk. The server writes its log in order (PostgreSQL documentation,
/// 28.4): nothing that is committed later is ever there without it, and [`flush`] ends a pass.
pub(super) const DURABLE_LATER: &str = "SET LOCAL synchronous_commit = off";

/// Waits until all that was committed before is on the server's disk. A commit waits only if it wrote something.
pub(crate) async fn flush(session: &Session) -> Result<(), Failure> {
    session
        .run(&[Statement::labelled("UPDATE ledger.server SET version = version", "wait for the server's disk")])
        .await
}

/// Takes a tenant's names, all or none. Somebody who has one of them already makes the plan stale: the next look
/// tells who it is.
pub(super) async fn claim(connections: &Connections, hold: &mut Hold, step: &PostgresStep) -> Result<(), Failure> {
    let insert = match step {
        PostgresStep::Ledger(step) => claimed(step, hold).or_else(|| recovered(step, &hold.claim)),
        _ => None,
    };
    let mut insert = insert.ok_or_else(|| bug("a claim that is none"))?;
    // Before its credential is published, something that waits for the disk is done to a database: only a marker comes first.
    if matches!(step, PostgresStep::Ledger(LedgerStep::Claim { database: Some(_), .. })) {
        insert = format!("{DURABLE_LATER}; {insert}");
    }
    let session = connections.ledger().await?;
    let claimed = session.column(&Statement::labelled(insert, "claim")).await?;
    hold.id = claimed.first().and_then(|id| id.parse().ok());
    hold.epoch = 1;
    Ok(())
}

/// What takes the names of a tenant that is new.
fn claimed(step: &LedgerStep, hold: &Hold) -> Option<String> {
    let LedgerStep::Claim { database, owner, slots, reserved, applied, adopted } = step else { return None };
    let retired = Some(SlotState::Retired);
    let owner_state = match adopted {
        Some(adopted) if adopted.login => Some(SlotState::Draining),
        _ => retired.filter(|_| slots.contains_key(&Slot::Owner)),
    };
    let owner = (owner, "Owner", None, owner_state);
    let slots = slots.iter().filter_map(|(slot, role)| Some((role, "Slot", Some(slot.letter()?), retired)));
    let reserved = reserved.iter().map(|role| (role, "Reserved", None, None));
    let begun = |adopted: &Adopted| format!("begin to adopt database {} from {}", hold.database, adopted.from);
    let row = NewRow {
        claim: &hold.claim,
        database: database.as_ref(),
        oid: adopted.as_ref().map(|adopted| adopted.oid),
        adopted: adopted.is_some(),
        phase: Phase::Claimed,
        applied: applied.claimed(),
        roles: std::iter::once(owner).chain(slots).chain(reserved).collect(),
        scripts: Vec::new(),
        action: adopted.as_ref().map(begun),
    };
    Some(row.insert())
}

/// What gives the ledger a tenant back that it lost.
fn recovered(step: &LedgerStep, claim: &Claim) -> Option<String> {
    let LedgerStep::Recover { database, owner, slots, levels, reserved, scripts, applied } = step else {
        return None;
    };
    let owner = (owner, "Owner", None, slots.get(&Slot::Owner).map(|(_, state)| *state));
    let letters = slots.iter().filter_map(|(slot, found)| Some((slot.letter()?, found)));
    let slots = letters.map(|(letter, (role, state))| (role, "Slot", Some(letter), Some(*state)));
    let levels = levels.iter().map(|role| (role, "Level", None, None));
    let reserved = reserved.iter().map(|role| (role, "Reserved", None, None));
    let row = NewRow {
        claim,
        database: database.as_ref().map(|(name, _)| name),
        oid: database.as_ref().map(|(_, oid)| *oid),
        adopted: false,
        phase: if database.is_some() { Phase::Claimed } else { Phase::Provisioned },
        applied: (**applied).clone(),
        roles: std::iter::once(owner).chain(slots).chain(levels).chain(reserved).collect(),
        scripts: scripts.iter().collect(),
        action: Some("recover what the ledger had lost".to_owned()),
    };
    Some(row.insert())
}

/// A tenant that the ledger does not know yet, with all that is told of it at once.
struct NewRow<'a> {
    claim: &'a Claim,
    database: Option<&'a String>,
    oid: Option<u32>,
    adopted: bool,
    phase: Phase,
    applied: Applied,
    /// Each with its purpose, the letter of a slot, and the state of what logs in.
    roles: Vec<(&'a String, &'static str, Option<&'static str>, Option<SlotState>)>,
    /// Names and digests of those that ran.
    scripts: Vec<&'a (String, Digest)>,
    /// What the audit trail calls it, if it does.
    action: Option<String>,
}

impl NewRow<'_> {
    fn insert(&self) -> String {
        let Claim { authority, kind, namespace, name, .. } = self.claim;
        let role = |(role, purpose, letter, state): &(&String, &str, Option<&str>, Option<SlotState>)| {
            let state = state.map(SlotState::as_str);
            format!("({}, '{purpose}', {}, {})", text(role), text_or_null(*letter), text_or_null(state))
        };
        let roles: Vec<String> = self.roles.iter().map(role).collect();
        let script = |(name, digest): &&(String, Digest)| format!("({}, {})", text(digest.as_str()), text(name));
        let scripts: Vec<String> = self.scripts.iter().map(script).collect();
        let ran = format!(
            ", ran AS (INSERT INTO ledger.script (tenant, digest, name) SELECT DISTINCT ON (s.digest) claimed.id, \
             s.digest, s.name FROM claimed, (VALUES {}) AS s (digest, name))",
            scripts.join(", ")
        );
        format!(
            "WITH claimed AS (INSERT INTO ledger.tenant (authority, kind, namespace, name, access, database_name, phase, \
             applied, database_oid, adopted) VALUES ({}, {}, {}, {}, {}, {}, '{}', {}, {}, {}) RETURNING id), \
             named AS (INSERT INTO ledger.role (tenant, name, purpose, slot, state) \
             SELECT claimed.id, r.name, r.purpose, r.slot, r.state FROM claimed, \
             (VALUES {}) AS r (name, purpose, slot, state)){}{} \
             SELECT id FROM claimed",
            text(authority.as_str()),
            text(kind),
            text(namespace.as_str()),
            text(name.as_str()),
            text(access(self.claim)),
            text_or_null(self.database),
            self.phase.as_str(),
            text(self.applied.to_stored()),
            self.oid.map_or_else(|| "NULL".to_owned(), |oid| oid.to_string()),
            self.adopted,
            roles.join(", "),
            if scripts.is_empty() { "" } else { &ran },
            self.action
                .as_ref()
                .map_or_else(String::new, |action| { format!(", noted AS ({})", audit_of(self.claim, action)) })
        )
    }
}

/// Gives an authority's tenants to another. Whoever is working on one of them finds that it has changed, and looks again.
pub(crate) async fn take_over(
    session: &Session,
    from: &Authority,
    to: &Authority,
    forgotten: &BTreeSet<Claim>,
    origins: Option<&BTreeMap<Claim, Origin>>,
) -> Result<(), Failure> {
    let forget = forgotten.iter().map(|claim| Statement::new(forget_delivery(claim)));
    let nowhere = if origins.is_none() { ", cluster_uid = NULL, namespace_uid = NULL" } else { "" };
    let (earlier, later) = (text(from.as_str()), text(to.as_str()));
    let taken = format!(
        "WITH taken AS (UPDATE ledger.tenant SET authority = {later}, epoch = epoch + 1{nowhere} \
         WHERE authority = {earlier} RETURNING kind, namespace, name, access) \
         INSERT INTO ledger.audit (authority, kind, namespace, name, access, action) \
         SELECT {later}, kind, namespace, name, access, 'taken over from ' || {earlier} FROM taken"
    );
    let lock =
        Statement::labelled(format!("SELECT pg_advisory_xact_lock({ROLE_DDL_LOCK})"), "waiting for other changes");
    // Who has them already has them for declarations that stand elsewhere.
    let taken = (from != to).then_some(taken);
    let stand = origins.into_iter().flatten().flat_map(|(claim, origin)| {
        let (claim, position) = (claim.of(to), stands_at(origin));
        let update = format!("UPDATE ledger.tenant SET epoch = epoch + 1{position} WHERE {}", is_of(&claim));
        [Some(update), (from == to).then(|| audit_of(&claim, "taken over from where it stood"))].into_iter().flatten()
    });
    let rest = taken.into_iter().chain(stand).map(|text| Statement::labelled(text, "take over"));
    let statements: Vec<Statement> = std::iter::once(lock).chain(forget).chain(rest).collect();
    session.transaction(&statements).await
}

fn forget_delivery(claim: &Claim) -> String {
    format!("DELETE FROM ledger.delivery d USING ledger.tenant t WHERE t.id = d.tenant AND {}", is_of(claim))
}

/// Selects the row of a claim.
fn is_of(claim: &Claim) -> String {
    format!(
        "authority = {} AND kind = {} AND namespace = {} AND name = {} AND access = {}",
        text(claim.authority.as_str()),
        text(claim.kind),
        text(claim.namespace.as_str()),
        text(claim.name.as_str()),
        text(access(claim)),
    )
}

/// Trusts a ledger that was restored; each tenant's history says since when.
pub(crate) async fn accept_ledger(session: &Session) -> Result<(), Failure> {
    let accepted = "UPDATE ledger.server SET table_oid = 'ledger.server'::regclass, \
                    database_oid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let noted = "INSERT INTO ledger.audit (authority, kind, namespace, name, access, action) \
                 SELECT authority, kind, namespace, name, access, 'accept the restored ledger' FROM ledger.tenant";
    session.transaction(&[Statement::labelled(accepted, "accept the ledger"), Statement::new(noted)]).await
}

/// Notes which logins are in which databases.
pub(crate) async fn note_sightings(session: &Session, seen: &[(u32, &String)]) -> Result<(), Failure> {
    session.run(&[Statement::labelled(ledger::note_sightings(seen), "note who is there")]).await
}

/// What a step writes into the ledger.
pub(super) fn statements(step: &PostgresStep, hold: &Hold, id: i64, login: Option<&Login>) -> Vec<Statement> {
    let texts = match step {
        PostgresStep::Ledger(step) => of_ledger(step, hold, id, login),
        PostgresStep::Login(LoginStep::RetireLogin { role, .. }) => vec![
            record_slot(Slot::Owner, role, SlotState::Retired, None, None, None),
            audit(hold, &format!("retire login {role}")),
        ],
        PostgresStep::Login(LoginStep::EndLogins { from, roles }) => vec![
            forget_deliveries(id),
            retire_slots(id),
            audit_of(from, &format!("end logins {}, for {}", roles.join(", "), hold.claim)),
        ],
        PostgresStep::Level(LevelStep::CreateLevel { role }) => record_level(id, role),
        PostgresStep::Level(LevelStep::DropLevels { roles }) => forget_levels(id, &hold.owner, roles),
        PostgresStep::Content(ContentStep::RecordScript { name, digest, .. }) => vec![
            format!(
                "INSERT INTO ledger.script (tenant, digest, name) VALUES ({id}, {}, {})",
                text(digest.as_str()),
                text(name)
            ),
            audit(hold, &format!("run script {name}")),
        ],
        _ => Vec::new(),
    };
    texts.into_iter().map(|text| Statement::labelled(text, "ledger")).collect()
}

/// What a step of the ledger's own writes.
fn of_ledger(step: &LedgerStep, hold: &Hold, id: i64, login: Option<&Login>) -> Vec<String> {
    match step {
        LedgerStep::RecordSlot { slot, role, state, generation, place } => {
            vec![record_slot(*slot, role, *state, *generation, place.as_ref(), login)]
        }
        LedgerStep::TakeOver { from, .. } => take_over_orphan(hold, id, from),
        LedgerStep::ForgetDatabase { .. } => {
            let phase = Phase::Claimed.as_str();
            let forgotten = format!(
                "UPDATE ledger.tenant SET phase = '{phase}', database_oid = NULL, adopted = false WHERE id = {id}"
            );
            vec![forgotten, forget_scripts(id)]
        }
        LedgerStep::AcceptDatabase { database, oid, had } => vec![
            format!("UPDATE ledger.tenant SET database_oid = {oid} WHERE id = {id} AND database_oid = {had}"),
            format!("UPDATE ledger.sighting SET database = {oid} WHERE database = {had}"),
            audit(hold, &format!("accept database {database} as restored (OID {oid}, before {had})")),
        ],
        LedgerStep::RecordDatabase { database } => vec![format!(
            "UPDATE ledger.tenant SET database_oid = (SELECT oid FROM pg_database WHERE datname = {}) WHERE id = {id}",
            text(database)
        )],
        LedgerStep::RecordDelivery { role, place, location, secret_name, generation } => vec![
            deliver_slot(role),
            record_delivery(id, place, location, secret_name, *generation, login),
            audit(hold, &format!("deliver generation {generation}")),
        ],
        LedgerStep::Settle { applied, origin, action, .. } => {
            vec![settle(id, applied, origin.as_ref()), audit(hold, action)]
        }
        LedgerStep::RecordChange { action } => vec![audit(hold, action)],
        LedgerStep::RecordDeletion { overruled } => {
            let word = if overruled.is_some() { "begin to purge" } else { "begin to delete" };
            vec![record_deletion(id, overruled.as_deref()), audit(hold, word)]
        }
        LedgerStep::RecordOrphan { database, logins } => record_orphan(hold, id, *database, *logins),
        LedgerStep::Forget => vec![format!("DELETE FROM ledger.tenant WHERE id = {id}"), audit(hold, "delete")],
        // Both have a transaction of their own.
        LedgerStep::Claim { .. } | LedgerStep::Recover { .. } => Vec::new(),
    }
}

fn deliver_slot(role: &str) -> String {
    format!(
        "UPDATE ledger.role SET state = '{}', place = NULL, changed_at = now() WHERE name = {}",
        SlotState::Active.as_str(),
        text(role)
    )
}

fn record_delivery(
    id: i64,
    place: &PlaceId,
    location: &str,
    secret_name: &str,
    generation: Generation,
    login: Option<&Login>,
) -> String {
    let digest = text_or_null(login.map(|login| login.digest().as_str().to_owned()));
    format!(
        "INSERT INTO ledger.delivery (tenant, place, location, secret_name, generation, login_digest) \
         VALUES ({id}, {}, {}, {}, {generation}, {digest}) \
         ON CONFLICT (tenant, place) DO UPDATE SET location = EXCLUDED.location, \
         secret_name = EXCLUDED.secret_name, generation = EXCLUDED.generation, \
         issued_at = CASE delivery.generation WHEN EXCLUDED.generation THEN delivery.issued_at ELSE now() END, \
         login_digest = EXCLUDED.login_digest, confirmed_at = now()",
        text(&place.0),
        text(location),
        text(secret_name)
    )
}

fn settle(id: i64, applied: &Applied, origin: Option<&Origin>) -> String {
    format!(
        "UPDATE ledger.tenant SET phase = '{}', orphaned_at = NULL, applied = {}{} WHERE id = {id}",
        Phase::Provisioned.as_str(),
        text(applied.to_stored()),
        origin.map_or_else(String::new, stands_at)
    )
}

fn record_deletion(id: i64, overruled: Option<&Applied>) -> String {
    let applied = overruled.map_or_else(String::new, |applied| format!(", applied = {}", text(applied.to_stored())));
    format!("UPDATE ledger.tenant SET phase = '{}'{applied} WHERE id = {id}", Phase::Deleting.as_str())
}

fn stands_at(Origin { cluster, namespace }: &Origin) -> String {
    format!(", cluster_uid = {}, namespace_uid = {}", text(cluster), text(namespace))
}

/// The role's name may only have been reserved until now.
fn record_slot(
    slot: Slot,
    role: &str,
    state: SlotState,
    generation: Option<Generation>,
    place: Option<&PlaceId>,
    login: Option<&Login>,
) -> String {
    let place = text_or_null(place.map(|place| place.0.as_str()));
    let given = match (generation, login) {
        (Some(Generation(generation)), Some(login)) => {
            format!(", generation = {generation}, login_digest = {}", text(login.digest().as_str()))
        }
        _ if state == SlotState::Retired => ", login_digest = NULL".to_owned(),
        _ => String::new(),
    };
    let purpose = slot.letter().map_or_else(String::new, |letter| format!("purpose = 'Slot', slot = '{letter}', "));
    format!(
        "UPDATE ledger.role SET {purpose}state = '{}', place = {place}, changed_at = now(){given} WHERE name = {}",
        state.as_str(),
        text(role)
    )
}

/// The role's name may have been reserved; somebody else's makes the insertion fail.
fn record_level(id: i64, role: &str) -> Vec<String> {
    let role = text(role);
    vec![
        format!("UPDATE ledger.role SET purpose = 'Level' WHERE name = {role} AND tenant = {id}"),
        format!(
            "INSERT INTO ledger.role (tenant, name, purpose) SELECT {id}, {role}, 'Level' \
             WHERE NOT EXISTS (SELECT FROM ledger.role WHERE name = {role} AND tenant = {id})"
        ),
    ]
}

/// Those that the tenant has reserved from the beginning stay reserved.
fn forget_levels(id: i64, owner: &str, roles: &[String]) -> Vec<String> {
    let own = DERIVED_SUFFIXES.map(|suffix| format!("{owner}{suffix}"));
    let (reserved, others): (Vec<&String>, Vec<&String>) = roles.iter().partition(|role| own.contains(role));
    let of = |roles: &[&String]| format!("tenant = {id} AND name IN ({})", texts(roles));
    let keep =
        (!reserved.is_empty()).then(|| format!("UPDATE ledger.role SET purpose = 'Reserved' WHERE {}", of(&reserved)));
    let forget = (!others.is_empty()).then(|| format!("DELETE FROM ledger.role WHERE {}", of(&others)));
    keep.into_iter().chain(forget).collect()
}

fn record_orphan(hold: &Hold, id: i64, database: bool, logins: bool) -> Vec<String> {
    let oid = if database { "" } else { ", database_oid = NULL" };
    let phase = Phase::Orphaned.as_str();
    let mut statements =
        vec![format!("UPDATE ledger.tenant SET phase = '{phase}', orphaned_at = now(){oid} WHERE id = {id}")];
    if !database {
        statements.push(forget_scripts(id));
    }
    if !logins {
        statements.push(forget_deliveries(id));
        statements.push(retire_slots(id));
    }
    statements.push(audit(hold, "orphan"));
    statements
}

fn retire_slots(id: i64) -> String {
    format!(
        "UPDATE ledger.role SET state = '{}', login_digest = NULL, place = NULL, changed_at = now() \
         WHERE tenant = {id} AND state IS NOT NULL",
        SlotState::Retired.as_str()
    )
}

/// Its roles and its database stay with the row, which is somebody else's from here on.
fn take_over_orphan(hold: &Hold, id: i64, from: &Claim) -> Vec<String> {
    let Claim { authority, kind, namespace, name, .. } = &hold.claim;
    vec![
        format!(
            "UPDATE ledger.tenant SET authority = {}, kind = {}, namespace = {}, name = {}, phase = '{}', \
             orphaned_at = NULL, adopted = false WHERE id = {id}",
            text(authority.as_str()),
            text(kind),
            text(namespace.as_str()),
            text(name.as_str()),
            Phase::Claimed.as_str()
        ),
        audit_of(from, &format!("taken over by {}", hold.claim)),
        audit(hold, &format!("take over from {from}")),
    ]
}

/// The name of a further login as the ledger has it.
fn access(claim: &Claim) -> &str {
    claim.access.as_ref().map_or("", AsRef::as_ref)
}

fn forget_deliveries(id: i64) -> String {
    format!("DELETE FROM ledger.delivery WHERE tenant = {id}")
}

/// What ran in a database went with it.
fn forget_scripts(id: i64) -> String {
    format!("DELETE FROM ledger.script WHERE tenant = {id}")
}

fn audit(hold: &Hold, action: &str) -> String {
    audit_of(&hold.claim, action)
}

fn audit_of(claim: &Claim, action: &str) -> String {
    let Claim { authority, kind, namespace, name, .. } = claim;
    format!(
        "INSERT INTO ledger.audit (authority, kind, namespace, name, access, action) VALUES ({}, {}, {}, {}, {}, {})",
        text(authority.as_str()),
        text(kind),
        text(namespace.as_str()),
        text(name.as_str()),
        text(access(claim)),
        text(action)
    )
}
