//! What has to be so on a server before it is worked on: an estate and a ledger that are ours, and a login that can do its
//! work.

use tenantdb_core::{Failure, FailureKind};

use crate::observe::Shared;
use crate::{ESTATE, LEDGER, bootstrap};

/// Whoever may make roles could have made one of the estate's name, and given it what the estate must not have.
fn check_estate(shared: &Shared) -> Result<(), Failure> {
    let lacks = shared.roles.get(ESTATE).map(bootstrap::estate_lacks).unwrap_or_default();
    if lacks.is_empty() {
        return Ok(());
    }
    let message = format!("role {ESTATE} is not as tenantdb makes it, and can't be trusted with tenants' databases");
    Err(Failure::new(FailureKind::Rejected, message).hint(format!(
        "find out who changed it; `tenantdb server bootstrap` mends it, or as a superuser run: ALTER ROLE {ESTATE} {}",
        lacks.join(" ")
    )))
}

/// The administrator's login must be able to do its work; a member of the estate has that from there.
pub(crate) fn check_admin(shared: &Shared) -> Result<(), Failure> {
    check_estate(shared)?;
    let admin = shared.admin();
    let joined = admin.superuser || admin.member_of.contains(ESTATE);
    if joined || (admin.create_db && admin.create_role) {
        return if joined { Ok(()) } else { check_can_join(shared) };
    }
    let lacks = match (admin.create_db, admin.create_role) {
        (false, false) => "CREATEDB and CREATEROLE",
        (false, true) => "CREATEDB",
        _ => "CREATEROLE",
    };
    Err(Failure::new(FailureKind::Rejected, format!("the administrator's login {} lacks {lacks}", shared.login)).hint(
        format!("as a superuser run: ALTER ROLE {} {}", crate::sql::name(&shared.login), lacks.replace(" and", "")),
    ))
}

/// Where somebody else made the estate, the administrator's login has to be able to join it: since PostgreSQL 16 that
/// takes the ADMIN option, whatever else it may do.
fn check_can_join(shared: &Shared) -> Result<(), Failure> {
    let exists = shared.roles.contains_key(ESTATE);
    if !exists || !shared.has_membership_options() || shared.admin().administers.contains(ESTATE) {
        return Ok(());
    }
    let message =
        format!("the administrator's login {} is no member of {ESTATE}, which another one made", shared.login);
    Err(Failure::new(FailureKind::Rejected, message).hint(format!(
        "as that one, or as a superuser run: GRANT {ESTATE} TO {} WITH INHERIT TRUE, SET TRUE",
        crate::sql::name(&shared.login)
    )))
}

/// Whether there is a ledger to read. Anyone with CREATEDB could have made a database of its name, so it is looked at
/// from outside before it is connected to.
pub(crate) fn trusted_ledger(shared: &Shared) -> Result<bool, Failure> {
    let Some(ledger) = shared.databases.get(LEDGER) else { return Ok(false) };
    let stop = |message: String, hint: &str| Err(Failure::new(FailureKind::Rejected, message).hint(hint));
    if ledger.owner != ESTATE {
        return stop(
            format!(
                "database {LEDGER} is owned by {}, not by {ESTATE}, and can't be trusted as the ledger",
                ledger.owner
            ),
            "find out who made it; rename it to let tenantdb make its own",
        );
    }
    if !ledger.allows_connections {
        return Ok(false);
    }
    let stranger = ledger.grants.iter().find(|(_, privileges)| !privileges.is_empty());
    if let Some((stranger, _)) = stranger {
        let stranger = stranger.as_deref().unwrap_or("PUBLIC");
        return stop(
            format!("database {LEDGER} is open to {stranger}, and can't be trusted as the ledger"),
            "find out who granted that, and as its owner run: REVOKE ALL ON DATABASE tenantdb FROM …",
        );
    }
    Ok(may_act_as_estate(shared))
}

/// Whether the administrator's login can work as the estate yet.
pub(crate) fn may_act_as_estate(shared: &Shared) -> bool {
    let admin = shared.admin();
    shared.roles.contains_key(ESTATE) && (admin.superuser || admin.member_of.contains(ESTATE))
}
