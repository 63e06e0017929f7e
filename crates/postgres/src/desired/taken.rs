//! Names that two declarations would share.

use std::collections::HashMap;
use std::fmt;

use tenantdb_api::{Declared, Diagnostic};

use super::Tenant;

/// What the declarations before have taken, and which of them.
#[derive(Default)]
pub(super) struct Taken<'a> {
    databases: HashMap<String, Holder<'a>>,
    roles: HashMap<String, Holder<'a>>,
    secrets: HashMap<(String, String), Holder<'a>>,
}

/// Who has taken something; where it is declared is only looked up to be told.
#[derive(Clone, Copy)]
struct Holder<'a>(&'a Declared<tenantdb_api::Tenant>);

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(declared) = self;
        let metadata = declared.resource.metadata();
        write!(f, "{}/{}", metadata.namespace(), metadata.name)?;
        declared.file().map_or(Ok(()), |_| write!(f, " ({})", declared.location()))
    }
}

impl<'a> Taken<'a> {
    /// Takes the names of a database.
    pub(super) fn add(&mut self, tenant: &Tenant, declared: &'a Declared<tenantdb_api::Tenant>) -> Vec<Diagnostic> {
        let holder = Holder(declared);
        let mut found = Vec::new();
        let database = tenant.names.database.to_string();
        match self.databases.get(&database) {
            Some(other) => found.push(
                declared
                    .error("spec.database", format!("the database `{database}` is also declared by {other}"))
                    .hint("give one of them another `database`, or use {namespace} in the server's `naming`"),
            ),
            None => drop(self.databases.insert(database, holder)),
        }
        let taken = self.roles(tenant.names.roles(), holder);
        if let (true, Some((role, other))) = (found.is_empty(), taken) {
            found.push(
                declared
                    .error("spec.owner", format!("the role name `{role}` belongs to {other}"))
                    .hint("slots and access levels add `_a`, `_b`, `_c`, `_ro` and `_rw`: choose another `owner`"),
            );
        }
        let secret = self.secret(tenant, holder);
        found.extend(secret.map(|message| declared.error("spec.credentials.secretName", message)));
        found
    }

    /// Takes the names of a database's further login, the `index`th that is declared.
    pub(super) fn add_further(
        &mut self,
        login: &Tenant,
        declared: &'a Declared<tenantdb_api::Tenant>,
        index: usize,
    ) -> Vec<Diagnostic> {
        let (holder, path) = (Holder(declared), format!("spec.access[{index}].name"));
        let taken = self.roles(login.names.of_account(), holder).map(|(role, other)| {
            let message = format!("the role name `{role}` belongs to {other}");
            declared.error(&path, message).hint("choose another name")
        });
        let secret = self.secret(login, holder).map(|message| declared.error(&path, message));
        taken.into_iter().chain(secret).collect()
    }

    /// Takes the names of a role without a database of its own.
    pub(super) fn add_role(&mut self, role: &Tenant, declared: &'a Declared<tenantdb_api::Tenant>) -> Vec<Diagnostic> {
        let holder = Holder(declared);
        let taken = self.roles(role.names.of_account(), holder).map(|(name, other)| {
            let message = format!("the role name `{name}` belongs to {other}");
            declared.error("spec.role", message).hint("slots add `_a`, `_b` and `_c`: choose another `role`")
        });
        let secret = self.secret(role, holder);
        let secret = secret.map(|message| declared.error("spec.credentials.secretName", message));
        taken.into_iter().chain(secret).collect()
    }

    /// Takes names of roles; the first that somebody else has.
    fn roles(&mut self, names: Vec<String>, holder: Holder<'a>) -> Option<(String, Holder<'a>)> {
        let taken = names.iter().find_map(|name| Some((name.clone(), *self.roles.get(name)?)));
        for name in names {
            self.roles.entry(name).or_insert(holder);
        }
        taken
    }

    /// Takes the place of a credential, or says whose it is.
    fn secret(&mut self, tenant: &Tenant, holder: Holder<'a>) -> Option<String> {
        let secret = (tenant.claim.namespace.to_string(), tenant.secret_name.to_string());
        let taken = self.secrets.get(&secret);
        let told = taken.map(|other| format!("the credential `{}` is also that of {other}", tenant.secret_name));
        self.secrets.entry(secret).or_insert(holder);
        told
    }
}
