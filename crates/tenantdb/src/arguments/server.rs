//! What `server` takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tenantdb_api::ObjectName;
use tenantdb_api::database_server::PasswordSource;
use tenantdb_core::Authority;

use super::shared::CredentialsFolder;

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

/// A server.
#[derive(Debug, Args)]
pub struct ServerName {
    /// The server's name
    pub name: ObjectName,
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
