//! Servers whose administrator may do little: managed services, as far as a server can be set up to refuse the same.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use tenantdb_testkit::{Admin, Options, TestServer, bin_dir, majors, on_servers};

use crate::tls::Authority;
use crate::world::{Run, World, query, server_yaml, tenant};

/// What a service sets up, as far as its users see it, and what it refuses.
struct Service {
    name: &'static str,
    /// What its own superuser made.
    sql: &'static str,
    /// The database that it keeps for itself.
    own: Option<&'static str>,
}

const SERVICES: [Service; 4] = [
    Service {
        name: "RDS",
        sql: "CREATE ROLE rdsadmin SUPERUSER LOGIN; CREATE ROLE rds_superuser NOLOGIN CREATEDB CREATEROLE; \
              CREATE ROLE rds_iam; CREATE ROLE rds_password; GRANT pg_monitor, pg_signal_backend TO rds_superuser; \
              GRANT rds_superuser, rds_password TO admin_user WITH ADMIN OPTION",
        own: Some("rdsadmin"),
    },
    Service {
        name: "Cloud SQL",
        sql: "CREATE ROLE cloudsqladmin SUPERUSER LOGIN; CREATE ROLE cloudsqlsuperuser NOLOGIN CREATEDB CREATEROLE; \
              CREATE ROLE cloudsqliamuser; GRANT pg_monitor TO cloudsqlsuperuser; GRANT cloudsqlsuperuser TO admin_user",
        own: Some("cloudsqladmin"),
    },
    Service {
        name: "Azure",
        sql: "CREATE ROLE azuresu SUPERUSER LOGIN; CREATE ROLE azure_pg_admin NOLOGIN; \
              GRANT pg_monitor, pg_read_all_settings TO azure_pg_admin; GRANT azure_pg_admin TO admin_user",
        own: Some("azure_maintenance"),
    },
    Service { name: "CloudNativePG", sql: "ALTER ROLE admin_user NOREPLICATION NOBYPASSRLS", own: None },
];

impl Service {
    fn start(&self, major: u32) -> TestServer {
        let mut options = Options::new(major, Admin::Plain);
        if let Some(own) = self.own {
            options = options.hba(&format!("host {own} all all reject"));
        }
        let server = options.start();
        server.psql("postgres", self.sql);
        if let Some(own) = self.own {
            let owner = if own == "azure_maintenance" { "azuresu" } else { own };
            server.psql("postgres", &format!("CREATE DATABASE {own} OWNER {owner}"));
        }
        server
    }
}

#[test]
fn a_managed_service_s_own_administrator_is_enough_for_everything() {
    for major in majors().into_iter().filter(|major| [15, 16, 18].contains(major)) {
        for service in &SERVICES {
            let server = service.start(major);
            let name = service.name;
            let refused =
                server.psql_as("admin_user", server.admin_password(), "postgres", "SELECT rolpassword FROM pg_authid");
            assert!(refused.unwrap_err().contains("permission denied"), "{name} {major}");
            let world = World::on(&server);
            let declared = tenant(
                "cafe",
                "{connectionLimit: 5, extensions: [pg_trgm], schemas: [app], settings: {statement_timeout: 30s}, \
                 deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}",
            );
            let made = world.apply(&declared).exits(0);
            assert!(!made.stderr.contains("OtherDatabasesOpen"), "{name} {major}: {}", made.stderr);
            world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
            let credential = world.delivered("cafe");
            query(&server, &credential, "CREATE TABLE orders (id int)").unwrap();
            server.psql(
                "postgres",
                "ALTER ROLE cafe_a NOLOGIN CREATEDB CONNECTION LIMIT 1; GRANT CONNECT ON DATABASE cafe TO PUBLIC",
            );
            world.run_on(&["apply", "--yes", "--refresh"]).exits(0);
            world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
            assert_eq!(query(&server, &credential, "SELECT current_user").as_deref(), Ok("cafe"), "{name} {major}");
            world.run(&["delete", "cafe", "--yes"]).exits(0);
            assert_eq!(
                server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname ~ '^cafe'"),
                "0",
                "{name} {major}"
            );
        }
    }
}

on_servers! {
    [16 Plain, 18]

    fn a_role_that_would_lock_the_administrator_out_is_refused(server: TestServer) {
        server.psql("postgres", "CREATE ROLE rds_iam; CREATE ROLE analysts");
        let world = World::on(&server);
        let both = tenant("cafe", "{}") + &tenant("erp", "{}");
        world.apply(&both).exits(0);
        for (grant, revoke) in [
            ("GRANT rds_iam TO cafe_a", "REVOKE rds_iam FROM cafe_a"),
            ("GRANT rds_iam TO cafe", "REVOKE rds_iam FROM cafe"),
            ("GRANT rds_iam TO analysts; GRANT analysts TO cafe_b", "REVOKE rds_iam FROM analysts; REVOKE analysts FROM cafe_b"),
        ] {
            server.psql("postgres", grant);
            let refused = world.apply(&both).exits(4).tells("error: default/cafe: role `cafe").tells("is a member of rds_iam");
            refused.tells("hint: as who granted it run: REVOKE rds_iam FROM");
            server.psql("postgres", revoke);
            world.apply(&both).exits(0).says("Nothing to do: 2 databases are as declared.");
        }
        server.psql("postgres", "CREATE ROLE shop; GRANT rds_iam TO shop");
        world.apply(&tenant("shop", "{}")).exits(4).tells("role `shop` is a member of rds_iam");
    }

    fn an_administrator_who_can_not_act_as_the_estate_is_told_before_anything_is_touched(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        server.psql("postgres", "CREATE ROLE second LOGIN CREATEDB CREATEROLE PASSWORD 'second'");
        let mut other = world.another_home();
        other.set("TEST_ADMIN_PASSWORD", "second");
        other.write("server.yaml", &server_yaml(&server).replace(server.admin_username(), "second"));
        let both = tenant("cafe", "{}") + &tenant("erp", "{}");
        other.declare(&both);
        let refused = other.untouched(&server, || other.run_on(&["apply"])).exits(1);
        refused.tells("login second is no member of tenantdb_owner").tells("hint:").tells("GRANT tenantdb_owner TO \"second\" WITH INHERIT TRUE, SET TRUE");
        server.psql("postgres", "GRANT tenantdb_owner TO second WITH INHERIT TRUE, SET TRUE");
        other.apply(&tenant("erp", "{}")).exits(0);
    }

    fn a_role_that_the_estate_can_not_change_any_more_is_told_and_nothing_is_half_done(server: TestServer) {
        let world = World::on(&server);
        let both = tenant("cafe", "{connectionLimit: 5}") + &tenant("erp", "{}");
        world.apply(&both).exits(0);
        let grantor = "(SELECT grantor::regrole::text FROM pg_auth_members WHERE roleid = 'cafe_b'::regrole AND member = 'tenantdb_owner'::regrole AND admin_option)";
        let grantor = server.psql("postgres", &format!("SELECT {grantor}"));
        server.psql("postgres", &format!("REVOKE cafe_b FROM tenantdb_owner GRANTED BY {grantor}"));
        let changed = tenant("cafe", "{connectionLimit: 6}") + &tenant("erp", "{comment: Done}");
        let refused = world.apply(&changed).exits(1).says("erp changed").tells("error: default/cafe: ");
        refused.tells("role \"cafe_b\"").tells("hint:");
        assert_eq!(server.psql("postgres", "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'cafe_a'"), "5");
        server.psql("postgres", "GRANT cafe_b TO tenantdb_owner WITH ADMIN TRUE, INHERIT FALSE, SET FALSE");
        world.apply(&changed).exits(0);
    }
}

on_servers! {
    [15 Plain, 18 Plain]

    fn a_server_that_takes_no_verifiers_is_recognised(server: TestServer) {
        for (says, hint) in [
            ("RAISE EXCEPTION 'password type is not a plain text' USING ERRCODE = '28000'", "passwordPassthrough: true"),
            ("RAISE EXCEPTION 'password type is not a plain text' USING ERRCODE = 'XX000'", "passwordPassthrough: true"),
            ("RAISE EXCEPTION 'must be a member of rds_password to alter passwords' USING ERRCODE = '42501'", "GRANT rds_password TO tenantdb_owner"),
        ] {
            let world = World::on(&server);
            world.write("tenantdb.yaml", "project: cafe\n");
            let proxy = Refusing::start(&server, says);
            let declared = server_yaml(&server);
            world.write("server.yaml", &declared.replace(&server.port().to_string(), &proxy.port.to_string()));
            world.declare(&tenant("cafe", "{}"));
            let refused = Run::of(world.command_on(&["apply"]).env("TENANTDB_LOG", "trace")).exits(1);
            let refused = refused.tells("error: default/cafe: ").tells("password").tells(hint);
            assert!(!refused.stderr.contains("SCRAM-SHA-256$"), "a verifier is in what the run said");
            assert!(!world.credential_path("default", "cafe-secret").exists());
            assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname ~ '^cafe'"), "0", "nothing is half done");
        }
    }
}

#[test]
fn passwords_themselves_are_sent_where_it_was_asked_for_and_shown_nowhere() {
    for major in majors() {
        let authority = Authority::new();
        let (certificate, key) = authority.issue("127.0.0.1", 2999);
        let mut options = Options::new(major, Admin::Plain);
        if bin_dir(major).join("../lib/passwordcheck.so").exists() {
            options = options.setting("shared_preload_libraries", "passwordcheck");
        }
        let server = options
            .setting("ssl", "on")
            .setting("ssl_cert_file", "test.crt")
            .setting("ssl_key_file", "test.key")
            .setting("log_statement", "ddl")
            .file("test.crt", certificate)
            .file("test.key", key)
            .start();
        for (name, mode, passthrough) in
            [("cafe", "verify-full", true), ("erp", "verify-ca", true), ("shop", "verify-full", false)]
        {
            let world = World::on(&server);
            world.write("ca.pem", authority.certificate());
            let admin = format!("admin: {{passwordPassthrough: {passthrough},");
            let tls = format!("tls: {{mode: {mode}, caFrom: {{file: ca.pem}}}}");
            let declared = server_yaml(&server).replace("admin: {", &admin).replace("tls: {mode: disable}", &tls);
            world.write("server.yaml", &declared);
            world.declare(&tenant(name, "{credentials: {rotation: {strategy: InPlace}}}"));
            let plan = world.run_on(&["plan", "-o", "sql"]).exits(0);
            let made = Run::of(world.command_on(&["apply"]).env("TENANTDB_LOG", "trace")).exits(0);
            let credential = world.delivered(name);
            assert_eq!(query(&server, &credential, "SELECT 1").as_deref(), Ok("1"));
            let password = credential["password"].as_str();
            assert_eq!(server.log().contains(password), passthrough, "{name} on {major}: what the server was sent");
            for said in [&plan.stdout, &made.stdout, &made.stderr] {
                assert!(!said.contains(password), "{name} on {major}: a password is in what a run said");
            }
            let stored = format!("SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = '{name}'");
            assert_eq!(server.psql("postgres", &stored), "t");
            fs::write(world.folder().join("server.yaml"), declared.replace(&tls, "tls: {mode: require}")).unwrap();
            let other = world.run_on(&["plan"]);
            if passthrough {
                other.exits(2).tells("has not proved itself").tells("hint: set `tls: {mode: verify-full");
            } else {
                other.exits(0);
            }
        }
    }
}

/// Stands between tenantdb and a server, and has the server refuse every verifier, as its own extensions would.
struct Refusing {
    port: u16,
}

impl Refusing {
    fn start(server: &TestServer, raise: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, to) = (listener.local_addr().unwrap().port(), server.port());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { return };
                let (answers, back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || pass(answers, back));
                thread::spawn(move || drop(refuse(client, server, raise)));
            }
        });
        Self { port }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

/// Hands a client's messages on; a statement with a verifier becomes one that fails.
fn refuse(mut client: TcpStream, mut server: TcpStream, raise: &str) -> io::Result<()> {
    let mut length = [0; 4];
    client.read_exact(&mut length)?;
    forward(&mut client, &mut server, length)?;
    loop {
        let mut tag = [0; 1];
        client.read_exact(&mut tag)?;
        client.read_exact(&mut length)?;
        let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
        client.read_exact(&mut body)?;
        if tag == *b"Q" && String::from_utf8_lossy(&body).contains("PASSWORD 'SCRAM-SHA-256$") {
            body = format!("DO $$ BEGIN {raise}; END $$\0").into_bytes();
        }
        server.write_all(&tag)?;
        server.write_all(&u32::try_from(body.len() + 4).unwrap().to_be_bytes())?;
        server.write_all(&body)?;
    }
}

/// Hands the rest of a message on, of which the length was read.
fn forward(client: &mut TcpStream, server: &mut TcpStream, length: [u8; 4]) -> io::Result<()> {
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    client.read_exact(&mut body)?;
    server.write_all(&length)?;
    server.write_all(&body)
}
