//! Credentials in Kubernetes Secrets: the one that a declaration names, in its own namespace.
//!
//! Annotations say whose the credential is and who was about to write it, and the API server's resource version makes
//! each write a compare-and-set. A Secret that is not there yet is made with its credential in it, by a request that
//! fails where somebody was first: an empty one would let pods start without their variables. In a Secret that is
//! somebody else's, keys are added by server-side apply, which remembers whose each of them is.

mod many;
mod share;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use tenantdb_core::{
    Authority, Claim, Delivery, Digest, Existing, Generation, Held, Login, Marker, Password, Place, PlaceError,
    PlaceId, Provenance, Version,
};

use self::share::{Foreign, Share, why_not_written};
use crate::format::{Document, read_logins, render, stage};

/// As whom we write.
pub const FIELD_MANAGER: &str = "tenantdb";

/// The label of what is ours altogether, and its value.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "tenantdb");

/// The UID of the declaration, by which Secrets are found. It is no owner's reference: what is left behind keeps its Secret.
pub const OWNER: &str = "tenantdb.dev/owner-uid";
/// Whose a Secret is: `<authority> <kind>/<name>`, of a further login `<authority> <kind>/<name>:<access>`.
const CLAIM: &str = "tenantdb.dev/claim";
/// The server that its credential is for.
const SERVER: &str = "tenantdb.dev/server";
/// What was last about to be written.
const GENERATION: &str = "tenantdb.dev/generation";
/// By whom.
const WRITER: &str = "tenantdb.dev/writer";
/// On a Secret that is somebody else's, and has keys that were added.
const ADDED: &str = "tenantdb.dev/added";
/// Lets Reloader roll what reads the Secret when it changes.
const RELOADER: &str = "reloader.stakater.com/match";

/// The Secrets of a cluster.
pub struct SecretPlace {
    client: Client,
    id: PlaceId,
    /// The version of each that we wrote last, by namespace and name.
    written: Mutex<HashMap<(String, String), u64>>,
}

/// What the ledgers of servers call a cluster's Secrets.
#[must_use]
pub fn place_id(authority: &Authority) -> PlaceId {
    PlaceId(format!("{authority} Secrets"))
}

/// What a Secret's annotations tell of the declaration that it was written for.
#[must_use]
pub fn claim_of(meta: &ObjectMeta) -> Option<&str> {
    meta.annotations.as_ref()?.get(CLAIM).map(String::as_str)
}

/// The same, as it is written.
#[must_use]
fn annotation_of(claim: &Claim) -> String {
    let access = claim.access.as_ref().map_or_else(String::new, |access| format!(":{access}"));
    format!("{} {}/{}{access}", claim.authority, claim.kind, claim.name)
}

impl SecretPlace {
    /// The Secrets of the cluster that `client` speaks to, which the ledger knows as `id`.
    #[must_use]
    pub fn new(client: Client, id: PlaceId) -> Self {
        Self { client, id, written: Mutex::default() }
    }

    /// Whether a Secret is as it was written here last, or was before that: what is written builds on what was there.
    #[must_use]
    pub fn is_as_written(&self, meta: &ObjectMeta) -> bool {
        let key = (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(&key).is_some_and(|version| *version >= version_of(meta).0)
    }

    /// Writes a credential as it is that was delivered elsewhere; a Secret that holds the same login is left alone.
    ///
    /// # Errors
    /// When the Secret is somebody else's or holds another login, or can't be read or written.
    pub async fn bring(
        &self,
        delivery: &Delivery,
        document: &Document,
        generation: Generation,
    ) -> Result<(), PlaceError> {
        let Some(found) = self.get(delivery).await? else {
            return self.create(delivery, generation, document).await.map(drop);
        };
        let login = |document: &Document| read_logins(document).map(|(login, _)| login.digest());
        let is_it = || login(&document_of(&found)) == login(document);
        let what = why_not_written(&found, delivery).or_else(|| (!is_it()).then(|| "holds another login".to_owned()));
        what.map_or(Ok(()), |what| Err(PlaceError::Foreign(format!("{} {what}", self.location(delivery)))))
    }

    /// Gives the Secret of a delivery to another claim, with all that it holds; whether there is one that holds this login.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub async fn hand_over(&self, delivery: &Delivery, login: &Digest, to: &Claim) -> Result<bool, PlaceError> {
        let Some(secret) = self.get(delivery).await? else { return Ok(false) };
        let after = Delivery { claim: to.clone(), ..delivery.clone() };
        let share = Share::of_written(&secret);
        let document = share.document(&secret);
        let has_it = read_logins(&document).is_some_and(|(found, _)| found.digest() == *login);
        if !has_it || why_not_written(&secret, &after).is_none() {
            return Ok(has_it);
        }
        if why_not_written(&secret, delivery).is_some() {
            return Ok(false);
        }
        let generation = generation_of(&secret.metadata);
        self.put(&after, secret, &share, (generation, &tenantdb_core::writer()), &document).await.map(|_| true)
    }

    /// Whether the Secret of a delivery holds this login, for it or for that other claim.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn has(&self, delivery: &Delivery, login: &Digest, or_for: &Claim) -> Result<bool, PlaceError> {
        let after = Delivery { claim: or_for.clone(), ..delivery.clone() };
        Ok(self.find_login(delivery, login).await?.or(self.find_login(&after, login).await?).is_some())
    }

    fn api(&self, delivery: &Delivery) -> Api<Secret> {
        Api::namespaced(self.client.clone(), delivery.claim.namespace.as_str())
    }

    async fn get(&self, delivery: &Delivery) -> Result<Option<Secret>, PlaceError> {
        let found = self.api(delivery).get_opt(delivery.secret_name.as_str()).await;
        found.map_err(|error| self.failed(delivery, "read", &error))
    }

    /// What is there, if it is ours and still at `expected`.
    async fn expect(&self, delivery: &Delivery, expected: Version) -> Result<Option<(Secret, Share)>, PlaceError> {
        let found = self.get(delivery).await?;
        if found.as_ref().map(|secret| version_of(&secret.metadata)).unwrap_or_default() != expected {
            return Err(PlaceError::Moved(self.location(delivery)));
        }
        let Some(secret) = found else { return Ok(None) };
        match Share::of(&secret, delivery) {
            Ok(share) => Ok(Some((secret, share))),
            Err(foreign) => Err(PlaceError::Foreign(format!("{} {}", self.location(delivery), foreign.what))),
        }
    }

    async fn held(&self, delivery: &Delivery) -> Result<Held, PlaceError> {
        Ok(self.assess(delivery, self.get(delivery).await?.as_ref()))
    }

    /// What a Secret, or that there is none, is to a delivery.
    fn assess(&self, delivery: &Delivery, secret: Option<&Secret>) -> Held {
        let Some(secret) = secret else { return self.missing(delivery) };
        let share = match Share::of(secret, delivery) {
            Ok(share) => share,
            Err(Foreign { what, hint }) => {
                return Held::Foreign { what: format!("{} {what}", self.location(delivery)), hint };
            }
        };
        let (version, generation) = (version_of(&secret.metadata), generation_of(&secret.metadata));
        let document = share.document(secret);
        let Some((login, next)) = read_logins(&document) else { return Held::Nothing { version } };
        let is_marked = carries(&secret.metadata, &metadata(delivery, &share, generation, ""));
        let is_as_rendered =
            || render(delivery, &login, generation).is_ok_and(|wanted| share.data(secret) == data(&wanted));
        let is_vouched = is_written_for(&secret.metadata, delivery)
            && login.password.as_ref().is_some_and(crate::password::is_generated);
        Held::Credential {
            login: login.digest(),
            next: next.map(|next| next.digest()),
            current: is_marked && is_as_rendered(),
            provenance: match share {
                Share::TakenOver => Provenance::TakenOver,
                Share::Whole | Share::Keys(_) if is_vouched => Provenance::Vouched,
                Share::Whole | Share::Keys(_) => Provenance::Claimed,
            },
            generation,
            username: login.username.clone(),
            version,
        }
    }

    /// What it is to a delivery that there is no Secret.
    fn missing(&self, delivery: &Delivery) -> Held {
        if delivery.existing != Existing::Merged {
            return Held::Nothing { version: Version::default() };
        }
        let what = format!("there is no {} to add its keys to", self.location(delivery));
        Held::Awaited { what, hint: "have it made, or leave `secretPolicy: Merge` out".to_owned() }
    }

    async fn find_login(&self, delivery: &Delivery, digest: &Digest) -> Result<Option<Login>, PlaceError> {
        let Some(secret) = self.get(delivery).await? else { return Ok(None) };
        let written = why_not_written(&secret, delivery).is_none().then(|| Share::of_written(&secret));
        let Some(share) = written.or_else(|| Share::of(&secret, delivery).ok()) else { return Ok(None) };
        let logins = read_logins(&share.document(&secret));
        let mut logins = logins.into_iter().flat_map(|(login, next)| std::iter::once(login).chain(next));
        Ok(logins.find(|login| login.digest() == *digest))
    }

    async fn create(
        &self,
        delivery: &Delivery,
        generation: Generation,
        document: &Document,
    ) -> Result<Version, PlaceError> {
        let name = delivery.secret_name.to_string();
        let metadata =
            ObjectMeta { name: Some(name), ..metadata(delivery, &Share::Whole, generation, &tenantdb_core::writer()) };
        let kind = Some(delivery.secret_type.as_str().to_owned());
        let secret = Secret { metadata, data: Some(data(document)), type_: kind, ..Secret::default() };
        let made = self.api(delivery).create(&parameters(), &secret).await;
        self.wrote(delivery, made)
    }

    /// Writes what of a Secret is ours, if nobody wrote it since it was read.
    async fn put(
        &self,
        delivery: &Delivery,
        mut secret: Secret,
        share: &Share,
        (generation, writer): (Generation, &str),
        document: &Document,
    ) -> Result<Version, PlaceError> {
        let ours = metadata(delivery, share, generation, writer);
        if let Share::Keys(_) = share {
            let data = Some(data(document));
            // Without its UID, one that was deleted meanwhile would be made, with nothing but our keys in it (measured,
            // Kubernetes 1.34).
            let ObjectMeta { uid, resource_version, .. } = secret.metadata;
            let metadata = ObjectMeta { uid, resource_version, ..ours };
            return self.apply(delivery, &Secret { metadata, data, ..Secret::default() }).await;
        }
        if *share == Share::TakenOver {
            // It would go with what it belonged to.
            secret.metadata.owner_references = None;
        }
        lay_over(&mut secret.metadata, ours);
        secret.data = Some(data(document));
        let written = self.api(delivery).replace(delivery.secret_name.as_str(), &parameters(), &secret).await;
        self.wrote(delivery, written)
    }

    /// Makes these the keys, labels and annotations that are ours in a Secret; what was ours before goes.
    async fn apply(&self, delivery: &Delivery, ours: &Secret) -> Result<Version, PlaceError> {
        // Whose each key is was looked at in the version that it names.
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let written = self.api(delivery).patch(delivery.secret_name.as_str(), &parameters, &Patch::Apply(ours)).await;
        self.wrote(delivery, written)
    }

    fn wrote(&self, delivery: &Delivery, written: kube::Result<Secret>) -> Result<Version, PlaceError> {
        let secret = written.map_err(|error| match &error {
            kube::Error::Api(status) if status.is_not_found() && status.message.contains("namespaces") => {
                let namespace = &delivery.claim.namespace;
                let message = format!("can't write {}: there is no such namespace", self.location(delivery));
                PlaceError::Failed { message, hint: Some(format!("kubectl create namespace {namespace}")) }
            }
            kube::Error::Api(status) if status.is_conflict() || status.is_already_exists() || status.is_not_found() => {
                PlaceError::Moved(self.location(delivery))
            }
            error => self.failed(delivery, "write", error),
        })?;
        let version = version_of(&secret.metadata);
        let key = (delivery.claim.namespace.to_string(), delivery.secret_name.to_string());
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(key, version.0);
        Ok(version)
    }

    /// The API server's own words hold no more of a Secret than its name.
    fn failed(&self, delivery: &Delivery, doing: &str, error: &kube::Error) -> PlaceError {
        let (said, hint) = match error {
            kube::Error::Api(status) if status.is_forbidden() => {
                (status.message.clone(), Some(format!("allow it to {doing} Secrets in the namespace")))
            }
            kube::Error::Api(status) => (status.message.clone(), None),
            _ => ("the API server can't be reached".to_owned(), None),
        };
        PlaceError::Failed { message: format!("can't {doing} {}: {said}", self.location(delivery)), hint }
    }
}

#[async_trait]
impl Place for SecretPlace {
    fn id(&self) -> &PlaceId {
        &self.id
    }

    fn location(&self, delivery: &Delivery) -> String {
        format!("Secret {}/{}", delivery.claim.namespace, delivery.secret_name)
    }

    async fn read(&self, deliveries: &[Delivery]) -> Vec<Result<Held, PlaceError>> {
        self.read_all(deliveries).await
    }

    async fn login(&self, delivery: &Delivery, digest: &Digest) -> Result<Option<Login>, PlaceError> {
        self.find_login(delivery, digest).await
    }

    async fn fence(&self, delivery: &Delivery, marker: &Marker, expected: Version) -> Result<Version, PlaceError> {
        // The request that makes it fails where somebody was first.
        if expected == Version::default() {
            return Ok(expected);
        }
        let Some((secret, share)) = self.expect(delivery, expected).await? else { return Ok(Version::default()) };
        // What is not ours yet becomes it with its credential, by a request that fails where somebody was first.
        if claim_of(&secret.metadata).is_none() {
            return Ok(expected);
        }
        let document = share.document(&secret);
        self.put(delivery, secret, &share, (marker.generation, &marker.writer), &document).await
    }

    async fn stage(&self, delivery: &Delivery, next: &Password, expected: Version) -> Result<Version, PlaceError> {
        let found = self.expect(delivery, expected).await?;
        let (secret, share) = found.ok_or_else(|| PlaceError::Moved(self.location(delivery)))?;
        let (generation, writer) = (generation_of(&secret.metadata), writer_of(&secret.metadata).unwrap_or_default());
        let document = stage(share.document(&secret), next);
        self.put(delivery, secret, &share, (generation, &writer), &document).await
    }

    async fn publish(
        &self,
        delivery: &Delivery,
        login: &Login,
        generation: Generation,
        expected: Version,
    ) -> Result<Version, PlaceError> {
        let document = render(delivery, login, generation)
            .map_err(|error| PlaceError::Failed { message: error.to_string(), hint: None })?;
        let found = if expected == Version::default() { None } else { self.expect(delivery, expected).await? };
        let Some((secret, share)) = found else { return self.create(delivery, generation, &document).await };
        let writer = writer_of(&secret.metadata).unwrap_or_else(tenantdb_core::writer);
        self.put(delivery, secret, &share, (generation, &writer), &document).await
    }

    async fn withdraw(&self, delivery: &Delivery) -> Result<(), PlaceError> {
        let Some(secret) = self.get(delivery).await? else { return Ok(()) };
        if why_not_written(&secret, delivery).is_some() {
            return Ok(());
        }
        let ObjectMeta { uid, resource_version, .. } = secret.metadata.clone();
        if let Share::Keys(_) = Share::of_written(&secret) {
            let nothing = ObjectMeta { uid, resource_version, ..ObjectMeta::default() };
            return self.apply(delivery, &Secret { metadata: nothing, ..Secret::default() }).await.map(drop);
        }
        let preconditions = Preconditions { uid, resource_version };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match self.api(delivery).delete(delivery.secret_name.as_str(), &parameters).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(kube::Error::Api(status)) if status.is_conflict() => Err(PlaceError::Moved(self.location(delivery))),
            Err(error) => Err(self.failed(delivery, "delete", &error)),
        }
    }
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// The version of an object. Resource versions are numbers that only grow (Kubernetes documentation, "Resource versions").
#[must_use]
pub fn version_of(meta: &ObjectMeta) -> Version {
    Version(meta.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default())
}

fn generation_of(meta: &ObjectMeta) -> Generation {
    let text = meta.annotations.as_ref().and_then(|all| all.get(GENERATION));
    Generation(text.and_then(|text| text.parse().ok()).unwrap_or_default())
}

fn writer_of(meta: &ObjectMeta) -> Option<String> {
    meta.annotations.as_ref()?.get(WRITER).cloned()
}

/// Our labels and annotations; who manages somebody else's Secret, and what is rolled by it, is theirs to say.
fn metadata(delivery: &Delivery, share: &Share, generation: Generation, writer: &str) -> ObjectMeta {
    let annotations = [
        (CLAIM, annotation_of(&delivery.claim)),
        (SERVER, delivery.server.to_string()),
        (GENERATION, generation.to_string()),
        (WRITER, writer.to_owned()),
    ];
    let is_whole = !matches!(share, Share::Keys(_));
    let owned = |(key, value): (&str, String)| (key.to_owned(), value);
    let managed = is_whole.then(|| (MANAGED_BY.0, MANAGED_BY.1.to_owned()));
    let labels = managed.into_iter().chain(delivery.uid.clone().map(|uid| (OWNER, uid)));
    let of_share = (if is_whole { RELOADER } else { ADDED }, "true".to_owned());
    let annotations = annotations.into_iter().chain([of_share]);
    ObjectMeta {
        labels: Some(labels.map(owned).collect()),
        annotations: Some(annotations.map(owned).collect()),
        ..ObjectMeta::default()
    }
}

/// Puts our labels and annotations over those that are there.
fn lay_over(meta: &mut ObjectMeta, ours: ObjectMeta) {
    meta.labels.get_or_insert_default().extend(ours.labels.unwrap_or_default());
    meta.annotations.get_or_insert_default().extend(ours.annotations.unwrap_or_default());
}

/// Whether all of ours is there, whoever wrote it.
fn carries(meta: &ObjectMeta, ours: &ObjectMeta) -> bool {
    let has = |found: &Option<BTreeMap<String, String>>, wanted: &Option<BTreeMap<String, String>>| {
        let mut wanted = wanted.iter().flatten().filter(|(key, _)| *key != WRITER);
        wanted.all(|(key, value)| found.as_ref().and_then(|found| found.get(key)) == Some(value))
    };
    has(&meta.labels, &ours.labels) && has(&meta.annotations, &ours.annotations)
}

/// Whether it was written for this very declaration, and not for an earlier one of its name.
fn is_written_for(meta: &ObjectMeta, delivery: &Delivery) -> bool {
    let owner = meta.labels.as_ref().and_then(|labels| labels.get(OWNER));
    delivery.uid.is_some() && owner == delivery.uid.as_ref()
}

/// What was written into a Secret.
#[must_use]
pub fn document_of(secret: &Secret) -> Document {
    Share::of_written(secret).document(secret)
}

fn data(document: &Document) -> BTreeMap<String, ByteString> {
    document.iter().map(|(key, value)| (key.to_owned(), ByteString(value.as_bytes().to_vec()))).collect()
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;
