//! What a server's error means to a person.

use std::error::Error as _;
use std::io;

use tenantdb_core::{Failure, FailureKind};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::guard::GIVES_AWAY;

/// A server's or a connection's error as a failure: SQLSTATE, message and detail, never the statement.
pub(crate) fn failure(error: &Error) -> Failure {
    let Some(server) = error.as_db_error() else {
        return connection_failure(error);
    };
    let detail = server.detail().map_or_else(String::new, |detail| format!(": {detail}"));
    let message = format!("{}{detail} ({})", server.message(), server.code().code());
    let code = server.code();
    // The classes of errors: PostgreSQL documentation, appendix A.
    let kind = match code.code() {
        class if class.starts_with("57P") || class.starts_with("08") => FailureKind::Unreachable,
        class if class.starts_with("28") => FailureKind::LoginRefused,
        _ => FailureKind::Rejected,
    };
    let hint = match () {
        () if message.contains("to terminate ") => Some(SESSION_OF_ANOTHER),
        () if message.contains(PREPARED_TRANSACTION) => Some(END_PREPARED),
        () if message.contains("PAM authentication failed") => Some(TOKEN_WANTED),
        () => hint(code),
    };
    let hint = hint.map(str::to_owned).or_else(|| server.hint().map(str::to_owned));
    Failure { code: Some(code.code().to_owned()), hint, ..Failure::new(kind, message) }
}

/// What PostgreSQL says of a session that whoever drops a database may not end.
const SESSION_OF_ANOTHER: &str =
    "someone else has a session in it: end it on the server (pg_stat_activity names it), and run it again to finish";

/// What PostgreSQL says of a database that can't be dropped because of one.
pub(crate) const PREPARED_TRANSACTION: &str = "prepared transaction";

/// What RDS and Aurora say to a member of `rds_iam` that brings a password.
const TOKEN_WANTED: &str = "a member of rds_iam needs a token in the place of its password: it may have become one with a \
                            role that it administers; revoke rds_iam from that, or give a token";

const END_PREPARED: &str = "pg_prepared_xacts names it: open the database (ALTER DATABASE … ALLOW_CONNECTIONS true), run \
                            ROLLBACK PREPARED in it, and run it again to finish";

/// A server to which there is no way.
pub(crate) fn unreachable(error: &io::Error) -> Failure {
    Failure::new(FailureKind::Unreachable, format!("can't connect: {error}"))
        .hint("check host and port, and that the server runs and can be reached from here")
}

fn connection_failure(error: &Error) -> Failure {
    // The error itself says only where it arose; its sources say what happened.
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = cause.source();
    }
    if message.contains(GIVES_AWAY) {
        return Failure::new(FailureKind::Rejected, format!("{message}, and was not proved to be the right one")).hint(
            "let it prove itself (`tls: {mode: verify-full, caFrom: …}`), or let it use SCRAM: password_encryption = \
             'scram-sha-256', the login's password set again, and scram-sha-256 in pg_hba.conf",
        );
    }
    let hint = if message.contains("does not support TLS") {
        "turn TLS on at the server, or set `tls: {mode: disable}` if the way there is trusted"
    } else if message.to_lowercase().contains("certificate") {
        "check `tls.caFrom`, the host name in the server's certificate and its dates"
    } else if error.is_closed() {
        "the server ended the connection; see its log, and run it again to finish"
    } else {
        "check host and port, and that the server runs and can be reached from here"
    };
    Failure::new(FailureKind::Unreachable, message).hint(hint)
}

fn hint(code: &SqlState) -> Option<&'static str> {
    const HINTS: &[(SqlState, &str)] = &[
        (
            SqlState::INVALID_PASSWORD,
            "check the administrator's password and where `admin.passwordFrom` takes it from; on a new server, \
             `tenantdb server bootstrap` makes the login",
        ),
        (
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            "check the login's name, whether it may log in, and the server's pg_hba.conf",
        ),
        (SqlState::INVALID_CATALOG_NAME, "check `admin.maintenanceDatabase`"),
        (
            SqlState::TOO_MANY_CONNECTIONS,
            "wait until sessions end, lower `limits.connections`, or raise max_connections on the server",
        ),
        (SqlState::DISK_FULL, "make room on the server's disk and run it again to finish"),
        (
            SqlState::INSUFFICIENT_PRIVILEGE,
            "the administrator may not do that; it needs CREATEDB, CREATEROLE, and to own what it changes",
        ),
        (
            SqlState::LOCK_NOT_AVAILABLE,
            "someone holds a lock on it; see pg_locks and pg_prepared_xacts on the server, and run it again",
        ),
        (SqlState::QUERY_CANCELED, "it took too long or was cancelled at the server; run it again to finish"),
        (SqlState::ADMIN_SHUTDOWN, "the server was stopped; run it again to finish when it is back"),
        (SqlState::CRASH_SHUTDOWN, "the server crashed; run it again to finish when it is back"),
        (SqlState::CANNOT_CONNECT_NOW, "the server is starting or stopping; run it again in a moment"),
        (SqlState::INVALID_PARAMETER_VALUE, "correct the value in the declaration"),
        (SqlState::DUPLICATE_OBJECT, "somebody made it meanwhile; run it again to see whose it is"),
        (SqlState::UNDEFINED_OBJECT, "correct the name in the declaration"),
        (SqlState::DEPENDENT_OBJECTS_STILL_EXIST, "something still depends on it; the detail says what"),
    ];
    HINTS.iter().find(|(known, _)| known == code).map(|(_, hint)| *hint)
}
