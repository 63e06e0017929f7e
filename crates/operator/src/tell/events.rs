//! What a person should know of a resource, as Events: once when it comes to be so, and not as long as it stays so.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tenantdb_api::API_VERSION;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::tell::reason::{Deed, Reason};
use crate::tell::text::shortened;
use crate::watch::object::Key;

/// The most that an Event's note may hold, in bytes (Kubernetes API reference, `Event` of `events.k8s.io/v1`).
const LONGEST: usize = 1024;

/// Something that happened to a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Happened {
    /// Whether somebody should look at it.
    is_warning: bool,
    /// In one word.
    reason: &'static str,
    /// What the operator was doing, in one word.
    action: &'static str,
    /// For people.
    pub(crate) note: String,
}

impl Happened {
    /// What was done.
    pub(crate) fn done(deed: &Deed, note: String) -> Self {
        Self { is_warning: false, reason: deed.name, action: deed.action, note }
    }

    /// Why something is not kept.
    pub(crate) fn not_kept(reason: &Reason, note: String) -> Self {
        Self { is_warning: true, reason: reason.note.name, action: "Reconcile", note }
    }

    /// The same, for somebody to look at.
    pub(crate) fn for_somebody(self) -> Self {
        Self { is_warning: true, ..self }
    }
}

/// Takes what is to be told.
#[derive(Clone)]
pub(crate) struct Events(UnboundedSender<(Key, String, Happened)>);

impl Events {
    /// A teller, and its work, which ends when nobody can ask it any more.
    pub(crate) fn new(client: Client) -> (Self, impl Future<Output = ()>) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), work(client, receiver))
    }

    /// Tells what happened to the resource that has this UID.
    pub(crate) fn tell(&self, key: &Key, uid: &str, happened: Happened) {
        let happened = Happened { note: shortened(happened.note, LONGEST), ..happened };
        let (Key { kind, namespace, name }, Happened { is_warning, reason, note, .. }) = (key, &happened);
        // How a resource stands is logged with its status.
        if !is_warning {
            tracing::info!(kind, namespace = namespace.as_str(), name = name.as_str(), reason, note, "it is changed");
        }
        let _ = self.0.send((key.clone(), uid.to_owned(), happened));
    }
}

async fn work(client: Client, mut asked: UnboundedReceiver<(Key, String, Happened)>) {
    while let Some((key, uid, happened)) = asked.recv().await {
        let api: Api<Event> = Api::namespaced(client.clone(), key.namespace.as_str());
        // What it tells is in the status as well.
        if let Err(error) = api.create(&PostParams::default(), &event(&key, uid, happened)).await {
            tracing::warn!(
                name = key.name.as_str(),
                error = tenantdb_kubernetes::told(&error),
                "an Event can't be written"
            );
        }
    }
}

/// Each is one of its own: those of one reason differ in what they tell, and a counted one tells only what the first did.
fn event(key: &Key, uid: String, Happened { is_warning, reason, action, note }: Happened) -> Event {
    let now = Timestamp::now();
    let regarding = ObjectReference {
        api_version: Some(API_VERSION.to_owned()),
        kind: Some(key.kind.to_owned()),
        namespace: Some(key.namespace.to_string()),
        name: Some(key.name.to_string()),
        uid: Some(uid),
        ..ObjectReference::default()
    };
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{:x}", key.name, now.as_nanosecond())),
            namespace: Some(key.namespace.to_string()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        type_: Some(if is_warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(reason.to_owned()),
        action: Some(action.to_owned()),
        note: Some(note),
        regarding: Some(regarding),
        reporting_controller: Some("tenantdb".to_owned()),
        reporting_instance: Some(tenantdb_core::host()),
        ..Event::default()
    }
}
