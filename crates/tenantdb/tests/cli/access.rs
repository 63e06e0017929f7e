//! Further logins on a database, and roles without one: what they may do, from when on and until when.

use std::collections::BTreeMap;

use tenantdb_testkit::{TestServer, on_every_server};

use crate::world::{World, query, tenant, tenant_in};

/// What a login gets for its statement: the rows, or the server's error code.
fn tried(server: &TestServer, credential: &BTreeMap<String, String>, sql: &str) -> String {
    query(server, credential, sql).unwrap_or_else(|error| error.split(':').next().unwrap_or_default().to_owned())
}

/// Insufficient privilege.
const DENIED: &str = "42501";

/// Two further logins, one that reads and one that writes.
pub const BOTH: &str =
    "{access: [{name: reporting, level: ReadOnly}, {name: worker, level: ReadWrite}], schemas: [app]}";

/// A tenant with a table before its further logins were declared.
pub fn with_a_table(server: &TestServer) -> World {
    let world = World::on(server);
    world.apply(&tenant("cafe", "{schemas: [app]}")).exits(0);
    let owner = world.delivered("cafe");
    query(server, &owner, "CREATE TABLE orders (id serial, what text); INSERT INTO orders (what) VALUES ('tea')")
        .unwrap();
    query(server, &owner, "CREATE TABLE app.lines (id int); CREATE VIEW app.seen AS SELECT what FROM orders").unwrap();
    world
}

/// The declaration of a role without a database.
pub fn role(name: &str, spec: &str) -> String {
    format!("---\napiVersion: tenantdb.dev/v1alpha1\nkind: TenantRole\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

on_every_server! {
    async fn a_temporary_table_of_the_tenants_is_nobody_elses(server: TestServer) {
        let world = with_a_table(&server);
        world.apply(&tenant("cafe", BOTH)).exits(0);
        let credential = world.delivered("cafe");
        let session = server.connect(&credential["username"], &credential["password"], "cafe").await.unwrap();
        session.batch_execute("CREATE TEMPORARY TABLE scratch (id serial)").await.unwrap();
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn a_further_login_reads_or_writes_what_is_there_and_what_will_be(server: TestServer) {
        let world = with_a_table(&server);
        world.apply(&tenant("cafe", BOTH)).exits(0);
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        let owner = world.delivered("cafe");
        let (reading, writing) =
            (world.credential("default", "cafe-secret-reporting"), world.credential("default", "cafe-secret-worker"));
        assert_eq!(reading["username"], "cafe_reporting_a");
        let made_later = "CREATE TABLE later (id serial); CREATE SCHEMA extra; CREATE TABLE extra.things (id int); \
                          CREATE MATERIALIZED VIEW extra.copy AS SELECT * FROM orders; CREATE SEQUENCE extra.counter";
        query(&server, &owner, made_later).unwrap();
        for table in ["orders", "app.lines", "app.seen", "later", "extra.things", "extra.copy", "extra.counter"] {
            let count = format!("SELECT count(*) >= 0 FROM {table}");
            assert_eq!(tried(&server, &reading, &count), "t", "{table}");
            assert_eq!(tried(&server, &writing, &count), "t", "{table}");
        }
        for (statement, writes) in [
            ("INSERT INTO orders (what) VALUES ('coffee')", ""),
            ("UPDATE orders SET what = 'cake'", ""),
            ("DELETE FROM later", ""),
            ("INSERT INTO extra.things VALUES (1)", ""),
            ("TRUNCATE orders", DENIED),
            ("DROP TABLE orders", DENIED),
            ("CREATE TABLE mine ()", DENIED),
            ("CREATE SCHEMA mine", DENIED),
            ("CREATE TEMPORARY TABLE mine ()", DENIED),
            ("SET ROLE cafe", DENIED),
        ] {
            assert_eq!(tried(&server, &reading, statement), DENIED, "{statement}");
            assert_eq!(tried(&server, &writing, statement), writes, "{statement}");
        }
    }

    fn what_either_slot_makes_can_be_read(server: TestServer) {
        let world = World::on(&server);
        world.write("tenantdb.yaml", "project: shared\n");
        world.apply(&tenant("cafe", BOTH)).exits(0);
        let reading = world.credential("default", "cafe-secret-reporting");
        let first = world.delivered("cafe");
        let second = world.another_home();
        second.run_on(&["apply", "--reissue"]).exits(0);
        let second = second.delivered("cafe");
        assert_ne!(first["username"], second["username"]);
        for (number, login) in [first, second].iter().enumerate() {
            query(&server, login, &format!("CREATE TABLE by_{number} (id int)")).unwrap();
            assert_eq!(tried(&server, &reading, &format!("SELECT count(*) FROM by_{number}")), "0");
        }
    }

    fn named_schemas_are_all_that_is_let_into(server: TestServer) {
        let world = with_a_table(&server);
        let only_app = tenant("cafe", "{access: [{name: reporting, level: ReadOnly, schemas: [app]}], schemas: [app]}");
        world.apply(&only_app).exits(0);
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        let (owner, reading) = (world.delivered("cafe"), world.credential("default", "cafe-secret-reporting"));
        query(&server, &owner, "CREATE TABLE app.later (id int); CREATE SCHEMA extra; CREATE TABLE extra.things (id int)").unwrap();
        assert_eq!(tried(&server, &reading, "SELECT count(*) FROM app.lines"), "0");
        assert_eq!(tried(&server, &reading, "SELECT count(*) FROM app.later"), "0");
        assert_eq!(tried(&server, &reading, "SELECT count(*) FROM orders"), DENIED);
        assert_eq!(tried(&server, &reading, "SELECT count(*) FROM extra.things"), DENIED);

        let nowhere = tenant("cafe", "{access: [{name: reporting, level: ReadOnly, schemas: [nowhere]}], schemas: [app]}");
        world.apply(&nowhere).exits(4).tells("schema `nowhere`, which is not in the database");
        assert_eq!(tried(&server, &reading, "SELECT count(*) FROM app.lines"), "0");

        let public = tenant("cafe", "{access: [{name: reporting, level: ReadOnly, schemas: [public]}], schemas: [app]}");
        world.apply(&public).exits(0);
        assert_eq!(tried(&server, &reading, "SELECT count(*) FROM orders"), "1");
        assert_eq!(tried(&server, &reading, "SELECT count(*) FROM app.lines"), DENIED);
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn a_schema_that_is_made_or_taken_back_is_let_into_at_once(server: TestServer) {
        let world = with_a_table(&server);
        let named = "{name: reporting, level: ReadOnly, schemas: [public, app]}";
        let declared = tenant("cafe", &format!("{{access: [{named}, {{name: worker, level: ReadWrite}}], schemas: [app]}}"));
        world.apply(&(declared + &tenant("erp", "{}"))).exits(0);
        let owner = world.delivered("cafe");
        let further = ["reporting", "worker"].map(|name| world.credential("default", &format!("cafe-secret-{name}")));
        let meddling = [
            "DROP SCHEMA app CASCADE",
            "ALTER SCHEMA app OWNER TO erp",
            "REVOKE ALL ON SCHEMA app FROM cafe_rw, cafe_reporting_ro; ALTER SCHEMA app OWNER TO erp",
        ];
        for (number, sql) in meddling.into_iter().enumerate() {
            server.psql("cafe", sql);
            world.run_on(&["apply", "--refresh", "--yes"]).exits(0);
            world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
            query(&server, &owner, &format!("CREATE TABLE app.later_{number} (id int)")).unwrap();
            for login in &further {
                assert_eq!(tried(&server, login, &format!("SELECT count(*) FROM app.later_{number}")), "0", "{sql}");
            }
        }
    }

    fn a_lower_level_takes_rights_away_at_once_and_no_entry_takes_all(server: TestServer) {
        let world = with_a_table(&server);
        world.apply(&tenant("cafe", BOTH)).exits(0);
        let (owner, writing) = (world.delivered("cafe"), world.credential("default", "cafe-secret-worker"));
        let session = tokio::runtime::Runtime::new().unwrap();
        let open = session.block_on(server.connect(&writing["username"], &writing["password"], "cafe")).unwrap();
        let write = "INSERT INTO orders (what) VALUES ('coffee')";
        session.block_on(open.batch_execute(write)).unwrap();

        let lower = tenant("cafe", "{access: [{name: reporting, level: ReadOnly}, {name: worker, level: ReadOnly}], schemas: [app]}");
        world.apply(&lower).exits(0);
        session.block_on(open.batch_execute(write)).expect_err("the open session may not write any more");
        assert_eq!(tried(&server, &writing, "SELECT count(*) FROM orders"), "2");
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'cafe_rw'"), "0");

        let none = tenant("cafe", "{schemas: [app]}");
        world.apply(&none).exits(4).tells("needs consent");
        world.run_on(&["apply", "--yes"]).exits(0);
        assert_eq!(query(&server, &writing, "SELECT 1").unwrap_err().split(':').next(), Some("28P01"));
        let left = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'cafe\\_%'";
        assert_eq!(server.psql("postgres", left), "2", "only the tenant's own slots");
        assert!(!world.credential_path("default", "cafe-secret-worker").exists());
        query(&server, &owner, "SELECT count(*) FROM orders").unwrap();
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        world.run_on(&["status"]).exits(0).says_nothing_of("worker");
    }

    fn a_login_that_is_lowered_leaves_a_level_that_others_keep(server: TestServer) {
        let world = with_a_table(&server);
        let two = |level: &str| tenant("cafe", &format!("{{access: [{{name: reporting, level: {level}}}, {{name: worker, level: ReadWrite}}], schemas: [app]}}"));
        world.apply(&two("ReadWrite")).exits(0);
        let [lowered, kept] = ["reporting", "worker"].map(|name| world.credential("default", &format!("cafe-secret-{name}")));
        let write = "INSERT INTO orders (what) VALUES ('milk')";
        assert_eq!(tried(&server, &lowered, write), "");
        world.apply(&two("ReadOnly")).exits(0);
        assert_eq!(tried(&server, &lowered, write), DENIED);
        assert_eq!(tried(&server, &lowered, "SELECT count(*) FROM orders"), "2");
        assert_eq!(tried(&server, &kept, write), "");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn a_role_without_a_database_uses_those_that_consent(server: TestServer) {
        let world = with_a_table(&server);
        let grafana = role("grafana, namespace: monitoring", "{databases: [{namespace: default, name: cafe, level: ReadOnly}, {namespace: shop, name: erp, level: ReadOnly}]}");
        let consenting = tenant("cafe", "{access: [{role: monitoring/grafana, level: ReadWrite}], schemas: [app]}");
        let refusing = tenant_in("shop", "erp", "{}");
        world.apply(&(consenting.clone() + &refusing + &grafana)).exits(4).tells("shop/erp does not consent");
        let credential = world.credential("monitoring", "grafana-role-secret");
        assert_eq!(credential["username"], "grafana_a");
        assert_eq!(tried(&server, &credential, "SELECT count(*) FROM orders"), "1");
        assert_eq!(tried(&server, &credential, "DELETE FROM orders"), DENIED, "it asks for less than it is offered");
        let elsewhere = BTreeMap::from([("database".to_owned(), "erp".to_owned())]);
        let elsewhere: BTreeMap<String, String> = credential.iter().map(|(k, v)| (k.clone(), v.clone())).chain(elsewhere).collect();
        assert_eq!(query(&server, &elsewhere, "SELECT 1").unwrap_err().split(':').next(), Some("42501"));

        let agreeing = tenant_in("shop", "erp", "{access: [{role: monitoring/grafana, level: ReadOnly}]}");
        world.apply(&(consenting + &agreeing + &grafana)).exits(0);
        assert_eq!(tried(&server, &elsewhere, "SELECT 1"), "1");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);

        let withdrawn = tenant("cafe", "{schemas: [app]}");
        world.apply(&(withdrawn + &agreeing + &grafana)).exits(4).tells("default/cafe does not consent");
        assert_eq!(query(&server, &credential, "SELECT count(*) FROM orders").unwrap_err().split(':').next(), Some("42501"));
        assert_eq!(tried(&server, &elsewhere, "SELECT 1"), "1");
    }

    fn a_role_without_any_database_is_a_login_on_the_servers_own(server: TestServer) {
        let world = World::on(&server);
        server.psql("postgres", "CREATE ROLE watchers");
        let watcher = role("exporter", "{memberOf: [watchers], connectionLimit: 2, settings: {statement_timeout: 5s}, deletionProtection: false, roleDeletionPolicy: Delete}");
        let refused = world.apply(&watcher);
        if refused.code == Some(4) {
            let (_, told) = refused.stderr.split_once("as a superuser run: ").unwrap();
            server.psql("postgres", told.lines().next().unwrap());
            world.apply(&watcher).exits(0);
        }
        let credential = world.credential("default", "exporter-role-secret");
        assert_eq!(credential["database"], "postgres");
        assert_eq!(tried(&server, &credential, "SHOW statement_timeout"), "5s");
        assert_eq!(tried(&server, &credential, "SELECT pg_has_role('watchers', 'USAGE')"), "t");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        world.run(&["credentials", "role/exporter"]).exits(0).says("exporter_a");
        world.run(&["delete", "role/exporter", "--yes"]).exits(0);
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'exporter%'"), "0");
    }

    fn a_deletion_takes_the_further_logins_along(server: TestServer) {
        let world = with_a_table(&server);
        let gone = BOTH.replacen('{', "{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete, ", 1);
        world.apply(&tenant("cafe", &gone)).exits(0);
        world.run(&["delete", "cafe", "--yes"]).exits(0);
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'cafe%'"), "0");
        assert!(!server.has_database("cafe"));
        assert!(!world.credential_path("default", "cafe-secret-reporting").exists());
    }
}

/// Names that somebody has to quote, encode or escape somewhere.
const NAMES: [&str; 5] = ["plain", "say \"hi\"", "o'brien", "-- /* comment", "grüße"];

/// What a credential may do in a database.
#[derive(Clone, Copy, Debug, PartialEq)]
enum May {
    /// All that a tenant may.
    Own,
    Read,
    Write,
    /// It is not let in.
    Nothing,
}

/// A credential, and what it may do in which database.
type Holder = (BTreeMap<String, String>, BTreeMap<&'static str, May>);

/// Tenants of awkward names, each with two further logins, and roles that each use two of their databases.
fn neighbours(server: &TestServer) -> (World, Vec<Holder>) {
    let world = World::on(server);
    world.write("tenantdb.yaml", "project: shared\n");
    let tenants = NAMES.iter().enumerate().map(|(index, name)| {
        let before = (index + NAMES.len() - 1) % NAMES.len();
        let quoted = serde_json::to_string(name).unwrap();
        let access = format!(
            "[{{name: reading, level: ReadOnly}}, {{name: writing, level: ReadWrite}}, \
             {{role: watch/w{index}, level: ReadWrite}}, {{role: watch/w{before}, level: ReadOnly}}]"
        );
        tenant(&format!("t{index}"), &format!("{{database: {quoted}, access: {access}}}"))
    });
    let roles = (0..NAMES.len()).map(|index| {
        let next = (index + 1) % NAMES.len();
        let databases = format!(
            "[{{namespace: default, name: t{index}, level: ReadWrite}}, {{namespace: default, name: t{next}, level: ReadOnly}}]"
        );
        role(&format!("w{index}, namespace: watch"), &format!("{{databases: {databases}}}"))
    });
    world.apply(&tenants.chain(roles).collect::<String>()).exits(0);
    let second = world.another_home();
    second.run_on(&["apply", "--reissue"]).exits(0);
    let homes = [&world, &second];
    let mut holders = Vec::new();
    for (index, name) in NAMES.into_iter().enumerate() {
        let next = NAMES[(index + 1) % NAMES.len()];
        for home in homes {
            let of = |secret: &str| home.credential("default", &format!("t{index}-secret{secret}"));
            holders.push((of(""), BTreeMap::from([(name, May::Own)])));
            holders.push((of("-reading"), BTreeMap::from([(name, May::Read)])));
            holders.push((of("-writing"), BTreeMap::from([(name, May::Write)])));
            let watching = home.credential("watch", &format!("w{index}-role-secret"));
            holders.push((watching, BTreeMap::from([(name, May::Write), (next, May::Read)])));
        }
    }
    drop(second);
    (world, holders)
}

on_every_server! {
    fn everybody_does_in_every_database_what_was_declared_and_nothing_else(server: TestServer) {
        let (world, holders) = neighbours(&server);
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        // By either slot, in a schema that came later.
        for (number, (credential, may)) in holders.iter().enumerate().filter(|(_, (_, may))| may.values().any(|may| *may == May::Own)) {
            let database = may.keys().next().unwrap();
            let made = format!("CREATE SCHEMA IF NOT EXISTS later; CREATE TABLE later.by_{} (id int)", number % 8);
            query(&server, credential, &made).unwrap_or_else(|error| panic!("{database}: {error}"));
        }
        for (credential, may) in &holders {
            for database in NAMES.into_iter().chain(["tenantdb"]) {
                let there: BTreeMap<String, String> =
                    credential.iter().map(|(key, value)| (key.clone(), value.clone())).chain([("database".to_owned(), database.to_owned())]).collect();
                let who = format!("{} in {database}", credential["username"]);
                let may = may.get(database).copied().unwrap_or(May::Nothing);
                if may == May::Nothing {
                    assert_eq!(tried(&server, &there, "SELECT 1"), DENIED, "{who}");
                    continue;
                }
                for table in ["later.by_0", "later.by_4"] {
                    let (write, make) = (format!("INSERT INTO {table} VALUES (1)"), "CREATE TABLE later.mine (); DROP TABLE later.mine");
                    assert_eq!(tried(&server, &there, &format!("SELECT count(*) >= 0 FROM {table}")), "t", "{who}");
                    assert_eq!(tried(&server, &there, &write), if may == May::Read { DENIED } else { "" }, "{who}");
                    assert_eq!(tried(&server, &there, make), if may == May::Own { "" } else { DENIED }, "{who}");
                }
            }
        }
    }
}
