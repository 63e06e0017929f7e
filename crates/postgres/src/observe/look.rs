//! One look at a server: what is read of it, and from where.

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_core::{Claim, Depth, Failure, FailureKind, Phase};
use tokio::task::JoinSet;

use super::trust::{check_admin, may_act_as_estate, trusted_ledger};
use crate::connect::{Connections, Session};
use crate::desired::{Desired, Tenant};
use crate::engine::Postgres;
use crate::ledger::{Applied, Ledger, TenantRow};
use crate::observe::{self, Inside, Observed, Setting, Shared, Wanted};
use crate::{access, plan};

impl Postgres {
    /// What the server shares, with the ledger if there is one to trust.
    pub(crate) async fn with_ledger(&self, shared: Shared) -> Result<Observed, Failure> {
        self.connections.beware(&shared);
        let ledger =
            if trusted_ledger(&shared)? { Ledger::read(&*self.connections.ledger().await?).await? } else { None };
        Ok(Observed { shared, ledger, ..Observed::default() })
    }

    /// What can be seen from one database of all of them.
    async fn look_from(&self, maintenance: &Session, desired: &Desired) -> Result<Observed, Failure> {
        let shared = observe::read_shared(maintenance).await?;
        check_admin(&shared)?;
        let mut observed = self.with_ledger(shared).await?;
        observed.refused = observe::read_refused(maintenance, new_settings(desired, &observed)).await?;
        observed.upgrades = observe::read_upgrades(maintenance, declared_versions(desired, &observed)).await?;
        Ok(observed)
    }

    /// Looks at the server, as far as is wanted and needed.
    pub(crate) async fn look(&self, desired: &Desired, depth: Depth) -> Result<Observed, Failure> {
        let lookout = self.connections.lookout().await?;
        let mut observed = self.look_from(&lookout, desired).await?;
        self.connections.rest(lookout);
        self.look_at_roles(desired, &mut observed).await?;
        self.visit_all(desired, &mut observed, depth).await?;
        observed.sorted_otherwise = self.connections.sorted_otherwise();
        Ok(observed)
    }

    /// Looks at what ties roles that may go, and logins that should have nothing, to databases, and at who uses them.
    async fn look_at_roles(&self, desired: &Desired, observed: &mut Observed) -> Result<(), Failure> {
        let leaving = leaving(desired, observed);
        let tied: Vec<String> = slots(desired, observed).into_iter().chain(leaving.iter().cloned()).collect();
        if !tied.is_empty() {
            observed.ties = observe::read_ties(&*self.connections.ledger().await?, &tied).await?;
        }
        if !leaving.is_empty() {
            let session = self.connections.ledger().await?;
            let holders = observe::read_lock_holders(&session).await?;
            observed.obstacles = observe::read_obstacles(&session).await?;
            for (database, logins) in holders.databases {
                observed.shared.databases.entry(database).and_modify(|found| found.locked_by = logins);
            }
            for (role, logins) in holders.roles {
                observed.shared.roles.entry(role).and_modify(|found| found.locked_by = logins);
            }
        }
        let retiring = retiring(desired, observed);
        if !retiring.is_empty() {
            let options = observed.shared.has_membership_options();
            observed.users = observe::read_users(&*self.connections.ledger().await?, &retiring, options).await?;
        }
        Ok(())
    }

    /// Looks into the databases that need it, each over a session of its own. One that does not answer is no failure as
    /// long as the server does.
    async fn visit_all(&self, desired: &Desired, observed: &mut Observed, depth: Depth) -> Result<(), Failure> {
        let visits = visits(desired, observed, depth);
        let mut looks = JoinSet::new();
        // Without a ledger there may be no estate to look as.
        let is_guest = observed.ledger.is_none() && !may_act_as_estate(&observed.shared);
        for (database, wanted) in visits {
            let connections = self.connections.clone();
            looks.spawn(async move {
                let inside = look_inside(&connections, &database, &wanted, is_guest).await;
                (database, inside)
            });
        }
        let mut silent = BTreeMap::new();
        while let Some(look) = looks.join_next().await {
            let look = look.map_err(|error| Failure::new(FailureKind::Rejected, error.to_string()))?;
            match look {
                (database, Ok(inside)) => drop(observed.inside.insert(database, inside)),
                (database, Err(failure)) if failure.kind == FailureKind::Unreachable => {
                    silent.insert(database, failure.message);
                }
                (database, Err(failure)) => drop(observed.unseen.insert(database, failure.message)),
            }
        }
        if !silent.is_empty() {
            self.connections.answers().await?;
            observed.unseen.extend(silent);
        }
        Ok(())
    }
}

/// What is set anew.
fn new_settings(desired: &Desired, observed: &Observed) -> BTreeSet<Setting> {
    let ledger = observed.ledger.as_ref();
    let new = desired.looked_at().chain(desired.looked_at_accounts()).flat_map(|(claim, tenant)| {
        let before = ledger.and_then(|ledger| ledger.row(claim)).map(|row| &row.applied.settings);
        let known = move |setting: &(&String, &String)| before.is_some_and(|all| all.get(setting.0) == Some(setting.1));
        tenant.applied.settings.iter().filter(move |setting| !known(setting))
    });
    new.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The versions of extensions that are declared and that the server has.
fn declared_versions(desired: &Desired, observed: &Observed) -> BTreeSet<(String, String)> {
    let available = observed.shared.extensions.as_ref();
    let declared = desired.looked_at().flat_map(|(_, tenant)| &tenant.applied.extensions);
    let declared = declared.filter(|(name, _)| available.is_some_and(|all| all.contains_key(*name)));
    declared.filter_map(|(name, extension)| Some((name.clone(), extension.version.clone()?))).collect()
}

async fn look_inside(
    connections: &Connections,
    database: &str,
    wanted: &Wanted,
    is_guest: bool,
) -> Result<Inside, Failure> {
    let session =
        if is_guest { connections.visit_as_login(database).await? } else { connections.visit(database).await? };
    let inside = observe::visit(&session, wanted).await;
    session.close().await;
    inside
}

/// The roles that may have to be dropped.
fn leaving(desired: &Desired, observed: &Observed) -> Vec<String> {
    let removals = desired.removals(observed);
    let rows = removals.keys().filter_map(|claim| observed.ledger.as_ref()?.row(claim));
    let levels = desired.looked_at().filter_map(|(claim, tenant)| {
        let row = observed.ledger.as_ref()?.tenants.get(claim)?;
        let wanted = access::levels(&row.owner, &tenant.applied.access);
        Some(row.levels.iter().filter(move |role| !wanted.contains_key(*role)))
    });
    rows.flat_map(TenantRow::roles).chain(levels.flatten()).cloned().collect()
}

/// The logins that take turns: they only act as the role that they share, and own nothing. Without a ledger there is
/// nowhere to ask what they have; the next look does.
fn slots(desired: &Desired, observed: &Observed) -> Vec<String> {
    let Some(ledger) = &observed.ledger else { return Vec::new() };
    let slots = |row: &TenantRow| -> Vec<String> {
        row.slots.values().map(|slot| &slot.role).filter(|role| **role != row.owner).cloned().collect()
    };
    let known = |(claim, tenant): (&Claim, &Tenant)| match ledger.row(claim) {
        Some(row) => slots(row),
        None => plan::recoverable(tenant, observed).as_ref().map(slots).unwrap_or_default(),
    };
    let all = desired.looked_at().chain(desired.looked_at_accounts()).flat_map(known);
    all.chain(plan::taken_over(desired, observed).into_values().flat_map(slots)).collect()
}

/// The logins that are to be taken away once nobody uses them.
fn retiring(desired: &Desired, observed: &Observed) -> Vec<String> {
    let rows = desired.request.retirements.iter().filter_map(|claim| observed.ledger.as_ref()?.tenants.get(claim));
    let logins = rows.filter_map(TenantRow::legacy_login);
    logins.filter(|login| observed.shared.roles.contains_key(*login)).cloned().collect()
}

/// The databases that have to be looked into, and for what: those that are not known to be as declared, or all, and those
/// that are to be adopted.
fn visits(desired: &Desired, observed: &Observed, depth: Depth) -> Vec<(String, Wanted)> {
    let taken = plan::taken_over(desired, observed);
    let needs = desired.looked_at().filter_map(|(claim, tenant)| {
        let row = observed.ledger.as_ref().and_then(|ledger| ledger.tenants.get(claim));
        if let Some(row) = plan::recoverable(tenant, observed) {
            return Some((row.database, tenant.wanted(&row.owner)));
        }
        let Some(row) = row.or_else(|| taken.get(claim).copied()) else {
            let found = plan::to_adopt(tenant, observed).filter(|found| found.can_be_visited());
            return found.map(|_| (tenant.names.database.to_string(), tenant.wanted(tenant.names.owner.as_str())));
        };
        let database = observed.shared.databases.get(&row.database)?;
        let ours = row.database_oid.is_none_or(|oid| oid == database.oid) && database.can_be_visited();
        // Who else may connect is not seen from inside.
        let before = Applied { connect_for: tenant.applied.connect_for.clone(), ..row.applied.clone() };
        let unknown = depth == Depth::Deep || row.phase != Phase::Provisioned || before != tenant.applied;
        (ours && unknown).then(|| (row.database.clone(), tenant.wanted(&row.owner)))
    });
    needs.collect()
}
