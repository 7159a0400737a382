//! What a listener with TLS has read from its files.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use gatepost_domain::time::Timestamp;
use rustls::ServerConfig;

use super::certificate::Certificate;
use super::certificates::CertificateSet;
use super::files::FileStamps;
use super::options::TlsOptions;
use super::server_config::{self, TlsError};

/// Accepts TLS connections. Each handshake takes the certificates of its start.
#[derive(Debug)]
pub(crate) struct TlsAcceptor {
    options: TlsOptions,
    material: ArcSwap<TlsMaterial>,
}

/// Certificates and settings, read from files together.
#[derive(Debug)]
pub(super) struct TlsMaterial {
    pub(super) config: Arc<ServerConfig>,
    pub(super) certificates: Arc<CertificateSet>,
    pub(super) expiries: Vec<CertificateExpiry>,
    /// The files as they were before they were read.
    pub(super) stamps: FileStamps,
}

/// End of a certificate's validity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateExpiry {
    /// Its first DNS name, else its file.
    pub(crate) name: String,
    pub(crate) at: Timestamp,
}

/// Returns what is wrong with the files of a listener: each certificate, and the authorities of clients. This blocks.
pub fn tls_errors(options: &TlsOptions, now: Timestamp) -> Vec<TlsError> {
    let certificates = options.certificates.iter().map(|files| Certificate::load(files, now));
    let mut errors: Vec<TlsError> = certificates.filter_map(Result::err).map(TlsError::from).collect();
    if let Some(path) = &options.client_ca {
        errors.extend(server_config::client_verifier(path, options.client_certificate).err());
    }
    errors
}

impl TlsAcceptor {
    /// Reads all files. This blocks.
    ///
    /// # Errors
    /// If a file cannot be used, with its name.
    pub(crate) fn load(options: TlsOptions, now: Timestamp) -> Result<Self, TlsError> {
        let material = TlsMaterial::load(&options, now)?;
        Ok(Self { options, material: ArcSwap::from_pointee(material) })
    }

    /// Reads all files again. This blocks. An error changes nothing.
    ///
    /// # Errors
    /// As those of [`TlsAcceptor::load`].
    pub(super) fn reload(&self, now: Timestamp) -> Result<(), TlsError> {
        self.material.store(Arc::new(TlsMaterial::load(&self.options, now)?));
        Ok(())
    }

    pub(super) fn options(&self) -> &TlsOptions {
        &self.options
    }

    pub(super) fn material(&self) -> Arc<TlsMaterial> {
        self.material.load_full()
    }

    pub(crate) fn expiries(&self) -> Vec<CertificateExpiry> {
        self.material.load().expiries.clone()
    }
}

impl TlsMaterial {
    fn load(options: &TlsOptions, now: Timestamp) -> Result<Self, TlsError> {
        let stamps = FileStamps::of(options.files());
        let certificates: Vec<Certificate> =
            options.certificates.iter().map(|files| Certificate::load(files, now)).collect::<Result<_, _>>()?;
        let expiries = certificates.iter().zip(&options.certificates).map(|(certificate, files)| {
            let name = certificate.names.first().cloned().unwrap_or_else(|| files.cert.display().to_string());
            CertificateExpiry { name, at: certificate.expires_at }
        });
        let expiries = expiries.collect();
        let certificates = Arc::new(CertificateSet::new(&certificates));
        let config = Arc::new(server_config::build(options, Arc::clone(&certificates))?);
        Ok(Self { config, certificates, expiries, stamps })
    }
}

impl TlsOptions {
    /// Returns all files that it names.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let certificates = self.certificates.iter().flat_map(|files| [&files.cert, &files.key]);
        certificates.chain(&self.client_ca)
    }
}
