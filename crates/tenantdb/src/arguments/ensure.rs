//! What `ensure` takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::shared::time;

/// What `ensure --help` ends with.
pub const ENSURE: &str = "\
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
