//! Which cluster.

use std::error::Error;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tenantdb_api::database_server::PasswordSource;
use tenantdb_api::did_you_mean;
use tenantdb_core::{Failure, FailureKind, Password, reach};
use tokio::sync::OnceCell;

use crate::password::{location, read_password};

/// A cluster that may never be asked anything: it is looked for when it is.
pub struct Cluster {
    context: Option<String>,
    client: OnceCell<Result<Client, Failure>>,
}

impl Cluster {
    /// The cluster that a context of the kubeconfig names, else that of the current one, else the one that this runs in.
    #[must_use]
    pub fn new(context: Option<String>) -> Self {
        Self { context, client: OnceCell::new() }
    }

    /// What asks it.
    ///
    /// # Errors
    /// When there is no such cluster.
    pub async fn client(&self) -> Result<&Client, Failure> {
        let found = self.client.get_or_init(|| client(self.context.as_deref())).await;
        found.as_ref().map_err(Clone::clone)
    }

    /// Reads a password from a variable of the environment or a file, or from a Secret of the cluster.
    ///
    /// # Errors
    /// Why it is not there.
    pub async fn read_password(&self, from: &PasswordSource) -> Result<Password, String> {
        let Some(secret) = &from.secret else { return reach::read_password(from) };
        let client = self.client().await.map_err(|failure| format!("{}: {}", location(secret), failure.message))?;
        read_password(client, from).await
    }
}

/// A client of that cluster.
///
/// # Errors
/// When there is no such cluster.
pub async fn client(context: Option<&str>) -> Result<Client, Failure> {
    // Another provider may be there already; there is only one that we have.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = match context {
        Some(context) => {
            let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
            Config::from_kubeconfig(&options).await.map_err(|error| unknown(context, &error))?
        }
        // Outside of a cluster, what is wrong with the kubeconfig is what matters.
        None => Config::infer().await.map_err(|error| nowhere(error.source().unwrap_or(&error)))?,
    };
    Client::try_from(config).map_err(|error| nowhere(&error))
}

fn unknown(context: &str, error: &KubeconfigError) -> Failure {
    let known = Kubeconfig::read().map(|found| found.contexts).unwrap_or_default();
    let mut names = known.iter().map(|known| known.name.as_str());
    if known.is_empty() || names.any(|name| name == context) {
        return nowhere(error);
    }
    let names = known.iter().map(|known| known.name.as_str());
    let hint = did_you_mean(context, names, "`kubectl config get-contexts` lists them");
    Failure::new(FailureKind::Rejected, format!("the kubeconfig has no context `{context}`")).hint(hint)
}

/// What was wrong with a kubeconfig, or what a program for logins said, may show a token.
fn nowhere(error: &(dyn Error + 'static)) -> Failure {
    let said = match (error.downcast_ref(), error.downcast_ref()) {
        (Some(KubeconfigError::ReadConfig(why, path)), _) => format!("can't read {}: {why}", path.display()),
        (Some(KubeconfigError::Parse(_)), _) => "the kubeconfig can't be read as one".to_owned(),
        (_, Some(kube::Error::Auth(_))) => "the login that the kubeconfig describes failed".to_owned(),
        _ => error.to_string(),
    };
    let message = format!("there is no cluster to ask: {said}");
    Failure::new(FailureKind::Rejected, message).hint("set KUBECONFIG, or name a context of it with --context")
}
