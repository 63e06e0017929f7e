//! Names that are nobody's to choose.

use tenantdb_api::DatabaseServer;

use crate::{ESTATE, LEDGER};

/// The names that nobody may have.
pub(super) struct Reserved<'a> {
    /// The administrator's: every entry with a password may bring a login of its own.
    admins: Vec<&'a str>,
}

impl<'a> Reserved<'a> {
    pub(super) fn of(server: &'a DatabaseServer, admin: &'a str) -> Self {
        let sources = server.spec.admin.iter().flat_map(|admin| &admin.password_from);
        let others = sources.filter_map(|source| source.username.as_ref().map(AsRef::as_ref));
        Self { admins: std::iter::once(admin).chain(others).collect() }
    }

    /// Why nobody may have this one.
    pub(super) fn why(&self, name: &str) -> Option<String> {
        const RESERVED: [&str; 7] = ["postgres", "template0", "template1", LEDGER, ESTATE, "none", "public"];
        if self.admins.contains(&name) {
            return Some(format!("`{name}` is the administrator's"));
        }
        if RESERVED.contains(&name) || name.starts_with("pg_") {
            return Some(format!("`{name}` is reserved"));
        }
        None
    }
}
