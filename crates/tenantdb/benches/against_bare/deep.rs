//! Looking into each database, and trying each credential.

use std::path::Path;
use std::sync::Arc;

use tenantdb_testkit::Admin;
use tokio_postgres::Client;

use crate::bare::{Bare, ask, name, parallel};
use crate::look;
use crate::measure::{Cost, Side, compare, processor, settle, start};
use crate::program::{APPLY, DECLARATIONS, declarations, run};

const REFRESH: [&str; 4] = ["plan", "--refresh", "-f", DECLARATIONS];

/// Looks at as many, again and again on one server: of processor time, the server's is not known.
pub fn measure(major: u32, tenants: usize) {
    let server = start(major, Admin::Plain);
    let folder = declarations(&server, tenants, "");
    run(folder.path(), &server, &APPLY);
    let inside = look::inside(&name(0), folder.path(), &server, &REFRESH);
    let task = Arc::new(Task { inside, passwords: passwords(folder.path(), tenants) });
    compare("deep", |side| {
        settle();
        let before = processor();
        let took = match side {
            Side::Ours => run(folder.path(), &server, &REFRESH).0,
            Side::Bare(workers) => {
                let task = task.clone();
                let look = move |bare, _: Arc<Client>, number| look_into(bare, task.clone(), number);
                parallel(&server, tenants, workers, async |_| {}, look)
            }
        };
        Cost { took, processor: processor().saturating_sub(before) }
    });
}

/// What there is to ask in each database, and how each tenant logs in.
struct Task {
    inside: Vec<String>,
    passwords: Vec<String>,
}

async fn look_into(bare: Arc<Bare>, task: Arc<Task>, number: usize) {
    let name = name(number);
    let session = bare.estate(&name).await;
    ask(&session, task.inside.iter()).await;
    drop(session);
    bare.log_in(&name, &format!("{name}_a"), &task.passwords[number]).await;
}

fn passwords(folder: &Path, tenants: usize) -> Vec<String> {
    let credential = |number| folder.join(format!("home/credentials/default/{}-secret.json", name(number)));
    let read = |number| std::fs::read(credential(number)).expect("a delivered credential");
    let parse = |text: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&text).expect("JSON");
    (0..tenants).map(|number| parse(read(number))["password"].as_str().expect("a password").to_owned()).collect()
}
