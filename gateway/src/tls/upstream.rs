//! TLS to the servers of an upstream. Its certificate is always checked against the configured name.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use gatepost_domain::time::{Clock, Timestamp};
use gatepost_runtime::error_chain;
use parking_lot::Mutex;
use pingora::protocols::Stream;
use prometheus::IntGauge;
use rustls::crypto::ring;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::certificate::{Certificate, CertificateError, load_certificates};
use super::files::FileStamps;
use super::options::CertificateFiles;
use super::refresh::{FilesFault, FilesUser};
use super::socket::TlsSocket;

/// TLS settings of an upstream. Files are PEM, and are read again when they change.
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
    /// Returns all files that it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
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
}

/// TLS of one upstream. Each handshake takes the settings of its start.
#[derive(Debug)]
pub(crate) struct UpstreamTls {
    /// Name of the upstream.
    upstream: String,
    options: UpstreamTlsOptions,
    material: ArcSwap<UpstreamMaterial>,
    /// Why the files as they are now are not in use.
    fault: Mutex<Option<FilesFault>>,
}

/// Settings with what was read from files. Sessions are resumed among its connections only.
pub(crate) struct UpstreamMaterial {
    connector: TlsConnector,
    name: ServerName<'static>,
    /// The files as they were before they were read.
    stamps: FileStamps,
    /// Differs from that of all others, so that they never share a pooled connection.
    pub(crate) group: u64,
}

/// Zero is for connections without TLS.
static NEXT_GROUP: AtomicU64 = AtomicU64::new(1);
/// The settings that upstreams and requests have now.
static GROUPS: Mutex<BTreeMap<u64, Weak<UpstreamMaterial>>> = Mutex::new(BTreeMap::new());

impl Drop for UpstreamMaterial {
    fn drop(&mut self) {
        GROUPS.lock().remove(&self.group);
    }
}

/// A handshake with a server that failed.
#[derive(Debug, thiserror::Error)]
#[error("the TLS handshake failed")]
pub(crate) struct UpstreamHandshakeError(#[source] pub(crate) io::Error);

impl UpstreamTls {
    pub(crate) fn new(upstream: &str, options: UpstreamTlsOptions, material: UpstreamMaterial) -> Self {
        let material = ArcSwap::new(material.register());
        Self { upstream: upstream.to_owned(), options, material, fault: Mutex::default() }
    }

    /// Returns the settings for a new request, which keeps them until it has its connection.
    pub(crate) fn current(&self) -> Arc<UpstreamMaterial> {
        self.material.load_full()
    }

    /// Returns why the files are not in use, if they are not.
    pub(crate) fn fault(&self) -> Option<FilesFault> {
        self.fault.lock().clone()
    }

    /// Takes over what was read, unless it is in use already. Connections that were made before are not used for new
    /// requests.
    pub(crate) fn take_over(&self, material: UpstreamMaterial) {
        if self.material.load().stamps != material.stamps {
            self.material.store(material.register());
            tracing::info!(upstream = %self.upstream, "certificates were taken over from their files");
        }
        *self.fault.lock() = None;
    }
}

impl UpstreamMaterial {
    /// Reads all files. This blocks.
    ///
    /// # Errors
    /// All that is wrong: the name, and each file that cannot be used.
    pub(super) fn load(options: &UpstreamTlsOptions, now: Timestamp) -> Result<Self, Vec<UpstreamTlsError>> {
        // Taken first: a change while the files are read is noticed later.
        let stamps = FileStamps::of(options.files());
        let mut errors = Vec::new();
        let name = ServerName::try_from(options.name.clone())
            .map_err(|source| errors.push(UpstreamTlsError::Name { name: options.name.clone(), source }));
        let roots = roots(options.ca.as_ref()).map_err(|error| errors.push(error));
        let certificate = options.client_certificate.as_ref().map(|files| Certificate::load(files, now)).transpose();
        let certificate = certificate.map_err(|error| errors.push(error.into()));
        let (Ok(name), Ok(roots), Ok(certificate)) = (name, roots, certificate) else { return Err(errors) };
        let config = client_config(roots, certificate).map_err(|error| vec![error])?;
        let group = NEXT_GROUP.fetch_add(1, Ordering::Relaxed);
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name, stamps, group })
    }

    /// Makes it known by its group.
    fn register(self) -> Arc<Self> {
        let material = Arc::new(self);
        GROUPS.lock().insert(material.group, Arc::downgrade(&material));
        material
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

impl std::fmt::Debug for UpstreamMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamMaterial").field("name", &self.name).field("group", &self.group).finish_non_exhaustive()
    }
}

/// The files of an upstream in use.
pub(crate) struct UpstreamFiles {
    pub(crate) tls: Arc<UpstreamTls>,
    pub(crate) clock: Arc<dyn Clock>,
    /// 1 if the files cannot be used.
    pub(crate) faulty: IntGauge,
}

impl FilesUser for UpstreamFiles {
    fn stamps(&self) -> FileStamps {
        FileStamps::of(self.tls.options.files())
    }

    fn stamps_in_use(&self) -> FileStamps {
        self.tls.material.load().stamps.clone()
    }

    fn take_over(&self) -> Result<(), FilesFault> {
        let material = UpstreamMaterial::load(&self.tls.options, self.clock.now())
            .map_err(|errors| FilesFault::new(errors.iter().map(|error| error_chain(error))))?;
        self.tls.take_over(material);
        Ok(())
    }

    fn report(&self, fault: Option<FilesFault>) {
        if let Some(fault) = &fault {
            let (upstream, error) = (&self.tls.upstream, fault.to_string());
            tracing::warn!(upstream, error, "certificates are not taken over, the old ones stay");
        }
        self.faulty.set(i64::from(fault.is_some()));
        *self.tls.fault.lock() = fault;
    }
}

fn client_config(roots: RootCertStore, certificate: Option<Certificate>) -> Result<ClientConfig, UpstreamTlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(UpstreamTlsError::Settings)?
        .with_root_certificates(roots);
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(certificate) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certificate.key))),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
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
