//! From the declaration of a server to a pass over it.

use std::sync::Arc;

use kube::Client;
use tenantdb_api::DatabaseServer;
use tenantdb_api::database_server::SourceKind;
use tenantdb_core::{Address, Endpoint, Failure, FailureKind, Interrupt, Pass, Place};
use tenantdb_postgres::{Postgres, reach};

/// A server that can be asked.
#[derive(Clone)]
pub(crate) struct Connected {
    pub(crate) pass: Arc<Pass<Postgres>>,
    /// Where it listens.
    pub(crate) address: Address,
    /// What applications are told.
    pub(crate) endpoint: Endpoint,
    /// The administrator's login, which no tenant may have.
    pub(crate) admin: String,
}

/// Reads what a declaration refers to, and prepares the connection; nothing is asked of the server yet.
pub(crate) async fn connect(
    client: &Client,
    server: &DatabaseServer,
    place: Arc<dyn Place>,
    interrupt: &Interrupt,
) -> Result<Connected, Failure> {
    let SourceKind::Endpoint(endpoint) = server.source() else {
        let message = format!("server {}: `source.local` is the command line's", server.metadata.name);
        return Err(Failure::new(FailureKind::Rejected, message).hint("declare an `endpoint`"));
    };
    let address = Address { host: endpoint.host.clone(), port: endpoint.port };
    let admin = reach::admin_login(server, |from| tenantdb_kubernetes::read_password(client, from)).await?;
    let authority = authority(server)?;
    let tls = reach::tls(server, authority.as_deref().map(str::as_bytes)).map_err(|why| wrong_tls(server, &why))?;
    let endpoint = reach::endpoint(server, &address, authority);
    let budget = usize::try_from(server.spec.limits.connections).unwrap_or(8);
    let username = admin.username.clone();
    let engine = Postgres::new(server.metadata.name.clone(), address.clone(), tls, admin, budget);
    let pass = Pass {
        workers: engine.workers(),
        engine: Arc::new(engine),
        place,
        new_password: tenantdb_credentials::generate,
        writer: tenantdb_core::writer(),
        interrupt: interrupt.clone(),
    };
    Ok(Connected { pass: Arc::new(pass), address, endpoint, admin: username })
}

fn wrong_tls(server: &DatabaseServer, why: &str) -> Failure {
    let message = format!("server {}: {why}", server.metadata.name);
    Failure::new(FailureKind::Rejected, message).hint("see `tls.caFrom` of the DatabaseServer")
}

/// The certificates that may have signed the server's.
fn authority(server: &DatabaseServer) -> Result<Option<String>, Failure> {
    let Some(from) = server.spec.tls.as_ref().and_then(|tls| tls.ca_from.as_ref()) else { return Ok(None) };
    let read = std::fs::read_to_string(&from.file);
    read.map(Some).map_err(|error| wrong_tls(server, &format!("can't read {}: {error}", from.file.display())))
}
