//! Databases that go, with their roles.

use std::sync::Arc;

use tenantdb_testkit::Admin;
use tokio_postgres::Client;

use crate::bare::{Bare, name, parallel, say};
use crate::measure::{Side, compare, cost, settle, start};
use crate::program::{APPLY, declarations, run};

const REMOVABLE: &str = ", deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete";

/// Deletes as many, on a server of its own each time.
pub fn measure(major: u32, tenants: usize) {
    let names: Vec<String> = (0..tenants).map(name).collect();
    compare("delete", |side| {
        let server = start(major, Admin::Plain);
        let folder = declarations(&server, tenants, REMOVABLE);
        run(folder.path(), &server, &APPLY);
        settle();
        cost(server, |server| match side {
            Side::Ours => {
                let arguments = ["delete", "--yes"].into_iter().chain(names.iter().map(String::as_str));
                run(folder.path(), server, &arguments.collect::<Vec<_>>()).0
            }
            Side::Bare(workers) => parallel(server, tenants, workers, async |_| {}, delete),
        })
    });
}

async fn delete(bare: Arc<Bare>, ledger: Arc<Client>, number: usize) {
    let name = name(number);
    say(&ledger, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
    // Only who may act as a role ends its sessions.
    say(
        &ledger,
        &format!(
            "BEGIN;
             GRANT {name}_a, {name}_b TO tenantdb_owner{};
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}';
             REVOKE {name}_a, {name}_b FROM tenantdb_owner;
             COMMIT",
            bare.inherit_and_set
        ),
    )
    .await;
    say(&ledger, &format!("DROP DATABASE {name}")).await;
    say(&ledger, &format!("DROP ROLE {name}_a, {name}_b, {name}")).await;
}
