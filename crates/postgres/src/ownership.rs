//! How the estate gets at what another role owns.

use tenantdb_core::{Refusal, RefusalKind};

use crate::ESTATE;
use crate::observe::{Database, Granted, Role, Setter, Shared};
use crate::sql::{Membership, name};

/// The way to a statement that not everyone may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taking {
    /// The estate has the owner's privileges already.
    Estate,
    /// The estate joins the owner, for the length of the transaction.
    Member {
        /// The owner.
        role: String,
        /// Whether the server knows membership options.
        options: bool,
    },
    /// The administrator's own login may do it: it is a superuser, or the owner itself.
    Login,
}

impl Taking {
    /// How to take what `owner` owns; `None` when the administrator's login can't.
    pub(crate) fn of(shared: &Shared, owner: &str) -> Option<Self> {
        let estate = shared.estate();
        // Whoever owns a database is a member of pg_database_owner in it.
        if owner == ESTATE || owner == "pg_database_owner" || estate.inherits.contains(owner) {
            return Some(Self::Estate);
        }
        if shared.admin().superuser || owner == shared.login {
            return Some(Self::Login);
        }
        let options = shared.has_membership_options();
        let superuser = shared.roles.get(owner).is_some_and(|role| role.superuser);
        // Before PostgreSQL 16, CREATEROLE was enough to join any role but a superuser.
        let may_join = if options { estate.administers.contains(owner) } else { !superuser };
        may_join.then(|| Self::Member { role: owner.to_owned(), options })
    }

    /// How to take a parameter off a login; `None` when the administrator's login can't. What a library brings along has
    /// a dot in its name, and only sessions that have loaded it know it (PostgreSQL documentation, 20.16).
    pub(crate) fn of_parameter(shared: &Shared, parameter: &str) -> Option<Self> {
        let by_anyone = match shared.parameters.as_ref().and_then(|all| all.get(parameter)) {
            Some(settable) => *settable == Setter::Anyone,
            // Some of the server's own are not shown, such as `role`.
            None => !parameter.contains('.'),
        };
        if by_anyone { Some(Self::Estate) } else { shared.admin().superuser.then_some(Self::Login) }
    }

    /// How to let somebody join a role; `None` when the administrator's login can't. Before PostgreSQL 16 CREATEROLE
    /// was enough for any role but a superuser.
    pub(crate) fn of_membership(shared: &Shared, role: &str) -> Option<Self> {
        let superuser = shared.roles.get(role).is_some_and(|role| role.superuser);
        let may =
            |actor: &str| if shared.has_membership_options() { shared.may_admit(actor, role) } else { !superuser };
        if may(ESTATE) {
            return Some(Self::Estate);
        }
        (shared.admin().superuser || may(&shared.login)).then_some(Self::Login)
    }

    /// How to let a login into a database that is no tenant's; `None` when the administrator's login can't.
    pub(crate) fn of_door(shared: &Shared, found: &Database) -> Option<Self> {
        if found.doorkeepers.contains(ESTATE) {
            return Some(Self::Estate);
        }
        Self::of(shared, &found.owner)
    }

    /// How to take back what a role was granted; `None` when the administrator's login can't. From PostgreSQL 16 on that
    /// needs the privileges of who granted it.
    pub(crate) fn of_granted(shared: &Shared, granted: &Granted) -> Option<Self> {
        if !shared.has_membership_options() {
            return Self::of_membership(shared, &granted.role);
        }
        let may = |actor: &str| {
            shared.may_admit(actor, &granted.role) && shared.privileges_of(actor).contains(granted.grantor.as_str())
        };
        if may(ESTATE) {
            return Some(Self::Estate);
        }
        (shared.admin().superuser || may(&shared.login)).then_some(Self::Login)
    }

    /// How to take powers off a tenant's role; `None` when the administrator's login can't. The estate has CREATEDB and
    /// CREATEROLE, and may take these away (PostgreSQL documentation, ALTER ROLE).
    pub(crate) fn of_powers(shared: &Shared, role: &Role) -> Option<Self> {
        if role.superuser || role.replication || role.bypass_rls {
            return shared.admin().superuser.then_some(Self::Login);
        }
        Some(Self::Estate)
    }

    /// How to take the schema `public` of a database that was just made; `None` when the administrator's login can't.
    /// Since PostgreSQL 15 it belongs to `pg_database_owner`, before to who made the server (release notes of 15, E.1.2).
    pub(crate) fn of_new_public(shared: &Shared) -> Option<Self> {
        // A server that was never started has no version yet.
        if shared.version >= 15 || shared.version == 0 {
            return Some(Self::Estate);
        }
        shared.admin().superuser.then_some(Self::Login)
    }

    /// The statement, with what has to be around it in its transaction.
    pub(crate) fn around(&self, statement: String) -> Vec<String> {
        self.around_all(vec![statement])
    }

    /// The same for several statements.
    pub(crate) fn around_all(&self, statements: Vec<String>) -> Vec<String> {
        let (before, after) = match self {
            Self::Estate => return statements,
            Self::Member { role, options } => {
                let options = Membership::Inherit.options(*options);
                let role = name(role);
                (format!("GRANT {role} TO {ESTATE}{options}"), format!("REVOKE {role} FROM {ESTATE}"))
            }
            Self::Login => ("SET LOCAL ROLE NONE".to_owned(), format!("SET LOCAL ROLE {ESTATE}")),
        };
        std::iter::once(before).chain(statements).chain([after]).collect()
    }
}

/// A database that only a superuser can take back.
pub(crate) fn database_out_of_reach(shared: &Shared, name: &str, found: &Database) -> Option<Refusal> {
    let statement = || format!("ALTER DATABASE {} OWNER TO {ESTATE}", crate::sql::name(name));
    Taking::of(shared, &found.owner)
        .is_none()
        .then(|| out_of_reach(&format!("database `{name}`"), &found.owner, &statement()))
}

/// A role of a tenant that only a superuser can change any more.
pub(crate) fn role_out_of_reach(shared: &Shared, name: &str) -> Option<Refusal> {
    let role = shared.roles.get(name).filter(|role| Taking::of_powers(shared, role).is_none())?;
    let powers = role.powers();
    let message = format!(
        "role `{name}` is {}, and this administrator can't take that away; nothing of this tenant is touched until it is",
        powers.join(" ")
    );
    let statement = crate::step::without(name, &powers);
    Some(Refusal::new(RefusalKind::Policy, message).hint(format!("as a superuser run: {statement}")))
}

/// What only a superuser can take back.
pub(crate) fn out_of_reach(what: &str, owner: &str, statement: &str) -> Refusal {
    Refusal::new(
        RefusalKind::Policy,
        format!("{what} is owned by `{owner}`, and this administrator can't take it back"),
    )
    .hint(format!("as a superuser run: {statement}"))
}
