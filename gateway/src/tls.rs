//! TLS: with clients, by certificates that are taken over from their files as these change, and with upstreams.

mod acceptor;
mod certificate;
mod certificates;
mod files;
mod handshake;
mod options;
mod refresh;
mod server_config;
mod session;
mod socket;
mod upstream;

pub use acceptor::tls_errors;
pub(crate) use acceptor::{CertificateExpiry, TlsAcceptor};
pub use certificate::CertificateError;
pub(crate) use handshake::HandshakeError;
pub use options::{CertificateFiles, ClientCertificate, MinVersion, TlsOptions, UnknownName};
pub(crate) use refresh::start_refreshing;
pub use server_config::TlsError;
pub(crate) use session::TlsSession;
pub(crate) use socket::TlsSocket;
pub(crate) use upstream::UpstreamTls;
pub use upstream::{UpstreamTlsError, UpstreamTlsOptions, upstream_tls_error};
