//! Work that is done over and over: somebody undoes it. Then it is told, and left for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use tenantdb_core::Claim;
use tokio::time::Instant;

/// Twice within this time is once too often.
const SOON: Duration = Duration::from_mins(2);

/// How long it is left then.
const REST: Duration = Duration::from_mins(10);

/// What was done last to each declaration.
#[derive(Debug, Default)]
pub(crate) struct Repeats(BTreeMap<Claim, Done>);

#[derive(Debug)]
struct Done {
    /// The declaration that it was done for.
    of: (String, i64),
    what: Vec<String>,
    since: Instant,
    times: u32,
}

impl Repeats {
    /// Takes note of what was done to a declaration, as its UID and generation tell it from others.
    pub(crate) fn did(&mut self, claim: &Claim, of: (String, i64), what: Vec<String>, now: Instant) {
        match self.0.get_mut(claim) {
            Some(done) if done.of == of && done.what == what && now - done.since < SOON => {
                done.times += 1;
                done.since = now;
            }
            _ => drop(self.0.insert(claim.clone(), Done { of, what, since: now, times: 1 })),
        }
    }

    /// Whether doing this would only be undone again.
    pub(crate) fn is_in_vain(&self, claim: &Claim, of: &(String, i64), what: &[String], now: Instant) -> bool {
        let is_rest = |done: &&Done| done.times > 1 && now - done.since < REST;
        self.0.get(claim).filter(is_rest).is_some_and(|done| done.of == *of && done.what == what)
    }

    /// Forgets a declaration that is gone.
    pub(crate) fn forget(&mut self, claim: &Claim) {
        self.0.remove(claim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        Claim::at("default/cafe", "TenantDatabase", &tenantdb_core::Authority::cluster("test").unwrap()).unwrap()
    }

    #[test]
    fn what_is_undone_twice_is_left_for_a_while() {
        let (mut repeats, begin) = (Repeats::default(), Instant::now());
        let (of, what) = (("uid".to_owned(), 1), vec!["database cafe: closed to PUBLIC".to_owned()]);
        let at = |seconds| begin + Duration::from_secs(seconds);
        repeats.did(&claim(), of.clone(), what.clone(), at(0));
        assert!(!repeats.is_in_vain(&claim(), &of, &what, at(1)));
        repeats.did(&claim(), of.clone(), what.clone(), at(60));
        assert!(repeats.is_in_vain(&claim(), &of, &what, at(61)));
        assert!(!repeats.is_in_vain(&claim(), &of, &["another".to_owned()], at(61)));
        assert!(!repeats.is_in_vain(&claim(), &("uid".to_owned(), 2), &what, at(61)));
        assert!(!repeats.is_in_vain(&claim(), &of, &what, at(61 + REST.as_secs())));
    }

    #[test]
    fn the_same_a_day_later_is_no_repeat() {
        let (mut repeats, begin) = (Repeats::default(), Instant::now());
        let (of, what) = (("uid".to_owned(), 1), vec!["x".to_owned()]);
        repeats.did(&claim(), of.clone(), what.clone(), begin);
        repeats.did(&claim(), of.clone(), what.clone(), begin + SOON);
        assert!(!repeats.is_in_vain(&claim(), &of, &what, begin + SOON));
        repeats.forget(&claim());
        assert!(repeats.0.is_empty());
    }
}
