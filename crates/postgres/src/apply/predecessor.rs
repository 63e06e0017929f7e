//! Whoever worked on the server before, with the same login, and was not heard of any more.

use tenantdb_core::Failure;

use crate::connect::{Session, Statement, application_name};
use crate::sql::text;

/// Ends the sessions of another process, and waits until they are gone; how many there were.
pub(crate) async fn end_sessions(session: &Session, of: &str) -> Result<usize, Failure> {
    let statement = format!(
        "SELECT pg_catalog.pg_terminate_backend(pid, 10000) FROM pg_catalog.pg_stat_activity \
         WHERE application_name = {} AND usename = session_user",
        text(application_name(of))
    );
    Ok(session.column(&Statement::labelled(statement, "end the sessions of another operator")).await?.len())
}
