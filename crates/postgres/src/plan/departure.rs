//! Roles and databases that are to be dropped, and what is in their way: privileges in other tenants' databases, locks, and
//! what only somebody else can end.

use std::collections::BTreeMap;

use tenantdb_api::tenant_database::DeletionPolicy;
use tenantdb_core::{Refusal, RefusalKind};

use crate::ledger::{self, TenantRow};
use crate::observe::{Database, Observed, Obstacle, Tie};
use crate::sql::{name, text};
use crate::step::{ContentStep, PostgresStep, SessionStep};

/// What has to be done before roles of a tenant can be dropped, beside emptying its own database of them.
pub(super) fn untie(roles: &[String], row: &TenantRow, observed: &Observed) -> Vec<PostgresStep> {
    let options = observed.shared.has_membership_options();
    let logins = observed.lock_holders(roles, &row.claim);
    let locks = (!logins.is_empty()).then(|| SessionStep::EndLocks { logins, roles: roles.to_vec(), options });
    let left = leave_others(roles, row, observed).into_iter().map(PostgresStep::from);
    left.chain(locks.map(PostgresStep::from)).collect()
}

/// Takes away what other tenants granted to the roles in their own databases.
fn leave_others(roles: &[String], row: &TenantRow, observed: &Observed) -> Vec<ContentStep> {
    let left = elsewhere(row, observed).filter_map(|(database, ties)| {
        let roles: Vec<String> = roles.iter().filter(|role| ties.contains_key(*role)).cloned().collect();
        leave(roles, database, observed)
    });
    left.collect()
}

/// Takes away what roles were granted in a tenant's database; nothing where there is nothing, or nobody to do it for.
pub(super) fn leave(roles: Vec<String>, database: &str, observed: &Observed) -> Option<ContentStep> {
    let holder = observed.ledger.as_ref()?.database(database).filter(|_| !roles.is_empty())?;
    let exists = |role: &&String| observed.shared.roles.contains_key(*role);
    let holders = holder.roles().into_iter().filter(exists).cloned().collect();
    let options = observed.shared.has_membership_options();
    Some(ContentStep::LeaveDatabase { roles, holders, database: database.to_owned(), options })
}

/// What ties a role to another database than its tenant's, where nobody but a superuser can untie it: things that it owns
/// there are not its to destroy, and what was granted to it in a database that is no tenant's is not ours to take.
pub(super) fn stuck<'a>(role: &str, row: &TenantRow, observed: &'a Observed) -> Option<(&'a String, Tie)> {
    let mut tied = elsewhere(row, observed).filter_map(|(database, ties)| Some((database, *ties.get(role)?)));
    let is_tenants = |database: &str| observed.ledger.as_ref().is_some_and(|all| all.database(database).is_some());
    tied.find(|(database, tie)| !(is_tenants(database) && *tie == Tie::Privileges))
}

/// What ties roles to databases that are not their tenant's own. An account has none: its credential names one of those
/// that it is let into.
fn elsewhere<'a>(
    row: &TenantRow,
    observed: &'a Observed,
) -> impl Iterator<Item = (&'a String, &'a BTreeMap<String, Tie>)> {
    let own = (!ledger::is_account(&row.claim)).then(|| row.database.clone());
    observed.ties.iter().filter(move |(database, _)| own.as_ref() != Some(*database))
}

/// What nobody but its maker can end: found before the first step, else a tenant would be left without its credential,
/// and with its database.
pub(super) fn obstructed(row: &TenantRow, roles_go: bool, observed: &Observed) -> Option<Refusal> {
    let (found, applied) = (&observed.obstacles, &row.applied);
    let is_dropped = applied.db_deletion_policy == DeletionPolicy::Delete && !ledger::is_account(&row.claim);
    let of_database = found.databases.get(&row.database).filter(|_| is_dropped).into_iter();
    let roles = row.roles();
    let of_roles = roles.iter().filter(|_| roles_go).filter_map(|role| found.roles.get(*role));
    // Another tenant has no say in what its roles and its database are.
    let may_change = |by: &String| roles.contains(by) || !observed.is_tenants(by);
    let changes = found.changes.iter().filter(|(by, _)| (roles_go || is_dropped) && may_change(by));
    let mut obstacles = of_database.chain(of_roles).flatten().chain(changes.map(|(_, obstacle)| obstacle));
    let obstacle = obstacles.next().map(|obstacle| way_round(obstacle, &row.database));
    obstacle
        .or_else(|| owner_elsewhere(row, observed).filter(|_| roles_go))
        .or_else(|| occupied(row, observed).filter(|_| is_dropped))
}

/// Logins that are no tenant's and have a session in a database. Our own may still be leaving it.
pub(super) fn outsiders<'a>(found: &'a Database, observed: &'a Observed) -> impl Iterator<Item = &'a String> {
    let is_outside = |login: &&String| !observed.is_tenants(login) && **login != observed.shared.login;
    found.sessions.keys().filter(is_outside)
}

/// Somebody in the database whose session this administrator can't end.
fn occupied(row: &TenantRow, observed: &Observed) -> Option<Refusal> {
    let shared = &observed.shared;
    let found = shared.databases.get(&row.database).filter(|found| !found.invalid())?;
    let (estate, is_superuser) =
        (shared.estate(), |name: &str| shared.roles.get(name).is_some_and(|role| role.superuser));
    let may_end = |login: &str| {
        let may_signal = estate.inherits.contains("pg_signal_backend") && !is_superuser(login);
        shared.admin().superuser || estate.inherits.contains(login) || may_signal
    };
    let login = outsiders(found, observed).find(|login| !may_end(login))?;
    let message = format!("`{login}` has a session in its database, and this administrator can't end it");
    let hint = format!(
        "end it there, or as a superuser run: SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}",
        text(&row.database)
    );
    Some(Refusal::new(RefusalKind::Conflict, message).hint(hint))
}

/// Another database that belongs to a role which would be dropped.
fn owner_elsewhere(row: &TenantRow, observed: &Observed) -> Option<Refusal> {
    let roles = row.roles();
    let stays = row.applied.db_deletion_policy == DeletionPolicy::Orphan && !ledger::is_account(&row.claim);
    let goes = |owner: &String| roles.contains(owner) && !(stays && *owner == row.owner);
    let mut databases = observed.shared.databases.iter();
    let (database, found) = databases.find(|(database, found)| **database != row.database && goes(&found.owner))?;
    let message = format!("its role `{}` owns database `{database}` as well", found.owner);
    let hint = format!("give that to somebody else first: ALTER DATABASE {} OWNER TO …", name(database));
    Some(Refusal::new(RefusalKind::Conflict, message).hint(hint))
}

fn way_round(obstacle: &Obstacle, database: &str) -> Refusal {
    let (what, hint) = match obstacle {
        Obstacle::Prepared { gid, database } => {
            let gid = text(gid);
            (
                format!(
                    "the prepared transaction {gid} of database `{database}` holds locks on what would be dropped, or may"
                ),
                format!(
                    "in database `{database}`, as who prepared it or as a superuser, run: COMMIT PREPARED {gid}, or ROLLBACK \
                     PREPARED {gid}"
                ),
            )
        }
        Obstacle::Subscription(subscription) => (
            format!("the subscription `{subscription}` writes into its database"),
            format!("in database `{database}`, as its owner run: DROP SUBSCRIPTION {}", name(subscription)),
        ),
        Obstacle::ReplicationSlot(slot) => (
            format!("somebody reads what changes in its database through the replication slot `{slot}`"),
            format!(
                "end that subscription, or as a superuser run: SELECT pg_terminate_backend(active_pid), \
                     pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = {}",
                text(slot)
            ),
        ),
    };
    Refusal::new(RefusalKind::Conflict, what).hint(hint)
}
