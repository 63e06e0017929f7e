//! The shapes of `-o json`. Fields are added without notice; when one goes or changes its meaning, `version` counts up.

mod plan;
mod report;
mod status;

use schemars::JsonSchema;
use serde::Serialize;
use tenantdb_core::{Claim, Failure};

pub use plan::{Plans, ServerPlan};
pub use report::{Reports, ServerReport};
pub use status::{Credential, Entry, History, Orphans, Status, Statuses};

use super::say;
use crate::error::Error;

/// The version of every shape.
const VERSION: u32 = 1;

/// What every document begins with.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Document<T> {
    /// What it is: `Plan`, `Report`, `Status`, `Orphans` or `History`.
    kind: &'static str,
    /// The version of its shape.
    version: u32,
    #[serde(flatten)]
    content: T,
}

/// What has a shape of its own.
pub trait Content: Serialize + JsonSchema {
    /// Its `kind`.
    const KIND: &'static str;
}

/// Prints a document to standard output.
///
/// # Errors
/// Never, as far as we know: what is printed are texts and numbers.
pub fn print<T: Content>(content: T) -> Result<(), Error> {
    say!("{}", text(&Document { kind: T::KIND, version: VERSION, content })?);
    Ok(())
}

/// A value as JSON that a terminal shows as it is: the upper control characters, which JSON leaves alone, are escaped.
///
/// # Errors
/// When it can't be written as JSON.
pub fn text(value: &impl Serialize) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::failed(error.to_string()))?;
    let escaped = |c: char| match c {
        '\u{7f}'..='\u{9f}' => format!("\\u{:04x}", u32::from(c)),
        _ => c.to_string(),
    };
    Ok(text.chars().map(escaped).collect())
}

/// Which database it is, or which further login or role.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantName {
    /// The kind of its declaration: `TenantDatabase` or `TenantRole`.
    pub kind: &'static str,
    /// The namespace of its declaration.
    pub namespace: String,
    /// The name of its declaration.
    pub name: String,
    /// The further login of the database that it is; nothing for the database itself.
    pub access: Option<String>,
    /// Who speaks for its declaration; empty where that is a cluster's resource.
    pub authority: String,
    /// The database; of a further login or role the one that its credential is for. Empty where a cluster's resource does
    /// not say it.
    pub database: String,
}

/// What went wrong.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What happened, and where.
    message: String,
    /// What to do next.
    hint: Option<String>,
}

impl TenantName {
    /// The name of a claim and its database.
    pub fn of(claim: &Claim, database: &str) -> Self {
        Self {
            kind: claim.kind,
            namespace: claim.namespace.to_string(),
            name: claim.name.to_string(),
            access: claim.access.as_ref().map(ToString::to_string),
            authority: claim.authority.to_string(),
            database: database.to_owned(),
        }
    }

    /// As a person names it within its namespace.
    pub fn label(&self) -> String {
        match &self.access {
            Some(access) => format!("{}:{access}", self.name),
            None if self.kind == "TenantRole" => format!("role/{}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Problem {
    fn of(failure: &Failure) -> Self {
        Self { message: failure.to_string(), hint: failure.hint.clone() }
    }

    /// What keeps a server from being asked.
    pub fn of_error(error: &Error) -> Self {
        Self { message: error.message(), hint: error.hint() }
    }
}
