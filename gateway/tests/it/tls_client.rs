//! A listener with a certificate of its own, and clients that trust it.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use gatepost_gateway::{CertificateFiles, TlsOptions};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

/// Name of the certificate.
pub(crate) const NAME: &str = "localhost";

pub(crate) struct SecureListener {
    pub(crate) options: TlsOptions,
    pub(crate) client: Arc<ClientConfig>,
    /// Removed at the end.
    _directory: TempDir,
}

impl SecureListener {
    pub(crate) fn create() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let files = CertificateFiles { cert: directory.path().join("cert.pem"), key: directory.path().join("key.pem") };
        fs::write(&files.cert, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let options = TlsOptions::new(files, Duration::from_secs(5));
        Self { options, client: Arc::new(client), _directory: directory }
    }
}
