//! Fixture of the benchmarks of TLS: a certificate, and clients that make little work of it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use crate::generator::HOST;
use crate::peers::CertificateFiles;

/// Protocol of all requests, as ALPN names it.
const ALPN: &[u8] = b"http/1.1";

#[derive(Debug)]
pub(crate) struct TlsFixture {
    pub(crate) files: CertificateFiles,
    /// TLS of all clients.
    pub(crate) client: Arc<ClientConfig>,
}

impl TlsFixture {
    /// Creates a certificate with an ECDSA key (P-256) in a directory.
    pub(crate) fn create(directory: &Path) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([HOST.to_owned()])?.self_signed(&key)?.pem();
        let file = |name: &str| directory.join(name);
        let files = CertificateFiles { certificate: file("tls.crt"), key: file("tls.key"), both: file("tls.pem") };
        fs::write(&files.certificate, &certificate)?;
        fs::write(&files.key, key.serialize_pem())?;
        fs::write(&files.both, format!("{certificate}{}", key.serialize_pem()))?;
        Ok(Self { files, client: Arc::new(client_config()?) })
    }
}

/// Returns the TLS of clients. They offer one version, cipher suite and key exchange, so that all servers do the same
/// work.
fn client_config() -> anyhow::Result<ClientConfig> {
    let provider = CryptoProvider {
        cipher_suites: vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![ring::kx_group::X25519],
        ..ring::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAny))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// Accepts every certificate and signature. Checking them would cost clients as much time as servers take.
#[derive(Debug)]
struct AcceptAny;

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
