//! Who a tenant belongs to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tenantdb_api::{Namespace, ObjectName, Tenant, tenant_database};

/// Who speaks for a set of declarations: `project:<id>` for the command line, `cluster:<id>` for an operator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Authority(Arc<str>);

/// What a text must look like to be an [`Authority`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an authority: `project:` or `cluster:` and an id of letters, digits, `-`, `_`, `.` and `/`")]
pub struct InvalidAuthority(String);

impl Authority {
    /// The authority of a project of the command line.
    ///
    /// # Errors
    /// When the id holds something other than letters, digits, `-`, `_`, `.` and `/`, or more than 200 bytes.
    pub fn project(id: &str) -> Result<Self, InvalidAuthority> {
        format!("project:{id}").parse()
    }

    /// The authority of a cluster's operator.
    ///
    /// # Errors
    /// When the id holds something other than letters, digits, `-`, `_`, `.` and `/`, or more than 200 bytes.
    pub fn cluster(id: &str) -> Result<Self, InvalidAuthority> {
        format!("cluster:{id}").parse()
    }

    /// Stands for one that is not made yet: a declaration can be checked without knowing whose it is.
    #[must_use]
    pub fn unnamed() -> Self {
        Self("project:-".into())
    }

    /// The text that the ledger holds.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the project, if it is one's.
    #[must_use]
    pub fn project_id(&self) -> Option<&str> {
        self.0.strip_prefix("project:")
    }

    /// The id of the cluster, if it is one's.
    #[must_use]
    pub fn cluster_id(&self) -> Option<&str> {
        self.0.strip_prefix("cluster:")
    }
}

impl FromStr for Authority {
    type Err = InvalidAuthority;
    fn from_str(text: &str) -> Result<Self, InvalidAuthority> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
        match text.split_once(':') {
            Some(("project" | "cluster", id)) if (1..=200).contains(&id.len()) && id.bytes().all(legal) => {
                Ok(Self(text.into()))
            }
            _ => Err(InvalidAuthority(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Authority {
    type Error = InvalidAuthority;
    fn try_from(text: String) -> Result<Self, InvalidAuthority> {
        text.parse()
    }
}

impl From<Authority> for String {
    fn from(authority: Authority) -> String {
        authority.as_str().to_owned()
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity of a declaration, and with it the right to what it made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    /// Who speaks for it.
    pub authority: Authority,
    /// Its kind, such as `TenantDatabase`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: ObjectName,
    /// The further login of a database that it is, if it is one.
    pub access: Option<ObjectName>,
}

impl Claim {
    /// The claim of a declaration.
    #[must_use]
    pub fn new(authority: &Authority, tenant: &Tenant) -> Self {
        Self {
            authority: authority.clone(),
            kind: tenant.resource().kind,
            namespace: tenant.namespace(),
            name: tenant.metadata().name.clone(),
            access: None,
        }
    }

    /// Whether it is about a database, and not about who is let into one.
    #[must_use]
    pub fn is_database(&self) -> bool {
        self.kind == tenant_database::RESOURCE.kind && self.access.is_none()
    }

    /// The same declaration, if it were another authority's.
    #[must_use]
    pub fn of(&self, authority: &Authority) -> Self {
        Self { authority: authority.clone(), ..self.clone() }
    }

    /// The claim of a declaration that others name as `namespace/name`; `None` when that is none.
    #[must_use]
    pub fn at(path: &str, kind: &'static str, authority: &Authority) -> Option<Self> {
        let (namespace, name) = path.split_once('/')?;
        let (namespace, name) = (namespace.parse().ok()?, name.parse().ok()?);
        Some(Self { authority: authority.clone(), kind, namespace, name, access: None })
    }

    /// The claim of the declaration that this one stands in, and so the claim of its database.
    #[must_use]
    pub fn declaration(&self) -> Self {
        Self { access: None, ..self.clone() }
    }

    /// As people write it: `namespace/name`, of a further login `namespace/name:access`.
    #[must_use]
    pub fn path(&self) -> String {
        let access = self.access.as_ref().map_or_else(String::new, |access| format!(":{access}"));
        format!("{}/{}{access}", self.namespace, self.name)
    }
}

/// Where in a cluster a declaration stands, by what never comes again: another namespace may have the same name later, and
/// another cluster the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The UID of the namespace `kube-system`, which tells a cluster from every other.
    pub cluster: String,
    /// The UID of its own namespace.
    pub namespace: String,
}

/// What a person means who names a declaration of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its kind; any when absent.
    pub kind: Option<String>,
    /// Its name.
    pub name: ObjectName,
    /// The further login of that database.
    pub access: Option<ObjectName>,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = self.access.as_ref().map_or_else(String::new, |access| format!(":{access}"));
        write!(f, "{}{access}", self.name)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.kind, self.path(), self.authority)
    }
}
