//! The names of an upstream's servers, with the servers that they stand for now.

use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};
use futures::future::join_all;
use gatepost_runtime::error_chain;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::server::Server;
use super::server_name::ServerName;
use crate::metrics::UpstreamMetrics;
use crate::options::UpstreamOptions;
use crate::resolve_error::ResolveError;
use crate::tls::UpstreamTls;

#[derive(Debug)]
pub(super) struct Names {
    upstream: String,
    names: Vec<ServerName>,
    /// Servers of all names, none before the first name was resolved.
    servers: ArcSwap<Vec<Arc<Server>>>,
    /// Why names could not be resolved the last time.
    errors: Mutex<Vec<String>>,
    /// Has the names resolved before it is time.
    early: Arc<Notify>,
    /// None until requests use it.
    metrics: OnceLock<UpstreamMetrics>,
}

impl Names {
    /// Returns the names of an upstream, not resolved yet.
    pub(super) fn new(options: &UpstreamOptions, tls: Option<&Arc<UpstreamTls>>) -> Result<Self, ResolveError> {
        Ok(Self {
            upstream: options.name.clone(),
            names: ServerName::parse_all(options, tls)?,
            servers: ArcSwap::default(),
            errors: Mutex::default(),
            early: Arc::default(),
            metrics: OnceLock::new(),
        })
    }

    /// Records metrics from now on, those of the last resolving first. Does nothing the second time.
    pub(super) fn enter_use(&self, metrics: UpstreamMetrics) {
        if self.metrics.set(metrics).is_ok() {
            self.record(self.servers.load().len(), self.errors.lock().len());
        }
    }

    fn record(&self, servers: usize, errors: usize) {
        if let Some(metrics) = self.metrics.get() {
            metrics.servers.set(i64::try_from(servers).unwrap_or(i64::MAX));
            metrics.resolve_errors.inc_by(errors as u64);
        }
    }

    pub(super) fn servers(&self) -> Guard<Arc<Vec<Arc<Server>>>> {
        self.servers.load()
    }

    pub(super) fn errors(&self) -> Vec<String> {
        self.errors.lock().clone()
    }

    pub(super) fn are_addresses(&self) -> bool {
        self.names.iter().all(ServerName::is_address)
    }

    /// Has the names resolved soon.
    pub(super) fn hurry(&self) {
        self.early.notify_one();
    }

    /// Returns what is notified when the names are to be resolved soon, or are not needed any more.
    pub(super) fn early(&self) -> Arc<Notify> {
        Arc::clone(&self.early)
    }

    /// Resolves all names once. Of a name that does not resolve, the last addresses stay.
    pub(super) async fn resolve(&self) {
        let resolved = join_all(self.names.iter().map(|name| name.resolve(&self.upstream))).await;
        let servers: Vec<_> = self.names.iter().flat_map(ServerName::servers).collect();
        let (now, before) = (address_list(&servers), address_list(&self.servers.load()));
        if now != before {
            tracing::info!(upstream = self.upstream, servers = now, "the servers of an upstream were resolved");
        }
        let errors: Vec<String> =
            resolved.into_iter().filter_map(Result::err).map(|error| error_chain(&error)).collect();
        self.record(servers.len(), errors.len());
        self.servers.store(Arc::new(servers));
        self.report(errors);
    }

    /// Logs the errors that are new.
    fn report(&self, errors: Vec<String>) {
        let mut before = self.errors.lock();
        for error in errors.iter().filter(|error| !before.contains(error)) {
            tracing::warn!(
                error,
                "the name of a server does not resolve: it is tried again within a second, and keeps the addresses that it had, if any"
            );
        }
        if errors.is_empty() && !before.is_empty() {
            tracing::info!(upstream = self.upstream, "the names of all servers resolve again");
        }
        *before = errors;
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.early.notify_one();
    }
}

fn address_list(servers: &[Arc<Server>]) -> String {
    servers.iter().map(|server| server.address_text.as_str()).collect::<Vec<_>>().join(", ")
}
