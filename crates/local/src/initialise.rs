//! Making a new cluster, and the one role that tenantdb logs in as.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use secrecy::{ExposeSecret as _, SecretString};

use crate::account::Account;
use crate::error::{Error, OnPath as _, Result};
use crate::installation::Installation;
use crate::layout::Layout;
use crate::record::Record;
use crate::{files, password, program, settings};

/// The role that tenantdb is given: `LOGIN CREATEDB CREATEROLE`, no superuser.
pub const ADMIN: &str = "tenantdb_admin";

/// What making a cluster needs.
pub(crate) struct Work<'a> {
    pub(crate) server: &'a str,
    pub(crate) layout: &'a Layout,
    pub(crate) installation: &'a Installation,
    pub(crate) account: Option<&'a Account>,
}

impl Work<'_> {
    /// Makes the cluster in a directory of its own and moves it into place when nothing is left to do. A crash before
    /// that leaves a directory that the next start removes.
    pub(crate) fn initialise(&self) -> Result<Record> {
        let new = self.layout.new_data(self.account)?;
        if let Err(error) = self.initdb(new.path(), "C.UTF-8") {
            // Some systems don't have that locale.
            let Error::Initialise { output, .. } = &error else { return Err(error) };
            if !output.contains("locale") {
                return Err(error);
            }
            empty(new.path())?;
            self.initdb(new.path(), "C")?;
        }
        settings::write(new.path(), self.account)?;
        let record = self.new_record()?;
        self.single_user(new.path(), &new_cluster(&record.password))?;
        record.write(&self.layout.record())?;
        let data = self.layout.data();
        std::fs::rename(new.path(), &data).on("make", &data)?;
        // It has moved: there is nothing to remove any more.
        let _ = new.keep();
        files::sync_directory(self.layout.directory())?;
        Ok(record)
    }

    /// Gives the admin a new password, when what was noted about the server is lost. The server must be stopped.
    pub(crate) fn new_password(&self) -> Result<Record> {
        let record = self.new_record()?;
        let sql = format!("ALTER ROLE {ADMIN} LOGIN PASSWORD '{}'\n", verifier(&record.password));
        self.single_user(&self.layout.data(), &sql)?;
        record.write(&self.layout.record())?;
        Ok(record)
    }

    fn new_record(&self) -> Result<Record> {
        Ok(Record {
            port: None,
            username: ADMIN.to_owned(),
            password: password::generate()?,
            version: self.installation.version().to_string(),
        })
    }

    fn initdb(&self, data: &Path, locale: &str) -> Result<()> {
        let program = self.installation.program("initdb");
        // `reject` until our own pg_hba.conf is there. A method that needs a password would ask for the superuser's,
        // and that one is to have none.
        let mut command = program::command(&program, self.account);
        command
            .arg("--pgdata")
            .arg(data)
            .args(["--username=postgres", "--auth=reject", "--encoding=UTF8", "--lc-messages=C", "--no-instructions"])
            .arg(format!("--locale={locale}"));
        let output = command.output().on("run", &program)?;
        self.check(&program, &output)
    }

    /// Runs statements, one a line, without any server: there is no other way in while nobody has a password.
    fn single_user(&self, data: &Path, statements: &str) -> Result<()> {
        let program = self.installation.program("postgres");
        let mut command = program::command(&program, self.account);
        command
            .args(["--single", "-D"])
            .arg(data)
            .args(["-c", "exit_on_error=on", "-c", "log_min_error_statement=panic", "postgres"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .stdin(Stdio::piped());
        let output = feed(command, statements).on("run", &program)?;
        self.check(&program, &output)?;
        // It goes on after some errors, and it says so on stderr alone.
        let said = String::from_utf8_lossy(&output.stderr);
        if said.lines().any(|line| line.contains("ERROR:") || line.contains("FATAL:") || line.contains("WARNING:")) {
            return Err(self.failed(&program, &output));
        }
        Ok(())
    }

    fn check(&self, program: &Path, output: &Output) -> Result<()> {
        if output.status.success() { Ok(()) } else { Err(self.failed(program, output)) }
    }

    fn failed(&self, program: &Path, output: &Output) -> Error {
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(20)..];
        Error::Initialise { server: self.server.to_owned(), program: program.to_owned(), output: last.join("\n") }
    }
}

/// The admin, and the two databases that come with a cluster closed to everybody else.
fn new_cluster(password: &SecretString) -> String {
    format!(
        "CREATE ROLE {ADMIN} LOGIN CREATEDB CREATEROLE PASSWORD '{}'\n\
         REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC\n\
         GRANT CONNECT ON DATABASE postgres TO {ADMIN}\n",
        verifier(password)
    )
}

/// What the server keeps of a password. The password itself is never shown to it.
fn verifier(password: &SecretString) -> String {
    postgres_protocol::password::scram_sha_256(password.expose_secret().as_bytes())
}

fn feed(mut command: Command, input: &str) -> std::io::Result<Output> {
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ended early says why in its output.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output()
}

fn empty(directory: &Path) -> Result<()> {
    for entry in std::fs::read_dir(directory).on("read", directory)? {
        let path = entry.on("read", directory)?.path();
        if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) }.on("remove", &path)?;
    }
    Ok(())
}
