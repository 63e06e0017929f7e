//! Every tenant's credential against everything that is not its own, whatever the tenants are called.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use tenantdb_testkit::{TestServer, bin_dir, majors, on_every_server, on_servers};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_postgres::{Client, Config, NoTls};

use crate::world::{World, tenant};

/// Names that somebody has to quote, encode or escape somewhere.
const NAMES: [&str; 30] = [
    "my-app-db",
    "say \"hi\"",
    "o'brien",
    " two  words ",
    "select",
    "Select",
    "user",
    "current_user",
    "NULL",
    "all",
    "1st",
    "grüße",
    "🦀🍣",
    "$dollar$1",
    "100%25",
    "back\\slash\\",
    "x\"; DROP DATABASE y; --",
    "'; DROP ROLE \"user\"; --",
    "-- /* comment",
    "a.b.c",
    "../path/to/db",
    "user:pass@host:5432",
    "q?a=b&c=d#frag",
    "+plus,comma;semi=colon",
    "[::1]",
    "{name}{namespace}",
    "new\nline\n",
    "tab\there",
    "\u{1b}[31mred",
    "ééééééééééééééééééééééééééééée",
];

/// What a login is refused with, and what a tenant's statements are: insufficient privilege.
const DENIED: &str = "42501";

/// What nobody may do at all, such as read across databases or rename who one is.
const UNSUPPORTED: &str = "0A000";

/// A tenant as its application sees it.
#[derive(Clone)]
pub struct Tenant {
    database: String,
    credential: BTreeMap<String, String>,
}

impl Tenant {
    /// Logs in with the published URI, to its own database or to another.
    async fn connect(&self, database: Option<&str>) -> Result<Client, tokio_postgres::Error> {
        let mut config: Config = self.credential["uri"].parse().unwrap();
        if let Some(database) = database {
            config.dbname(database);
        }
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// With which SQLSTATE a login to this database is refused; `None` when it is not.
    async fn refusal(&self, database: &str) -> Option<String> {
        self.connect(Some(database)).await.err().map(|error| code(&error))
    }
}

on_every_server! {
    async fn thirty_tenants_of_any_name_reach_what_is_theirs_and_nothing_else(server: TestServer) {
        let (world, tenants) = world_of_thirty(&server);
        a_second_look_finds_nothing_to_do(&world);
        each_reaches_what_is_its_own_and_nothing_else(&server, &tenants).await;
    }
}

on_servers! {
    [18 Plain]
    fn uri_and_variables_say_the_same_as_the_document(server: TestServer) {
        let (world, tenants) = world_of_thirty(&server);
        for (index, Tenant { database, credential }) in tenants.iter().enumerate() {
            let config: Config = credential["uri"].parse().unwrap();
            assert_eq!(config.get_dbname(), Some(database.as_str()));
            assert_eq!(config.get_user(), Some(credential["username"].as_str()));
            assert_eq!(config.get_password(), Some(credential["password"].as_bytes()));
            assert_eq!(credential["DATABASE_URL"], credential["uri"]);
            let name = name_of(index);
            let uri = world.run(&["credentials", &name, "--format", "uri"]).exits(0).stdout;
            assert_eq!(uri, format!("{}\n", credential["uri"]));
            let json = world.run(&["credentials", &name, "--format", "json"]).exits(0).stdout;
            assert_eq!(serde_json::from_str::<BTreeMap<String, String>>(&json).unwrap(), *credential);
            let variables = world.run(&["credentials", &name, "--format", "env"]).exits(0).stdout;
            let keys = ["DATABASE_URL", "DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD"];
            assert_eq!(as_a_shell_reads(&variables, &keys), keys.map(|key| credential[key].clone()));
        }
    }
}

/// On a server of its own, tenantdb also closes the databases that come with every cluster.
#[tokio::test]
async fn on_a_local_server_no_tenant_reaches_postgres_and_template1() {
    for major in majors() {
        let mut world = World::new();
        world.set("TENANTDB_POSTGRES_BIN", bin_dir(major).to_str().unwrap());
        let server = "apiVersion: tenantdb.dev/v1alpha1\nkind: DatabaseServer\nmetadata: {name: dev}\n\
                      spec: {default: true, source: {local: {}}}\n";
        world.write("server.yaml", server);
        world.apply(&(tenant("cafe", "{}") + &tenant("erp", "{}"))).exits(0).says("2 created");
        world.run(&["server", "status", "dev"]).exits(0).says(&format!("PostgreSQL {major} "));
        for (name, other) in [("cafe", "erp"), ("erp", "cafe")] {
            let credential = world.delivered(name);
            let tenant = Tenant { database: name.to_owned(), credential };
            tenant.connect(None).await.unwrap();
            for closed in ["postgres", "template1", "tenantdb", other] {
                assert_eq!(tenant.refusal(closed).await.as_deref(), Some(DENIED), "{name} on {closed}");
            }
        }
    }
}

/// Tries all that tenants might try.
pub async fn each_reaches_what_is_its_own_and_nothing_else(server: &TestServer, tenants: &[Tenant]) {
    each_reaches_its_own_database(tenants).await;
    none_reaches_another_database(tenants).await;
    let before = shared_catalogs(server);
    none_changes_a_database_or_a_role(tenants).await;
    assert_eq!(shared_catalogs(server), before);
    none_owns_or_reads_anything_outside_its_role(tenants).await;
}

/// What was applied is what a deep look finds: no name was written one way and read another.
fn a_second_look_finds_nothing_to_do(world: &World) {
    let again = world.run(&["plan", "--exit-code", "--refresh", "-f", "server.yaml", "-f", "tenants.yaml"]);
    again.exits(0).says("No changes: 30 databases are as declared.");
}

async fn each_reaches_its_own_database(tenants: &[Tenant]) {
    let who = "SELECT current_user::text, session_user::text, current_database()::text";
    together(tenants.iter().cloned().map(|tenant| async move {
        let client = tenant.connect(None).await.unwrap();
        let row = client.query_one(who, &[]).await.unwrap();
        let found: [String; 3] = [row.get(0), row.get(1), row.get(2)];
        assert_eq!(found, [tenant.database.clone(), format!("{}_a", tenant.database), tenant.database]);
        client.batch_execute("CREATE TABLE treasure AS SELECT 1 AS gold").await.unwrap();
        client.batch_execute("CREATE TEMPORARY TABLE scratch AS TABLE treasure").await.unwrap();
    }))
    .await;
}

async fn none_reaches_another_database(tenants: &[Tenant]) {
    let databases = NAMES.into_iter().chain(["tenantdb"]);
    let pairs = databases.flat_map(|database| tenants.iter().cloned().map(move |tenant| (tenant, database)));
    let strangers = pairs.filter(|(tenant, database)| tenant.database != *database);
    let attempts = together(strangers.map(|(tenant, database)| async move {
        let refusal = tenant.refusal(database).await;
        assert_eq!(refusal.as_deref(), Some(DENIED), "{:?} on {database:?}", tenant.database);
    }))
    .await;
    assert_eq!(attempts.len(), NAMES.len() * NAMES.len());
}

async fn none_changes_a_database_or_a_role(tenants: &[Tenant]) {
    let others = tenants.iter().cloned().cycle().skip(1);
    together(tenants.iter().cloned().zip(others).map(|(tenant, other)| async move {
        for escape in ["RESET ROLE", "SET ROLE NONE"] {
            let client = tenant.connect(None).await.unwrap();
            client.batch_execute(escape).await.unwrap();
            for attack in attacks(&tenant.database, &other.database) {
                assert_refused(&client, &attack).await;
            }
            // The server only warns that these do nothing.
            for attack in grants(&tenant.database, &other.database) {
                let _ = client.batch_execute(&attack).await;
            }
        }
    }))
    .await;
}

async fn none_owns_or_reads_anything_outside_its_role(tenants: &[Tenant]) {
    together(tenants.iter().cloned().map(|tenant| async move {
        let client = tenant.connect(None).await.unwrap();
        for stays in ["RESET ROLE", "DISCARD ALL", "SELECT gold FROM treasure", "SET ROLE NONE"] {
            client.batch_execute(stays).await.unwrap();
        }
        for attack in
            ["CREATE TABLE loot (id int)", "CREATE SCHEMA loot", "SELECT gold FROM treasure", "DROP TABLE treasure"]
        {
            assert_refused(&client, attack).await;
        }
    }))
    .await;
}

/// What a tenant might try on its own database and roles, on another's, and on the server.
fn attacks(own: &str, other: &str) -> Vec<String> {
    let mut attacks = Vec::new();
    for (database, roles) in
        [(own, [own.to_owned(), format!("{own}_b")]), (other, [other.to_owned(), format!("{other}_a")])]
    {
        let database = quoted(database);
        attacks.extend([
            format!("DROP DATABASE {database}"),
            format!("DROP DATABASE {database} WITH (FORCE)"),
            format!("ALTER DATABASE {database} RENAME TO loot"),
            format!("ALTER DATABASE {database} SET work_mem = '1GB'"),
            format!("ALTER DATABASE {database} OWNER TO {}", quoted(own)),
            format!("ALTER DATABASE {database} CONNECTION LIMIT 1000"),
            format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false"),
            format!("COMMENT ON DATABASE {database} IS 'mine'"),
            format!("CREATE DATABASE loot TEMPLATE {database}"),
        ]);
        for role in roles {
            let role = quoted(role);
            attacks.extend([
                format!("ALTER ROLE {role} CREATEDB CREATEROLE"),
                format!("ALTER ROLE {role} LOGIN"),
                format!("ALTER ROLE {role} CONNECTION LIMIT -1"),
                format!("ALTER ROLE {role} RENAME TO loot"),
                format!("GRANT {role} TO {}", quoted(format!("{own}_a"))),
                format!("GRANT {} TO {role}", quoted(own)),
                format!("DROP ROLE {role}"),
            ]);
        }
    }
    for role in
        [other.to_owned(), format!("{other}_a"), format!("{own}_b"), "tenantdb_owner".to_owned(), "postgres".to_owned()]
    {
        attacks.extend([format!("SET ROLE {}", quoted(&role)), format!("SET SESSION AUTHORIZATION {}", quoted(&role))]);
    }
    let others_login = quoted(format!("{other}_a"));
    attacks.extend([
        format!("ALTER ROLE {others_login} PASSWORD 'loot'"),
        format!("ALTER ROLE {others_login} SET role = 'none'"),
        format!("DROP OWNED BY {others_login}"),
        format!("REASSIGN OWNED BY {} TO {}", quoted(other), quoted(own)),
        format!("GRANT tenantdb_owner TO {}", quoted(format!("{own}_a"))),
        "GRANT pg_read_all_data TO CURRENT_USER".to_owned(),
        "CREATE DATABASE loot".to_owned(),
        "CREATE ROLE loot".to_owned(),
        "ALTER SYSTEM SET work_mem = '1GB'".to_owned(),
        "COPY (SELECT 1) TO PROGRAM 'true'".to_owned(),
        "SELECT pg_read_file('PG_VERSION')".to_owned(),
        "CREATE EXTENSION postgres_fdw".to_owned(),
        "CREATE EXTENSION dblink".to_owned(),
        "CREATE EVENT TRIGGER loot ON ddl_command_start EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()".to_owned(),
        format!("SELECT gold FROM {}.public.treasure", quoted(other)),
    ]);
    attacks
}

/// How a tenant might open a database to somebody.
fn grants(own: &str, other: &str) -> Vec<String> {
    let others_login = quoted(format!("{other}_a"));
    let grants = [own, other].map(|database| {
        let database = quoted(database);
        [
            format!("GRANT CONNECT ON DATABASE {database} TO {others_login}"),
            format!("GRANT CREATE, TEMPORARY ON DATABASE {database} TO PUBLIC"),
        ]
    });
    grants.into_iter().flatten().collect()
}

async fn assert_refused(client: &Client, statement: &str) {
    let outcome = client.batch_execute(statement).await.map_err(|error| code(&error));
    let refused = [DENIED, UNSUPPORTED].map(|code| Err(code.to_owned())).contains(&outcome);
    assert!(refused, "{statement}: {outcome:?}");
}

/// The SQLSTATE of an error.
fn code(error: &tokio_postgres::Error) -> String {
    error.code().map_or_else(|| format!("{error:?}"), |code| code.code().to_owned())
}

fn quoted(name: impl AsRef<str>) -> String {
    format!("\"{}\"", name.as_ref().replace('"', "\"\""))
}

fn name_of(index: usize) -> String {
    format!("tenant-{index}")
}

/// Thirty tenants on one server, made by one run.
fn world_of_thirty(server: &TestServer) -> (World, Vec<Tenant>) {
    let world = World::on(server);
    world.apply(&declarations()).exits(0).says("30 created");
    let tenants = tenants(|secret| world.credential("default", secret));
    (world, tenants)
}

/// The declarations of thirty tenants.
pub fn declarations() -> String {
    let declare = |(index, name): (usize, &&str)| {
        tenant(&name_of(index), &format!("{{database: {}}}", serde_json::to_string(name).unwrap()))
    };
    NAMES.iter().enumerate().map(declare).collect()
}

/// The tenants, with what was delivered to each.
pub fn tenants(credential: impl Fn(&str) -> BTreeMap<String, String>) -> Vec<Tenant> {
    let tenants = NAMES.iter().enumerate().map(|(index, name)| Tenant {
        database: (*name).to_owned(),
        credential: credential(&format!("{}-secret", name_of(index))),
    });
    tenants.collect()
}

/// What all databases share, passwords included.
fn shared_catalogs(server: &TestServer) -> String {
    [
        "SELECT oid, datname, datdba, datallowconn, datconnlimit, datacl FROM pg_database ORDER BY oid",
        "SELECT a FROM pg_authid a ORDER BY oid",
        "SELECT roleid, member, grantor, admin_option FROM pg_auth_members ORDER BY 1, 2, 3",
        "SELECT s FROM pg_db_role_setting s ORDER BY setdatabase, setrole",
        "SELECT d FROM pg_shdescription d ORDER BY objoid, classoid",
    ]
    .map(|catalog| server.psql("postgres", catalog))
    .join("\n")
}

/// Runs all of these, as many at a time as a small server can take.
async fn together<F>(tasks: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let turns = Arc::new(Semaphore::new(16));
    let mut running = JoinSet::new();
    for task in tasks {
        let turns = turns.clone();
        running.spawn(async move {
            let _turn = turns.acquire_owned().await;
            task.await
        });
    }
    running.join_all().await
}

/// The values that variables have once a shell has read these lines.
fn as_a_shell_reads<const N: usize>(lines: &str, keys: &[&str; N]) -> [String; N] {
    let script = format!("{lines}\nprintf '%s\\0' {}", keys.map(|key| format!("\"${key}\"")).join(" "));
    let output = Command::new("sh").args(["-euc", &script]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut values = text.split('\0').map(str::to_owned);
    keys.map(|_| values.next().unwrap())
}
