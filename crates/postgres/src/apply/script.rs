//! Running a script as the tenant, once.

use tenantdb_core::{Failure, FailureKind, Login, Script};

use super::bug;
use crate::connect::{Connections, Session, Statement};
use crate::init::{self, MARKED};
use crate::sql::text;
use crate::step::{ContentStep, PostgresStep};

/// The advisory lock, in the tenant's own database, of whoever runs a script there.
const SCRIPT_LOCK: i64 = 0x7464_6269_6e69_7400;

/// Logs in as the tenant, and commits the script together with its mark.
pub(super) async fn run(connections: &Connections, step: &PostgresStep, login: Option<&Login>) -> Result<(), Failure> {
    let PostgresStep::Content(ContentStep::RunScript { role, database, script }) = step else {
        return Err(bug("a script that is none"));
    };
    let login = login.filter(|login| login.username.as_str() == role).ok_or_else(|| bug("a script without a login"))?;
    let _turn = connections.turn_to_run_a_script().await;
    let session = connections.work_as(database, login).await?;
    let done = in_transaction(&session, role, database, script).await;
    session.close().await;
    done
}

/// Without a COMMIT nothing of it stays, whatever ends the session.
async fn in_transaction(session: &Session, role: &str, database: &str, script: &Script) -> Result<(), Failure> {
    let begin = [
        Statement::new("SET application_name = 'tenantdb init'"),
        // What others committed meanwhile has to be seen, whatever the tenant's own settings say.
        Statement::new("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"),
        Statement::labelled(format!("SELECT pg_catalog.pg_advisory_xact_lock({SCRIPT_LOCK})"), "lock"),
    ];
    session.run(&begin).await?;
    let mark = init::mark(script);
    let marked = Statement::labelled(
        format!(
            "SELECT 1 FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase \
             WHERE d.datname = pg_catalog.current_database() AND {} = ANY (s.setconfig)",
            text(format!("{MARKED}={mark}"))
        ),
        "SELECT",
    );
    if !session.column(&marked).await?.is_empty() {
        // A run that was killed while it committed: the next look finds the mark.
        return Err(Failure::new(FailureKind::Stale, format!("script {} was run meanwhile", script.name())));
    }
    session.script(script.text()).await.map_err(|error| failed(script, error))?;
    // The script may have become anyone that the tenant may be.
    let end = [
        Statement::new("SET ROLE NONE"),
        Statement::labelled(init::set_mark(role, database, &mark), "ALTER ROLE"),
        Statement::new("COMMIT"),
    ];
    session.run(&end).await
}

/// What went wrong, with the place in the script.
fn failed(script: &Script, error: crate::connect::ScriptError) -> Failure {
    let crate::connect::ScriptError { failure, character, done } = error;
    if failure.code.is_none() {
        return failure;
    }
    let place = init::place(script, character, done);
    let hint = failure.hint.unwrap_or_default();
    let hint = if hint.is_empty() { "correct it and run it again; nothing of it was kept".to_owned() } else { hint };
    Failure { kind: FailureKind::Rejected, code: None, ..Failure::new(FailureKind::Rejected, failure.message) }
        .within(place)
        .hint(hint)
}
