//! Which replica works on what: every replica comes to the same answer from the same names.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::Share;

/// Gives each share to one of the living replicas, none of them more than one server more than another. Who comes or goes
/// moves few shares of the others (rendezvous hashing with a bounded load).
pub(crate) fn assign(shares: &BTreeSet<Share>, replicas: &BTreeSet<String>) -> BTreeMap<Share, String> {
    if replicas.is_empty() {
        return BTreeMap::new();
    }
    let servers = shares.iter().filter(|share| is_server(share)).count();
    let most = servers.div_ceil(replicas.len());
    let mut loads: BTreeMap<&String, usize> = BTreeMap::new();
    let mut assigned = BTreeMap::new();
    for share in shares {
        let load = |replica: &String| loads.get(replica).copied().unwrap_or_default();
        let has_room = |replica: &&String| !is_server(share) || load(replica) < most;
        let Some(replica) = replicas.iter().filter(has_room).max_by_key(|replica| weight(share, replica)) else {
            continue;
        };
        *loads.entry(replica).or_default() += usize::from(is_server(share));
        assigned.insert(share.clone(), replica.clone());
    }
    assigned
}

/// What belongs to no server is little.
fn is_server(share: &Share) -> bool {
    matches!(share, Share::Server(_))
}

fn weight(share: &Share, replica: &str) -> [u8; 32] {
    Sha256::new().chain_update(share.lease()).chain_update([0]).chain_update(replica).finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn servers(number: usize) -> BTreeSet<Share> {
        let servers = (0..number).map(|number| Share::Server(format!("server-{number}").parse().unwrap()));
        std::iter::once(Share::Cluster).chain(servers).collect()
    }

    fn replicas(names: impl IntoIterator<Item = u64>) -> BTreeSet<String> {
        names.into_iter().map(|name| format!("replica-{name}")).collect()
    }

    #[test]
    fn nobody_has_anything_where_nobody_is() {
        assert!(assign(&servers(3), &BTreeSet::new()).is_empty());
    }

    #[test]
    fn who_is_lost_leaves_most_shares_where_they_were() {
        let (shares, all) = (servers(99), replicas(0..4));
        let before = assign(&shares, &all);
        let after = assign(&shares, &replicas(0..3));
        let moved = before.iter().filter(|(share, replica)| after[*share] != **replica).count();
        assert!(moved <= 50, "{moved} of {} moved, where {} had to", shares.len(), shares.len() / 4);
    }

    proptest! {
        #[test]
        fn everything_is_shared_out_evenly(number in 0usize..60, names in prop::collection::btree_set(any::<u64>(), 1..6)) {
            let (shares, replicas) = (servers(number), replicas(names));
            let assigned = assign(&shares, &replicas);
            prop_assert!(assigned.keys().eq(shares.iter()));
            let most = number.div_ceil(replicas.len());
            for replica in &replicas {
                let servers = assigned.iter().filter(|(share, one)| is_server(share) && *one == replica);
                prop_assert!(servers.count() <= most);
            }
        }
    }
}
