//! What the commands take that make databases as declared, and delete and show them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tenantdb_api::Namespace;
use tenantdb_core::Authority;

use super::shared::{CredentialsFolder, DeclaredName, Files, Output, SecretsOf, SubjectArguments};

/// What `plan` takes.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct PlanArguments {
    #[command(flatten)]
    pub files: Files,
    /// End with 3 if something would change, and with 4 if something is refused
    #[arg(long)]
    pub exit_code: bool,
    /// Look into every database and try every credential, not only those that are new or changed
    #[arg(long)]
    pub refresh: bool,
    /// Also show what goes because the project declares it no more
    #[arg(long)]
    pub prune: bool,
    /// Refuse what the server's `allow` does not allow a namespace to ask for
    #[arg(long)]
    pub enforce_policy: bool,
    #[command(flatten)]
    pub place: CredentialsFolder,
    #[command(flatten)]
    pub secrets: SecretsOf,
    /// `text`; `json` in a documented shape; `sql`, a script for psql; or `markdown`, for a review
    #[arg(short, long, value_enum, hide_possible_values = true, value_name = "FORMAT", default_value_t)]
    pub output: PlanOutput,
}

/// How a plan is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanOutput {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// A script for psql.
    Sql,
    /// For the description of a change, where it is reviewed.
    Markdown,
}

/// What `apply` takes.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct ApplyArguments {
    #[command(flatten)]
    pub files: Files,
    /// Consent to steps that take access away or end sessions
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// Look into every database and try every credential, not only those that are new or changed
    #[arg(long)]
    pub refresh: bool,
    /// Also remove what the project declares no more, as the policies say that were applied last
    #[arg(long)]
    pub prune: bool,
    /// Deliver new credentials here for databases whose credential was delivered to another place
    #[arg(long)]
    pub reissue: bool,
    /// Refuse what the server's `allow` does not allow a namespace to ask for
    #[arg(long)]
    pub enforce_policy: bool,
    #[command(flatten)]
    pub place: CredentialsFolder,
    #[command(flatten)]
    pub secrets: SecretsOf,
    /// `text`, or `json` in a documented shape
    #[arg(short, long, value_enum, hide_possible_values = true, value_name = "FORMAT", default_value_t)]
    pub output: Output,
}

/// What `status` takes.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Only the database or role that is declared by this name
    pub name: Option<DeclaredName>,
    /// Only the databases of this namespace
    #[arg(short, long)]
    pub namespace: Option<Namespace>,
    /// Compare with these declarations: a file, a folder or `-`; repeatable
    #[arg(short = 'f', long = "file", value_name = "PATH")]
    pub files: Vec<PathBuf>,
    /// What the resources in the cluster of this context of the kubeconfig say; with -f, where Secrets are read
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    #[command(flatten)]
    pub place: CredentialsFolder,
    /// `text`, or `json` in a documented shape
    #[arg(short, long, value_enum, hide_possible_values = true, value_name = "FORMAT", default_value_t)]
    pub output: Output,
}

/// What `delete` takes.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["names", "files"])))]
pub struct DeleteArguments {
    /// The names that the databases are declared by; `role/NAME` for a `TenantRole`
    #[arg(value_name = "NAME")]
    pub names: Vec<DeclaredName>,
    /// Their namespace
    #[arg(short, long, default_value = "default", conflicts_with = "files")]
    pub namespace: Namespace,
    /// Delete what these files or folders declare, instead of by name; repeatable
    #[arg(short = 'f', long = "file", value_name = "PATH")]
    pub files: Vec<PathBuf>,
    /// Consent to the loss of data
    #[arg(short = 'y', long)]
    pub yes: bool,
    #[command(flatten)]
    pub place: CredentialsFolder,
    /// `text`, or `json` in a documented shape
    #[arg(short, long, value_enum, hide_possible_values = true, value_name = "FORMAT", default_value_t)]
    pub output: Output,
}

/// What `orphans` takes.
#[derive(Debug, Args)]
pub struct OrphansArguments {
    /// Remove these for good, with all their data; by the names that they were declared by; `role/NAME` for a `TenantRole`
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub purge: Vec<DeclaredName>,
    /// Their namespace
    #[arg(short, long, default_value = "default", requires = "purge")]
    pub namespace: Namespace,
    /// Whose they are, as the list tells; by default, those of this project
    #[arg(long, value_name = "AUTHORITY", requires = "purge")]
    pub of: Option<Authority>,
    /// On the servers that the cluster of this context of the kubeconfig declares
    #[arg(long, value_name = "NAME", conflicts_with_all = ["purge", "credentials"])]
    pub context: Option<String>,
    /// Consent to the loss of data
    #[arg(short = 'y', long, requires = "purge")]
    pub yes: bool,
    #[command(flatten)]
    pub place: CredentialsFolder,
    /// `text`, or `json` in a documented shape
    #[arg(short, long, value_enum, hide_possible_values = true, value_name = "FORMAT", default_value_t)]
    pub output: Output,
}

/// What `history` takes.
#[derive(Debug, Args)]
pub struct HistoryArguments {
    #[command(flatten)]
    pub subject: SubjectArguments,
    /// `text`, or `json` in a documented shape
    #[arg(short, long, value_enum, hide_possible_values = true, value_name = "FORMAT", default_value_t)]
    pub output: Output,
}
