//! The session that holds a lock for each tenant in hand. When it is lost, so are the locks, and work on those tenants
//! ends; whoever comes later takes locks with another.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenantdb_core::{Failure, FailureKind, Interrupt};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::connect::{Connections, Session, Statement};
use crate::ledger::TENANT_LOCKS;
use crate::sql::text;

/// The locks of a process.
pub(crate) struct Locks {
    session: Mutex<Arc<OnceCell<Session>>>,
    patience: Duration,
}

/// A lock, with the session that holds it.
pub(crate) struct Lock {
    key: i32,
    session: Arc<OnceCell<Session>>,
}

impl Locks {
    /// No locks yet; `patience` is how long to wait for someone who holds a tenant.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { session: Mutex::default(), patience }
    }

    /// Takes the lock of a database's name, and waits for whoever has it.
    pub(crate) async fn take(
        &self,
        connections: &Connections,
        database: &str,
        interrupt: &Interrupt,
    ) -> Result<Lock, Failure> {
        let cell = self.living();
        let session = cell.get_or_try_init(|| connections.locks()).await?;
        let give_up = Instant::now() + self.patience;
        let mut pause = Duration::from_millis(20);
        let statement = Statement::labelled(
            format!(
                "SELECT CASE WHEN pg_try_advisory_lock({TENANT_LOCKS}, k) THEN k END FROM hashtext({}) AS k",
                text(database)
            ),
            "lock",
        );
        loop {
            interrupt.check()?;
            if let Some(key) = session.column(&statement).await?.first().and_then(|key| key.parse().ok()) {
                return Ok(Lock { key, session: cell });
            }
            if Instant::now() > give_up {
                return Err(held(session, database, self.patience).await);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Lets go of all locks.
    pub(crate) async fn close(&self) {
        let cell = std::mem::take(&mut *self.session.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(session) = Arc::into_inner(cell).and_then(OnceCell::into_inner) {
            session.close().await;
        }
    }

    /// The session, or the place of another where it was lost.
    fn living(&self) -> Arc<OnceCell<Session>> {
        let mut cell = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if cell.get().is_some_and(Session::is_closed) {
            *cell = Arc::default();
        }
        cell.clone()
    }
}

impl Lock {
    /// Goes on, or ends the work on the tenant because its lock is lost.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.session.get() {
            Some(session) if session.is_closed() => {
                Err(Failure::new(FailureKind::LockLost, "the session that held the locks was lost")
                    .hint("the server may have restarted; run it again to finish"))
            }
            _ => Ok(()),
        }
    }

    /// Lets go of it.
    pub(crate) async fn release(self) {
        if let Some(session) = self.session.get() {
            let statement = format!("SELECT pg_advisory_unlock({TENANT_LOCKS}, {})", self.key);
            if let Err(failure) = session.run(&[Statement::labelled(statement, "unlock")]).await {
                tracing::debug!(%failure, "the lock went with its session");
            }
        }
    }
}

/// Says who holds a tenant.
async fn held(session: &Session, database: &str, patience: Duration) -> Failure {
    let holders = session
        .query(
            "SELECT a.application_name FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid) \
             WHERE l.locktype = 'advisory' AND l.granted AND l.classid = $1 \
             AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
             AND l.objid = (hashtext($2)::bigint & 4294967295)::oid",
            &[&u32::try_from(TENANT_LOCKS).unwrap_or_default(), &database],
        )
        .await;
    let holder = holders
        .ok()
        .and_then(|rows| rows.first().map(|row| row.get::<_, String>(0)))
        .unwrap_or_else(|| "another tenantdb".to_owned());
    let seconds = patience.as_secs();
    Failure::new(FailureKind::Held, format!("{holder} has been working on database {database} for {seconds} s"))
        .hint("wait until it is done, or end its session on the server, and run it again")
}
