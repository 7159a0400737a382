//! The server of the three pages.

use std::net::SocketAddr;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::{Encoder, IntGauge, Opts, Registry, TEXT_FORMAT, TextEncoder};

use gatepost_runtime::Task;

use crate::http_server::{HttpServer, ServerTasks};
use crate::readiness::Readiness;

/// Connections at a time.
const MAX_CONNECTIONS: u32 = 100;
/// What serves them.
const TASKS: ServerTasks = ServerTasks { listener: Task::OpsListener, connection: Task::OpsConnection };

/// The pages of one process.
#[derive(Debug)]
pub struct OpsServer {
    server: HttpServer,
}

/// Why they are not there.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}")]
pub struct NotStarted {
    address: SocketAddr,
    error: std::io::Error,
}

impl OpsServer {
    /// Starts to serve, before anything else does: a process that is still starting is alive and not ready.
    pub async fn start(address: SocketAddr, readiness: Readiness, registry: Registry) -> Result<Self, NotStarted> {
        let failed = |error| NotStarted { address, error };
        register_version(&registry);
        let app = Router::new()
            .route("/metrics", get(metrics))
            .route("/livez", get(|| async { "alive\n" }))
            .route("/readyz", get(ready))
            .with_state((readiness, registry));
        Ok(Self { server: HttpServer::start(address, app, MAX_CONNECTIONS, TASKS).await.map_err(failed)? })
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

type Shared = (Readiness, Registry);

async fn metrics(State((_, registry)): State<Shared>) -> Response {
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&registry.gather(), &mut text) {
        tracing::error!(%error, "metrics cannot be written");
        return http::StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    ([(http::header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response()
}

async fn ready(State((readiness, _)): State<Shared>) -> Response {
    let report = readiness.report();
    let status = if report.ready { http::StatusCode::OK } else { http::StatusCode::SERVICE_UNAVAILABLE };
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
