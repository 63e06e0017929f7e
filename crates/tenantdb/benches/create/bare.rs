//! The bare work: what has to be said to a server to make a tenant, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use postgres_protocol::password::scram_sha_256;
use rand::distr::{Alphanumeric, SampleString as _};
use tenantdb_testkit::TestServer;
use tokio::task::JoinSet;
use tokio_postgres::{Client, Config, NoTls};

/// The limit of each login; a database's own is 3 more.
pub const CONNECTION_LIMIT: u32 = 20;

/// The name of a tenant.
pub fn name(number: usize) -> String {
    format!("tenant{number:04}")
}

/// Makes the tenants with as many workers, each of which keeps a session with the ledger's database.
pub fn measure(server: &TestServer, tenants: usize, workers: usize) -> Duration {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let bare = Arc::new(Bare::new(server));
    runtime.block_on(async {
        let began = Instant::now();
        bare.prepare().await;
        let next = Arc::new(AtomicUsize::new(0));
        let mut running = JoinSet::new();
        for _ in 0..workers {
            let (bare, next) = (bare.clone(), next.clone());
            running.spawn(async move {
                let ledger = bare.estate("tenantdb").await;
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= tenants {
                        return;
                    }
                    bare.create(&ledger, &name(number)).await;
                }
            });
        }
        while let Some(worker) = running.join_next().await {
            worker.expect("a worker made its tenants");
        }
        began.elapsed()
    })
}

struct Bare {
    port: u16,
    admin: String,
    password: String,
    /// From PostgreSQL 16 on a membership has options.
    inherit_and_set: &'static str,
    only_set: &'static str,
}

impl Bare {
    fn new(server: &TestServer) -> Self {
        let options = server.major() >= 16;
        Self {
            port: server.port(),
            admin: server.admin_username().to_owned(),
            password: server.admin_password().to_owned(),
            inherit_and_set: if options { " WITH INHERIT TRUE, SET TRUE" } else { "" },
            only_set: if options { " WITH INHERIT FALSE, SET TRUE" } else { "" },
        }
    }

    async fn prepare(&self) {
        let admin = connect(self.port, &self.admin, &self.password, "postgres", "").await;
        say(&admin, "CREATE ROLE tenantdb_owner NOLOGIN CREATEDB CREATEROLE").await;
        say(&admin, &format!("GRANT tenantdb_owner TO {}{}", self.admin, self.inherit_and_set)).await;
        let estate = self.estate("postgres").await;
        say(&estate, "CREATE DATABASE tenantdb TEMPLATE template0 ALLOW_CONNECTIONS false").await;
        say(&estate, "REVOKE ALL ON DATABASE tenantdb FROM PUBLIC").await;
        say(&estate, "ALTER DATABASE tenantdb ALLOW_CONNECTIONS true").await;
    }

    async fn estate(&self, database: &str) -> Client {
        let options = "-c role=tenantdb_owner -c search_path=pg_catalog,pg_temp";
        connect(self.port, &self.admin, &self.password, database, options).await
    }

    async fn create(&self, ledger: &Client, name: &str) {
        let password = Alphanumeric.sample_string(&mut rand::rng(), 40);
        let verifier = scram_sha_256(password.as_bytes());
        let limit = CONNECTION_LIMIT + 3;
        say(
            ledger,
            &format!("CREATE DATABASE {name} TEMPLATE template0 ALLOW_CONNECTIONS false CONNECTION LIMIT {limit}"),
        )
        .await;
        say(
            ledger,
            &format!(
                "BEGIN;
                 CREATE ROLE {name} NOLOGIN;
                 CREATE ROLE {name}_a LOGIN NOINHERIT IN ROLE {name} PASSWORD '{verifier}'
                     CONNECTION LIMIT {CONNECTION_LIMIT};
                 CREATE ROLE {name}_b NOLOGIN NOINHERIT IN ROLE {name} CONNECTION LIMIT {CONNECTION_LIMIT};
                 ALTER ROLE {name}_a SET role = '{name}';
                 ALTER ROLE {name}_b SET role = '{name}';
                 REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC;
                 GRANT CONNECT, TEMPORARY ON DATABASE {name} TO {name}_a, {name}_b;
                 GRANT CREATE, TEMPORARY ON DATABASE {name} TO {name};
                 ALTER DATABASE {name} ALLOW_CONNECTIONS true;
                 COMMIT"
            ),
        )
        .await;
        let inside = self.estate(name).await;
        say(
            &inside,
            &format!(
                "BEGIN;
                 GRANT {name} TO tenantdb_owner{};
                 ALTER SCHEMA public OWNER TO {name};
                 REVOKE {name} FROM tenantdb_owner;
                 COMMIT",
                self.only_set
            ),
        )
        .await;
        drop(inside);
        let login = connect(self.port, &format!("{name}_a"), &password, name, "").await;
        let row = login.query_one("SELECT current_user::text", &[]).await.expect("the login works");
        assert_eq!(row.get::<_, &str>(0), name);
    }
}

async fn connect(port: u16, user: &str, password: &str, database: &str, options: &str) -> Client {
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).user(user).password(password).dbname(database).options(options);
    let (client, connection) = config.connect(NoTls).await.expect("the login works");
    tokio::spawn(connection);
    client
}

async fn say(client: &Client, statements: &str) {
    client.batch_execute(statements).await.expect("the server does as it is told");
}
