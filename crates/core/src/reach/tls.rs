//! How a connection is protected.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tenantdb_api::database_server::TlsMode;

/// A mode of protection with what it needs.
#[derive(Clone, Debug)]
pub struct Tls {
    mode: TlsMode,
    client: Option<Arc<ClientConfig>>,
}

impl Tls {
    /// The settings of a mode; `authority` is the PEM text of the certificates that may sign the server's.
    ///
    /// # Errors
    /// When the PEM text holds no certificate that can be used.
    pub fn new(mode: TlsMode, authority: Option<&[u8]>) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match (mode, authority) {
            (TlsMode::Disable, _) => return Ok(Self { mode, client: None }),
            (TlsMode::VerifyFull | TlsMode::VerifyCa, Some(pem)) => {
                let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(pem)?), provider.clone())
                    .build()
                    .map_err(|error| error.to_string())?;
                if mode == TlsMode::VerifyFull {
                    inner
                } else {
                    Arc::new(AnyName { issuer: Some(inner), provider: provider.clone() })
                }
            }
            (TlsMode::VerifyFull | TlsMode::VerifyCa, None) => {
                return Err("the mode needs the certificate of an authority".to_owned());
            }
            (TlsMode::Prefer | TlsMode::Require, _) => Arc::new(AnyName { issuer: None, provider: provider.clone() }),
        };
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self { mode, client: Some(Arc::new(client)) })
    }

    /// Whether whoever answers has shown a certificate of the declared authority.
    #[must_use]
    pub fn verifies(&self) -> bool {
        matches!(self.mode, TlsMode::VerifyCa | TlsMode::VerifyFull)
    }

    /// The mode.
    #[must_use]
    pub fn mode(&self) -> TlsMode {
        self.mode
    }

    /// What makes TLS of a stream, unless the connection is not to be protected.
    #[must_use]
    pub fn client(&self) -> Option<&ClientConfig> {
        self.client.as_deref()
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("not a PEM certificate: {error}"))?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(roots) }
}

/// Takes any host name, from the right issuer (libpq's `verify-ca`) or from any (`prefer` and `require`); the
/// certificate's key must sign the handshake all the same.
#[derive(Debug)]
struct AnyName {
    issuer: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(issuer) = &self.issuer else { return Ok(ServerCertVerified::assertion()) };
        match issuer.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
