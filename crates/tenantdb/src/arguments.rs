//! What the command line takes.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tenantdb_api::{Namespace, ObjectName};

/// What every `--help` ends with at the top.
const MORE: &str = "\
Begin with:
  tenantdb apply -f examples/first.yaml

Environment:
  TENANTDB_HOME          Where state and credentials are kept [default: /var/lib/tenantdb for root,
                         else tenantdb in the user's data folder]
  TENANTDB_POSTGRES_BIN  The folder of initdb and postgres, for local servers [default: searched]
  TENANTDB_LOCK_TIMEOUT  Seconds to wait for another tenantdb that has a database in hand
                         [default: 120]
  TENANTDB_LOG           What to log to standard error, such as `debug` [default: off]
  NO_COLOR               No colours, if it is not empty

Exit codes:
  0    done
  1    failed while doing it; what was finished stays finished
  2    the input is wrong; nothing was touched
  3    changes are pending (plan --exit-code)
  4    refused by protection, policy, conflict or missing consent; the rest is done
  130  interrupted";

/// A database for every service, from one declaration.
///
/// tenantdb creates a PostgreSQL database for each of your services on a server that they share, isolates it, keeps it
/// as declared, and puts its credential where the service reads it.
#[derive(Debug, Parser)]
#[command(
    name = "tenantdb",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = MORE
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what would change, and why; nothing is touched
    #[command(after_help = "\
A local server that was never started counts as empty, and stays unmade; a stopped one is started.

Examples:
  tenantdb plan -f databases/
  tenantdb plan -f databases/ --exit-code --refresh")]
    Plan(PlanArguments),
    /// Make the databases as declared: create, change and heal; nothing is deleted
    #[command(after_help = "\
A second run changes nothing. Steps that take access away or end sessions ask first; without a terminal they are \
refused, unless --yes is given. One database's failure never stops the others.

Examples:
  tenantdb apply -f databases/
  tenantdb apply -f server.yaml -f cafe.yaml
  tenantdb apply -f databases/ --refresh       # also heal what only shows inside a database")]
    Apply(ApplyArguments),
    /// Show each database, its state, and where its credential is
    #[command(after_help = "\
Without -f it lists what the servers hold that were used from here. With -f it compares them with the declarations: \
Ready, Missing, or Drifted with the number of changes that apply would make.

Examples:
  tenantdb status
  tenantdb status -n cafe
  tenantdb status -f databases/")]
    Status(StatusArguments),
    /// Print the credential that was delivered for a database; no server is asked
    #[command(after_help = "\
Examples:
  tenantdb credentials orders
  eval \"$(tenantdb credentials cafe -n cafe)\"
  tenantdb credentials orders --format uri")]
    Credentials(CredentialsArguments),
    /// Delete databases, as far as their policies say; protected ones are refused
    #[command(after_help = "\
What counts is what was last applied, not what a file says now. A database with `deletionProtection: true`, the \
default, is refused. `dbDeletionPolicy` and `roleDeletionPolicy` say what goes: `Orphan`, the default, leaves the \
database or its roles where they are; `Delete` removes them, which asks first, and without a terminal needs --yes.

Examples:
  tenantdb delete my-test-db -n my-namespace
  tenantdb delete -f databases/my-test-db.yaml")]
    Delete(DeleteArguments),
    /// Start, stop and list local servers, and look at any server
    #[command(subcommand, disable_help_subcommand = true)]
    Server(ServerCommand),
}

/// The declarations to work on.
#[derive(Debug, Args)]
pub struct Files {
    /// A file or folder of declarations, or `-` for standard input; repeatable
    #[arg(short = 'f', long = "file", value_name = "PATH", required = true)]
    pub files: Vec<PathBuf>,
}

/// What `plan` takes.
#[derive(Debug, Args)]
pub struct PlanArguments {
    #[command(flatten)]
    pub files: Files,
    /// End with 3 if something would change, and with 4 if something is refused
    #[arg(long)]
    pub exit_code: bool,
    /// Look into every database and try every credential, not only those that are new or changed
    #[arg(long)]
    pub refresh: bool,
}

/// What `apply` takes.
#[derive(Debug, Args)]
pub struct ApplyArguments {
    #[command(flatten)]
    pub files: Files,
    /// Consent to steps that take access away or end sessions
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// Look into every database and try every credential, not only those that are new or changed
    #[arg(long)]
    pub refresh: bool,
}

/// What `status` takes.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Only the database that is declared by this name
    pub name: Option<ObjectName>,
    /// Only the databases of this namespace
    #[arg(short, long)]
    pub namespace: Option<Namespace>,
    /// Compare with these declarations: a file, a folder or `-`; repeatable
    #[arg(short = 'f', long = "file", value_name = "PATH")]
    pub files: Vec<PathBuf>,
}

/// What `credentials` takes.
#[derive(Debug, Args)]
pub struct CredentialsArguments {
    /// The name that the database is declared by
    pub name: ObjectName,
    /// Its namespace
    #[arg(short, long, default_value = "default")]
    pub namespace: Namespace,
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

/// What `delete` takes.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["names", "files"])))]
pub struct DeleteArguments {
    /// The names that the databases are declared by
    #[arg(value_name = "NAME")]
    pub names: Vec<ObjectName>,
    /// Their namespace
    #[arg(short, long, default_value = "default", conflicts_with = "files")]
    pub namespace: Namespace,
    /// Delete what these files or folders declare, instead of by name; repeatable
    #[arg(short = 'f', long = "file", value_name = "PATH")]
    pub files: Vec<PathBuf>,
    /// Consent to the loss of data
    #[arg(short = 'y', long)]
    pub yes: bool,
}

/// What can be done with servers.
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// Start a local server; the first time, make it
    Start(ServerName),
    /// Stop a local server; its data stays
    Stop(ServerName),
    /// Show a server's version, address and number of databases
    Status(ServerName),
    /// Forget a server that is gone, so that nobody asks it; what is on it stays
    Forget(ServerName),
    /// List the local servers, and those that were used from here
    List,
}

/// A server.
#[derive(Debug, Args)]
pub struct ServerName {
    /// The server's name
    pub name: ObjectName,
}
