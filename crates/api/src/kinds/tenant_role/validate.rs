//! What the fields of a role must agree on.

use std::collections::BTreeSet;

use super::TenantRole;
use crate::kinds::resource::Resource;
use crate::kinds::tenant_database::validate::check_credentials;
use crate::kinds::{Kind, Origin, Violation, settings};

/// What Kubernetes allows a name to have, less `-role-secret`.
const MAX_NAME_BYTES: usize = 253 - "-role-secret".len();

impl Kind for TenantRole {
    const RESOURCE: Resource = super::RESOURCE;

    fn validate(&self, origin: Origin) -> Vec<Violation> {
        let mut found = Vec::new();
        let spec = &self.spec;
        if spec.credentials.secret_name.is_none() && self.metadata.name.as_str().len() > MAX_NAME_BYTES {
            let message = "metadata.name is too long for the Secret's name, `<name>-role-secret`";
            found.push(Violation::new("metadata.name", message).hint("set spec.credentials.secretName"));
        }
        let mut roles = BTreeSet::new();
        for (index, role) in spec.member_of.iter().enumerate() {
            if !roles.insert(role) {
                found.push(Violation::new(format!("spec.memberOf[{index}]"), format!("`{role}` is listed twice")));
            }
        }
        let mut databases = BTreeSet::new();
        for (index, database) in spec.databases.iter().enumerate() {
            let path = database.path(&self.namespace());
            if !databases.insert(path.clone()) {
                found.push(Violation::new(format!("spec.databases[{index}]"), format!("`{path}` is listed twice")));
            }
        }
        settings::check("spec.settings", &spec.settings, &mut found);
        check_credentials(&spec.credentials, origin, &mut found);
        found
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
