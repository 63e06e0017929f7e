//! From the declaration of a server to a pass over it.

use std::collections::HashMap;
use std::sync::Arc;

use tenantdb_api::DatabaseServer;
use tenantdb_api::database_server::{
    Admin, CaReference, CaSource, ClusterReference, PasswordSource, SecretKeyReference, SourceKind, TlsMode,
    default_maintenance_database,
};
use tenantdb_core::reach::{self, AdminLogin, Sends, Tls};
use tenantdb_core::{
    Address, Condition, Endpoint, Engine, Failure, FailureKind, Interrupt, Pass, Password, Place, Writer,
};

use crate::watch::reference::{KeyOf, Reader, Reference, ReferredKind, text, waiting};
use crate::worker::sources::{self, Located, LoginSecret};

/// A server that can be asked.
pub(crate) struct Connected<E> {
    pub(crate) pass: Arc<Pass<E>>,
    pub(crate) way: Arc<Way>,
}

impl<E> Clone for Connected<E> {
    fn clone(&self) -> Self {
        Self { pass: self.pass.clone(), way: self.way.clone() }
    }
}

/// How a server is reached, once all is read that its declaration refers to.
pub(crate) struct Way {
    /// Where it listens.
    pub(crate) address: Address,
    /// What applications are told.
    pub(crate) endpoint: Endpoint,
    /// The administrator's login, which no tenant may have.
    pub(crate) admin: AdminLogin,
    mode: TlsMode,
    authority: Option<String>,
    /// What is to be known of it beside what it says itself.
    pub(crate) notes: Vec<Condition>,
}

impl Way {
    /// Reads what a declaration refers to; applications are told connection URIs of this scheme.
    ///
    /// # Errors
    /// When something is not there, or can't be used.
    pub(crate) async fn find(
        scheme: &'static str,
        reader: &mut Reader<'_>,
        server: &DatabaseServer,
    ) -> Result<Self, Failure> {
        let located = locate(reader, server).await?;
        let (mode, authority) = protection(reader, server, located.authority.as_ref()).await?;
        let admin = match &server.spec.admin {
            Some(admin) if !admin.password_from.is_empty() => declared_login(reader, server).await?,
            admin => login(reader, admin.as_ref(), located.login?).await?,
        };
        let mut endpoint = reach::endpoint(scheme, server, &located.published, authority.clone());
        if server.spec.publish.as_ref().is_none_or(|publish| publish.host.is_none()) {
            endpoint.direct = endpoint.direct.or(located.direct);
        }
        Ok(Self { address: located.address, endpoint, admin, mode, authority, notes: located.notes })
    }

    /// Whether another one leads there in the same way.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let login = |AdminLogin { username, password, maintenance_database, sends }: &AdminLogin| {
            (username.clone(), password.expose().to_owned(), maintenance_database.clone(), *sends)
        };
        login(&self.admin) == login(&other.admin)
            && (&self.address, &self.endpoint, self.mode, &self.authority, &self.notes)
                == (&other.address, &other.endpoint, other.mode, &other.authority, &other.notes)
    }

    /// Prepares the connection; nothing is asked of the server yet.
    ///
    /// # Errors
    /// When the certificates can't be used.
    pub(crate) fn connect<E: Engine>(
        self,
        server: &DatabaseServer,
        place: Arc<dyn Place>,
        identity: &str,
        interrupt: &Interrupt,
    ) -> Result<Connected<E>, Failure> {
        let tls = Tls::new(self.mode, self.authority.as_deref().map(str::as_bytes));
        let tls = tls.map_err(|why| {
            let message = format!("server {}: its certificate authority: {why}", server.metadata.name);
            Failure::new(FailureKind::Rejected, message).hint("see `tls.caFrom` of the DatabaseServer")
        })?;
        let budget = usize::try_from(server.spec.limits.connections).unwrap_or(8);
        let writer = Writer { name: identity.to_owned(), tenure: interrupt.tenure().clone() };
        let way = reach::Way { address: self.address.clone(), tls, admin: self.admin.clone() };
        let engine = E::open(server.metadata.name.clone(), way, budget, None, writer);
        let pass = Pass {
            turns: engine.turns(),
            engine: Arc::new(engine),
            place,
            new_password: tenantdb_credentials::generate,
            writer: tenantdb_core::writer(),
            interrupt: interrupt.clone(),
        };
        Ok(Connected { pass: Arc::new(pass), way: Arc::new(self) })
    }
}

/// Where a server is, as its source says.
async fn locate(reader: &mut Reader<'_>, server: &DatabaseServer) -> Result<Located, Failure> {
    let at = |kind, source: &ClusterReference| {
        let ClusterReference { namespace, cluster, endpoint: _ } = source.clone();
        Reference { kind, namespace, name: cluster }
    };
    match server.source() {
        SourceKind::Endpoint(endpoint) => {
            let address = Address { host: endpoint.host.clone(), port: endpoint.port };
            Ok(Located {
                published: address.clone(),
                address,
                direct: None,
                authority: None,
                login: Err(Failure::new(
                    FailureKind::Rejected,
                    format!("server {} has no `admin`", server.metadata.name),
                )),
                notes: Vec::new(),
            })
        }
        SourceKind::Local => {
            let message = format!("server {}: `source.local` is the command line's", server.metadata.name);
            Err(Failure::new(FailureKind::Rejected, message).hint("declare an `endpoint`"))
        }
        SourceKind::Cnpg(source) => {
            let at = at(ReferredKind::Cnpg, source);
            let cluster = reader.object(&at).await?;
            let admin = server.spec.admin.as_ref().map(|admin| admin.username.as_str());
            sources::cnpg(&cluster, &at, source, admin)
        }
        SourceKind::StackGres(source) => {
            let at = at(ReferredKind::StackGres, source);
            let cluster = reader.object(&at).await?;
            sources::stackgres(&cluster, &at, source)
        }
    }
}

/// How the connection is protected: as declared, else as well as what is known of the server's certificate allows.
async fn protection(
    reader: &mut Reader<'_>,
    server: &DatabaseServer,
    located: Option<&(KeyOf, TlsMode)>,
) -> Result<(TlsMode, Option<String>), Failure> {
    let tls = server.spec.tls.as_ref();
    let declared = tls.and_then(|tls| tls.mode);
    if let Some(from) = tls.and_then(|tls| tls.ca_from.as_ref()) {
        return Ok((declared.unwrap_or(TlsMode::VerifyFull), Some(declared_authority(reader, server, from).await?)));
    }
    let verifies = declared.is_none_or(|mode| matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull));
    match located.filter(|_| verifies) {
        Some((at, mode)) => Ok((declared.unwrap_or(*mode), Some(reader.text(at).await?))),
        None => Ok((declared.unwrap_or(TlsMode::Prefer), None)),
    }
}

/// The certificates that are declared to sign the server's.
async fn declared_authority(
    reader: &mut Reader<'_>,
    server: &DatabaseServer,
    CaSource { file, secret, config_map }: &CaSource,
) -> Result<String, Failure> {
    for (kind, from) in [(ReferredKind::Secret, secret), (ReferredKind::ConfigMap, config_map)] {
        if let Some(CaReference { namespace, name, key }) = from.clone() {
            return reader.text(&KeyOf { object: Reference { kind, namespace, name }, key }).await;
        }
    }
    let file = file.clone().unwrap_or_default();
    std::fs::read_to_string(&file).map_err(|error| {
        let message = format!("server {}: can't read {}: {error}", server.metadata.name, file.display());
        Failure::new(FailureKind::Rejected, message).hint("see `tls.caFrom` of the DatabaseServer")
    })
}

/// The login that another operator keeps in a Secret.
async fn login(reader: &mut Reader<'_>, admin: Option<&Admin>, from: LoginSecret) -> Result<AdminLogin, Failure> {
    let secret = reader.object(&from.secret).await?;
    let under = |key: &str| text(&secret, &KeyOf { object: from.secret.clone(), key: key.to_owned() });
    let username = under(from.username_key)?;
    if let Some(admin) = admin.filter(|admin| admin.username.as_str() != username) {
        return Err(waiting(
            format!("{} is the login of {username}, not of {}", from.secret, admin.username),
            "correct `admin.username`, or name the place of its password in `admin.passwordFrom`",
        ));
    }
    let password = reach::password_in(&under(from.password_key)?, &format!("{}", from.secret));
    let maintenance = admin.map_or_else(default_maintenance_database, |admin| admin.maintenance_database.clone());
    Ok(AdminLogin {
        username,
        password: password.map_err(|why| waiting(why, "it is waited for"))?,
        maintenance_database: maintenance.to_string(),
        sends: if admin.is_some_and(|admin| admin.password_passthrough) { Sends::Password } else { Sends::Verifier },
    })
}

/// What each Secret says that a server's `passwordFrom` names.
type Secrets = HashMap<SecretKeyReference, Result<Password, String>>;

/// The login with the first password that is there; a Secret that is not there may come.
async fn declared_login(reader: &mut Reader<'_>, server: &DatabaseServer) -> Result<AdminLogin, Failure> {
    let mut secrets = Secrets::new();
    let sources = server.spec.admin.iter().flat_map(|admin| &admin.password_from);
    for reference in sources.filter_map(|from| from.secret.as_ref()) {
        if !secrets.contains_key(reference) {
            let read = read_secret(reader, reference).await;
            secrets.insert(reference.clone(), read);
        }
    }
    let login = reach::admin_login(server, |from| std::future::ready(read_password(from, &secrets))).await;
    login.map_err(|failure| {
        let kind = if secrets.is_empty() { failure.kind } else { FailureKind::Waiting };
        Failure { kind, ..failure }
    })
}

async fn read_secret(reader: &mut Reader<'_>, reference: &SecretKeyReference) -> Result<Password, String> {
    let SecretKeyReference { namespace, name, key } = reference.clone();
    let namespace = namespace.ok_or_else(|| format!("Secret {name}: no namespace is given"))?;
    let at = KeyOf { object: Reference { kind: ReferredKind::Secret, namespace, name }, key };
    let text = reader.text(&at).await.map_err(|failure| failure.message)?;
    reach::password_in(&text, &format!("key `{}` of {}", at.key, at.object))
}

fn read_password(from: &PasswordSource, secrets: &Secrets) -> Result<Password, String> {
    match &from.secret {
        Some(reference) => secrets.get(reference).cloned().unwrap_or_else(|| Err("it was not read".to_owned())),
        None => reach::read_password(from),
    }
}
