//! Places on a disk of this machine.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

use async_trait::async_trait;
use tenantdb_core::{Delivery, Digest, Generation, Held, Login, Marker, Password, Place, PlaceError, PlaceId, Version};

/// A place on a disk of this machine, whose callers wait for the disk.
pub trait LocalPlace: Clone + Send + Sync + 'static {
    /// Tells this place from every other.
    fn id(&self) -> &PlaceId;

    /// Where the credential of a delivery is, for people.
    fn location(&self, delivery: &Delivery) -> String;

    /// Reads what is there.
    ///
    /// # Errors
    /// When it can't be read.
    fn read_now(&self, delivery: &Delivery) -> Result<Held, PlaceError>;

    /// Reads a login that was written for this claim, if it is still there.
    ///
    /// # Errors
    /// When it can't be read.
    fn login_now(&self, delivery: &Delivery, digest: &Digest) -> Result<Option<Login>, PlaceError>;

    /// Leaves a marker.
    ///
    /// # Errors
    /// When the place is not at `expected` any more, or can't be written.
    fn fence_now(&self, delivery: &Delivery, marker: &Marker, expected: Version) -> Result<Version, PlaceError>;

    /// Adds the password that is about to take the place of the one that is there.
    ///
    /// # Errors
    /// When the place is not at `expected` any more, or can't be written.
    fn stage_now(&self, delivery: &Delivery, next: &Password, expected: Version) -> Result<Version, PlaceError>;

    /// Writes the credential.
    ///
    /// # Errors
    /// When the place is not at `expected` any more, or can't be written.
    fn publish_now(
        &self,
        delivery: &Delivery,
        login: &Login,
        generation: Generation,
        expected: Version,
    ) -> Result<Version, PlaceError>;

    /// Removes the credential that was written for this claim.
    ///
    /// # Errors
    /// When it can't be removed.
    fn withdraw_now(&self, delivery: &Delivery) -> Result<(), PlaceError>;
}

/// Such a place as one for whoever must not wait: what writes does so on threads of its own.
pub struct Local<P>(pub P);

impl<P: LocalPlace> Local<P> {
    async fn writing<T: Send + 'static>(
        &self,
        delivery: &Delivery,
        write: impl FnOnce(&P, &Delivery) -> Result<T, PlaceError> + Send + 'static,
    ) -> Result<T, PlaceError> {
        let (place, delivery) = (self.0.clone(), delivery.clone());
        let working = tokio::task::spawn_blocking(move || write(&place, &delivery));
        working.await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
    }
}

#[async_trait]
impl<P: LocalPlace> Place for Local<P> {
    fn id(&self) -> &PlaceId {
        self.0.id()
    }

    fn location(&self, delivery: &Delivery) -> String {
        self.0.location(delivery)
    }

    async fn read(&self, deliveries: &[Delivery]) -> Vec<Result<Held, PlaceError>> {
        let share = deliveries.len().div_ceil(thread::available_parallelism().map_or(1, NonZero::get)).max(1);
        let read = |part: &[Delivery]| part.iter().map(|delivery| self.0.read_now(delivery)).collect::<Vec<_>>();
        let mut parts = deliveries.chunks(share);
        let own = parts.next().unwrap_or_default();
        thread::scope(|scope| {
            let others: Vec<_> = parts.map(|part| scope.spawn(move || read(part))).collect();
            let others = others.into_iter().flat_map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
            read(own).into_iter().chain(others).collect()
        })
    }

    async fn login(&self, delivery: &Delivery, digest: &Digest) -> Result<Option<Login>, PlaceError> {
        self.0.login_now(delivery, digest)
    }

    async fn fence(&self, delivery: &Delivery, marker: &Marker, expected: Version) -> Result<Version, PlaceError> {
        let marker = marker.clone();
        self.writing(delivery, move |place, delivery| place.fence_now(delivery, &marker, expected)).await
    }

    async fn stage(&self, delivery: &Delivery, next: &Password, expected: Version) -> Result<Version, PlaceError> {
        let next = next.clone();
        self.writing(delivery, move |place, delivery| place.stage_now(delivery, &next, expected)).await
    }

    async fn publish(
        &self,
        delivery: &Delivery,
        login: &Login,
        generation: Generation,
        expected: Version,
    ) -> Result<Version, PlaceError> {
        let login = login.clone();
        let publish = move |place: &P, delivery: &Delivery| place.publish_now(delivery, &login, generation, expected);
        self.writing(delivery, publish).await
    }

    async fn withdraw(&self, delivery: &Delivery) -> Result<(), PlaceError> {
        self.writing(delivery, P::withdraw_now).await
    }
}
