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
    origin: SocketOrigin,
    address: SocketAddr,
    pub(crate) options: ListenerOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SocketOrigin {
    Bound,
    /// Somebody else has it too, who keeps it open.
    Adopted,
}

/// Listens on an address before anything else starts, so that a busy port is reported first.
///
/// # Errors
/// [`StartError::Bind`] with the system's error.
///
/// # Panics
/// Outside of a runtime.
pub fn bind(options: &ListenerOptions) -> Result<Listener, StartError> {
    start(bind_address(options.address), SocketOrigin::Bound, options)
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
    start(socket, SocketOrigin::Adopted, options)
}

fn start(
    socket: io::Result<TcpSocket>,
    origin: SocketOrigin,
    options: &ListenerOptions,
) -> Result<Listener, StartError> {
    let bind_error = |source| StartError::Bind { address: options.address, source };
    let socket = socket.and_then(|socket| socket.listen(BACKLOG)).map_err(bind_error)?;
    let address = socket.local_addr().map_err(bind_error)?;
    Ok(Listener { socket: Arc::new(socket), origin, address, options: options.clone() })
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

    /// Returns whether these options are for its socket. An adopted one is known by name, or else by address; with port 0
    /// the system chooses a port for each.
    pub(super) fn fits(&self, options: &ListenerOptions) -> bool {
        let has_name = self.is_adopted() && self.options.name == options.name;
        has_name || self.options.address == options.address && options.address.port() != 0
    }

    /// Returns whether somebody else keeps its socket open.
    pub(crate) fn is_adopted(&self) -> bool {
        self.origin == SocketOrigin::Adopted
    }

    /// Returns whether both have one socket.
    pub(super) fn shares_socket_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.socket, &other.socket)
    }

    /// Returns the address, with the port that the system chose if none was asked for.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}
