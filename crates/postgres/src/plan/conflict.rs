//! What keeps a tenant from being touched: names that are someone else's, and names that can't change.

use tenantdb_api::tenant_database::Adopt;
use tenantdb_api::{SqlName, shorten};
use tenantdb_core::names::TenantNames;
use tenantdb_core::{Claim, LoginScheme, Phase, Refusal, RefusalKind};

use super::{adoption, recovery};
use crate::access;
use crate::desired::{Desired, Tenant};
use crate::ledger::{Ledger, ROLE_KIND, TenantRow};
use crate::observe::Observed;
use crate::ownership;

/// Why the tenant can't be touched at all.
pub(super) fn conflict(
    tenant: &Tenant,
    row: Option<&TenantRow>,
    names: &TenantNames,
    desired: &Desired,
    observed: &Observed,
) -> Option<Refusal> {
    match row {
        Some(row) => strangers(tenant, row, desired)
            .or_else(|| super::incomplete(row))
            .or_else(|| super::managed::lockout(names, &observed.shared))
            .or_else(|| moved(tenant, names))
            .or_else(|| logs_in_otherwise(tenant, row))
            .or_else(|| not_the_same(tenant, row, observed))
            .or_else(|| role_out_of_reach(row, observed)),
        None => super::managed::lockout(names, &observed.shared)
            .or_else(|| on_another_server(tenant, desired))
            .or_else(|| someone_elses(tenant, names, desired, observed))
            .or_else(|| not_in_the_ledger(tenant, names, observed)),
    }
    .or_else(|| level_is_taken(tenant, names, row, observed))
}

/// Why an account can't be touched at all.
pub(super) fn account_conflict(
    account: &Tenant,
    row: Option<&TenantRow>,
    names: &TenantNames,
    desired: &Desired,
    observed: &Observed,
) -> Option<Refusal> {
    match row {
        Some(row) => strangers(account, row, desired)
            .or_else(|| super::incomplete(row))
            .or_else(|| renamed(account, names))
            .or_else(|| logs_in_otherwise(account, row))
            .or_else(|| role_out_of_reach(row, observed)),
        None => on_another_server(account, desired).or_else(|| role_is_taken(account, names, observed)),
    }
}

/// A role of its own that only a superuser can change any more.
fn role_out_of_reach(row: &TenantRow, observed: &Observed) -> Option<Refusal> {
    row.roles().into_iter().find_map(|role| ownership::role_out_of_reach(&observed.shared, role))
}

/// What a declaration of the same name has that stood in an earlier namespace, or in another cluster.
fn strangers(tenant: &Tenant, row: &TenantRow, desired: &Desired) -> Option<Refusal> {
    let origin = desired.request.origin(&tenant.claim).filter(|origin| row.is_strangers(Some(origin)))?;
    let Claim { namespace, authority, .. } = &tenant.claim;
    let server = &desired.request.server;
    let is_of_another_cluster = row.origin.as_ref().is_some_and(|recorded| recorded.cluster != origin.cluster);
    let (whose, same) = if is_of_another_cluster {
        (format!("another cluster that is called {authority} as well"), "this is that cluster, built anew")
    } else {
        (format!("an earlier namespace `{namespace}`"), "this is that namespace, made again")
    };
    let left = if row.phase == Phase::Orphaned { ", which left it behind" } else { "" };
    let adopt = if row.phase == Phase::Orphaned && tenant.claim.kind != ROLE_KIND {
        ", or set `adopt: Existing`, which ends its earlier logins"
    } else {
        ""
    };
    let what =
        if tenant.is_account() { format!("role `{}`", row.owner) } else { format!("database `{}`", row.database) };
    Some(Refusal::new(RefusalKind::Conflict, format!("{what} belongs to {} of {whose}{left}", tenant.claim.path())).hint(
        format!(
            "if {same}, the platform runs `tenantdb server takeover {server} --from {authority}` for it; else choose another \
             name{adopt}"
        ),
    ))
}

/// A role whose declared name is not the recorded one.
fn renamed(account: &Tenant, names: &TenantNames) -> Option<Refusal> {
    let declared = account.declared_owner.as_ref().filter(|declared| **declared != names.owner)?;
    let message = format!("`role` is `{}` since it was made, and can't become `{declared}`", names.owner);
    Some(Refusal::new(RefusalKind::Conflict, message).hint(format!("set `role: {}`", names.owner)))
}

/// A role of an account's that somebody else has.
fn role_is_taken(account: &Tenant, names: &TenantNames, observed: &Observed) -> Option<Refusal> {
    let roles = names.of_account();
    let ledger = observed.ledger.as_ref();
    let holder = roles.iter().find_map(|role| Some((role, ledger?.roles.get(role)?)));
    let refuse = |message: String| {
        Some(Refusal::new(RefusalKind::Conflict, message).hint("choose another name, or rename that role"))
    };
    if let Some((role, holder)) = holder {
        return refuse(format!(
            "role `{role}` belongs to {holder}, not to {} of {}",
            account.claim.path(),
            account.claim.authority
        ));
    }
    let role = roles.iter().find(|role| observed.shared.roles.contains_key(*role))?;
    if recovery::lost(account, observed).is_some() {
        return Some(not_proved(&format!("role `{role}`"), account));
    }
    refuse(format!("role `{role}` exists, and tenantdb did not make it"))
}

/// A level of access whose role somebody else has.
fn level_is_taken(
    tenant: &Tenant,
    names: &TenantNames,
    row: Option<&TenantRow>,
    observed: &Observed,
) -> Option<Refusal> {
    let levels = access::levels(names.owner.as_str(), &tenant.applied.access);
    let held = |role: &&String| row.is_some_and(|row| row.levels.contains(*role));
    let taken = levels.keys().filter(|role| !held(role)).find_map(|role| {
        let holder = observed.ledger.as_ref().and_then(|ledger| ledger.roles.get(role));
        match holder.filter(|holder| **holder != tenant.claim) {
            Some(holder) => Some(format!("role `{role}`, which `access` needs, belongs to {holder}")),
            None if observed.shared.roles.contains_key(role) => {
                Some(format!("role `{role}`, which `access` needs, exists, and tenantdb did not make it"))
            }
            None => None,
        }
    });
    taken.map(|message| Refusal::new(RefusalKind::Conflict, message).hint("rename that role, or leave `access` out"))
}

/// A tenant that has its database already, on another server.
fn on_another_server(tenant: &Tenant, desired: &Desired) -> Option<Refusal> {
    let holder = desired.request.elsewhere.get(&tenant.claim)?;
    let message = format!("`server` is `{holder}` since it was made, and can't become `{}`", desired.request.server);
    let is_of_project = tenant.claim.authority.project_id().is_some();
    let folder = if is_of_project { ", or its folder a project of its own (`tenantdb init`)" } else { "" };
    Some(Refusal::new(RefusalKind::Conflict, message).hint(format!(
        "set `server: {holder}` (moving to another server is a migration); if it is another application, give it \
         another name or `namespace`{folder}"
    )))
}

/// A name that was declared and is not the recorded one.
fn moved(tenant: &Tenant, names: &TenantNames) -> Option<Refusal> {
    let declared = [
        ("database", tenant.declared_database.as_ref(), &names.database),
        ("owner", tenant.declared_owner.as_ref(), &names.owner),
    ];
    declared.into_iter().find_map(|(field, declared, recorded)| {
        let declared = declared.filter(|declared| *declared != recorded)?;
        let message = format!("`{field}` is `{recorded}` since it was made, and can't become `{declared}`");
        Some(
            Refusal::new(RefusalKind::Conflict, message)
                .hint(format!("set `{field}: {recorded}`; moving to another name is a migration")),
        )
    })
}

/// Another way to log in than the one it was made with.
fn logs_in_otherwise(tenant: &Tenant, row: &TenantRow) -> Option<Refusal> {
    let shown = |scheme: LoginScheme| match scheme {
        LoginScheme::Alternate => "rotation: {strategy: Alternate}",
        LoginScheme::InPlace => "rotation: {strategy: InPlace}",
        LoginScheme::Passwordless => "mode: None",
    };
    let (recorded, declared) = (row.applied.logins, tenant.applied.logins);
    (recorded != declared).then(|| {
        let (recorded, declared) = (shown(recorded), shown(declared));
        let message = format!(
            "`credentials` has `{recorded}` since it was made; changing it to `{declared}` is not supported yet"
        );
        Refusal::new(RefusalKind::Policy, message).hint(format!("set `credentials: {{{recorded}}}`"))
    })
}

/// A database of the recorded name that is another one than the ledger remembers, or one left behind on purpose.
fn not_the_same(tenant: &Tenant, row: &TenantRow, observed: &Observed) -> Option<Refusal> {
    if row.phase == Phase::Orphaned && tenant.adopt == Adopt::Never {
        let message = format!("database `{}` was left behind by this declaration, and `adopt` is Never", row.database);
        return Some(Refusal::new(RefusalKind::Conflict, message).hint("set `adopt: IfOrphaned` to take it back"));
    }
    let Some(database) = observed.shared.databases.get(&row.database) else { return super::renamed(row, observed) };
    if row.database_oid.is_none() && !super::half_made(database, observed) {
        let taken = super::holder(database, observed).and_then(|holder| super::renamed(holder, observed));
        return Some(taken.unwrap_or_else(|| foreign_database(&row.database, &database.owner)));
    }
    // What is half adopted is asked for as a whole.
    super::replaced(row, database, observed).or_else(|| {
        let reach = || ownership::database_out_of_reach(&observed.shared, &row.database, database);
        if row.adopted { None } else { reach() }
    })
}

/// A name that another claim holds in the ledger.
fn someone_elses(tenant: &Tenant, names: &TenantNames, desired: &Desired, observed: &Observed) -> Option<Refusal> {
    let ledger = observed.ledger.as_ref()?;
    let conflict = |what: String, holder: &Claim, orphaned: bool, field: &str| {
        let left = if orphaned { ", which left it behind" } else { "" };
        let free = free_name(&tenant.claim, observed);
        Refusal::new(
            RefusalKind::Conflict,
            format!("{what} belongs to {holder}{left}, not to {} of {}", tenant.claim.path(), tenant.claim.authority),
        )
        .hint(if orphaned {
            of_an_orphan(tenant, names, ledger, &free)
        } else {
            of_another(&tenant.claim, holder, &format!("{field}: {free}"), desired)
        })
    };
    if let Some(holder) = ledger.database(names.database.as_str()) {
        let orphaned = holder.phase == Phase::Orphaned;
        return Some(conflict(format!("database `{}`", names.database), &holder.claim, orphaned, "database"));
    }
    let role = names.roles().into_iter().find_map(|role| ledger.roles.get(&role).map(|holder| (role, holder)));
    role.map(|(role, holder)| conflict(format!("role `{role}`"), holder, false, "owner"))
}

/// What to do about a database that another declaration left behind.
fn of_an_orphan(tenant: &Tenant, names: &TenantNames, ledger: &Ledger, free: &str) -> String {
    let owner = ledger.database(names.database.as_str()).map(|orphan| orphan.owner.as_str());
    let other = owner.filter(|owner| *owner != names.owner.as_str());
    let owner = other.map_or_else(String::new, |owner| format!("`owner: {owner}`"));
    let adopt = if tenant.adopt == Adopt::Existing { "" } else { "`adopt: Existing`" };
    let both = if owner.is_empty() || adopt.is_empty() { "" } else { " and " };
    format!("set {adopt}{both}{owner} to take it over, which ends its earlier logins; else set `database: {free}`")
}

/// What to do about a name that another claim has: it may be the same declaration, in another project.
fn of_another(claim: &Claim, holder: &Claim, free: &str, desired: &Desired) -> String {
    if holder.namespace == claim.namespace && holder.name == claim.name {
        let (authority, server) = (&holder.authority, &desired.request.server);
        let project = |id| format!("if that is the same project, put `project: {id}` into tenantdb.yaml");
        let cluster = |id| format!("if that is the same cluster, give its operator `--cluster-id {id}` again");
        let same = authority.project_id().map(project).or_else(|| authority.cluster_id().map(cluster));
        let same = same.unwrap_or_default();
        return format!("{same}, or run `tenantdb server takeover {server} --from {authority}`; else set `{free}`");
    }
    let naming = if holder.namespace == claim.namespace { "" } else { ", or use {namespace} in the server's `naming`" };
    format!("set `{free}`{naming}")
}

/// A name for a database and its owner that nobody has, made of namespace and name.
fn free_name(claim: &Claim, observed: &Observed) -> String {
    let name = shorten(&format!("{}-{}", claim.namespace, claim.name), SqlName::SUGGESTED_BYTES);
    let others = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.clone()).chain(others).find(|name| is_free(name, observed)).unwrap_or(name)
}

fn is_free(name: &str, observed: &Observed) -> bool {
    let Ok(name) = name.parse::<SqlName>() else { return false };
    let names = TenantNames { database: name.clone(), owner: name };
    let Observed { shared, ledger, .. } = observed;
    let database = names.database.as_str();
    let database_taken =
        shared.databases.contains_key(database) || ledger.as_ref().is_some_and(|all| all.database(database).is_some());
    let role_taken = |role: &String| {
        shared.roles.contains_key(role) || ledger.as_ref().is_some_and(|all| all.roles.contains_key(role))
    };
    !database_taken && !names.roles().iter().any(role_taken)
}

/// A database or role that exists, and that tenantdb did not make.
fn not_in_the_ledger(tenant: &Tenant, names: &TenantNames, observed: &Observed) -> Option<Refusal> {
    let shared = &observed.shared;
    if recovery::lost(tenant, observed).is_some() {
        return Some(not_proved(&format!("database `{}`", names.database), tenant));
    }
    let adopted = adoption::to_adopt(tenant, observed);
    if let (Some(found), None) = (shared.databases.get(names.database.as_str()), adopted) {
        return Some(foreign_database(names.database.as_str(), &found.owner));
    }
    if let Some(refusal) = adopted.and_then(|found| adoption::refusal(names, found, observed)) {
        return Some(refusal);
    }
    let slots = tenant.applied.logins.slots().iter().map(|slot| names.slot(*slot).to_string());
    let owner = names.owner.to_string();
    let mut roles = std::iter::once(owner.clone()).chain(slots);
    let foreign = |role: &String| shared.roles.contains_key(role) && (adopted.is_none() || *role != owner);
    let role = roles.find(foreign)?;
    Some(
        Refusal::new(RefusalKind::Conflict, format!("role `{role}` exists, and tenantdb did not make it"))
            .hint("choose another `owner`, or rename that role"),
    )
}

/// What looks as if tenantdb had made it, and may be anyone's.
fn not_proved(what: &str, tenant: &Tenant) -> Refusal {
    let path = tenant.claim.path();
    let message = format!(
        "{what} is there as tenantdb makes it, the ledger does not know it, and no credential here proves that it is {path}'s"
    );
    let otherwise = if tenant.claim.kind == ROLE_KIND {
        "else choose another `role`, or rename that one"
    } else {
        "else set `adopt: Existing` to take it over as it is: who logs in goes on"
    };
    let hint = format!("if the ledger was lost, apply it from where its credential was delivered; {otherwise}");
    Refusal::new(RefusalKind::Conflict, message).hint(hint)
}

fn foreign_database(name: &str, owner: &str) -> Refusal {
    Refusal::new(
        RefusalKind::Conflict,
        format!("database `{name}` exists, is owned by `{owner}`, and tenantdb did not make it"),
    )
    .hint("choose another `database`, or set `adopt: Existing` to take it over")
}
