//! When to look again at what failed: soon at first, then ever more seldom.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::pause;
use crate::watch::object::Key;

/// How long to wait at most.
const LONGEST: Duration = Duration::from_mins(1);

/// The declarations that are not kept yet.
#[derive(Debug, Default)]
pub(crate) struct Retries(BTreeMap<Key, Retry>);

#[derive(Debug)]
struct Retry {
    failures: u32,
    /// None while it is looked at.
    at: Option<Instant>,
}

impl Retries {
    /// One failed once more.
    pub(crate) fn failed(&mut self, key: &Key, now: Instant) {
        let retry = self.0.entry(key.clone()).or_insert(Retry { failures: 0, at: None });
        retry.failures += 1;
        retry.at = Some(now + pause(retry.failures, LONGEST));
    }

    /// One is looked at, for whatever reason.
    pub(crate) fn begun(&mut self, key: &Key) {
        if let Some(retry) = self.0.get_mut(key) {
            retry.at = None;
        }
    }

    /// One is kept, or gone.
    pub(crate) fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// When the next of them is to be looked at.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.values().filter_map(|retry| retry.at).min()
    }

    /// Those that are to be looked at now.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Key> {
        let due = self.0.iter_mut().filter(|(_, retry)| retry.at.is_some_and(|at| at <= now));
        due.map(|(key, retry)| {
            retry.at = None;
            key.clone()
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_is_left_for_longer_until_it_is_kept() {
        let key = Key { kind: "TenantDatabase", namespace: "default".parse().unwrap(), name: "cafe".parse().unwrap() };
        let (mut retries, begin) = (Retries::default(), Instant::now());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            retries.failed(&key, begin);
            assert_eq!(retries.next(), Some(begin + Duration::from_secs(seconds)));
        }
        assert_eq!(retries.take_due(begin), []);
        assert_eq!(retries.take_due(begin + LONGEST), std::slice::from_ref(&key));
        assert_eq!(retries.next(), None, "it is looked at now");
        retries.forget(&key);
        retries.failed(&key, begin);
        assert_eq!(retries.next(), Some(begin + Duration::from_secs(1)));
        retries.begun(&key);
        assert_eq!(retries.next(), None);
    }
}
