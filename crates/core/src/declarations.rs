//! What is declared for one server.

use std::collections::BTreeMap;

use tenantdb_api::{DatabaseServer, Declared, Diagnostic, Tenant};

use crate::Claim;
use crate::names::TenantNames;

/// The declarations for one server.
#[derive(Clone, Copy, Debug)]
pub struct Declarations<'a> {
    /// The server.
    pub server: &'a Declared<DatabaseServer>,
    /// What it is to hold.
    pub tenants: &'a [Declared<Tenant>],
}

/// The names that the ledger recorded for tenants that are there already: those stay, whatever the server's naming says
/// now.
pub type Recorded = BTreeMap<Claim, TenantNames>;

/// Why a declaration can't be used.
#[derive(Debug)]
pub enum Unusable {
    /// It contradicts itself or its server.
    Wrong(Vec<Diagnostic>),
    /// What it would be called belongs to one of those before it.
    Taken(Vec<Diagnostic>),
}

impl Unusable {
    /// Whether it would do if another did not have its name.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Taken(_))
    }

    /// What is wrong with it.
    #[must_use]
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        match self {
            Self::Wrong(found) | Self::Taken(found) => found,
        }
    }
}
