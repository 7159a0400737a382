//! One certificate with its key, read from files.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gatepost_domain::time::Timestamp;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::options::CertificateFiles;

/// A certificate that fits its key.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    /// DNS names in lower case, also wildcards such as `*.example.com`.
    pub(super) names: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) expires_at: Timestamp,
}

/// Files that are not a certificate with its key.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("{}: cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: is not a PEM file with {what}", path.display())]
    Pem { path: PathBuf, what: &'static str },
    #[error("{}: has no certificate", path.display())]
    Empty { path: PathBuf },
    #[error("{}: is not a valid certificate", path.display())]
    Parse { path: PathBuf },
    #[error("{}: expired at {at}", path.display())]
    Expired { path: PathBuf, at: Timestamp },
    #[error("{}: is not the key of {}", key.display(), cert.display())]
    KeyMismatch { cert: PathBuf, key: PathBuf },
    #[error("{}: has a key that is not supported", path.display())]
    UnsupportedKey { path: PathBuf },
}

/// Returns why files are not a certificate that is valid now, with its key; none if they are. This blocks.
pub fn certificate_error(files: &CertificateFiles, now: Timestamp) -> Option<CertificateError> {
    Certificate::load(files, now).err()
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// If a file cannot be read, the certificate has expired, or the key is not its own.
    pub(super) fn load(files: &CertificateFiles, now: Timestamp) -> Result<Self, CertificateError> {
        let chain = load_certificates(&files.cert)?;
        let facts = inspect(&chain[0], &files.cert)?;
        if facts.expires_at <= now {
            return Err(CertificateError::Expired { path: files.cert.clone(), at: facts.expires_at });
        }
        let key =
            PrivateKeyDer::from_pem_file(&files.key).map_err(|error| pem_error(&files.key, "a private key", error))?;
        let key =
            CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| key_error(files, &error))?;
        let Facts { names, addresses, expires_at } = facts;
        Ok(Self { key: Arc::new(key), names, addresses, expires_at })
    }
}

/// Reads all certificates of a file: at least one.
///
/// # Errors
/// If the file cannot be read, or has none.
pub(super) fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let read_error = |error| pem_error(path, "certificates", error);
    let certificates = CertificateDer::pem_file_iter(path).map_err(read_error)?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(read_error)?;
    if certificates.is_empty() {
        return Err(CertificateError::Empty { path: path.to_owned() });
    }
    Ok(certificates)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library adds kinds of errors")]
fn pem_error(path: &Path, what: &'static str, error: pem::Error) -> CertificateError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(source) => CertificateError::Read { path, source },
        _ => CertificateError::Pem { path, what },
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library adds kinds of errors")]
fn key_error(files: &CertificateFiles, error: &rustls::Error) -> CertificateError {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            CertificateError::KeyMismatch { cert: files.cert.clone(), key: files.key.clone() }
        }
        _ => CertificateError::UnsupportedKey { path: files.key.clone() },
    }
}

/// What a certificate says about itself.
struct Facts {
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    expires_at: Timestamp,
}

fn inspect(certificate: &CertificateDer<'_>, path: &Path) -> Result<Facts, CertificateError> {
    let parse_error = || CertificateError::Parse { path: path.to_owned() };
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| parse_error())?;
    let alternative_names = parsed.subject_alternative_name().map_err(|_| parse_error())?;
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    for name in alternative_names.iter().flat_map(|names| &names.value.general_names) {
        if let GeneralName::DNSName(name) = name {
            names.push(name.to_ascii_lowercase());
        } else if let GeneralName::IPAddress(bytes) = name {
            addresses.extend(address(bytes));
        }
    }
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
    Ok(Facts { names, addresses, expires_at: Timestamp::from_ms(seconds.saturating_mul(1000)) })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)))).ok()
}
