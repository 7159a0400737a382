//! HTTP/1.1 on a socket, with the bounds that `axum::serve` lacks: connections at a time, and a deadline for headers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use gatepost_runtime::{Task, spawn, supervise};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tower::{Service, ServiceExt};

/// How long a connection may take for a request's header; also how long it may wait for the next request.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
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

/// A server that listens.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    /// Ends connections at once.
    cut: watch::Sender<bool>,
    places: Arc<Semaphore>,
    max_connections: u32,
    serving: JoinHandle<()>,
}

/// What all connections of a server share.
#[derive(Clone)]
struct Shared<S> {
    app: S,
    tasks: ServerTasks,
    places: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
    cut: watch::Receiver<bool>,
}

impl HttpServer {
    /// Starts to serve an app, over so many connections at a time: further ones wait until one has ended.
    /// Every request tells by whom it was sent, as [`ConnectInfo`].
    pub async fn start<S>(
        address: SocketAddr,
        app: S,
        max_connections: u32,
        tasks: ServerTasks,
    ) -> std::io::Result<Self>
    where
        S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let listener = Arc::new(TcpListener::bind(address).await?);
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let (cut, is_cut) = watch::channel(false);
        let places = Arc::new(Semaphore::new(max_connections as usize));
        let shared = Shared { app, tasks, places: Arc::clone(&places), stopped, cut: is_cut };
        let serving = supervise(tasks.listener, move || accept(Arc::clone(&listener), shared.clone()));
        Ok(Self { address, stop, cut, places, max_connections, serving })
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
            // Every place is free when no connection is left.
            drop(self.places.acquire_many(self.max_connections).await);
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

async fn accept<S>(listener: Arc<TcpListener>, shared: Shared<S>)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let mut stopped = shared.stopped.clone();
    loop {
        let accepted = tokio::select! {
            accepted = accept_one(&listener, &shared.places) => accepted,
            () = is_true(&mut stopped) => break,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let shared = shared.clone();
                spawn(shared.tasks.connection, async move {
                    let mut cut = shared.cut.clone();
                    tokio::select! {
                        () = serve(stream, peer, shared.app, shared.stopped) => {}
                        () = is_true(&mut cut) => {}
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

async fn accept_one(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

async fn serve<S>(stream: TcpStream, peer: SocketAddr, app: S, mut stopped: watch::Receiver<bool>)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    // Without it answers are slower, and nothing else.
    drop(stream.set_nodelay(true));
    let app = app.map_request(move |request: http::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app)));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = is_true(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection has ended");
    }
}

async fn is_true(flag: &mut watch::Receiver<bool>) {
    // A sender that is gone means the end as well.
    drop(flag.wait_for(|flag| *flag).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    const TASKS: ServerTasks = ServerTasks { listener: Task::OpsListener, connection: Task::OpsConnection };

    async fn start(max_connections: u32) -> HttpServer {
        let app = Router::new()
            .route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }));
        HttpServer::start((Ipv4Addr::LOCALHOST, 0).into(), app, max_connections, TASKS).await.unwrap()
    }

    async fn connect(server: &HttpServer, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// All that comes until the connection is closed.
    async fn rest(mut stream: TcpStream) -> String {
        let mut text = String::new();
        // That it is reset is an end too.
        drop(stream.read_to_string(&mut text).await);
        text
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
    async fn a_connection_beyond_the_cap_waits_until_a_silent_one_is_closed() {
        let server = start(1).await;
        let silent = connect(&server, "").await;
        let began = Instant::now();
        let second = connect(&server, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        let answer = rest(second).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("127.0.0.1"), "{answer}");
        assert!(began.elapsed() >= HEADER_DEADLINE, "{:?}", began.elapsed());
        drop(silent);
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
