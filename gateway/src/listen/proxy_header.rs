//! Reads the header of the PROXY protocol that a connection begins with.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::proxy_protocol::{InvalidHeader, MAX_HEADER_BYTES, Parsed, parse};

/// Limit from the first byte of a connection to the end of its header. The specification asks for 3 s at least, so that
/// a lost packet can come again.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection without a header that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyHeaderError {
    #[error("the peer is not in gateway.trusted_proxies")]
    Untrusted,
    #[error(transparent)]
    Malformed(#[from] InvalidHeader),
    #[error("the header of the PROXY protocol has more than {MAX_HEADER_BYTES} bytes")]
    TooLong,
    #[error("the header of the PROXY protocol took too long")]
    TimedOut,
    #[error("the connection ended before its header of the PROXY protocol")]
    Closed,
    #[error("reading the header of the PROXY protocol failed")]
    Io(#[from] io::Error),
}

impl ProxyHeaderError {
    /// Returns its label in metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            ProxyHeaderError::Untrusted => "untrusted",
            ProxyHeaderError::Malformed(_) | ProxyHeaderError::TooLong => "malformed",
            ProxyHeaderError::TimedOut => "timeout",
            ProxyHeaderError::Closed | ProxyHeaderError::Io(_) => "closed",
        }
    }
}

/// Reads the header within its deadline, and no byte behind it. Returns the client that it names, if it names one.
pub(super) async fn read_client(stream: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let reading = tokio::time::timeout(HEADER_TIMEOUT, read_header(stream));
    reading.await.unwrap_or(Err(ProxyHeaderError::TimedOut))
}

/// Looks at what has come, and takes only what belongs to the header: TLS or HTTP reads the rest.
async fn read_header(stream: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let mut header = vec![0; MAX_HEADER_BYTES];
    let mut taken = 0;
    while taken < MAX_HEADER_BYTES {
        let seen = taken + stream.peek(&mut header[taken..]).await?;
        if seen == taken {
            return Err(ProxyHeaderError::Closed);
        }
        match parse(&header[..seen])? {
            Parsed::Incomplete => {
                stream.read_exact(&mut header[taken..seen]).await?;
                taken = seen;
            }
            Parsed::Header { length, client } => {
                stream.read_exact(&mut header[taken..length]).await?;
                return Ok(client);
            }
        }
    }
    Err(ProxyHeaderError::TooLong)
}
