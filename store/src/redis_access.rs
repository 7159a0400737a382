//! Credentials and certificates for a store on Redis that its URL does not have.

use gatepost_domain::key::Secret;
use redis::{ClientTlsConfig, TlsCertificates};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Credentials and certificates for Redis. Debug prints no secret.
#[derive(Debug, Clone, Default)]
pub struct RedisAccess {
    /// Password of the user in the URL.
    pub password: Option<Secret>,
    /// Login at the sentinels.
    pub sentinels: Option<SentinelLogin>,
    /// Certificates for servers and sentinels. The URL must have TLS.
    pub tls: Option<RedisTls>,
}

/// User and password for sentinels.
#[derive(Debug, Clone)]
pub struct SentinelLogin {
    /// The default user if absent.
    pub user: Option<String>,
    /// Password of the user.
    pub password: Secret,
}

/// Certificates for connections to Redis. The default trusts the authorities of the system.
#[derive(Debug, Clone, Default)]
pub struct RedisTls {
    authorities: Option<Vec<u8>>,
    client: Option<(Vec<u8>, Secret)>,
}

/// The texts are not the certificates that they should be.
#[derive(Debug, thiserror::Error)]
pub enum RedisTlsError {
    /// It is not PEM.
    #[error("cannot be read as PEM")]
    Pem(#[from] pem::Error),
    /// It is PEM of something else.
    #[error("has no certificate")]
    Empty,
    /// It is no certificate that can have issued others.
    #[error("is not the certificate of an authority")]
    Authority(#[source] rustls::Error),
    /// The key belongs to another certificate.
    #[error("is not the key of the certificate")]
    KeyMismatch(#[source] rustls::Error),
}

impl RedisTls {
    /// Trusts the authorities of a PEM text, and no others.
    ///
    /// # Errors
    /// If the text has no certificate of an authority.
    pub fn with_authorities(mut self, pem: &str) -> Result<Self, RedisTlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in parse_certificates(pem)? {
            roots.add(certificate).map_err(RedisTlsError::Authority)?;
        }
        self.authorities = Some(pem.as_bytes().to_vec());
        Ok(self)
    }

    /// Authenticates connections by a certificate, which is followed by its chain.
    ///
    /// # Errors
    /// If either is not PEM, or they do not belong together.
    pub fn with_client_certificate(mut self, pem: &str, key: Secret) -> Result<Self, RedisTlsError> {
        let certificates = parse_certificates(pem)?;
        let parsed_key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())?;
        CertifiedKey::from_der(certificates, parsed_key, &ring::default_provider())
            .map_err(RedisTlsError::KeyMismatch)?;
        self.client = Some((pem.as_bytes().to_vec(), key));
        Ok(self)
    }

    /// Checks that a PEM text has a certificate.
    ///
    /// # Errors
    /// If it has none.
    pub fn check_certificate(pem: &str) -> Result<(), RedisTlsError> {
        parse_certificates(pem).map(drop)
    }

    /// Returns the certificates for the client library.
    pub(crate) fn to_certificates(&self) -> TlsCertificates {
        let client_tls = self.client.as_ref().map(|(certificate, key)| ClientTlsConfig {
            client_cert: certificate.clone(),
            client_key: key.expose().as_bytes().to_vec(),
        });
        TlsCertificates { client_tls, root_cert: self.authorities.clone() }
    }
}

fn parse_certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, RedisTlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>()?;
    if certificates.is_empty() { Err(RedisTlsError::Empty) } else { Ok(certificates) }
}
