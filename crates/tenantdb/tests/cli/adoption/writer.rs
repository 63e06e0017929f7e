//! An application that was there before, and knows nothing but its old user name and password.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tenantdb_testkit::TestServer;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

/// Between one round of its work and the next: without a pause it takes a processor for itself.
const PAUSE: Duration = Duration::from_millis(20);

/// Writes all the time, over a session that stays open and over new ones.
pub struct Writer {
    stop: Arc<AtomicBool>,
    writes: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Result<(), String>>>,
}

impl Writer {
    /// Starts to work as `user`, and waits until it does.
    pub async fn start(server: &TestServer, user: &str, password: &str, database: &str) -> Self {
        let client = server.connect(user, password, database).await.unwrap();
        client.batch_execute("CREATE TABLE IF NOT EXISTS written (at timestamptz, by text)").await.unwrap();
        let mut writer = Self { stop: Arc::default(), writes: Arc::default(), tasks: Vec::new() };
        writer.tasks.push(tokio::spawn(stay(client, writer.stop.clone(), writer.writes.clone())));
        let login = (server.port(), user.to_owned(), password.to_owned(), database.to_owned());
        writer.tasks.push(tokio::spawn(come_and_go(login, writer.stop.clone(), writer.writes.clone())));
        writer.goes_on().await;
        writer
    }

    /// Waits until each of its sessions has written again, or failed.
    pub async fn goes_on(&self) {
        let before = self.writes.load(Ordering::SeqCst);
        while self.writes.load(Ordering::SeqCst) < before + 6 && !self.tasks.iter().any(JoinHandle::is_finished) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends it; none of what it did failed.
    pub async fn stop(self) {
        self.goes_on().await;
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap().expect("an application that was there before failed");
        }
    }
}

/// What an application does with its database.
async fn write(client: &Client, number: usize, kind: &str) -> Result<(), String> {
    let statements = [
        "INSERT INTO written VALUES (now(), current_user)".to_owned(),
        format!("CREATE TABLE made_{kind}_{number} (id serial PRIMARY KEY, name text)"),
        format!("CREATE TEMPORARY TABLE scratch_{number} AS TABLE written"),
        format!("DROP TABLE scratch_{number}"),
        format!("CREATE SCHEMA space_{kind}_{number}"),
        format!("DROP SCHEMA space_{kind}_{number}"),
    ];
    for statement in statements {
        let done = client.batch_execute(&statement).await;
        done.map_err(|error| format!("{kind}: {statement}: {:?}", error.as_db_error()))?;
    }
    Ok(())
}

async fn stay(client: Client, stop: Arc<AtomicBool>, writes: Arc<AtomicUsize>) -> Result<(), String> {
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        number += 1;
        write(&client, number, "stay").await?;
        writes.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn come_and_go(
    (port, user, password, database): (u16, String, String, String),
    stop: Arc<AtomicBool>,
    writes: Arc<AtomicUsize>,
) -> Result<(), String> {
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        number += 1;
        let login = format!("host=127.0.0.1 port={port} user={user} password={password} dbname={database}");
        let (client, connection) = tokio_postgres::connect(&login, tokio_postgres::NoTls)
            .await
            .map_err(|error| format!("come: {:?}", error.as_db_error()))?;
        tokio::spawn(connection);
        write(&client, number, "come").await?;
        writes.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
