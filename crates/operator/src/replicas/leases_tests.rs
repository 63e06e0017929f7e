use jiff::{Timestamp, ToSpan as _};
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn lease(name: &str, version: u64, holder: &str, renewed: i64) -> Lease {
    let renew_time = Timestamp::UNIX_EPOCH + renewed.seconds();
    Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(10),
            renew_time: Some(MicroTime(renew_time)),
            ..LeaseSpec::default()
        }),
    }
}

fn heartbeat(replica: &str) -> String {
    format!("{REPLICA}{replica}")
}

#[test]
fn a_replica_lives_as_long_as_its_heartbeat_is_renewed() {
    let (mut leases, begin) = (Leases::new(10 * SECOND), Instant::now());
    leases.see(&lease(&heartbeat("a"), 1, "a", 0), begin);
    leases.see(&lease("tenantdb.server.one", 2, "a", 0), begin);
    assert!(!leases.is_free("tenantdb.server.one", begin + 9 * SECOND));
    leases.see(&lease(&heartbeat("a"), 3, "a", 5), begin + 9 * SECOND);
    assert_eq!(leases.living(begin + 18 * SECOND), BTreeSet::from(["a".to_owned()]));
    // Somebody wrote the same once more.
    leases.see(&lease(&heartbeat("a"), 4, "a", 5), begin + 18 * SECOND);
    assert!(leases.is_free("tenantdb.server.one", begin + 19 * SECOND));
    assert!(leases.living(begin + 19 * SECOND).is_empty());
}

#[test]
fn a_holder_that_was_never_heard_of_is_given_its_time() {
    let (mut leases, begin) = (Leases::new(10 * SECOND), Instant::now());
    leases.see(&lease("tenantdb.server.one", 1, "a", 0), begin);
    assert!(!leases.is_free("tenantdb.server.one", begin + 9 * SECOND));
    // What it has says nothing of whether it lives.
    leases.see(&lease("tenantdb.server.two", 2, "a", 9), begin + 9 * SECOND);
    assert!(leases.is_free("tenantdb.server.one", begin + 10 * SECOND));
}

#[test]
fn a_deleted_heartbeat_is_no_death() {
    let (mut leases, begin) = (Leases::new(10 * SECOND), Instant::now());
    let beat = lease(&heartbeat("a"), 1, "a", 0);
    leases.see(&beat, begin);
    leases.see(&lease("tenantdb.server.one", 2, "a", 0), begin);
    leases.forget(&beat);
    assert!(leases.living(begin).is_empty());
    assert!(!leases.is_free("tenantdb.server.one", begin + 9 * SECOND));
    assert!(leases.is_free("tenantdb.server.one", begin + 10 * SECOND));
}

#[test]
fn what_is_told_late_is_no_news() {
    let (mut leases, now) = (Leases::new(10 * SECOND), Instant::now());
    leases.see(&lease("tenantdb", 5, "b", 0), now);
    leases.see(&lease("tenantdb", 4, "a", 0), now);
    leases.forget(&lease("tenantdb", 4, "a", 0));
    assert_eq!(leases.holder("tenantdb"), Some("b"));
    leases.see_all(&[], now);
    assert_eq!(leases.holder("tenantdb"), None);
}

#[test]
fn what_the_dead_left_and_nobody_needs_can_go() {
    let (mut leases, begin) = (Leases::new(10 * SECOND), Instant::now());
    leases.see(&lease(&heartbeat("a"), 1, "a", 0), begin);
    leases.see(&lease("tenantdb.server.gone", 2, "a", 0), begin);
    leases.see(&lease("tenantdb.server.there", 3, "a", 0), begin);
    let wanted = BTreeSet::from(["tenantdb.server.there".to_owned()]);
    assert!(leases.take_left_over(&wanted, begin).is_empty());
    let left = leases.take_left_over(&wanted, begin + 10 * SECOND);
    let names: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [&*heartbeat("a"), "tenantdb.server.gone"]);
}
