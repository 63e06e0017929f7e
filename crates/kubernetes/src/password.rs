//! A password where a declaration says that it is.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tenantdb_api::database_server::{PasswordSource, SecretKeyReference};
use tenantdb_core::{Password, reach};

/// Reads a password from a variable of the environment, a file or a Secret.
///
/// # Errors
/// Why it is not there.
pub async fn read_password(client: &Client, from: &PasswordSource) -> Result<Password, String> {
    match &from.secret {
        Some(reference) => read_secret(client, reference).await,
        None => reach::read_password(from),
    }
}

/// Where a password is, for people.
pub(crate) fn location(SecretKeyReference { namespace, name, .. }: &SecretKeyReference) -> String {
    namespace.as_ref().map_or_else(|| format!("Secret {name}"), |namespace| format!("Secret {namespace}/{name}"))
}

async fn read_secret(client: &Client, reference: &SecretKeyReference) -> Result<Password, String> {
    let SecretKeyReference { namespace, name, key } = reference;
    let location = location(reference);
    let namespace = namespace.as_ref().ok_or_else(|| format!("{location}: no namespace is given"))?;
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace.as_str());
    let secret = match api.get_opt(name.as_str()).await {
        Ok(Some(secret)) => secret,
        Ok(None) => return Err(format!("there is no {location}")),
        Err(kube::Error::Api(status)) => return Err(format!("{location}: {}", status.message)),
        Err(_) => return Err(format!("{location}: the API server can't be reached")),
    };
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    let value = value.ok_or_else(|| format!("{location} has no key `{key}`"))?;
    let place = format!("key `{key}` of {location}");
    let text = std::str::from_utf8(&value.0).map_err(|_| format!("{place} is not UTF-8"))?;
    reach::password_in(text, &place)
}
