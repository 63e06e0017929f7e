//! `DatabaseServer`: a server that many tenants share, and what the platform allows on it.

mod resource;
mod selector;
mod validate;

pub use resource::RESOURCE;
pub use selector::{LabelOperator, LabelRequirement, LabelSelector, Labels};

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::ObjectMeta;
use crate::values::{ConnectionLimit, Namespace, ObjectName, SettingName, SqlName};

/// A database server. Cluster-scoped: it belongs to the platform's team.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatabaseServer {
    /// Its name; it has no namespace.
    pub metadata: ObjectMeta,
    /// What it is.
    pub spec: DatabaseServerSpec,
}

/// The declaration of a [`DatabaseServer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatabaseServerSpec {
    /// What it runs; only `PostgreSQL` is supported yet.
    #[serde(default)]
    pub engine: EngineKind,
    /// Whether databases that name no server are made here; one server per engine may say so.
    #[serde(default)]
    pub default: bool,
    /// Where it is; exactly one kind of source.
    pub source: ServerSource,
    /// How to log in as its administrator. Required with an endpoint; a local server brings its own, and another
    /// operator's cluster says where it is.
    #[serde(default)]
    pub admin: Option<Admin>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// What applications are told; the source when absent.
    #[serde(default)]
    pub publish: Option<Publish>,
    /// How the names of databases and owners come from the names of their declarations.
    #[serde(default)]
    pub naming: Naming,
    /// What a namespace may ask for. On the command line whoever holds the administrator's password is the platform, and
    /// it is checked with `--enforce-policy`.
    #[serde(default)]
    pub allow: Allow,
    /// Other logins that may connect to every tenant's database, such as a monitor's; what they may read there is the
    /// tenant's to grant.
    #[serde(default)]
    pub connect_for: Vec<SqlName>,
    /// How much of the server tenantdb may use.
    #[serde(default)]
    pub limits: Limits,
    /// What a tenant gets that says nothing else.
    #[serde(default)]
    pub defaults: TenantDefaults,
}

/// The software a server runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum EngineKind {
    /// PostgreSQL.
    #[default]
    PostgreSQL,
    /// Redis or Valkey.
    Redis,
    /// RabbitMQ.
    RabbitMQ,
}

/// Where a server is. Exactly one field is set, which [`DatabaseServer::validate`] checks; ask
/// [`DatabaseServer::source`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerSource {
    /// A host and port that someone else runs.
    #[serde(default)]
    pub endpoint: Option<Endpoint>,
    /// A server on this machine that tenantdb makes, starts and keeps itself: `{}`. It has no `admin` and no `tls`.
    #[serde(default)]
    pub local: Option<Local>,
    /// A CloudNativePG cluster, which says itself where it is, who signed its certificate and how to log in. Only in a
    /// cluster: the operator follows it.
    #[serde(default)]
    pub cnpg: Option<ClusterReference>,
    /// A StackGres cluster (`SGCluster`), in the same way.
    #[serde(default)]
    pub stackgres: Option<ClusterReference>,
}

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// One host name or address.
    pub host: String,
    /// A TCP port.
    #[serde(default = "default_port")]
    pub port: u16,
}

/// A server of tenantdb's own; it has no settings yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Local {}

/// Another operator's cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterReference {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub cluster: ObjectName,
    /// How tenantdb itself reaches it, where that is not by its Service: from outside of the Kubernetes cluster.
    /// Applications are told of the Service, unless `publish` says otherwise.
    #[serde(default)]
    pub endpoint: Option<Endpoint>,
}

/// How to log in as the administrator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Admin {
    /// The login; a role with LOGIN, CREATEDB and CREATEROLE is enough.
    pub username: SqlName,
    /// The database to connect to before the ledger exists.
    #[serde(default = "default_maintenance_database")]
    pub maintenance_database: SqlName,
    /// Where the password is; the first place that is present wins. Another operator's cluster has a Secret of its own
    /// when there is none.
    #[serde(default)]
    pub password_from: Vec<PasswordSource>,
    /// Sends passwords instead of verifiers, for servers that refuse those; only with `tls.mode` verify-ca or
    /// verify-full.
    #[serde(default)]
    pub password_passthrough: bool,
}

/// One place a password may be in. Exactly one of `env`, `file` and `secret` is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordSource {
    /// An environment variable.
    #[serde(default)]
    pub env: Option<String>,
    /// A file that holds the password, with or without a final newline; relative to the manifest.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// A key of a Kubernetes Secret; the command line reads it in the cluster of `--context`, else of the kubeconfig.
    #[serde(default)]
    pub secret: Option<SecretKeyReference>,
    /// The login that this password belongs to, when it is not `admin.username`.
    #[serde(default)]
    pub username: Option<SqlName>,
}

/// A key of a Kubernetes Secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretKeyReference {
    /// The Secret's namespace.
    #[serde(default)]
    pub namespace: Option<Namespace>,
    /// The Secret's name.
    pub name: ObjectName,
    /// The key in it.
    pub key: String,
}

/// How a connection is protected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// `verify-full` with `caFrom`, else `prefer` with a warning, when absent.
    #[serde(default)]
    pub mode: Option<TlsMode>,
    /// Where the certificate authority's certificate is.
    #[serde(default)]
    pub ca_from: Option<CaSource>,
}

/// The modes of libpq's `sslmode` that tenantdb has (PostgreSQL documentation, 34.19.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Never encrypted.
    Disable,
    /// Encrypted when the server can.
    Prefer,
    /// Encrypted, the server not verified.
    Require,
    /// Encrypted, the certificate's issuer verified.
    VerifyCa,
    /// Encrypted, the issuer and the host name verified.
    VerifyFull,
}

/// Where a certificate is, in PEM. Exactly one of `file`, `secret` and `configMap` is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaSource {
    /// A file, relative to the manifest.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// A Kubernetes Secret, which only the operator reads.
    #[serde(default)]
    pub secret: Option<CaReference>,
    /// A Kubernetes `ConfigMap`, which only the operator reads.
    #[serde(default)]
    pub config_map: Option<CaReference>,
}

/// A key that holds a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaReference {
    /// The namespace of what holds it.
    pub namespace: Namespace,
    /// The name of what holds it.
    pub name: ObjectName,
    /// The key in it.
    #[serde(default = "default_ca_key")]
    pub key: String,
}

/// What applications are told to connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Publish {
    /// The host, a pooler's for instance; the source's when absent.
    #[serde(default)]
    pub host: Option<String>,
    /// The port; the source's when absent.
    #[serde(default)]
    pub port: Option<u16>,
    /// The way past a pooler, for migrations: the key `uri_direct`.
    #[serde(default)]
    pub direct: Option<PublishedEndpoint>,
    /// Read-only replicas: the key `uri_ro`.
    #[serde(default)]
    pub read_only: Option<PublishedEndpoint>,
    /// Parameters of every connection URI.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// A further endpoint for applications.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishedEndpoint {
    /// The host.
    pub host: String,
    /// The port; `publish.port` when absent.
    #[serde(default)]
    pub port: Option<u16>,
}

/// How names come from declarations: templates over `{name}`, `{namespace}` and, for the owner, `{database}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Naming {
    /// The database's name, from `{name}` and `{namespace}`.
    pub database: String,
    /// The tenant role's name, from `{name}`, `{namespace}` and `{database}`.
    pub owner: String,
}

impl Default for Naming {
    fn default() -> Self {
        Self { database: "{name}".to_owned(), owner: "{database}".to_owned() }
    }
}

/// What a namespace may ask for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Allow {
    /// Which namespaces may use the server; all when absent.
    pub namespaces: Option<AllowedNamespaces>,
    /// `Naming`, which is the default: database and owner come from `naming`; or a pattern for those that are declared,
    /// which may hold `{namespace}`, and `*` for any text.
    pub names: Option<String>,
    /// The most that may be asked; `IfOrphaned` when absent.
    pub adopt: Option<super::tenant_database::Adopt>,
    /// Shared roles that may be joined.
    pub member_of: Vec<SqlName>,
    /// Templates that may be copied; `template0` when absent.
    pub templates: Option<Vec<SqlName>>,
    /// Extensions that may be made: a list, or `Trusted` (the default), those that PostgreSQL lets a database's owner make.
    pub extensions: Option<AllowedExtensions>,
    /// Settings that may be made; `statement_timeout`, `lock_timeout`, `idle_in_transaction_session_timeout` and
    /// `work_mem` when absent.
    pub settings: Option<Vec<SettingName>>,
    /// What may be done with a Secret that is there and somebody else's; `Create` when absent.
    pub secret_policies: Option<Vec<super::tenant_database::SecretPolicy>>,
    /// Where else credentials may be delivered.
    pub deliver: AllowedDelivery,
    /// Whether scripts may run at creation.
    pub init: bool,
    /// Whether workloads may be restarted.
    pub restart: bool,
    /// Whether a database may be made without deletion protection.
    pub unprotected: bool,
    /// The highest connection limit; unlimited when absent.
    pub connection_limit: Option<ConnectionLimit>,
    /// How many databases a namespace may have; unlimited when absent.
    pub per_namespace: Option<u32>,
}

/// Which namespaces may use a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AllowedNamespaces {
    /// By name.
    pub names: Vec<Namespace>,
    /// By a Kubernetes label selector.
    pub selector: Option<LabelSelector>,
}

/// Which extensions may be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum AllowedExtensions {
    /// The word `Trusted`: those that PostgreSQL lets a database's owner make.
    Trusted(TrustedWord),
    /// A list.
    List(Vec<SqlName>),
}

/// The word `Trusted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TrustedWord {
    /// The word.
    Trusted,
}

impl<'de> Deserialize<'de> for AllowedExtensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = AllowedExtensions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`Trusted` or a list of extensions")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Self::Value, E> {
                match word {
                    "Trusted" => Ok(AllowedExtensions::Trusted(TrustedWord::Trusted)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = access.next_element()? {
                    names.push(name);
                }
                Ok(AllowedExtensions::List(names))
            }
        }

        deserializer.deserialize_any(Forms)
    }
}

impl JsonSchema for AllowedExtensions {
    fn schema_name() -> Cow<'static, str> {
        "AllowedExtensions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let names = generator.subschema_for::<Vec<SqlName>>();
        json_schema!({"anyOf": [{"const": "Trusted"}, names]})
    }
}

/// Where else credentials may be delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AllowedDelivery {
    /// Names of stores.
    pub stores: Vec<ObjectName>,
    /// Other namespaces.
    pub namespaces: Vec<Namespace>,
}

/// How much of the server tenantdb may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How many tenant databases it may hold; unlimited when absent.
    pub databases: Option<u32>,
    /// How many connections tenantdb opens at a time: 3 to 100.
    #[schemars(range(min = 3, max = 100))]
    pub connections: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { databases: None, connections: 8 }
    }
}

/// What a tenant gets that says nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TenantDefaults {
    /// How many sessions each login may have.
    pub connection_limit: Option<ConnectionLimit>,
    /// Settings of the tenant's logins; each database's own are laid over these.
    pub settings: BTreeMap<SettingName, super::tenant_database::SettingValue>,
}

/// A [`ServerSource`] that was checked to be exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind<'a> {
    /// Someone else's server.
    Endpoint(&'a Endpoint),
    /// A server of tenantdb's own.
    Local,
    /// A CloudNativePG cluster.
    Cnpg(&'a ClusterReference),
    /// A StackGres cluster.
    StackGres(&'a ClusterReference),
}

impl DatabaseServer {
    /// Where the server is, once [`DatabaseServer::validate`] has found nothing.
    #[must_use]
    pub fn source(&self) -> SourceKind<'_> {
        let ServerSource { endpoint, local: _, cnpg, stackgres } = &self.spec.source;
        match (endpoint, cnpg, stackgres) {
            (Some(endpoint), ..) => SourceKind::Endpoint(endpoint),
            (_, Some(cluster), _) => SourceKind::Cnpg(cluster),
            (.., Some(cluster)) => SourceKind::StackGres(cluster),
            (None, None, None) => SourceKind::Local,
        }
    }
}

fn default_port() -> u16 {
    5432
}

fn default_ca_key() -> String {
    "ca.crt".to_owned()
}

/// The database that comes with every server, where an administrator works unless the declaration names another.
///
/// # Panics
/// Never: it is a valid name.
#[must_use]
pub fn default_maintenance_database() -> SqlName {
    "postgres".parse().expect("a valid name")
}
