use super::*;
use proptest::prelude::*;

const HERE: &str = "home:here";

fn digest(text: &str) -> Digest {
    Digest::from_stored(text.to_owned())
}

fn slot(slot: Slot, state: SlotState, generation: u64, login: Option<&str>, server: OnServer) -> SlotFacts {
    SlotFacts { slot, state, generation: Generation(generation), login: login.map(digest), server, elsewhere: None }
}

fn fresh() -> Vec<SlotFacts> {
    let slots = LoginScheme::Alternate.slots().iter();
    slots.map(|name| slot(*name, SlotState::Retired, 0, None, OnServer::Missing)).collect()
}

fn settled() -> Vec<SlotFacts> {
    vec![
        slot(Slot::A, SlotState::Active, 1, Some("one"), OnServer::Login),
        slot(Slot::B, SlotState::Retired, 0, None, OnServer::NoLogin),
    ]
}

fn delivered(place: &str, login: &str) -> Delivered {
    Delivered {
        place: PlaceId(place.to_owned()),
        location: format!("{place} file"),
        login: digest(login),
        generation: Generation(1),
    }
}

fn nothing() -> Held {
    Held::Nothing { version: Version(3) }
}

fn holding(login: &str, current: bool) -> Held {
    holding_both(login, None, current)
}

fn holding_both(login: &str, next: Option<&str>, current: bool) -> Held {
    Held::Credential {
        username: "cafe_a".parse().unwrap(),
        generation: Generation(1),
        login: digest(login),
        next: next.map(digest),
        current,
        provenance: Provenance::Claimed,
        version: Version(3),
    }
}

fn decision(slots: &[SlotFacts], delivered: Option<&Delivered>, held: &Held, refused: bool) -> Decision {
    let scheme = if slots[0].slot == Slot::Owner { LoginScheme::InPlace } else { LoginScheme::Alternate };
    decide(Facts {
        scheme,
        slots,
        delivered,
        here: &PlaceId(HERE.to_owned()),
        held,
        refused,
        accepted: None,
        vouched: None,
        reissue: false,
    })
}

#[test]
fn what_was_delivered_elsewhere_is_left_there_or_reissued_on_a_free_slot() {
    let (slots, elsewhere) = (settled(), delivered("home:there", "one"));
    let left = decision(&slots, Some(&elsewhere), &nothing(), false);
    assert_eq!(left, Decision::Elsewhere { location: "home:there file".to_owned() });
    let here = PlaceId(HERE.to_owned());
    let facts = Facts {
        scheme: LoginScheme::Alternate,
        slots: &slots,
        delivered: Some(&elsewhere),
        here: &here,
        held: &nothing(),
        refused: false,
        accepted: None,
        vouched: None,
        reissue: true,
    };
    let issued = decide(facts);
    assert!(matches!(issued, Decision::Issue { slot: Slot::B, generation: Generation(2), .. }), "{issued:?}");
}

#[test]
fn a_new_tenant_gets_its_first_slot() {
    let issued = decision(&fresh(), None, &nothing(), false);
    assert!(matches!(issued, Decision::Issue { slot: Slot::A, generation: Generation(1), .. }), "{issued:?}");
}

#[test]
fn a_delivered_credential_is_kept() {
    assert_eq!(decision(&settled(), Some(&delivered(HERE, "one")), &holding("one", true), false), Decision::Keep);
}

#[test]
fn a_crash_before_publishing_starts_over_on_the_same_slot() {
    let mut slots = settled();
    slots[0].state = SlotState::Issuing;
    let issued = decision(&slots, None, &nothing(), false);
    assert!(matches!(issued, Decision::Issue { slot: Slot::A, generation: Generation(2), .. }), "{issued:?}");
}

#[test]
fn a_crash_after_publishing_goes_on_from_the_place() {
    let mut slots = settled();
    slots[0].state = SlotState::Issuing;
    let confirmed = decision(&slots, None, &holding("one", true), false);
    assert!(matches!(confirmed, Decision::Confirm { slot: Slot::A, republish: false, .. }), "{confirmed:?}");
}

#[test]
fn another_place_leaves_the_credential_alone() {
    let left = decision(&settled(), Some(&delivered("home:laptop", "one")), &nothing(), false);
    assert_eq!(left, Decision::Elsewhere { location: "home:laptop file".to_owned() });
}

#[test]
fn a_lost_credential_is_replaced_on_the_other_slot() {
    let issued = decision(&settled(), Some(&delivered(HERE, "one")), &nothing(), false);
    assert!(matches!(issued, Decision::Issue { slot: Slot::B, generation: Generation(2), .. }), "{issued:?}");
}

#[test]
fn a_credential_that_is_lost_again_is_replaced_on_the_third_slot() {
    let mut slots = settled();
    slots[0].state = SlotState::Draining;
    slots[1] = slot(Slot::B, SlotState::Active, 2, Some("two"), OnServer::Login);
    slots.push(slot(Slot::C, SlotState::Retired, 0, None, OnServer::Missing));
    let issued = decision(&slots, Some(&delivered(HERE, "two")), &nothing(), false);
    assert!(matches!(issued, Decision::Issue { slot: Slot::C, generation: Generation(3), .. }), "{issued:?}");

    slots[0].server = OnServer::NoLogin;
    let issued = decision(&slots, Some(&delivered(HERE, "two")), &nothing(), false);
    assert!(
        matches!(issued, Decision::Issue { slot: Slot::A, .. }),
        "the third only when there is no other: {issued:?}"
    );

    for slot in &mut slots {
        slot.server = OnServer::Login;
        slot.state = SlotState::Active;
    }
    let refused = decision(&slots, Some(&delivered(HERE, "two")), &nothing(), false);
    assert!(matches!(refused, Decision::Refuse(Refusal { kind: RefusalKind::Deferral, .. })), "{refused:?}");
}

#[test]
fn an_edited_credential_is_replaced_on_the_other_slot() {
    let issued = decision(&settled(), Some(&delivered(HERE, "one")), &holding("forged", true), false);
    assert!(matches!(issued, Decision::Issue { slot: Slot::B, replaces: true, .. }), "{issued:?}");
}

#[test]
fn a_login_that_was_taken_away_is_repaired_from_its_own_place() {
    let mut slots = settled();
    slots[0].server = OnServer::NoLogin;
    let repaired = decision(&slots, Some(&delivered(HERE, "one")), &holding("one", true), false);
    assert!(matches!(repaired, Decision::Repair { slot: Slot::A, generation: Generation(1), .. }), "{repaired:?}");
}

#[test]
fn a_login_that_the_server_refuses_is_repaired_from_its_own_place() {
    let repaired = decision(&settled(), Some(&delivered(HERE, "one")), &holding("one", true), true);
    assert!(matches!(repaired, Decision::Repair { slot: Slot::A, .. }), "{repaired:?}");
}

#[test]
fn other_keys_or_another_address_are_published_with_the_same_login() {
    let again = decision(&settled(), Some(&delivered(HERE, "one")), &holding("one", false), false);
    assert!(matches!(again, Decision::Republish { slot: Slot::A, generation: Generation(1), .. }), "{again:?}");
}

#[test]
fn a_credential_that_this_server_never_gave_out_is_refused() {
    let refused = decision(&fresh(), None, &holding("stranger", true), false);
    assert!(matches!(refused, Decision::Refuse(Refusal { kind: RefusalKind::Conflict, .. })), "{refused:?}");
}

fn in_place(state: SlotState, login: &str) -> Vec<SlotFacts> {
    vec![slot(Slot::Owner, state, 1, Some(login), OnServer::Login)]
}

#[test]
fn a_lost_credential_is_replaced_in_place_where_there_is_one_login_only() {
    let missing = [slot(Slot::Owner, SlotState::Retired, 0, None, OnServer::Missing)];
    let first = decision(&missing, None, &nothing(), false);
    assert!(matches!(first, Decision::Issue { slot: Slot::Owner, disrupts: false, .. }), "{first:?}");

    let again = decision(&in_place(SlotState::Issuing, "one"), None, &nothing(), false);
    assert!(matches!(again, Decision::Issue { disrupts: false, .. }), "nobody was given it: {again:?}");

    let replaced = decision(&in_place(SlotState::Active, "one"), Some(&delivered(HERE, "one")), &nothing(), false);
    assert!(matches!(replaced, Decision::Issue { slot: Slot::Owner, disrupts: true, .. }), "{replaced:?}");
}

#[test]
fn a_staged_password_takes_over_once_the_server_has_it() {
    let staged = holding_both("one", Some("two"), false);
    let before = decision(&in_place(SlotState::Active, "one"), Some(&delivered(HERE, "one")), &staged, false);
    assert!(matches!(&before, Decision::Republish { login, .. } if *login == digest("one")), "{before:?}");

    for refused in [false, true] {
        let after = decision(&in_place(SlotState::Issuing, "two"), Some(&delivered(HERE, "one")), &staged, refused);
        let Decision::Confirm { login, republish: true, .. } = &after else { panic!("{after:?}") };
        assert_eq!(*login, digest("two"));
    }
}

#[test]
fn a_login_without_password_is_delivered_again_without_harm() {
    let slots = in_place(SlotState::Active, "one");
    let (here, known) = (PlaceId(HERE.to_owned()), delivered(HERE, "one"));
    let facts = Facts {
        scheme: LoginScheme::Passwordless,
        slots: &slots,
        delivered: Some(&known),
        here: &here,
        held: &nothing(),
        refused: false,
        accepted: None,
        vouched: None,
        reissue: false,
    };
    let issued = decide(facts);
    assert!(matches!(issued, Decision::Issue { slot: Slot::Owner, disrupts: false, .. }), "{issued:?}");
}

fn any_slot(name: Slot) -> impl Strategy<Value = SlotFacts> {
    let state = prop::sample::select(SlotState::ALL.map(|(state, _)| state).to_vec());
    let server = prop::sample::select(vec![OnServer::Missing, OnServer::NoLogin, OnServer::Login]);
    let login = prop::sample::select(vec![None, Some("one"), Some("two")]);
    (state, server, login, 0u64..9)
        .prop_map(move |(state, server, login, generation)| slot(name, state, generation, login, server))
}

#[test]
fn what_works_and_the_ledger_does_not_know_is_confirmed_and_nothing_is_made_anew() {
    let here = PlaceId(HERE.to_owned());
    let decision = |slots: &[SlotFacts], delivered: Option<&Delivered>, held: &Held, accepted: Option<Slot>| {
        let scheme = if slots[0].slot == Slot::Owner { LoginScheme::InPlace } else { LoginScheme::Alternate };
        let refused = accepted.is_none();
        decide(Facts { scheme, slots, delivered, here: &here, held, refused, accepted, vouched: None, reissue: false })
    };
    let (old, elsewhere) = (delivered(HERE, "one"), delivered("home:there", "one"));
    let lost = [
        slot(Slot::A, SlotState::Draining, 0, None, OnServer::Login),
        slot(Slot::B, SlotState::Retired, 0, None, OnServer::NoLogin),
    ];
    let own = [slot(Slot::Owner, SlotState::Draining, 0, None, OnServer::Login)];
    for (slots, delivered, slot) in [
        (lost.as_slice(), None, Slot::A),
        (&own, None, Slot::Owner),
        (&settled(), Some(&old), Slot::B),
        (&settled(), Some(&elsewhere), Slot::B),
    ] {
        let confirmed = decision(slots, delivered, &holding("two", true), Some(slot));
        let Decision::Confirm { slot: found, login, republish: false, .. } = &confirmed else {
            panic!("{confirmed:?}")
        };
        assert_eq!((*found, login), (slot, &digest("two")));
    }
    let newer = [slot(Slot::A, SlotState::Active, 4, Some("one"), OnServer::Login)];
    let confirmed = decision(&newer, Some(&old), &holding("two", true), Some(Slot::A));
    let counts_on =
        |decision: &Decision| matches!(decision, Decision::Confirm { generation: Generation(4), republish: true, .. });
    assert!(counts_on(&confirmed), "{confirmed:?}");
    assert_eq!(decision(&settled(), Some(&old), &holding("one", true), Some(Slot::A)), Decision::Keep);

    let refused = decision(&lost, None, &holding("two", true), None);
    assert!(matches!(refused, Decision::Issue { slot: Slot::B, replaces: true, .. }), "{refused:?}");
    let foreign = decision(&fresh(), None, &holding("two", true), None);
    assert!(matches!(foreign, Decision::Refuse(_)), "{foreign:?}");
}

#[test]
fn what_was_delivered_elsewhere_and_brought_here_stays_here() {
    let there = delivered("home:laptop", "one");
    let brought = decision(&settled(), Some(&there), &holding("one", false), false);
    let Decision::Confirm { slot: Slot::A, login, republish: true, .. } = &brought else { panic!("{brought:?}") };
    assert_eq!(*login, digest("one"));
    let other = decision(&settled(), Some(&there), &holding("two", true), false);
    assert!(matches!(other, Decision::Elsewhere { .. }), "{other:?}");
}

proptest! {
    #[test]
    fn a_new_password_never_goes_to_a_slot_in_use(
        a in any_slot(Slot::A),
        b in any_slot(Slot::B),
        c in any_slot(Slot::C),
        held in prop::sample::select(vec![nothing(), holding("one", true), holding("two", false), holding("three", true)]),
        known in prop::sample::select(vec![None, Some((HERE, "one")), Some((HERE, "two")), Some(("home:laptop", "one"))]),
        refused: bool,
    ) {
        let slots = [a, b, c];
        let known = known.map(|(place, login)| delivered(place, login));
        match decision(&slots, known.as_ref(), &held, refused) {
            Decision::Issue { slot, generation, .. } => {
                let chosen = slots.iter().find(|facts| facts.slot == slot).unwrap();
                prop_assert!(chosen.state == SlotState::Issuing || chosen.server != OnServer::Login);
                if let Held::Credential { login, .. } = &held {
                    prop_assert_ne!(chosen.login.as_ref(), Some(login));
                }
                prop_assert!(slots.iter().all(|facts| facts.generation < generation));
                prop_assert!(known.is_none_or(|known| known.place.0 == HERE));
            }
            Decision::Repair { slot, .. } | Decision::Confirm { slot, .. } | Decision::Republish { slot, .. } => {
                let Held::Credential { login, .. } = &held else { panic!("nothing to go by") };
                let chosen = slots.iter().find(|facts| facts.slot == slot).unwrap();
                prop_assert_eq!(chosen.login.as_ref(), Some(login));
            }
            Decision::Keep | Decision::Elsewhere { .. } | Decision::Refuse(_) => {}
        }
    }
}

#[test]
fn what_the_place_vouches_for_and_the_ledger_is_too_old_to_know_is_set_again_as_it_is() {
    let here = PlaceId(HERE.to_owned());
    let later = |generation| Held::Credential {
        username: "cafe_b".parse().unwrap(),
        generation: Generation(generation),
        login: digest("later"),
        next: None,
        current: true,
        provenance: Provenance::Vouched,
        version: Version(3),
    };
    let decision = |slots: &[SlotFacts], held: &Held, vouched| {
        let (scheme, delivered) = (LoginScheme::Alternate, delivered(HERE, "one"));
        let delivered = Some(&delivered);
        let (refused, accepted, reissue) = (true, None, false);
        decide(Facts { scheme, slots, delivered, here: &here, held, refused, accepted, vouched, reissue })
    };
    let repaired = |decision: &Decision| matches!(decision, Decision::Repair { slot: Slot::B, login, republish: false, .. } if *login == digest("later"));
    assert!(repaired(&decision(&settled(), &later(2), Some(Slot::B))));
    // Nobody vouches for it, or it is no newer than what the ledger knows: somebody wrote it by hand.
    assert!(matches!(decision(&settled(), &later(2), None), Decision::Issue { .. }));
    assert!(matches!(decision(&settled(), &later(1), Some(Slot::B)), Decision::Issue { .. }));
    // Nor does anybody give out so many: it was made up, and would leave no number for the next.
    assert!(matches!(
        decision(&settled(), &later(u64::MAX), Some(Slot::B)),
        Decision::Issue { generation: Generation(2), .. }
    ));
}

#[test]
fn what_is_taken_over_gives_way_unless_it_logs_in() {
    let here = PlaceId(HERE.to_owned());
    let theirs = Held::Credential {
        username: "cafe".parse().unwrap(),
        generation: Generation(0),
        login: digest("theirs"),
        next: None,
        current: false,
        provenance: Provenance::TakenOver,
        version: Version(3),
    };
    let new = [slot(Slot::A, SlotState::Retired, 0, None, OnServer::Missing)];
    let decision = decision(&new, None, &theirs, false);
    assert!(
        matches!(decision, Decision::Issue { slot: Slot::A, reason: "the Secret is taken over", .. }),
        "{decision:?}"
    );

    // The password of an adopted database's one login stays what its applications know.
    let slots = [slot(Slot::Owner, SlotState::Draining, 0, None, OnServer::Login)];
    let decision = decide(Facts {
        scheme: LoginScheme::InPlace,
        slots: &slots,
        delivered: None,
        here: &here,
        held: &theirs,
        refused: false,
        accepted: Some(Slot::Owner),
        vouched: None,
        reissue: false,
    });
    let is_kept = matches!(&decision, Decision::Confirm { login, republish: true, .. } if *login == digest("theirs"));
    assert!(is_kept, "{decision:?}");
}

#[test]
fn a_credential_waits_for_the_secret_that_it_is_added_to() {
    let held = Held::Awaited { what: "there is none".to_owned(), hint: "make it".to_owned() };
    let Decision::Refuse(refusal) = decision(&settled(), None, &held, false) else { panic!("not refused") };
    assert_eq!((refusal.kind, refusal.message.as_str()), (RefusalKind::Waiting, "there is none"));
}
