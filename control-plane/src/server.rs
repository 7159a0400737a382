//! The admin API's server, from start to stop.

use std::net::SocketAddr;
use std::time::Duration;

use gatepost_ops::{HttpServer, ServerTasks};
use gatepost_runtime::Task;
use tokio::sync::watch;
use tower::Layer;
use tower::util::MapRequestLayer;

use crate::ControlPlane;
use crate::api;

/// Connections at a time.
const MAX_CONNECTIONS: u32 = 1000;
/// What serves them.
const TASKS: ServerTasks = ServerTasks { listener: Task::AdminListener, connection: Task::AdminConnection };

/// An admin API that listens.
#[derive(Debug)]
pub struct ControlPlaneServer {
    server: HttpServer,
    /// Ends what would go on for ever: streams of events.
    stopping: watch::Sender<bool>,
}

/// Why it does not.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}")]
pub struct NotStarted {
    address: SocketAddr,
    error: std::io::Error,
}

impl ControlPlaneServer {
    /// Starts to serve.
    pub async fn start(address: SocketAddr, control_plane: ControlPlane) -> Result<Self, NotStarted> {
        let stopping = control_plane.stopping.clone();
        let app = MapRequestLayer::new(api::without_last_slash).layer(api::router(control_plane));
        let server = HttpServer::start(address, app, MAX_CONNECTIONS, TASKS).await;
        server.map(|server| Self { server, stopping }).map_err(|error| NotStarted { address, error })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Stops to listen, and waits for the requests in flight, or for `deadline`.
    pub async fn stop(self, deadline: Duration) {
        self.stopping.send_replace(true);
        self.server.stop(deadline).await;
    }
}
