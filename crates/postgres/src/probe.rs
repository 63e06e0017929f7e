//! Whether a credential logs in, wherever applications will use it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tenantdb_core::{Address, Condition, Delivery, Endpoint, Failure, FailureKind, Login};

use crate::connect::Connections;
use crate::notes;

/// What to do about a tenant's login that the server does not let in.
const TENANT_REFUSED: &str =
    "see that the server's pg_hba.conf lets the tenants' logins in, and run it again to finish";

/// What to do about one that is let in at the server and refused at another endpoint.
const PUBLISHED_REFUSED: &str =
    "see that `publish` names the same server, and that what answers there knows its logins; run it again to finish";

/// How often a replica is asked that does not know a login yet, and how long between: five seconds in all.
const REPLICA_TRIES: usize = 25;
const REPLICA_PAUSE: Duration = Duration::from_millis(200);

/// The endpoints that were not reached before: they are not waited for again.
#[derive(Default)]
pub(crate) struct Probes {
    unreachable: Mutex<BTreeMap<Address, String>>,
}

impl Probes {
    /// Logs in at the server itself and at each other endpoint that applications are told.
    pub(crate) async fn everywhere(
        &self,
        connections: &Connections,
        delivery: &Delivery,
        login: &Login,
    ) -> Result<Vec<Condition>, Failure> {
        let source = connections.address();
        let mut conditions = Vec::new();
        match probe(connections, source, delivery, login).await {
            Ok(()) => {}
            // The limit is looked at after the password.
            Err(failure) if is_full(&failure) => {
                let message = format!("its password was accepted, and {}: more could not be seen", failure.message);
                conditions.push(Condition { kind: &notes::LOGIN_UNPROVED, message });
            }
            Err(failure) if failure.kind == FailureKind::LoginRefused => return Err(failure.hint(TENANT_REFUSED)),
            Err(failure) => return Err(failure),
        }
        let Endpoint { address, direct, read_only, .. } = &delivery.endpoint;
        let replicas = read_only.as_ref().map(|address| (address, REPLICA_TRIES));
        let others = std::iter::once(address).chain(direct).map(|address| (address, 1)).chain(replicas);
        for (address, tries) in others.filter(|(address, _)| *address != source) {
            if let Err(why) = self.at(connections, address, delivery, login, tries).await? {
                let message = format!("it could not be tried at {address}, which applications are told: {why}");
                conditions.push(Condition { kind: &notes::ENDPOINT_UNPROVED, message });
            }
        }
        Ok(conditions)
    }

    /// Logs in at an endpoint; the inner error is why it can't be reached.
    async fn at(
        &self,
        connections: &Connections,
        address: &Address,
        delivery: &Delivery,
        login: &Login,
        tries: usize,
    ) -> Result<Result<(), String>, Failure> {
        if let Some(why) = self.known().get(address) {
            return Ok(Err(why.clone()));
        }
        let mut left = tries;
        loop {
            left -= 1;
            let failure = match probe(connections, address, delivery, login).await {
                Ok(()) => return Ok(Ok(())),
                Err(failure) => failure,
            };
            match failure.kind {
                _ if is_full(&failure) => return Ok(Ok(())),
                FailureKind::Unreachable => {
                    self.known().insert(address.clone(), failure.to_string());
                    return Ok(Err(failure.to_string()));
                }
                _ if left > 0 => tokio::time::sleep(REPLICA_PAUSE).await,
                _ => return Err(failure.within(format!("at {address}")).hint(PUBLISHED_REFUSED)),
            }
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<Address, String>> {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a login is kept out because all sessions that it, or its database, may have are there: 53300 for one of the
/// two, and not for the whole server (PostgreSQL's `InitPostgres` looks at both after the authentication).
fn is_full(failure: &Failure) -> bool {
    failure.has_code("53300") && ["for role", "for database"].iter().any(|whose| failure.message.contains(whose))
}

/// Logs in and sees who that is: a login whose SET role is missing gets in with nothing but a warning.
async fn probe(
    connections: &Connections,
    address: &Address,
    delivery: &Delivery,
    login: &Login,
) -> Result<(), Failure> {
    let session = connections.probe(address, delivery.database.as_str(), login).await?;
    let rows =
        session.query("SELECT session_user::text, current_user::text, pg_catalog.current_database()::text", &[]).await;
    session.close().await;
    let rows = rows?;
    let Some(row) = rows.first() else {
        return Err(Failure::new(FailureKind::Rejected, "the login says nothing of itself"));
    };
    let (session_user, current_user, database): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
    let Delivery { database: wanted, acts_as, .. } = delivery;
    let acting = acts_as.as_ref().unwrap_or(&login.username).as_str();
    if session_user == login.username.as_str() && current_user == acting && database == wanted.as_str() {
        return Ok(());
    }
    let message = format!("the login {} is {current_user} in database {database}", login.username);
    Err(Failure::new(FailureKind::Rejected, message).hint("run it again with --refresh"))
}
