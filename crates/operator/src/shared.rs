//! What all that works in one term of leadership shares.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use kube::Client;
use tenantdb_core::{Authority, Interrupt};
use tenantdb_credentials::stores::secret::SecretPlace;

use crate::events::Events;
use crate::finalizer::Finalizers;
use crate::index::Index;
use crate::object::{Key, Tenant};
use crate::serve::Health;
use crate::status::{self, Facts, Verdict};
use crate::writer::{StatusWriter, Target};

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) authority: Authority,
    pub(crate) place: Arc<SecretPlace>,
    pub(crate) index: Mutex<Index>,
    pub(crate) statuses: StatusWriter,
    pub(crate) events: Events,
    pub(crate) finalizers: Finalizers,
    pub(crate) health: Arc<Health>,
    pub(crate) interrupt: Interrupt,
}

impl Shared {
    /// Works on the index, which nobody holds for long.
    pub(crate) fn index<T>(&self, work: impl FnOnce(&mut Index) -> T) -> T {
        work(&mut self.index.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has a tenant's status written, if it says something new.
    pub(crate) fn tell(&self, key: &Key, tenant: &Tenant, verdict: &Verdict, facts: &Facts) {
        let before = &tenant.meta().status;
        let status = status::of_tenant(before, tenant.meta().generation, verdict, facts, Timestamp::now());
        if status != *before {
            let Key { kind, namespace, name } = key.clone();
            self.statuses.write(Target { kind, namespace: Some(namespace), name }, status);
        }
    }
}
