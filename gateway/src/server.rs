//! Start, reload and stop of a gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::time::Clock;
use gatepost_edge::Authorizer;
use gatepost_runtime::{LogWriter, Task};
use gatepost_verify::Verifier;
use prometheus::Registry;
use tokio::sync::watch;

use crate::in_flight::InFlight;
use crate::listen::{ConnectionHandler, Listener, RunningListener, build_app};
use crate::metrics::Metrics;
use crate::options::GatewayOptions;
use crate::proxy::Proxy;
use crate::request_id::RequestIds;
use crate::snapshot::{CurrentSnapshot, Snapshot};
use crate::start_error::StartError;

/// Limit for access log lines that wait for their writer; further ones are dropped.
const MAX_LOG_BUFFER_BYTES: usize = 8 << 20;

/// A gateway that listens.
#[derive(Debug)]
pub struct Gateway {
    current: CurrentSnapshot,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    in_flight: InFlight,
    log_writer: Arc<LogWriter>,
    handler: Arc<ConnectionHandler>,
    listeners: Vec<RunningListener>,
}

impl Gateway {
    /// Starts serving on listeners: at least one.
    ///
    /// # Errors
    /// If an upstream has no server, a route names an unknown upstream, the registry has a gateway's metrics already, or
    /// the system refuses a thread or a connection to itself.
    pub async fn start(
        listeners: Vec<Listener>,
        options: GatewayOptions,
        verifier: Arc<Verifier>,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, StartError> {
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
            clock: Arc::clone(&clock),
        };
        let app = build_app(proxy).await.map_err(StartError::App)?;
        let handler = Arc::new(ConnectionHandler::new(app, Arc::clone(&metrics), current.clone()));
        let (stop, stopped) = watch::channel(false);
        let mut running = Vec::with_capacity(listeners.len());
        for listener in listeners {
            running.push(RunningListener::start(listener, &handler, &clock, &metrics, &stopped).await?);
        }
        Ok(Self { current, metrics, stop, in_flight, log_writer, handler, listeners: running })
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

    /// Returns the address of each listener, in their order.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(RunningListener::address).collect()
    }

    /// Stops listening, closes idle connections, and waits until no request is in flight, `deadline` at most. Returns
    /// the number of requests that are left: they end with the process.
    pub async fn stop(mut self, deadline: Duration) -> usize {
        self.stop.send_replace(true);
        let (listeners, handler, in_flight) = (&mut self.listeners, &self.handler, &self.in_flight);
        let drained = async {
            for listener in listeners {
                listener.join().await;
            }
            handler.close_idle().await;
            in_flight.wait_idle().await;
        };
        if tokio::time::timeout(deadline, drained).await.is_err() {
            tracing::debug!("the drain timed out");
        }
        self.log_writer.flush().await;
        self.in_flight.count()
    }
}
