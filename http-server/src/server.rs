//! The server, from start to stop.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use gatepost_runtime::supervise;
use prometheus::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::Service;

use crate::accept::{accept, adopt, bind, listen};
use crate::connections::{Caps, Connections};
use crate::metrics::Metrics;
use crate::serve::{ConnectionContext, ServerTasks};

/// Options of a server.
#[derive(Debug, Clone, Copy)]
pub struct ServerOptions<'a> {
    /// Address to listen on, unless there is a socket.
    pub address: SocketAddr,
    /// Socket that somebody else has bound.
    pub socket: Option<&'a std::net::TcpListener>,
    /// Label of the listener in metrics.
    pub listener: &'a str,
    /// Limits on the number of connections.
    pub caps: Caps,
    /// Tasks that the server spawns.
    pub tasks: ServerTasks,
    /// Registry of its metrics.
    pub registry: &'a Registry,
}

/// A running server.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    /// Closes all connections at once.
    abort: watch::Sender<bool>,
    connections: Arc<Connections>,
    serving: JoinHandle<()>,
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error("cannot listen on {0}")]
    Address(SocketAddr, #[source] std::io::Error),
    /// Another listener has registered metrics with the same label.
    #[error("cannot register the metrics of the listener")]
    Metrics(#[from] prometheus::Error),
}

impl HttpServer {
    /// Starts to serve an app. Every request carries the peer's address as
    /// [`ConnectInfo`](axum::extract::ConnectInfo). A request body that arrives too late ends with
    /// [`BodyTimeout`](crate::BodyTimeout).
    ///
    /// # Errors
    /// Fails if the address cannot be bound, or if the listener's label is already registered.
    pub async fn start<S>(options: ServerOptions<'_>, app: S) -> Result<Self, StartError>
    where
        S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let listen_error = |error| StartError::Address(options.address, error);
        let socket = match options.socket {
            Some(socket) => adopt(socket),
            None => bind(options.address),
        };
        let listener = Arc::new(socket.and_then(listen).map_err(listen_error)?);
        let address = listener.local_addr().map_err(listen_error)?;
        let metrics = Metrics::register(options.registry, options.listener)?;
        let (stop, stopped) = watch::channel(false);
        let (abort, aborted) = watch::channel(false);
        let connections = Connections::new(options.caps, metrics);
        let tasks = options.tasks;
        let context = ConnectionContext { app, tasks, connections: Arc::clone(&connections), stopped, aborted };
        let serving = supervise(tasks.listener, move || accept(Arc::clone(&listener), context.clone()));
        Ok(Self { address, stop, abort, connections, serving })
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, and waits for requests in flight until `deadline` has passed. Then it closes their
    /// connections.
    pub async fn stop(mut self, deadline: Duration) {
        self.stop.send_replace(true);
        let drained = async {
            let _ = (&mut self.serving).await;
            self.connections.all_closed().await;
        };
        // Requests that have not ended by then are cancelled.
        let _ = tokio::time::timeout(deadline, drained).await;
        self.abort();
    }

    /// Stops listening and closes all connections at once.
    pub fn abort(self) {
        self.serving.abort();
        self.abort.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::BodyDeadline;
    use crate::serve::{HEADER_DEADLINE, MAX_HEADER_BYTES};
    use axum::body::{Body, Bytes};
    use axum::extract::ConnectInfo;
    use axum::routing::{get, post};
    use axum::{Extension, Router};
    use futures::stream::{self, StreamExt};
    use gatepost_runtime::Task;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::Instant;

    const TASKS: ServerTasks = ServerTasks { listener: Task::OpsListener, connection: Task::OpsConnection };
    const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    /// More bytes than the buffers of a socket hold.
    const LARGE_BODY_BYTES: usize = 32 << 20;

    /// Time that a handler gives to a body.
    const UPLOAD_TIME: Duration = Duration::from_secs(300);

    async fn read_body(body: Body) -> String {
        let read = axum::body::to_bytes(body, usize::MAX).await;
        read.map(|bytes| bytes.len().to_string()).unwrap_or_else(|error| error.to_string())
    }

    async fn start(connections: usize) -> HttpServer {
        let large_body = Bytes::from(vec![b'x'; LARGE_BODY_BYTES]);
        let app = Router::new()
            .route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }))
            .route("/much", get(|| async { large_body }))
            .route("/body", post(read_body))
            .route(
                "/upload",
                post(|deadline: Extension<BodyDeadline>, body: Body| {
                    deadline.extend(UPLOAD_TIME);
                    read_body(body)
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
            socket: None,
            listener: "test",
            caps: Caps { total: connections, per_client: connections, overload_policy: crate::OverloadPolicy::Refuse },
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

    /// Returns everything received until the connection is closed.
    async fn read_until_closed(mut stream: TcpStream) -> String {
        let mut text = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut text).await;
        String::from_utf8(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_that_does_not_end_closes_its_connection() {
        let server = start(10).await;
        let began = Instant::now();
        let stream = connect(&server, "GET / HTTP/1.1\r\nhost: x\r\n").await;
        assert_eq!(read_until_closed(stream).await, "");
        assert!((HEADER_DEADLINE..HEADER_DEADLINE * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_fails_with_a_timeout_error() {
        let server = start(10).await;
        let stream = connect(&server, "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nfour").await;
        let response = read_until_closed(stream).await;
        assert!(response.ends_with(&crate::BodyTimeout.to_string()), "{response}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_gives_a_large_body_more_time() {
        let server = start(10).await;
        let began = Instant::now();
        let stream = connect(&server, "POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nfour").await;
        let response = read_until_closed(stream).await;
        assert!(response.ends_with(&crate::BodyTimeout.to_string()), "{response}");
        assert!(began.elapsed() >= UPLOAD_TIME, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_connection_beyond_the_cap_evicts_the_one_that_waited_longest() {
        let server = start(2).await;
        let silent = connect(&server, "").await;
        let unread = connect(&server, "GET /much HTTP/1.1\r\nhost: x\r\n\r\n").await;
        unread.readable().await.unwrap();
        for _ in 0..3 {
            let response = read_until_closed(connect(&server, GET).await).await;
            assert!(response.starts_with("HTTP/1.1 200 OK") && response.ends_with("127.0.0.1"), "{response}");
        }
        assert_eq!(read_until_closed(silent).await, "");
    }

    #[tokio::test]
    async fn a_new_connection_is_refused_with_503_when_all_are_busy() {
        let server = start(1).await;
        let mut busy = connect(&server, "GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut begun = Vec::new();
        while !begun.ends_with(b"begun\r\n") {
            assert_ne!(busy.read_buf(&mut begun).await.unwrap(), 0);
        }
        let response = read_until_closed(connect(&server, "").await).await;
        assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
        assert!(
            response.contains("\r\nretry-after: 1\r\n") && response.contains("\"code\":\"overloaded\""),
            "{response}"
        );
    }

    #[tokio::test]
    async fn a_response_arrives_although_the_body_was_not_read() {
        let server = start(10).await;
        let body = "x".repeat(200_000);
        let text = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let response = read_until_closed(connect(&server, &text).await).await;
        assert!(response.starts_with("HTTP/1.1 405 "), "{response}");
        assert!(response.contains("\r\nconnection: close\r\n"), "{response}");
    }

    #[tokio::test]
    async fn empty_lines_before_requests_are_ignored() {
        let server = start(10).await;
        for before in ["\r\n", "\n", "\r\n\r\n"] {
            let keep_alive = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
            let post = "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc";
            let text = [before, keep_alive, before, post, before, GET].concat();
            let responses = read_until_closed(connect(&server, &text).await).await;
            assert_eq!(responses.matches("HTTP/1.1 200 OK").count(), 3, "{before:?}: {responses}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn empty_lines_hold_no_connection() {
        let server = start(10).await;
        for lines in ["\r\n".to_owned(), "\r\n".repeat(MAX_HEADER_BYTES)] {
            let began = Instant::now();
            let mut stream = connect(&server, "").await;
            // The connection may be closed before everything is written.
            let _ = stream.write_all(lines.as_bytes()).await;
            let response = read_until_closed(stream).await;
            assert!(
                !response.contains(" 200 ") && began.elapsed() < HEADER_DEADLINE * 2,
                "{response} {:?}",
                began.elapsed()
            );
        }
    }

    #[tokio::test]
    async fn options_requests_for_the_server_reach_the_app() {
        let server = start(10).await;
        for version in ["1.0", "1.1"] {
            let text = format!("OPTIONS * HTTP/{version}\r\nhost: x\r\nconnection: close\r\n\r\n");
            let response = read_until_closed(connect(&server, &text).await).await;
            assert!(response.starts_with(&format!("HTTP/{version} 404 ")), "{response}");
        }
    }

    #[tokio::test]
    async fn a_stop_closes_idle_connections_at_once() {
        let server = start(10).await;
        let idle = connect(&server, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        idle.readable().await.unwrap();
        let address = server.address();
        server.stop(Duration::from_secs(60)).await;
        assert!(read_until_closed(idle).await.starts_with("HTTP/1.1 200 OK"));
        assert!(TcpStream::connect(address).await.is_err());
    }
}
