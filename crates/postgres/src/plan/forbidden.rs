//! Roles that no tenant may join or be, whatever the platform allows: through them it would reach other tenants, the
//! estate, or the server itself.

use std::collections::BTreeSet;

use crate::ESTATE;
use crate::observe::{Observed, Role, Shared};

/// Why no tenant may have what a role has, as what follows its name: through the role itself, or through one that it is
/// a member of, in whatever way. `None` also for a role that is not there.
pub(super) fn why_forbidden(role: &str, observed: &Observed) -> Option<String> {
    forbidden(role, &[], observed)
}

/// The same for a role without a database of its own, which may watch over the server.
pub(super) fn why_forbidden_to_a_role(role: &str, observed: &Observed) -> Option<String> {
    forbidden(role, &MONITORING, observed)
}

/// What watches over the server, and reads nobody's data (PostgreSQL documentation, 21.5).
const MONITORING: [&str; 4] = ["pg_monitor", "pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables"];

fn forbidden(role: &str, allowed: &[&str], observed: &Observed) -> Option<String> {
    let mut seen = BTreeSet::from([role]);
    let mut waiting = vec![(role, None)];
    while let Some((name, through)) = waiting.pop() {
        if let Some(why) = itself(name, observed).filter(|_| !allowed.contains(&name)) {
            let through = through.map_or_else(String::new, |_| format!("is a member of `{name}`, which "));
            return Some(format!("{through}{why}"));
        }
        let joined = observed.shared.roles.get(name).into_iter().flat_map(joined);
        waiting.extend(joined.filter(|role| seen.insert(role)).map(|role| (role, Some(name))));
    }
    None
}

/// The roles that a role is a member of: those it may switch to, whose privileges it has, or that it may join at will.
pub(super) fn joined(role: &Role) -> impl Iterator<Item = &str> {
    let all = role.member_of.iter().chain(&role.inherits).chain(&role.administers);
    all.map(String::as_str).collect::<BTreeSet<_>>().into_iter()
}

/// Why the role itself is forbidden.
fn itself(name: &str, observed: &Observed) -> Option<String> {
    if name.starts_with("pg_") {
        return Some(format!("is PostgreSQL's own: {}", predefined(name)));
    }
    if name == ESTATE {
        return Some("owns every tenant's database".to_owned());
    }
    if observed.is_tenants(name) {
        return Some("is a tenant's role".to_owned());
    }
    if is_admin(name, &observed.shared) {
        return Some("is an administrator's".to_owned());
    }
    let powers = observed.shared.roles.get(name)?.powers();
    (!powers.is_empty()).then(|| format!("is {}", powers.join(" ")))
}

/// Our own login, and whoever else may act as the estate.
fn is_admin(name: &str, shared: &Shared) -> bool {
    name == shared.login || shared.estate().members.contains(name)
}

/// What a predefined role gives (PostgreSQL documentation, 21.5).
fn predefined(name: &str) -> &'static str {
    match name {
        "pg_execute_server_program" => "it runs programs as the server's account",
        "pg_read_server_files" | "pg_write_server_files" => "it reaches the server's files",
        "pg_read_all_data" | "pg_write_all_data" => "it reaches every tenant's data",
        "pg_monitor" | "pg_read_all_stats" => "it sees what every session asks",
        _ => "it holds for the whole server",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn member_of(roles: &[&str]) -> Role {
        Role { inherits: roles.iter().map(|role| (*role).to_owned()).collect(), ..Role::default() }
    }

    fn server(roles: &[(&str, Role)]) -> Observed {
        let estate = Role { members: BTreeSet::from(["second_admin".to_owned()]), ..Role::default() };
        let roles = roles.iter().cloned().chain([(ESTATE, estate), ("admin", Role::default())]);
        let roles: BTreeMap<String, Role> = roles.map(|(name, role)| (name.to_owned(), role)).collect();
        Observed { shared: Shared { login: "admin".to_owned(), roles, ..Shared::default() }, ..Observed::default() }
    }

    #[test]
    fn what_reaches_beyond_a_tenant_is_forbidden_however_far_away_it_is() {
        let powerful = [
            Role { superuser: true, ..Role::default() },
            Role { create_role: true, ..Role::default() },
            Role { create_db: true, ..Role::default() },
            Role { replication: true, ..Role::default() },
            Role { bypass_rls: true, ..Role::default() },
        ];
        for role in powerful {
            let observed =
                server(&[("powerful", role), ("near", member_of(&["powerful"])), ("far", member_of(&["near"]))]);
            for name in ["powerful", "near", "far"] {
                assert!(why_forbidden(name, &observed).is_some(), "{name}");
            }
        }
        let reached = [
            "pg_execute_server_program",
            "pg_read_server_files",
            "pg_write_server_files",
            "pg_read_all_data",
            "pg_write_all_data",
            "pg_monitor",
            "pg_signal_backend",
            ESTATE,
            "admin",
            "second_admin",
        ];
        for name in reached {
            let observed = server(&[(name, Role::default()), ("near", member_of(&[name]))]);
            assert!(why_forbidden(name, &observed).is_some(), "{name}");
            let why = why_forbidden("near", &observed).unwrap();
            assert!(why.starts_with(&format!("is a member of `{name}`, which ")), "{why}");
        }
    }

    #[test]
    fn every_way_of_being_a_member_counts_and_circles_end() {
        let to = |name: &str| BTreeSet::from([name.to_owned()]);
        let ways = [
            Role { member_of: to("pg_monitor"), ..Role::default() },
            Role { inherits: to("pg_monitor"), ..Role::default() },
            Role { administers: to("pg_monitor"), ..Role::default() },
        ];
        for way in ways {
            assert!(why_forbidden("way", &server(&[("way", way)])).is_some());
        }
        let circle = server(&[("one", member_of(&["other"])), ("other", member_of(&["one"]))]);
        assert_eq!(why_forbidden("one", &circle), None);
        assert_eq!(why_forbidden("nobody", &circle), None);
    }
}
