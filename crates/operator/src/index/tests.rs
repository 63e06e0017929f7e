use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use proptest::prelude::*;
use serde_json::{Value, json};
use tenantdb_api::{ObjectName, tenant_database, tenant_role};

use super::{Change, Index, Look, Work};
use crate::watch::object::{Key, Object};
use crate::watch::reference::{Reference, ReferredKind};

fn object(name: &str, generation: i64, spec: &Value) -> DynamicObject {
    let metadata = json!({"name": name, "namespace": "default", "uid": name, "generation": generation});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

fn key(kind: &'static str, name: &str) -> Key {
    Key { kind, namespace: "default".parse().unwrap(), name: name.parse().unwrap() }
}

fn database(name: &str, generation: i64, spec: &Value) -> Change {
    tenant(tenant_database::RESOURCE.kind, &object(name, generation, spec))
}

fn role(name: &str, spec: &Value) -> Change {
    tenant(tenant_role::RESOURCE.kind, &object(name, 1, spec))
}

fn tenant(kind: &'static str, object: &DynamicObject) -> Change {
    let told = Object::tenant(kind, object).unwrap();
    Change::Tenant(key(kind, &object.name_any()), Some(Arc::new(told)))
}

fn server(name: &str, default: bool) -> Change {
    server_object(name, default, |_| {})
}

/// A server that was made in this second, and says that it has this ledger.
fn server_with_ledger(name: &str, second: u32, ledger: &Value) -> Change {
    server_object(name, false, |object| {
        let created = json!(format!("2026-01-01T00:00:{second:02}Z"));
        object.metadata.creation_timestamp = serde_json::from_value(created).unwrap();
        object.data["status"] = json!({"ledger": ledger});
    })
}

fn server_object(name: &str, default: bool, change: impl FnOnce(&mut DynamicObject)) -> Change {
    let spec = json!({
        "default": default,
        "source": {"endpoint": {"host": "db"}},
        "admin": {"username": "admin_user", "passwordFrom": [{"env": "P"}]},
    });
    let mut object = object(name, 1, &spec);
    object.metadata.namespace = None;
    change(&mut object);
    Change::Server(name.parse().unwrap(), Some(Arc::new(Object::new(&object))))
}

fn index(changes: impl IntoIterator<Item = Change>) -> Index {
    let mut index = Index::default();
    changes.into_iter().for_each(|change| index.change(change));
    index
}

#[test]
fn who_waits_for_a_server_is_told_once_by_each_declaration() {
    let mut index = index([server("shared", true), database("cafe", 1, &json!({}))]);
    let (shared, mut told) = ("shared".parse().unwrap(), BTreeSet::new());
    assert_eq!(names(Some(index.newcomers(&shared, &mut told))), ["cafe"]);
    assert_eq!(index.newcomers(&shared, &mut told), Work::new());
    index.change(database("blog", 1, &json!({})));
    index.change(database("cafe", 2, &json!({"comment": "Meals"})));
    assert_eq!(names(Some(index.newcomers(&shared, &mut told))), ["blog", "cafe"]);
    assert_eq!(names(index.take(&shared, |_| false)), ["blog", "cafe"], "they go on waiting");
}

#[test]
fn of_two_that_are_one_server_the_elder_has_it_and_of_the_same_age_who_has_it_already() {
    for (second_of_other, other, elder) in [(2, "again", "shared"), (1, "again", "shared"), (0, "zeroth", "zeroth")] {
        let ledger = if elder == other { json!("l") } else { Value::Null };
        let index =
            index([server_with_ledger("shared", 1, &json!("l")), server_with_ledger(other, second_of_other, &ledger)]);
        let elder_of = |name: &str| index.elder(&name.parse().unwrap(), "l").map(|elder| elder.to_string());
        for name in ["shared", other] {
            assert_eq!(elder_of(name), (name != elder).then(|| elder.to_owned()), "{name} beside {other}");
        }
    }
}

fn names(work: Option<Work>) -> Vec<String> {
    work.into_iter().flat_map(|work| work.into_keys().map(|key| key.name.to_string())).collect()
}

#[test]
fn a_database_is_looked_at_by_the_server_that_it_names_else_by_the_default() {
    let named = database("blog", 1, &json!({"server": "other"}));
    let mut index = index([server("shared", true), server("other", false), named, database("cafe", 1, &json!({}))]);
    assert_eq!(names(index.take(&"other".parse().unwrap(), |_| false)), ["blog"]);
    assert_eq!(names(index.take(&"shared".parse().unwrap(), |_| false)), ["cafe"]);
    assert_eq!(index.busy(), []);
}

#[test]
fn one_that_no_server_is_there_for_is_stranded_until_there_is() {
    let mut index = index([database("cafe", 1, &json!({"server": "later"}))]);
    assert_eq!(index.take_stranded().len(), 1);
    index.change(server("later", false));
    assert_eq!(names(index.take(&"later".parse().unwrap(), |_| false)), ["cafe"]);
    assert!(index.take_stranded().is_empty());
}

#[test]
fn two_defaults_are_none_but_whoever_is_held_stays_where_it_is() {
    let mut index = index([server("one", true), server("two", true), database("cafe", 1, &json!({}))]);
    assert_eq!(index.take_stranded().len(), 1);
    let key = key(tenant_database::RESOURCE.kind, "cafe");
    index.holds(&"two".parse().unwrap(), [key.clone()]);
    index.look_at(&key, Look::Shallow);
    assert_eq!(names(index.take(&"two".parse().unwrap(), |_| false)), ["cafe"]);
    assert_eq!(index.held_elsewhere(&"one".parse().unwrap(), [key].into_iter()).len(), 1);
}

#[test]
fn one_that_names_no_server_is_looked_at_where_its_status_says_until_a_ledger_says_otherwise() {
    let mut index = index([server("one", false), server("two", false), server("new", true)]);
    let mut told = object("cafe", 1, &json!({}));
    told.data["status"] = json!({"server": "one"});
    let kind = tenant_database::RESOURCE.kind;
    index.change(tenant(kind, &told));
    assert_eq!(names(index.take(&"one".parse().unwrap(), |_| false)), ["cafe"]);
    index.holds(&"two".parse().unwrap(), [key(kind, "cafe")]);
    assert_eq!(names(index.take(&"two".parse().unwrap(), |_| false)), ["cafe"]);
    // A server that is gone has nothing any more.
    told.data["status"] = json!({"server": "gone"});
    told.metadata.name = Some("blog".to_owned());
    index.change(tenant(kind, &told));
    assert_eq!(names(index.take(&"new".parse().unwrap(), |_| false)), ["blog"]);
}

#[test]
fn a_status_that_was_written_is_no_reason_to_look_again() {
    let shared = "shared".parse().unwrap();
    let mut index = index([server("shared", true), database("cafe", 1, &json!({}))]);
    let _ = index.take(&shared, |_| false);
    index.change(database("cafe", 1, &json!({})));
    assert_eq!(index.take(&shared, |_| false), None);
    index.change(database("cafe", 2, &json!({"comment": "x"})));
    assert_eq!(names(index.take(&shared, |_| false)), ["cafe"]);
}

#[test]
fn a_role_and_the_databases_that_it_uses_are_looked_at_together() {
    let shared = "shared".parse().unwrap();
    let mut index = index([server("shared", true), database("cafe", 1, &json!({}))]);
    let _ = index.take(&shared, |_| false);
    index.change(role("grafana", &json!({"databases": [{"name": "cafe", "level": "ReadOnly"}]})));
    assert_eq!(names(index.take(&shared, |_| false)), ["cafe", "grafana"]);
}

#[test]
fn a_declaration_that_can_not_be_read_stops_no_other() {
    let mut index =
        index([server("shared", true), database("cafe", 1, &json!({"server": 7})), database("blog", 1, &json!({}))]);
    assert_eq!(names(index.take(&"shared".parse().unwrap(), |_| false)), ["blog", "cafe"]);
    let tenant = index.tenant(&key(tenant_database::RESOURCE.kind, "cafe")).unwrap();
    assert!(tenant.fault().is_some());
}

#[test]
fn a_part_is_looked_at_closely_after_the_other_until_all_were() {
    let shared = "shared".parse().unwrap();
    let names = ["a", "b", "c", "d", "e"];
    let databases = names.map(|name| database(name, 1, &json!({})));
    let mut index = index(std::iter::once(server("shared", true)).chain(databases));
    let _ = index.take(&shared, |_| false);
    let mut last = None;
    let mut seen = Vec::new();
    for _ in 0..3 {
        last = index.look_closely_at_next(&shared, last.as_ref(), 3);
        let work = index.take(&shared, |_| false).unwrap();
        assert!(work.values().all(|look| *look == Look::Deep));
        seen.extend(work.into_keys().map(|key| key.name.to_string()));
    }
    assert_eq!(seen, ["a", "b", "c", "d", "a", "e"]);
    assert_eq!(Index::default().look_closely_at_next(&shared, None, 3), None);
}

#[test]
fn what_is_referred_to_is_looked_at_anew_by_who_refers_to_it() {
    let mut index = index([server("shared", true)]);
    let shared: ObjectName = "shared".parse().unwrap();
    index.take(&shared, |_| false);
    let [mine, other] = ["mine", "other"].map(|name| Reference {
        kind: ReferredKind::Secret,
        namespace: "infra".parse().unwrap(),
        name: name.parse().unwrap(),
    });
    index.refers(&shared, BTreeSet::from([mine.clone()]));
    assert_eq!(index.take_references(), Some(BTreeSet::from([mine.clone()])));
    index.refers(&shared, BTreeSet::from([mine.clone()]));
    assert_eq!(index.take_references(), None);
    index.change(Change::Referred(other));
    assert_eq!(index.busy(), []);
    index.change(Change::Referred(mine));
    assert_eq!(index.busy(), ["shared".parse().unwrap()]);
    assert!(index.take_renewed(&shared) && !index.take_renewed(&shared));
    index.change(Change::Server(shared, None));
    assert_eq!(index.take_references(), Some(BTreeSet::new()));
}

#[test]
fn what_is_in_hand_is_looked_at_again_when_it_no_longer_is() {
    let mut index = index([server("shared", true), database("cafe", 1, &json!({})), database("blog", 1, &json!({}))]);
    let shared: ObjectName = "shared".parse().unwrap();
    let is_cafe = |key: &Key| key.name.as_str() == "cafe";
    assert_eq!(names(index.take(&shared, is_cafe)), ["blog"]);
    assert!(!index.has_work(&shared, is_cafe));
    assert_eq!(index.take(&shared, is_cafe), None);
    assert!(index.has_work(&shared, |_| false));
    assert_eq!(names(index.take(&shared, |_| false)), ["cafe"]);
    index.look_at_server_itself(&shared);
    assert!(index.has_work(&shared, is_cafe));
    assert_eq!(index.take(&shared, is_cafe), Some(Work::new()));
}

const SERVERS: [&str; 2] = ["one", "two"];

/// What happens to an index.
#[derive(Clone, Debug)]
enum Happening {
    /// A server is declared, as the default or not.
    Server(usize, bool),
    ServerGone(usize),
    /// A database is declared anew, on a server or on whatever is the default.
    Database(u8, Option<usize>),
    DatabaseGone(u8),
    /// A server's ledger has a database.
    Holds(usize, u8),
    /// A server looks at what there is to look at, but for the databases before this one.
    Look(usize, u8),
}

fn happening() -> impl Strategy<Value = Happening> {
    let (server, database) = (0..SERVERS.len(), 0..4_u8);
    prop_oneof![
        (server.clone(), any::<bool>()).prop_map(|(server, default)| Happening::Server(server, default)),
        server.clone().prop_map(Happening::ServerGone),
        (database.clone(), prop::option::of(server.clone())).prop_map(|(name, on)| Happening::Database(name, on)),
        database.clone().prop_map(Happening::DatabaseGone),
        (server.clone(), database.clone()).prop_map(|(server, name)| Happening::Holds(server, name)),
        (server, database).prop_map(|(server, first)| Happening::Look(server, first)),
    ]
}

/// What should be known after all that happened.
#[derive(Default)]
struct Expected {
    /// The servers, and whether they are the default.
    servers: BTreeMap<usize, bool>,
    /// The databases, with the server that they name.
    databases: BTreeMap<u8, Option<usize>>,
    holders: BTreeMap<u8, usize>,
    /// Those that something happened to since they were looked at.
    unseen: BTreeSet<u8>,
}

impl Expected {
    fn server_of(&self, name: u8) -> Option<usize> {
        let mut defaults = self.servers.iter().filter(|(_, is_default)| **is_default);
        let default = defaults.next().filter(|_| defaults.next().is_none()).map(|(server, _)| *server);
        let server = self.databases[&name].or_else(|| self.holders.get(&name).copied()).or(default);
        server.filter(|server| self.servers.contains_key(server))
    }
}

fn name_of(number: u8) -> String {
    format!("db-{number}")
}

fn number_of(key: &Key) -> u8 {
    key.name.as_str().strip_prefix("db-").and_then(|number| number.parse().ok()).unwrap()
}

proptest! {
    #[test]
    fn whatever_happens_each_database_is_looked_at_and_only_by_its_server(
        happenings in prop::collection::vec(happening(), 0..40),
    ) {
        let (mut index, mut expected) = (Index::default(), Expected::default());
        let server_name = |server: usize| -> ObjectName { SERVERS[server].parse().unwrap() };
        for (generation, happening) in (1..).zip(happenings) {
            match happening {
                Happening::Server(which, default) => {
                    let Change::Server(name, Some(object)) = server(SERVERS[which], default) else { unreachable!() };
                    let mut object = Arc::unwrap_or_clone(object);
                    object.meta.generation = generation;
                    index.change(Change::Server(name, Some(Arc::new(object))));
                    expected.servers.insert(which, default);
                    expected.unseen.extend(expected.databases.keys());
                }
                Happening::ServerGone(which) => {
                    index.change(Change::Server(server_name(which), None));
                    expected.servers.remove(&which);
                    expected.unseen.extend(expected.databases.keys());
                }
                Happening::Database(number, on) => {
                    let spec = on.map_or_else(|| json!({}), |on| json!({"server": SERVERS[on]}));
                    index.change(database(&name_of(number), generation, &spec));
                    expected.databases.insert(number, on);
                    expected.unseen.insert(number);
                }
                Happening::DatabaseGone(number) => {
                    let gone = key(tenant_database::RESOURCE.kind, &name_of(number));
                    index.change(Change::Tenant(gone, None));
                    expected.databases.remove(&number);
                    expected.holders.remove(&number);
                    expected.unseen.remove(&number);
                }
                Happening::Holds(which, number) => {
                    index.holds(&server_name(which), [key(tenant_database::RESOURCE.kind, &name_of(number))]);
                    expected.holders.insert(number, which);
                }
                Happening::Look(which, first) => {
                    let work = index.take(&server_name(which), |key| number_of(key) < first);
                    for number in work.into_iter().flatten().map(|(key, _)| number_of(&key)) {
                        prop_assert!(number >= first, "it is in hand");
                        prop_assert_eq!(expected.server_of(number), Some(which));
                        expected.unseen.remove(&number);
                    }
                }
            }
        }
        let stranded: BTreeSet<u8> = index.take_stranded().iter().map(number_of).collect();
        for number in &stranded {
            prop_assert_eq!(expected.server_of(*number), None);
        }
        let mut looked_at = stranded;
        for which in 0..SERVERS.len() {
            let work = index.take(&server_name(which), |_| false);
            looked_at.extend(work.into_iter().flatten().map(|(key, _)| number_of(&key)));
        }
        prop_assert!(looked_at.is_superset(&expected.unseen), "{:?} of {:?}", looked_at, expected.unseen);
    }
}
