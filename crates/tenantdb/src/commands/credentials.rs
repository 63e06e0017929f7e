//! `tenantdb credentials`.

use std::path::Path;

use tenantdb_api::{Namespace, ObjectName, did_you_mean};
use tenantdb_core::{Failure, FailureKind};
use tenantdb_credentials::environment;
use tenantdb_credentials::stores::file::{FilePlace, Found};

use super::{Context, print};
use crate::arguments::{CredentialFormat, CredentialsArguments};
use crate::error::{Error, Exit};
use crate::input;
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

/// The credential that was delivered for a database of the project that we are in. Outside of any project it is this
/// home's own, else the only one of that name.
pub(super) fn find(context: &Context, namespace: &Namespace, name: &ObjectName) -> Result<Found, Error> {
    let place = context.home.place()?;
    let all = place.find(namespace, name).map_err(Failure::from)?;
    let project = input::project(Path::new("."))?.map(|(project, _)| project.to_string());
    let ours = match (&project, context.home.known_id()?) {
        (Some(project), _) => Some(project.clone()),
        (None, Some(id)) => Some(input::home_authority(&id)?.to_string()),
        (None, None) => None,
    };
    let others: Vec<String> = all.iter().map(|found| found.authority.clone()).collect();
    let (mut own, mut rest): (Vec<Found>, Vec<Found>) =
        all.into_iter().partition(|found| Some(&found.authority) == ours.as_ref());
    let found = match (own.pop(), rest.pop()) {
        (Some(found), _) => found,
        (None, Some(found)) if project.is_none() && rest.is_empty() => found,
        (None, Some(_)) => return Err(of_another(namespace, name, project.as_deref(), &others)),
        (None, None) => return Err(not_delivered(context, &place, namespace, name)?),
    };
    if found.document.iter().next().is_none() {
        let message = format!("{} holds no credential any more", found.path.display());
        let hint = "`tenantdb apply` with its declaration delivers a new one";
        return Err(Failure::new(FailureKind::Rejected, message).hint(hint).into());
    }
    Ok(found)
}

/// Other projects have one of that name: which is meant is not for us to guess.
fn of_another(namespace: &Namespace, name: &ObjectName, project: Option<&str>, others: &[String]) -> Error {
    let others = others.join(" and ");
    let message = match project {
        Some(project) => format!("{namespace}/{name} is a database of {others}, and not of {project}, where we are"),
        None => format!("{namespace}/{name} is a database of {others}, and we are in no project"),
    };
    Error::input(message, "run it in the folder of the project that you mean")
}

fn not_delivered(
    context: &Context,
    place: &FilePlace,
    namespace: &Namespace,
    name: &ObjectName,
) -> Result<Error, Error> {
    let known = place.names(namespace).map_err(Failure::from)?;
    let hint = if known.contains(name) {
        "its delivery broke off; `tenantdb apply` with its declaration finishes it".to_owned()
    } else {
        let otherwise = "`tenantdb status` shows where each one was delivered; -n names another namespace";
        did_you_mean(name.as_str(), known.iter().map(ObjectName::as_str), otherwise)
    };
    let message =
        format!("no credential of {namespace}/{name} was delivered to {}", context.home.delivers_to().display());
    Ok(Error::input(message, hint))
}
