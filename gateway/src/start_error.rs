//! Errors of starting and reloading a gateway.

use std::io;
use std::net::SocketAddr;

use crate::resolve_error::ResolveError;

/// A gateway that did not start, or did not take another configuration.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is in use, or not this machine's.
    #[error("cannot listen on {address}")]
    Bind { address: SocketAddr, source: io::Error },
    /// Loopback takes no connection.
    #[error("cannot connect to this machine's loopback address")]
    App(#[source] io::Error),
    /// The files of a listener or an upstream were not read.
    #[error("the TLS files of {name} were not read")]
    TlsNotRead { name: String },
    /// A reload came after the stop.
    #[error("the gateway stops")]
    Stopping,
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
