//! How much of a Secret is a delivery's: all of it, or some keys in one that is somebody else's.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use secrecy::SecretString;
use tenantdb_core::{Delivery, Existing};

use super::{ADDED, FIELD_MANAGER, SERVER, annotation_of, claim_of};
use crate::format::{Document, NEXT_PASSWORD, key_names};

/// How much of a Secret is a delivery's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// All of it.
    Whole,
    /// All of it once it is written, and nothing before.
    TakenOver,
    /// These keys.
    Keys(BTreeSet<String>),
}

/// Why a Secret can't be written for a delivery.
pub(super) struct Foreign {
    pub(super) what: String,
    pub(super) hint: String,
}

impl Foreign {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

/// What is said of a Secret without a mark of ours.
const UNMARKED: &str = "was not written by tenantdb";

/// What to do about a Secret that is another's: what is in it may be the only copy.
const CHOOSE_ANOTHER: &str = "choose another `credentials.secretName`";

/// What to do about a Secret of which nobody said what may become of it.
const CHOOSE_ANOTHER_OR_POLICY: &str = "delete it if nobody needs it, else choose another `credentials.secretName`, or say with `credentials.secretPolicy` what \
     may become of it";

/// What to do about a Secret that can't be changed.
const CHOOSE_ANOTHER_OR_DELETE: &str = "delete it, or choose another `credentials.secretName`";

impl Share {
    /// What of a Secret is the delivery's, or may become it.
    pub(super) fn of(secret: &Secret, delivery: &Delivery) -> Result<Self, Foreign> {
        if let Some(foreign) = belongs_to_another(secret, delivery) {
            return Err(foreign);
        }
        let meta = &secret.metadata;
        if has_lost_track(meta) {
            return Err(Foreign::new(
                "has keys that were added, and lost track of which they are: it was made again, or its managedFields were",
                "take them out, and its annotations tenantdb.dev/*, or delete it and have it made; they are added anew",
            ));
        }
        match (claim_of(meta).map(|_| added_keys(meta)), &delivery.existing) {
            (Some(Some(added)), Existing::Merged) => merged(secret, delivery, added),
            (Some(Some(_)), _) => {
                Err(Foreign::new("is somebody else's, and has keys that were added", "set `secretPolicy: Merge` again"))
            }
            // Nobody asks for a type who adds keys to what there is, or takes it away.
            (Some(None), Existing::Merged) => Ok(Self::Whole),
            (Some(None), _) => typed(secret, delivery, CHOOSE_ANOTHER_OR_DELETE).map(|()| Self::Whole),
            (None, Existing::Merged) => merged(secret, delivery, BTreeSet::new()),
            (None, Existing::TakenOver { from }) => taken_over(secret, delivery, from).map(|()| Self::TakenOver),
            (None, Existing::LeftAlone) => Err(Foreign::new(UNMARKED, CHOOSE_ANOTHER_OR_POLICY)),
        }
    }

    /// What was written into a Secret, how much of it that may be.
    pub(super) fn of_written(secret: &Secret) -> Self {
        let meta = &secret.metadata;
        let added = added_keys(meta).or_else(|| has_lost_track(meta).then(BTreeSet::new));
        added.map_or(Self::Whole, Self::Keys)
    }

    /// What of the Secret's content it is.
    pub(super) fn data(&self, secret: &Secret) -> BTreeMap<String, ByteString> {
        let mut data = secret.data.clone().unwrap_or_default();
        if let Self::Keys(keys) = self {
            data.retain(|key, _| keys.contains(key));
        }
        data
    }

    /// The same, as far as it is text.
    pub(super) fn document(&self, secret: &Secret) -> Document {
        let text =
            |(key, value): (String, ByteString)| Some((key, SecretString::from(String::from_utf8(value.0).ok()?)));
        Document::new(self.data(secret).into_iter().filter_map(text))
    }
}

/// Whose it is, when it is not the delivery's, or why nobody can write it.
fn belongs_to_another(secret: &Secret, delivery: &Delivery) -> Option<Foreign> {
    if secret.immutable == Some(true) {
        return Some(Foreign::new("is immutable", CHOOSE_ANOTHER_OR_DELETE));
    }
    let claim = claim_of(&secret.metadata)?;
    if claim != annotation_of(&delivery.claim) {
        return Some(Foreign::new(format!("belongs to {claim}"), CHOOSE_ANOTHER));
    }
    let server = secret.metadata.annotations.as_ref().and_then(|all| all.get(SERVER));
    let other = server.filter(|server| *server != delivery.server.as_str())?;
    let hint = format!("it is the way into what is there: name `server: {other}` again, or {CHOOSE_ANOTHER}");
    Some(Foreign::new(format!("is the credential on server {other}"), hint))
}

/// Why a Secret is none that was written for the claim of a delivery, or nobody can write it.
pub(super) fn why_not_written(secret: &Secret, delivery: &Delivery) -> Option<String> {
    let unmarked = || claim_of(&secret.metadata).is_none().then(|| UNMARKED.to_owned());
    belongs_to_another(secret, delivery).map(|foreign| foreign.what).or_else(unmarked)
}

/// Keys are added where nobody else has them.
fn merged(secret: &Secret, delivery: &Delivery, added: BTreeSet<String>) -> Result<Share, Foreign> {
    let others = |key: &&str| secret.data.iter().flatten().any(|(name, _)| name == key) && !added.contains(*key);
    let mut wanted = key_names(delivery).chain([NEXT_PASSWORD]);
    let Some(key) = wanted.find(others) else { return Ok(Share::Keys(added)) };
    let whose = manager_of(&secret.metadata, key).map_or_else(String::new, |manager| format!(", which is {manager}'s"));
    Err(Foreign::new(
        format!("has the key `{key}` already{whose}"),
        "leave the key to it with other `formats`, or choose another `credentials.secretName`",
    ))
}

/// A Secret is taken from the one that has each of its keys, and none is lost.
fn taken_over(secret: &Secret, delivery: &Delivery, from: &str) -> Result<(), Foreign> {
    typed(secret, delivery, "name its type in `credentials.secretType`, or choose another `credentials.secretName`")?;
    let managed = secret.metadata.managed_fields.iter().flatten();
    let theirs: BTreeSet<String> =
        managed.filter(|entry| entry.manager.as_deref() == Some(from)).flat_map(keys_of).collect();
    let wanted: BTreeSet<&str> = key_names(delivery).collect();
    for (key, _) in secret.data.iter().flatten() {
        if !theirs.contains(key) {
            let other = manager_of(&secret.metadata, key).unwrap_or_else(|| "somebody else".to_owned());
            return Err(Foreign::new(
                format!("has the key `{key}`, which is {other}'s, and not {from}'s"),
                format!("{} tells who manages what", show_managers(&secret.metadata)),
            ));
        }
        if !wanted.contains(key.as_str()) {
            return Err(Foreign::new(
                format!("has the key `{key}`, which the credential has not, and which would be lost"),
                "add it to `credentials.keys`, or add keys with `secretPolicy: Merge` instead",
            ));
        }
    }
    Ok(())
}

/// The command that shows who manages what of a Secret.
fn show_managers(meta: &ObjectMeta) -> String {
    let (namespace, name) = (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
    format!("kubectl get secret {name} -n {namespace} --show-managed-fields -o yaml")
}

/// The type of a Secret can't be changed.
fn typed(secret: &Secret, delivery: &Delivery, hint: &str) -> Result<(), Foreign> {
    let (found, wanted) = (secret.type_.as_deref().unwrap_or("Opaque"), delivery.secret_type.as_str());
    if found == wanted {
        return Ok(());
    }
    let what = format!("has the type {found}, and not {wanted}, which can't be changed");
    Err(Foreign::new(what, hint))
}

/// The keys that were added, where that is how it was written: server-side apply remembers them (Kubernetes documentation,
/// "Server-Side Apply", field management).
fn added_keys(meta: &ObjectMeta) -> Option<BTreeSet<String>> {
    let is_ours = |entry: &&ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply")
    };
    meta.managed_fields.iter().flatten().find(is_ours).map(|entry| keys_of(entry).collect())
}

/// Whether keys were added of which the Secret does not know any more that they are ours. Whoever makes it again, from a
/// backup or as a copy, takes labels and annotations along, and no managed fields: that is no Secret that we made.
fn has_lost_track(meta: &ObjectMeta) -> bool {
    let is_marked = meta.annotations.as_ref().is_some_and(|all| all.contains_key(ADDED));
    is_marked && added_keys(meta).is_none()
}

/// Who has a key.
fn manager_of(meta: &ObjectMeta, key: &str) -> Option<String> {
    let mut managed = meta.managed_fields.iter().flatten();
    managed.find(|entry| keys_of(entry).any(|one| one == key))?.manager.clone()
}

/// The keys of one manager. What was applied as `stringData` is remembered as that, although it has become `data` (measured,
/// Kubernetes 1.34).
fn keys_of(entry: &ManagedFieldsEntry) -> impl Iterator<Item = String> {
    let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
    let fields = ["f:data", "f:stringData"].into_iter().filter_map(move |field| fields?.get(field)?.as_object());
    fields.flatten().filter_map(|(field, _)| field.strip_prefix("f:").map(str::to_owned))
}
