//! The TLS settings of a listener, with what is read from its files.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring::{self, Ticketer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use super::certificate::{CertificateError, load_certificates};
use super::certificates::CertificateSet;
use super::options::{ClientCertificate, MinVersion, TlsOptions};

/// Protocols that are offered, as ALPN names them (RFC 7301).
const ALPN: &[&[u8]] = &[b"http/1.1"];

/// TLS that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("{}: has a certificate that is not one of an authority", path.display())]
    ClientCa { path: PathBuf, source: rustls::Error },
    #[error("{}: cannot be used to check client certificates", path.display())]
    ClientVerifier { path: PathBuf, source: VerifierBuilderError },
    #[error("the TLS settings do not work together")]
    Settings(#[source] rustls::Error),
}

/// Builds the settings. Each has a ticket key of its own, so no session is resumed that was begun under others: not
/// with a client certificate of an authority that is trusted no more.
pub(super) fn build(
    min_version: MinVersion,
    client_verifier: Option<Arc<dyn ClientCertVerifier>>,
    certificates: Arc<CertificateSet>,
) -> Result<ServerConfig, TlsError> {
    let versions = match min_version {
        MinVersion::Tls12 => &[&TLS12, &TLS13][..],
        MinVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(TlsError::Settings)?;
    let builder = match client_verifier {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let mut config = builder.with_cert_resolver(certificates);
    config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
    config.ticketer = Ticketer::new().map_err(TlsError::Settings)?;
    Ok(config)
}

/// Builds what checks client certificates; none if clients are asked for none.
///
/// # Errors
/// If the file has no certificate of an authority.
pub(super) fn client_verifier(options: &TlsOptions) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let Some(path) = &options.client_ca else { return Ok(None) };
    let mut roots = RootCertStore::empty();
    for certificate in load_certificates(path)? {
        roots.add(certificate).map_err(|source| TlsError::ClientCa { path: path.clone(), source })?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = match options.client_certificate {
        ClientCertificate::Required => verifier,
        ClientCertificate::Optional => verifier.allow_unauthenticated(),
    };
    verifier.build().map(Some).map_err(|source| TlsError::ClientVerifier { path: path.clone(), source })
}
