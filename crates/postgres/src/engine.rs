//! PostgreSQL as an [`Engine`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tenantdb_api::{Namespace, ObjectName, SqlName};
use tenantdb_core::reach::{AdminLogin, Way};
use tenantdb_core::{
    AuditEntry, Authority, Claim, Condition, Delivery, Depth, Engine, Failure, FailureKind, Interrupt, Login, Origin,
    PlaceView, Plan, Task, TenantPlan, TenantSummary, Turns, Vitals, Writer,
};
use tenantdb_credentials::Delivered;
use tokio::task::JoinSet;

use crate::apply::{self, Hold, Locks};
use crate::bootstrap::{self, BootstrapStep};
use crate::connect::{Connections, Session};
use crate::desired::{Desired, Recorded, Tenant};
use crate::ledger::{Applied, Ledger, Phase, TenantRow};
use crate::observe::{self, Inside, Observed, Setting, Shared, Wanted};
use crate::probe::Probes;
use crate::step::PostgresStep;
use crate::{ESTATE, LEDGER, access, plan};

/// How long to wait for someone who works on a tenant.
const PATIENCE: Duration = Duration::from_mins(2);

/// Who was seen where: databases by OID, and logins.
pub struct Seen(Vec<(u32, String)>);

/// A PostgreSQL server, with all the connections to it.
pub struct Postgres {
    name: ObjectName,
    connections: Arc<Connections>,
    locks: Locks,
    probes: Probes,
}

impl Postgres {
    /// A server; nothing is connected before it is asked something. `budget` is how many connections there may be at
    /// a time, at least 3.
    #[must_use]
    pub fn new(name: ObjectName, way: Way, budget: usize, writer: Writer) -> Self {
        let connections = Arc::new(Connections::new(way, budget, writer));
        Self { name, connections, locks: Locks::new(PATIENCE), probes: Probes::default() }
    }

    /// The same server, with another time to wait for someone who works on a tenant; two minutes otherwise.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.locks = Locks::new(patience);
        self
    }

    /// As many tenants at a time as need not wait for connections.
    #[must_use]
    pub fn turns(&self) -> Turns {
        Turns::new(self.connections.workers())
    }

    /// The names that a server's ledger recorded.
    #[must_use]
    pub fn recorded(observed: &Observed) -> Recorded {
        let rows = observed.ledger.iter().flat_map(|ledger| ledger.tenants.values().chain(ledger.accounts.values()));
        rows.filter_map(|row| Some((row.claim.clone(), row.names()?))).collect()
    }

    /// What tells the server's ledger from every other; none before it was made.
    #[must_use]
    pub fn ledger(observed: &Observed) -> Option<&str> {
        observed.ledger.as_ref().map(|ledger| ledger.id.as_str())
    }

    /// Where each declaration stood that an authority has something for, as far as that was noted, and whether what it has
    /// was left behind.
    #[must_use]
    pub fn origins(observed: &Observed, of: &Authority) -> BTreeMap<Claim, (Origin, bool)> {
        let rows = observed.ledger.iter().flat_map(|ledger| ledger.tenants.values().chain(ledger.accounts.values()));
        let theirs = rows.filter(|row| row.claim.authority == *of);
        let origin = |row: &TenantRow| Some((row.origin.clone()?, row.phase == Phase::Orphaned));
        theirs.filter_map(|row| Some((row.claim.clone(), origin(row)?))).collect()
    }

    /// What was delivered last for each of an authority's tenants.
    #[must_use]
    pub fn delivered(desired: &Desired, observed: &Observed, of: &Authority) -> Vec<(Delivery, Delivered)> {
        let rows = observed.ledger.iter().flat_map(|ledger| ledger.tenants.values().chain(ledger.accounts.values()));
        let theirs = rows.filter(|row| row.claim.authority == *of);
        theirs.filter_map(|row| plan::delivered(row, desired)).collect()
    }

    /// What tells the server's ledger from every other, now that it was made.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn ledger_id(&self) -> Result<Option<String>, Failure> {
        let id = async { Ledger::read_id(&*self.connections.ledger().await?).await };
        id.await.map_err(|failure| self.at(failure))
    }

    /// Gives what an authority has on the server to another, in one transaction; what both have is no question here. What
    /// is `forgotten` is as if it had never been delivered: whoever has it goes on logging in. In a cluster, those with an
    /// origin stand there from now on; elsewhere they stand nowhere.
    ///
    /// # Errors
    /// When somebody else made the same claim meanwhile, or the ledger can't be written.
    pub async fn take_over(
        &self,
        from: &Authority,
        to: &Authority,
        forgotten: &BTreeSet<Claim>,
        origins: Option<&BTreeMap<Claim, Origin>>,
    ) -> Result<(), Failure> {
        let taken = async {
            apply::upgrade_tables(&self.connections).await?;
            apply::take_over(&*self.connections.ledger().await?, from, to, forgotten, origins).await
        };
        taken.await.map_err(|failure| self.at(failure))
    }

    /// Whether the server's ledger was restored from a dump: then it may be older than what is on the server, and
    /// nothing is destroyed on its word.
    #[must_use]
    pub fn is_restored(observed: &Observed) -> bool {
        observed.is_restored()
    }

    /// Trusts a ledger again that was restored from a dump.
    ///
    /// # Errors
    /// When the ledger can't be written.
    pub async fn accept_ledger(&self) -> Result<(), Failure> {
        let accepted = async { apply::accept_ledger(&*self.connections.ledger().await?).await };
        accepted.await.map_err(|failure| self.at(failure))
    }

    /// The logins that were in the databases of these tenants and are none of their slots.
    #[must_use]
    pub fn seen(desired: &Desired, observed: &Observed) -> Seen {
        Seen(plan::seen(desired, observed).into_iter().map(|(database, login)| (database, login.clone())).collect())
    }

    /// Notes them in the ledger: who loses access later is told when it was last seen. One statement for all, and none
    /// when there is nobody.
    ///
    /// # Errors
    /// When the ledger can't be written.
    pub async fn remember(&self, Seen(seen): &Seen) -> Result<(), Failure> {
        if seen.is_empty() {
            return Ok(());
        }
        let noted = async { apply::note_sightings(&*self.connections.ledger().await?, seen).await };
        noted.await.map_err(|failure| self.at(failure))
    }

    /// What it takes to make the server ready for this administrator: our own login has to be a superuser's. The logins
    /// of `connect_for` keep access to the server's own databases, which are closed to everyone else.
    ///
    /// # Errors
    /// When the server can't be looked at, our login is no superuser's, or the administrator's is a tenant's or our own.
    pub async fn plan_bootstrap(
        &self,
        admin: &AdminLogin,
        connect_for: &[SqlName],
    ) -> Result<Plan<BootstrapStep>, Failure> {
        let planned = async {
            let maintenance = self.connections.maintenance().await?;
            let shared = observe::read_shared(&maintenance).await;
            maintenance.close().await;
            let observed = self.with_ledger(shared?).await?;
            let logs_in = match observed.shared.roles.get(&admin.username) {
                Some(role) if role.login => self.connections.lets_admin_in(admin).await?,
                _ => false,
            };
            let connect_for: Vec<String> = connect_for.iter().map(ToString::to_string).collect();
            let wanted = bootstrap::Wanted { admin: &admin.username, logs_in, connect_for: &connect_for };
            bootstrap::plan(&self.name, &wanted, &observed)
        };
        planned.await.map_err(|failure| self.at(failure))
    }

    /// Carries that out, all of it or nothing.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn bootstrap(&self, plan: &Plan<BootstrapStep>, admin: &AdminLogin) -> Result<(), Failure> {
        let done = async {
            let session = self.connections.maintenance().await?;
            let done = apply::bootstrap(&self.connections, &session, plan, admin).await;
            session.close().await;
            done
        };
        done.await.map_err(|failure| self.at(failure))
    }

    /// What the server still needs before its first tenant.
    #[must_use]
    pub fn preparation(observed: &Observed) -> Vec<PostgresStep> {
        let steps = plan::preparation(observed).into_iter();
        steps.filter_map(|step| if let Task::Engine(step) = step.task { Some(step) } else { None }).collect()
    }

    /// Ends the sessions of another process that worked with this login, and waits until they are gone; how many there
    /// were.
    ///
    /// # Errors
    /// When the server can't be asked, or they don't end.
    pub async fn end_sessions_of(&self, writer: &str) -> Result<usize, Failure> {
        let ended = async {
            let session = self.connections.maintenance().await?;
            let ended = apply::end_sessions(&session, writer).await;
            session.close().await;
            ended
        };
        ended.await.map_err(|failure| self.at(failure))
    }

    /// Says goodbye on every connection that nobody uses.
    pub async fn close(&self) {
        self.locks.close().await;
        self.connections.close_idle().await;
    }

    fn at(&self, failure: Failure) -> Failure {
        failure.within(format!("server {} ({})", self.name, self.connections.address()))
    }

    /// What the server shares, with the ledger if there is one to trust.
    async fn with_ledger(&self, shared: Shared) -> Result<Observed, Failure> {
        self.connections.beware(&shared);
        let ledger =
            if trusted_ledger(&shared)? { Ledger::read(&*self.connections.ledger().await?).await? } else { None };
        Ok(Observed { shared, ledger, ..Observed::default() })
    }

    /// What can be seen from one database of all of them.
    async fn look_from(&self, maintenance: &Session, desired: &Desired) -> Result<Observed, Failure> {
        let shared = observe::read_shared(maintenance).await?;
        check_admin(&shared)?;
        let mut observed = self.with_ledger(shared).await?;
        observed.refused = observe::read_refused(maintenance, new_settings(desired, &observed)).await?;
        observed.upgrades = observe::read_upgrades(maintenance, declared_versions(desired, &observed)).await?;
        Ok(observed)
    }

    async fn look(&self, desired: &Desired, depth: Depth) -> Result<Observed, Failure> {
        let lookout = self.connections.lookout().await?;
        let mut observed = self.look_from(&lookout, desired).await?;
        self.connections.rest(lookout);
        let leaving = leaving(desired, &observed);
        let tied: Vec<String> = slots(desired, &observed).into_iter().chain(leaving.iter().cloned()).collect();
        if !tied.is_empty() {
            observed.ties = observe::read_ties(&*self.connections.ledger().await?, &tied).await?;
        }
        if !leaving.is_empty() {
            let session = self.connections.ledger().await?;
            let holders = observe::read_lock_holders(&session).await?;
            observed.obstacles = observe::read_obstacles(&session).await?;
            for (database, logins) in holders.databases {
                observed.shared.databases.entry(database).and_modify(|found| found.locked_by = logins);
            }
            for (role, logins) in holders.roles {
                observed.shared.roles.entry(role).and_modify(|found| found.locked_by = logins);
            }
        }
        let retiring = retiring(desired, &observed);
        if !retiring.is_empty() {
            let options = observed.shared.has_membership_options();
            observed.users = observe::read_users(&*self.connections.ledger().await?, &retiring, options).await?;
        }
        let visits = visits(desired, &observed, depth);
        let mut looks = JoinSet::new();
        // Without a ledger there may be no estate to look as.
        let is_guest = observed.ledger.is_none() && !may_act_as_estate(&observed.shared);
        for (database, wanted) in visits {
            let connections = self.connections.clone();
            looks.spawn(async move {
                let inside = look_inside(&connections, &database, &wanted, is_guest).await;
                (database, inside)
            });
        }
        let mut silent = BTreeMap::new();
        while let Some(look) = looks.join_next().await {
            let look = look.map_err(|error| Failure::new(FailureKind::Rejected, error.to_string()))?;
            match look {
                (database, Ok(inside)) => drop(observed.inside.insert(database, inside)),
                (database, Err(failure)) if failure.kind == FailureKind::Unreachable => {
                    silent.insert(database, failure.message);
                }
                (database, Err(failure)) => drop(observed.unseen.insert(database, failure.message)),
            }
        }
        if !silent.is_empty() {
            self.connections.answers().await?;
            observed.unseen.extend(silent);
        }
        observed.sorted_otherwise = self.connections.sorted_otherwise();
        Ok(observed)
    }
}

/// What is set anew.
fn new_settings(desired: &Desired, observed: &Observed) -> BTreeSet<Setting> {
    let ledger = observed.ledger.as_ref();
    let new = desired.looked_at().chain(desired.looked_at_accounts()).flat_map(|(claim, tenant)| {
        let before = ledger.and_then(|ledger| ledger.row(claim)).map(|row| &row.applied.settings);
        let known = move |setting: &(&String, &String)| before.is_some_and(|all| all.get(setting.0) == Some(setting.1));
        tenant.applied.settings.iter().filter(move |setting| !known(setting))
    });
    new.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The versions of extensions that are declared and that the server has.
fn declared_versions(desired: &Desired, observed: &Observed) -> BTreeSet<(String, String)> {
    let available = observed.shared.extensions.as_ref();
    let declared = desired.looked_at().flat_map(|(_, tenant)| &tenant.applied.extensions);
    let declared = declared.filter(|(name, _)| available.is_some_and(|all| all.contains_key(*name)));
    declared.filter_map(|(name, extension)| Some((name.clone(), extension.version.clone()?))).collect()
}

async fn look_inside(
    connections: &Connections,
    database: &str,
    wanted: &Wanted,
    is_guest: bool,
) -> Result<Inside, Failure> {
    let session =
        if is_guest { connections.visit_as_login(database).await? } else { connections.visit(database).await? };
    let inside = observe::visit(&session, wanted).await;
    session.close().await;
    inside
}

/// Whoever may make roles could have made one of the estate's name, and given it what the estate must not have.
fn check_estate(shared: &Shared) -> Result<(), Failure> {
    let lacks = shared.roles.get(ESTATE).map(bootstrap::estate_lacks).unwrap_or_default();
    if lacks.is_empty() {
        return Ok(());
    }
    let message = format!("role {ESTATE} is not as tenantdb makes it, and can't be trusted with tenants' databases");
    Err(Failure::new(FailureKind::Rejected, message).hint(format!(
        "find out who changed it; `tenantdb server bootstrap` mends it, or as a superuser run: ALTER ROLE {ESTATE} {}",
        lacks.join(" ")
    )))
}

/// The administrator's login must be able to do its work; a member of the estate has that from there.
fn check_admin(shared: &Shared) -> Result<(), Failure> {
    check_estate(shared)?;
    let admin = shared.admin();
    let joined = admin.superuser || admin.member_of.contains(ESTATE);
    if joined || (admin.create_db && admin.create_role) {
        return if joined { Ok(()) } else { check_can_join(shared) };
    }
    let lacks = match (admin.create_db, admin.create_role) {
        (false, false) => "CREATEDB and CREATEROLE",
        (false, true) => "CREATEDB",
        _ => "CREATEROLE",
    };
    Err(Failure::new(FailureKind::Rejected, format!("the administrator's login {} lacks {lacks}", shared.login)).hint(
        format!("as a superuser run: ALTER ROLE {} {}", crate::sql::name(&shared.login), lacks.replace(" and", "")),
    ))
}

/// Where somebody else made the estate, the administrator's login has to be able to join it: since PostgreSQL 16 that
/// takes the ADMIN option, whatever else it may do.
fn check_can_join(shared: &Shared) -> Result<(), Failure> {
    let exists = shared.roles.contains_key(ESTATE);
    if !exists || !shared.has_membership_options() || shared.admin().administers.contains(ESTATE) {
        return Ok(());
    }
    let message =
        format!("the administrator's login {} is no member of {ESTATE}, which another one made", shared.login);
    Err(Failure::new(FailureKind::Rejected, message).hint(format!(
        "as that one, or as a superuser run: GRANT {ESTATE} TO {} WITH INHERIT TRUE, SET TRUE",
        crate::sql::name(&shared.login)
    )))
}

/// Whether there is a ledger to read. Anyone with CREATEDB could have made a database of its name, so it is looked at
/// from outside before it is connected to.
fn trusted_ledger(shared: &Shared) -> Result<bool, Failure> {
    let Some(ledger) = shared.databases.get(LEDGER) else { return Ok(false) };
    let stop = |message: String, hint: &str| Err(Failure::new(FailureKind::Rejected, message).hint(hint));
    if ledger.owner != ESTATE {
        return stop(
            format!(
                "database {LEDGER} is owned by {}, not by {ESTATE}, and can't be trusted as the ledger",
                ledger.owner
            ),
            "find out who made it; rename it to let tenantdb make its own",
        );
    }
    if !ledger.allows_connections {
        return Ok(false);
    }
    let stranger = ledger.grants.iter().find(|(_, privileges)| !privileges.is_empty());
    if let Some((stranger, _)) = stranger {
        let stranger = stranger.as_deref().unwrap_or("PUBLIC");
        return stop(
            format!("database {LEDGER} is open to {stranger}, and can't be trusted as the ledger"),
            "find out who granted that, and as its owner run: REVOKE ALL ON DATABASE tenantdb FROM …",
        );
    }
    Ok(may_act_as_estate(shared))
}

/// Whether the administrator's login can work as the estate yet.
fn may_act_as_estate(shared: &Shared) -> bool {
    let admin = shared.admin();
    shared.roles.contains_key(ESTATE) && (admin.superuser || admin.member_of.contains(ESTATE))
}

/// The roles that may have to be dropped.
fn leaving(desired: &Desired, observed: &Observed) -> Vec<String> {
    let removals = desired.removals(observed);
    let rows = removals.keys().filter_map(|claim| observed.ledger.as_ref()?.row(claim));
    let levels = desired.looked_at().filter_map(|(claim, tenant)| {
        let row = observed.ledger.as_ref()?.tenants.get(claim)?;
        let wanted = access::levels(&row.owner, &tenant.applied.access);
        Some(row.levels.iter().filter(move |role| !wanted.contains_key(*role)))
    });
    rows.flat_map(TenantRow::roles).chain(levels.flatten()).cloned().collect()
}

/// The logins that take turns: they only act as the role that they share, and own nothing. Without a ledger there is
/// nowhere to ask what they have; the next look does.
fn slots(desired: &Desired, observed: &Observed) -> Vec<String> {
    let Some(ledger) = &observed.ledger else { return Vec::new() };
    let slots = |row: &TenantRow| -> Vec<String> {
        row.slots.values().map(|slot| &slot.role).filter(|role| **role != row.owner).cloned().collect()
    };
    let known = |(claim, tenant): (&Claim, &Tenant)| match ledger.row(claim) {
        Some(row) => slots(row),
        None => plan::recoverable(tenant, observed).as_ref().map(slots).unwrap_or_default(),
    };
    let all = desired.looked_at().chain(desired.looked_at_accounts()).flat_map(known);
    all.chain(plan::taken_over(desired, observed).into_values().flat_map(slots)).collect()
}

/// The logins that are to be taken away once nobody uses them.
fn retiring(desired: &Desired, observed: &Observed) -> Vec<String> {
    let rows = desired.retirements.iter().filter_map(|claim| observed.ledger.as_ref()?.tenants.get(claim));
    let logins = rows.filter_map(TenantRow::legacy_login);
    logins.filter(|login| observed.shared.roles.contains_key(*login)).cloned().collect()
}

/// The databases that have to be looked into, and for what: those that are not known to be as declared, or all, and those
/// that are to be adopted.
fn visits(desired: &Desired, observed: &Observed, depth: Depth) -> Vec<(String, Wanted)> {
    let taken = plan::taken_over(desired, observed);
    let needs = desired.looked_at().filter_map(|(claim, tenant)| {
        let row = observed.ledger.as_ref().and_then(|ledger| ledger.tenants.get(claim));
        if let Some(row) = plan::recoverable(tenant, observed) {
            return Some((row.database, tenant.wanted(&row.owner)));
        }
        let Some(row) = row.or_else(|| taken.get(claim).copied()) else {
            let found = plan::to_adopt(tenant, observed).filter(|found| found.can_be_visited());
            return found.map(|_| (tenant.names.database.to_string(), tenant.wanted(tenant.names.owner.as_str())));
        };
        let database = observed.shared.databases.get(&row.database)?;
        let ours = row.database_oid.is_none_or(|oid| oid == database.oid) && database.can_be_visited();
        // Who else may connect is not seen from inside.
        let before = Applied { connect_for: tenant.applied.connect_for.clone(), ..row.applied.clone() };
        let unknown = depth == Depth::Deep || row.phase != Phase::Provisioned || before != tenant.applied;
        (ours && unknown).then(|| (row.database.clone(), tenant.wanted(&row.owner)))
    });
    needs.collect()
}

/// Whether what a claim is about is on the server.
fn is_present(row: &TenantRow, observed: &Observed) -> bool {
    let Observed { shared, ledger, .. } = observed;
    let is_account = ledger.as_ref().is_some_and(|ledger| ledger.accounts.contains_key(&row.claim));
    if is_account { shared.roles.contains_key(&row.owner) } else { shared.databases.contains_key(&row.database) }
}

impl Engine for Postgres {
    type Step = PostgresStep;
    type Desired = Desired;
    type Observed = Observed;
    type Hold = Hold;

    fn server(&self) -> &ObjectName {
        &self.name
    }

    fn only(desired: &Desired, claims: &BTreeSet<Claim>) -> Desired {
        desired.only(claims)
    }

    async fn observe(&self, desired: &Desired, depth: Depth) -> Result<Observed, Failure> {
        self.look(desired, depth).await.map_err(|failure| self.at(failure))
    }

    fn deliveries(desired: &Desired, observed: &Observed) -> BTreeMap<Claim, Delivery> {
        plan::deliveries(desired, observed)
    }

    fn plan(desired: &Desired, observed: &Observed, place: &PlaceView) -> Plan<PostgresStep> {
        plan::plan(desired, observed, place)
    }

    fn tenants(observed: &Observed) -> Vec<TenantSummary> {
        let rows = observed.ledger.iter().flat_map(|ledger| ledger.tenants.values().chain(ledger.accounts.values()));
        let summaries = rows.map(|row| TenantSummary {
            claim: row.claim.clone(),
            database: row.database.clone(),
            owner: row.owner.clone(),
            present: is_present(row, observed),
            phase: row.phase.as_str(),
            protected: row.applied.deletion_protection == tenantdb_api::tenant_database::DeletionProtection::On,
            delivered: row.deliveries.last().map(|delivery| delivery.delivered.location.clone()),
        });
        summaries.collect()
    }

    async fn vitals(&self, observed: &Observed) -> Result<BTreeMap<Claim, Vitals>, Failure> {
        let Some(ledger) = &observed.ledger else { return Ok(BTreeMap::new()) };
        let vitals = async { observe::read_vitals(&*self.connections.ledger().await?, ledger).await };
        vitals.await.map_err(|failure| self.at(failure))
    }

    async fn history(
        &self,
        observed: &Observed,
        namespace: &Namespace,
        name: &ObjectName,
    ) -> Result<Vec<AuditEntry>, Failure> {
        if observed.ledger.is_none() {
            return Ok(Vec::new());
        }
        let history = async { observe::read_history(&*self.connections.ledger().await?, namespace, name).await };
        history.await.map_err(|failure| self.at(failure))
    }

    fn doubtful(desired: &Desired, observed: &Observed, place: &PlaceView) -> BTreeSet<Claim> {
        plan::doubtful(desired, observed, place)
    }

    async fn try_login(&self, delivery: &Delivery, login: &Login) -> Result<bool, Failure> {
        let tried = match self.connections.lets_in(delivery.database.as_str(), login).await {
            // Whoever locks its database keeps it from answering; the look inside tells that.
            Err(failure) if failure.kind == FailureKind::Unreachable => self.connections.answers().await.map(|()| true),
            tried => tried,
        };
        tried.map_err(|failure| self.at(failure))
    }

    async fn prepare(&self, steps: &[PostgresStep]) -> Result<(), Failure> {
        apply::prepare(&self.connections, steps).await.map_err(|failure| self.at(failure))
    }

    async fn hold(
        &self,
        tenant: &TenantPlan<PostgresStep>,
        observed: &Observed,
        interrupt: &Interrupt,
    ) -> Result<Hold, Failure> {
        let row = apply::row(tenant, observed);
        let lock = self.locks.take(&self.connections, &tenant.database, interrupt).await;
        Ok(Hold {
            claim: tenant.claim.clone(),
            lock: lock.map_err(|failure| self.at(failure))?,
            database: tenant.database.clone(),
            owner: apply::owner(tenant, observed),
            id: row.map(|row| row.id),
            epoch: row.map_or(0, |row| row.epoch),
            options: observed.shared.has_membership_options(),
        })
    }

    async fn carry_out(
        &self,
        hold: &mut Hold,
        steps: &[&PostgresStep],
        login: Option<&Login>,
    ) -> Result<usize, Failure> {
        let done = apply::carry_out(&self.connections, hold, steps, login).await;
        done.map_err(|failure| self.at(failure))
    }

    async fn probe(&self, delivery: &Delivery, login: &Login) -> Result<Vec<Condition>, Failure> {
        self.probes.everywhere(&self.connections, delivery, login).await.map_err(|failure| self.at(failure))
    }

    async fn flush(&self) -> Result<(), Failure> {
        let flushed = async { apply::flush(&*self.connections.ledger().await?).await };
        flushed.await.map_err(|failure| self.at(failure))
    }

    async fn release(&self, hold: Hold) {
        hold.lock.release().await;
    }
}
