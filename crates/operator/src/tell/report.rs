//! How the tenants of a pass came out, told as soon as it is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tenantdb_api::ObjectName;
use tenantdb_core::{Claim, Condition, Event, Failure, FailureKind, Listener, Refusal, TenantOutcome};

use crate::shared::Shared;
use crate::tell::status::{Facts, Verdict};
use crate::watch::object::Tenant;
use crate::worker::Batch;

/// Tells of the tenants of one batch.
pub(crate) struct Reporter {
    pub(crate) shared: Arc<Shared>,
    pub(crate) batch: Arc<Batch>,
    pub(crate) server: ObjectName,
    /// The server's version.
    pub(crate) version: String,
    /// Those that have something on the server already.
    pub(crate) held: BTreeSet<Claim>,
    /// Those that were told of.
    told: Mutex<BTreeSet<Claim>>,
}

impl Reporter {
    pub(crate) fn new(
        shared: Arc<Shared>,
        batch: Arc<Batch>,
        server: ObjectName,
        version: String,
        held: BTreeSet<Claim>,
    ) -> Self {
        Self { shared, batch, server, version, held, told: Mutex::default() }
    }

    /// Tells of all that were not told of: each with its further logins, of which one that failed comes first.
    pub(crate) fn finish(&self, outcomes: &[TenantOutcome]) {
        let mut of_declarations: BTreeMap<Claim, Vec<&TenantOutcome>> = BTreeMap::new();
        for outcome in outcomes {
            of_declarations.entry(outcome.claim.declaration()).or_default().push(outcome);
        }
        for (claim, outcomes) in of_declarations {
            let Some(own) = outcomes.iter().find(|outcome| outcome.claim == claim) else { continue };
            let is_open = |outcome: &&&TenantOutcome| outcome.failure.is_some() || outcome.refusal.is_some();
            let mut whole = (*own).clone();
            if let Some(open) = outcomes.iter().find(is_open).filter(|_| !is_open(&own)) {
                let login = open.claim.path();
                let told =
                    |refusal: &Refusal| Refusal { message: format!("{login}: {}", refusal.message), ..refusal.clone() };
                let failure = open.failure.clone().map(|failure| failure.within(login.clone()));
                whole = TenantOutcome { failure, refusal: open.refusal.as_ref().map(told), ..whole };
            }
            let others = outcomes.iter().filter(|outcome| outcome.claim != claim);
            whole.conditions.extend(others.flat_map(|login| {
                let path = login.claim.path();
                let told =
                    move |note: &Condition| Condition { message: format!("{path}: {}", note.message), ..note.clone() };
                login.conditions.iter().map(told)
            }));
            whole.done = outcomes.iter().flat_map(|outcome| outcome.done.iter().cloned()).collect();
            self.tell(&whole);
        }
    }

    fn tell(&self, outcome: &TenantOutcome) {
        let Some((key, tenant)) = self.batch.tenants.get(&outcome.claim) else { return };
        let is_news = self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(outcome.claim.clone());
        if !is_news {
            return;
        }
        let verdict = Verdict::of(outcome);
        self.shared.health.metrics.tenant(self.server.as_str(), verdict.reason());
        let meta = &tenant.meta;
        for happened in verdict.happened(&meta.status, outcome) {
            self.shared.happened(key, tenant, happened);
        }
        if meta.is_deleted && verdict.is_ready() {
            return;
        }
        let facts = if self.is_unmade(outcome) { Facts::default() } else { self.facts(tenant, outcome) };
        self.shared.tell(key, tenant, &verdict, &facts);
    }

    /// Whether there is nothing of it: the names that it asks for may be somebody else's.
    fn is_unmade(&self, outcome: &TenantOutcome) -> bool {
        let is_open = outcome.failure.is_some() || outcome.refusal.is_some();
        is_open && outcome.done.is_empty() && !self.held.contains(&outcome.claim)
    }

    fn facts(&self, tenant: &Tenant, outcome: &TenantOutcome) -> Facts {
        // A role's status has no database: what the API server prunes would be written again with every look.
        let role = tenant.role();
        Facts {
            server: Some(self.server.to_string()),
            server_version: Some(self.version.clone()),
            database: Some(outcome.database.clone()).filter(|database| !database.is_empty() && role.is_none()),
            role,
            owner: outcome.owner.clone(),
            secret_name: outcome.secret_name.as_ref().map(ToString::to_string),
        }
    }
}

impl Listener for Reporter {
    /// What is about to be touched gets our finalizer.
    fn begin<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            match self.batch.tenants.get(&claim.declaration()) {
                Some((key, tenant)) if tenant.lacks_marks(tenant.is_protected()) => {
                    self.shared.finalizers.put_on(key, tenant, tenant.is_protected()).await
                }
                _ => Ok(()),
            }
        })
    }

    /// Hears of a tenant that is done with. One that is planned again, or to which further logins belong, is told of when
    /// all of it is known.
    fn hear(&self, event: Event) {
        let Event::Finished(outcome) = event else { return };
        let is_stale = outcome.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Stale);
        if !is_stale && !self.batch.has_further_logins(&outcome.claim) {
            self.tell(&outcome);
        }
    }
}
