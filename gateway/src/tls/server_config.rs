//! The TLS settings of a listener, with what is read from its files.

use std::path::{Path, PathBuf};
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
    #[error("reading the certificates has panicked")]
    Panicked,
}

/// Builds the settings. Each has a ticket key of its own, so no session is resumed that was begun under others: not
/// with a client certificate of an authority that is trusted no more.
pub(super) fn build(options: &TlsOptions, certificates: Arc<CertificateSet>) -> Result<ServerConfig, TlsError> {
    let versions = match options.min_version {
        MinVersion::Tls12 => &[&TLS12, &TLS13][..],
        MinVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(TlsError::Settings)?;
    let builder = match &options.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(client_verifier(path, options.client_certificate)?),
    };
    let mut config = builder.with_cert_resolver(certificates);
    config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
    config.ticketer = Ticketer::new().map_err(TlsError::Settings)?;
    Ok(config)
}

/// Builds what checks client certificates.
///
/// # Errors
/// If the file has no certificate of an authority.
pub(super) fn client_verifier(
    path: &Path,
    client_certificate: ClientCertificate,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in load_certificates(path)? {
        roots.add(certificate).map_err(|source| TlsError::ClientCa { path: path.to_owned(), source })?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = match client_certificate {
        ClientCertificate::Required => verifier,
        ClientCertificate::Optional => verifier.allow_unauthenticated(),
    };
    verifier.build().map_err(|source| TlsError::ClientVerifier { path: path.to_owned(), source })
}
