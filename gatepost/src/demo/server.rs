//! Small HTTP server of the sample API and the sample receiver.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use gatepost_runtime::{Task, spawn, supervise};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Maximum size of a request body in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Serves on a free port of the loopback interface until the process ends.
pub(super) async fn start<F>(handler: F) -> std::io::Result<SocketAddr>
where
    F: Fn(Request<Bytes>) -> Response<Full<Bytes>> + Clone + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let listener = Arc::new(listener);
    supervise(Task::DemoServer, move || accept(Arc::clone(&listener), handler.clone()));
    Ok(address)
}

async fn accept<F>(listener: Arc<TcpListener>, handler: F)
where
    F: Fn(Request<Bytes>) -> Response<Full<Bytes>> + Clone + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        let handler = handler.clone();
        let service = service_fn(move |request| handle(request, handler.clone()));
        spawn(Task::DemoConnection, async move {
            // A client may close the connection at any time.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn handle<F>(request: Request<Incoming>, handler: F) -> Result<Response<Full<Bytes>>, Infallible>
where
    F: Fn(Request<Bytes>) -> Response<Full<Bytes>>,
{
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(Response::builder().status(413).body(Full::default()).unwrap_or_default()),
    };
    Ok(handler(Request::from_parts(head, body)))
}
