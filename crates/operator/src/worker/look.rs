//! One look at a server: who is asked for is gathered, observed and planned for together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tenantdb_api::{DatabaseServer, Declared, ObjectName};
use tenantdb_core::policy::{self, Cluster};
use tenantdb_core::{
    Claim, Condition, Declarations, Depth, Engine, Failure, FailureKind, Inventory, Origin, Phase, Plan, Recorded,
    Refusal, RefusalKind, Removal, Request, Step, TenantPlan, Unusable,
};
use tokio::time::Instant;

use super::{Answer, Batch, Begun, Worker, version_of};
use crate::index::{Look, Work};
use crate::shared::Shared;
use crate::tell::notes;
use crate::tell::report::Reporter;
use crate::tell::status::{Facts, Verdict};
use crate::watch::object::{Key, Object};
use crate::watch::reference::{Reference, ReferredKind};
use crate::worker::connect::Connected;
use crate::worker::scripts;

impl<E: Engine> Worker<E> {
    /// Looks at those that were asked for, those first that need no closer look, and begins what there is to do.
    pub(super) async fn look_at(&mut self, server: &Arc<Object<DatabaseServer>>, asked: &Work) -> Result<(), Failure> {
        let declared = match &server.declared {
            Ok(declared) => declared.clone(),
            Err(faults) => {
                self.tell_server(server, &Verdict::invalid(faults), None);
                let message = format!("server {}: its declaration can't be used", self.name);
                let failure = Failure::new(FailureKind::Rejected, message).hint("see what its DatabaseServer says");
                self.tell_waiting(asked, &Verdict::failed(&failure));
                // Its next declaration has them all looked at again.
                return Ok(());
            }
        };
        self.connect(server.meta.generation, &declared).await?;
        self.end_predecessor().await?;
        for depth in [Look::Shallow, Look::Deep] {
            let keys = asked.iter().filter(|(_, look)| **look == depth).map(|(key, _)| key);
            let batch = self.gather(keys);
            if !batch.tenants.is_empty() || (asked.is_empty() && depth == Look::Shallow) {
                self.begin(server, &declared, batch, depth).await?;
            }
        }
        Ok(())
    }

    /// Ends what somebody still has open who worked on this server before, and was not heard of any more.
    async fn end_predecessor(&mut self) -> Result<(), Failure> {
        let (Some(predecessor), Some((_, connected))) = (&self.predecessor, &self.connected) else { return Ok(()) };
        let ended = connected.pass.engine.end_sessions_of(predecessor).await?;
        tracing::info!(server = self.name.as_str(), predecessor, ended, "its sessions are ended");
        self.predecessor = None;
        Ok(())
    }

    /// Those of these that can be worked on; of the others is told what is wrong.
    fn gather<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> Batch {
        let mut batch = Batch::default();
        for key in keys {
            let Some(tenant) = self.shared.index(|index| index.tenant(key)) else { continue };
            match tenant.fault() {
                // Somebody else's finalizer is all that keeps it.
                _ if tenant.meta.is_deleted && !tenant.meta.is_held() => {}
                Some(faults) if !tenant.meta.is_deleted => {
                    self.shared.tell(key, &tenant, &Verdict::invalid(faults), &Facts::default());
                }
                _ => batch.add(key.claim(&self.shared.authority), key.clone(), tenant),
            }
        }
        batch
    }

    /// The names that the server's ledger recorded; they are asked for where they are not known.
    async fn recorded(&mut self, connected: &Connected<E>, server: &DatabaseServer) -> Result<Recorded, Failure> {
        if let Some(recorded) = self.recorded.take() {
            return Ok(recorded);
        }
        let nothing = Request::to(server, &self.shared.authority, connected.way.endpoint.clone());
        let observed = connected.pass.engine.observe(&nothing.into(), Depth::Shallow).await?;
        Ok(E::inventory(&observed).recorded())
    }

    /// Plans for a batch, and has the plan carried out.
    async fn begin(
        &mut self,
        server: &Arc<Object<DatabaseServer>>,
        declared: &Declared<DatabaseServer>,
        mut batch: Batch,
        look: Look,
    ) -> Result<(), Failure> {
        let depth = if look == Look::Deep { Depth::Deep } else { Depth::Shallow };
        let Some(connected) = self.connected.as_ref().map(|(_, connected)| connected.clone()) else { return Ok(()) };
        let (pass, authority) = (&connected.pass, self.shared.authority.clone());
        let recorded = self.recorded(&connected, &declared.resource).await?;
        batch.put_first_come_first(&recorded, &authority);
        let declarations = batch.declarations(declared);
        let request = self.request(&declared.resource, &connected, &batch).await?;
        let (mut desired, unusable) = E::resolve(declarations, &connected.way.admin.username, &recorded, request);
        let found = scripts::read::<E>(&self.shared.client, &batch).await;
        let observed = pass.engine.observe(&desired, depth).await?;
        let held = E::inventory(&observed);
        self.check_that_no_other_is_this_server(E::ledger(&observed))?;
        let (elsewhere, lost) = (self.take_in(&held, &batch), self.lost(&held).await?);
        let refused = self.not_allowed(declarations, &batch, &observed, &held).await;
        if unusable.values().any(Unusable::is_taken) && batch.stand_back(refused.keys()) {
            return Box::pin(self.begin(server, declared, batch, look)).await;
        }
        self.tell_unusable(&batch, &unusable, &refused);
        let request = desired.as_mut();
        request.remove(lost, Removal::Lost);
        request.elsewhere = elsewhere;
        request.refusals = found.refusals(&held).into_iter().chain(refused).collect();
        request.scripts = found.scripts;
        let strangers = held.strangers(&request.origins);
        let taken = unusable.iter().filter(|(_, why)| why.is_taken()).map(|(claim, _)| claim.clone()).collect();
        let batch = Arc::new(batch);
        let mut plan = pass.plan_from(&desired, &observed, depth).await?;
        self.follow_awaited(&plan, &batch, found.awaited);
        self.leave_contested(&mut plan, &batch);
        let ours = self.held(&batch, &strangers);
        self.hold(&plan, &batch, &ours).await?;

        let (version, ledger) = (E::version(&observed), E::ledger(&observed).map(str::to_owned));
        let answer = Answer::new(version.clone(), connected.way.address.clone(), ledger, &held, &authority);
        self.answer = Some(answer);
        let begun = Begun {
            server: server.clone(),
            connected: connected.clone(),
            batch: batch.clone(),
            look,
            taken,
            since: self.looked,
        };
        let reporter = Arc::new(Reporter::new(self.shared.clone(), batch.clone(), self.name.clone(), version, ours));
        self.in_hand.begin(begun, async move {
            let consent = batch.consent(&authority);
            let report = connected.pass.apply(&desired, Arc::new(observed), plan, consent, reporter.clone()).await;
            reporter.finish(&report.tenants);
            report
        });
        Ok(())
    }

    /// What is asked of the server, as far as that is known before it is looked at.
    async fn request(
        &self,
        server: &DatabaseServer,
        connected: &Connected<E>,
        batch: &Batch,
    ) -> Result<Request, Failure> {
        let mut request = Request::to(server, &self.shared.authority, connected.way.endpoint.clone());
        request.remove(batch.gone.iter().cloned(), Removal::Vanished);
        request.uids = batch.uids();
        request.origins = self.shared.origins.of(&self.shared, batch).await?;
        Ok(request)
    }

    /// What of a batch the server does not allow, and why.
    async fn not_allowed(
        &self,
        declarations: Declarations<'_>,
        batch: &Batch,
        observed: &E::Observed,
        held: &Inventory,
    ) -> BTreeMap<Claim, Refusal> {
        let Shared { authority, guard, .. } = &*self.shared;
        let namespaces = self.shared.index(|index| index.namespaces());
        let guards_protection = batch.has_unprotected() && guard.asks_who_unprotects().await;
        let guards_secrets = batch.has_others_secrets() && guard.asks_who_writes_secrets().await;
        let cluster = Cluster { namespaces: &namespaces, guards_protection, guards_secrets };
        let trusted = |extension: &str, version: Option<&str>| E::trusts(observed, extension, version);
        policy::refusals(declarations, authority, held, &trusted, Some(cluster))
    }

    /// Follows what these wait for, and nothing of those that wait no more: their scripts, and Secrets that keys are to be
    /// added to.
    fn follow_awaited(&self, plan: &Plan<E::Step>, batch: &Batch, mut awaited: BTreeMap<Claim, BTreeSet<Reference>>) {
        let waits = |planned: &TenantPlan<E::Step>| {
            planned.refusal.as_ref().is_some_and(|refusal| refusal.kind == RefusalKind::Waiting)
        };
        for planned in plan.tenants.iter().filter(|planned| waits(planned)) {
            let Some((key, tenant)) = batch.tenants.get(&planned.claim) else { continue };
            if let Some(name) = tenant.merged_secret() {
                let secret =
                    Reference { kind: ReferredKind::Secret, namespace: key.namespace.clone(), name: name.clone() };
                awaited.entry(planned.claim.clone()).or_default().insert(secret);
            }
        }
        self.shared.index(|index| {
            for (claim, (key, _)) in &batch.tenants {
                index.waits(key, awaited.remove(claim).unwrap_or_default());
            }
        });
    }

    /// Tells those that can't be planned for beside the others; that one may not have what it asks for comes first.
    fn tell_unusable(&self, batch: &Batch, unusable: &BTreeMap<Claim, Unusable>, refused: &BTreeMap<Claim, Refusal>) {
        for (claim, why) in unusable {
            if let Some((key, tenant)) = batch.tenants.get(claim) {
                let verdict = refused.get(claim).map_or_else(|| Verdict::unusable(why), Verdict::refused);
                self.shared.tell(key, tenant, &verdict, &Facts::default());
            }
        }
    }

    /// Of two declarations that are of one server, the elder has it: a tenant that both could reach would be kept by two.
    fn check_that_no_other_is_this_server(&self, ledger: Option<&str>) -> Result<(), Failure> {
        let Some(elder) = ledger.and_then(|ledger| self.shared.index(|index| index.elder(&self.name, ledger))) else {
            return Ok(());
        };
        let message = format!("server {}: DatabaseServer {elder} is the same server, and was there before", self.name);
        let hint = format!("delete this one, and have its databases name `server: {elder}`");
        Err(Failure::new(FailureKind::Conflict, message).hint(hint))
    }

    /// Those whose resource is gone without having been deleted as it is done: somebody took our finalizer off, or their
    /// namespace by force.
    async fn lost(&self, held: &Inventory) -> Result<Vec<Claim>, Failure> {
        let cluster = self.shared.origins.cluster().await?;
        let ours = held.of(&self.shared.authority);
        let ours = ours.filter(|tenant| tenant.claim.access.is_none() && tenant.phase != Phase::Orphaned);
        let of_here = ours.filter_map(|tenant| {
            let origin = tenant.origin.as_ref().filter(|origin| origin.cluster == cluster)?;
            Some((&tenant.claim, origin))
        });
        let lost = |(claim, origin): &(&Claim, &Origin)| {
            let key = Key::of(claim);
            !self.in_hand.has(&key) && self.shared.index(|index| index.is_lost(&key, &origin.namespace))
        };
        let lost: Vec<Claim> = of_here.filter(lost).map(|(claim, _)| claim.clone()).collect();
        for claim in &lost {
            let (server, claim) = (self.name.as_str(), claim.path());
            tracing::warn!(server, claim, "its resource went without being deleted, and what it has is left behind");
        }
        Ok(lost)
    }

    /// Takes note of what the server's ledger holds; those of a batch that another server holds.
    fn take_in(&mut self, held: &Inventory, batch: &Batch) -> BTreeMap<Claim, ObjectName> {
        let authority = &self.shared.authority;
        let recorded = held.recorded();
        let held = recorded.keys().filter(|claim| claim.authority == *authority && claim.access.is_none()).map(Key::of);
        let elsewhere = self.shared.index(|index| {
            index.holds(&self.name, held);
            index.held_elsewhere(&self.name, batch.tenants.values().map(|(key, _)| key.clone()))
        });
        self.recorded = Some(recorded);
        elsewhere.into_iter().map(|(key, server)| (key.claim(authority), server)).collect()
    }

    /// Leaves what somebody always changes back.
    fn leave_contested(&self, plan: &mut Plan<E::Step>, batch: &Batch) {
        for tenant in &mut plan.tenants {
            let Some((_, object)) = batch.tenants.get(&tenant.claim.declaration()) else { continue };
            let what: Vec<String> = tenant.shown().map(|step| step.task.describe()).collect();
            if self.repeats.is_in_vain(&tenant.claim, &version_of(object), &what, Instant::now()) {
                leave(tenant, &what);
            }
        }
    }

    /// Those of a batch that the ledger has, and that are nobody else's.
    fn held(&self, batch: &Batch, strangers: &BTreeSet<Claim>) -> BTreeSet<Claim> {
        let is_recorded = |claim: &Claim| self.recorded.as_ref().is_some_and(|recorded| recorded.contains_key(claim));
        batch.tenants.keys().filter(|claim| is_recorded(claim) && !strangers.contains(*claim)).cloned().collect()
    }

    /// Puts our finalizer on what is held; others get it before their first step, and who is somebody else's never does.
    async fn hold(&self, plan: &Plan<E::Step>, batch: &Batch, held: &BTreeSet<Claim>) -> Result<(), Failure> {
        let idle = plan.tenants.iter().filter(|tenant| tenant.steps.is_empty() && held.contains(&tenant.claim));
        let free = idle.filter_map(|planned| {
            let (key, tenant) = batch.tenants.get(&planned.claim)?;
            // One that is refused is as protected as it was.
            let is_protected = tenant.is_protected() || planned.refusal.is_some();
            tenant.lacks_marks(is_protected).then(|| (key.clone(), tenant.clone(), is_protected))
        });
        let free = free.collect();
        self.shared.finalizers.put_on_all(free).await
    }
}

/// Leaves a tenant as somebody else wants it.
fn leave<S: Step>(tenant: &mut TenantPlan<S>, what: &[String]) {
    tenant.steps.clear();
    let message = format!("within two minutes it was put right twice, and changed back: {}", what.join("; "));
    tenant.conditions.push(Condition { kind: &notes::CONTESTED, message: message.clone() });
    let refusal = Refusal::new(RefusalKind::Deferral, message);
    tenant.refusal = Some(refusal.hint("find out who changes it; it is put right again in ten minutes"));
}
