//! What stands beside a credential in a file.

use serde::{Deserialize, Serialize};
use tenantdb_api::ObjectName;
use tenantdb_core::{Claim, Delivery, Marker, Subject};

/// What a sidecar says; metadata, never a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Sidecar {
    /// Counts its own writes, so that no two are the same.
    pub(super) version: u64,
    /// Whose credential it is.
    pub(super) authority: String,
    pub(super) kind: String,
    pub(super) name: ObjectName,
    /// The further login of a database that it is for, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) access: Option<ObjectName>,
    /// The server it is for.
    pub(super) server: ObjectName,
    /// What was last about to be written, and by whom.
    pub(super) generation: u64,
    pub(super) writer: String,
}

impl Sidecar {
    /// The one that comes after `before`.
    pub(super) fn after(before: Option<&Self>, delivery: &Delivery, marker: &Marker) -> Self {
        let Claim { authority, kind, name, access, .. } = &delivery.claim;
        Self {
            version: before.map_or(0, |before| before.version).wrapping_add(1),
            authority: authority.to_string(),
            kind: (*kind).to_owned(),
            name: name.clone(),
            access: access.clone(),
            server: delivery.server.clone(),
            generation: marker.generation.0,
            writer: marker.writer.clone(),
        }
    }

    /// Whether a person who says this means its credential.
    pub(super) fn is_called(&self, subject: &Subject) -> bool {
        let Subject { kind, name, access } = subject;
        kind.as_ref().is_none_or(|kind| *kind == self.kind) && self.name == *name && self.access == *access
    }

    /// Whether it is of this claim, whose namespace is that of the folder.
    pub(super) fn is_of(&self, claim: &Claim) -> bool {
        self.authority == claim.authority.as_str()
            && self.kind == claim.kind
            && self.name == claim.name
            && self.access == claim.access
    }

    /// Whose it is, when it is not the delivery's.
    pub(super) fn belongs_to_another(&self, delivery: &Delivery) -> Option<String> {
        if !self.is_of(&delivery.claim) {
            let access = self.access.as_ref().map_or_else(String::new, |access| format!(":{access}"));
            return Some(format!("belongs to {} {}{access} of {}", self.kind, self.name, self.authority));
        }
        (self.server != delivery.server).then(|| format!("is the credential on server {}", self.server))
    }
}
