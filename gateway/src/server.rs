//! Starting and stopping a gateway.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::time::Clock;
use gatepost_runtime::{LogWriter, Task, supervise};
use gatepost_verify::Verifier;
use pingora::apps::HttpServerOptions;
use pingora::connectors::ConnectorOptions;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::protocols::Stream;
use pingora::proxy::{ProcessCustomSession, ProxyServiceBuilder};
use pingora::server::configuration::ServerConf;
use pingora::server::{Fds, ListenFds, ShutdownWatch};
use pingora::services::Service as _;
use pingora::services::listening::Service;
use prometheus::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::connection_handler::{App, ConnectionHandler};
use crate::connector::UpstreamConnector;
use crate::header_sanitizer::HeaderSanitizer;
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::options::{GatewayOptions, Limits};
use crate::per_client_limiter::PerClientLimiter;
use crate::proxy::Proxy;
use crate::request_id::RequestIds;
use crate::route::Routes;
use crate::upstream::{MAX_RETRIES, Upstream};

/// Tasks that accept connections. More than one spreads them over cores at once.
const ACCEPTORS: usize = 2;
/// Bytes of lines of the access log that wait for their writer.
const MAX_LOG_BUFFER_BYTES: usize = 8 << 20;
/// Between two tries to listen again after a panic.
const REBIND_DELAY: Duration = Duration::from_millis(50);
/// Idle connections kept to upstreams.
const UPSTREAM_POOL_SIZE: usize = 1024;

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

/// A gateway that listens.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    in_flight: InFlight,
    log_writer: Arc<LogWriter>,
    serving: JoinHandle<()>,
}

/// Takes the address, so that a port that is busy is told before anything else starts.
pub fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let start_error = |error: std::io::Error| StartError(format!("cannot listen on {address}: {error}"));
    let listener = TcpListener::bind(address).map_err(start_error)?;
    listener.set_nonblocking(true).map_err(start_error)?;
    Ok(listener)
}

impl Gateway {
    /// Starts to serve on a listener.
    pub async fn start(
        listener: TcpListener,
        options: GatewayOptions,
        verifier: Arc<Verifier>,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, StartError> {
        let address = listener.local_addr().map_err(|error| StartError(error.to_string()))?;
        let in_flight = InFlight::default();
        let limits = options.limits.clone();
        let proxy = build_proxy(options, verifier, clock, registry, in_flight.clone()).await?;
        let (metrics, log_writer) = (Arc::clone(&proxy.metrics), Arc::clone(&proxy.log_writer));
        let (stop, stopped) = watch::channel(false);
        let mut initial_listener = Some(listener);
        let serving = supervise(Task::GatewayListener, move || {
            let service = build_service(proxy.clone(), Arc::clone(&metrics), limits.clone());
            serve(initial_listener.take(), address, service, stopped.clone())
        });
        Ok(Self { address, stop, in_flight, log_writer, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops to listen, tells connections that wait for a request to close, and waits until nothing is in flight, or
    /// for `deadline`. Answers how many requests are left: they end with the process.
    pub async fn stop(mut self, deadline: Duration) -> usize {
        self.stop.send_replace(true);
        let drained = async {
            // It ends when its connections have been told.
            drop((&mut self.serving).await);
            self.in_flight.wait_idle().await;
        };
        // Too late is told by the count.
        drop(tokio::time::timeout(deadline, drained).await);
        self.serving.abort();
        self.log_writer.flush().await;
        self.in_flight.count()
    }
}

async fn build_proxy(
    options: GatewayOptions,
    verifier: Arc<Verifier>,
    clock: Arc<dyn Clock>,
    registry: &Registry,
    in_flight: InFlight,
) -> Result<Proxy, StartError> {
    let mut upstreams = Vec::with_capacity(options.upstreams.len());
    for upstream in &options.upstreams {
        upstreams.push(Upstream::resolve(upstream).await.map_err(StartError)?);
    }
    let index = |name: &str| options.upstreams.iter().position(|upstream| upstream.name == name);
    let routes =
        Routes::new(options.routes, index).map_err(|name| StartError(format!("there is no upstream {name}")))?;
    let metrics =
        Metrics::register(registry, routes.names()).map_err(|error| StartError(format!("metrics: {error}")))?;
    let log_writer = LogWriter::start(Task::AccessLogWriter, MAX_LOG_BUFFER_BYTES, metrics.dropped_lines.clone())
        .map_err(|error| StartError(format!("the access log: {error}")))?;
    Ok(Proxy {
        routes: Arc::new(routes),
        upstreams: upstreams.into(),
        verifier,
        trusted_proxies: options.trusted_proxies.into(),
        sanitizer: Arc::new(HeaderSanitizer::new(options.strip, options.pass_headers)),
        limits: options.limits,
        metrics: Arc::new(metrics),
        log_writer: Arc::new(log_writer),
        request_ids: Arc::new(RequestIds::new()),
        in_flight,
        requests_per_client: PerClientLimiter::default(),
        clock,
    })
}

fn server_conf() -> ServerConf {
    ServerConf { max_retries: MAX_RETRIES, upstream_keepalive_pool_size: UPSTREAM_POOL_SIZE, ..ServerConf::default() }
}

/// Pingora's service for these connections. That they speak a protocol of their own is the way to serve them ourselves,
/// and to connect to upstreams ourselves.
fn build_service(proxy: Proxy, metrics: Arc<Metrics>, limits: Limits) -> Service<App> {
    let conf = Arc::new(server_conf());
    let connector = UpstreamConnector::new(ConnectorOptions::from_server_conf(&conf), limits.clone());
    let connections = Arc::new(ConnectionHandler::new(metrics, limits, Arc::clone(&proxy.trusted_proxies)));
    let on_connection: ProcessCustomSession<Proxy, UpstreamConnector> =
        Arc::new(move |app: Arc<App>, stream: Stream, shutdown: &ShutdownWatch| {
            let (connections, shutdown) = (Arc::clone(&connections), shutdown.clone());
            Box::pin(async move {
                connections.serve(app, stream, shutdown).await;
                None
            })
        });
    let mut options = HttpServerOptions::default();
    options.force_custom = true;
    let builder = ProxyServiceBuilder::new(&conf, proxy).name("gateway").server_options(options);
    builder.custom(connector, on_connection).build()
}

/// Stops the acceptors of Pingora, also when the task that waits for them panics.
struct StopAcceptors(watch::Sender<bool>);

impl Drop for StopAcceptors {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// Runs Pingora's listening service on this runtime: on the socket that was bound before, or, after a panic, on one that
/// is bound as soon as the acceptors of the run before have given the address up.
async fn serve(
    initial_listener: Option<TcpListener>,
    address: SocketAddr,
    service: Service<App>,
    mut stopped: watch::Receiver<bool>,
) {
    let listener = match initial_listener {
        Some(listener) => listener,
        None => rebind(address).await,
    };
    let (stop, shutdown) = watch::channel(false);
    let acceptors = StopAcceptors(stop);
    let serving = run_service(listener, address, service, shutdown);
    tokio::pin!(serving);
    let stopping = async {
        // A sender that is gone is a stop as well.
        drop(stopped.wait_for(|stopped| *stopped).await);
    };
    tokio::select! {
        // Nobody has stopped them. The supervisor counts it and listens again.
        () = &mut serving => panic!("the acceptors have ended"),
        () = stopping => drop(acceptors),
    }
    serving.await;
}

async fn rebind(address: SocketAddr) -> TcpListener {
    loop {
        match bind(address) {
            Ok(listener) => return listener,
            Err(error) => tracing::debug!(%error, "listening again waits"),
        }
        tokio::time::sleep(REBIND_DELAY).await;
    }
}

async fn run_service(
    listener: TcpListener,
    address: SocketAddr,
    mut service: Service<App>,
    shutdown: watch::Receiver<bool>,
) {
    let mut fds = Fds::new();
    fds.add(address.to_string(), listener.into_raw_fd());
    let fds: ListenFds = Arc::new(parking_lot::Mutex::new(fds));
    // Requests are read into buffers of their own: one more would take 64 KiB of each connection.
    let buffers = L4BufferSettings::default().read(0);
    service.add_listener(ListenerConfig::tcp(address.to_string()).l4_buffer(buffers));
    service.start_service(Some(fds), shutdown, ACCEPTORS).await;
}
