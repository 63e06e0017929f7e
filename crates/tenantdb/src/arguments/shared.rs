//! What several commands take.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tenantdb_api::{Namespace, ObjectName};
use tenantdb_core::Subject;

/// The declarations to work on.
#[derive(Debug, Args)]
pub struct Files {
    /// A file or folder of declarations, or `-` for standard input; repeatable
    #[arg(short = 'f', long = "file", value_name = "PATH", required = true)]
    pub files: Vec<PathBuf>,
}

/// Where credentials are.
#[derive(Debug, Args)]
pub struct CredentialsFolder {
    /// Where credentials are, as FOLDER/<namespace>/<secretName>.env, instead of the home
    #[arg(long = "credentials", value_name = "FOLDER")]
    pub credentials: Option<PathBuf>,
}

/// The cluster whose Secrets are read.
#[derive(Debug, Args)]
pub struct SecretsOf {
    /// Read the Secrets that `admin.passwordFrom` names in this context of the kubeconfig, not in the current one
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// A declaration as a person names it: `NAME`, or `tdb/NAME` or `role/NAME` where a database and a role share one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredName {
    /// Its kind, if it was said.
    pub kind: Option<&'static str>,
    /// Its name.
    pub name: ObjectName,
}

impl DeclaredName {
    /// Whether it means a declaration of this kind and name.
    pub fn names(&self, kind: &str, name: &str) -> bool {
        self.kind.is_none_or(|wanted| wanted == kind) && self.name.as_str() == name
    }
}

impl std::str::FromStr for DeclaredName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once('/') {
            Some(("tdb", name)) => (Some("TenantDatabase"), name),
            Some(("role", name)) => (Some("TenantRole"), name),
            Some((other, _)) => return Err(format!("`{other}/` is no kind: `tdb/NAME` or `role/NAME`")),
            None => (None, text),
        };
        Ok(Self { kind, name: name.parse().map_err(|error: tenantdb_api::InvalidValue| error.0)? })
    }
}

/// What a credential was delivered for.
#[derive(Debug, Args)]
pub struct SubjectArguments {
    /// The name that it is declared by; `role/NAME` for a `TenantRole` where a database has the same
    pub name: DeclaredName,
    /// Its namespace
    #[arg(short, long, default_value = "default")]
    pub namespace: Namespace,
    /// The further login of that database, from its `access`
    #[arg(long, value_name = "NAME")]
    pub access: Option<ObjectName>,
}

impl SubjectArguments {
    /// What is meant.
    pub fn subject(&self) -> Subject {
        let DeclaredName { kind, name } = self.name.clone();
        Subject { kind: kind.map(str::to_owned), name, access: self.access.clone() }
    }
}

/// A length of time as a person writes it.
pub fn time(text: &str) -> Result<Duration, String> {
    let time: jiff::SignedDuration = text.parse().map_err(|_| format!("`{text}` is no time such as 15s or 1m"))?;
    Duration::try_from(time).map_err(|_| format!("`{text}` is before now"))
}
