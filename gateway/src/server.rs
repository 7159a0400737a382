//! Start, reload and stop of a gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gatepost_domain::log_text::LogFormat;
use gatepost_domain::time::Clock;
use gatepost_edge::Authorizer;
use gatepost_runtime::{LogWriter, Task};
use gatepost_verify::Verifier;
use prometheus::Registry;
use tokio::sync::Mutex;

use crate::in_flight::InFlight;
use crate::listen::{ConnectionHandler, Listener, ListenerContext, Listeners, RunningListener, build_app};
use crate::metrics::Metrics;
use crate::options::{GatewayOptions, ListenerOptions};
use crate::proxy::Proxy;
use crate::request_id::RequestIds;
use crate::snapshot::{CurrentSnapshot, Snapshot};
use crate::start_error::StartError;
use crate::tls::{TlsListeners, TlsMaterials};
use crate::upstream::UpstreamStatus;

/// Limit for access log lines that wait for their writer; further ones are dropped.
const MAX_LOG_BUFFER_BYTES: usize = 8 << 20;

/// How long the clients of WebSockets have to end their connections when the gateway stops.
const WEBSOCKET_GRACE: Duration = Duration::from_secs(2);

/// A gateway that listens.
#[derive(Debug)]
pub struct Gateway {
    current: CurrentSnapshot,
    metrics: Arc<Metrics>,
    in_flight: InFlight,
    log_writer: Arc<LogWriter>,
    /// Locked by one reload or stop at a time.
    listeners: Mutex<Listeners>,
    tls_listeners: TlsListeners,
    /// A reload that waits for its turn meanwhile starts nothing.
    is_stopping: AtomicBool,
}

/// State of a gateway, also after it was stopped. Clones share it.
#[derive(Debug, Clone)]
pub struct GatewayStatus {
    current: CurrentSnapshot,
    tls_listeners: TlsListeners,
}

impl GatewayStatus {
    /// Returns how the names of the servers were resolved, in the order of the upstreams' names.
    pub fn upstreams(&self) -> Vec<UpstreamStatus> {
        let snapshot = self.current.load();
        let mut upstreams: Vec<_> = snapshot.upstreams.values().map(|upstream| upstream.status()).collect();
        upstreams.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        upstreams
    }

    /// Returns why changed certificates of listeners are not in use, for people.
    pub fn certificate_faults(&self) -> Vec<String> {
        self.tls_listeners.faults()
    }
}

impl Gateway {
    /// Starts serving on listeners: at least one. `tls` was read for these listeners and options.
    ///
    /// # Errors
    /// If an upstream names no server, files were not read, a route names an unknown upstream, the registry has
    /// a gateway's metrics already, or the system refuses a thread or a connection to itself.
    pub async fn start(
        listeners: Vec<Listener>,
        options: GatewayOptions,
        mut tls: TlsMaterials,
        verifier: Arc<Verifier>,
        clock: Arc<dyn Clock>,
        log_format: LogFormat,
        registry: &Registry,
    ) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::register(registry)?);
        let snapshot = Snapshot::build(options, &mut tls, &metrics, None).await?.enter_use(&metrics, &clock);
        let current = CurrentSnapshot::new(snapshot);
        let log_writer = LogWriter::start(Task::AccessLogWriter, MAX_LOG_BUFFER_BYTES, metrics.dropped_lines.clone())
            .map_err(StartError::AccessLog)?;
        let (log_writer, in_flight) = (Arc::new(log_writer), InFlight::default());
        let tls_listeners = TlsListeners::default();
        let proxy = Proxy {
            current: current.clone(),
            authorizer: Authorizer::new(verifier, registry)?,
            tls_listeners: tls_listeners.clone(),
            metrics: Arc::clone(&metrics),
            log_writer: Arc::clone(&log_writer),
            log_format,
            request_ids: Arc::new(RequestIds::new()),
            in_flight: in_flight.clone(),
            clock: Arc::clone(&clock),
        };
        let app = build_app(proxy).await.map_err(StartError::App)?;
        let handler = Arc::new(ConnectionHandler::new(app, Arc::clone(&metrics), current.clone()));
        let context =
            ListenerContext { handler, clock, metrics: Arc::clone(&metrics.tls), tls_listeners: tls_listeners.clone() };
        let listeners = Mutex::new(Listeners::start(listeners, &mut tls, context)?);
        let is_stopping = AtomicBool::new(false);
        Ok(Self { current, metrics, in_flight, log_writer, listeners, tls_listeners, is_stopping })
    }

    /// Replaces the configuration for requests and connections that begin later. Requests in flight keep the one that
    /// they began with; upstreams and listeners that have not changed stay as they are, but for changed files. An error
    /// changes nothing. `tls` was read for these listeners and options. Returns the names of the listeners that are gone
    /// although their sockets stay open: they were adopted.
    ///
    /// # Errors
    /// As those of [`Gateway::start`] that concern the configuration, [`StartError::Bind`], and after the begin of a
    /// stop [`StartError::Stopping`].
    pub async fn reload(
        &self,
        listeners: &[ListenerOptions],
        options: GatewayOptions,
        mut tls: TlsMaterials,
    ) -> Result<Vec<String>, StartError> {
        let mut running = self.listeners.lock().await;
        self.check_running()?;
        let next = running.prepare(listeners, &mut tls)?;
        let before = self.current.load();
        let snapshot = Snapshot::build(options, &mut tls, &self.metrics, Some(&before)).await?;
        self.check_running()?;
        let snapshot = snapshot.enter_use(&self.metrics, running.clock());
        for name in before.upstreams.keys().filter(|name| !snapshot.upstreams.contains_key(*name)) {
            self.metrics.upstreams.forget(name);
        }
        self.current.replace(snapshot);
        Ok(running.replace(next).await)
    }

    fn check_running(&self) -> Result<(), StartError> {
        if self.is_stopping.load(Ordering::Acquire) { Err(StartError::Stopping) } else { Ok(()) }
    }

    /// Returns a handle to its state.
    pub fn status(&self) -> GatewayStatus {
        GatewayStatus { current: self.current.clone(), tls_listeners: self.tls_listeners.clone() }
    }

    /// Returns the addresses of the listeners: those that were started first come first.
    pub async fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.lock().await.running().iter().map(RunningListener::address).collect()
    }

    /// Stops listening, closes idle connections, and waits until no request is in flight, `deadline` at most. Then it
    /// ends WebSockets, which takes 2 s at most. Returns the number of requests that are left: they end with the process.
    pub async fn stop(&self, deadline: Duration) -> usize {
        self.is_stopping.store(true, Ordering::Release);
        let drained = async {
            self.listeners.lock().await.stop().await;
            self.in_flight.wait_idle().await;
        };
        if tokio::time::timeout(deadline, drained).await.is_err() {
            tracing::debug!("the drain timed out");
            let ended = async {
                self.listeners.lock().await.end_websockets();
                self.in_flight.wait_idle().await;
            };
            // What is left is counted.
            let _ = tokio::time::timeout(WEBSOCKET_GRACE, ended).await;
        }
        self.log_writer.flush().await;
        self.in_flight.count()
    }
}
