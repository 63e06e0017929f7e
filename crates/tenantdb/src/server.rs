//! From a server's declaration to something that can be asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tenantdb_api::database_server::{PasswordSource, SourceKind, TlsMode};
use tenantdb_api::{DatabaseServer, Declared, Diagnostic, Namespace, ObjectName};
use tenantdb_core::reach::{self, AdminLogin, Sends, Tls, Way};
use tenantdb_core::{
    Address, AuditEntry, Authority, Claim, Delivered, Delivery, Depth, Endpoint, Engine, Failure, FailureKind,
    Inventory, Pass, Password, Place, Request, Vitals, Writer,
};
use tenantdb_credentials::stores::Local;
use tenantdb_local::{LocalServer, Running, State};

use crate::commands::Context;
use crate::engines::Reached;
use crate::error::Error;
use crate::home::Home;
use crate::input;
use crate::output::style;

/// A server that can be asked.
pub struct Connected<E> {
    /// The engine with its connections.
    pub pass: Arc<Pass<E>>,
    /// Where it listens.
    pub address: Address,
    /// As whom it is asked.
    pub login: String,
    /// What applications are told.
    pub endpoint: Endpoint,
    /// The ledger that the server of this name had when it was used last.
    ledger: Option<String>,
}

/// What was seen of a server of which nothing was asked.
pub struct Seen<'a, E: Engine> {
    /// The server.
    pub connected: &'a Connected<E>,
    /// What was asked: nothing.
    pub desired: E::Desired,
    /// What was seen.
    pub observed: E::Observed,
}

impl<E: Engine> Seen<'_, E> {
    /// The tenants that its ledger knows.
    pub fn inventory(&self) -> Inventory {
        E::inventory(&self.observed)
    }

    /// Whether its ledger was restored from a dump.
    pub fn is_restored(&self) -> bool {
        E::is_restored(&self.observed)
    }

    /// What it is, for people.
    pub fn version(&self) -> String {
        format!("{} {}", E::NAME, E::version(&self.observed))
    }

    /// What each tenant that its ledger knows uses.
    pub async fn vitals(&self) -> Result<BTreeMap<Claim, Vitals>, Failure> {
        self.connected.pass.engine.vitals(&self.observed).await
    }

    /// What was done to the tenants of this name.
    pub async fn history(&self, namespace: &Namespace, name: &ObjectName) -> Result<Vec<AuditEntry>, Failure> {
        self.connected.pass.engine.history(&self.observed, namespace, name).await
    }

    /// What was delivered last for each of an authority's tenants.
    pub fn delivered(&self, of: &Authority) -> Vec<(Delivery, Delivered)> {
        E::delivered(&self.desired, &self.observed, of)
    }
}

impl<E: Engine> Connected<E> {
    /// The same server, with credentials in another place.
    #[must_use]
    pub fn delivering_to(self, place: Arc<dyn Place>) -> Self {
        let Pass { engine, new_password, writer, turns, interrupt, .. } = &*self.pass;
        let pass = Pass {
            engine: engine.clone(),
            place,
            new_password: *new_password,
            writer: writer.clone(),
            turns: turns.clone(),
            interrupt: interrupt.clone(),
        };
        Self { pass: Arc::new(pass), ..self }
    }

    /// Nothing but to look at it.
    pub fn request(&self, server: &DatabaseServer, authority: &Authority) -> Request {
        Request::to(server, authority, self.endpoint.clone())
    }

    /// Looks at the server.
    pub async fn observe(&self, desired: &E::Desired, depth: Depth) -> Result<E::Observed, Error> {
        let observed = self.pass.engine.observe(desired, depth).await?;
        self.check(&observed)?;
        Ok(observed)
    }

    /// Looks at it with nothing asked of it, answers from what was seen, and says goodbye.
    pub async fn ask<T>(
        &self,
        context: &Context,
        server: &DatabaseServer,
        answer: impl AsyncFnOnce(Seen<'_, E>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let desired = E::Desired::from(self.request(server, &input::authority(&context.home)?));
        let answered = match self.observe(&desired, Depth::Shallow).await {
            Ok(observed) => answer(Seen { connected: self, desired, observed }).await,
            Err(error) => Err(error),
        };
        self.pass.engine.close().await;
        answered
    }

    /// Checks that a name still stands for the same server: elsewhere, everything that it had would be missing.
    fn check(&self, observed: &E::Observed) -> Result<(), Error> {
        let found = E::ledger(observed);
        if self.ledger.as_deref().is_none_or(|known| Some(known) == found) {
            return Ok(());
        }
        let name = self.pass.engine.server();
        let has = if found.is_some() { "another ledger" } else { "no ledger" };
        let message = format!(
            "server {name}: {} is not the server that was used from here as {name}: it has {has}",
            self.address
        );
        let hint = format!(
            "give it another name; if its ledger was lost, or it takes the place of the earlier one for good: tenantdb \
             server forget {name}, then apply"
        );
        Err(Failure::new(FailureKind::Rejected, message).hint(hint).into())
    }
}

/// The administrator's login, as far as the declaration tells: the name that no tenant may have.
pub fn admin_name(server: &DatabaseServer) -> String {
    server.spec.admin.as_ref().map_or_else(|| tenantdb_local::ADMIN.to_owned(), |admin| admin.username.to_string())
}

/// Reaches a server; a local one is started, and made the first time.
pub async fn connect(context: &Context, server: &DatabaseServer) -> Result<Reached, Error> {
    warn_of_unverified(server);
    reach(context, server).await
}

/// Warns where nothing says how the way to a server is protected.
pub fn warn_of_unverified(server: &DatabaseServer) {
    warn_of_unverified_with(
        server,
        "set `tls: {mode: verify-full, caFrom: {file: …}}`, or `tls: {mode: disable}` on a trusted way",
    );
}

/// The same, with what to do where it is not declared in a file.
pub fn warn_of_unverified_with(server: &DatabaseServer, hint: &str) {
    if server.source() != SourceKind::Local && server.spec.tls.is_none() {
        let name = &server.metadata.name;
        style::warning(&format!("server {name}: TLS is used if the server offers it, and not verified"), hint);
    }
}

/// Reaches a server that is only asked in passing: a local one that doesn't run is let sleep.
pub async fn ask(context: &Context, server: &DatabaseServer) -> Result<Option<Reached>, Error> {
    if server.source() == SourceKind::Local {
        let state = LocalServer::new(context.home.root(), server.metadata.name.as_str())?.state()?;
        if !matches!(state, State::Running { .. }) {
            return Ok(None);
        }
    }
    reach(context, server).await.map(Some)
}

/// Starts a local server; one that runs is left alone.
pub fn start(name: &ObjectName, home: &Home) -> Result<Running, Error> {
    let server = LocalServer::new(home.root(), name.as_str())?;
    server.start_with(|| Ok(server.installation()?))
}

/// Reaches a server, and says nothing of the way there.
pub async fn reach(context: &Context, server: &DatabaseServer) -> Result<Reached, Error> {
    match server.source() {
        SourceKind::Local => {
            let running = start(&server.metadata.name, &context.home)?;
            let address = Address { host: running.host, port: running.port };
            let admin = AdminLogin {
                username: running.username,
                password: Password::new(running.password.expose_secret().to_owned()),
                maintenance_database: "postgres".to_owned(),
                sends: Sends::Verifier,
            };
            let tls = Tls::new(TlsMode::Disable, None).map_err(Error::failed)?;
            Reached::at(context, server, Way { address, tls, admin })
        }
        SourceKind::Endpoint(endpoint) => {
            let address = Address { host: endpoint.host.clone(), port: endpoint.port };
            let admin = admin_login(context, server, |_| true).await?;
            let tls = tls(server).map_err(|message| Error::input(message, TLS_HINT))?;
            Reached::at(context, server, Way { address, tls, admin })
        }
        SourceKind::Cnpg(_) | SourceKind::StackGres(_) => Err(operators_own(server)),
    }
}

/// A server that only the operator can ask where it is; no declaration in a file is one.
fn operators_own(server: &DatabaseServer) -> Error {
    let message = format!("server {}: its source is another operator's cluster", server.metadata.name);
    Error::input(message, "apply it with kubectl where `tenantdb operator` runs, or name an `endpoint`")
}

/// Reaches a server that runs somewhere as whom we like.
pub fn connect_as(context: &Context, server: &DatabaseServer, login: AdminLogin) -> Result<Reached, Error> {
    let endpoint = match server.source() {
        SourceKind::Endpoint(endpoint) => endpoint,
        SourceKind::Local => return Err(Error::failed("a local server has one login")),
        SourceKind::Cnpg(_) | SourceKind::StackGres(_) => return Err(operators_own(server)),
    };
    let address = Address { host: endpoint.host.clone(), port: endpoint.port };
    let tls = tls(server).map_err(|message| Error::input(message, TLS_HINT))?;
    Reached::at(context, server, Way { address, tls, admin: login })
}

/// The administrator that a declaration names itself, and none that an entry of its `passwordFrom` brings along.
pub async fn administrator(context: &Context, server: &DatabaseServer) -> Result<AdminLogin, Error> {
    let own = server.spec.admin.as_ref().map(|admin| &admin.username);
    admin_login(context, server, |from| from.username.is_none() || from.username.as_ref() == own).await
}

/// A superuser's login.
pub fn superuser(username: &str, from: &PasswordSource, admin: &AdminLogin) -> Result<AdminLogin, Error> {
    if username == admin.username {
        return Err(Error::input(
            format!("`admin.username` is {username}, the superuser itself"),
            "declare a login of its own for tenantdb, such as `admin_user`",
        ));
    }
    let password = reach::read_password(from).map_err(|why| {
        Error::input(
            format!("no password for the superuser {username}: {why}"),
            "set it, or name another variable with --password-env or a file with --password-file",
        )
    })?;
    Ok(AdminLogin { username: username.to_owned(), password, ..admin.clone() })
}

/// Reaches a server to look at it only. A local one that was never started is not made for that: it is `None`, and holds
/// nothing.
pub async fn look(context: &Context, server: &DatabaseServer) -> Result<Option<Reached>, Error> {
    if server.source() == SourceKind::Local
        && LocalServer::new(context.home.root(), server.metadata.name.as_str())?.state()? == State::Uninitialised
    {
        return Ok(None);
    }
    connect(context, server).await.map(Some)
}

/// What applications are told when nothing is reached yet.
pub fn unknown_endpoint<E: Engine>(server: &DatabaseServer) -> Endpoint {
    reach::endpoint(E::SCHEME, server, &nowhere(), None)
}

/// Stands for the address of a server that was never started.
fn nowhere() -> Address {
    Address { host: "127.0.0.1".to_owned(), port: 5432 }
}

/// A pass that has a place, and a server that was never started.
pub fn unconnected(context: &Context, server: &DatabaseServer) -> Result<Reached, Error> {
    let address = nowhere();
    let admin = AdminLogin {
        username: tenantdb_local::ADMIN.to_owned(),
        password: Password::new(String::new()),
        maintenance_database: "postgres".to_owned(),
        sends: Sends::Verifier,
    };
    let tls = Tls::new(TlsMode::Disable, None).map_err(Error::failed)?;
    Reached::at(context, server, Way { address, tls, admin })
}

/// A server of an engine at the end of a way.
pub fn open<E: Engine>(context: &Context, server: &DatabaseServer, way: Way) -> Result<Connected<E>, Error> {
    let authority = authority(server).map_err(|message| Error::input(message, TLS_HINT))?;
    let authority = authority.map(|pem| String::from_utf8_lossy(&pem).into_owned());
    let endpoint = reach::endpoint(E::SCHEME, server, &way.address, authority);
    let budget = usize::try_from(server.spec.limits.connections).unwrap_or(8);
    let (address, login) = (way.address.clone(), way.admin.username.clone());
    let engine = E::open(server.metadata.name.clone(), way, budget, patience()?, Writer::default());
    let pass = Pass {
        turns: engine.turns(),
        engine: Arc::new(engine),
        place: Arc::new(Local(context.home.place()?)),
        new_password: tenantdb_credentials::generate,
        writer: tenantdb_core::writer(),
        interrupt: context.interrupt.clone(),
    };
    // A name in a cluster says nothing of what was used from here by the same name.
    let ledger = if context.in_cluster { None } else { context.home.ledger_of(&server.metadata.name)? };
    Ok(Connected { pass: Arc::new(pass), address, login, endpoint, ledger })
}

/// How long to wait for someone who works on the same database, if the environment says so.
fn patience() -> Result<Option<Duration>, Error> {
    let Some(text) = std::env::var_os("TENANTDB_LOCK_TIMEOUT").filter(|text| !text.is_empty()) else { return Ok(None) };
    let seconds = text.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
        Error::input(format!("TENANTDB_LOCK_TIMEOUT is `{}`", text.display()), "give it a number of seconds")
    })?;
    Ok(Some(Duration::from_secs(seconds)))
}

/// The administrator's login, with the first password that is present of those that `counts`.
async fn admin_login(
    context: &Context,
    server: &DatabaseServer,
    counts: impl Fn(&PasswordSource) -> bool,
) -> Result<AdminLogin, Error> {
    let mut counted = server.clone();
    counted.spec.admin.iter_mut().for_each(|admin| admin.password_from.retain(&counts));
    Ok(reach::admin_login(&counted, |from| context.cluster.read_password(from)).await?)
}

/// What a declaration says of a server and this machine contradicts: a certificate that can't be read.
pub fn problem(server: &Declared<DatabaseServer>) -> Option<Diagnostic> {
    let message = tls(&server.resource).err()?;
    let message = format!("server {}: {message}", server.resource.metadata.name);
    Some(server.error("spec.tls.caFrom.file", message).hint(TLS_HINT))
}

const TLS_HINT: &str = "name a file with the PEM certificate of who signed the server's";

fn tls(server: &DatabaseServer) -> Result<Tls, String> {
    let path = authority_file(server).map_or_else(String::new, |path| format!("{}: ", path.display()));
    reach::tls(server, authority(server)?.as_deref()).map_err(|message| path + &message)
}

/// The certificates that may have signed the server's.
fn authority(server: &DatabaseServer) -> Result<Option<Vec<u8>>, String> {
    let read = |path: &PathBuf| fs::read(path).map_err(|error| format!("can't read {}: {error}", path.display()));
    authority_file(server).map(read).transpose()
}

fn authority_file(server: &DatabaseServer) -> Option<&PathBuf> {
    server.spec.tls.as_ref()?.ca_from.as_ref()?.file.as_ref()
}
