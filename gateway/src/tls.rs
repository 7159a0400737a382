//! TLS: with clients, by certificates that are taken over from their files as these change, and with upstreams.

mod acceptor;
mod certificate;
mod certificates;
mod files;
mod handshake;
mod listener_files;
mod listeners;
mod materials;
mod options;
mod refresh;
mod server_config;
mod session;
mod socket;
mod upstream;

pub(crate) use acceptor::{CertificateExpiry, TlsAcceptor, TlsMaterial};
pub use certificate::{CertificateError, certificate_error};
pub(crate) use handshake::HandshakeError;
pub(crate) use listener_files::{ListenerFiles, take_over};
pub(crate) use listeners::TlsListeners;
pub use materials::{TlsFault, TlsMaterials};
pub use options::{CertificateFiles, ClientCertificate, MinVersion, TlsOptions, UnknownName};
pub(crate) use refresh::start_refreshing;
pub use server_config::TlsError;
pub(crate) use session::TlsSession;
pub(crate) use socket::TlsSocket;
pub(crate) use upstream::{UpstreamFiles, UpstreamHandshakeError, UpstreamMaterial, UpstreamTls};
pub use upstream::{UpstreamTlsError, UpstreamTlsOptions};
