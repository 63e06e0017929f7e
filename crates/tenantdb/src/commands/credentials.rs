//! `tenantdb credentials`.

use tenantdb_api::{Namespace, ObjectName, did_you_mean};
use tenantdb_core::{Failure, FailureKind};
use tenantdb_credentials::environment;
use tenantdb_credentials::stores::file::Found;

use super::{Context, print};
use crate::arguments::{CredentialFormat, CredentialsArguments};
use crate::error::{Error, Exit};
use crate::output::json;

/// Prints the credential that was delivered for a database; asks no server.
pub fn run(context: &Context, arguments: &CredentialsArguments) -> Result<Exit, Error> {
    let CredentialsArguments { name, namespace, format, .. } = arguments;
    let Found { path, document, .. } = find(context, namespace, name)?;
    let text = match format {
        CredentialFormat::Json => json::text(&document.to_json())? + "\n",
        CredentialFormat::Uri => match document.uri() {
            Some(uri) => format!("{uri}\n"),
            None => {
                return Err(Error::input(
                    format!("{} holds no URI", path.display()),
                    "add the format `default` or `env` to its declaration",
                ));
            }
        },
        CredentialFormat::Env => {
            environment::variables(&document).map(|(key, value)| environment::assignment(key, value) + "\n").collect()
        }
    };
    print(text.as_bytes())
}

/// The credential that was delivered for a database.
pub(super) fn find(context: &Context, namespace: &Namespace, name: &ObjectName) -> Result<Found, Error> {
    let place = context.home.place()?;
    let Some(found) = place.find(namespace, name).map_err(Failure::from)? else {
        let known = place.names(namespace).map_err(Failure::from)?;
        let hint = if known.contains(name) {
            "its delivery broke off; `tenantdb apply` with its declaration finishes it".to_owned()
        } else {
            let otherwise = "`tenantdb status` shows where each one was delivered; -n names another namespace";
            did_you_mean(name.as_str(), known.iter().map(ObjectName::as_str), otherwise)
        };
        let message =
            format!("no credential of {namespace}/{name} was delivered to {}", context.home.delivers_to().display());
        return Err(Error::input(message, hint));
    };
    if found.document.iter().next().is_none() {
        let message = format!("{} holds no credential any more", found.path.display());
        let hint = "`tenantdb apply` with its declaration delivers a new one";
        return Err(Failure::new(FailureKind::Rejected, message).hint(hint).into());
    }
    Ok(found)
}
