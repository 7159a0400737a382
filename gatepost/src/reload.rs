//! The gateway's part of the configuration is taken over while the process runs: whole, or not at all.

mod metrics;
mod read_files;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{anyhow, bail};
use gatepost_domain::time::{Clock, Timestamp};
use gatepost_gateway::{Gateway, ListenerOptions, StartError, TlsMaterials};
use gatepost_ops::Readiness;
use gatepost_runtime::{Task, error_chain, run_blocking, spawn};
use parking_lot::Mutex;
use prometheus::Registry;

use crate::config::{Config, ConfigErrors, ConfigSource, Settings};
use crate::gateway_setup::{gateway_options, listener_options, read_tls, tls_files, with_faults_of_files};
use crate::probes::RoutesWithoutProject;
use crate::systemd::ServiceManager;
use metrics::ReloadMetrics;
use read_files::ReadFiles;

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
    /// The file as it was when it was last read; after a reload that was refused, also the files of TLS that it names.
    read: Mutex<ReadFiles>,
    /// Whether the last reload was refused only because an address is in use.
    waits_for_address: AtomicBool,
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
        let read = Mutex::new(ReadFiles::look_at(source.file()));
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
            waits_for_address: AtomicBool::default(),
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
        let is_address_taken = |error: &anyhow::Error| matches!(error.downcast_ref(), Some(StartError::Bind { .. }));
        self.waits_for_address.store(result.as_ref().is_err_and(is_address_taken), Ordering::Relaxed);
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
        *self.read.lock() = ReadFiles::look_at(self.source.file());
        let (source, now) = (self.source.clone(), self.clock.now());
        let reading = run_blocking(Task::Reload, move || {
            let loaded = source.load();
            let config = loaded.as_ref().map_or_else(ConfigErrors::rest, Some);
            let files = ReadFiles::look_at(config.into_iter().flat_map(|config| tls_files(&config.gateway)));
            (read(loaded, now), files)
        });
        let (result, files) = reading.await.map_err(|_| anyhow!("reading the configuration has panicked"))?;
        let (config, tls) = result.inspect_err(|_| self.read.lock().add(files))?;
        if let Some(what) = config.gateway.missing() {
            bail!(what);
        }
        let (listeners, options) = (listener_options(&config.gateway), gateway_options(&config.gateway));
        let left = self.gateway.reload(&listeners, options, tls).await?;
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

    /// Returns whether the same files may be taken over later.
    pub(crate) fn waits_for_address(&self) -> bool {
        self.waits_for_address.load(Ordering::Relaxed)
    }

    /// Returns what the files look like, if one has changed since it was read.
    pub(crate) fn changed_files(&self) -> Option<ReadFiles> {
        self.read.lock().changed()
    }
}

fn read(loaded: Result<Config, ConfigErrors>, now: Timestamp) -> anyhow::Result<(Config, TlsMaterials)> {
    let config = loaded.map_err(|errors| with_faults_of_files(errors, now))?;
    let tls = read_tls(&config.gateway, now)?;
    Ok((config, tls))
}
