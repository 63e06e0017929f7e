//! Looking into each database, and trying each credential.

use std::path::Path;
use std::sync::Arc;

use tenantdb_testkit::Admin;
use tokio_postgres::Client;

use crate::bare::{Bare, name, parallel};
use crate::look;
use crate::measure::{Cost, Side, compare, processor, settle, start};
use crate::program::{APPLY, DECLARATIONS, declarations, run};

const REFRESH: [&str; 4] = ["plan", "--refresh", "-f", DECLARATIONS];

/// Looks at as many, again and again on one server: of processor time, the server's is not known.
pub fn measure(major: u32, tenants: usize) {
    let server = start(major, Admin::Plain);
    let folder = declarations(&server, tenants, "");
    run(folder.path(), &server, &APPLY);
    let queries = look::traced(&look::trace(folder.path(), &server, &REFRESH));
    let inside = queries.into_iter().filter(|(database, _)| *database == name(0)).map(|(_, query)| query);
    let task = Arc::new(Task { inside: inside.collect(), passwords: passwords(folder.path(), tenants) });
    assert!(!task.inside.is_empty(), "nothing was asked");
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
    let answers = task.inside.iter().map(|query| session.query(query.as_str(), &[]));
    for answer in futures_util::future::join_all(answers).await {
        answer.expect("the server answers");
    }
    drop(session);
    bare.log_in(&name, &format!("{name}_a"), &task.passwords[number]).await;
}

fn passwords(folder: &Path, tenants: usize) -> Vec<String> {
    let credential = |number| folder.join(format!("home/credentials/default/{}-secret.json", name(number)));
    let read = |number| std::fs::read(credential(number)).expect("a delivered credential");
    let parse = |text: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&text).expect("JSON");
    (0..tenants).map(|number| parse(read(number))["password"].as_str().expect("a password").to_owned()).collect()
}
