//! What somebody else does to a scenario's server and home.

use std::thread;
use std::time::Duration;

use tenantdb_testkit::{query_at, wait_until};

use super::site::{SPOILT, Site};
use crate::world::{query, tenant};

/// A tenant that is there in some scenarios and is not what they are about.
pub const HOST: &str = "host";

/// Runs statements for each tenant as the superuser; `{}` stands for its name.
pub fn on_server(site: &Site, sql: &str) {
    for tenant in site.tenants {
        site.server.psql("postgres", &sql.replace("{}", tenant));
    }
}

/// The same in each tenant's own database.
pub fn inside_each(site: &Site, sql: &str) {
    for tenant in site.tenants {
        site.server.psql(tenant, &sql.replace("{}", tenant));
    }
}

/// Somebody makes the tenants' databases by hand.
pub fn make_by_hand(site: &mut Site) {
    for tenant in site.tenants {
        site.make_by_hand(tenant);
    }
}

/// All that the tenants' owners and logins are called.
pub fn roles(site: &Site) -> String {
    site.tenants.iter().map(|tenant| format!("{tenant}, {tenant}_a")).collect::<Vec<_>>().join(", ")
}

/// The credentials get lost.
pub fn lose(site: &mut Site) {
    for tenant in site.tenants {
        site.world.lose(tenant);
    }
}

/// Somebody writes another password into each credential.
pub fn spoil(site: &mut Site) {
    for tenant in site.tenants {
        site.world.forge(tenant, SPOILT);
    }
}

/// A slot owns what it should not.
pub fn give_to_slots(site: &mut Site) {
    inside_each(site, "CREATE TABLE odd (id int); ALTER TABLE odd OWNER TO {}_a");
}

/// An application is connected.
pub fn in_use(site: &mut Site) {
    for tenant in site.tenants {
        stay(site, tenant, tenant);
    }
}

/// A further tenant that stays whole.
pub fn host(site: &mut Site) {
    site.world.write("host.yaml", &tenant(HOST, "{}"));
    site.world.run(&["apply", "-f", "server.yaml", "-f", "host.yaml"]).exits(0);
    site.keeps(HOST);
}

/// What a tenant does with its own credential.
pub fn query_as(site: &Site, tenant: &str, sql: &str) {
    let credential = site.world.delivered(tenant);
    query(&site.server, &credential, sql).unwrap();
}

/// Opens a session of a tenant's login in a database, which stays until it is ended.
pub fn stay(site: &Site, tenant: &str, database: &str) {
    stay_with(site, tenant, database, "SELECT 1");
}

/// The same, after some statements.
pub fn stay_with(site: &Site, tenant: &str, database: &str, sql: &str) {
    let credential = site.world.delivered(tenant);
    let (user, password) = (credential["username"].clone(), credential["password"].clone());
    let (port, place) = (site.server.port(), database.to_owned());
    let sessions = format!(
        "SELECT count(*) FROM pg_stat_activity \
         WHERE usename = '{user}' AND datname = '{database}' AND wait_event = 'PgSleep'"
    );
    let sql = format!("SET statement_timeout = 0; {sql}; SELECT pg_sleep(600)");
    thread::spawn(move || query_at(port, &user, &password, &place, &sql));
    wait_until(Duration::from_secs(10), || site.server.psql("postgres", &sessions) != "0");
}
