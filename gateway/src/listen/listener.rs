//! Bound addresses.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};

use crate::options::ListenerOptions;
use crate::start_error::StartError;

/// Cap on connections that wait to be accepted. The system may have a lower one.
const BACKLOG: u32 = 65_535;

/// A bound listener, on which connections wait. Clones share it.
#[derive(Debug, Clone)]
pub struct Listener {
    pub(super) socket: Arc<TcpListener>,
    address: SocketAddr,
    pub(crate) options: ListenerOptions,
}

/// Listens on an address before anything else starts, so that a busy port is reported first.
///
/// # Errors
/// [`StartError::Bind`] with the system's error.
///
/// # Panics
/// Outside of a runtime.
pub fn bind(options: &ListenerOptions) -> Result<Listener, StartError> {
    start(bind_address(options.address), options)
}

/// Listens on a socket that somebody else has bound, whatever address the options have. If it listens already, the
/// connections that wait are accepted.
///
/// # Errors
/// [`StartError::Bind`] with the system's error.
///
/// # Panics
/// Outside of a runtime.
pub fn adopt(socket: std::net::TcpListener, options: &ListenerOptions) -> Result<Listener, StartError> {
    let socket = socket.set_nonblocking(true).map(|()| TcpSocket::from_std_stream(OwnedFd::from(socket).into()));
    start(socket, options)
}

fn start(socket: io::Result<TcpSocket>, options: &ListenerOptions) -> Result<Listener, StartError> {
    let bind_error = |source| StartError::Bind { address: options.address, source };
    let socket = socket.and_then(|socket| socket.listen(BACKLOG)).map_err(bind_error)?;
    let address = socket.local_addr().map_err(bind_error)?;
    Ok(Listener { socket: Arc::new(socket), address, options: options.clone() })
}

fn bind_address(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

impl Listener {
    /// Returns the same socket with other options.
    pub(super) fn with_options(&self, options: &ListenerOptions) -> Self {
        Self { options: options.clone(), ..self.clone() }
    }

    /// Returns the address, with the port that the system chose if none was asked for.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}
