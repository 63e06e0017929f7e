//! A tenant's credential and its login slots, as the rules of custody decide.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tenantdb_api::{ObjectName, SqlName};
use tenantdb_core::names::TenantNames;
use tenantdb_core::{Held, Login, LoginScheme, PlaceId, PlaceView, Provenance, Refusal, RefusalKind, Slot, Version};
use tenantdb_credentials::{Decision, Facts, OnServer, SlotFacts, SlotState, decide};

use super::recovery;
use crate::desired::Tenant;
use crate::ledger::{DeliveryRow, SlotRow, TenantRow};
use crate::observe::Shared;

/// What is decided about a tenant's credential, and which of its slots have to log in afterwards.
pub(super) struct Custody {
    pub(super) decision: Decision,
    pub(super) slots: BTreeMap<Slot, SlotPlan>,
}

/// One slot, now and afterwards.
pub(super) struct SlotPlan {
    pub(super) slot: Slot,
    pub(super) role: String,
    pub(super) state: SlotState,
    /// Whether it has to log in afterwards.
    pub(super) logs_in: bool,
    /// Whether its login is set with the credential in hand.
    pub(super) set: bool,
    /// Whether it has the credential in hand, and the ledger does not know.
    pub(super) found: bool,
}

impl Custody {
    /// Whether a slot has the credential in hand from here on.
    pub(super) fn gives(&self, slot: Slot) -> bool {
        self.slots.get(&slot).is_some_and(|slot| slot.set || slot.found)
    }
}

/// Decides, from what the ledger, the server and the place say.
pub(super) fn custody(
    tenant: &Tenant,
    names: &TenantNames,
    row: Option<&TenantRow>,
    shared: &Shared,
    place: &PlaceView,
    reissue: bool,
) -> Result<Custody, Refusal> {
    let delivery = row.and_then(|row| row.deliveries.last());
    if let Some(delivery) = delivery.filter(|delivery| delivery.delivered.place == place.id) {
        stays_there(delivery, &tenant.secret_name)?;
    }
    let nothing = Held::Nothing { version: Version::default() };
    let held = match place.held.get(&tenant.claim) {
        Some(Ok(held)) => held,
        Some(Err(message)) => {
            return Err(Refusal::new(RefusalKind::Deferral, format!("its credential can't be read: {message}"))
                .hint("make it readable again, and run it again"));
        }
        None => &nothing,
    };
    let scheme = tenant.applied.logins;
    let held = without_blank(held, scheme);
    let held = held.as_ref();
    let is_its_own = |slot: Slot| {
        is_standing(slot, scheme, row) || is_free(slot, names, shared) || recovery::is_slot(tenant, slot, shared)
    };
    // Whoever may write the Secret may name any slot in it: a login that somebody else made is not the tenant's to take.
    let of_place = named(held, names, scheme).filter(|slot| is_its_own(*slot));
    let accepted = of_place.filter(|_| place.accepted.contains(&tenant.claim));
    let vouched = of_place.filter(|_| matches!(held, Held::Credential { provenance: Provenance::Vouched, .. }));
    let facts: Vec<SlotFacts> = scheme
        .slots()
        .iter()
        .filter(|slot| {
            is_standing(**slot, scheme, row) || is_free(**slot, names, shared) || accepted.or(vouched) == Some(**slot)
        })
        .map(|slot| facts(*slot, names, row, shared, &place.id))
        .collect();
    let decision = decide(Facts {
        scheme,
        slots: &facts,
        delivered: delivery.map(|delivery| &delivery.delivered),
        here: &place.id,
        held,
        refused: place.refused.contains(&tenant.claim),
        accepted,
        vouched,
        reissue,
    });
    if let Decision::Refuse(refusal) = decision {
        return Err(refusal);
    }
    let slots = facts.iter().map(|facts| (facts.slot, slot_plan(facts, names, held, &decision)));
    let slots = slots.filter(|(slot, plan)| is_standing(*slot, scheme, row) || plan.set || plan.found).collect();
    Ok(Custody { decision, slots })
}

/// The slot that a place's credential names.
pub(super) fn named(held: &Held, names: &TenantNames, scheme: LoginScheme) -> Option<Slot> {
    let Held::Credential { username, .. } = held else { return None };
    scheme.slots().iter().copied().find(|slot| names.slot(*slot) == *username)
}

/// What a place holds, where a login that lost its password is none.
fn without_blank(held: &Held, scheme: LoginScheme) -> Cow<'_, Held> {
    match held {
        Held::Credential { version, next: None, .. } if is_blank(held, scheme) => {
            Cow::Owned(Held::Nothing { version: *version })
        }
        held => Cow::Borrowed(held),
    }
}

/// Whether a place names a login without a password where each has one: it lets nobody in, and so proves nothing.
pub(super) fn is_blank(held: &Held, scheme: LoginScheme) -> bool {
    let blank = |username: &SqlName| Login { username: username.clone(), password: None }.digest();
    matches!(held, Held::Credential { username, login, .. } if scheme.has_password() && *login == blank(username))
}

/// Whoever reads a credential reads it by its name; nothing moves it yet.
fn stays_there(delivery: &DeliveryRow, wanted: &ObjectName) -> Result<(), Refusal> {
    let DeliveryRow { secret_name, delivered } = delivery;
    if secret_name == wanted {
        return Ok(());
    }
    let message = format!(
        "its credential was delivered as `{secret_name}`, in {}; delivering it as `{wanted}` is not supported yet",
        delivered.location
    );
    Err(Refusal::new(RefusalKind::Policy, message).hint(format!("set `credentials.secretName: {secret_name}`")))
}

/// Whether a tenant has a slot: one that it has from the beginning, or one that the ledger knows.
fn is_standing(slot: Slot, scheme: LoginScheme, row: Option<&TenantRow>) -> bool {
    scheme.standing().contains(&slot) || row.is_some_and(|row| row.slots.contains_key(&slot))
}

/// Whether nobody has the name of a slot's login.
fn is_free(slot: Slot, names: &TenantNames, shared: &Shared) -> bool {
    !shared.roles.contains_key(names.slot(slot).as_str())
}

fn facts(slot: Slot, names: &TenantNames, row: Option<&TenantRow>, shared: &Shared, here: &PlaceId) -> SlotFacts {
    let recorded: Option<&SlotRow> = row.and_then(|row| row.slots.get(&slot));
    let server = match shared.roles.get(names.slot(slot).as_str()) {
        None => OnServer::Missing,
        Some(role) if role.login => OnServer::Login,
        Some(_) => OnServer::NoLogin,
    };
    SlotFacts {
        slot,
        state: recorded.map_or(unrecorded(slot, server), |recorded| recorded.state),
        generation: recorded.map(|recorded| recorded.generation).unwrap_or_default(),
        login: recorded.and_then(|recorded| recorded.login.clone()),
        server,
        elsewhere: recorded.and_then(|recorded| recorded.place.clone()).filter(|place| place != here),
    }
}

/// What a slot is that the ledger does not know: nobody's, or the login of a tenant that is about to be adopted.
fn unrecorded(slot: Slot, server: OnServer) -> SlotState {
    if slot == Slot::Owner && server == OnServer::Login { SlotState::Draining } else { SlotState::Retired }
}

fn slot_plan(facts: &SlotFacts, names: &TenantNames, held: &Held, decision: &Decision) -> SlotPlan {
    let chosen = match decision {
        Decision::Issue { slot, .. }
        | Decision::Repair { slot, .. }
        | Decision::Republish { slot, .. }
        | Decision::Confirm { slot, .. } => *slot == facts.slot,
        Decision::Keep | Decision::Elsewhere { .. } | Decision::Refuse(_) => false,
    };
    let set = chosen && matches!(decision, Decision::Issue { .. } | Decision::Repair { .. });
    let is_named = matches!(held, Held::Credential { login, .. } if facts.login.as_ref() == Some(login));
    let found = chosen && matches!(decision, Decision::Confirm { login, .. } if facts.login.as_ref() != Some(login));
    let in_use = facts.state.logs_in() || facts.elsewhere.is_some() || is_named;
    // What was handed out and still works stays; what can't log in any more is not brought back without its password.
    let stays = in_use && facts.server == OnServer::Login;
    SlotPlan {
        slot: facts.slot,
        role: names.slot(facts.slot).to_string(),
        state: facts.state,
        logs_in: chosen || stays,
        set,
        found,
    }
}
