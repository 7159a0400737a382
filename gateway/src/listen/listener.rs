//! Bound addresses.

use std::io;
use std::net::SocketAddr;
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
    let bind_error = |source| StartError::Bind { address: options.address, source };
    let socket = listen(options.address).map_err(bind_error)?;
    let address = socket.local_addr().map_err(bind_error)?;
    Ok(Listener { socket: Arc::new(socket), address, options: options.clone() })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
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
