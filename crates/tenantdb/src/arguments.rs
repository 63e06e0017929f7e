//! What the command line takes.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use tenantdb_api::database_server::PasswordSource;
use tenantdb_api::{Namespace, ObjectName};
use tenantdb_core::{Authority, Subject};

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

/// What `ensure --help` ends with.
const ENSURE: &str = "\
Takes the place of create-service-database.sh, and reads the same variables. The database is made or confirmed, with a \
login of its own that nothing but this service has; then <APP>_POSTGRES_URL, DATABASE_URL, DB_HOST, DB_PORT, DB_NAME, \
DB_USER and DB_PASSWORD are written into the file. Other lines of it stay as they are. Whatever goes wrong ends with \
another code than 0.

Service:
  SERVICE_DB_NAME   The database [default: APP_NAME without -backend, -frontend, -api or -app, else
                    NAMESPACE]
  SERVICE_DB_USER   The login [default: <database>_user]
  APP_NAME          The application
  NAMESPACE         Its namespace [default: default]
  ENABLE_PGVECTOR   true makes the extension `vector`
  SETUP_DATABASES   Anything but true: nothing is done
  DB_TYPES          Such as postgres,redis; only postgres is supported yet [default: postgres]
  TENANTDB_PROJECT  Whose the database is [default: ensure/<namespace>/<application>]

Server:
  PG_HOST                  [default: postgresql.<PG_NAMESPACE>.svc.cluster.local]
  PG_PORT                  [default: 5432]
  PG_NAMESPACE             [default: infra]
  PGSSLMODE, PGSSLROOTCERT As psql reads them
  POSTGRES_ADMIN_USER      [default: admin_user]
  POSTGRES_ADMIN_PASSWORD  [default: POSTGRES_PASSWORD]
  TENANTDB_SERVER          A file that declares the DatabaseServer, instead of all these

With --context none of these is needed: the service is declared to a Kubernetes cluster as a TenantDatabase, whose \
operator makes it, and the variables are read from its Secret. The names are what the cluster's server gives, but for \
SERVICE_DB_NAME and SERVICE_DB_USER; of TENANTDB_SERVER only the server's name counts, else it is the default one.

Examples:
  SERVICE_DB_NAME=cafe APP_NAME=cafe-backend tenantdb ensure
  APP_NAME=erp-api tenantdb ensure --file deploy/erp.env --wait 60
  APP_NAME=cafe-backend tenantdb ensure --format github-env
  APP_NAME=cafe-backend NAMESPACE=cafe tenantdb ensure --context staging --timeout 5m";

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
    #[command(after_help = ENSURE)]
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

/// What `init` takes.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// The folder; it is made if it is missing
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
}

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

/// What `ensure` takes.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct EnsureArguments {
    /// The file that the variables are written into
    #[arg(long, value_name = "PATH", default_value = ".env")]
    pub file: PathBuf,
    /// Also: `env` prints them; `github-env` masks them in the log and gives them to the steps that follow
    #[arg(long, value_enum, hide_possible_values = true)]
    pub format: Option<EnsureFormat>,
    /// What all their names begin with, such as CAFE, so that several services can share a file
    #[arg(long, value_name = "NAME")]
    pub prefix: Option<String>,
    /// How many seconds to wait for the server
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    pub wait: u64,
    /// Make a new password when the file does not hold the one that was delivered; the earlier one ends
    #[arg(long)]
    pub reissue: bool,
    /// Take over a database of this name that tenantdb did not make, and close it to other logins
    #[arg(long)]
    pub adopt: bool,
    /// Consent to steps that take access from others or end their sessions
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// Declare it to the cluster of this context of the kubeconfig, whose operator makes it; no server is connected to
    #[arg(long, value_name = "NAME", conflicts_with_all = ["wait", "reissue", "yes"])]
    pub context: Option<String>,
    /// How long to wait until it is ready there
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = time, requires = "context")]
    pub timeout: Duration,
}

/// Where else `ensure` writes variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EnsureFormat {
    /// `KEY='value'` lines on standard output
    Env,
    /// The file that `$GITHUB_ENV` names
    GithubEnv,
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

/// What `credentials` takes.
#[derive(Debug, Args)]
pub struct CredentialsArguments {
    #[command(flatten)]
    pub of: CredentialOf,
    /// `env`: KEY='value' lines for a shell; `uri`: the connection URI alone; `json`: one object of all keys
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = CredentialFormat::Env)]
    pub format: CredentialFormat,
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

impl SubjectArguments {
    /// What is meant.
    pub fn subject(&self) -> Subject {
        let DeclaredName { kind, name } = self.name.clone();
        Subject { kind: kind.map(str::to_owned), name, access: self.access.clone() }
    }
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

/// What `schema` takes.
#[derive(Debug, Args)]
pub struct OperatorArguments {
    /// What the ledgers of the servers call this cluster; it must not change, and no other cluster may have it
    #[arg(long, value_name = "ID")]
    pub cluster_id: String,
    /// Where the Leases are by which several operators share the servers: that of the pod, else of the context, else
    /// default
    #[arg(long, value_name = "NS")]
    pub namespace: Option<Namespace>,
    /// How long another operator waits for one that is silent, at least 1s
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = lease_duration)]
    pub lease_duration: Duration,
    /// Where /metrics, /healthz and /readyz are asked for
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// What its log on standard error looks like
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub log_format: LogFormat,
    /// The context of the kubeconfig; the current one, or the cluster that it runs in, when absent
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// What `install` takes.
#[derive(Debug, Args)]
pub struct InstallArguments {
    /// What the ledgers of the servers call this cluster; it must not change, and no other cluster may have it
    #[arg(long, value_name = "ID")]
    pub cluster_id: String,
    /// Where the operator runs
    #[arg(long, value_name = "NS", default_value = "tenantdb")]
    pub namespace: Namespace,
    /// What it runs from [default: the image of this version]
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// How many share the servers
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub replicas: u16,
}

/// What a log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

fn time(text: &str) -> Result<Duration, String> {
    let time: jiff::SignedDuration = text.parse().map_err(|_| format!("`{text}` is no time such as 15s or 1m"))?;
    Duration::try_from(time).map_err(|_| format!("`{text}` is before now"))
}

fn lease_duration(text: &str) -> Result<Duration, String> {
    let time = time(text)?;
    if time < Duration::from_secs(1) { Err("a Lease lasts a second at least".to_owned()) } else { Ok(time) }
}

#[derive(Debug, Args)]
pub struct SchemaArguments {
    /// Of what
    #[arg(value_enum, default_value_t)]
    pub of: SchemaOf,
}

/// What has a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// What -f reads.
    #[default]
    Manifest,
    /// What `plan -o json` prints.
    Plan,
    /// What `apply` and `delete` print with -o json.
    Report,
    /// What `status -o json` prints.
    Status,
    /// What `orphans -o json` prints.
    Orphans,
    /// What `history -o json` prints.
    History,
}

/// What `completions` takes.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell
    pub shell: Shell,
}

/// What `man` takes.
#[derive(Debug, Args)]
pub struct ManArguments {
    /// Where the pages of all commands are written to, instead of printing the first
    #[arg(value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
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
    /// Make a server ready, once, with a superuser's login
    #[command(after_help = "\
Makes the administrator's login that the declaration names (LOGIN CREATEDB CREATEROLE, with the password of \
`admin.passwordFrom`) and the ledger, and closes `postgres` and `template1` to everyone but that login and those of \
`connectFor`. It shows who loses access and asks; without a terminal it needs --yes. Run again, it does what is missing.

Examples:
  PGPASSWORD=… tenantdb server bootstrap shared -f server.yaml
  tenantdb server bootstrap shared --superuser root --password-file /run/secrets/root --yes")]
    Bootstrap(BootstrapArguments),
    /// Give what another project or cluster has on a server to the project that we are in
    #[command(after_help = "\
For a project whose tenantdb.yaml was lost, or a cluster that was built anew. Databases, logins and credentials stay as \
they are; the ledger keeps who took them from whom. It asks first, and without a terminal needs --yes.

With --context they go to a Kubernetes cluster: each delivered credential is put into its Secret there, so that \
applications find the password that they have. The files stay as copies.

Examples:
  tenantdb server takeover shared --from project:shop --context staging --cluster-id staging
  tenantdb server takeover shared --from project:6c1f4d0c9f1d4f7f8a53e4b1a1f3c2d4")]
    Takeover(TakeoverArguments),
    /// Let a ledger that was restored from a dump decide on deletions again
    #[command(after_help = "\
A restored ledger may be older than its server: what it calls an orphan may be somebody's by now. So nothing is deleted \
on its word until you say here that all that is declared on this server was applied since. It asks first, and without a \
terminal needs --yes.

Examples:
  tenantdb server accept-ledger shared")]
    AcceptLedger(AcceptLedgerArguments),
    /// List the local servers, and those that were used from here
    List,
}

/// What `server bootstrap` takes.
#[derive(Debug, Args)]
pub struct BootstrapArguments {
    /// The server's name
    pub name: ObjectName,
    /// A file or folder of declarations, or `-` for standard input; repeatable. Without it, what is known of the server
    #[arg(short = 'f', long = "file", value_name = "PATH")]
    pub files: Vec<PathBuf>,
    /// The superuser's login
    #[arg(long, value_name = "LOGIN", default_value = "postgres")]
    pub superuser: String,
    /// The variable that holds its password
    #[arg(long, value_name = "VARIABLE", default_value = "PGPASSWORD")]
    pub password_env: String,
    /// A file that holds its password, instead
    #[arg(long, value_name = "FILE", conflicts_with = "password_env")]
    pub password_file: Option<PathBuf>,
    /// Consent to what takes access away, or changes the password of a login that is there
    #[arg(short = 'y', long)]
    pub yes: bool,
}

impl BootstrapArguments {
    /// Where the superuser's password is.
    pub fn password(&self) -> PasswordSource {
        let env = self.password_file.is_none().then(|| self.password_env.clone());
        PasswordSource { env, file: self.password_file.clone(), secret: None, username: None }
    }
}

/// What `server takeover` takes.
#[derive(Debug, Args)]
pub struct TakeoverArguments {
    /// The server's name
    pub name: ObjectName,
    /// Whose: `project:<id>` or `cluster:<id>`, as `tenantdb orphans` and `history` name it
    #[arg(long, value_name = "AUTHORITY")]
    pub from: Authority,
    /// Give them to the cluster of this context of the kubeconfig, which has the server as a `DatabaseServer`
    #[arg(long, value_name = "NAME", requires = "cluster_id")]
    pub context: Option<String>,
    /// What the operator of that cluster was started with as --cluster-id
    #[arg(long, value_name = "ID", requires = "context")]
    pub cluster_id: Option<String>,
    /// Have the cluster make new credentials where the delivered ones are not here; the earlier ones go on logging in
    #[arg(long, requires = "context")]
    pub reissue: bool,
    /// Consent to it
    #[arg(short = 'y', long)]
    pub yes: bool,
    #[command(flatten)]
    pub place: CredentialsFolder,
}

/// What `server accept-ledger` takes.
#[derive(Debug, Args)]
pub struct AcceptLedgerArguments {
    /// The server's name
    pub name: ObjectName,
    /// Consent to it
    #[arg(short = 'y', long)]
    pub yes: bool,
}

/// A server.
#[derive(Debug, Args)]
pub struct ServerName {
    /// The server's name
    pub name: ObjectName,
}
