//! The server of the operations endpoints.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use gatepost_http_server::{
    Caps, HostError, HostRule, HttpServer, OverloadPolicy, ServerOptions, ServerTasks, StartError,
};
use gatepost_runtime::{Task, error_chain, register_process_metrics, registered};
use http::StatusCode;
use prometheus::{Encoder, IntGauge, Opts, Registry, TEXT_FORMAT, TextEncoder};
use tokio::sync::Semaphore;

use crate::readiness::Readiness;

/// Limits on connections. When all are busy, the oldest is closed, so that a probe always gets a response.
const CAPS: Caps = Caps { total: 100, per_client: 50, overload_policy: OverloadPolicy::CloseOldest };
const TASKS: ServerTasks = ServerTasks { listener: Task::OpsListener, connection: Task::OpsConnection };

/// Options of the operations endpoints.
#[derive(Debug, Clone)]
pub struct OpsOptions {
    pub listen: SocketAddr,
    /// Names accepted in `Host`, in addition to IP addresses and `localhost`.
    pub hosts: Vec<String>,
}

/// The operations endpoints of one process.
#[derive(Debug)]
pub struct OpsServer {
    server: HttpServer,
}

impl OpsServer {
    /// Starts the server, on a socket that somebody else has bound if there is one. To be called before anything else starts: a starting process is alive and not ready.
    ///
    /// # Errors
    /// Fails if the address cannot be bound, or if the metrics are already registered.
    pub async fn start(
        options: OpsOptions,
        socket: Option<TcpListener>,
        readiness: Readiness,
        registry: Registry,
    ) -> Result<Self, StartError> {
        register_version(&registry);
        register_process(&registry);
        let host_rule = HostRule::new(options.hosts, options.listen, false);
        let probes = Router::new()
            // OPTIONS too, because some proxies use it for health checks by default.
            .route("/livez", get(alive).options(alive))
            .route("/readyz", get(ready).options(ready))
            .with_state(readiness)
            .layer(axum::middleware::from_fn(require_host));
        let pages = Router::new()
            .route("/metrics", get(metrics))
            .with_state((registry.clone(), Arc::new(Semaphore::new(1))))
            .fallback(|| async { StatusCode::NOT_FOUND })
            .layer(from_fn_with_state(host_rule, check_host));
        let options = ServerOptions {
            address: options.listen,
            socket: socket.as_ref(),
            listener: "ops",
            caps: CAPS,
            tasks: TASKS,
            registry: &registry,
        };
        Ok(Self { server: HttpServer::start(options, pages.merge(probes)).await? })
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Stops at once. To be called last when a process stops.
    pub fn stop(self) {
        self.server.abort();
    }
}

/// Rejects requests whose `Host` is not listed.
async fn check_host(State(host_rule): State<HostRule>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match host_rule.check(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => reject(error),
    }
}

/// Requires a well-formed `Host` with any name, because probes use whatever name the machine has.
async fn require_host(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match HostRule::parse_host(&parts) {
        Ok(_) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => reject(error),
    }
}

fn reject(error: HostError) -> Response {
    match error {
        HostError::Missing | HostError::Multiple | HostError::Malformed => {
            (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response()
        }
        HostError::Unlisted => {
            (StatusCode::MISDIRECTED_REQUEST, format!("{error}: list it in ops.hosts\n")).into_response()
        }
    }
}

async fn metrics(State((registry, gather_permit)): State<(Registry, Arc<Semaphore>)>) -> Response {
    // One response at a time: a client with many requests delays only other requests for metrics, no probes.
    let _turn = gather_permit.acquire().await;
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&registry.gather(), &mut text) {
        tracing::error!(error = %error_chain(&error), "encoding the metrics failed");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    ([(http::header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response()
}

async fn alive() -> &'static str {
    "alive\n"
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let report = readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

fn register_process(registry: &Registry) {
    // Fails if the process has started the server before; they are registered then.
    let _ = register_process_metrics(registry);
}

fn register_version(registry: &Registry) {
    let options = Opts::new("gatepost_build_info", "Always 1; the label is the version.")
        .const_label("version", env!("CARGO_PKG_VERSION"));
    // Fails if the process has started the server before; the version is registered then.
    if let Ok(gauge) = registered(registry, IntGauge::with_opts(options)) {
        gauge.set(1);
    }
}
