//! What was last applied of a declaration.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tenantdb_api::tenant_database::{AccessLevel, DeletionPolicy, DeletionProtection};
use tenantdb_core::LoginScheme;

use crate::access::Consent;

/// The declared attributes of a tenant, as they were last applied. It tells what was declared before and no longer
/// is, and holds the policies that a deletion obeys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Applied {
    /// How its applications log in.
    pub(crate) logins: LoginScheme,
    pub(crate) connection_limit: Option<i32>,
    pub(crate) comment: Option<String>,
    pub(crate) settings: BTreeMap<String, String>,
    /// The shared roles that the tenant joined.
    pub(crate) member_of: BTreeSet<String>,
    pub(crate) schemas: BTreeSet<String>,
    pub(crate) extensions: BTreeMap<String, Extension>,
    /// The server's other logins that keep CONNECT.
    pub(crate) connect_for: BTreeSet<String>,
    /// Whom the database lets in beside its tenant.
    pub(crate) access: Vec<Consent>,
    /// The databases that an account uses: `namespace/name` of their declarations, in their order.
    pub(crate) databases: Vec<(String, AccessLevel)>,
    pub(crate) deletion_protection: DeletionProtection,
    pub(crate) db_deletion_policy: DeletionPolicy,
    pub(crate) role_deletion_policy: DeletionPolicy,
}

/// What is declared of an extension; whatever is there will do for what is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Extension {
    pub(crate) version: Option<String>,
    pub(crate) schema: Option<String>,
}

impl Default for Applied {
    /// Nothing declared, and everything kept.
    fn default() -> Self {
        Self {
            logins: LoginScheme::default(),
            connection_limit: None,
            comment: None,
            settings: BTreeMap::new(),
            member_of: BTreeSet::new(),
            schemas: BTreeSet::new(),
            extensions: BTreeMap::new(),
            connect_for: BTreeSet::new(),
            access: Vec::new(),
            databases: Vec::new(),
            deletion_protection: DeletionProtection::On,
            db_deletion_policy: DeletionPolicy::Orphan,
            role_deletion_policy: DeletionPolicy::Orphan,
        }
    }
}

impl Applied {
    /// What a claim begins with: until it is finished, it has the policies it was declared with and its way to log in, and
    /// nothing else.
    pub(crate) fn claimed(&self) -> Self {
        Self {
            logins: self.logins,
            deletion_protection: self.deletion_protection,
            db_deletion_policy: self.db_deletion_policy,
            role_deletion_policy: self.role_deletion_policy,
            ..Self::default()
        }
    }

    /// What the ledger stored; what can't be read counts as nothing declared and everything kept.
    pub(crate) fn from_stored(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// What the ledger stores.
    pub(crate) fn to_stored(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }

    /// The policies, for people.
    pub(crate) fn policies(&self) -> String {
        let protection = if self.deletion_protection == DeletionProtection::On { "on" } else { "off" };
        format!(
            "deletion protection {protection}, database {:?}, roles {:?}",
            self.db_deletion_policy, self.role_deletion_policy
        )
    }
}
