//! A connection, from its first request to its close.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use gatepost_runtime::{Task, error_chain};
use http::header::{CONNECTION, HeaderValue};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower::{Service, ServiceExt};

use crate::activity::Activity;
use crate::body::{BodyDeadline, RequestBody, ResponseBody};
use crate::connections::{ConnectionSlot, Connections};
use crate::stream::TimeoutStream;

/// Maximum time for the header of a request to arrive, and maximum idle time between requests.
pub(crate) const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// Maximum size of a request header, and of pipelined requests together.
pub(crate) const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Tasks of a server, as labelled in metrics and logs.
#[derive(Debug, Clone, Copy)]
pub struct ServerTasks {
    /// Task that accepts connections.
    pub listener: Task,
    /// Task that serves a connection.
    pub connection: Task,
}

/// Context shared by all connections of a server.
#[derive(Clone)]
pub(crate) struct ConnectionContext<S> {
    pub(crate) app: S,
    pub(crate) tasks: ServerTasks,
    pub(crate) connections: Arc<Connections>,
    pub(crate) stopped: watch::Receiver<bool>,
    pub(crate) aborted: watch::Receiver<bool>,
}

pub(crate) async fn serve_connection<S>(
    stream: TcpStream,
    peer: SocketAddr,
    slot: ConnectionSlot,
    context: ConnectionContext<S>,
) where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let mut aborted = context.aborted.clone();
    let activity = Arc::clone(&slot.activity);
    tokio::select! {
        ended = serve(stream, peer, activity, context.app, context.stopped) => {
            if let Err(error) = ended {
                tracing::debug!(error = %error_chain(&error), "connection failed");
                if is_timeout(&error) {
                    context.connections.timed_out();
                }
            }
        }
        () = slot.wait_evicted() => tracing::debug!(%peer, "connection closed for another one"),
        () = wait_until_true(&mut aborted) => {}
    }
}

async fn serve<S>(
    stream: TcpStream,
    peer: SocketAddr,
    activity: Arc<Activity>,
    app: S,
    mut stopped: watch::Receiver<bool>,
) -> hyper::Result<()>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    // If it fails, responses are slower and nothing else happens.
    let _ = stream.set_nodelay(true);
    let stream = TimeoutStream::new(stream, Arc::clone(&activity));
    let response_activity = Arc::clone(&activity);
    let app = app
        .map_request(move |request: http::Request<Incoming>| {
            activity.request_started();
            let deadline = BodyDeadline::default();
            let mut request =
                request.map(|body| Body::new(RequestBody::new(body, Arc::clone(&activity), deadline.clone())));
            request.extensions_mut().insert(deadline);
            request.extensions_mut().insert(ConnectInfo(peer));
            request
        })
        .map_response(move |mut response: Response| {
            if response_activity.has_unread_body() {
                // The client must know that it cannot send another request on this connection.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response.map(|body| ResponseBody::new(body, Arc::clone(&response_activity)))
        });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE).max_buf_size(MAX_HEADER_BYTES);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app)));
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = wait_until_true(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

/// Returns whether a connection ended because its client took too long.
fn is_timeout(error: &hyper::Error) -> bool {
    let io_error = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    error.is_timeout() || io_error.is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
}

pub(crate) async fn wait_until_true(flag: &mut watch::Receiver<bool>) {
    // A dropped sender also means the end.
    let _ = flag.wait_for(|flag| *flag).await;
}
