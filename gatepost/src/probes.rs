//! Periodic probes of a process' parts, for `/readyz` and `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use gatepost_gateway::{Auth, GatewayStatus, RouteOptions};
use gatepost_ops::{DependencyState, Readiness};
use gatepost_runtime::registered;
use gatepost_store::{CellStore, Format, QueueStats, ReplayStats, StoreError, StoreErrorKind, StoreServer};
use gatepost_verify::{Liveness, Verifier};
use parking_lot::Mutex;
use prometheus::{IntCounter, IntGauge, IntGaugeVec, Opts, Registry};
use tokio::time::Instant;

use crate::config::{Config, GatewayConfig};

const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Minimum time between two readings of the store's numbers by a gateway: there may be a hundred, and all read the same.
const GATEWAY_READING_INTERVAL: Duration = Duration::from_secs(5);
/// Percentage of `events.max_entries` above which `/readyz` warns about the fan-out backlog.
const BACKLOG_WARNING_PERCENT: u64 = 80;

/// Maximum number of routes that a warning names.
const MAX_NAMED_ROUTES: usize = 10;

/// Effect of a store outage on a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreOutage {
    /// The process cannot work without the store, and is not ready.
    NotReady,
    /// The cache serves known keys for a while and has a probe of its own, so that the outage is a warning only.
    Degraded,
}

impl StoreOutage {
    /// Minimum time between two readings of the store's numbers.
    fn reading_interval(self) -> Duration {
        match self {
            StoreOutage::NotReady => PROBE_INTERVAL,
            StoreOutage::Degraded => GATEWAY_READING_INTERVAL,
        }
    }
}

/// Periodic probe of the store.
pub(crate) struct StoreProbe {
    store: CellStore,
    readiness: Readiness,
    outage: StoreOutage,
    max_entries: u64,
    /// Routes that accept no key while the store has several accounts.
    routes_without_project: RoutesWithoutProject,
    replayed: IntCounter,
    lost: IntCounter,
    given_up: IntCounter,
    not_fanned_out: IntGauge,
    in_quarantine: IntGauge,
    full: IntGauge,
    server: IntGaugeVec,
    /// Server that the metric and `/readyz` report.
    reported_server: Mutex<Option<StoreServer>>,
}

impl StoreProbe {
    pub(crate) fn new(
        store: CellStore,
        readiness: Readiness,
        outage: StoreOutage,
        config: &Config,
        routes_without_project: RoutesWithoutProject,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| registered(registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help));
        Ok(Self {
            store,
            readiness,
            outage,
            max_entries: config.retention.max_entries,
            routes_without_project,
            replayed: counter(
                "gatepost_changes_repeated_total",
                "Acknowledged changes that the store had lost and this process has replayed.",
            )?,
            lost: counter(
                "gatepost_changes_lost_total",
                "Acknowledged changes that the store had lost and that were not replayed because of later changes.",
            )?,
            given_up: counter(
                "gatepost_changes_given_up_total",
                "Acknowledged changes that the store may have lost and that could not be replayed in time.",
            )?,
            not_fanned_out: gauge("gatepost_stream_not_fanned_out", "Entries after the fan-out cursor.")?,
            in_quarantine: gauge(
                "gatepost_quarantine_entries",
                "Entries in quarantine, because they could not be decoded.",
            )?,
            full: gauge(
                "gatepost_store_full",
                "1 while the store rejects ordinary writes because memory or disk is full.",
            )?,
            server: registered(
                registry,
                IntGaugeVec::new(
                    Opts::new("gatepost_store_info", "Always 1; the labels are the server that holds the store."),
                    &["server", "version"],
                ),
            )?,
            reported_server: Mutex::default(),
        })
    }

    /// Probes until the process ends.
    pub(crate) async fn run(self: Arc<Self>) {
        let (mut next_reading, mut reading_failure) = (Instant::now(), None);
        loop {
            let format = self.store.read_format().await;
            let is_due = next_reading <= Instant::now() || reading_failure.is_some();
            if is_due && format.is_ok() {
                next_reading = Instant::now() + self.outage.reading_interval();
                reading_failure = self.report_numbers().await.err().map(|error| error.kind());
            }
            self.report_store(format.as_ref().err().map(StoreError::kind).or(reading_failure));
            self.report_format(format.unwrap_or(self.store.format()));
            self.report_server();
            self.report_replays(self.store.replay_stats().await.unwrap_or_default());
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
    }

    /// Reads and reports what is the same for all processes.
    async fn report_numbers(&self) -> Result<(), StoreError> {
        self.report_queue(&self.store.queue_stats().await?);
        self.report_fullness(self.store.full_reason().await.unwrap_or_default());
        self.probe_tenancy().await;
        Ok(())
    }

    fn report_store(&self, failure: Option<StoreErrorKind>) {
        match self.outage {
            StoreOutage::NotReady => {
                let state = failure.map_or(DependencyState::Ready, |kind| DependencyState::not_ready(kind.as_str()));
                self.readiness.set("store", state);
            }
            StoreOutage::Degraded => {
                let warning = failure.map(|kind| {
                    format!("store: {}; keys in the cache are accepted for gateway.max_stale_ms", kind.as_str())
                });
                self.readiness.warn("store", warning.into_iter().collect());
            }
        }
    }

    /// Another server may hold the store after a failover or an upgrade.
    fn report_server(&self) {
        let Some(server) = self.store.server() else { return };
        let mut reported = self.reported_server.lock();
        if reported.as_ref() == Some(&server) {
            return;
        }
        self.server.reset();
        self.server.with_label_values(&[server.name, &server.version]).set(1);
        self.readiness.set_version("store", server.to_string());
        *reported = Some(server);
    }

    fn report_queue(&self, numbers: &QueueStats) {
        let to_gauge_value = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.not_fanned_out.set(to_gauge_value(numbers.fan_out_backlog));
        self.in_quarantine.set(to_gauge_value(numbers.quarantined));
        let (backlog, max) = (numbers.fan_out_backlog, self.max_entries);
        let is_near_limit = backlog >= max.saturating_mul(BACKLOG_WARNING_PERCENT) / 100;
        let warning = is_near_limit.then(|| {
            format!("{backlog} events wait for fan-out; at {max} the admin API rejects creates: start a deliverer")
        });
        self.readiness.warn("events", warning.into_iter().collect());
        let quarantined = (numbers.quarantined > 0)
            .then(|| format!("{} events could not be decoded and are not delivered", numbers.quarantined));
        self.readiness.warn("quarantine", quarantined.into_iter().collect());
    }

    /// Warns about routes that accept no key, because they name no project while the store has several accounts. A
    /// deleted account is one of them.
    async fn probe_tenancy(&self) {
        let routes = self.routes_without_project.names();
        if routes.is_empty() {
            self.readiness.warn("tenancy", Vec::new());
            return;
        }
        let Ok(accounts) = self.store.accounts("", 2).await else { return };
        let warning = (accounts.items.len() > 1).then(|| {
            format!(
                "routes without a project accept no key while the store has several accounts: {}; list their projects",
                routes.join(", ")
            )
        });
        self.readiness.warn("tenancy", warning.into_iter().collect());
    }

    fn report_format(&self, format: Format) {
        let warning = (format < Format::LATEST).then(|| {
            format!(
                "the store is in format {format}, in which URLs and headers of webhooks are not encrypted: run `gatepost \
                 store upgrade` after all processes have been upgraded"
            )
        });
        self.readiness.warn("format", warning.into_iter().collect());
    }

    fn report_fullness(&self, fullness: Option<String>) {
        self.full.set(i64::from(fullness.is_some()));
        self.readiness.warn("fullness", fullness.into_iter().collect());
    }

    fn report_replays(&self, replays: ReplayStats) {
        self.replayed.inc_by(replays.replayed.saturating_sub(self.replayed.get()));
        self.lost.inc_by(replays.conflicts.saturating_sub(self.lost.get()));
        self.given_up.inc_by(replays.given_up.saturating_sub(self.given_up.get()));
    }
}

/// The names of the routes in use that look at keys and name no project. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct RoutesWithoutProject(Arc<Mutex<Vec<String>>>);

impl RoutesWithoutProject {
    pub(crate) fn set(&self, config: &GatewayConfig) {
        *self.0.lock() = routes_without_project(config);
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

/// Returns the names of the routes that look at keys and name no project, up to 10.
fn routes_without_project(config: &GatewayConfig) -> Vec<String> {
    let routes = config.routes.iter().filter(|route| route.auth != Auth::Off && route.requirement.projects.is_empty());
    let mut names: Vec<String> = routes.map(RouteOptions::name).collect();
    names.dedup();
    let more = names.len().saturating_sub(MAX_NAMED_ROUTES);
    names.truncate(MAX_NAMED_ROUTES);
    names.extend((more > 0).then(|| format!("{more} more")));
    names
}

/// Reports periodically whether the gateway's cache may still be used.
pub(crate) async fn probe_cache(verifier: Arc<Verifier>, readiness: Readiness) {
    loop {
        let state = match verifier.liveness() {
            Liveness::Live | Liveness::Stale => DependencyState::Ready,
            Liveness::Expired => DependencyState::not_ready("older than max_stale"),
        };
        readiness.set("cache", state);
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
}

/// Reports periodically whether each upstream has had an address, which names do not resolve now, and which changed
/// certificates are not in use.
pub(crate) async fn probe_gateway(status: GatewayStatus, readiness: Readiness) {
    loop {
        let upstreams = status.upstreams();
        let waiting: Vec<&str> = upstreams.iter().filter(|one| !one.is_resolved).map(|one| one.name.as_str()).collect();
        let state = match waiting.as_slice() {
            [] => DependencyState::Ready,
            names => DependencyState::not_ready(format!("no server has an address yet: {}", names.join(", "))),
        };
        readiness.set("upstreams", state);
        let of_upstreams = upstreams.iter().filter_map(|one| {
            let fault = one.certificate_fault.as_ref()?;
            Some(format!("the changed certificates of upstream {} are not in use: {fault}", one.name))
        });
        readiness.warn("certificates", status.certificate_faults().into_iter().chain(of_upstreams).collect());
        readiness.warn("upstreams", upstreams.into_iter().flat_map(|one| one.errors).collect());
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
}
