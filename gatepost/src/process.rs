//! Parts of a process, which are started from the configuration and stopped in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use gatepost_admin::{ControlPlaneServer, DashboardOptions, ListenOptions};
use gatepost_control_plane::ControlPlane;
use gatepost_deliverer::options::MAX_PENDING;
use gatepost_deliverer::{Deliverer, DelivererOptions};
use gatepost_domain::log_text::LogFormat;
use gatepost_domain::time::Clock;
use gatepost_gateway::Gateway;
use gatepost_limits::RateLimiter;
use gatepost_ops::{DependencyState, OpsServer, Readiness};
use gatepost_runtime::{Task, error_chain, supervise};
use gatepost_store::Store;
use gatepost_verify::{ReplicaSync, VerifyOptions};
use parking_lot::Mutex;
use prometheus::Registry;

use crate::config::{Config, ConfigSource, DashboardConfig, GatewayConfig};
use crate::control_socket::{self, Executor, SocketLocation};
use crate::dashboard_url::DashboardUrl;
use crate::gateway_setup::{gateway_options, read_tls};
use crate::probes::{self, RoutesWithoutProject, StoreOutage, StoreProbe};
use crate::reload::{self, ReloadContext, Reloader};
use crate::signals::Signals;
use crate::store::{self, StoreInit};
use crate::systemd::{self, ListenerSockets, Place, ServiceManager};
use crate::{config_watch, log, master_key};

/// Ratio of the capacity of the key cache to that of the cache of unknown keys.
const NEGATIVE_CACHE_DIVISOR: u64 = 10;
/// Maximum number of concurrent fetches from the store.
const MAX_LOOKUPS: usize = 1000;
/// How long a stop waits for the requests of the admin API.
const ADMIN_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// State that every process has.
pub(crate) struct Process {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) registry: Registry,
    pub(crate) readiness: Readiness,
    rate_limiter: RateLimiter,
    routes_without_project: RoutesWithoutProject,
    ops: OpsServer,
    service_manager: ServiceManager,
    /// Sockets of the parts that have not started.
    sockets: Mutex<ListenerSockets>,
    log_format: LogFormat,
}

/// Reason for which a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum ExitReason {
    Signal,
    RepeatedPanics(Task),
}

impl ExitReason {
    /// Returns the result of the command after the drain.
    pub(crate) fn into_result(self) -> anyhow::Result<()> {
        match self {
            ExitReason::Signal => Ok(()),
            ExitReason::RepeatedPanics(task) => {
                anyhow::bail!("the task {} panicked three times in a minute", task.as_str())
            }
        }
    }
}

impl Process {
    /// Starts what every process has: log, store and operations server. Returns none if a signal arrived while it
    /// waited for the store.
    pub(crate) async fn start(
        signals: &mut Signals,
        config: Config,
        mut sockets: ListenerSockets,
        init: StoreInit,
        outage: StoreOutage,
    ) -> anyhow::Result<Option<Self>> {
        let (registry, readiness) = (Registry::new(), Readiness::default());
        let log_format = log::init(&config.log, &registry)?;
        gatepost_runtime::register_panic_metric(&registry)?;
        readiness.set("process", DependencyState::not_ready("starting"));
        let ops = OpsServer::start(config.ops.clone(), sockets.take(&Place::Ops), readiness.clone(), registry.clone())
            .await
            .with_context(|| not_started("operations server", "--ops-listen", "ops.listen"))?;
        let service_manager = ServiceManager::of_environment();
        systemd::start_reporting(&service_manager, &readiness, ops.address())?;
        let clock: Arc<dyn Clock> = Arc::new(gatepost_store::clock::SystemClock);
        let master = master_key::find_or_create(&config.store)?;
        let opening = store::open_with_retry(&config, &clock, &master, init, &readiness);
        let store = tokio::select! {
            opened = opening => opened?,
            () = signals.wait_for_stop() => {
                service_manager.report_stopping();
                tracing::info!("stopped while waiting for the store");
                return Ok(None);
            }
        };
        let warnings = [config.warnings.clone(), store.single_cell().warnings().await?].concat();
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        readiness.warn("settings", warnings);
        let routes_without_project = RoutesWithoutProject::default();
        routes_without_project.set(&config.gateway);
        let probe = Arc::new(StoreProbe::new(
            store.single_cell().clone(),
            readiness.clone(),
            outage,
            &config,
            routes_without_project.clone(),
            &registry,
        )?);
        supervise(Task::StoreProbe, move || Arc::clone(&probe).run());
        let rate_limiter =
            RateLimiter::start(store.single_cell().clone(), Arc::clone(&clock), config.outage_policy, &registry)?;
        let sockets = Mutex::new(sockets);
        Ok(Some(Self {
            config,
            store,
            clock,
            registry,
            readiness,
            rate_limiter,
            routes_without_project,
            ops,
            service_manager,
            sockets,
            log_format,
        }))
    }

    /// Returns the address of the operations server.
    pub(crate) fn ops_address(&self) -> SocketAddr {
        self.ops.address()
    }

    /// Reports the process as started.
    pub(crate) fn mark_started(&self) {
        self.readiness.set("process", DependencyState::Ready);
        tracing::info!(
            store = %self.config.store.url,
            ops = %self.ops.address(),
            version = env!("CARGO_PKG_VERSION"),
            "started"
        );
        self.service_manager.report_ready();
    }

    /// Waits for a signal or for a task that panics repeatedly, then reports the process as draining.
    pub(crate) async fn run(&self, signals: &mut Signals) -> ExitReason {
        let ended = tokio::select! {
            () = signals.wait_for_stop() => ExitReason::Signal,
            task = gatepost_runtime::wait_for_crash_loop() => ExitReason::RepeatedPanics(task),
        };
        tracing::info!("draining");
        self.readiness.drain();
        self.service_manager.report_stopping();
        ended
    }

    pub(crate) async fn start_gateway(&self) -> anyhow::Result<GatewayHandle> {
        let config = &self.config.gateway;
        let tls = read_tls(config, self.clock.now())?;
        let mut listeners = Vec::with_capacity(config.listeners.len());
        for listener in &config.listeners {
            let socket = self.sockets.lock().take(&Place::Gateway(listener.options.name.clone()));
            let bound = match socket {
                Some(socket) => gatepost_gateway::adopt(socket, &listener.options),
                None => gatepost_gateway::bind(&listener.options),
            };
            listeners.push(bound.with_context(|| not_started("gateway", "--listen", "gateway.listen"))?);
        }
        let options = VerifyOptions {
            cache_capacity: config.cache_capacity,
            negative_capacity: config.cache_capacity / NEGATIVE_CACHE_DIVISOR,
            max_stale: config.max_stale,
            max_lookups: MAX_LOOKUPS,
            max_wrong_keys_a_minute: config.max_wrong_keys_a_minute,
            name: gateway_name(config),
        };
        let (store, clock, rate_limiter) = (self.store.clone(), Arc::clone(&self.clock), self.rate_limiter.clone());
        let replica_sync =
            gatepost_verify::start(store.cells().to_vec(), clock, &options, rate_limiter, &self.registry)
                .await
                .context("following the changes of the store failed")?;
        let gateway_options = gateway_options(config);
        let (clock, verifier) = (Arc::clone(&self.clock), replica_sync.verifier());
        let starting =
            Gateway::start(listeners, gateway_options, tls, verifier, clock, self.log_format, &self.registry);
        let gateway = match starting.await {
            Ok(gateway) => gateway,
            Err(error) => {
                deregister(replica_sync).await;
                return Err(error.into());
            }
        };
        let (verifier, readiness) = (replica_sync.verifier(), self.readiness.clone());
        supervise(Task::CacheProbe, move || probes::probe_cache(Arc::clone(&verifier), readiness.clone()));
        let (status, readiness) = (gateway.status(), self.readiness.clone());
        supervise(Task::UpstreamProbe, move || probes::probe_gateway(status.clone(), readiness.clone()));
        let GatewayConfig { drain_delay, drain_timeout, .. } = *config;
        Ok(GatewayHandle { gateway: Arc::new(gateway), replica_sync, drain_delay, drain_timeout })
    }

    /// Takes over changes of the gateway's configuration: when its file has changed, on SIGHUP, and on a command to its
    /// control socket.
    pub(crate) fn start_reloading(
        &self,
        source: ConfigSource,
        handle: &GatewayHandle,
        signals: &mut Signals,
    ) -> anyhow::Result<Arc<Reloader>> {
        let context = ReloadContext {
            source,
            started_with: self.config.settings.clone(),
            gateway: Arc::clone(&handle.gateway),
            routes_without_project: self.routes_without_project.clone(),
            clock: Arc::clone(&self.clock),
            readiness: self.readiness.clone(),
            service_manager: self.service_manager.clone(),
        };
        let reloader = Arc::new(Reloader::new(context, &self.registry)?);
        config_watch::start(&reloader);
        let on_hang_up = Arc::clone(&reloader);
        signals.on_hang_up(move || reload::start(&on_hang_up));
        if let Some(path) = &self.config.gateway.control_socket {
            let executor = Executor { reloader: Arc::clone(&reloader), store: None };
            control_socket::listen(&SocketLocation::at(path), executor);
        }
        Ok(reloader)
    }

    /// Builds the use cases over the store of this process.
    pub(crate) fn build_use_cases(&self) -> anyhow::Result<ControlPlane> {
        let clock = Arc::clone(&self.clock);
        let rate_limiter = self.rate_limiter.clone();
        let use_cases = ControlPlane::new(
            self.store.clone(),
            clock,
            self.config.webhooks.private_networks,
            rate_limiter,
            &self.registry,
        )?;
        let config = &self.config.control_plane;
        Ok(use_cases.with_auth_failures_per_minute(config.wrong_access_keys_a_minute))
    }

    pub(crate) async fn start_control_plane(&self, use_cases: ControlPlane) -> anyhow::Result<ControlPlaneServer> {
        let config = &self.config.control_plane;
        let options = ListenOptions {
            listen: config.listen,
            socket: self.sockets.lock().take(&Place::Admin),
            hosts: config.hosts.clone(),
            is_behind_proxy: config.is_behind_proxy,
            unknown_members: config.unknown_members,
            dashboard: self.config.dashboard.clone().map(dashboard_options),
        };
        let server = ControlPlaneServer::start(options, use_cases, &self.registry)
            .await
            .with_context(|| not_started("admin API", "--admin-listen", "control_plane.listen"))?;
        tracing::info!(address = %server.address(), "the admin API listens");
        Ok(server)
    }

    /// Returns the URL of the dashboard, unless it is turned off.
    pub(crate) fn dashboard_url(&self, server: &ControlPlaneServer) -> Option<DashboardUrl> {
        self.config.dashboard.as_ref().map(|dashboard| DashboardUrl::new(dashboard, server.address()))
    }

    pub(crate) fn start_deliverer(&self) -> anyhow::Result<Deliverer> {
        let options = DelivererOptions {
            private_networks: self.config.webhooks.private_networks,
            retention: self.config.retention,
            max_pending: MAX_PENDING,
            failure_limits: self.config.webhooks.failure_limits,
        };
        Ok(Deliverer::start(self.store.single_cell().clone(), Arc::clone(&self.clock), options, &self.registry)?)
    }

    /// Stops what every process has.
    pub(crate) async fn stop(self) {
        self.rate_limiter.stop().await;
        self.ops.stop();
        tracing::info!("stopped");
    }
}

fn dashboard_options(config: DashboardConfig) -> DashboardOptions {
    DashboardOptions { origin: config.origin, session_ttl: config.session_ttl }
}

/// Returns the context of an error of a listener. The error names the address.
fn not_started(server: &str, flag: &str, key: &str) -> String {
    format!("the {server} did not start; if its address is taken, choose another one with {flag} or {key}")
}

/// Gateway, with the task that follows the changes of the store.
pub(crate) struct GatewayHandle {
    pub(crate) gateway: Arc<Gateway>,
    replica_sync: ReplicaSync,
    drain_delay: Duration,
    drain_timeout: Duration,
}

impl GatewayHandle {
    /// Drains the gateway, then deregisters it from the store. For a while it still accepts connections, until load
    /// balancers know that the process is not ready.
    pub(crate) async fn stop(self) {
        tokio::time::sleep(self.drain_delay).await;
        let aborted = self.gateway.stop(self.drain_timeout).await;
        if aborted > 0 {
            tracing::warn!(requests = aborted, "requests did not end within the drain timeout and were aborted");
        }
        deregister(self.replica_sync).await;
    }
}

async fn deregister(replica_sync: ReplicaSync) {
    if let Err(error) = replica_sync.stop().await {
        tracing::warn!(
            error = %error_chain(&error),
            "deregistering failed; the registration expires with the lease of this gateway"
        );
    }
}

/// Stops the admin API within its drain timeout.
pub(crate) async fn stop_control_plane(server: ControlPlaneServer) {
    server.stop(ADMIN_DRAIN_TIMEOUT).await;
}

/// Returns the name of the gateway: without one in the configuration, the name of the machine and the port.
fn gateway_name(config: &GatewayConfig) -> String {
    if !config.name.is_empty() {
        return config.name.clone();
    }
    let system = rustix::system::uname();
    let machine = system.nodename().to_string_lossy();
    let machine: String = machine.chars().filter(|character| !character.is_control()).collect();
    format!("{machine}:{}", config.listeners[0].options.address.port())
}
