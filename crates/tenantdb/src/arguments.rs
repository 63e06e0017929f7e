//! What the command line takes: the commands and their help; what each takes is in the module of its subject.

mod cluster;
mod credentials;
mod declared;
mod ensure;
mod server;
mod setup;
mod shared;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use cluster::{InstallArguments, LogFormat, OperatorArguments};
pub use credentials::{
    ConnectArguments, CredentialFormat, CredentialOf, CredentialsArguments, ExecArguments, RotateArguments,
};
pub use declared::{
    ApplyArguments, DeleteArguments, HistoryArguments, OrphansArguments, PlanArguments, PlanOutput, StatusArguments,
};
pub use ensure::{EnsureArguments, EnsureFormat};
pub use server::{AcceptLedgerArguments, BootstrapArguments, ServerCommand, TakeoverArguments};
pub use setup::{CompletionsArguments, InitArguments, ManArguments, SchemaArguments, SchemaOf};
pub use shared::{DeclaredName, Output, SubjectArguments};

/// What every `--help` ends with at the top.
const MORE: &str = "\
Begin with:
  tenantdb init

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
    /// Write an example to start from, and make a folder a project
    #[command(after_help = "\
Writes tenantdb.yaml, which says that the declarations in this folder and below it are one project, and databases.yaml, \
a commented example. Nothing that is there is overwritten.

Examples:
  tenantdb init
  tenantdb init databases/")]
    Init(InitArguments),
    /// Show what would change, and why; nothing is touched
    #[command(after_help = "\
A local server that was never started counts as empty, and stays unmade; a stopped one is started.

Examples:
  tenantdb plan -f databases/
  tenantdb plan -f databases/ --exit-code --refresh
  tenantdb plan -f databases/ -o markdown > plan.md")]
    Plan(PlanArguments),
    /// Make the databases as declared: create, change and heal; only --prune deletes
    #[command(after_help = "\
A second run changes nothing. Steps that take access away or end sessions ask first; without a terminal they are \
refused, unless --yes is given. One database's failure never stops the others.

Examples:
  tenantdb apply -f databases/
  tenantdb apply -f server.yaml -f cafe.yaml
  tenantdb apply -f databases/ --refresh       # also heal what only shows inside a database
  tenantdb apply -f databases/ --prune         # also remove what is declared no more: give it all declarations")]
    Apply(ApplyArguments),
    /// Make one service's database from environment variables, for build scripts
    #[command(after_help = ensure::ENSURE)]
    Ensure(EnsureArguments),
    /// Show each database, its state, and where its credential is
    #[command(after_help = "\
Without -f it lists what the servers hold that were used from here. With -f it compares them with the declarations: \
Ready, Missing, or Drifted with the number of changes that apply would make. With --context alone it shows what the \
custom resources of that cluster say of themselves: Ready, or why they are not.

Examples:
  tenantdb status
  tenantdb status -n cafe
  tenantdb status -f databases/ -o json
  tenantdb status --context staging")]
    Status(StatusArguments),
    /// Print the credential that was delivered for a database; no server is asked
    #[command(after_help = "\
Examples:
  tenantdb credentials orders
  eval \"$(tenantdb credentials cafe -n cafe)\"
  tenantdb credentials orders --format uri
  tenantdb credentials orders -n shop --context staging --access reporting")]
    Credentials(CredentialsArguments),
    /// Open psql on a database, logged in with its credential
    #[command(after_help = "\
The credential is handed to psql by its environment, never in an argument. A local server that is stopped is started.

Examples:
  tenantdb connect orders
  tenantdb connect orders -n shop -- -c 'SELECT count(*) FROM lines'")]
    Connect(ConnectArguments),
    /// Run a command with a database's credential in its environment
    #[command(after_help = "\
The command finds PGHOST, PGPORT, PGDATABASE, PGUSER and PGPASSWORD, which every libpq program reads, and the keys of \
the credential that are names of variables, such as DATABASE_URL. It takes the place of tenantdb, with its exit code.

Examples:
  tenantdb exec orders -- pg_dump -Fc -f orders.dump
  tenantdb exec orders -n shop -- bin/rails db:migrate")]
    Exec(ExecArguments),
    /// Take away the login that an adopted database's applications had before
    #[command(after_help = "\
An adopted database's role goes on logging in with its earlier password, beside the delivered credential, until this \
takes it away. It is refused while anybody uses that login, and asks first; without a terminal it needs --yes. The role \
itself stays, with all that it owns.

Examples:
  tenantdb rotate orders --retire
  tenantdb rotate orders invoices -n shop --retire --yes")]
    Rotate(RotateArguments),
    /// Delete databases, as far as their policies say; protected ones are refused
    #[command(after_help = "\
What counts is what was last applied, not what a file says now. A database with `deletionProtection: true`, the \
default, is refused. `dbDeletionPolicy` and `roleDeletionPolicy` say what goes: `Orphan`, the default, leaves the \
database or its roles where they are; `Delete` removes them, which asks first, and without a terminal needs --yes.

Examples:
  tenantdb delete my-test-db -n my-namespace
  tenantdb delete -f databases/my-test-db.yaml")]
    Delete(DeleteArguments),
    /// List what deletions left behind
    #[command(after_help = "\
A deletion whose policies say `Orphan` leaves the database, its roles or both. Applying the declaration again takes \
them back.

Examples:
  tenantdb orphans
  tenantdb orphans -o json
  tenantdb orphans --context staging
  tenantdb orphans --purge orders --namespace shop")]
    Orphans(OrphansArguments),
    /// Show what was done to a database, when and by whom
    #[command(after_help = "\
Examples:
  tenantdb history orders
  tenantdb history orders -n shop -o json")]
    History(HistoryArguments),
    /// Start, stop and list local servers, and look at any server
    #[command(subcommand, disable_help_subcommand = true)]
    Server(ServerCommand),
    /// Keep databases as custom resources of a Kubernetes cluster declare them
    #[command(after_help = "\
It runs in a cluster, or outside of one with a kubeconfig, until it is asked to stop (SIGTERM or Ctrl-C).

Example:
  tenantdb crds | kubectl apply --server-side -f -
  tenantdb operator --cluster-id staging")]
    Operator(OperatorArguments),
    /// Print what a cluster has to know of our kinds before it takes them, as YAML
    #[command(after_help = "\
Example:
  tenantdb crds | kubectl apply --server-side -f -")]
    Crds,
    /// Print all that a cluster needs for the operator to run in it, as YAML
    #[command(after_help = "\
It is what the chart deploy/charts/tenantdb makes with its usual values, and its namespace. The chart has more to choose \
from: the accounts of your automation, resources, a ServiceMonitor.

Examples:
  tenantdb install --cluster-id staging | kubectl apply --server-side -f -
  tenantdb install --cluster-id staging --image registry.example.org/tenantdb:0.1.0 > tenantdb.yaml")]
    Install(InstallArguments),
    /// Print the JSON Schema of manifests, for editors, or of what -o json prints
    #[command(after_help = "\
An editor with a YAML language server checks and completes a manifest that begins with\n  \
# yaml-language-server: $schema=tenantdb.schema.json

Examples:
  tenantdb schema > tenantdb.schema.json
  tenantdb schema plan")]
    Schema(SchemaArguments),
    /// Print the completions of a shell
    #[command(after_help = "\
Examples:
  tenantdb completions bash > ~/.local/share/bash-completion/completions/tenantdb
  tenantdb completions zsh > \"${fpath[1]}/_tenantdb\"
  tenantdb completions fish > ~/.config/fish/completions/tenantdb.fish")]
    Completions(CompletionsArguments),
    /// Print the manual page, or write the pages of all commands into a folder
    #[command(after_help = "\
Examples:
  tenantdb man | man -l -
  tenantdb man ~/.local/share/man/man1")]
    Man(ManArguments),
}

impl Command {
    /// Where credentials are, if not in the home.
    pub fn credentials_folder(&self) -> Option<&PathBuf> {
        let place = match self {
            Self::Plan(arguments) => &arguments.place,
            Self::Apply(arguments) => &arguments.place,
            Self::Status(arguments) => &arguments.place,
            Self::Credentials(arguments) => &arguments.of.place,
            Self::Connect(arguments) => &arguments.of.place,
            Self::Exec(arguments) => &arguments.of.place,
            Self::Rotate(arguments) => &arguments.place,
            Self::Delete(arguments) => &arguments.place,
            Self::Orphans(arguments) => &arguments.place,
            Self::Server(ServerCommand::Takeover(arguments)) => &arguments.place,
            Self::Server(_)
            | Self::Init(_)
            | Self::Ensure(_)
            | Self::History(_)
            | Self::Operator(_)
            | Self::Crds
            | Self::Install(_)
            | Self::Schema(_)
            | Self::Completions(_)
            | Self::Man(_) => return None,
        };
        place.credentials.as_ref()
    }

    /// Whether the servers are those that a cluster declares.
    pub fn is_about_a_cluster(&self) -> bool {
        matches!(self, Self::Orphans(_) | Self::Server(ServerCommand::Takeover(_))) && self.context().is_some()
    }

    /// The context of the kubeconfig that was named.
    pub fn context(&self) -> Option<&String> {
        match self {
            Self::Plan(arguments) => arguments.secrets.context.as_ref(),
            Self::Apply(arguments) => arguments.secrets.context.as_ref(),
            Self::Status(arguments) => arguments.context.as_ref(),
            Self::Credentials(arguments) => arguments.of.context.as_ref(),
            Self::Connect(arguments) => arguments.of.context.as_ref(),
            Self::Exec(arguments) => arguments.of.context.as_ref(),
            Self::Orphans(arguments) => arguments.context.as_ref(),
            Self::Ensure(arguments) => arguments.context.as_ref(),
            Self::Server(ServerCommand::Takeover(arguments)) => arguments.context.as_ref(),
            _ => None,
        }
    }
}
