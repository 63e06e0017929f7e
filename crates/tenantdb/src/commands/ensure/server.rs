//! The server that a build script speaks of.

use std::path::PathBuf;

use tenantdb_api::database_server::{
    Admin, Allow, CaSource, DatabaseServerSpec, Endpoint, EngineKind, Limits, Naming, PasswordSource, ServerSource,
    TenantDefaults, Tls, TlsMode, default_maintenance_database,
};
use tenantdb_api::kinds::Origin;
use tenantdb_api::{DatabaseServer, Declared, Kind as _, ObjectMeta, ObjectName};

use super::variables::{Environment, object_name};
use crate::commands::Context;
use crate::error::Error;
use crate::input::Draft;
use crate::resolve;

/// The variable that names a declaration.
const DECLARATION: &str = "TENANTDB_SERVER";
/// Where the administrator's password is, in the order in which it is looked for.
const PASSWORDS: [&str; 2] = ["POSTGRES_ADMIN_PASSWORD", "POSTGRES_PASSWORD"];

/// The server that is declared, else the one that the variables describe.
pub async fn server(context: &Context, environment: &impl Environment) -> Result<Declared<DatabaseServer>, Error> {
    if let Some(path) = environment.get(DECLARATION)? {
        return declared(context, path.into()).await;
    }
    let server = described(environment)?;
    match server.validate(Origin::Manifest).into_iter().next() {
        Some(wrong) => Err(Error::input(wrong.message, wrong.hint.unwrap_or_default())),
        None => Ok(Declared::synthetic(server)),
    }
}

/// The name of the server that is declared, if one is.
pub async fn name(context: &Context, environment: &impl Environment) -> Result<Option<ObjectName>, Error> {
    let Some(path) = environment.get(DECLARATION)? else { return Ok(None) };
    Ok(Some(declared(context, path.into()).await?.resource.metadata.name))
}

/// The one server that a file declares, or its default.
async fn declared(context: &Context, path: PathBuf) -> Result<Declared<DatabaseServer>, Error> {
    let shown = path.display().to_string();
    let input = resolve::check(context, Draft::read(&[path], &context.home)?).await?;
    let mut servers: Vec<_> = input.servers.into_iter().filter(|server| server.is_declared).collect();
    if servers.len() > 1 {
        servers.retain(|server| server.server.resource.spec.default);
    }
    match servers.pop() {
        Some(server) if servers.is_empty() => Ok(server.server),
        _ => Err(Error::input(
            format!("{DECLARATION}: {shown} does not say which server it is"),
            "name a file that declares one DatabaseServer, or one with `default: true`",
        )),
    }
}

fn described(environment: &impl Environment) -> Result<DatabaseServer, Error> {
    let namespace = environment.get("PG_NAMESPACE")?.unwrap_or_else(|| "infra".to_owned());
    let host = environment.get("PG_HOST")?.unwrap_or_else(|| format!("postgresql.{namespace}.svc.cluster.local"));
    let port = match environment.get("PG_PORT")? {
        None => 5432,
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| Error::input(format!("PG_PORT is `{port}`"), "give it a number from 1 to 65535"))?,
    };
    let name = if port == 5432 { host.clone() } else { format!("{host}-{port}") };
    let wrong =
        |name: &str, value: &str| Error::input(format!("{name} is `{value}`"), "give it one host name or address");
    let is_one = !host.contains([',', '/', ' ', '@']);
    let name = object_name(&name).filter(|_| is_one).ok_or_else(|| wrong("PG_HOST", &host))?;
    let username = environment.get("POSTGRES_ADMIN_USER")?.unwrap_or_else(|| "admin_user".to_owned());
    let username = username
        .parse()
        .map_err(|why| Error::input(format!("POSTGRES_ADMIN_USER: {why}"), "name the administrator's login"))?;
    needs_password(environment, &namespace)?;
    let password = |name: &str| PasswordSource { env: Some(name.to_owned()), file: None, secret: None, username: None };
    Ok(DatabaseServer {
        metadata: ObjectMeta { name, namespace: None, labels: [].into(), annotations: [].into() },
        spec: DatabaseServerSpec {
            engine: EngineKind::PostgreSQL,
            default: false,
            source: ServerSource { endpoint: Some(Endpoint { host, port }), ..ServerSource::default() },
            admin: Some(Admin {
                username,
                maintenance_database: default_maintenance_database(),
                password_from: PASSWORDS.map(password).into(),
                password_passthrough: false,
            }),
            tls: tls(environment)?,
            publish: None,
            naming: Naming::default(),
            allow: Allow::default(),
            connect_for: Vec::new(),
            limits: Limits::default(),
            defaults: TenantDefaults::default(),
        },
    })
}

/// The script went on to read a Secret of the cluster.
fn needs_password(environment: &impl Environment, namespace: &str) -> Result<(), Error> {
    for name in PASSWORDS {
        // Told here, where it is the caller's, and not as what the server said.
        if environment.get(name)?.is_some() {
            return Ok(());
        }
    }
    let keys = ["admin-user-password", "postgres-password"];
    Err(Error::input(
        format!(
            "neither {} is set; reading them from the Secret {namespace}/postgresql (keys {}) is not supported yet",
            PASSWORDS.join(" nor "),
            keys.join(", ")
        ),
        format!(
            "export {}=$(kubectl -n {namespace} get secret postgresql -o jsonpath='{{.data.{}}}' | base64 -d)",
            PASSWORDS[0], keys[0]
        ),
    ))
}

/// How the way there is protected, as psql is told it.
fn tls(environment: &impl Environment) -> Result<Option<Tls>, Error> {
    let mode = match environment.get("PGSSLMODE")?.as_deref() {
        None => None,
        Some("disable") => Some(TlsMode::Disable),
        Some("prefer") => Some(TlsMode::Prefer),
        Some("require") => Some(TlsMode::Require),
        Some("verify-ca") => Some(TlsMode::VerifyCa),
        Some("verify-full") => Some(TlsMode::VerifyFull),
        Some(other) => {
            let hint = "give it disable, prefer, require, verify-ca or verify-full";
            return Err(Error::input(format!("PGSSLMODE is `{other}`"), hint));
        }
    };
    let file = environment.get("PGSSLROOTCERT")?;
    if let (Some(TlsMode::VerifyCa | TlsMode::VerifyFull), None) = (mode, &file) {
        return Err(Error::input(
            "PGSSLMODE asks to verify the server, and PGSSLROOTCERT names no certificate",
            "set PGSSLROOTCERT to a file with the certificate of who signed the server's",
        ));
    }
    let ca_from = file.map(|file| CaSource { file: Some(file.into()), ..CaSource::default() });
    Ok((mode.is_some() || ca_from.is_some()).then_some(Tls { mode, ca_from }))
}
