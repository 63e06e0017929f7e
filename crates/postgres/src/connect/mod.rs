//! Sessions with a server: how they are opened, what they may not say, and how many there are.

mod beginning;
mod budget;
mod error;
mod guard;
mod session;
mod tls;

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tenantdb_core::{Address, Password, Writer};
use tokio::net::TcpStream;
use tokio_postgres::Config;

pub(crate) use budget::Connections;
pub(crate) use error::{PREPARED_TRANSACTION, failure, unreachable};
pub(crate) use session::{ScriptError, Session, Statement};

use crate::ESTATE;

/// As whom a session speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// The administrator's own login.
    Admin,
    /// The estate, which the administrator's login is a member of.
    Estate,
    /// A tenant's login at work, with its own settings.
    Tenant,
    /// A tenant's login that is tried.
    Probe,
    /// The same through what stands before the server: a pooler refuses options.
    Through,
}

impl Speaker {
    /// Whether it works for the administrator, and not as a tenant.
    const fn is_administrative(self) -> bool {
        matches!(self, Self::Admin | Self::Estate)
    }
}

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Options that every administrative session sets at its start, where they outrank `ALTER DATABASE … SET` and
/// `ALTER ROLE … SET`: a tenant can neither hide a WARNING from us, nor time us out, nor make us resolve its names.
const ADMIN_OPTIONS: &[(&str, &str)] = &[
    ("search_path", "pg_catalog,pg_temp"),
    ("client_min_messages", "notice"),
    ("default_transaction_read_only", "off"),
    ("statement_timeout", "900s"),
    ("lock_timeout", "30s"),
    ("idle_session_timeout", "0"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("row_security", "off"),
    ("timezone", "UTC"),
    ("standard_conforming_strings", "on"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "20000"),
];

/// The first version that knows `transaction_timeout`. An option that a server does not know keeps the session from
/// beginning, so this one is lifted afterwards.
const FIRST_WITH_TRANSACTION_TIMEOUT: u32 = 17;

/// No session of ours is ended because it says nothing for a while.
const WORK_OPTIONS: &[(&str, &str)] = &[("idle_session_timeout", "0")];

/// Whether a login works has nothing to do with how long its statements may take.
const PROBE_OPTIONS: &[(&str, &str)] = &[("idle_session_timeout", "0"), ("statement_timeout", "30s")];

/// What a session is opened with.
fn config(user: &str, password: &Password, database: &str, speaker: Speaker, writer: &Writer) -> Config {
    let mut config = Config::new();
    config.user(user).password(password.expose()).dbname(database);
    let name = if speaker.is_administrative() { application_name(&writer.name) } else { "tenantdb probe".to_owned() };
    config.application_name(name);
    if let Some(options) = options(speaker) {
        config.options(options);
    }
    config
}

/// Opens a stream to a server that notices within half a minute when the other end is gone.
async fn dial(address: &Address) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    let pause = Duration::from_secs(5);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(10)).with_interval(pause))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

fn options(speaker: Speaker) -> Option<String> {
    let (options, role) = match speaker {
        Speaker::Admin => (ADMIN_OPTIONS, Some(("role", "none"))),
        Speaker::Estate => (ADMIN_OPTIONS, Some(("role", ESTATE))),
        Speaker::Tenant => (WORK_OPTIONS, None),
        Speaker::Probe => (PROBE_OPTIONS, None),
        Speaker::Through => return None,
    };
    let options = options.iter().copied().chain(role);
    Some(options.map(|(name, value)| format!("-c {name}={value}")).collect::<Vec<_>>().join(" "))
}

/// Names the holder of locks to others: `tenantdb <process>@<host>`, at most 63 bytes.
pub(crate) fn application_name(writer: &str) -> String {
    let mut name = format!("tenantdb {writer}");
    name.truncate(name.floor_char_boundary(63));
    name
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn an_administrators_session_brings_what_nobody_may_set_for_it() {
        for (speaker, role) in [(Speaker::Admin, "none"), (Speaker::Estate, ESTATE)] {
            let options = options(speaker).unwrap();
            let said: Vec<&str> = options.split("-c ").map(str::trim).filter(|said| !said.is_empty()).collect();
            for (name, value) in [
                ("search_path", "pg_catalog,pg_temp"),
                ("role", role),
                ("client_min_messages", "notice"),
                ("default_transaction_read_only", "off"),
                ("idle_session_timeout", "0"),
                ("row_security", "off"),
                ("timezone", "UTC"),
                ("standard_conforming_strings", "on"),
                ("tcp_keepalives_idle", "10"),
                ("tcp_keepalives_interval", "5"),
                ("tcp_keepalives_count", "3"),
                ("tcp_user_timeout", "20000"),
            ] {
                assert!(said.contains(&format!("{name}={value}").as_str()), "{name} in {options}");
            }
            for timeout in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"] {
                assert!(said.iter().any(|said| said.starts_with(&format!("{timeout}="))), "{timeout} in {options}");
            }
        }
    }

    #[tokio::test]
    async fn a_server_that_is_gone_is_noticed_from_here_as_well() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = dial(&Address { host: "127.0.0.1".to_owned(), port }).await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(10));
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(20)));
    }
}
