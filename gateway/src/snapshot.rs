//! Configuration as requests see it: each takes one snapshot and keeps it to its end, and a reload swaps in another.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use gatepost_edge::{Policy, Routes};

use crate::header_sanitizer::HeaderSanitizer;
use crate::metrics::{Metrics, RouteCounters};
use crate::options::{GatewayLimits, GatewayOptions};
use crate::start_error::StartError;
use crate::upstream::Upstream;

pub(crate) type Route = gatepost_edge::Route<Backend>;

/// Routes, upstreams and limits of one configuration.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) policy: Policy<Backend>,
    pub(crate) sanitizer: HeaderSanitizer,
    pub(crate) limits: GatewayLimits,
}

/// The gateway's part of a route.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) counters: RouteCounters,
}

/// The snapshot that new requests and connections get. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct CurrentSnapshot(Arc<ArcSwap<Snapshot>>);

impl Snapshot {
    /// Resolves the upstreams and binds the routes to them. Servers start without ejections.
    pub(crate) async fn build(options: GatewayOptions, metrics: &Metrics) -> Result<Self, StartError> {
        let mut upstreams = HashMap::with_capacity(options.upstreams.len());
        for upstream in &options.upstreams {
            upstreams.insert(upstream.name.as_str(), Arc::new(Upstream::resolve(upstream).await?));
        }
        let backend = |route: &str, upstream: &str| match upstreams.get(upstream) {
            Some(found) => Ok(Backend { upstream: Arc::clone(found), counters: metrics.route_counters(route) }),
            None => Err(StartError::UnknownUpstream(upstream.to_owned())),
        };
        let policy = Policy {
            routes: Routes::new(options.routes, backend)?,
            trusted_proxies: options.trusted_proxies,
            max_body_bytes: options.limits.max_body_bytes,
            max_requests_per_client: options.limits.max_requests_per_client,
        };
        Ok(Self {
            policy,
            sanitizer: HeaderSanitizer::new(options.strip, options.pass_headers),
            limits: options.limits,
        })
    }
}

impl CurrentSnapshot {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(snapshot)))
    }

    /// Returns the snapshot of now, without a lock.
    pub(crate) fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Swaps in another snapshot. Requests that have begun keep theirs.
    pub(crate) fn replace(&self, snapshot: Snapshot) {
        self.0.store(Arc::new(snapshot));
    }
}
