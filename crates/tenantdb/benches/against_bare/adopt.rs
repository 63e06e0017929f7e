//! Databases that somebody else had made: a superuser's, each with a role that logs in.

use std::sync::Arc;

use postgres_protocol::password::scram_sha_256;
use rand::distr::{Alphanumeric, SampleString as _};
use tenantdb_testkit::{Admin, TestServer};
use tokio_postgres::Client;

use crate::bare::{Bare, ask, name, parallel, say, slots};
use crate::look;
use crate::measure::{Side, compare, cost, settle, start};
use crate::program::{APPLY, DECLARATIONS, declarations, run};

/// What the declarations say besides.
const ADOPT: &str = ", adopt: Existing";

/// Adopts as many, on a server of its own each time. The plain client looks into each database as well: nobody adopts
/// what they have not looked at.
pub fn measure(major: u32, tenants: usize) {
    let queries = Arc::new(queries(major));
    compare("adopt", |side| {
        let server = start(major, Admin::Superuser);
        make_by_hand(&server, tenants);
        let folder = declarations(&server, tenants, ADOPT);
        settle();
        cost(server, |server| match side {
            Side::Ours => run(folder.path(), server, &APPLY).0,
            Side::Bare(workers) => {
                let queries = queries.clone();
                let adopt = move |bare, ledger, number| adopt(bare, ledger, queries.clone(), number);
                parallel(server, tenants, workers, Bare::prepare, adopt)
            }
        })
    });
}

fn queries(major: u32) -> Vec<String> {
    let server = start(major, Admin::Superuser);
    make_by_hand(&server, 1);
    let folder = declarations(&server, 1, ADOPT);
    look::inside(&name(0), folder.path(), &server, &["plan", "-f", DECLARATIONS])
}

fn make_by_hand(server: &TestServer, tenants: usize) {
    for name in (0..tenants).map(name) {
        server.psql("postgres", &format!("CREATE ROLE {name} LOGIN PASSWORD 'from-before'"));
        server.psql("postgres", &format!("CREATE DATABASE {name}"));
        server.psql("postgres", &format!("GRANT ALL ON DATABASE {name} TO {name}"));
    }
}

async fn adopt(bare: Arc<Bare>, ledger: Arc<Client>, queries: Arc<Vec<String>>, number: usize) {
    let name = name(number);
    let looking = bare.admin(&name).await;
    ask(&looking, queries.iter()).await;
    drop(looking);
    let password = Alphanumeric.sample_string(&mut rand::rng(), 40);
    let verifier = scram_sha_256(password.as_bytes());
    let inside = bare.admin(&name).await;
    let administer = if bare.only_set.is_empty() {
        String::new()
    } else {
        // From PostgreSQL 16 on whoever makes a role decides who joins it.
        format!("GRANT {name} TO tenantdb_owner WITH ADMIN OPTION, INHERIT FALSE, SET FALSE;")
    };
    say(
        &inside,
        &format!(
            "BEGIN;
             {administer}
             SET LOCAL ROLE tenantdb_owner;
             GRANT {name} TO tenantdb_owner{};
             SET LOCAL ROLE NONE;
             ALTER SCHEMA public OWNER TO {name};
             ALTER DATABASE {name} OWNER TO tenantdb_owner;
             GRANT CREATE, TEMPORARY, CONNECT ON DATABASE {name} TO {name};
             SET LOCAL ROLE tenantdb_owner;
             REVOKE {name} FROM tenantdb_owner;
             COMMIT",
            bare.inherit_and_set
        ),
    )
    .await;
    drop(inside);
    say(&ledger, &format!("BEGIN; {} COMMIT", slots(&name, &verifier))).await;
    bare.log_in(&name, &format!("{name}_a"), &password).await;
}
