//! Start, reload and stop of a gateway.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::time::Clock;
use gatepost_edge::Authorizer;
use gatepost_runtime::{LogWriter, Task, error_chain, supervise};
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
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::options::GatewayOptions;
use crate::proxy::Proxy;
use crate::request_id::RequestIds;
use crate::snapshot::{CurrentSnapshot, Snapshot};
use crate::start_error::StartError;
use crate::upstream::MAX_RETRIES;

/// Tasks that accept connections. More than one spreads a burst over cores.
const ACCEPTORS: usize = 2;
/// Limit for access log lines that wait for their writer; further ones are dropped.
const MAX_LOG_BUFFER_BYTES: usize = 8 << 20;
/// Delay between two tries to bind again after a panic.
const REBIND_DELAY: Duration = Duration::from_millis(50);
/// Cap on idle connections to upstreams.
const UPSTREAM_POOL_SIZE: usize = 1024;

/// A gateway that listens.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    current: CurrentSnapshot,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    in_flight: InFlight,
    log_writer: Arc<LogWriter>,
    serving: JoinHandle<()>,
}

/// Listens on an address before anything else starts, so that a busy port is reported first.
///
/// # Errors
/// [`StartError::Bind`] with the system's error.
pub fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    listen(address).map_err(|source| StartError::Bind { address, source })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Gateway {
    /// Starts serving on a listener.
    ///
    /// # Errors
    /// If an upstream has no server, a route names an unknown upstream, or the registry has a gateway's metrics
    /// already.
    pub async fn start(
        listener: TcpListener,
        options: GatewayOptions,
        verifier: Arc<Verifier>,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, StartError> {
        let address = listener.local_addr().map_err(StartError::LocalAddress)?;
        let metrics = Arc::new(Metrics::register(registry)?);
        let current = CurrentSnapshot::new(Snapshot::build(options, &metrics).await?);
        let log_writer = LogWriter::start(Task::AccessLogWriter, MAX_LOG_BUFFER_BYTES, metrics.dropped_lines.clone())
            .map_err(StartError::AccessLog)?;
        let (log_writer, in_flight) = (Arc::new(log_writer), InFlight::default());
        let proxy = Proxy {
            current: current.clone(),
            authorizer: Authorizer::new(verifier, registry)?,
            metrics: Arc::clone(&metrics),
            log_writer: Arc::clone(&log_writer),
            request_ids: Arc::new(RequestIds::new()),
            in_flight: in_flight.clone(),
            clock,
        };
        let (stop, stopped) = watch::channel(false);
        let mut initial_listener = Some(listener);
        let serving = supervise(Task::GatewayListener, move || {
            serve(initial_listener.take(), address, build_service(proxy.clone()), stopped.clone())
        });
        Ok(Self { address, current, metrics, stop, in_flight, log_writer, serving })
    }

    /// Replaces the configuration for requests and connections that begin later. Requests in flight keep the one that
    /// they began with. An error changes nothing.
    ///
    /// # Errors
    /// As those of [`Gateway::start`] that concern the configuration.
    pub async fn reload(&self, options: GatewayOptions) -> Result<(), StartError> {
        self.current.replace(Snapshot::build(options, &self.metrics).await?);
        Ok(())
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, closes idle connections, and waits until no request is in flight, `deadline` at most. Returns
    /// the number of requests that are left: they end with the process.
    pub async fn stop(mut self, deadline: Duration) -> usize {
        self.stop.send_replace(true);
        let drained = async {
            // Ends after the idle connections were closed. A panic was counted and logged.
            let _ = (&mut self.serving).await;
            self.in_flight.wait_idle().await;
        };
        if tokio::time::timeout(deadline, drained).await.is_err() {
            tracing::debug!("the drain timed out");
        }
        self.serving.abort();
        self.log_writer.flush().await;
        self.in_flight.count()
    }
}

fn server_conf() -> ServerConf {
    ServerConf { max_retries: MAX_RETRIES, upstream_keepalive_pool_size: UPSTREAM_POOL_SIZE, ..ServerConf::default() }
}

/// Builds Pingora's service. A custom protocol is its hook for serving connections, and connecting to upstreams,
/// ourselves.
fn build_service(proxy: Proxy) -> Service<App> {
    let conf = Arc::new(server_conf());
    let connector = UpstreamConnector::new(ConnectorOptions::from_server_conf(&conf), proxy.current.clone());
    let connections = Arc::new(ConnectionHandler::new(Arc::clone(&proxy.metrics), proxy.current.clone()));
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

/// Guard that stops Pingora's acceptors, also if the task that waits for them panics.
struct StopAcceptors(watch::Sender<bool>);

impl Drop for StopAcceptors {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// Runs Pingora's listening service on this runtime: on the initial socket or, after a panic, on a new one as soon as
/// the acceptors of the previous run have released the address.
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
        // A dropped sender stops as well.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    tokio::select! {
        // Nothing has stopped them. The supervisor counts the panic and runs this again.
        () = &mut serving => panic!("the acceptors have ended"),
        () = stopping => drop(acceptors),
    }
    serving.await;
}

async fn rebind(address: SocketAddr) -> TcpListener {
    loop {
        match listen(address) {
            Ok(listener) => return listener,
            Err(error) => tracing::debug!(error = %error_chain(&error), "bind failed, retrying in 50 ms"),
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
    // Sessions have read buffers of their own: another one would cost each connection 64 KiB.
    let buffers = L4BufferSettings::default().read(0);
    service.add_listener(ListenerConfig::tcp(address.to_string()).l4_buffer(buffers));
    service.start_service(Some(fds), shutdown, ACCEPTORS).await;
}
