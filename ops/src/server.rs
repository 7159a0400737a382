//! The server of the three pages.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use gatepost_http_server::{
    Caps, HostError, HostRule, HttpServer, OverloadPolicy, ServerOptions, ServerTasks, StartError,
};
use gatepost_runtime::Task;
use http::StatusCode;
use prometheus::{Encoder, IntGauge, Opts, Registry, TEXT_FORMAT, TextEncoder};
use tokio::sync::Semaphore;

use crate::readiness::Readiness;

/// Connections at a time.
const CAPS: Caps = Caps { total: 100, per_client: 50, overload_policy: OverloadPolicy::CloseOldest };
/// What serves them.
const TASKS: ServerTasks = ServerTasks { listener: Task::OpsListener, connection: Task::OpsConnection };

/// Where the pages are, and for which names.
#[derive(Debug, Clone)]
pub struct OpsOptions {
    /// The address.
    pub listen: SocketAddr,
    /// Names by which it is reached, beside addresses and `localhost`.
    pub hosts: Vec<String>,
}

/// The pages of one process.
#[derive(Debug)]
pub struct OpsServer {
    server: HttpServer,
}

impl OpsServer {
    /// Starts to serve, before anything else does: a process that is still starting is alive and not ready.
    pub async fn start(options: OpsOptions, readiness: Readiness, registry: Registry) -> Result<Self, StartError> {
        register_version(&registry);
        let host_rule = HostRule::new(options.hosts, options.listen, false);
        let probes = Router::new()
            // With OPTIONS too, as proxies check servers unless told otherwise.
            .route("/livez", get(alive).options(alive))
            .route("/readyz", get(ready).options(ready))
            .with_state(readiness)
            .layer(axum::middleware::from_fn(require_host));
        let pages = Router::new()
            .route("/metrics", get(metrics))
            .with_state((registry.clone(), Arc::new(Semaphore::new(1))))
            .fallback(|| async { StatusCode::NOT_FOUND })
            .layer(from_fn_with_state(host_rule, check_host));
        let options =
            ServerOptions { address: options.listen, listener: "ops", caps: CAPS, tasks: TASKS, registry: &registry };
        Ok(Self { server: HttpServer::start(options, pages.merge(probes)).await? })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Ends it at once: it is the last thing of a process to go.
    pub fn stop(self) {
        self.server.abort();
    }
}

/// Refuses requests whose `Host` names nobody here.
async fn check_host(State(host_rule): State<HostRule>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match host_rule.check(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => reject(error),
    }
}

/// Probes come under whatever name a machine has.
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
    // One page at a time: whoever asks for many lets only others wait who want the same, no probe.
    let _turn = gather_permit.acquire().await;
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&registry.gather(), &mut text) {
        tracing::error!(%error, "metrics cannot be written");
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

fn register_version(registry: &Registry) {
    let options = Opts::new("gatepost_build_info", "Always 1; the label tells the version.")
        .const_label("version", env!("CARGO_PKG_VERSION"));
    let gauge = IntGauge::with_opts(options).expect("name and label are valid");
    gauge.set(1);
    // A process that starts its pages twice has told its version before.
    drop(registry.register(Box::new(gauge)));
}
