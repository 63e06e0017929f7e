//! Taking over a database that somebody else made: whether it may be, and what the server has to be asked for first.

use tenantdb_api::tenant_database::Adopt;
use tenantdb_core::names::TenantNames;
use tenantdb_core::{Refusal, RefusalKind};

use super::forbidden::why_forbidden;
use crate::desired::Tenant;
use crate::observe::{Database, Observed, Shared};
use crate::sql::{Membership, name};
use crate::step::administer_role;
use crate::{ESTATE, Taking};

/// The database that a declaration asks to take over: it is there, and no claim has it.
pub(crate) fn to_adopt<'a>(tenant: &Tenant, observed: &'a Observed) -> Option<&'a Database> {
    if tenant.adopt != Adopt::Existing {
        return None;
    }
    let ledger = observed.ledger.as_ref();
    let is_new = ledger.is_none_or(|ledger| {
        !ledger.tenants.contains_key(&tenant.claim) && ledger.database(tenant.names.database.as_str()).is_none()
    });
    observed.shared.databases.get(tenant.names.database.as_str()).filter(|_| is_new)
}

/// Why a database can't be adopted, all of it told at once.
pub(super) fn refusal(names: &TenantNames, found: &Database, observed: &Observed) -> Option<Refusal> {
    closed(names, found).or_else(|| no_tenant(names, observed)).or_else(|| wrong_owner(names, found, observed))
}

fn closed(names: &TenantNames, found: &Database) -> Option<Refusal> {
    let database = &names.database;
    if found.invalid() {
        let message = format!("the deletion of database `{database}` was interrupted, and nothing is left in it");
        let hint = format!("as its owner run: DROP DATABASE {}; then it is made anew", name(database));
        return Some(Refusal::new(RefusalKind::Conflict, message).hint(hint));
    }
    (!found.allows_connections).then(|| {
        Refusal::new(RefusalKind::Conflict, format!("database `{database}` accepts no connections")).hint(format!(
            "if it is in use, as its owner run: ALTER DATABASE {} ALLOW_CONNECTIONS true",
            name(database)
        ))
    })
}

/// A tenant's powers are its own: what reaches further is nobody's to be.
fn no_tenant(names: &TenantNames, observed: &Observed) -> Option<Refusal> {
    let why = why_forbidden(names.owner.as_str(), observed)?;
    Some(
        Refusal::new(RefusalKind::Policy, format!("role `{}` can't be a tenant: it {why}", names.owner))
            .hint("name another role as `owner`, or take that away from this one"),
    )
}

/// Whoever owns it works with it, unless that is somebody who owns things for others.
fn wrong_owner(names: &TenantNames, found: &Database, observed: &Observed) -> Option<Refusal> {
    let owner = found.owner.as_str();
    let shared = &observed.shared;
    let is_superuser = shared.roles.get(owner).is_some_and(|role| role.superuser);
    if owner == names.owner.as_str() || owner == ESTATE || owner == shared.login || is_superuser {
        return None;
    }
    let message = format!("database `{}` is owned by `{owner}`, and `owner` is `{}`", names.database, names.owner);
    let hint = match why_forbidden(owner, observed) {
        None => format!("set `owner: {owner}`"),
        Some(why) => format!(
            "`{owner}` can't be a tenant: it {why}; give it to who works with it: ALTER DATABASE {} OWNER TO …",
            name(&names.database)
        ),
    };
    Some(Refusal::new(RefusalKind::Conflict, message).hint(hint))
}

/// How to take the database from its owner, once the tenant's role is the estate's to administer.
pub(super) fn taking(shared: &Shared, found: &Database, tenant: &str) -> Option<Taking> {
    if found.owner != tenant || shared.admin().superuser {
        return Taking::of(shared, &found.owner);
    }
    let options = shared.has_membership_options();
    Taking::of_membership(shared, tenant).map(|_| Taking::Member { role: tenant.to_owned(), options })
}

/// A statement that only a superuser may run, and where.
struct Needed<'a> {
    database: &'a str,
    statement: String,
}

/// What a superuser has to do first, where the administrator is none: every statement, so that nothing is half done.
pub(super) fn needs_superuser(
    names: &TenantNames,
    schemas: impl Iterator<Item = String>,
    found: &Database,
    observed: &Observed,
    is_begun: bool,
    estate_is_told: &mut bool,
) -> Option<Refusal> {
    let shared = &observed.shared;
    if shared.admin().superuser {
        return None;
    }
    let needed = roles(names, found, observed).chain(inside(names, schemas, observed)).collect::<Vec<_>>();
    if needed.is_empty() {
        return None;
    }
    // Several are told together, and it is made once.
    let once = if std::mem::replace(estate_is_told, true) { None } else { Some(estate(observed)) };
    let all: Vec<Needed> = once.into_iter().flatten().chain(needed).collect();
    let what = if is_begun { "can't be adopted" } else { "was adopted, and can't be put right" };
    let message = format!(
        "database `{}` {what} by this administrator, which is no superuser; nothing was touched",
        names.database
    );
    Some(Refusal::new(RefusalKind::Policy, message).hint(format!("as a superuser run: {}", script(&all))))
}

/// Statements in their order, each with the database that it is to be run in where that changes.
fn script(all: &[Needed]) -> String {
    let groups = all.chunk_by(|one, next| one.database == next.database).map(|group| {
        let statements: Vec<&str> = group.iter().map(|needed| needed.statement.as_str()).collect();
        let database = group.first().map_or("", |needed| needed.database);
        format!("in database {}: {}", name(database), statements.join("; "))
    });
    groups.collect::<Vec<_>>().join("; ")
}

/// The estate, where nothing was ever made on this server: a superuser can give it nothing before it is there.
fn estate(observed: &Observed) -> impl Iterator<Item = Needed<'_>> {
    let shared = &observed.shared;
    let database = shared.maintenance_database.as_str();
    let role = || format!("CREATE ROLE {ESTATE} NOLOGIN CREATEDB CREATEROLE");
    let options = Membership::Full.options(shared.has_membership_options());
    let membership = || format!("GRANT {ESTATE} TO {}{options}", name(&shared.login));
    let made = (!shared.roles.contains_key(ESTATE)).then(role);
    let joined = (!shared.admin().member_of.contains(ESTATE)).then(membership);
    made.into_iter().chain(joined).map(move |statement| Needed { database, statement })
}

fn roles<'a>(
    names: &TenantNames,
    found: &Database,
    observed: &'a Observed,
) -> impl Iterator<Item = Needed<'a>> + use<'a> {
    let shared = &observed.shared;
    let database = shared.maintenance_database.as_str();
    let tenant = names.owner.as_str();
    let out_of_reach = shared.roles.contains_key(tenant) && Taking::of_membership(shared, tenant).is_none();
    let administer = out_of_reach.then(|| administer_role(tenant, shared.has_membership_options()));
    let is_tenants = found.owner == tenant;
    let own = (!is_tenants && Taking::of(shared, &found.owner).is_none())
        .then(|| format!("ALTER DATABASE {} OWNER TO {ESTATE}", name(&names.database)));
    administer.into_iter().chain(own).map(move |statement| Needed { database, statement })
}

/// Schemas that have to be the tenant's and are out of reach, and a database that keeps the administrator out.
fn inside<'a>(
    names: &'a TenantNames,
    schemas: impl Iterator<Item = String>,
    observed: &'a Observed,
) -> impl Iterator<Item = Needed<'a>> {
    let shared = &observed.shared;
    let database = names.database.as_str();
    let tenant = names.owner.as_str();
    let kept_out = observed.unseen.contains_key(database).then(|| Needed {
        database: &shared.maintenance_database,
        statement: format!("GRANT CONNECT ON DATABASE {} TO {}", name(database), name(&shared.login)),
    });
    let owners = observed.inside.get(database).map(|inside| &inside.schemas);
    let out_of_reach = schemas.filter_map(move |schema| {
        let owner = owners?.get(&schema)?;
        let reached = owner == tenant || Taking::of(shared, owner).is_some();
        let stays = schema == "public" && Taking::of_new_public(shared).is_none();
        // The database's owner is asked for first, and has what is pg_database_owner's.
        let statement = || format!("ALTER SCHEMA {} OWNER TO pg_database_owner", name(&schema));
        (!reached && !stays).then(|| Needed { database, statement: statement() })
    });
    kept_out.into_iter().chain(out_of_reach)
}
