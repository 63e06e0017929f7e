//! Who refers to what: no client, no clock, no waiting.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::ObjectName;

use crate::watch::object::Key;
use crate::watch::reference::Reference;

/// What servers, and declarations that wait, refer to.
#[derive(Debug, Default)]
pub(crate) struct References {
    of_servers: BTreeMap<ObjectName, BTreeSet<Reference>>,
    of_tenants: BTreeMap<Key, BTreeSet<Reference>>,
    /// Whether it is another set than when it was last asked for.
    has_changed: bool,
}

impl References {
    /// Takes note of all that a server refers to.
    pub(crate) fn of_server(&mut self, server: &ObjectName, read: BTreeSet<Reference>) {
        self.has_changed |= put(&mut self.of_servers, server, read);
    }

    /// Takes note of all that a declaration waits for.
    pub(crate) fn of_tenant(&mut self, key: &Key, read: BTreeSet<Reference>) {
        self.has_changed |= put(&mut self.of_tenants, key, read);
    }

    /// The servers that refer to an object, and the declarations that wait for it.
    pub(crate) fn users(&self, reference: &Reference) -> (Vec<ObjectName>, Vec<Key>) {
        (users(&self.of_servers, reference), users(&self.of_tenants, reference))
    }

    /// All that has to be followed, if that is something else than before.
    pub(crate) fn take_changed(&mut self) -> Option<BTreeSet<Reference>> {
        let all = || self.of_servers.values().chain(self.of_tenants.values()).flatten().cloned().collect();
        std::mem::take(&mut self.has_changed).then(all)
    }
}

/// Whether that is something else than before.
fn put<K: Clone + Ord>(all: &mut BTreeMap<K, BTreeSet<Reference>>, key: &K, read: BTreeSet<Reference>) -> bool {
    let before = if read.is_empty() { all.remove(key) } else { all.insert(key.clone(), read) };
    before.as_ref() != all.get(key)
}

fn users<K: Clone>(all: &BTreeMap<K, BTreeSet<Reference>>, reference: &Reference) -> Vec<K> {
    all.iter().filter(|(_, read)| read.contains(reference)).map(|(key, _)| key.clone()).collect()
}
