use tenantdb_core::{Authority, RefusalKind, Risk};

use super::interpreter::World;
use super::tests::{IN_PLACE, PASSWORDLESS, applied, desired, heal, only, planned, removing};
use super::*;

/// The same database, asked for by another project.
fn asked_by_another(spec: &str) -> (Claim, Desired) {
    let mut other = desired(spec);
    let (claim, mut tenant) = other.tenants.pop_first().unwrap();
    let claim = claim.of(&Authority::project("other").unwrap());
    tenant.claim = claim.clone();
    other.tenants.insert(claim.clone(), tenant);
    other.request.authority = claim.authority.clone();
    (claim, other)
}

/// A tenant whose declaration is gone, and who is in its database.
fn orphaned(credentials: &str) -> World {
    let spec = format!("{{deletionProtection: false, credentials: {credentials}}}");
    let mut world = applied(&desired(&spec));
    let removal = removing(desired(&spec), Removal::Asked);
    heal(&mut world, &removal);
    let login = if credentials == "{}" { "cafe_a" } else { "cafe" };
    world.observed.shared.databases.get_mut("cafe").unwrap().sessions.insert(login.to_owned(), 1);
    world
}

#[test]
fn nobody_but_its_declaration_gets_an_orphan_unless_it_asks_for_what_exists() {
    for adopt in ["Never", "IfOrphaned"] {
        let (_, other) = asked_by_another(&format!("{{adopt: {adopt}}}"));
        let plan = planned(&mut orphaned("{}"), &other);
        let refusal = only(&plan).refusal.clone().unwrap();
        assert_eq!(refusal.kind, RefusalKind::Conflict);
        assert!(refusal.hint.unwrap().contains("`adopt: Existing`"));
    }
    let mut living = applied(&desired("{}"));
    let (_, other) = asked_by_another("{adopt: Existing}");
    assert!(only(&planned(&mut living, &other)).steps.is_empty());
}

#[test]
fn an_orphan_is_taken_over_from_any_moment_at_which_that_broke_off() {
    for credentials in ["{}", IN_PLACE, PASSWORDLESS] {
        let (claim, other) = asked_by_another(&format!("{{adopt: Existing, credentials: {credentials}}}"));
        let mut world = orphaned(credentials);
        let plan = planned(&mut world, &other);
        assert!(only(&plan).steps[..3].iter().all(|step| step.risk == Risk::Disruptive));
        let length = only(&plan).steps.len();
        for steps in 0..length {
            let mut world = orphaned(credentials);
            let earlier = world.accepted.clone();
            let plan = planned(&mut world, &other);
            world.apply_first(&plan, steps);
            heal(&mut world, &other);
            let ledger = world.observed.ledger.as_ref().unwrap();
            assert_eq!(ledger.tenants.keys().collect::<Vec<_>>(), [&claim]);
            assert!(ledger.roles.values().all(|holder| *holder == claim));
            if credentials != PASSWORDLESS {
                assert!(earlier.iter().all(|(role, login)| world.accepted.get(role) != Some(login)), "{steps} steps");
            }
        }
    }
}

#[test]
fn an_orphan_is_purged_and_nothing_else_is() {
    let mut world = orphaned("{}");
    let purge = removing(desired("{}"), Removal::Purged);
    let plan = planned(&mut world, &purge);
    assert_eq!(plan.risk(), Risk::Destructive);
    world.apply(&plan);
    assert!(!world.observed.shared.databases.contains_key("cafe"));
    assert!(world.observed.ledger.as_ref().unwrap().tenants.is_empty());

    let living = planned(&mut applied(&desired("{deletionProtection: false}")), &purge);
    assert_eq!(only(&living).refusal.as_ref().unwrap().kind, RefusalKind::Conflict);
    assert!(only(&living).steps.is_empty());

    let mut replaced = orphaned("{}");
    replaced.observed.shared.databases.get_mut("cafe").unwrap().oid = 1;
    assert!(only(&planned(&mut replaced, &purge)).steps.is_empty());
    let (_, other) = asked_by_another("{adopt: Existing}");
    assert!(only(&planned(&mut replaced, &other)).steps.is_empty());
}
