//! With everything logged that can be logged, no password is in what anybody could read.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use tenantdb_testkit::{Admin, Options, TestServer, majors, on_every_server};

use crate::trouble::{HeldLock, wait_for_a_lock};
use crate::world::{Run, World, tenant};

/// What must not be read anywhere.
pub struct Secrets(BTreeSet<String>);

impl Secrets {
    /// The passwords of a server's administrators.
    pub fn of(server: &TestServer) -> Self {
        Self(BTreeSet::from([server.admin_password().to_owned(), server.superuser_password().to_owned()]))
    }

    /// Adds the passwords that are delivered now.
    fn add_delivered(&mut self, world: &World, names: &[&str]) {
        let password = |name: &&str| world.delivered(name)["password"].clone();
        self.0.extend(names.iter().map(password));
    }

    /// Adds another.
    pub fn add(&mut self, password: &str) {
        self.0.insert(password.to_owned());
    }

    /// Whether one is in something.
    pub fn are_in(&self, what: &[u8]) -> bool {
        self.0.iter().any(|secret| what.windows(secret.len()).any(|part| part == secret.as_bytes()))
    }

    #[track_caller]
    pub fn are_not_in(&self, what: &str, text: &str) {
        for secret in &self.0 {
            assert!(!text.contains(secret), "a password is in {what}");
        }
    }

    /// Checks what a run said: neither a password that is known, nor anything that looks like one, nor a verifier.
    #[track_caller]
    fn are_not_said(&self, run: &Run) {
        for said in [&run.stdout, &run.stderr] {
            self.are_not_told("what a run said", said);
        }
    }

    /// The same of any text that the program wrote.
    #[track_caller]
    pub fn are_not_told(&self, what: &str, text: &str) {
        self.are_not_in(what, text);
        assert!(!text.contains("SCRAM-SHA-256$"), "a verifier is in {what}");
        let like_a_password = text.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| word.len() == 40);
        assert_eq!(like_a_password, None, "{what} looks like a password");
    }

    /// Checks a server's log and its ledger.
    #[track_caller]
    pub fn are_not_at(&self, server: &TestServer) {
        self.are_not_in("the server's log", &server.log());
        for table in ["server", "tenant", "role", "delivery", "audit"] {
            let rows = server.psql("tenantdb", &format!("SELECT t::text FROM ledger.{table} t"));
            assert!(!rows.is_empty(), "there is something to look at in ledger.{table}");
            self.are_not_in("the ledger", &rows);
            assert!(!rows.contains("SCRAM-SHA-256$"), "a verifier is in the ledger");
        }
    }

    /// Checks the arguments of everything that runs.
    fn are_no_arguments(&self) {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for arguments in processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok()) {
            self.are_not_in("the arguments of a process", &String::from_utf8_lossy(&arguments));
        }
    }
}

/// A run of which everything is logged.
fn traced(world: &World, arguments: &[&str]) -> Run {
    let run = Run::of(world.command_on(arguments).env("TENANTDB_LOG", "trace"));
    assert!(run.code.is_some_and(|code| code < 5), "{}", run.stderr);
    run
}

fn declared(comment: &str) -> String {
    let spec = format!(
        "{{comment: {comment}, deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}}"
    );
    tenant("cafe", &spec) + &tenant("erp", &spec)
}

on_every_server! {
    fn no_password_is_in_any_output_log_ledger_or_argument(server: TestServer) {
        let world = World::on(&server);
        let mut secrets = Secrets::of(&server);
        let both = ["cafe", "erp"];
        world.declare(&declared("Orders"));
        secrets.are_not_said(&traced(&world, &["plan"]));
        let made = traced(&world, &["apply"]).exits(0).tells("TRACE");
        secrets.add_delivered(&world, &both);
        secrets.are_not_said(&made);

        world.lose("cafe");
        server.psql("postgres", "ALTER ROLE erp_a NOLOGIN");
        let repaired = traced(&world, &["apply", "--refresh"]).exits(0);
        secrets.add_delivered(&world, &both);
        secrets.are_not_said(&repaired);

        for arguments in [&["plan", "--refresh"][..], &["status"]] {
            secrets.are_not_said(&traced(&world, arguments).exits(0));
        }

        let held = HeldLock::of_role_changes(&server);
        world.declare(&declared("Invoices"));
        let mut applying = world.command_on(&["apply"]);
        let applying = applying.env("TENANTDB_LOG", "trace").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for_a_lock(&server);
        secrets.are_no_arguments();
        server.restart();
        secrets.are_not_said(&Run::end_of(applying).exits(1));
        drop(held);
        secrets.are_not_said(&traced(&world, &["apply"]).exits(0));

        secrets.are_not_at(&server);
        secrets.are_not_said(&traced(&world, &["delete", "--yes"]).exits(0));
        secrets.are_not_in("the server's log", &server.log());
    }
}

#[test]
fn no_password_is_in_the_error_of_a_login_that_is_refused() {
    for major in majors() {
        let server = Options::new(major, Admin::Plain).hba("host all cafe_a all reject").start();
        let world = World::on(&server);
        world.declare(&declared("Orders"));
        let secrets = Secrets::of(&server);
        let refused = traced(&world, &["apply"])
            .exits(1)
            .tells("default/cafe: ")
            .tells("cafe_a")
            .tells("hint: see that the server's pg_hba.conf");
        secrets.are_not_said(&refused);

        let mut wrong = World::on(&server);
        wrong.set("TEST_ADMIN_PASSWORD", "aWrongPasswordThatNobodyShouldEverSee");
        let mut secrets = secrets;
        secrets.0.insert("aWrongPasswordThatNobodyShouldEverSee".to_owned());
        wrong.declare(&declared("Orders"));
        secrets.are_not_said(&traced(&wrong, &["apply"]).exits(1));
        secrets.are_not_in("the server's log", &server.log());
    }
}
