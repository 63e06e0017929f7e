//! Carrying steps out: a tenant is locked, its steps are sent in batches, and each transaction proves that the tenant
//! is still ours.

mod bookkeeping;
mod locks;
mod predecessor;
mod proof;
mod script;

pub(crate) use bookkeeping::{accept_ledger, flush, note_sightings, take_over};
pub(crate) use locks::{Lock, Locks};
pub(crate) use predecessor::end_sessions;
use tenantdb_core::reach::AdminLogin;
use tenantdb_core::{Claim, Failure, FailureKind, Login, Plan, Step, Task, TenantPlan, failpoint};

use self::proof::Proof;
use crate::ESTATE;
use crate::bootstrap::BootstrapStep;
use crate::connect::{Connections, PREPARED_TRANSACTION, Session, Statement};
use crate::ledger::{CHANGED_MEANWHILE, ROLE_DDL_LOCK, SCHEMA, TenantRow, UPGRADE, VERSION};
use crate::observe::Observed;
use crate::sql::{self, Membership};
use crate::step::{DatabaseStep, LedgerStep, PostgresStep, ServerStep, Venue};
use crate::trap::Trap;

/// A tenant in hand.
pub struct Hold {
    pub(crate) claim: Claim,
    pub(crate) lock: Lock,
    pub(crate) database: String,
    pub(crate) owner: String,
    /// Its row in the ledger, once it is claimed.
    pub(crate) id: Option<i64>,
    /// How often the row was written, as far as we know.
    pub(crate) epoch: i64,
    /// Whether the server knows membership options.
    pub(crate) options: bool,
}

/// How often a step of the preparation is tried while somebody else does the same.
const ATTEMPTS: usize = 10;

/// Makes what the server needs before its first tenant. Somebody else may be doing the same.
pub(crate) async fn prepare(connections: &Connections, steps: &[PostgresStep]) -> Result<(), Failure> {
    for step in steps {
        failpoint::hit(&format!("before-{}", step.kind()));
        match step {
            PostgresStep::Server(ServerStep::CreateLedgerTables) => create_tables(connections).await?,
            PostgresStep::Server(ServerStep::UpgradeLedger { .. }) => upgrade_tables(connections).await?,
            PostgresStep::Server(ServerStep::CreateEstate { .. }) => {
                let session = connections.maintenance().await?;
                let made = make(&session, step).await;
                session.close().await;
                made?;
            }
            _ => {
                // The ledger belongs to the estate, so that the administrator's login can be replaced.
                let session = connections.visit(&connections.admin().maintenance_database).await?;
                let made = make(&session, step).await;
                session.close().await;
                made?;
            }
        }
        failpoint::hit(&format!("after-{}", step.kind()));
    }
    Ok(())
}

async fn make(session: &Session, step: &PostgresStep) -> Result<(), Failure> {
    for statement in statements(step, "") {
        let mut attempts = 1;
        while let Err(failure) = session.run(std::slice::from_ref(&statement)).await {
            if made_by_another(&failure) {
                break;
            }
            if !changed_by_another(&failure) || attempts == ATTEMPTS {
                return Err(failure);
            }
            attempts += 1;
        }
        failpoint::hit(&format!("within-{}", step.kind()));
    }
    Ok(())
}

/// Makes a server ready, in one transaction.
pub(crate) async fn bootstrap(
    connections: &Connections,
    session: &Session,
    plan: &Plan<BootstrapStep>,
    admin: &AdminLogin,
) -> Result<(), Failure> {
    let proof = Proof::of(&admin.password, connections)?;
    let steps = plan.preparation.iter().filter_map(|step| match &step.task {
        Task::Engine(step) => Some(Statement::new(step.sql(proof.quoted()))),
        Task::Credential(_) => None,
    });
    let steps: Vec<Statement> = steps.collect();
    failpoint::hit("before-bootstrap");
    session.transaction(&steps).await.map_err(|failure| {
        if made_by_another(&failure) {
            failure.hint("another bootstrap did the same at once; run it again")
        } else {
            proof.explain(failure)
        }
    })?;
    failpoint::hit("after-bootstrap");
    Ok(())
}

/// Of two that make the same at once, one is told that it exists: by name (42710, 42P04) or by index (23505).
fn made_by_another(failure: &Failure) -> bool {
    ["42710", "42P04", "23505"].iter().any(|code| failure.has_code(code))
}

/// Of two that change the same catalog row at once, one is told "tuple concurrently updated" or "deleted" (XX000), in
/// whatever language the server speaks: internal errors are not translated.
fn changed_by_another(failure: &Failure) -> bool {
    failure.has_code("XX000") && failure.message.contains("tuple concurrently")
}

/// The catalogs are read, not asked by name: a session that found no such name before remembers that, and waiting for
/// this lock does not tell it otherwise.
async fn create_tables(connections: &Connections) -> Result<(), Failure> {
    let session = connections.ledger().await?;
    let guarded = format!(
        "DO $tenantdb$ BEGIN PERFORM pg_advisory_xact_lock({ROLE_DDL_LOCK}); \
         IF NOT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'ledger' AND c.relname = 'server') THEN EXECUTE {}; END IF; END $tenantdb$",
        sql::text(SCHEMA)
    );
    session.run(&[Statement::labelled(guarded, "CREATE SCHEMA ledger")]).await
}

/// Somebody else may have done it meanwhile.
pub(crate) async fn upgrade_tables(connections: &Connections) -> Result<(), Failure> {
    let session = connections.ledger().await?;
    let guarded = format!(
        "DO $tenantdb$ BEGIN PERFORM pg_advisory_xact_lock({ROLE_DDL_LOCK}); \
         IF (SELECT version < {VERSION} FROM ledger.server) THEN EXECUTE {}; END IF; END $tenantdb$",
        sql::text(UPGRADE)
    );
    session.run(&[Statement::labelled(guarded, "ALTER TABLE ledger.tenant")]).await
}

/// Carries out the first steps of one tenant, as many as one transaction takes; how many those were.
pub(crate) async fn carry_out(
    connections: &Connections,
    hold: &mut Hold,
    steps: &[&PostgresStep],
    login: Option<&Login>,
) -> Result<usize, Failure> {
    let batch = &steps[..batch(steps)];
    let Some(first) = batch.first() else { return Ok(0) };
    hold.lock.check()?;
    for step in batch {
        failpoint::hit(&format!("before-{}", step.kind()));
    }
    let done = match first.venue() {
        Venue::Claim => bookkeeping::claim(connections, hold, first).await,
        Venue::Ledger => ledger(connections, hold, batch, login).await,
        Venue::Alone => alone_in_ledger(connections, first).await,
        Venue::Tenant => in_tenant(connections, hold, batch).await,
        Venue::Inside => inside(connections, hold, first).await,
        // Whatever its own errors are, they are no reason to look again.
        Venue::Login => {
            script::run(connections, first, login).await?;
            Ok(())
        }
        Venue::Maintenance => prepare(connections, &[(*first).clone()]).await,
    };
    done.map_err(stale_if_changed)?;
    for step in batch {
        failpoint::hit(&format!("after-{}", step.kind()));
    }
    Ok(batch.len())
}

/// How many of the first steps one transaction takes.
pub(crate) fn batch(steps: &[&PostgresStep]) -> usize {
    let [first, others @ ..] = steps else { return 0 };
    let venue = first.venue();
    if matches!(venue, Venue::Claim | Venue::Alone | Venue::Inside | Venue::Login | Venue::Maintenance) {
        return 1;
    }
    let together = |step: &&&PostgresStep| step.venue() == venue && !step.needs_what_was_committed();
    1 + others.iter().take_while(together).count()
}

/// What the ledger has of the tenant, or of the orphan that it takes over.
pub(crate) fn row<'a>(tenant: &TenantPlan<PostgresStep>, observed: &'a Observed) -> Option<&'a TenantRow> {
    let ledger = observed.ledger.as_ref()?;
    let taken_over = || {
        tenant.steps.iter().find_map(|step| match &step.task {
            Task::Engine(PostgresStep::Ledger(LedgerStep::TakeOver { from, .. })) => ledger.row(from),
            _ => None,
        })
    };
    ledger.row(&tenant.claim).or_else(taken_over)
}

/// The tenant's role: as the ledger has it, or as the plan is about to claim it.
pub(crate) fn owner(tenant: &TenantPlan<PostgresStep>, observed: &Observed) -> String {
    let row = row(tenant, observed);
    let claimed = || {
        tenant.steps.iter().find_map(|step| match &step.task {
            Task::Engine(PostgresStep::Ledger(LedgerStep::Claim { owner, .. } | LedgerStep::Recover { owner, .. })) => {
                Some(owner.clone())
            }
            _ => None,
        })
    };
    row.map(|row| row.owner.clone()).or_else(claimed).unwrap_or_default()
}

/// The estate's membership in a tenant's role, which begins and ends with a transaction.
pub(crate) fn membership(owner: &str, options: bool) -> (String, String) {
    let owner = sql::name(owner);
    let options = Membership::Switch.options(options);
    (format!("GRANT {owner} TO {ESTATE}{options}"), format!("REVOKE {owner} FROM {ESTATE}"))
}

/// One statement in the ledger database that can't be in a transaction.
async fn alone_in_ledger(connections: &Connections, step: &PostgresStep) -> Result<(), Failure> {
    let done = connections.ledger().await?.run(&statements(step, "")).await;
    match step {
        PostgresStep::Database(DatabaseStep::DropDatabase { .. }) => done.map_err(stale_if_in_use),
        _ => done,
    }
}

/// A session that was about to come in when the database was closed is seen only after the others were ended (42501:
/// it is not the estate's to end; 55006: it is still there). The next look sees it, and ends it if it is ours to end.
fn stale_if_in_use(failure: Failure) -> Failure {
    let in_use = ["42501", "55006"].iter().any(|code| failure.has_code(code));
    // A prepared transaction is no session, and nothing that is run again ends it.
    if in_use && !failure.message.contains(PREPARED_TRANSACTION) {
        Failure { kind: FailureKind::Stale, ..failure }
    } else {
        failure
    }
}

/// How long to wait for the turn to change roles.
const ROLE_DDL_PATIENCE: &str = "120s";

/// How long to wait, in that turn, for a role or database that somebody else is changing. A tenant can hold its own
/// forever: shorter than the wait for the turn, so that it keeps nobody else from theirs.
const ROW_PATIENCE: &str = "10s";

/// One transaction in the ledger database. It begins with the lock on DDL for roles, if it has any, and ends when the
/// tenant was written by someone else.
async fn ledger(
    connections: &Connections,
    hold: &mut Hold,
    batch: &[&PostgresStep],
    login: Option<&Login>,
) -> Result<(), Failure> {
    let proof = proof_of(connections, batch, login)?;
    let id = hold.id.ok_or_else(|| bug("a tenant without a claim"))?;
    let session = connections.ledger().await?;
    if let [step] = batch
        && let Some(sessions) = step.whom_it_ends()
        && session.column(&Statement::new(sessions)).await?.is_empty()
    {
        return Ok(());
    }
    let mut all = Vec::new();
    // Whoever waits for the disk with this lock keeps everyone else waiting.
    if batch.iter().all(|step| step.is_its_tenants_alone()) {
        all.push(Statement::new(bookkeeping::DURABLE_LATER));
    } else {
        all.push(Statement::new(format!("SET LOCAL lock_timeout = '{ROLE_DDL_PATIENCE}'")));
        let lock = format!("SELECT pg_advisory_xact_lock({ROLE_DDL_LOCK})");
        all.push(Statement::labelled(lock, "waiting for other role changes"));
    }
    all.push(Statement::new(format!("SET LOCAL lock_timeout = '{ROW_PATIENCE}'")));
    all.push(Statement::labelled(format!("SELECT ledger.hold({id}, {})", hold.epoch), "ledger"));
    for step in batch {
        all.extend(statements(step, proof.quoted()));
        all.extend(bookkeeping::statements(step, hold, id, login));
    }
    session.transaction(&all).await.map_err(|failure| proof.explain(failure))?;
    hold.epoch += 1;
    Ok(())
}

/// One transaction in the tenant's database, with a membership in the tenant's role that ends with it.
async fn in_tenant(connections: &Connections, hold: &Hold, batch: &[&PostgresStep]) -> Result<(), Failure> {
    let (joining, leaving) = membership(&hold.owner, hold.options);
    let mut all = vec![Statement::new(joining)];
    for step in batch {
        all.extend(statements(step, ""));
    }
    all.push(Statement::new(leaving));
    let session = safe_visit(connections, &hold.database).await?;
    let result = session.transaction(&all).await;
    session.close().await;
    result
}

/// A session for changes in a database, unless they would set off what is not ours.
async fn safe_visit(connections: &Connections, database: &str) -> Result<Session, Failure> {
    let session = connections.visit(database).await?;
    match Trap::find(&session).await? {
        None => Ok(session),
        Some(trap) => {
            session.close().await;
            Err(trap.failure().within(format!("database {database}")))
        }
    }
}

async fn inside(connections: &Connections, hold: &Hold, step: &PostgresStep) -> Result<(), Failure> {
    if let Some(database) = step.database() {
        return at(connections, database, step).await.map_err(stale_if_its_tenant_goes);
    }
    at(connections, &hold.database, step).await.map_err(stale_if_its_tenant_drops)
}

async fn at(connections: &Connections, database: &str, step: &PostgresStep) -> Result<(), Failure> {
    let session = safe_visit(connections, database).await?;
    let result = session.transaction(&statements(step, "")).await;
    session.close().await;
    result
}

/// The tenant goes on making and dropping things while we grant on them: a schema (3F000) or a table (42P01) is gone, or
/// the server stumbles over what went while it looked it up (XX000). The next look finds what is there then.
fn stale_if_its_tenant_drops(failure: Failure) -> Failure {
    let is_gone = ["3F000", "42P01"].iter().any(|code| failure.has_code(code));
    let went = failure.has_code("XX000") && failure.message.contains("cache lookup failed");
    if is_gone || went { Failure { kind: FailureKind::Stale, ..failure } } else { failure }
}

/// Another tenant's database that is deleted while we are in it: it is closed (55000), our session is ended (57P01),
/// its roles are gone (42704). The next look finds nothing to leave there.
fn stale_if_its_tenant_goes(failure: Failure) -> Failure {
    let goes = ["55000", "57P01", "42704"].iter().any(|code| failure.has_code(code)) || failure.code.is_none();
    if goes { Failure { kind: FailureKind::Stale, ..failure } } else { failure }
}

fn statements(step: &PostgresStep, verifier: &str) -> Vec<Statement> {
    step.sql(verifier).into_iter().map(Statement::new).collect()
}

/// What the server is sent of the credential in hand, if any of the steps needs it.
fn proof_of<'a>(
    connections: &Connections,
    batch: &[&PostgresStep],
    login: Option<&'a Login>,
) -> Result<Proof<'a>, Failure> {
    if !batch.iter().any(|step| step.needs_login()) {
        return Ok(Proof::none());
    }
    let password = login.and_then(|login| login.password.as_ref());
    Proof::of(password.ok_or_else(|| bug("a login without a password"))?, connections)
}

/// Somebody made or dropped what we work on, between our look and our statement or while it ran: another run, or one
/// that was killed, whose last statement goes on to its end at the server. By name (42P04, 3D000), by index (23505), or
/// as a row of a catalog that both change. Or a role was given something since it was emptied (2BP01).
fn stale_if_changed(failure: Failure) -> Failure {
    let by_code = [CHANGED_MEANWHILE, "42P04", "3D000", "23505", "2BP01"].iter().any(|code| failure.has_code(code));
    let changed = by_code || changed_by_another(&failure);
    if changed { Failure { kind: FailureKind::Stale, ..failure } } else { failure }
}

fn bug(what: &str) -> Failure {
    Failure::new(FailureKind::Rejected, format!("the plan has {what}")).hint("this is a bug in tenantdb")
}
