//! The server, from start to stop.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use gatepost_domain::problem::{self, ErrorCode, Problem};
use gatepost_runtime::{Task, spawn, supervise};
use http::header::{CONNECTION, HeaderValue};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus::Registry;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::{Service, ServiceExt};

use crate::activity::Activity;
use crate::body::{RequestBody, ResponseBody};
use crate::connections::{Caps, Connections, Place};
use crate::metrics::Metrics;
use crate::stream::PacedStream;

/// How long a connection may take for a request's header; also how long it may wait for the next request.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of a request's header, and of requests that are sent before the first one is answered.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Bytes that the system holds for a client that does not read them; it takes twice as many.
const SEND_BUFFER_BYTES: u32 = 128 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;
/// How long to wait after the system gave no connection.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// The tasks of a server.
#[derive(Debug, Clone, Copy)]
pub struct ServerTasks {
    /// Accepts connections.
    pub listener: Task,
    /// Serves one.
    pub connection: Task,
}

/// What a server is told.
#[derive(Debug, Clone, Copy)]
pub struct ServerOptions<'a> {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its name in metrics.
    pub listener: &'a str,
    /// How many connections there may be.
    pub caps: Caps,
    /// What it starts.
    pub tasks: ServerTasks,
    /// Where its metrics are told.
    pub registry: &'a Registry,
}

/// A server that listens.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    /// Ends connections at once.
    cut: watch::Sender<bool>,
    connections: Arc<Connections>,
    serving: JoinHandle<()>,
}

/// Why a server does not listen.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// The address cannot be had.
    #[error("cannot listen on {0}: {1}")]
    Address(SocketAddr, std::io::Error),
    /// There is another listener of that name.
    #[error("cannot tell metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// What all connections of a server share.
#[derive(Clone)]
struct Shared<S> {
    app: S,
    tasks: ServerTasks,
    connections: Arc<Connections>,
    stopped: watch::Receiver<bool>,
    cut: watch::Receiver<bool>,
}

impl HttpServer {
    /// Starts to serve an app. Every request tells by whom it was sent, as [`ConnectInfo`]. The body of one that comes
    /// too late ends with [`BodyTimedOut`](crate::BodyTimedOut).
    pub async fn start<S>(options: ServerOptions<'_>, app: S) -> Result<Self, NotStarted>
    where
        S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let failed = |error| NotStarted::Address(options.address, error);
        let listener = Arc::new(listen(options.address).map_err(failed)?);
        let address = listener.local_addr().map_err(failed)?;
        let metrics = Metrics::register(options.registry, options.listener)?;
        let (stop, stopped) = watch::channel(false);
        let (cut, is_cut) = watch::channel(false);
        let connections = Connections::new(options.caps, metrics);
        let tasks = options.tasks;
        let shared = Shared { app, tasks, connections: Arc::clone(&connections), stopped, cut: is_cut };
        let serving = supervise(tasks.listener, move || accept(Arc::clone(&listener), shared.clone()));
        Ok(Self { address, stop, cut, connections, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops to listen, and waits for the requests in flight, or for `deadline`.
    pub async fn stop(mut self, deadline: Duration) {
        self.stop.send_replace(true);
        let ended = async {
            drop((&mut self.serving).await);
            self.connections.all_closed().await;
        };
        // What has not ended by then is cut off.
        drop(tokio::time::timeout(deadline, ended).await);
        self.abort();
    }

    /// Ends it at once.
    pub fn abort(self) {
        self.serving.abort();
        self.cut.send_replace(true);
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // What is accepted has it too.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept<S>(listener: Arc<TcpListener>, shared: Shared<S>)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let mut stopped = shared.stopped.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = is_true(&mut stopped) => break,
        };
        match accepted {
            Ok((stream, peer)) => match shared.connections.enter(peer.ip()) {
                Some(place) => {
                    drop(spawn(shared.tasks.connection, serve_until_cut(stream, peer, place, shared.clone())))
                }
                None => refuse(stream),
            },
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

async fn serve_until_cut<S>(stream: TcpStream, peer: SocketAddr, place: Place, shared: Shared<S>)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let mut cut = shared.cut.clone();
    let activity = Arc::clone(&place.activity);
    tokio::select! {
        ended = serve(stream, peer, activity, shared.app, shared.stopped) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection has ended");
                if is_timeout(&error) {
                    shared.connections.timed_out();
                }
            }
        }
        () = place.given_up() => tracing::debug!(%peer, "a connection was closed for another one"),
        () = is_true(&mut cut) => {}
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
    // Without it answers are slower, and nothing else.
    drop(stream.set_nodelay(true));
    let stream = PacedStream::new(stream, Arc::clone(&activity));
    let answered = Arc::clone(&activity);
    let app = app
        .map_request(move |request: http::Request<Incoming>| {
            activity.request_began();
            let mut request = request.map(|body| Body::new(RequestBody::new(body, Arc::clone(&activity))));
            request.extensions_mut().insert(ConnectInfo(peer));
            request
        })
        .map_response(move |mut response: Response| {
            if answered.has_left_body() {
                // The client must know that it cannot send another request after this one.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response.map(|body| ResponseBody::new(body, Arc::clone(&answered)))
        });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE).max_buf_size(MAX_HEADER_BYTES);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app)));
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = is_true(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

/// Says that there is no place. That it does not arrive is no worse than no answer.
fn refuse(stream: TcpStream) {
    let Ok(mut stream) = stream.into_std() else { return };
    let body = Problem::new(ErrorCode::Overloaded, "this listener serves as many requests as it may").to_json();
    let kind = problem::CONTENT_TYPE;
    let head = format!("HTTP/1.1 503 Service Unavailable\r\ncontent-type: {kind}\r\nretry-after: 1\r\n");
    drop(write!(stream, "{head}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
}

/// Whether a connection has ended because its client took too long.
fn is_timeout(error: &hyper::Error) -> bool {
    let of_stream = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    error.is_timeout() || of_stream.is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
}

async fn is_true(flag: &mut watch::Receiver<bool>) {
    // A sender that is gone means the end as well.
    drop(flag.wait_for(|flag| *flag).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Bytes;
    use axum::routing::{get, post};
    use futures::stream::{self, StreamExt};
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    const TASKS: ServerTasks = ServerTasks { listener: Task::OpsListener, connection: Task::OpsConnection };
    const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    /// Bytes that no socket's buffers hold.
    const MUCH: usize = 32 << 20;

    async fn start(connections: usize) -> HttpServer {
        let much = Bytes::from(vec![b'x'; MUCH]);
        let app = Router::new()
            .route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }))
            .route("/much", get(|| async { much }))
            .route(
                "/body",
                post(|body: axum::body::Body| async {
                    let read = axum::body::to_bytes(body, usize::MAX).await;
                    read.map(|bytes| bytes.len().to_string()).unwrap_or_else(|error| error.to_string())
                }),
            )
            .route(
                "/endless",
                get(|| async {
                    Body::from_stream(stream::iter([Ok::<_, Infallible>("begun")]).chain(stream::pending()))
                }),
            );
        let options = ServerOptions {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            listener: "test",
            caps: Caps { connections, of_a_client: connections, when_all_busy: crate::WhenAllBusy::Refuse },
            tasks: TASKS,
            registry: &Registry::new(),
        };
        HttpServer::start(options, app).await.unwrap()
    }

    async fn connect(server: &HttpServer, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// All that comes until the connection is closed.
    async fn rest(mut stream: TcpStream) -> String {
        let mut text = Vec::new();
        // That it is reset is an end too.
        drop(stream.read_to_end(&mut text).await);
        String::from_utf8(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_that_does_not_end_ends_its_connection() {
        let server = start(10).await;
        let began = Instant::now();
        let stream = connect(&server, "GET / HTTP/1.1\r\nhost: x\r\n").await;
        assert_eq!(rest(stream).await, "");
        assert!((HEADER_DEADLINE..HEADER_DEADLINE * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_ends_for_the_app_with_its_own_error() {
        let server = start(10).await;
        let stream = connect(&server, "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nfour").await;
        let answer = rest(stream).await;
        assert!(answer.ends_with(&crate::BodyTimedOut.to_string()), "{answer}");
    }

    #[tokio::test]
    async fn a_connection_beyond_the_cap_takes_the_place_of_the_one_that_waits_longest() {
        let server = start(2).await;
        let silent = connect(&server, "").await;
        let unread = connect(&server, "GET /much HTTP/1.1\r\nhost: x\r\n\r\n").await;
        unread.readable().await.unwrap();
        for _ in 0..3 {
            let answer = rest(connect(&server, GET).await).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("127.0.0.1"), "{answer}");
        }
        assert_eq!(rest(silent).await, "");
    }

    #[tokio::test]
    async fn where_all_are_being_answered_a_new_one_is_told_so() {
        let server = start(1).await;
        let mut answered = connect(&server, "GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut begun = Vec::new();
        while !begun.ends_with(b"begun\r\n") {
            assert_ne!(answered.read_buf(&mut begun).await.unwrap(), 0);
        }
        let answer = rest(connect(&server, "").await).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("\r\nretry-after: 1\r\n") && answer.contains("\"code\":\"overloaded\""), "{answer}");
    }

    #[tokio::test]
    async fn a_response_arrives_although_the_body_was_not_read() {
        let server = start(10).await;
        let body = "x".repeat(200_000);
        let text = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let answer = rest(connect(&server, &text).await).await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn empty_lines_before_requests_are_ignored() {
        let server = start(10).await;
        for before in ["\r\n", "\n", "\r\n\r\n"] {
            let kept = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
            let post = "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc";
            let text = [before, kept, before, post, before, GET].concat();
            let answers = rest(connect(&server, &text).await).await;
            assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{before:?}: {answers}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn empty_lines_hold_no_connection() {
        let server = start(10).await;
        for lines in ["\r\n".to_owned(), "\r\n".repeat(MAX_HEADER_BYTES)] {
            let began = Instant::now();
            let mut stream = connect(&server, "").await;
            // It may be closed before all of it was taken.
            drop(stream.write_all(lines.as_bytes()).await);
            let answer = rest(stream).await;
            assert!(
                !answer.contains(" 200 ") && began.elapsed() < HEADER_DEADLINE * 2,
                "{answer} {:?}",
                began.elapsed()
            );
        }
    }

    #[tokio::test]
    async fn options_of_the_server_are_a_request_like_others_for_the_app() {
        let server = start(10).await;
        for version in ["1.0", "1.1"] {
            let text = format!("OPTIONS * HTTP/{version}\r\nhost: x\r\nconnection: close\r\n\r\n");
            let answer = rest(connect(&server, &text).await).await;
            assert!(answer.starts_with(&format!("HTTP/{version} 404 ")), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_stop_closes_what_is_idle_at_once() {
        let server = start(10).await;
        let idle = connect(&server, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        idle.readable().await.unwrap();
        let address = server.address();
        server.stop(Duration::from_secs(60)).await;
        assert!(rest(idle).await.starts_with("HTTP/1.1 200 OK"));
        assert!(TcpStream::connect(address).await.is_err());
    }
}
