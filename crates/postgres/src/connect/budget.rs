//! All sessions with one server, within its budget of connections.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenantdb_core::reach::{AdminLogin, Tls, Way};
use tenantdb_core::{Address, Failure, FailureKind, Login, Password, Writer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::error::SqlState;

use super::{Session, Speaker};
use crate::observe::Shared;
use crate::trap::Trap;
use crate::{LEDGER, sql};

/// How long to wait the first time, and twice as long each time after, for a server that has no connection free: it
/// counts a session that was closed until its process has ended (measured: some milliseconds).
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest wait; about a second in all.
const LAST_PAUSE: Duration = Duration::from_millis(640);

/// Opens sessions, never more at a time than the budget allows.
///
/// The budget has three parts, so that nobody who holds one part waits for another: one session holds the locks, some
/// stay with the ledger, the others come and go in the tenants' databases.
pub(crate) struct Connections {
    address: Address,
    tls: Tls,
    admin: AdminLogin,
    writer: Writer,
    ledger: Arc<Semaphore>,
    visits: Arc<Semaphore>,
    /// One visit less, if that leaves any: a script takes as long as its author likes.
    scripts: Arc<Semaphore>,
    idle: Mutex<Vec<Session>>,
    /// The session of the last look, whose caches the next one finds warm. It counts as a visit, and makes way for others.
    resting: Mutex<Option<Session>>,
    sorted_otherwise: Mutex<BTreeSet<String>>,
    traps: Mutex<BTreeMap<String, Trap>>,
}

/// A session with the ledger, which goes back to the others when it is let go.
pub(crate) struct LedgerSession<'a> {
    connections: &'a Connections,
    session: Option<Session>,
    _turn: OwnedSemaphorePermit,
}

impl Connections {
    /// Connections to a server; `budget` is how many there may be at a time, at least 3.
    pub(crate) fn new(Way { address, tls, admin }: Way, budget: usize, writer: Writer) -> Self {
        let shared = budget.max(3) - 1;
        let ledger = shared.div_ceil(2);
        let visits = shared - ledger;
        Self {
            address,
            tls,
            admin,
            writer,
            ledger: Arc::new(Semaphore::new(ledger)),
            visits: Arc::new(Semaphore::new(visits)),
            scripts: Arc::new(Semaphore::new((visits - 1).max(1))),
            idle: Mutex::default(),
            resting: Mutex::default(),
            sorted_otherwise: Mutex::default(),
            traps: Mutex::default(),
        }
    }

    /// How many tenants can be in hand without waiting for connections.
    pub(crate) fn workers(&self) -> usize {
        self.ledger.available_permits() + self.visits.available_permits()
    }

    /// The administrator's login.
    pub(crate) fn admin(&self) -> &AdminLogin {
        &self.admin
    }

    /// The databases seen so far that were made when the system sorted text otherwise.
    pub(crate) fn sorted_otherwise(&self) -> BTreeSet<String> {
        self.sorted_otherwise.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How the way to the server is protected.
    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Where the server is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// A session as the administrator's own login, in the maintenance database.
    pub(crate) async fn maintenance(&self) -> Result<Session, Failure> {
        let permit = self.turn_to_visit().await;
        let database = &self.admin.maintenance_database;
        let opened = self.open(database, Speaker::Admin, Some(permit)).await;
        opened.map_err(|failure| {
            if !failure.has_code("42501") {
                return failure;
            }
            let grant =
                format!("GRANT CONNECT ON DATABASE {} TO {}", sql::name(database), sql::name(&self.admin.username));
            failure.hint(format!("as a superuser run: {grant}; or name another in `admin.maintenanceDatabase`"))
        })
    }

    /// A session of the same kind to look from, that of the last look if it is still there.
    pub(crate) async fn lookout(&self) -> Result<Session, Failure> {
        let resting = self.resting().take().filter(|session| !session.is_closed());
        if let Some(session) = resting { Ok(session) } else { self.maintenance().await }
    }

    /// Keeps it for the next look.
    pub(crate) fn rest(&self, session: Session) {
        *self.resting() = Some(session);
    }

    fn resting(&self) -> std::sync::MutexGuard<'_, Option<Session>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a visit's part of the budget.
    async fn turn_to_visit(&self) -> OwnedSemaphorePermit {
        if self.visits.available_permits() == 0 {
            let resting = self.resting().take();
            if let Some(session) = resting {
                session.close().await;
            }
        }
        turn(&self.visits).await
    }

    /// Sees that the server itself answers, where one of its databases does not: a session that holds a lock on a
    /// database keeps new ones waiting.
    pub(crate) async fn answers(&self) -> Result<(), Failure> {
        self.maintenance().await?.close().await;
        Ok(())
    }

    /// The session that holds the locks; it counts on its own.
    pub(crate) async fn locks(&self) -> Result<Session, Failure> {
        self.open(LEDGER, Speaker::Estate, None).await
    }

    /// A session with the ledger, an idle one if there is one.
    pub(crate) async fn ledger(&self) -> Result<LedgerSession<'_>, Failure> {
        let turn = turn(&self.ledger).await;
        let idle = self.idle().pop().filter(|session| !session.is_closed());
        let session = match idle {
            Some(session) => session,
            None => self.open(LEDGER, Speaker::Estate, None).await?,
        };
        Ok(LedgerSession { connections: self, session: Some(session), _turn: turn })
    }

    /// Enters no database any more as the administrator where the login alone would run what others wrote.
    pub(crate) fn beware(&self, shared: &Shared) {
        let traps = shared.databases.keys().filter_map(|name| Some((name.clone(), Trap::at_login(shared, name)?)));
        *self.traps.lock().unwrap_or_else(PoisonError::into_inner) = traps.collect();
    }

    fn check(&self, database: &str) -> Result<(), Failure> {
        match self.traps.lock().unwrap_or_else(PoisonError::into_inner).get(database) {
            Some(trap) => Err(trap.failure()),
            None => Ok(()),
        }
    }

    /// A session as the estate in a tenant's database.
    pub(crate) async fn visit(&self, database: &str) -> Result<Session, Failure> {
        self.check(database)?;
        let permit = self.turn_to_visit().await;
        self.open(database, Speaker::Estate, Some(permit)).await
    }

    /// A session as the administrator's own login in somebody's database.
    pub(crate) async fn visit_as_login(&self, database: &str) -> Result<Session, Failure> {
        self.check(database)?;
        let permit = self.turn_to_visit().await;
        self.open(database, Speaker::Admin, Some(permit)).await
    }

    /// A session as a tenant's login that is tried, wherever it is let in.
    pub(crate) async fn probe(&self, address: &Address, database: &str, login: &Login) -> Result<Session, Failure> {
        let speaker = if *address == self.address { Speaker::Probe } else { Speaker::Through };
        self.login(address, database, login, speaker).await
    }

    /// Waits until a script may run, until it is dropped.
    pub(crate) async fn turn_to_run_a_script(&self) -> OwnedSemaphorePermit {
        turn(&self.scripts).await
    }

    /// A session as a tenant's login, for what has to run as the tenant.
    pub(crate) async fn work_as(&self, database: &str, login: &Login) -> Result<Session, Failure> {
        self.login(&self.address, database, login, Speaker::Tenant).await
    }

    async fn login(
        &self,
        address: &Address,
        database: &str,
        login: &Login,
        speaker: Speaker,
    ) -> Result<Session, Failure> {
        let Login { username, password: Some(password) } = login else {
            return Err(Failure::new(FailureKind::Rejected, format!("the login {} has no password", login.username)));
        };
        let permit = self.turn_to_visit().await;
        self.open_as(address, username.as_str(), password, database, speaker, Some(permit)).await
    }

    /// Whether the server lets a tenant's login in.
    pub(crate) async fn lets_in(&self, database: &str, login: &Login) -> Result<bool, Failure> {
        is_let_in(self.probe(&self.address, database, login).await).await
    }

    /// Whether the server lets another administrator's login in.
    pub(crate) async fn lets_admin_in(&self, admin: &AdminLogin) -> Result<bool, Failure> {
        let permit = self.turn_to_visit().await;
        let AdminLogin { username, password, maintenance_database: database, .. } = admin;
        let opened = self.open_as(&self.address, username, password, database, Speaker::Probe, Some(permit)).await;
        // Only a wrong password is one: what pg_hba.conf keeps out is not let in by another.
        match opened {
            Err(failure) if failure.kind == FailureKind::LoginRefused && !failure.has_code("28P01") => Err(failure),
            opened => is_let_in(opened).await,
        }
    }

    /// Closes the idle sessions.
    pub(crate) async fn close_idle(&self) {
        let (idle, resting) = (std::mem::take(&mut *self.idle()), self.resting().take());
        for session in idle.into_iter().chain(resting) {
            session.close().await;
        }
    }

    async fn open(
        &self,
        database: &str,
        speaker: Speaker,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<Session, Failure> {
        self.open_as(&self.address, &self.admin.username, &self.admin.password, database, speaker, permit).await
    }

    async fn open_as(
        &self,
        address: &Address,
        user: &str,
        password: &Password,
        database: &str,
        speaker: Speaker,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<Session, Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            match Session::open(address, &self.tls, user, password, database, speaker, &self.writer).await {
                Ok(session) => {
                    if session.sorts_otherwise() {
                        let mut databases = self.sorted_otherwise.lock().unwrap_or_else(PoisonError::into_inner);
                        databases.insert(database.to_owned());
                    }
                    return Ok(session.in_turn(permit));
                }
                Err(failure) if is_crowded(&failure) && pause <= LAST_PAUSE => tokio::time::sleep(pause).await,
                Err(failure) => return Err(failure),
            }
            pause *= 2;
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::ops::Deref for LedgerSession<'_> {
    type Target = Session;
    fn deref(&self) -> &Session {
        self.session.as_ref().expect("a session until it is dropped")
    }
}

impl Drop for LedgerSession<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take().filter(|session| !session.is_closed()) {
            self.connections.idle().push(session);
        }
    }
}

async fn is_let_in(opened: Result<Session, Failure>) -> Result<bool, Failure> {
    match opened {
        Ok(session) => {
            session.close().await;
            Ok(true)
        }
        Err(failure) if failure.kind == FailureKind::LoginRefused => Ok(false),
        // Whatever else keeps it out (a limit that is reached, a database that is closed) is not the password's fault.
        Err(failure) if failure.kind == FailureKind::Rejected => Ok(true),
        Err(failure) => Err(failure),
    }
}

fn is_crowded(failure: &Failure) -> bool {
    failure.code.as_deref() == Some(SqlState::TOO_MANY_CONNECTIONS.code())
}

async fn turn(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    semaphore.clone().acquire_owned().await.expect("the budget is never closed")
}
