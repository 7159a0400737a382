//! Start, reload and stop of a gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

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
use crate::upstream::UpstreamStatus;

/// Limit for access log lines that wait for their writer; further ones are dropped.
const MAX_LOG_BUFFER_BYTES: usize = 8 << 20;

/// A gateway that listens.
#[derive(Debug)]
pub struct Gateway {
    current: CurrentSnapshot,
    metrics: Arc<Metrics>,
    in_flight: InFlight,
    log_writer: Arc<LogWriter>,
    /// Locked by one reload or stop at a time.
    listeners: Mutex<Listeners>,
}

/// State of a gateway, also after it was stopped. Clones share it.
#[derive(Debug, Clone)]
pub struct GatewayStatus(CurrentSnapshot);

impl GatewayStatus {
    /// Returns how the names of the servers were resolved, in the order of the upstreams' names.
    pub fn upstreams(&self) -> Vec<UpstreamStatus> {
        let snapshot = self.0.load();
        let mut upstreams: Vec<_> = snapshot.upstreams.values().map(|upstream| upstream.status()).collect();
        upstreams.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        upstreams
    }
}

impl Gateway {
    /// Starts serving on listeners: at least one.
    ///
    /// # Errors
    /// If an upstream names no server, a certificate cannot be used, a route names an unknown upstream, the registry has
    /// a gateway's metrics already, or the system refuses a thread or a connection to itself.
    pub async fn start(
        listeners: Vec<Listener>,
        options: GatewayOptions,
        verifier: Arc<Verifier>,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::register(registry)?);
        let current = CurrentSnapshot::new(Snapshot::build(options, &metrics, None).await?);
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
            clock: Arc::clone(&clock),
        };
        let app = build_app(proxy).await.map_err(StartError::App)?;
        let handler = Arc::new(ConnectionHandler::new(app, Arc::clone(&metrics), current.clone()));
        let context = ListenerContext { handler, clock, metrics: Arc::clone(&metrics.tls) };
        let listeners = Mutex::new(Listeners::start(listeners, context).await?);
        Ok(Self { current, metrics, in_flight, log_writer, listeners })
    }

    /// Replaces the configuration for requests and connections that begin later. Requests in flight keep the one that
    /// they began with; upstreams and listeners that have not changed stay as they are. An error changes nothing.
    ///
    /// # Errors
    /// As those of [`Gateway::start`] that concern the configuration, and [`StartError::Bind`].
    pub async fn reload(&self, listeners: &[ListenerOptions], options: GatewayOptions) -> Result<(), StartError> {
        let mut running = self.listeners.lock().await;
        let next = running.prepare(listeners).await?;
        let before = self.current.load();
        let snapshot = Snapshot::build(options, &self.metrics, Some(&before)).await?;
        for name in before.upstreams.keys().filter(|name| !snapshot.upstreams.contains_key(*name)) {
            self.metrics.upstreams.forget(name);
        }
        self.current.replace(snapshot);
        running.replace(next).await;
        Ok(())
    }

    /// Returns a handle to its state.
    pub fn status(&self) -> GatewayStatus {
        GatewayStatus(self.current.clone())
    }

    /// Returns the addresses of the listeners: those that were started first come first.
    pub async fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.lock().await.running().iter().map(RunningListener::address).collect()
    }

    /// Stops listening, closes idle connections, and waits until no request is in flight, `deadline` at most. Returns
    /// the number of requests that are left: they end with the process.
    pub async fn stop(&self, deadline: Duration) -> usize {
        let drained = async {
            self.listeners.lock().await.stop().await;
            self.in_flight.wait_idle().await;
        };
        if tokio::time::timeout(deadline, drained).await.is_err() {
            tracing::debug!("the drain timed out");
        }
        self.log_writer.flush().await;
        self.in_flight.count()
    }
}
