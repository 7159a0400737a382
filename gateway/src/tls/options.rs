//! Configuration of TLS on a listener.

use std::path::PathBuf;
use std::time::Duration;

/// TLS of one listener. Files are PEM, and are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// At least one. The first is for clients that ask for no name, or for none of these certificates.
    pub certificates: Vec<CertificateFiles>,
    pub unknown_name: UnknownName,
    pub min_version: MinVersion,
    /// Authorities of client certificates. If absent, clients are not asked for one.
    pub client_ca: Option<PathBuf>,
    pub client_certificate: ClientCertificate,
    /// Limit from the first byte of a connection to the end of its handshake.
    pub handshake_timeout: Duration,
}

impl TlsOptions {
    /// Returns the defaults for one certificate.
    pub fn new(files: CertificateFiles, handshake_timeout: Duration) -> Self {
        Self {
            certificates: vec![files],
            unknown_name: UnknownName::Default,
            min_version: MinVersion::Tls12,
            client_ca: None,
            client_certificate: ClientCertificate::Required,
            handshake_timeout,
        }
    }
}

/// A certificate, with the chain to its authority, and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Answer to a client that asks for a name that no certificate has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownName {
    /// The first certificate.
    Default,
    /// The alert `unrecognized_name` (RFC 6066 section 3).
    Refuse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinVersion {
    Tls12,
    Tls13,
}

/// Whether a client without a certificate is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificate {
    Required,
    Optional,
}
