//! What is declared, and what has to be looked at: no client, no clock, no waiting.

mod references;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tenantdb_api::database_server::Labels;
use tenantdb_api::{DatabaseServer, Namespace, ObjectName};
use tenantdb_core::policy::Namespaces;

use crate::protect::namespaces::PROTECTED;
use crate::watch::object::{Key, Object, Tenant};
use crate::watch::reference::Reference;
use references::References;

/// A change that a watch saw. An object that is gone is `None`.
#[derive(Debug)]
pub(crate) enum Change {
    Server(ObjectName, Option<Arc<Object<DatabaseServer>>>),
    Tenant(Key, Option<Tenant>),
    /// A namespace, with its labels.
    Namespace(Namespace, Option<Labels>),
    /// Somebody changed or removed the Secret of this declaration.
    Secret(Key),
    /// Something that others refer to is another than before, or gone.
    Referred(Reference),
}

/// How closely to look at a declaration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Look {
    #[default]
    Shallow,
    Deep,
}

/// What a server has to look at; with nothing in it, at itself.
pub(crate) type Work = BTreeMap<Key, Look>;

/// All declarations, and which of them each server has to look at.
#[derive(Debug, Default)]
pub(crate) struct Index {
    servers: BTreeMap<ObjectName, Arc<Object<DatabaseServer>>>,
    tenants: BTreeMap<Key, Tenant>,
    /// Which server holds a declaration that names none, as the ledgers say.
    holders: BTreeMap<Key, ObjectName>,
    dirty: BTreeMap<ObjectName, Work>,
    /// Those that no server is there for.
    stranded: BTreeSet<Key>,
    references: References,
    namespaces: Arc<Namespaces>,
    /// By the UIDs of resources, the UIDs of the namespaces that they stand in.
    stand_in: BTreeMap<Key, (String, String)>,
    /// The namespaces in which something changed that their label may have to say.
    relabelled: BTreeSet<Namespace>,
    /// The servers whose way there may be another than it was.
    renewed: BTreeSet<ObjectName>,
}

impl Index {
    /// Takes note of a change.
    pub(crate) fn change(&mut self, change: Change) {
        match change {
            Change::Server(name, object) => self.change_server(name, object),
            Change::Tenant(key, tenant) => self.change_tenant(&key, tenant),
            Change::Namespace(name, labels) => self.change_namespace(&name, labels),
            Change::Secret(key) => self.look_at(&key, Look::Shallow),
            Change::Referred(reference) => self.renew(&reference),
        }
    }

    /// What a namespace may ask for may depend on its labels, but for ours.
    fn change_namespace(&mut self, name: &Namespace, labels: Option<Labels>) {
        if self.namespaces.get(name) == labels.as_ref() {
            return;
        }
        self.relabelled.insert(name.clone());
        let without_ours = |labels: Option<&Labels>| {
            let mut labels = labels.cloned();
            labels.as_mut().and_then(|all| all.remove(PROTECTED.0));
            labels
        };
        let is_news = without_ours(self.namespaces.get(name)) != without_ours(labels.as_ref());
        let all = Arc::make_mut(&mut self.namespaces);
        match labels {
            Some(labels) => drop(all.insert(name.clone(), labels)),
            None => drop(all.remove(name)),
        }
        if is_news {
            let here: Vec<Key> = self.tenants.keys().filter(|key| key.namespace == *name).cloned().collect();
            for key in &here {
                self.look_at(key, Look::Shallow);
            }
        }
    }

    fn renew(&mut self, reference: &Reference) {
        let (servers, tenants) = self.references.users(reference);
        self.renewed.extend(servers);
        for key in &tenants {
            self.look_at(key, Look::Shallow);
        }
    }

    fn change_tenant(&mut self, key: &Key, tenant: Option<Tenant>) {
        let before = self.tenants.remove(key);
        let news = match (&before, &tenant) {
            (Some(before), Some(tenant)) if !tenant.meta.is_news(&before.meta) => None,
            (Some(before), Some(tenant)) if tenant.meta.asks_for_closer_look(&before.meta) => Some(Look::Deep),
            _ => Some(Look::Shallow),
        };
        let is_guarded = |tenant: &Option<Tenant>| tenant.as_ref().is_some_and(|tenant| tenant.is_guarded());
        if is_guarded(&before) != is_guarded(&tenant) {
            self.relabelled.insert(key.namespace.clone());
        }
        let spoken_of: BTreeSet<Key> = before.iter().chain(&tenant).flat_map(|tenant| tenant.speaks_of()).collect();
        match tenant {
            Some(tenant) => drop(self.tenants.insert(key.clone(), tenant)),
            None => self.forget(key, before.as_ref().is_some_and(|before| !before.meta.is_deleted)),
        }
        if let Some(look) = news {
            self.look_at(key, look);
            for other in &spoken_of {
                self.look_at(other, Look::Shallow);
            }
        }
    }

    fn change_server(&mut self, name: ObjectName, object: Option<Arc<Object<DatabaseServer>>>) {
        let news = match (self.servers.get(&name), &object) {
            (Some(before), Some(object)) => object.meta.is_news(&before.meta),
            _ => true,
        };
        if let Some(object) = object {
            self.servers.insert(name.clone(), object);
            if news {
                self.dirty.entry(name).or_default();
            }
        } else {
            self.servers.remove(&name);
            self.dirty.remove(&name);
            self.renewed.remove(&name);
            self.references.of_server(&name, BTreeSet::new());
        }
        if news {
            // Which server is the default, and what it gives to its tenants, may be another now.
            let all: Vec<Key> = self.tenants.keys().cloned().collect();
            for key in &all {
                self.look_at(key, Look::Shallow);
            }
        }
    }

    fn forget(&mut self, key: &Key, went_at_once: bool) {
        let holder = self.holders.remove(key);
        if let (true, Some(server)) = (went_at_once, holder) {
            // Nobody was asked what becomes of what it has there.
            self.look_at_server_itself(&server);
        }
        self.stranded.remove(key);
        self.stand_in.remove(key);
        self.references.of_tenant(key, BTreeSet::new());
        for work in self.dirty.values_mut() {
            work.remove(key);
        }
    }

    /// Has a declaration looked at by its server.
    pub(crate) fn look_at(&mut self, key: &Key, look: Look) {
        if !self.tenants.contains_key(key) {
            return;
        }
        if let Some(server) = self.server_of(key) {
            let found = self.dirty.entry(server).or_default().entry(key.clone()).or_default();
            *found = look.max(*found);
            self.stranded.remove(key);
        } else {
            self.stranded.insert(key.clone());
        }
    }

    /// Has a server looked at, with all that is declared for it.
    pub(crate) fn look_at_server(&mut self, server: &ObjectName, look: Look) {
        self.dirty.entry(server.clone()).or_default();
        for key in &self.keys_on(server) {
            self.look_at(key, look);
        }
    }

    /// Has one of so many parts of a server's declarations looked at closely, those that come `after`; the last of them.
    pub(crate) fn look_closely_at_next(
        &mut self,
        server: &ObjectName,
        after: Option<&Key>,
        parts: usize,
    ) -> Option<Key> {
        let here = self.keys_on(server);
        let begin = after.map_or(0, |after| here.partition_point(|key| key <= after));
        let next: Vec<&Key> = here.iter().cycle().skip(begin).take(here.len().div_ceil(parts)).collect();
        for key in &next {
            self.look_at(key, Look::Deep);
        }
        next.last().map(|last| (*last).clone())
    }

    fn keys_on(&self, server: &ObjectName) -> Vec<Key> {
        self.tenants.keys().filter(|key| self.server_of(key).as_ref() == Some(server)).cloned().collect()
    }

    /// What waits for a server and was not told why: each declaration once, as the API server follows later.
    pub(crate) fn newcomers(&self, server: &ObjectName, told: &mut BTreeSet<(Key, i64)>) -> Work {
        let waiting = self.dirty.get(server).into_iter().flatten();
        let generation = |key: &Key| self.tenants.get(key).map_or(0, |tenant| tenant.meta.generation);
        let new = waiting.filter(|(key, _)| told.insert(((*key).clone(), generation(key))));
        new.map(|(key, look)| (key.clone(), *look)).collect()
    }

    /// How many declarations wait for a server.
    pub(crate) fn waiting(&self, server: &ObjectName) -> usize {
        self.dirty.get(server).map_or(0, BTreeMap::len)
    }

    pub(crate) fn tenant(&self, key: &Key) -> Option<Tenant> {
        self.tenants.get(key).cloned()
    }

    pub(crate) fn server(&self, name: &ObjectName) -> Option<Arc<Object<DatabaseServer>>> {
        self.servers.get(name).cloned()
    }

    /// The server that a declaration names, else the one that holds it as far as is known here, else the one that its
    /// status tells of, which another operator may have looked at, else the default.
    fn server_of(&self, key: &Key) -> Option<ObjectName> {
        let tenant = self.tenants.get(key)?;
        let told = || tenant.told_server().filter(|name| self.servers.contains_key(name));
        let name = tenant.server().or_else(|| self.holders.get(key)).cloned();
        let name = name.or_else(told).or_else(|| self.default_server());
        name.filter(|name| self.servers.contains_key(name))
    }

    /// The default, if there is one only.
    fn default_server(&self) -> Option<ObjectName> {
        match &*self.defaults() {
            [only] => Some((*only).clone()),
            _ => None,
        }
    }

    /// Those that say that they are the default.
    fn defaults(&self) -> Vec<&ObjectName> {
        let says_so = |object: &Object<DatabaseServer>| {
            object.declared.as_ref().is_ok_and(|declared| declared.resource.spec.default)
        };
        self.servers.iter().filter(|(_, object)| says_so(object)).map(|(name, _)| name).collect()
    }

    /// Why no server is there for a declaration, for people.
    pub(crate) fn why_stranded(&self, key: &Key) -> String {
        if let Some(name) = self.tenants.get(key).and_then(|tenant| tenant.server()) {
            return format!("there is no DatabaseServer `{name}`; declare it, or name another in `server`");
        }
        match &*self.defaults() {
            [] => "it names no `server`, and no DatabaseServer is the default; name one, or make one the default"
                .to_owned(),
            all => {
                let all: Vec<&str> = all.iter().map(|name| name.as_str()).collect();
                format!("it names no `server`, and several are the default: {}; let one of them be it", all.join(", "))
            }
        }
    }

    /// The UID of the namespace that a resource stands in, which has this UID itself.
    pub(crate) fn namespace_uid(&self, key: &Key, uid: &str) -> Option<&str> {
        self.stand_in.get(key).filter(|(of, _)| of == uid).map(|(_, namespace)| namespace.as_str())
    }

    /// Takes note of that.
    pub(crate) fn stands_in(&mut self, key: &Key, uid: &str, namespace: String) {
        if self.tenants.contains_key(key) {
            self.stand_in.insert(key.clone(), (uid.to_owned(), namespace));
        }
    }

    /// Whether the resource that stood in a namespace with this UID is gone, though nobody said so.
    pub(crate) fn is_lost(&self, key: &Key, namespace: &str) -> bool {
        let Some(tenant) = self.tenants.get(key) else { return true };
        self.namespace_uid(key, &tenant.meta.uid).is_some_and(|found| found != namespace)
    }

    /// All that are declared.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &ObjectName> {
        self.servers.keys()
    }

    /// The eldest of those that say that they have this ledger as well, if one is older than this server. Time is counted in
    /// seconds: of two that came in the same one, whoever has it keeps it.
    pub(crate) fn elder(&self, server: &ObjectName, ledger: &str) -> Option<ObjectName> {
        let has_it = |object: &Object<DatabaseServer>| object.meta.status["ledger"] == ledger;
        let others = self.servers.iter().filter(|(name, object)| *name == server || has_it(object));
        let (eldest, _) = others.min_by_key(|(name, object)| (object.meta.created, !has_it(object), *name))?;
        (eldest != server).then(|| eldest.clone())
    }

    /// Whether something has to be looked at that belongs to no server.
    pub(crate) fn has_work_without_server(&self) -> bool {
        !(self.stranded.is_empty() && self.relabelled.is_empty())
    }

    /// Has a namespace's label looked at again.
    pub(crate) fn relabel(&mut self, name: Namespace) {
        self.relabelled.insert(name);
    }

    /// Takes the namespaces whose label says something else of their protection than what is in them: those where anything
    /// changed since, and whether each has something protected.
    pub(crate) fn take_wrongly_labelled(&mut self) -> Vec<(Namespace, bool)> {
        let changed = std::mem::take(&mut self.relabelled);
        let guarded = self.tenants.iter().filter(|(_, tenant)| tenant.is_guarded());
        let protected: BTreeSet<&Namespace> = guarded.map(|(key, _)| &key.namespace).collect();
        let wrong = changed.into_iter().filter_map(|name| {
            let (label, value) = PROTECTED;
            let says_so = self.namespaces.get(&name)?.get(label).is_some_and(|said| said == value);
            let is_protected = protected.contains(&name);
            (says_so != is_protected).then_some((name, is_protected))
        });
        wrong.collect()
    }

    /// The servers that have something to look at.
    pub(crate) fn busy(&self) -> Vec<ObjectName> {
        let is_busy = |name: &&ObjectName| self.dirty.contains_key(*name) || self.renewed.contains(*name);
        self.servers.keys().filter(is_busy).cloned().collect()
    }

    /// Has a server looked at itself.
    pub(crate) fn look_at_server_itself(&mut self, server: &ObjectName) {
        if self.servers.contains_key(server) {
            self.dirty.entry(server.clone()).or_default();
        }
    }

    /// Whether the way to a server may be another than it was.
    pub(crate) fn is_renewed(&self, server: &ObjectName) -> bool {
        self.renewed.contains(server)
    }

    /// The same, which is dealt with now.
    pub(crate) fn take_renewed(&mut self, server: &ObjectName) -> bool {
        self.renewed.remove(server)
    }

    /// Takes note of all that a server refers to.
    pub(crate) fn refers(&mut self, server: &ObjectName, read: BTreeSet<Reference>) {
        if self.servers.contains_key(server) {
            self.references.of_server(server, read);
        }
    }

    /// Takes note of what a declaration waits for.
    pub(crate) fn waits(&mut self, key: &Key, awaited: BTreeSet<Reference>) {
        if self.tenants.contains_key(key) {
            self.references.of_tenant(key, awaited);
        }
    }

    /// The labels of all namespaces.
    pub(crate) fn namespaces(&self) -> Arc<Namespaces> {
        self.namespaces.clone()
    }

    /// All that has to be followed, if that is something else than before.
    pub(crate) fn take_references(&mut self) -> Option<BTreeSet<Reference>> {
        self.references.take_changed()
    }

    /// Whether a server has something to look at beside what is in hand.
    pub(crate) fn has_work(&self, server: &ObjectName, is_in_hand: impl Fn(&Key) -> bool) -> bool {
        self.dirty.get(server).is_some_and(|work| work.is_empty() || !work.keys().all(is_in_hand))
    }

    /// Takes what a server has to look at but for what is in hand, which stays; `None` is nothing, not even itself.
    pub(crate) fn take(&mut self, server: &ObjectName, is_in_hand: impl Fn(&Key) -> bool) -> Option<Work> {
        let mut work = self.dirty.remove(server)?;
        let is_itself = work.is_empty();
        let later: Work = work.extract_if(.., |key, _| is_in_hand(key)).collect();
        if !later.is_empty() {
            self.dirty.insert(server.clone(), later);
        }
        // Since it was asked for, another may have become the default, or its ledger been read.
        let elsewhere: Work = work.extract_if(.., |key, _| self.server_of(key).as_ref() != Some(server)).collect();
        for (key, look) in &elsewhere {
            self.look_at(key, *look);
        }
        (is_itself || !work.is_empty()).then_some(work)
    }

    /// Takes those that no server is there for.
    pub(crate) fn take_stranded(&mut self) -> BTreeSet<Key> {
        std::mem::take(&mut self.stranded)
    }

    /// Takes note of what a server's ledger holds; who is looked at by another server then is looked at there.
    pub(crate) fn holds(&mut self, server: &ObjectName, keys: impl IntoIterator<Item = Key>) {
        for key in keys {
            if self.holders.get(&key) == Some(server) {
                continue;
            }
            let before = self.server_of(&key);
            self.holders.insert(key.clone(), server.clone());
            if self.server_of(&key) != before {
                self.look_at(&key, Look::Shallow);
            }
        }
    }

    /// Those of these declarations that another server holds.
    pub(crate) fn held_elsewhere(
        &self,
        server: &ObjectName,
        keys: impl Iterator<Item = Key>,
    ) -> Vec<(Key, ObjectName)> {
        let holder = |key: Key| self.holders.get(&key).filter(|holder| *holder != server).cloned().map(|at| (key, at));
        keys.filter_map(holder).collect()
    }
}

#[cfg(test)]
mod tests;
