//! Watches: what the API server says has changed. A watch that breaks begins anew, and what went away meanwhile is
//! told as gone.

pub(crate) mod follow;
pub(crate) mod object;
pub(crate) mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::DynamicObject;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Error, ResourceExt as _};
use serde::de::DeserializeOwned;
use tenantdb_api::kinds::resource::Resource;
use tenantdb_api::{Tenant, database_server};
use tenantdb_core::{Authority, Claim};
use tenantdb_credentials::stores::secret::{self, SecretPlace};
use tenantdb_kubernetes::told;
use tokio::sync::mpsc::UnboundedSender;

use crate::index::Change;
use crate::watch::object::{Key, Object, api_resource};

/// How long what we write ourselves may take to be known as ours: the watch is often faster than the answer.
const ECHO: Duration = Duration::from_millis(100);

/// What a watch tells.
pub(crate) enum Seen {
    /// Something changed.
    Change(Change),
    /// All of a kind that was there when its watch began has been told.
    Complete(&'static str),
}

/// Watches the servers.
pub(crate) async fn servers(client: Client, seen: UnboundedSender<Seen>) {
    let read = |object: &DynamicObject| Some((object.name_any().parse().ok()?, Arc::new(Object::new(object))));
    objects(api(client, &database_server::RESOURCE), database_server::RESOURCE.kind, read, Change::Server, seen).await;
}

/// Watches the declarations of a kind that servers are there for.
pub(crate) async fn tenants(client: Client, resource: &'static Resource, seen: UnboundedSender<Seen>) {
    let kind = resource.kind;
    let read = |object: &DynamicObject| Some((key(kind, object)?, Arc::new(Object::tenant(kind, object)?)));
    objects(api(client, resource), kind, read, Change::Tenant, seen).await;
}

fn key(kind: &'static str, object: &DynamicObject) -> Option<Key> {
    Some(Key { kind, namespace: object.namespace()?.parse().ok()?, name: object.name_any().parse().ok()? })
}

/// Watches the namespaces, and nothing but their metadata.
pub(crate) async fn namespaces(client: Client, seen: UnboundedSender<Seen>) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    let read = |object: &PartialObjectMeta<Namespace>| Some((object.name_any().parse().ok()?, object.labels().clone()));
    objects(api, "Namespace", read, Change::Namespace, seen).await;
}

fn api(client: Client, resource: &Resource) -> Api<DynamicObject> {
    Api::all_with(client, &api_resource(resource))
}

async fn objects<O, K: Clone + Ord, T>(
    api: Api<O>,
    kind: &'static str,
    read: impl Fn(&O) -> Option<(K, T)>,
    change: impl Fn(K, Option<T>) -> Change,
    seen: UnboundedSender<Seen>,
) where
    O: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let (mut known, mut found) = (BTreeSet::new(), BTreeSet::new());
    while let Some(event) = events.next().await {
        let told = match event {
            Ok(Event::Init) => {
                found = BTreeSet::new();
                continue;
            }
            Ok(Event::InitApply(object)) => read(&object).map(|(key, object)| {
                found.insert(key.clone());
                change(key, Some(object))
            }),
            Ok(Event::InitDone) => {
                for gone in known.difference(&found) {
                    let _ = seen.send(Seen::Change(change(K::clone(gone), None)));
                }
                known = std::mem::take(&mut found);
                let _ = seen.send(Seen::Complete(kind));
                continue;
            }
            Ok(Event::Apply(object)) => read(&object).map(|(key, object)| {
                known.insert(key.clone());
                change(key, Some(object))
            }),
            Ok(Event::Delete(object)) => read(&object).map(|(key, _)| {
                known.remove(&key);
                change(key, None)
            }),
            Err(error) => {
                tracing::warn!(kind, error = why(&error), "the watch broke, and begins anew");
                continue;
            }
        };
        if let Some(told) = told {
            let _ = seen.send(Seen::Change(told));
        }
    }
}

/// Watches the Secrets that carry our label, and nothing but their metadata.
pub(crate) async fn secrets(
    client: Client,
    place: &Arc<SecretPlace>,
    authority: &Authority,
    seen: UnboundedSender<Seen>,
) {
    let ours = watcher::Config::default().labels(secret::OWNER);
    let api: Api<PartialObjectMeta<Secret>> = Api::all(client);
    let mut events = watcher(api, ours).default_backoff().boxed();
    let changed = |secret: &Known| drop(seen.send(Seen::Change(Change::Secret(secret.of.clone()))));
    let (mut known, mut found) = (BTreeMap::new(), BTreeMap::new());
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => found = BTreeMap::new(),
            Ok(Event::InitApply(object)) => found.extend(Known::of(&object, authority)),
            Ok(Event::InitDone) => {
                // What is there at the very beginning is read before anything is planned.
                let is_another = |(name, before): &(&String, &Known)| found.get(*name) != Some(*before);
                known.iter().filter(is_another).for_each(|(_, before)| changed(before));
                known = std::mem::take(&mut found);
                let _ = seen.send(Seen::Complete("Secret"));
            }
            Ok(Event::Apply(object)) => {
                let (before, now) = (known.remove(&path(&object)), Known::of(&object, authority));
                // Somebody marked it as another's: whose it was has none any more.
                let is_lost = |before: &&Known| now.as_ref().is_none_or(|(_, now)| now.of != before.of);
                before.as_ref().filter(is_lost).into_iter().for_each(changed);
                let Some((name, secret)) = now else { continue };
                known.insert(name, secret.clone());
                if !place.is_as_written(&object.metadata) {
                    let (place, seen) = (place.clone(), seen.clone());
                    tokio::spawn(async move {
                        tokio::time::sleep(ECHO).await;
                        if !place.is_as_written(&object.metadata) {
                            let _ = seen.send(Seen::Change(Change::Secret(secret.of)));
                        }
                    });
                }
            }
            Ok(Event::Delete(object)) => {
                if let Some((name, secret)) = Known::of(&object, authority) {
                    known.remove(&name);
                    changed(&secret);
                }
            }
            Err(error) => tracing::warn!(kind = "Secret", error = why(&error), "the watch broke, and begins anew"),
        }
    }
}

/// A Secret, as it was seen last.
#[derive(Clone, PartialEq, Eq)]
struct Known {
    /// The declaration that it is of.
    of: Key,
    version: Option<String>,
}

impl Known {
    /// One that is this authority's, with its namespace and name.
    fn of(object: &PartialObjectMeta<Secret>, authority: &Authority) -> Option<(String, Self)> {
        let claim = claim(object, authority)?;
        Some((path(object), Self { of: Key::of(&claim), version: object.resource_version() }))
    }
}

/// Its namespace and name.
fn path(secret: &PartialObjectMeta<Secret>) -> String {
    format!("{}/{}", secret.namespace().unwrap_or_default(), secret.name_any())
}

/// Why a watch broke, in the API server's words, and what to do about a right that is missing.
pub(crate) fn why(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(Error::Api(status))
        | watcher::Error::WatchStartFailed(Error::Api(status))
            if status.is_forbidden() =>
        {
            format!("{}; the chart, or what `tenantdb install` prints, brings its rights", status.message)
        }
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => told(error),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}

/// Whose a Secret is, if it is this authority's.
fn claim(object: &PartialObjectMeta<Secret>, authority: &Authority) -> Option<Claim> {
    let (whose, what) = secret::claim_of(&object.metadata)?.split_once(' ')?;
    let (kind, name) = what.split_once('/')?;
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    let kind = Tenant::RESOURCES.into_iter().map(|known| known.kind).find(|known| *known == kind)?;
    let namespace = object.namespace()?.parse().ok()?;
    let claim = Claim { authority: authority.clone(), kind, namespace, name: name.parse().ok()?, access: None };
    (whose == authority.as_str()).then_some(claim)
}
