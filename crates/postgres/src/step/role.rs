//! Roles that exist for what they own and carry, and who is a member of which.

use strum::{IntoStaticStr, VariantNames};

use super::{Group, PostgresStep};
use crate::sql::{Membership, name};
use crate::{ESTATE, Taking};

/// A step on roles.
#[derive(Clone, Debug, PartialEq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum RoleStep {
    /// Makes the tenant's role, which can't log in.
    CreateOwner {
        /// Its name.
        owner: String,
        /// Whether it owns a database's content, or only carries what its logins may do.
        tenant: bool,
    },
    /// Takes away what a role of a tenant may do beyond its privileges.
    TakePowers {
        /// Its name.
        role: String,
        /// As `CREATE ROLE` spells them, such as `CREATEDB`.
        powers: Vec<&'static str>,
        /// How the estate gets at it.
        taking: Taking,
    },
    /// Makes a slot a member of the tenant's role, which it switches to.
    GrantMembership {
        /// The slot.
        role: String,
        /// The tenant's role.
        owner: String,
        /// Whether the server knows membership options.
        options: bool,
    },
    /// Makes a role a member of another: it has its privileges, and can't switch to it.
    JoinRole {
        /// The role that it joins.
        role: String,
        /// The role that joins.
        member: String,
        /// Whether the server knows membership options.
        options: bool,
        /// Who may grant it.
        taking: Taking,
    },
    /// Takes a role of a tenant out of a role that it should not be in.
    LeaveRole {
        /// The role that it is in.
        role: String,
        /// The tenant's.
        member: String,
        /// Who granted it, on a server where several may have.
        grantor: Option<String>,
        /// Who may take it back.
        taking: Taking,
    },
    /// Destroys roles.
    DropRoles {
        /// The roles.
        roles: Vec<String>,
    },
}

impl From<RoleStep> for PostgresStep {
    fn from(step: RoleStep) -> Self {
        Self::Role(step)
    }
}

impl Group for RoleStep {
    fn kind(&self) -> &'static str {
        self.into()
    }

    fn sign(&self) -> Option<char> {
        match self {
            Self::CreateOwner { .. } => Some('+'),
            Self::TakePowers { .. } | Self::GrantMembership { .. } | Self::JoinRole { .. } | Self::LeaveRole { .. } => {
                Some('~')
            }
            Self::DropRoles { .. } => Some('-'),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::CreateOwner { owner, tenant: true } => format!("role {owner}, the tenant, without login"),
            Self::CreateOwner { owner, .. } => format!("role {owner}, without login"),
            Self::TakePowers { role, powers, .. } => format!("role {role}: no {}", powers.join(", no ")),
            Self::GrantMembership { role, owner, .. } => format!("login {role}: member of {owner}"),
            Self::JoinRole { role, member, .. } => format!("role {member}: member of {role}"),
            Self::LeaveRole { role, member, .. } => format!("role {member}: no member of {role}"),
            Self::DropRoles { roles } => format!("roles {}: dropped", roles.join(", ")),
        }
    }

    fn sql(&self, _verifier: &str) -> Vec<String> {
        match self {
            Self::CreateOwner { owner, .. } => vec![format!("CREATE ROLE {} NOLOGIN", name(owner))],
            Self::TakePowers { role, powers, taking } => taking.around(without(role, powers)),
            Self::GrantMembership { role, owner, options } => {
                vec![format!("GRANT {} TO {}{}", name(owner), name(role), Membership::Switch.options(*options))]
            }
            Self::JoinRole { role, member, options, taking } => {
                let options = Membership::Inherit.options(*options);
                taking.around(format!("GRANT {} TO {}{options}", name(role), name(member)))
            }
            Self::LeaveRole { role, member, grantor, taking } => taking.around(leave(role, member, grantor.as_deref())),
            Self::DropRoles { roles } => drop_all(roles),
        }
    }
}

/// Lets the estate decide who joins a role, without being a member of it itself.
pub(crate) fn administer_role(role: &str, options: bool) -> String {
    let options = if options { ", INHERIT FALSE, SET FALSE" } else { "" };
    format!("GRANT {} TO {ESTATE} WITH ADMIN OPTION{options}", name(role))
}

/// Takes powers off a role.
pub(crate) fn without(role: &str, powers: &[&str]) -> String {
    let powers: Vec<String> = powers.iter().map(|power| format!("NO{power}")).collect();
    format!("ALTER ROLE {} {}", name(role), powers.join(" "))
}

/// Takes a role out of another, and out with it whom it let in there.
pub(crate) fn leave(role: &str, member: &str, grantor: Option<&str>) -> String {
    let grantor = grantor.map_or_else(String::new, |grantor| format!(" GRANTED BY {}", name(grantor)));
    format!("REVOKE {} FROM {}{grantor} CASCADE", name(role), name(member))
}

/// Destroys roles, as far as they are there.
pub(super) fn drop_all(roles: &[String]) -> Vec<String> {
    roles.iter().map(|role| format!("DROP ROLE IF EXISTS {}", name(role))).collect()
}
