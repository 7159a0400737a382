//! Listening sockets, and the loop that accepts connections.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use gatepost_domain::problem::{self, ErrorCode, Problem};
use gatepost_runtime::{error_chain, spawn};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tower::Service;

use crate::serve::{ConnectionContext, serve_connection, wait_until_true};

/// Send buffer per connection for a client that does not read. Linux allocates twice as much.
const SEND_BUFFER_BYTES: u32 = 128 * 1024;
/// Maximum number of connections in the accept queue.
const BACKLOG: u32 = 4096;
/// Delay after a failed accept.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

pub(crate) fn adopt(socket: &std::net::TcpListener) -> std::io::Result<TcpSocket> {
    socket.set_nonblocking(true)?;
    let descriptor = OwnedFd::from(socket.try_clone()?);
    Ok(TcpSocket::from_std_stream(descriptor.into()))
}

pub(crate) fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// A socket that listens already goes on.
pub(crate) fn listen(socket: TcpSocket) -> std::io::Result<TcpListener> {
    // Accepted sockets inherit it.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.listen(BACKLOG)
}

pub(crate) async fn accept<S>(listener: Arc<TcpListener>, context: ConnectionContext<S>)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let mut stopped = context.stopped.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = wait_until_true(&mut stopped) => break,
        };
        match accepted {
            Ok((stream, peer)) => match context.connections.acquire(peer.ip()) {
                Some(slot) => {
                    spawn(context.tasks.connection, serve_connection(stream, peer, slot, context.clone()));
                }
                None => reject_overloaded(stream),
            },
            Err(error) => {
                tracing::warn!(error = %error_chain(&error), "accepting a connection failed, retrying in 100 ms");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// Responds with 503 because all slots are busy. The response is best effort: if it does not arrive, the client
/// sees a closed connection.
fn reject_overloaded(stream: TcpStream) {
    let Ok(mut stream) = stream.into_std() else { return };
    let body =
        Problem::new(ErrorCode::Overloaded, "this listener has reached its maximum number of connections: try again")
            .to_json();
    let kind = problem::CONTENT_TYPE;
    let head = format!("HTTP/1.1 503 Service Unavailable\r\ncontent-type: {kind}\r\nretry-after: 1\r\n");
    let _ = write!(stream, "{head}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
}
