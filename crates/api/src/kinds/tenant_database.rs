//! `TenantDatabase`: one application's database, its logins and where their credential goes.

mod resource;
pub(in crate::kinds) mod validate;

pub(in crate::kinds) use resource::CREDENTIALS;
pub use resource::RESOURCE;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::ObjectMeta;
use super::database_server::SecretKeyReference;
use crate::values::{ConnectionLimit, Namespace, ObjectName, ObjectPath, SettingName, SqlName};

/// One application's database. Namespaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantDatabase {
    /// Its name and namespace.
    pub metadata: ObjectMeta,
    /// What it should be; `{}` is a complete database.
    #[serde(default)]
    #[schemars(with = "Option<TenantDatabaseSpec>")]
    pub spec: TenantDatabaseSpec,
}

/// The declaration of a [`TenantDatabase`]; every field is optional.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TenantDatabaseSpec {
    /// The server it is on; the default server when absent.
    pub server: Option<ObjectName>,
    /// The database's name, up to 63 bytes; from the server's `naming` when absent. It can't change.
    pub database: Option<SqlName>,
    /// The tenant's role, up to 60 bytes, so that `_ro` and `_rw` fit; from the server's `naming` when absent. It can't
    /// change.
    pub owner: Option<SqlName>,
    /// The database's comment, readable by every tenant of the server.
    pub comment: Option<String>,
    /// Who answers for it. Not supported yet.
    pub contact: BTreeMap<String, String>,
    /// How far tenantdb goes.
    pub reconcile: Reconcile,
    /// Whether deleting it is refused.
    pub deletion_protection: DeletionProtection,
    /// What deleting the declaration does to the database.
    pub db_deletion_policy: DeletionPolicy,
    /// What deleting the declaration does to the roles.
    pub role_deletion_policy: DeletionPolicy,
    /// What may be taken over that exists already.
    pub adopt: Adopt,
    /// How the database is made; read at creation only.
    pub create: Option<Create>,
    /// How many sessions each login may have; the server's `defaults` when absent. The database's own limit is their sum
    /// and 3.
    pub connection_limit: Option<ConnectionLimit>,
    /// The size at which to alert; PostgreSQL can't enforce it. Not supported yet.
    pub size_limit: Option<String>,
    /// Shared roles whose privileges the tenant has; none that reaches beyond its own database, such as PostgreSQL's own
    /// and other tenants'.
    pub member_of: Vec<SqlName>,
    /// Extensions of the database: those that PostgreSQL trusts, and others where the administrator is a superuser.
    pub extensions: Vec<Extension>,
    /// Schemas that the tenant owns, beside `public`.
    pub schemas: Vec<SqlName>,
    /// Settings of the tenant's logins; not `role`, `session_authorization`, `client_min_messages` and
    /// `*_preload_libraries`.
    pub settings: BTreeMap<SettingName, SettingValue>,
    /// Scripts that run once, logged in as the tenant, when its database is made and before its credential is handed
    /// out: SQL, without commands of psql, each in one transaction.
    pub init: Vec<InitScript>,
    /// Further logins on this database, each with its own credential; it has the formats and keys of `credentials`.
    pub access: Vec<Access>,
    /// How the credential is made and where it goes.
    pub credentials: Credentials,
}

/// Whether deletion is refused; it is, unless the declaration says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "bool", into = "bool")]
pub enum DeletionProtection {
    /// Deleting is refused.
    #[default]
    On,
    /// Deleting follows the policies.
    Off,
}

impl From<bool> for DeletionProtection {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

impl From<DeletionProtection> for bool {
    fn from(protection: DeletionProtection) -> bool {
        protection == DeletionProtection::On
    }
}

/// How far tenantdb goes with an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Reconcile {
    /// Makes it as declared.
    #[default]
    Full,
    /// Reports and changes nothing.
    Observe,
    /// Does not look.
    Paused,
}

/// What deleting a declaration does to what it made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Leaves it where it is.
    #[default]
    Orphan,
    /// Removes it.
    Delete,
}

/// What may be taken over that exists already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Adopt {
    /// Nothing.
    Never,
    /// What this very declaration once left behind.
    #[default]
    IfOrphaned,
    /// What someone else made and no other declaration has.
    Existing,
}

/// How a database is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Create {
    /// The character encoding; the template's when absent.
    pub encoding: Option<String>,
    /// How texts are sorted and what is a letter, as libc says; the template's when absent.
    pub locale: Option<String>,
    /// The same, as ICU says; from PostgreSQL 15 on.
    pub icu_locale: Option<String>,
    /// The database that is copied, `template0` when absent: one that its owner marked as a template, and never a
    /// tenant's. What is in it keeps its owners.
    pub template: Option<SqlName>,
}

/// An extension: a name, or a name with a version and a schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Extension {
    /// The extension's name.
    pub name: SqlName,
    /// The version; whatever is there, else the server's default, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The schema; where it is, else `public` or the one it insists on, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<SqlName>,
}

impl<'de> Deserialize<'de> for Extension {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            name: SqlName,
            #[serde(default)]
            version: Option<String>,
            #[serde(default)]
            schema: Option<SqlName>,
        }

        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = Extension;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an extension, or a mapping with its name")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Extension, E> {
                let name = name.parse().map_err(E::custom)?;
                Ok(Extension { name, version: None, schema: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Extension, A::Error> {
                let Fields { name, version, schema } = Fields::deserialize(MapAccessDeserializer::new(access))?;
                Ok(Extension { name, version, schema })
            }
        }

        deserializer.deserialize_any(Forms)
    }
}

impl JsonSchema for Extension {
    fn schema_name() -> Cow<'static, str> {
        "Extension".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = generator.subschema_for::<SqlName>();
        json_schema!({
            "description": "An extension: a name, or a name with a version and a schema.",
            "anyOf": [name, {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"allOf": [name], "description": "Its name."},
                    "version": {
                        "type": ["string", "null"],
                        "description": "The version; whatever is there, else the server's default, when absent.",
                    },
                    "schema": {
                        "allOf": [name],
                        "description":
                            "The schema; where it is, else `public` or the one it insists on, when absent.",
                    },
                },
                "additionalProperties": false,
            }],
        })
    }
}

/// The value of a setting, as text; numbers and booleans may be written bare.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct SettingValue(String);

impl SettingValue {
    /// The text that PostgreSQL is given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<SettingValue> for String {
    fn from(value: SettingValue) -> String {
        value.0
    }
}

impl From<&str> for SettingValue {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SettingValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl Visitor<'_> for Forms {
            type Value = SettingValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a number, or `true` or `false`")
            }

            fn visit_str<E>(self, text: &str) -> Result<SettingValue, E> {
                Ok(SettingValue(text.to_owned()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<SettingValue, E> {
                Ok(SettingValue(number.to_string()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<SettingValue, E> {
                Ok(SettingValue(number.to_string()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<SettingValue, E> {
                if number.is_finite() {
                    return Ok(SettingValue(number.to_string()));
                }
                Err(E::invalid_value(de::Unexpected::Float(number), &"a finite number"))
            }

            fn visit_bool<E>(self, on: bool) -> Result<SettingValue, E> {
                Ok(SettingValue(if on { "on" } else { "off" }.to_owned()))
            }
        }

        deserializer.deserialize_any(Forms)
    }
}

impl JsonSchema for SettingValue {
    fn schema_name() -> Cow<'static, str> {
        "SettingValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number", "boolean"]})
    }
}

/// A script that runs once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct InitScript {
    /// A file, relative to the manifest.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// A ConfigMap of the object's namespace, of a custom resource.
    #[serde(default)]
    pub config_map: Option<ConfigMapKeyReference>,
}

/// A key of a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigMapKeyReference {
    /// The ConfigMap's name.
    pub name: ObjectName,
    /// The key in it.
    pub key: String,
}

/// A further login on a database, or a `TenantRole` that it consents to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The name of a login of its own: its role is `<owner>_<name>`, its credential `<secretName>-<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<ObjectName>,
    /// A `TenantRole`, `namespace/name`, that this database consents to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<ObjectPath>,
    /// What it may do; a `TenantRole` may ask for less.
    pub level: AccessLevel,
    /// Where; every schema of the tenant when empty, those that are made later too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<SqlName>,
}

impl Access {
    /// What names derive from, once [`TenantDatabase::validate`] has found nothing.
    #[must_use]
    pub fn short_name(&self) -> Option<&ObjectName> {
        self.name.as_ref().or_else(|| self.role.as_ref().map(ObjectPath::name))
    }
}

/// What a further login may do with tables, views and sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum AccessLevel {
    /// Read.
    ReadOnly,
    /// Read, insert, update and delete.
    ReadWrite,
}

/// How a credential is made and where it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Credentials {
    /// Whether there is a password. It can't change yet.
    pub mode: CredentialMode,
    /// A password that the team owns. Not supported yet.
    pub password_from: Option<OwnPassword>,
    /// The name of the Secret or file; `<name>-secret` when absent.
    pub secret_name: Option<ObjectName>,
    /// The type of the Secret, which can't change once there is one; that of the first of the formats that has one, else
    /// `Opaque`, when absent.
    pub secret_type: Option<SecretType>,
    /// What may be done with a Secret that is there and somebody else's. `Merge` and `TakeOver` are a cluster's, name the
    /// Secret, and ask for the right to `update` it. The Secrets of further logins are always made.
    pub secret_policy: SecretPolicy,
    /// The field manager whose Secret is taken over, as `kubectl get secret NAME --show-managed-fields -o yaml` has it.
    pub take_over_from: Option<String>,
    /// The sets of keys; `default` when empty.
    pub formats: Vec<SecretFormat>,
    /// Further keys, from `{uri}`, `{uri_direct}`, `{uri_ro}`, `{host}`, `{port}`, `{database}`, `{username}`,
    /// `{password}`, `{endpoint}` and `{generation}`.
    pub keys: BTreeMap<String, String>,
    /// When and how the credential is replaced.
    pub rotation: Rotation,
    /// Workloads that are restarted after a rotation. Not supported yet.
    pub restart: Vec<Workload>,
    /// Further places. Not supported yet.
    pub deliver: Vec<serde_json::Value>,
}

/// Whether there is a password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CredentialMode {
    /// A generated password.
    #[default]
    Password,
    /// The owner itself logs in without one: by a certificate, as a user of the machine, or on trust, as the server's
    /// `pg_hba.conf` says.
    None,
}

/// A password that the team owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnPassword {
    /// The Secret that holds it.
    pub secret: SecretKeyReference,
}

/// The type of a Secret: what others may rely on to be in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SecretType {
    /// Nothing is promised.
    #[default]
    Opaque,
    /// `username` and `password`.
    #[serde(rename = "kubernetes.io/basic-auth")]
    BasicAuth,
    /// What the Service Binding specification asks for.
    #[serde(rename = "servicebinding.io/postgresql")]
    ServiceBinding,
}

impl SecretType {
    /// As Kubernetes has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opaque => "Opaque",
            Self::BasicAuth => "kubernetes.io/basic-auth",
            Self::ServiceBinding => "servicebinding.io/postgresql",
        }
    }
}

/// What may be done with a Secret that is there and somebody else's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SecretPolicy {
    /// Nothing; only a Secret of our own is written.
    #[default]
    Create,
    /// Our keys are added to it, and taken out in the end; without one there is nothing to do but to wait.
    Merge,
    /// It becomes ours, if `takeOverFrom` owns each of its keys, and the credential has each of them as well.
    TakeOver,
}

/// A set of keys that applications read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretFormat {
    /// What most applications can read.
    Default,
    /// `DATABASE_URL` and `DB_*`.
    Env,
    /// CloudNativePG's: `username`, `user`, `password`, `dbname`, `host`, `port`, `pgpass`, `uri`, `jdbc-uri`, `fqdn-uri`,
    /// `fqdn-jdbc-uri`; type `kubernetes.io/basic-auth`.
    Cnpg,
    /// Crossplane's: `username`, `password`, `endpoint`, `port`.
    Crossplane,
    /// The Service Binding specification's: `type`, `provider`, `host`, `port`, `database`, `uri`, `username`, `password`;
    /// type `servicebinding.io/postgresql`.
    ServiceBinding,
}

impl SecretFormat {
    /// The type of a Secret with these keys, if readers expect one.
    fn secret_type(self) -> Option<SecretType> {
        match self {
            Self::Default | Self::Env | Self::Crossplane => None,
            Self::Cnpg => Some(SecretType::BasicAuth),
            Self::ServiceBinding => Some(SecretType::ServiceBinding),
        }
    }
}

impl Credentials {
    /// The type of the Secret.
    #[must_use]
    pub fn secret_type(&self) -> SecretType {
        let of_formats = self.formats.iter().find_map(|format| format.secret_type());
        self.secret_type.or(of_formats).unwrap_or_default()
    }
}

/// When and how a credential is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rotation {
    /// How. It can't change yet.
    pub strategy: RotationStrategy,
    /// How often; never by itself when absent. Not supported yet.
    pub every: Option<String>,
    /// How long the old login stays. Not supported yet.
    pub grace: Option<String>,
}

/// How a credential is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RotationStrategy {
    /// Two logins take turns: what was handed out works until its successor has arrived everywhere.
    #[default]
    Alternate,
    /// The owner itself logs in, and gets a new password: for whoever can take only a password, and no user name.
    InPlace,
}

/// A workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// `Deployment`, `StatefulSet` or `DaemonSet`.
    pub kind: String,
    /// Its name.
    pub name: ObjectName,
}

impl TenantDatabase {
    /// The namespace, `default` when none was given.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        self.metadata.namespace()
    }
}
