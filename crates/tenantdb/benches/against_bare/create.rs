//! New databases.

use std::sync::Arc;

use postgres_protocol::password::scram_sha_256;
use rand::distr::{Alphanumeric, SampleString as _};
use tenantdb_testkit::Admin;
use tokio_postgres::Client;

use crate::bare::{Bare, CONNECTION_LIMIT, name, parallel, say, slots};
use crate::measure::{Side, compare, cost, start};
use crate::program::{APPLY, declarations, run};

/// Creates as many on a server of its own each time.
pub fn measure(major: u32, tenants: usize) {
    compare("create", |side| {
        cost(start(major, Admin::Plain), |server| match side {
            Side::Ours => run(declarations(server, tenants, "").path(), server, &APPLY).0,
            Side::Bare(workers) => parallel(server, tenants, workers, Bare::prepare, create),
        })
    });
}

/// Makes one.
pub async fn create(bare: Arc<Bare>, ledger: Arc<Client>, number: usize) {
    let name = name(number);
    let password = Alphanumeric.sample_string(&mut rand::rng(), 40);
    let verifier = scram_sha_256(password.as_bytes());
    let limit = CONNECTION_LIMIT + 3;
    say(
        &ledger,
        &format!("CREATE DATABASE {name} TEMPLATE template0 ALLOW_CONNECTIONS false CONNECTION LIMIT {limit}"),
    )
    .await;
    say(
        &ledger,
        &format!(
            "BEGIN;
             CREATE ROLE {name} NOLOGIN;
             {}
             GRANT CREATE, TEMPORARY ON DATABASE {name} TO {name};
             ALTER DATABASE {name} ALLOW_CONNECTIONS true;
             COMMIT",
            slots(&name, &verifier)
        ),
    )
    .await;
    let inside = bare.estate(&name).await;
    say(
        &inside,
        &format!(
            "BEGIN;
             GRANT {name} TO tenantdb_owner{};
             ALTER SCHEMA public OWNER TO {name};
             REVOKE {name} FROM tenantdb_owner;
             COMMIT",
            bare.only_set
        ),
    )
    .await;
    drop(inside);
    bare.log_in(&name, &format!("{name}_a"), &password).await;
}
