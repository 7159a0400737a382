//! The server of the admin API.

use std::net::{SocketAddr, TcpListener};
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
use crate::dashboard::{self, DashboardOptions, DashboardState};
use crate::metrics::Metrics;

/// Connections at a time.
const MAX_CONNECTIONS: usize = 1000;
/// Connections of one client at a time: more than all long responses together, so that these never block other clients
/// with the same address. A proxy in front may use all connections.
const MAX_CONNECTIONS_PER_CLIENT: usize = 800;
const TASKS: ServerTasks = ServerTasks { listener: Task::AdminListener, connection: Task::AdminConnection };

/// The address of an admin API, and its clients.
#[derive(Debug)]
pub struct ListenOptions {
    pub listen: SocketAddr,
    /// Socket that somebody else has bound, in place of one for the address.
    pub socket: Option<TcpListener>,
    /// Host names that clients use, in addition to addresses and `localhost`.
    pub hosts: Vec<String>,
    /// True if all clients connect through a proxy.
    pub is_behind_proxy: bool,
    /// Handling of unknown members in requests that prefer none.
    pub unknown_members: UnknownMembers,
    /// Absent if there is no dashboard.
    pub dashboard: Option<DashboardOptions>,
}

/// A running admin API.
#[derive(Debug)]
pub struct ControlPlaneServer {
    server: HttpServer,
    /// Ends responses without an end: event streams and those of dashboard pages.
    shutdown: watch::Sender<bool>,
}

impl ControlPlaneServer {
    /// Starts to listen.
    ///
    /// # Errors
    /// If the address cannot be bound, or the registry already has the metrics of an admin API.
    pub async fn start(
        options: ListenOptions,
        control_plane: ControlPlane,
        registry: &Registry,
    ) -> Result<Self, StartError> {
        let shutdown = watch::Sender::new(false);
        let dashboard = options.dashboard.map(|dashboard| DashboardState {
            control_plane: control_plane.clone(),
            options: Arc::new(dashboard),
            imports: Default::default(),
            shutdown: shutdown.subscribe(),
            is_behind_tls_proxy: options.is_behind_proxy,
        });
        let state = ApiState {
            control_plane,
            metrics: Arc::new(Metrics::register(registry)?),
            unknown_members: options.unknown_members,
            schema_members: api::schema_members(),
            shutdown: shutdown.subscribe(),
            has_dashboard: dashboard.is_some(),
        };
        let of_a_client = if options.is_behind_proxy { MAX_CONNECTIONS } else { MAX_CONNECTIONS_PER_CLIENT };
        let (address, socket) = (options.listen, options.socket);
        let hosts = HostRule::new(options.hosts, address, options.is_behind_proxy);
        let app = MapRequestLayer::new(api::trim_trailing_slash).layer(api::router(
            state,
            hosts,
            dashboard.map(dashboard::router),
        ));
        let options = ServerOptions {
            address,
            socket: socket.as_ref(),
            listener: "admin",
            caps: Caps { total: MAX_CONNECTIONS, per_client: of_a_client, overload_policy: OverloadPolicy::Refuse },
            tasks: TASKS,
            registry,
        };
        Ok(Self { server: HttpServer::start(options, app).await?, shutdown })
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Stops listening, and waits for requests in flight, at most for `deadline`.
    pub async fn stop(self, deadline: Duration) {
        self.shutdown.send_replace(true);
        self.server.stop(deadline).await;
    }
}
