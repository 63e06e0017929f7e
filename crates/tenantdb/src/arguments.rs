//! What the command line takes.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tenantdb_api::{Namespace, ObjectName};

/// A database for every service, from one declaration.
///
/// tenantdb creates, isolates and keeps a PostgreSQL database for each of your services, and puts its credential where
/// the service reads it.
#[derive(Debug, Parser)]
#[command(name = "tenantdb", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what would change and why; touches nothing
    Plan(PlanArguments),
    /// Make it so
    Apply(ApplyArguments),
    /// Show each database and how it is
    Status(StatusArguments),
    /// Print the credential that was delivered for a database
    Credentials(CredentialsArguments),
    /// Delete databases, as their recorded policies say; protected ones are refused
    Delete(DeleteArguments),
    /// Start, stop and list servers of your own
    #[command(subcommand)]
    Server(ServerCommand),
}

/// The declarations to work on.
#[derive(Debug, Args)]
pub struct Files {
    /// A file or folder of declarations, or `-` for standard input; may be given several times
    #[arg(short = 'f', long = "file", value_name = "PATH", required = true)]
    pub files: Vec<PathBuf>,
}

/// What `plan` takes.
#[derive(Debug, Args)]
pub struct PlanArguments {
    #[command(flatten)]
    pub files: Files,
    /// End with 3 when something would change
    #[arg(long)]
    pub exit_code: bool,
    /// Look into every database and try every credential, not only what is new or changed
    #[arg(long)]
    pub refresh: bool,
}

/// What `apply` takes.
#[derive(Debug, Args)]
pub struct ApplyArguments {
    #[command(flatten)]
    pub files: Files,
    /// Consent to steps that take access away or destroy data
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// Look into every database and try every credential, not only what is new or changed
    #[arg(long)]
    pub refresh: bool,
}

/// What `status` takes.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Only the database of this name
    pub name: Option<ObjectName>,
    /// Only this namespace
    #[arg(short, long)]
    pub namespace: Option<Namespace>,
    /// Compare with these declarations; may be given several times
    #[arg(short = 'f', long = "file", value_name = "PATH")]
    pub files: Vec<PathBuf>,
}

/// What `credentials` takes.
#[derive(Debug, Args)]
pub struct CredentialsArguments {
    /// The name of the database's declaration
    pub name: ObjectName,
    /// Its namespace
    #[arg(short, long, default_value = "default")]
    pub namespace: Namespace,
    /// How to print it
    #[arg(long, value_enum, default_value_t = CredentialFormat::Env)]
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

/// What `delete` takes.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["names", "files"])))]
pub struct DeleteArguments {
    /// The names of the declarations
    pub names: Vec<ObjectName>,
    /// Their namespace
    #[arg(short, long, default_value = "default", conflicts_with = "files")]
    pub namespace: Namespace,
    /// Delete what these files or folders declare; may be given several times
    #[arg(short = 'f', long = "file", value_name = "PATH")]
    pub files: Vec<PathBuf>,
    /// Consent to the loss of data
    #[arg(short = 'y', long)]
    pub yes: bool,
}

/// What can be done with servers.
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// Start a local server; makes it the first time
    Start(ServerName),
    /// Stop a local server; its data stays
    Stop(ServerName),
    /// Show how a server is
    Status(ServerName),
    /// List the servers that were used from here
    List,
}

/// A server.
#[derive(Debug, Args)]
pub struct ServerName {
    /// The server's name
    pub name: ObjectName,
}
