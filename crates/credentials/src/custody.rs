//! What should happen to a tenant's credential: a pure decision over what the ledger, the server and the place say.

use tenantdb_core::{Digest, Generation, Held, PlaceId, Refusal, RefusalKind, Slot, Version};

/// What the ledger says of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlotState {
    /// Nobody uses it.
    Retired,
    /// It was given a password that may or may not have been published.
    Issuing,
    /// It is what the tenant's credential names.
    Active,
    /// It was active; applications may still use it.
    Draining,
}

impl SlotState {
    /// Every state, with the word that the ledger holds.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Retired, "Retired"),
        (Self::Issuing, "Issuing"),
        (Self::Active, "Active"),
        (Self::Draining, "Draining"),
    ];

    /// The word that the ledger holds.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(state, _)| *state == self).map_or("", |(_, word)| word)
    }

    /// Whether the login has to work.
    #[must_use]
    pub fn logs_in(self) -> bool {
        matches!(self, Self::Active | Self::Draining)
    }
}

impl std::str::FromStr for SlotState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, word)| *word == text);
        found.map(|(state, _)| *state).ok_or_else(|| format!("`{text}` is not the state of a slot"))
    }
}

/// What the server says of a slot's login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnServer {
    /// There is no such role.
    Missing,
    /// It can't log in.
    NoLogin,
    /// It can log in, as far as the catalog tells.
    Login,
}

/// All that is known of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotFacts {
    /// Which one.
    pub slot: Slot,
    /// What the ledger says.
    pub state: SlotState,
    /// The generation it was last given.
    pub generation: Generation,
    /// The login it was last given.
    pub login: Option<Digest>,
    /// What the server says.
    pub server: OnServer,
}

/// What the ledger says of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The place.
    pub place: PlaceId,
    /// Where that is, for people.
    pub location: String,
    /// What was delivered.
    pub login: Digest,
    /// Its generation.
    pub generation: Generation,
}

/// All that a decision is made from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The slots.
    pub slots: &'a [SlotFacts],
    /// What was delivered last, and where.
    pub delivered: Option<&'a Delivered>,
    /// The place of this pass.
    pub here: &'a PlaceId,
    /// What it holds.
    pub held: &'a Held,
    /// Whether the server refused the login that the place holds.
    pub refused: bool,
    /// Whether a credential that was delivered elsewhere is wanted here, a new one.
    pub reissue: bool,
}

/// What should happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Keep,
    /// A new password on a free slot.
    Issue {
        /// The slot.
        slot: Slot,
        /// Its new generation.
        generation: Generation,
        /// The place as it was read.
        version: Version,
        /// Why.
        reason: &'static str,
        /// Whether something is there that is replaced.
        replaces: bool,
    },
    /// The server is given the login again that the place holds.
    Repair {
        /// The slot.
        slot: Slot,
        /// Its generation, which stays.
        generation: Generation,
        /// The place as it was read.
        version: Version,
        /// Why.
        reason: &'static str,
        /// Whether the place has to be written as well.
        republish: bool,
    },
    /// The place is written again with the same login: its keys or the address changed.
    Republish {
        /// The slot.
        slot: Slot,
        /// Its generation, which stays.
        generation: Generation,
        /// The place as it was read.
        version: Version,
    },
    /// It was published, but a crash kept that from the ledger.
    Confirm {
        /// The slot.
        slot: Slot,
        /// Its generation.
        generation: Generation,
        /// The place as it was read.
        version: Version,
        /// Whether the place has to be written as well.
        republish: bool,
    },
    /// It was delivered to another place, which this run does not touch.
    Elsewhere {
        /// Where, for people.
        location: String,
    },
    /// It can't be touched.
    Refuse(Refusal),
}

/// Decides what should happen to a tenant's credential. It follows the rule that every credential in any place logs
/// in: what was delivered is kept or repaired, and a new password only ever goes to a slot that no place names.
#[must_use]
pub fn decide(facts: Facts<'_>) -> Decision {
    if let Held::Foreign { what } = facts.held {
        return Decision::Refuse(
            Refusal::new(RefusalKind::Conflict, what.clone())
                .hint("move it away, or choose another `credentials.secretName`"),
        );
    }
    match facts.delivered {
        Some(delivered) if delivered.place != *facts.here && !facts.reissue => {
            Decision::Elsewhere { location: delivered.location.clone() }
        }
        delivered => match facts.held {
            Held::Credential { login, current, version } => held(facts, delivered, login, *current, *version),
            Held::Nothing { version } => {
                let reason = match delivered {
                    Some(delivered) if delivered.place == *facts.here => "its place lost it",
                    Some(_) => "asked for here as well",
                    None => "none was delivered yet",
                };
                issue(facts, *version, reason, false)
            }
            Held::Foreign { .. } => Decision::Keep,
        },
    }
}

fn held(facts: Facts<'_>, delivered: Option<&Delivered>, login: &Digest, current: bool, version: Version) -> Decision {
    let Some(slot) = facts.slots.iter().find(|slot| slot.login.as_ref() == Some(login)) else {
        if delivered.is_none() && facts.slots.iter().all(|slot| slot.login.is_none()) {
            return Decision::Refuse(
                Refusal::new(RefusalKind::Conflict, "its place holds a credential that this server never gave out")
                    .hint("if it belongs to a server that is gone, move it away and run it again"),
            );
        }
        return issue(facts, version, "the delivered one was changed by hand", true);
    };
    let SlotFacts { slot, state, generation, server, .. } = *slot;
    let republish = !current;
    if server != OnServer::Login {
        return Decision::Repair { slot, generation, version, reason: "its login was taken away", republish };
    }
    if facts.refused {
        return Decision::Repair {
            slot,
            generation,
            version,
            reason: "the server refuses the delivered one",
            republish,
        };
    }
    let recorded = state == SlotState::Active && delivered.is_some_and(|delivered| delivered.login == *login);
    match (recorded, current) {
        (true, true) => Decision::Keep,
        (true, false) => Decision::Republish { slot, generation, version },
        (false, _) => Decision::Confirm { slot, generation, version, republish },
    }
}

fn issue(facts: Facts<'_>, version: Version, reason: &'static str, replaces: bool) -> Decision {
    let begun = facts.slots.iter().find(|slot| slot.state == SlotState::Issuing);
    let named = match facts.held {
        Held::Credential { login, .. } => Some(login),
        Held::Nothing { .. } | Held::Foreign { .. } => None,
    };
    let unused =
        |slot: &&SlotFacts| slot.server != OnServer::Login && (named.is_none() || slot.login.as_ref() != named);
    // A slot that should log in and can't is as free as a retired one: nothing that was handed out works with it.
    let free = || {
        let preference = |slot: &&SlotFacts| (slot.slot == Slot::C, slot.state != SlotState::Retired);
        facts.slots.iter().filter(unused).min_by_key(preference)
    };
    let newest = facts.slots.iter().map(|slot| slot.generation).max().unwrap_or_default();
    match begun.or_else(free) {
        Some(slot) => Decision::Issue { slot: slot.slot, generation: newest.next(), version, reason, replaces },
        None => Decision::Refuse(
            Refusal::new(RefusalKind::Deferral, "all login slots are in use, so no new credential can be made")
                .hint("put the delivered credential back where it was"),
        ),
    }
}

#[cfg(test)]
#[path = "custody_tests.rs"]
mod tests;
