//! What managed services do that PostgreSQL itself does not.

use std::collections::BTreeSet;

use tenantdb_core::names::TenantNames;
use tenantdb_core::{Refusal, RefusalKind};

use crate::observe::{Database, Shared};
use crate::sql::name;

/// On RDS and Aurora, members of this role log in with a token, and with a password no more.
const RDS_IAM: &str = "rds_iam";

/// Databases that a service keeps for itself, and the login that owns each; nobody else gets in, whatever their
/// privileges say.
const OF_THE_SERVICE: [(&str, &str); 4] = [
    ("rdsadmin", "rdsadmin"),
    ("cloudsqladmin", "cloudsqladmin"),
    ("azure_maintenance", "azuresu"),
    ("azure_sys", "azuresu"),
];

/// Whether a database is the service's own.
pub(super) fn is_of_the_service(database: &str, found: &Database) -> bool {
    OF_THE_SERVICE.contains(&(database, found.owner.as_str()))
}

/// A role of a tenant that would take the administrator along. Since PostgreSQL 16 whoever makes or administers a role
/// is its member, and so of all that it is a member of.
pub(super) fn lockout(names: &TenantNames, shared: &Shared) -> Option<Refusal> {
    let members = members(RDS_IAM, shared);
    let roles = names.roles();
    let role = roles.iter().find(|role| shared.has_membership_options() && members.contains(role.as_str()))?;
    let message = format!(
        "role `{role}` is a member of {RDS_IAM}: whoever administers it is one as well, and the service would refuse the \
         password of {} from then on",
        shared.login
    );
    let from = if shared.roles.get(RDS_IAM).is_some_and(|found| found.members.contains(role)) {
        name(role)
    } else {
        format!("what {} is a member of", name(role))
    };
    let hint = format!("as who granted it run: REVOKE {RDS_IAM} FROM {from}; its applications log in with a password");
    Some(Refusal::new(RefusalKind::Policy, message).hint(hint))
}

/// All members of a role, in whatever way and through whomever.
fn members<'a>(role: &str, shared: &'a Shared) -> BTreeSet<&'a str> {
    let direct = |role: &str| shared.roles.get(role).into_iter().flat_map(|found| &found.members).map(String::as_str);
    let mut found = BTreeSet::new();
    let mut waiting: Vec<&str> = direct(role).collect();
    while let Some(member) = waiting.pop() {
        if found.insert(member) {
            waiting.extend(direct(member));
        }
    }
    found
}
