//! The bare work of a look at a server: the queries that the program asks, and nothing else.

use std::time::{Duration, Instant};

use tenantdb_testkit::TestServer;
use tokio_postgres::{Config, NoTls};

/// A query and the database it is asked in.
type Query = (String, String);

/// The queries in what the program traced, in their order.
pub fn traced(trace: &str) -> Vec<Query> {
    let asked = trace.lines().filter(|line| line.contains(" asked "));
    asked.filter_map(|line| Some((field(line, "database=")?, field(line, "query=")?))).collect()
}

/// A quoted field of a trace.
fn field(line: &str, name: &str) -> Option<String> {
    let text = line.split_once(name)?.1.strip_prefix('"')?;
    let mut value = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => return Some(value),
            '\\' => value.extend(characters.next()),
            c => value.push(c),
        }
    }
    None
}

/// Asks them over one session with each database, without waiting between those of one.
pub fn measure(server: &TestServer, queries: &[Query]) -> Duration {
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
            let answers = asked.iter().map(|(_, query)| client.query(query.as_str(), &[]));
            for answer in futures_util::future::join_all(answers).await {
                answer.expect("the server answers");
            }
        }
        began.elapsed()
    })
}
