//! TLS to the servers of an upstream. Its certificate is always checked against the configured name.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pingora::protocols::Stream;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::certificate::{CertificateError, load_certificates};
use super::files::FileStamps;
use super::options::CertificateFiles;
use super::socket::TlsSocket;

/// TLS settings of an upstream. Files are PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTlsOptions {
    /// DNS name or address that the certificate must have; the name is also asked for (SNI).
    pub name: String,
    /// Authorities of the certificate. If absent, those of the system.
    pub ca: Option<PathBuf>,
    /// Certificate that is shown to the servers.
    pub client_certificate: Option<CertificateFiles>,
}

impl UpstreamTlsOptions {
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let certificate = self.client_certificate.iter().flat_map(|files| [&files.cert, &files.key]);
        self.ca.iter().chain(certificate)
    }
}

/// TLS to an upstream that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamTlsError {
    #[error("{name:?} is not a DNS name or an address")]
    Name { name: String, source: InvalidDnsNameError },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("{}: has a certificate that is not one of an authority", path.display())]
    Ca { path: PathBuf, source: rustls::Error },
    #[error("the system has no certificates of authorities: install ca-certificates, or set ca")]
    NoSystemCa,
    #[error("the TLS settings do not work together")]
    Settings(#[source] rustls::Error),
    #[error("reading the certificates has panicked")]
    Panicked,
}

/// Connects to the servers of one upstream. Sessions are resumed among its connections only.
pub(crate) struct UpstreamTls {
    connector: TlsConnector,
    name: ServerName<'static>,
    options: UpstreamTlsOptions,
    /// The files as they were read.
    stamps: FileStamps,
    /// Differs from that of all other settings, so that they never share a pooled connection.
    pub(crate) group: u64,
}

/// Zero is for connections without TLS.
static NEXT_GROUP: AtomicU64 = AtomicU64::new(1);
/// The settings that upstreams have now.
static GROUPS: Mutex<BTreeMap<u64, Weak<UpstreamTls>>> = Mutex::new(BTreeMap::new());

impl Drop for UpstreamTls {
    fn drop(&mut self) {
        GROUPS.lock().remove(&self.group);
    }
}

/// Returns what is wrong with the settings of an upstream or their files. This blocks.
pub fn upstream_tls_error(options: &UpstreamTlsOptions) -> Option<UpstreamTlsError> {
    UpstreamTls::load(options).err()
}

/// A handshake with a server that failed.
#[derive(Debug, thiserror::Error)]
#[error("the TLS handshake failed")]
pub(crate) struct UpstreamHandshakeError(#[source] io::Error);

impl UpstreamTls {
    /// Reads all files. This blocks.
    ///
    /// # Errors
    /// If the name is none, or a file cannot be used.
    pub(crate) fn load(options: &UpstreamTlsOptions) -> Result<Arc<Self>, UpstreamTlsError> {
        // Taken first: a change while the files are read is noticed later.
        let stamps = FileStamps::of(options.files());
        let name = ServerName::try_from(options.name.clone())
            .map_err(|source| UpstreamTlsError::Name { name: options.name.clone(), source })?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(UpstreamTlsError::Settings)?
            .with_root_certificates(roots(options.ca.as_ref())?);
        let mut config = match &options.client_certificate {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let key = PrivateKeyDer::from_pem_file(&files.key)
                    .map_err(|source| CertificateError::Read { path: files.key.clone(), source })?;
                let mismatch =
                    |source| CertificateError::KeyMismatch { cert: files.cert.clone(), key: files.key.clone(), source };
                builder.with_client_auth_cert(load_certificates(&files.cert)?, key).map_err(mismatch)?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let group = NEXT_GROUP.fetch_add(1, Ordering::Relaxed);
        let connector = TlsConnector::from(Arc::new(config));
        let tls = Arc::new(Self { connector, name, options: options.clone(), stamps, group });
        GROUPS.lock().insert(group, Arc::downgrade(&tls));
        Ok(tls)
    }

    /// Returns whether the files are those that were read.
    pub(crate) fn is_current(&self) -> bool {
        FileStamps::of(self.options.files()) == self.stamps
    }

    /// Returns the settings of a group. A peer of Pingora carries no more than this number to its connector.
    pub(crate) fn of_group(group: u64) -> Option<Arc<Self>> {
        GROUPS.lock().get(&group)?.upgrade()
    }

    /// Shakes hands on a new connection. The caller limits the time.
    pub(crate) async fn connect(&self, stream: Stream) -> Result<TlsSocket, UpstreamHandshakeError> {
        let stream = self.connector.connect(self.name.clone(), stream).await.map_err(UpstreamHandshakeError)?;
        Ok(TlsSocket(stream.into()))
    }
}

impl std::fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamTls").field("name", &self.name).field("group", &self.group).finish_non_exhaustive()
    }
}

fn roots(ca: Option<&PathBuf>) -> Result<RootCertStore, UpstreamTlsError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in load_certificates(path)? {
                roots.add(certificate).map_err(|source| UpstreamTlsError::Ca { path: path.clone(), source })?;
            }
        }
        None => {
            // The system's may include some that are not understood.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(UpstreamTlsError::NoSystemCa);
            }
        }
    }
    Ok(roots)
}
