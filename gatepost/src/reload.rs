//! The gateway's part of the configuration is taken over while the process runs: whole, or not at all.

mod metrics;

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use gatepost_domain::time::Clock;
use gatepost_gateway::{Gateway, ListenerOptions};
use gatepost_ops::Readiness;
use gatepost_runtime::{FileStamp, Task, error_chain, run_blocking, spawn};
use parking_lot::Mutex;
use prometheus::Registry;

use crate::config::{ConfigSource, Settings};
use crate::gateway_setup::{gateway_options, listener_options, read_tls, with_faults_of_files};
use crate::probes::RoutesWithoutProject;
use crate::systemd::ServiceManager;
use metrics::ReloadMetrics;

/// Subject of warnings in `/readyz`.
const SUBJECT: &str = "configuration";

/// Takes over the configuration of one process.
pub(crate) struct Reloader {
    source: ConfigSource,
    /// Settings that the process was started with.
    started_with: Settings,
    gateway: Arc<Gateway>,
    routes_without_project: RoutesWithoutProject,
    clock: Arc<dyn Clock>,
    readiness: Readiness,
    service_manager: ServiceManager,
    metrics: ReloadMetrics,
    /// Names of the listeners that were removed although systemd keeps their sockets open.
    left_sockets: Mutex<BTreeSet<String>>,
    /// The file as it was when it was last read.
    read: Mutex<Option<FileStamp>>,
    /// Held by one reload at a time.
    turn: tokio::sync::Mutex<()>,
}

/// What a process gives its reloader.
pub(crate) struct ReloadContext {
    pub(crate) source: ConfigSource,
    pub(crate) started_with: Settings,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) routes_without_project: RoutesWithoutProject,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) readiness: Readiness,
    pub(crate) service_manager: ServiceManager,
}

/// A configuration that was taken over.
pub(crate) struct Reloaded {
    /// Settings that have changed since the start, and take effect with a restart.
    pub(crate) need_restart: Vec<String>,
}

/// Starts a reload, whose result is logged and reported.
pub(crate) fn start(reloader: &Arc<Reloader>) {
    let reloader = Arc::clone(reloader);
    spawn(Task::Reload, async move {
        // The result was logged and reported.
        let _ = reloader.reload().await;
    });
}

impl Reloader {
    pub(crate) fn new(context: ReloadContext, registry: &Registry) -> prometheus::Result<Self> {
        let ReloadContext { source, started_with, gateway, routes_without_project, clock, readiness, service_manager } =
            context;
        let read = Mutex::new(source.file().and_then(FileStamp::of));
        let (metrics, turn) = (ReloadMetrics::register(registry, clock.now())?, tokio::sync::Mutex::default());
        let left_sockets = Mutex::default();
        Ok(Self {
            source,
            started_with,
            gateway,
            routes_without_project,
            clock,
            readiness,
            service_manager,
            metrics,
            left_sockets,
            read,
            turn,
        })
    }

    /// Reads the configuration again and takes it over. The result is logged, counted and reported in `/readyz`.
    ///
    /// # Errors
    /// All errors of the configuration. The old one stays.
    pub(crate) async fn reload(&self) -> anyhow::Result<Reloaded> {
        let _turn = self.turn.lock().await;
        self.service_manager.report_reloading();
        let result = self.take_over().await;
        let warning = match &result {
            Ok(Reloaded { need_restart }) if need_restart.is_empty() => None,
            Ok(Reloaded { need_restart }) => Some(format!("restart to apply {}", need_restart.join(", "))),
            Err(error) => Some(format!("the changed configuration is not in use: {}", error_chain(error.as_ref()))),
        };
        self.metrics.record(result.is_ok(), self.clock.now());
        self.readiness.warn(SUBJECT, warning.iter().cloned().collect());
        match (&result, warning) {
            (Ok(_), None) => tracing::info!("the configuration was reloaded"),
            (Ok(_), Some(warning)) => tracing::warn!("the configuration was reloaded; {warning}"),
            (Err(_), warning) => tracing::warn!(error = warning, "the configuration was not reloaded"),
        }
        self.service_manager.report_reloaded();
        result
    }

    async fn take_over(&self) -> anyhow::Result<Reloaded> {
        *self.read.lock() = self.look_at_file();
        let (source, now) = (self.source.clone(), self.clock.now());
        let reading = run_blocking(Task::Reload, move || {
            let config = source.load().map_err(|errors| with_faults_of_files(errors, now))?;
            let tls = read_tls(&config.gateway, now);
            anyhow::Ok((config, tls))
        });
        let (config, tls) = reading.await.map_err(|_| anyhow!("reading the configuration has panicked"))??;
        if let Some(what) = config.gateway.missing() {
            bail!(what);
        }
        let (listeners, options) = (listener_options(&config.gateway), gateway_options(&config.gateway));
        let left = self.gateway.reload(&listeners, options, tls?).await?;
        self.routes_without_project.set(&config.gateway);
        let mut need_restart = self.started_with.changes_that_need_restart(&config.settings);
        need_restart.extend(self.removals_of_sockets(left, &listeners));
        Ok(Reloaded { need_restart })
    }

    /// Describes the removal of listeners whose sockets systemd keeps open, since the start.
    fn removals_of_sockets(&self, left: Vec<String>, listeners: &[ListenerOptions]) -> Vec<String> {
        let mut left_sockets = self.left_sockets.lock();
        left_sockets.extend(left);
        left_sockets.retain(|name| !listeners.iter().any(|listener| listener.name == *name));
        let describe = |name: &String| {
            format!(
                "the removal of the listener {name:?}, after you have stopped its socket unit: systemd keeps its socket \
                 open, so that connections to it wait for nobody"
            )
        };
        left_sockets.iter().map(describe).collect()
    }

    /// Returns what the file looks like, if it has changed since it was read.
    pub(crate) fn changed_file(&self) -> Option<FileStamp> {
        self.look_at_file().filter(|now| Some(*now) != *self.read.lock())
    }

    fn look_at_file(&self) -> Option<FileStamp> {
        self.source.file().and_then(FileStamp::of)
    }
}
