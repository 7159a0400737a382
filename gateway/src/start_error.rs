//! Errors of starting and reloading a gateway.

use std::io;
use std::net::SocketAddr;

use crate::resolve_error::ResolveError;
use crate::tls::{TlsError, UpstreamTlsError};

/// A gateway that did not start, or did not take another configuration.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is in use, or not this machine's.
    #[error("cannot listen on {address}")]
    Bind { address: SocketAddr, source: io::Error },
    /// Loopback takes no connection.
    #[error("cannot connect to this machine's loopback address")]
    App(#[source] io::Error),
    /// A certificate, key or authority of a listener cannot be used.
    #[error("listener {listener}")]
    Tls { listener: String, source: Box<TlsError> },
    /// TLS to an upstream cannot be set up.
    #[error("upstream {upstream}: TLS")]
    UpstreamTls { upstream: String, source: Box<UpstreamTlsError> },
    /// A route names an upstream that is not configured.
    #[error("there is no upstream {0}")]
    UnknownUpstream(String),
    /// A server has no usable name.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The registry has metrics of these names already.
    #[error("cannot register the metrics")]
    Metrics(#[from] prometheus::Error),
    /// The thread that writes the access log did not start.
    #[error("cannot start the access log")]
    AccessLog(#[source] io::Error),
}
