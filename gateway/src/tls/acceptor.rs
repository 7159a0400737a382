//! TLS of a listener: what was read from its files, which each handshake uses as it is at its start.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use gatepost_domain::time::Timestamp;
use parking_lot::Mutex;
use rustls::ServerConfig;

use super::certificate::Certificate;
use super::certificates::CertificateSet;
use super::files::FileStamps;
use super::options::TlsOptions;
use super::refresh::FilesFault;
use super::server_config::{self, TlsError};

/// Accepts TLS connections. Each handshake takes the certificates of its start.
#[derive(Debug)]
pub(crate) struct TlsAcceptor {
    /// Name of the listener.
    listener: String,
    options: TlsOptions,
    material: ArcSwap<TlsMaterial>,
    /// Why the files as they are now are not in use.
    fault: Mutex<Option<FilesFault>>,
}

/// Certificates and settings, read from files together.
#[derive(Debug)]
pub(crate) struct TlsMaterial {
    pub(super) config: Arc<ServerConfig>,
    pub(super) certificates: Arc<CertificateSet>,
    expiries: Vec<CertificateExpiry>,
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

impl TlsAcceptor {
    pub(crate) fn new(listener: &str, options: TlsOptions, material: TlsMaterial) -> Self {
        let material = ArcSwap::from_pointee(material);
        Self { listener: listener.to_owned(), options, material, fault: Mutex::default() }
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

    /// Returns the listener and why its files are not in use, if they are not.
    pub(super) fn fault(&self) -> Option<(String, FilesFault)> {
        self.fault.lock().clone().map(|fault| (self.listener.clone(), fault))
    }

    pub(super) fn listener(&self) -> &str {
        &self.listener
    }

    /// Takes over what was read, unless it is in use already. Returns the certificates that were in use before.
    pub(super) fn replace(&self, material: TlsMaterial) -> Option<Vec<CertificateExpiry>> {
        let before = self.material();
        if before.stamps == material.stamps {
            return None;
        }
        self.material.store(Arc::new(material));
        Some(before.expiries.clone())
    }

    pub(super) fn set_fault(&self, fault: Option<FilesFault>) {
        *self.fault.lock() = fault;
    }
}

impl TlsMaterial {
    /// Reads all files. This blocks.
    ///
    /// # Errors
    /// All files that cannot be used, with their names.
    pub(super) fn load(options: &TlsOptions, now: Timestamp) -> Result<Self, Vec<TlsError>> {
        let stamps = FileStamps::of(options.files());
        let (mut certificates, mut errors) = (Vec::new(), Vec::new());
        for files in &options.certificates {
            match Certificate::load(files, now) {
                Ok(certificate) => certificates.push(certificate),
                Err(error) => errors.push(TlsError::from(error)),
            }
        }
        let verifier = server_config::client_verifier(options).map_err(|error| errors.push(error));
        let (true, Ok(verifier)) = (errors.is_empty(), verifier) else { return Err(errors) };
        let expiries = certificates.iter().zip(&options.certificates).map(|(certificate, files)| {
            let name = certificate.names.first().cloned().unwrap_or_else(|| files.cert.display().to_string());
            CertificateExpiry { name, at: certificate.expires_at }
        });
        let expiries = expiries.collect();
        let certificates = Arc::new(CertificateSet::new(&certificates));
        let config = server_config::build(options.min_version, verifier, Arc::clone(&certificates));
        let config = Arc::new(config.map_err(|error| vec![error])?);
        Ok(Self { config, certificates, expiries, stamps })
    }
}

impl TlsOptions {
    /// Returns all files that it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let certificates = self.certificates.iter().flat_map(|files| [&files.cert, &files.key]);
        certificates.chain(&self.client_ca)
    }
}
