//! Talking to a server from a test.

use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// Runs a future to its end on a thread and a runtime of its own, so that it can be called from anywhere, also from
/// asynchronous code.
pub fn run_blocking<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be made")
                .block_on(future)
        });
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Logs in to a server on 127.0.0.1 that is not a [`TestServer`](crate::TestServer), runs statements and gives their rows
/// as `psql -At` does. Blocks the thread.
///
/// # Errors
/// `SQLSTATE: message` of the refusal.
pub fn query_at(port: u16, user: &str, password: &str, database: &str, sql: &str) -> Result<String, String> {
    run_blocking(Login { port, user, password, database }.rows("", sql))
}

/// How to log in somewhere.
#[derive(Clone)]
pub(crate) struct Login<'a> {
    pub(crate) port: u16,
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    pub(crate) database: &'a str,
}

impl Login<'_> {
    /// A connection over TCP; its other half runs on the current runtime until the client is dropped.
    pub(crate) async fn connect(&self, options: &str) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = Config::new()
            .host("127.0.0.1")
            .port(self.port)
            .user(self.user)
            .password(self.password)
            .dbname(self.database)
            .options(options)
            .application_name("testkit")
            .connect_timeout(Duration::from_secs(30))
            .connect(NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs statements and gives their rows as `psql -At` does: a line each, `|` between columns.
    pub(crate) async fn rows(&self, options: &str, sql: &str) -> Result<String, String> {
        let client = self.connect(options).await.map_err(|error| describe(&error))?;
        let messages = client.simple_query(sql).await.map_err(|error| describe(&error))?;
        let lines: Vec<String> = messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => {
                    let columns: Vec<&str> = (0..row.len()).map(|i| row.get(i).unwrap_or("")).collect();
                    Some(columns.join("|"))
                }
                _ => None,
            })
            .collect();
        Ok(lines.join("\n"))
    }
}

/// What the server said, with its code; tokio-postgres itself would say only `db error`.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{}: {}", db.code().code(), db.message());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
