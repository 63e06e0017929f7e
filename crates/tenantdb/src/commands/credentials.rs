//! `tenantdb credentials`.

use std::path::Path;

use tenantdb_api::{Namespace, ObjectName, did_you_mean};
use tenantdb_core::{Failure, FailureKind, Subject};
use tenantdb_credentials::stores::file::{FilePlace, Found};
use tenantdb_credentials::{Document, environment};
use tenantdb_kubernetes::Credential;

use super::{Context, print, resources};
use crate::arguments::{CredentialFormat, CredentialOf, CredentialsArguments, SubjectArguments};
use crate::error::{Error, Exit};
use crate::input;
use crate::output::json;

/// A credential that was delivered.
pub(super) struct Delivered {
    /// The server that it is for, if it may be one of ours.
    pub(super) server: Option<ObjectName>,
    /// Where it is, for people.
    location: String,
    /// What applications read.
    pub(super) document: Document,
}

/// Prints the credential that was delivered for a database; asks no server of databases.
pub async fn run(context: &Context, arguments: &CredentialsArguments) -> Result<Exit, Error> {
    let CredentialsArguments { of, format } = arguments;
    let Delivered { location, document, .. } = delivered(context, of).await?;
    let text = match format {
        CredentialFormat::Json => json::text(&document.to_json())? + "\n",
        CredentialFormat::Uri => match document.uri() {
            Some(uri) => format!("{uri}\n"),
            None => {
                return Err(Error::input(
                    format!("{location} holds no URI"),
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

/// The credential of a cluster's resource, where one is named, else the one that was delivered here.
pub(super) async fn delivered(context: &Context, of: &CredentialOf) -> Result<Delivered, Error> {
    if of.context.is_some() {
        let Credential { location, document } = resources::credential(context, &of.subject).await?;
        return Ok(Delivered { server: None, location, document });
    }
    let Found { path, server, document, .. } = find(context, &of.subject)?;
    Ok(Delivered { server: Some(server), location: path.display().to_string(), document })
}

/// The credential that was delivered for what the project declares that we are in. Outside of any project it is this
/// home's own, else the only one of that name.
fn find(context: &Context, arguments: &SubjectArguments) -> Result<Found, Error> {
    let (namespace, subject) = (&arguments.namespace, arguments.subject());
    let path = format!("{namespace}/{subject}");
    let place = context.home.place()?;
    let all = place.find(namespace, &subject).map_err(Failure::from)?;
    let project = input::project(Path::new("."))?.map(|(project, _)| project.to_string());
    let ours = match (&project, context.home.known_id()?) {
        (Some(project), _) => Some(project.clone()),
        (None, Some(id)) => Some(input::home_authority(&id)?.to_string()),
        (None, None) => None,
    };
    let others: Vec<String> = all.iter().map(|found| found.authority.clone()).collect();
    let (mut own, mut rest): (Vec<Found>, Vec<Found>) =
        all.into_iter().partition(|found| Some(&found.authority) == ours.as_ref());
    if own.len() > 1 {
        let message = format!("{path} is both a database and a role");
        return Err(Error::input(message, format!("say `tdb/{0}` or `role/{0}`", subject.name)));
    }
    let found = match (own.pop(), rest.pop()) {
        (Some(found), _) => found,
        (None, Some(found)) if project.is_none() && rest.is_empty() => found,
        (None, Some(_)) => return Err(of_another(&path, project.as_deref(), &others)),
        (None, None) => return Err(not_delivered(context, &place, namespace, &subject)?),
    };
    if found.document.iter().next().is_none() {
        let message = format!("{} holds no credential any more", found.path.display());
        let hint = "`tenantdb apply` with its declaration delivers a new one";
        return Err(Failure::new(FailureKind::Rejected, message).hint(hint).into());
    }
    Ok(found)
}

/// Other projects have one of that name: which is meant is not for us to guess.
fn of_another(path: &str, project: Option<&str>, others: &[String]) -> Error {
    let hint = if others.iter().any(|other| other.starts_with("cluster:")) {
        "--context NAME reads what the cluster has; of a project's, run it in the folder of the project that you mean"
    } else {
        "run it in the folder of the project that you mean"
    };
    let others = others.join(" and ");
    let message = match project {
        Some(project) => format!("{path} is a database of {others}, and not of {project}, where we are"),
        None => format!("{path} is a database of {others}, and we are in no project"),
    };
    Error::input(message, hint)
}

fn not_delivered(
    context: &Context,
    place: &FilePlace,
    namespace: &Namespace,
    wanted: &Subject,
) -> Result<Error, Error> {
    let known = place.subjects(namespace).map_err(Failure::from)?;
    let of_kind = |known: &&Subject| wanted.kind.is_none() || known.kind == wanted.kind;
    let known: Vec<&Subject> = known.iter().filter(of_kind).collect();
    let same = |known: &&&Subject| known.name == wanted.name;
    let begun = known.iter().filter(same).any(|known| known.access == wanted.access);
    let further: Vec<String> =
        known.iter().filter(same).filter_map(|known| Some(known.access.as_ref()?.to_string())).collect();
    let hint = if begun {
        "its delivery broke off; `tenantdb apply` with its declaration finishes it".to_owned()
    } else if let (Some(access), false) = (&wanted.access, further.is_empty()) {
        did_you_mean(
            access.as_str(),
            further.iter().map(String::as_str),
            format!("its further logins are {}", further.join(", ")),
        )
    } else {
        let otherwise = "`tenantdb status` shows where each one was delivered; -n names another namespace";
        did_you_mean(wanted.name.as_str(), known.iter().map(|known| known.name.as_str()), otherwise)
    };
    let message =
        format!("no credential of {namespace}/{wanted} was delivered to {}", context.home.delivers_to().display());
    Ok(Error::input(message, hint))
}
