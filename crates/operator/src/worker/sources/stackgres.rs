//! StackGres (`stackgres.io/v1`, as of 1.18).

use kube::api::DynamicObject;
use serde::Deserialize;
use tenantdb_api::database_server::{ClusterReference, TlsMode};
use tenantdb_core::{Address, Failure};

use super::{Located, LoginSecret, fields, host, reached_at, secret};
use crate::watch::reference::{KeyOf, Reference, waiting};

/// Where its primary Service leads to the pooler, which applications use.
const POOLER: u16 = 5432;

/// Where the same Service leads to PostgreSQL itself.
const SERVER: u16 = 5433;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    postgres: Postgres,
    postgres_services: Services,
    configurations: Configurations,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Postgres {
    ssl: Ssl,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Ssl {
    enabled: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Services {
    primary: Service,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Service {
    enabled: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Configurations {
    patroni: Patroni,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Patroni {
    initial_config: InitialConfig,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InitialConfig {
    scope: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    pod_statuses: Vec<Pod>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    primary: bool,
}

/// Where a cluster's server is.
///
/// # Errors
/// When it has no primary yet, or no Service leads there.
pub(crate) fn locate(cluster: &DynamicObject, at: &Reference, source: &ClusterReference) -> Result<Located, Failure> {
    let (spec, status): (Spec, Status) = fields(cluster, at)?;
    if !status.pod_statuses.iter().any(|pod| pod.primary) {
        return Err(waiting(format!("{at} has no primary yet"), "it is waited for; see `kubectl describe`"));
    }
    if spec.postgres_services.primary.enabled == Some(false) {
        let message = format!("{at} has no Service that leads to its primary");
        return Err(waiting(message, "set `postgresServices.primary.enabled: true` there"));
    }
    let service = spec.configurations.patroni.initial_config.scope.unwrap_or_else(|| at.name.to_string());
    let on = |port| Address { host: host(&service, &at.namespace), port };
    // Its own certificate is for the name `stackgres`, and signed by itself: it proves itself, and no host.
    let certificate = KeyOf { object: secret(at, &format!("{}-ssl", at.name))?, key: "tls.crt".to_owned() };
    let is_encrypted = spec.postgres.ssl.enabled != Some(false);
    let login = LoginSecret {
        secret: secret(at, at.name.as_str())?,
        username_key: "superuser-username",
        password_key: "superuser-password",
    };
    Ok(Located {
        address: reached_at(source, &on(SERVER)),
        published: on(POOLER),
        direct: Some(on(SERVER)),
        authority: is_encrypted.then_some((certificate, TlsMode::VerifyCa)),
        login: Ok(login),
        notes: Vec::new(),
    })
}

#[cfg(test)]
#[path = "stackgres_tests.rs"]
mod tests;
