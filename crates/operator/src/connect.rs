//! From the declaration of a server to a pass over it.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tenantdb_api::DatabaseServer;
use tenantdb_api::database_server::{PasswordSource, SecretKeyReference, SourceKind};
use tenantdb_core::{Address, Endpoint, Failure, FailureKind, Interrupt, Pass, Password, Place};
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
    let secrets = passwords(client, server).await;
    let admin = reach::admin_login(server, |from| read_password(from, &secrets))?;
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

/// What each Secret says that a server's `passwordFrom` names.
type Secrets = HashMap<SecretKeyReference, Result<Password, String>>;

async fn passwords(client: &Client, server: &DatabaseServer) -> Secrets {
    let mut found = Secrets::new();
    let sources = server.spec.admin.iter().flat_map(|admin| &admin.password_from);
    for reference in sources.filter_map(|from| from.secret.as_ref()) {
        if !found.contains_key(reference) {
            found.insert(reference.clone(), read_secret(client, reference).await);
        }
    }
    found
}

async fn read_secret(client: &Client, reference: &SecretKeyReference) -> Result<Password, String> {
    let SecretKeyReference { namespace, name, key } = reference;
    let namespace = namespace.as_ref().ok_or_else(|| format!("Secret {name}: no namespace is given"))?;
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace.as_str());
    let secret = match api.get_opt(name.as_str()).await {
        Ok(Some(secret)) => secret,
        Ok(None) => return Err(format!("there is no Secret {namespace}/{name}")),
        Err(kube::Error::Api(status)) => return Err(format!("Secret {namespace}/{name}: {}", status.message)),
        Err(_) => return Err(format!("Secret {namespace}/{name}: the API server can't be reached")),
    };
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    let value = value.ok_or_else(|| format!("Secret {namespace}/{name} has no key `{key}`"))?;
    let place = format!("key `{key}` of Secret {namespace}/{name}");
    let text = std::str::from_utf8(&value.0).map_err(|_| format!("{place} is not UTF-8"))?;
    reach::password_in(text, &place)
}

fn read_password(from: &PasswordSource, secrets: &Secrets) -> Result<Password, String> {
    match &from.secret {
        Some(reference) => secrets.get(reference).cloned().unwrap_or_else(|| Err("it was not read".to_owned())),
        None => reach::read_password(from),
    }
}

/// The certificates that may have signed the server's.
fn authority(server: &DatabaseServer) -> Result<Option<String>, Failure> {
    let Some(from) = server.spec.tls.as_ref().and_then(|tls| tls.ca_from.as_ref()) else { return Ok(None) };
    let read = std::fs::read_to_string(&from.file);
    read.map(Some).map_err(|error| wrong_tls(server, &format!("can't read {}: {error}", from.file.display())))
}
