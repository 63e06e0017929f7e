//! What the commands take that are about a delivered credential.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use tenantdb_api::Namespace;

use super::shared::{CredentialsFolder, DeclaredName, Output, SubjectArguments};

/// What a credential was delivered for, here or in a cluster.
#[derive(Debug, Args)]
pub struct CredentialOf {
    #[command(flatten)]
    pub subject: SubjectArguments,
    /// Read it from the Secret in the cluster of this context of the kubeconfig
    #[arg(long, value_name = "NAME", conflicts_with = "credentials")]
    pub context: Option<String>,
    #[command(flatten)]
    pub place: CredentialsFolder,
}

/// What `credentials` takes.
#[derive(Debug, Args)]
pub struct CredentialsArguments {
    #[command(flatten)]
    pub of: CredentialOf,
    /// `env`: KEY='value' lines for a shell; `uri`: the connection URI alone; `json`: one object of all keys
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = CredentialFormat::Env)]
    pub format: CredentialFormat,
}

/// How a credential is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CredentialFormat {
    /// `KEY='value'` lines of the keys that a shell can take
    Env,
    /// The connection URI alone
    Uri,
    /// One flat object of all keys
    Json,
}

/// What `connect` takes.
#[derive(Debug, Args)]
pub struct ConnectArguments {
    #[command(flatten)]
    pub of: CredentialOf,
    /// What psql is given, behind `--`
    #[arg(last = true, value_name = "PSQL ARGUMENT")]
    pub arguments: Vec<OsString>,
}

/// What `exec` takes.
#[derive(Debug, Args)]
pub struct ExecArguments {
    #[command(flatten)]
    pub of: CredentialOf,
    /// The command and its arguments, behind `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// What `rotate` takes.
#[derive(Debug, Args)]
pub struct RotateArguments {
    /// The names that the databases are declared by
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<DeclaredName>,
    /// Their namespace
    #[arg(short, long, default_value = "default")]
    pub namespace: Namespace,
    /// Take the login from before the adoption away; nothing else is supported yet
    #[arg(long)]
    pub retire: bool,
    /// Consent to it
    #[arg(short = 'y', long)]
    pub yes: bool,
    #[command(flatten)]
    pub place: CredentialsFolder,
    /// `text`, or `json` in a documented shape
    #[arg(short, long, value_enum, hide_possible_values = true, value_name = "FORMAT", default_value_t)]
    pub output: Output,
}
