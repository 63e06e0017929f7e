//! TLS as PostgreSQL begins it.

use tenantdb_api::database_server::TlsMode;
use tenantdb_core::reach::Tls;
use tokio::net::TcpStream;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::guard::{Guarded, GuardedTls};

/// What a server is asked for before TLS begins.
pub(super) fn ssl_mode(tls: &Tls) -> SslMode {
    match tls.mode() {
        TlsMode::Disable => SslMode::Disable,
        TlsMode::Prefer => SslMode::Prefer,
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
    }
}

/// What makes TLS of a stream to this host. Only `verify-full` proves that whoever answers is the server.
pub(super) fn connector(
    tls: &Tls,
    host: &str,
) -> Option<
    GuardedTls<impl TlsConnect<Guarded<TcpStream>, Stream: Send + Unpin + 'static, Future: Send + 'static> + use<>>,
> {
    let mut rustls = MakeRustlsConnect::new(tls.client()?.clone());
    let Ok(connector) = MakeTlsConnect::<Guarded<TcpStream>>::make_tls_connect(&mut rustls, host);
    Some(GuardedTls { connector, proves: tls.mode() == TlsMode::VerifyFull })
}
