//! Who is in a database, or was: whoever loses access is told with when it was last there.

use super::row;
use crate::desired::Desired;
use crate::observe::{Database, Observed};

/// The logins that are in the databases of these tenants and that the ledger should remember: all but their slots, the
/// administrator and superusers.
pub(crate) fn seen<'a>(desired: &Desired, observed: &'a Observed) -> Vec<(u32, &'a String)> {
    let shared = &observed.shared;
    let databases = desired.looked_at().filter_map(|(claim, tenant)| {
        let name = row(observed, claim).map_or(tenant.names.database.as_str(), |row| row.database.as_str());
        shared.databases.get(name)
    });
    let seen = databases.flat_map(|found| found.sessions.keys().map(|login| (found.oid, login)));
    seen.filter(|(_, login)| is_worth_it(login, observed)).collect()
}

fn is_worth_it(login: &String, observed: &Observed) -> bool {
    let shared = &observed.shared;
    let is_superuser = shared.roles.get(login).is_some_and(|role| role.superuser);
    *login != shared.login && !is_superuser && (!observed.is_tenants(login) || is_legacy(login, observed))
}

/// Whether it is a tenant's role that logs in as it did before it was adopted.
fn is_legacy(login: &String, observed: &Observed) -> bool {
    let Some(ledger) = &observed.ledger else { return false };
    let holder = ledger.roles.get(login).and_then(|claim| ledger.tenants.get(claim));
    holder.is_some_and(|row| row.legacy_login() == Some(login))
}

/// When a login was last in a database, for people; `None` when nobody ever saw it there.
pub(super) fn last_seen(login: &str, found: &Database, observed: &Observed) -> Option<String> {
    if let Some(sessions) = found.sessions.get(login) {
        let plural = if *sessions == 1 { "" } else { "s" };
        return Some(format!("{sessions} session{plural} now"));
    }
    let ledger = observed.ledger.as_ref()?;
    let seen = ledger.sightings.get(&found.oid)?.get(login)?;
    Some(format!("last seen {seen}"))
}
