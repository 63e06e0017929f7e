//! A look at a server, and the bare work of it: the queries that the program asks, and nothing else.

use std::path::Path;
use std::time::{Duration, Instant};

use tenantdb_testkit::{Admin, TestServer};
use tokio_postgres::{Config, NoTls};

use crate::bare::ask;
use crate::measure::{median, processor, start};
use crate::program::{APPLY, DECLARATIONS, Run, declarations, program, run};

/// How often what takes little time is run.
const QUICK_RUNS: usize = 7;

/// How often the program is run that has nothing to do, and its bare queries.
const IDLE_RUNS: usize = 25;

/// What one of them is asked with, which no trace shows: the tenants' slots.
const SLOTS: &str = "ANY(ARRAY(SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname ~ '^tenant[0-9]+_[ab]$'))";

/// The database that a query is asked in, and the query.
type Query = (String, String);

/// What the program takes once they are there.
pub fn quick(major: u32, tenants: usize) {
    let server = start(major, Admin::Plain);
    let folder = declarations(&server, tenants, "");
    let (_, peak) = run(folder.path(), &server, &APPLY);
    println!("  tenantdb apply: peak memory {} MiB", peak / 1024);
    let queries = traced(&trace(folder.path(), &server, &APPLY));
    // In turns, so that what the server does of its own meanwhile is the same for both.
    let (idle, looks): (Vec<Run>, Vec<Duration>) =
        (0..IDLE_RUNS).map(|_| (run(folder.path(), &server, &APPLY), measure(&server, &queries))).unzip();
    show("apply, nothing to do", &idle);
    let took = median(&looks).as_secs_f64() * 1000.0;
    println!("  bare, the {} queries of a look and the logins for them: {took:.1} ms", queries.len());
    let commands: [(&str, &[&str]); 2] = [("plan", &["plan", "-f", DECLARATIONS]), ("--version", &["--version"])];
    for (what, arguments) in commands {
        let runs: Vec<Run> = (0..QUICK_RUNS).map(|_| run(folder.path(), &server, arguments)).collect();
        show(what, &runs);
    }
}

/// What it costs to plan for many, on a server that has none.
pub fn plan_many(major: u32, tenants: usize) {
    let server = start(major, Admin::Plain);
    let folder = declarations(&server, tenants, "");
    let plan = || {
        let before = processor();
        let (_, peak) = run(folder.path(), &server, &["plan", "-f", DECLARATIONS]);
        (processor().saturating_sub(before), peak)
    };
    let (used, peak) = median(&std::array::from_fn::<_, 3, _>(|_| plan()));
    println!("PostgreSQL {major}, empty, {tenants} tenants declared");
    println!("  tenantdb plan: {:.2} s of processor, peak memory {} MiB\n", used.as_secs_f64(), peak / 1024);
}

fn show(what: &str, runs: &[Run]) {
    let (took, peak) = median(runs);
    println!("  tenantdb {what}: {:.1} ms, peak memory {} MiB", took.as_secs_f64() * 1000.0, peak / 1024);
}

/// What the program traces.
fn trace(folder: &Path, server: &TestServer, arguments: &[&str]) -> String {
    let output = program(folder, server, arguments).env("TENANTDB_LOG", "trace").output().expect("the program starts");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The queries that a run asks inside a database.
pub fn inside(database: &str, folder: &Path, server: &TestServer, arguments: &[&str]) -> Vec<String> {
    let queries = traced(&trace(folder, server, arguments)).into_iter();
    let queries: Vec<String> = queries.filter(|(place, _)| place == database).map(|(_, query)| query).collect();
    assert!(!queries.is_empty(), "nothing was asked in {database}");
    queries
}

/// The queries in what the program traced, in their order.
fn traced(trace: &str) -> Vec<Query> {
    let asked = trace.lines().filter(|line| line.contains(" asked "));
    let query = |line| Some(field(line, "query=")?.replace("ANY($1)", SLOTS));
    asked.filter_map(|line| Some((field(line, "database=")?, query(line)?))).collect()
}

/// A quoted field of a trace.
fn field(line: &str, name: &str) -> Option<String> {
    let text = line.split_once(name)?.1.strip_prefix('"')?;
    let mut value = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => return Some(value),
            '\\' => value.extend(characters.next().map(|c| if c == 'n' { '\n' } else { c })),
            c => value.push(c),
        }
    }
    None
}

/// Asks them over one session with each database, without waiting between those of one.
fn measure(server: &TestServer, queries: &[Query]) -> Duration {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let began = Instant::now();
        for asked in queries.chunk_by(|(one, _), (other, _)| one == other) {
            let mut config = Config::new();
            config.host(server.host()).port(server.port()).user(server.admin_username());
            config.password(server.admin_password()).dbname(&asked[0].0);
            config.options("-c search_path=pg_catalog,pg_temp");
            let (client, connection) = config.connect(NoTls).await.expect("the login works");
            tokio::spawn(connection);
            if asked[0].0 == "tenantdb" {
                client.batch_execute("SET ROLE tenantdb_owner").await.expect("the administrator is a member");
            }
            ask(&client, asked.iter().map(|(_, query)| query)).await;
        }
        began.elapsed()
    })
}
