//! What should happen to a tenant's credential: a pure decision over what the ledger, the server and the place say.

use tenantdb_core::{
    Delivered, Digest, Generation, Held, LoginScheme, PlaceId, Provenance, Refusal, RefusalKind, Slot, Version,
};

/// How many credentials nobody gives out between a backup and its restore.
const FURTHEST: u64 = 1_000_000;

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
    /// The other place that its login is being issued to, which may hold it already.
    pub elsewhere: Option<PlaceId>,
}

/// All that a decision is made from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// How the tenant's applications log in.
    pub scheme: LoginScheme,
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
    /// The slot that the place's login names, where the server lets it in.
    pub accepted: Option<Slot>,
    /// The slot that the place's login names, where the place vouches for it.
    pub vouched: Option<Slot>,
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
        /// Whether somebody may be using the password that it replaces.
        disrupts: bool,
    },
    /// The server is given the login again that the place holds.
    Repair {
        /// The slot.
        slot: Slot,
        /// Its generation, which stays.
        generation: Generation,
        /// Which of the logins in the place it is.
        login: Digest,
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
        /// Which of the logins in the place it is.
        login: Digest,
        /// The place as it was read.
        version: Version,
    },
    /// It was published, and the ledger does not know: a crash kept that from it, or it was lost or restored since.
    Confirm {
        /// The slot.
        slot: Slot,
        /// Its generation.
        generation: Generation,
        /// Which of the logins in the place it is.
        login: Digest,
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
/// in: what was delivered is kept or repaired, and a new password only ever goes to a slot that no place names, but where
/// a tenant has one login only.
#[must_use]
pub fn decide(facts: Facts<'_>) -> Decision {
    if let Held::Foreign { what, hint } = facts.held {
        return Decision::Refuse(Refusal::new(RefusalKind::Conflict, what.clone()).hint(hint.clone()));
    }
    if let Held::Awaited { what, hint } = facts.held {
        return Decision::Refuse(Refusal::new(RefusalKind::Waiting, what.clone()).hint(hint.clone()));
    }
    if let Some(confirmed) = facts.unknown_to_the_ledger() {
        return confirmed;
    }
    if let Some(repaired) = facts.newer_than_the_ledger() {
        return repaired;
    }
    if facts.is_somebodys() && !facts.reissue {
        return Decision::Keep;
    }
    let taken = facts.slots.iter().find_map(|slot| slot.elsewhere.as_ref());
    match (facts.delivered, taken) {
        (Some(delivered), _) if delivered.place != *facts.here && !facts.reissue && !facts.was_brought(delivered) => {
            Decision::Elsewhere { location: delivered.location.clone() }
        }
        // The one login that there is has the password that is on its way there.
        (_, Some(place)) if facts.scheme == LoginScheme::InPlace && !facts.reissue => {
            Decision::Elsewhere { location: place.to_string() }
        }
        (delivered, _) => match facts.held {
            Held::Credential { login, next, current, version, provenance, .. } => {
                let logins = std::iter::once(login).chain(next);
                held(facts, delivered, logins, *current, *version)
                    .unwrap_or_else(|| unknown(facts, delivered, *provenance, *version))
            }
            Held::Nothing { version } => {
                let reason = match delivered {
                    Some(delivered) if delivered.place == *facts.here => "its place lost it",
                    Some(_) => "asked for here as well",
                    None => "none was delivered yet",
                };
                issue(facts, *version, reason, false)
            }
            Held::Awaited { .. } | Held::Foreign { .. } => Decision::Keep,
        },
    }
}

/// The place holds a login that this server did not give out, as far as the ledger knows.
fn unknown(facts: Facts<'_>, delivered: Option<&Delivered>, provenance: Provenance, version: Version) -> Decision {
    if provenance == Provenance::TakenOver {
        return issue(facts, version, "the Secret is taken over", true);
    }
    let none_is_known = delivered.is_none() && facts.slots.iter().all(|slot| slot.login.is_none());
    if none_is_known && !(facts.refused && facts.has_unknown_logins()) {
        return Decision::Refuse(
            Refusal::new(RefusalKind::Conflict, "its place holds a credential that this server never gave out")
                .hint("if it belongs to a server that is gone, move it away and run it again"),
        );
    }
    issue(facts, version, "the delivered one was changed by hand", true)
}

/// The place holds one login, or, where a crash kept a new password from taking the old one's place, two; nothing when
/// no slot was given either.
fn held<'a>(
    facts: Facts<'_>,
    delivered: Option<&Delivered>,
    mut logins: impl Iterator<Item = &'a Digest>,
    current: bool,
    version: Version,
) -> Option<Decision> {
    let of = |login: &'a Digest| Some((login, facts.slots.iter().find(|slot| slot.login.as_ref() == Some(login))?));
    let (login, slot) = logins.find_map(of)?;
    let SlotFacts { slot, state, generation, server, .. } = *slot;
    let login = login.clone();
    let republish = !current;
    let repair = |reason| Decision::Repair { slot, generation, login: login.clone(), version, reason, republish };
    if server != OnServer::Login {
        return Some(repair("its login was taken away"));
    }
    let here = |delivered: &Delivered| delivered.login == login && delivered.place == *facts.here;
    let recorded = state == SlotState::Active && delivered.is_some_and(here);
    // What was tried is the login that applications read.
    if facts.refused && facts.holds(&login) {
        return Some(repair("the server refuses the delivered one"));
    }
    Some(match (recorded, current) {
        (true, true) => Decision::Keep,
        (true, false) => Decision::Republish { slot, generation, login, version },
        (false, _) => Decision::Confirm { slot, generation, login, version, republish },
    })
}

impl Facts<'_> {
    /// Whether the one login that there is has a password that somebody else gave it, before it was adopted.
    fn is_somebodys(&self) -> bool {
        let own = self.slots.iter().find(|slot| slot.slot == Slot::Owner);
        own.is_some_and(|slot| {
            slot.server == OnServer::Login && slot.state == SlotState::Draining && slot.login.is_none()
        })
    }

    /// What works and the ledger does not know is what applications read: the ledger was lost, or it is older than that.
    fn unknown_to_the_ledger(&self) -> Option<Decision> {
        let (slot, Held::Credential { login, generation, current, version, .. }) = (self.accepted?, self.held) else {
            return None;
        };
        if self.slots.iter().any(|known| known.login.as_ref() == Some(login)) {
            return None;
        }
        let known = self.newest();
        let newest = if self.is_plausible(*generation) { known.max(*generation) } else { known };
        let (login, republish) = (login.clone(), !current || newest != *generation);
        Some(Decision::Confirm { slot, generation: newest, login, version: *version, republish })
    }

    /// What was given out after the ledger as it is now: the server was restored from before, passwords and all, while
    /// applications go on with what their place holds.
    fn newer_than_the_ledger(&self) -> Option<Decision> {
        let (slot, Held::Credential { login, generation, current, version, .. }) = (self.vouched?, self.held) else {
            return None;
        };
        let is_newer = self.newest() < *generation && self.is_plausible(*generation);
        let reason = "its place has a newer one than the ledger, which was restored";
        let (generation, login, version, republish) = (*generation, login.clone(), *version, !current);
        is_newer.then_some(Decision::Repair { slot, generation, login, version, reason, republish })
    }

    /// The newest generation that the ledger knows.
    fn newest(&self) -> Generation {
        self.slots.iter().map(|slot| slot.generation).max().unwrap_or_default()
    }

    /// Whether a generation may follow upon what the ledger knows; whoever may write a Secret may write any number.
    fn is_plausible(&self, generation: Generation) -> bool {
        generation.0.saturating_sub(self.newest().0) <= FURTHEST
    }

    /// Whether slots log in with what a ledger knew that was lost.
    fn has_unknown_logins(&self) -> bool {
        self.slots.iter().any(|slot| slot.state == SlotState::Draining && slot.login.is_none())
    }

    /// Whether what was delivered to another place is here as well, and so has a place here from now on. A login without a
    /// password is the same everywhere, and tells nothing.
    fn was_brought(&self, delivered: &Delivered) -> bool {
        let login = &delivered.login;
        self.scheme.has_password()
            && self.holds(login)
            && self.slots.iter().any(|slot| slot.login.as_ref() == Some(login))
    }

    /// Whether applications read this login.
    fn holds(&self, login: &Digest) -> bool {
        matches!(self.held, Held::Credential { login: held, .. } if held == login)
    }

    /// The slot that a new credential goes to, and whether somebody may be using it.
    fn slot_for_a_new_one(&self) -> Option<(&SlotFacts, bool)> {
        let begun = |slot: &&SlotFacts| slot.state == SlotState::Issuing && slot.elsewhere.is_none();
        if let Some(begun) = self.slots.iter().find(begun) {
            return Some((begun, false));
        }
        if self.scheme != LoginScheme::Alternate {
            let slot = self.slots.first()?;
            let in_use = slot.server == OnServer::Login && slot.login.is_some() && self.scheme.has_password();
            return Some((slot, in_use || self.is_somebodys()));
        }
        // A slot that should log in and can't is as free as a retired one: nothing that was handed out works with it.
        let is_named = |slot: &SlotFacts| slot.login.as_ref().is_some_and(|login| self.holds(login));
        let unused = self.slots.iter().filter(|slot| slot.server != OnServer::Login && !is_named(slot));
        let slot = unused.min_by_key(|slot| (slot.slot == Slot::C, slot.state != SlotState::Retired))?;
        Some((slot, false))
    }
}

fn issue(facts: Facts<'_>, version: Version, reason: &'static str, replaces: bool) -> Decision {
    match facts.slot_for_a_new_one() {
        Some((slot, disrupts)) => {
            Decision::Issue { slot: slot.slot, generation: facts.newest().next(), version, reason, replaces, disrupts }
        }
        None => Decision::Refuse(
            Refusal::new(RefusalKind::Deferral, "all login slots are in use, so no new credential can be made")
                .hint("put the delivered credential back where it was"),
        ),
    }
}

#[cfg(test)]
#[path = "custody_tests.rs"]
mod tests;
