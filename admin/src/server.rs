//! The admin API's server, from start to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost_control_plane::{ControlPlane, UnknownMembers};
use gatepost_http_server::{Caps, HostRule, HttpServer, OverloadPolicy, ServerOptions, ServerTasks, StartError};
use gatepost_runtime::Task;
use prometheus::Registry;
use tokio::sync::watch;
use tower::Layer;
use tower::util::MapRequestLayer;

use crate::api;
use crate::api::state::ApiState;
use crate::metrics::Metrics;

/// Connections at a time.
const MAX_CONNECTIONS: usize = 1000;
/// Connections of one client at a time: more than all long answers together, so that these never keep others of the same
/// address out. A proxy in front has all connections of its clients.
const MAX_CONNECTIONS_PER_CLIENT: usize = 800;
/// What serves them.
const TASKS: ServerTasks = ServerTasks { listener: Task::AdminListener, connection: Task::AdminConnection };

/// Where an admin API listens, and for whom.
#[derive(Debug, Clone)]
pub struct ListenOptions {
    /// The address.
    pub listen: SocketAddr,
    /// Names by which it is reached, beside addresses and `localhost`.
    pub hosts: Vec<String>,
    /// Whether all clients come through a proxy.
    pub is_behind_proxy: bool,
    /// Handling of unknown members in requests that prefer none.
    pub unknown_members: UnknownMembers,
}

/// An admin API that listens.
#[derive(Debug)]
pub struct ControlPlaneServer {
    server: HttpServer,
    /// Ends what would go on for ever: streams of events.
    shutdown: watch::Sender<bool>,
}

impl ControlPlaneServer {
    /// Starts to serve.
    pub async fn start(
        options: ListenOptions,
        control_plane: ControlPlane,
        registry: &Registry,
    ) -> Result<Self, StartError> {
        let shutdown = watch::Sender::new(false);
        let state = ApiState {
            control_plane,
            metrics: Arc::new(Metrics::register(registry)?),
            unknown_members: options.unknown_members,
            schema_members: api::schema_members(),
            shutdown: shutdown.subscribe(),
        };
        let of_a_client = if options.is_behind_proxy { MAX_CONNECTIONS } else { MAX_CONNECTIONS_PER_CLIENT };
        let address = options.listen;
        let hosts = HostRule::new(options.hosts, address, options.is_behind_proxy);
        let app = MapRequestLayer::new(api::trim_trailing_slash).layer(api::router(state, hosts));
        let options = ServerOptions {
            address,
            listener: "admin",
            caps: Caps { total: MAX_CONNECTIONS, per_client: of_a_client, overload_policy: OverloadPolicy::Refuse },
            tasks: TASKS,
            registry,
        };
        Ok(Self { server: HttpServer::start(options, app).await?, shutdown })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Stops to listen, and waits for the requests in flight, or for `deadline`.
    pub async fn stop(self, deadline: Duration) {
        self.shutdown.send_replace(true);
        self.server.stop(deadline).await;
    }
}
