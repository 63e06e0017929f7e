//! A plain parallel client, which says what has to be said to a server and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tenantdb_testkit::TestServer;
use tokio::task::JoinSet;
use tokio_postgres::{Client, Config, NoTls};

/// The limit of each login; a database's own is 3 more.
pub const CONNECTION_LIMIT: u32 = 20;

/// The name of a tenant.
pub fn name(number: usize) -> String {
    format!("tenant{number:04}")
}

/// How long it takes to prepare a server, and then to do something for each tenant with as many workers, each of which
/// keeps a session as the estate.
pub fn parallel<F: Future<Output = ()> + Send>(
    server: &TestServer,
    tenants: usize,
    workers: usize,
    prepare: impl AsyncFnOnce(&Bare),
    work: impl Fn(Arc<Bare>, Arc<Client>, usize) -> F + Send + Sync + 'static,
) -> Duration {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let bare = Arc::new(Bare::new(server));
    let work = Arc::new(work);
    runtime.block_on(async {
        let began = Instant::now();
        prepare(&bare).await;
        let next = Arc::new(AtomicUsize::new(0));
        let mut running = JoinSet::new();
        for _ in 0..workers {
            let (bare, next, work) = (bare.clone(), next.clone(), work.clone());
            running.spawn(async move {
                let ledger = Arc::new(bare.estate("tenantdb").await);
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= tenants {
                        return;
                    }
                    work(bare.clone(), ledger.clone(), number).await;
                }
            });
        }
        while let Some(worker) = running.join_next().await {
            worker.expect("a worker did its part");
        }
        began.elapsed()
    })
}

/// What the plain client knows of a server.
pub struct Bare {
    port: u16,
    admin: String,
    password: String,
    /// From PostgreSQL 16 on a membership has options: those of one that lasts, or serves to end sessions.
    pub inherit_and_set: &'static str,
    /// The same of one that lasts for a transaction.
    pub only_set: &'static str,
}

impl Bare {
    pub fn new(server: &TestServer) -> Self {
        let options = server.major() >= 16;
        Self {
            port: server.port(),
            admin: server.admin_username().to_owned(),
            password: server.admin_password().to_owned(),
            inherit_and_set: if options { " WITH INHERIT TRUE, SET TRUE" } else { "" },
            only_set: if options { " WITH INHERIT FALSE, SET TRUE" } else { "" },
        }
    }

    /// Makes the estate, and the database in which the program has its ledger.
    pub async fn prepare(&self) {
        let admin = self.admin("postgres").await;
        say(&admin, "CREATE ROLE tenantdb_owner NOLOGIN CREATEDB CREATEROLE").await;
        say(&admin, &format!("GRANT tenantdb_owner TO {}{}", self.admin, self.inherit_and_set)).await;
        let estate = self.estate("postgres").await;
        say(&estate, "CREATE DATABASE tenantdb TEMPLATE template0 ALLOW_CONNECTIONS false").await;
        say(&estate, "REVOKE ALL ON DATABASE tenantdb FROM PUBLIC").await;
        say(&estate, "ALTER DATABASE tenantdb ALLOW_CONNECTIONS true").await;
    }

    /// A session as the estate.
    pub async fn estate(&self, database: &str) -> Client {
        let options = "-c role=tenantdb_owner -c search_path=pg_catalog,pg_temp";
        self.connect(&self.admin, &self.password, database, options).await
    }

    /// A session of the administrator's own.
    pub async fn admin(&self, database: &str) -> Client {
        self.connect(&self.admin, &self.password, database, "-c search_path=pg_catalog,pg_temp").await
    }

    /// A tenant's login, which sees that it acts as the tenant.
    pub async fn log_in(&self, tenant: &str, username: &str, password: &str) {
        let login = self.connect(username, password, tenant, "").await;
        let row = login.query_one("SELECT current_user::text", &[]).await.expect("the login works");
        assert_eq!(row.get::<_, &str>(0), tenant);
    }

    async fn connect(&self, user: &str, password: &str, database: &str, options: &str) -> Client {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(user).password(password).dbname(database).options(options);
        let (client, connection) = config.connect(NoTls).await.expect("the login works");
        tokio::spawn(connection);
        client
    }
}

/// Says something.
pub async fn say(client: &Client, statements: &str) {
    client.batch_execute(statements).await.expect("the server does as it is told");
}

/// The statements that make the logins of a tenant, and close its database to everyone else.
pub fn slots(name: &str, verifier: &str) -> String {
    format!(
        "CREATE ROLE {name}_a LOGIN NOINHERIT IN ROLE {name} PASSWORD '{verifier}' CONNECTION LIMIT {CONNECTION_LIMIT};
         CREATE ROLE {name}_b NOLOGIN NOINHERIT IN ROLE {name} CONNECTION LIMIT {CONNECTION_LIMIT};
         ALTER ROLE {name}_a SET role = '{name}';
         ALTER ROLE {name}_b SET role = '{name}';
         REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC;
         GRANT CONNECT, TEMPORARY ON DATABASE {name} TO {name}_a, {name}_b;"
    )
}

/// Asks something, without waiting between the queries.
pub async fn ask(client: &Client, queries: impl Iterator<Item = &String>) {
    let answers = queries.map(|query| client.query(query.as_str(), &[]));
    for answer in futures_util::future::join_all(answers).await {
        answer.expect("the server answers");
    }
}
