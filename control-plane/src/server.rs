//! The admin API's server, from start to stop.

use std::net::SocketAddr;
use std::time::Duration;

use axum::ServiceExt;
use axum::extract::Request;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::Layer;
use tower::util::MapRequestLayer;

use crate::ControlPlane;
use crate::api;

/// An admin API that listens.
#[derive(Debug)]
pub struct ControlPlaneServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<std::io::Result<()>>,
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
        let failed = |error| NotStarted { address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let stop = control_plane.stopping.clone();
        let app = MapRequestLayer::new(api::without_last_slash).layer(api::router(control_plane));
        let mut stopped = stop.subscribe();
        let stopping = async move {
            // A sender that is gone is a stop as well.
            drop(stopped.wait_for(|stopped| *stopped).await);
        };
        let serving =
            axum::serve(listener, ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(app));
        let serving = tokio::spawn(async move { serving.with_graceful_shutdown(stopping).await });
        Ok(Self { address, stop, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops to listen, and waits for the requests in flight, or for `deadline`.
    pub async fn stop(mut self, deadline: Duration) {
        self.stop.send_replace(true);
        if tokio::time::timeout(deadline, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
    }
}
