//! Configuration as requests see it: each takes one snapshot and keeps it to its end, and a reload swaps in another.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::try_join_all;
use gatepost_domain::time::Clock;
use gatepost_edge::{HeaderEdits, Policy, RouteOptions, Routes};

use crate::header_edits::RequestEdits;
use crate::header_sanitizer::HeaderSanitizer;
use crate::metrics::{Metrics, RouteCounters, UpstreamCounters};
use crate::options::{GatewayLimits, GatewayOptions, UpstreamOptions};
use crate::start_error::StartError;
use crate::tls::{TlsMaterials, UpstreamMaterial};
use crate::trace::TraceOptions;
use crate::upstream::Upstream;

pub(crate) type Route = gatepost_edge::Route<Backend>;

/// Routes, upstreams and limits of one configuration.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) policy: Policy<Backend>,
    pub(crate) sanitizer: HeaderSanitizer,
    pub(crate) limits: GatewayLimits,
    /// None if requests keep the trace headers that they came with.
    pub(crate) trace: Option<TraceOptions>,
    /// By name.
    pub(crate) upstreams: HashMap<String, Arc<Upstream>>,
}

/// A snapshot that can be used without an error.
#[derive(Debug)]
pub(crate) struct NextSnapshot {
    pub(crate) snapshot: Snapshot,
    /// What was read of the files of upstreams that stay.
    read: Vec<(Arc<Upstream>, UpstreamMaterial)>,
}

/// The gateway's part of a route.
#[derive(Debug)]
pub(crate) struct Backend {
    /// None if the route responds by itself.
    pub(crate) upstream: Option<RouteUpstream>,
    /// Limit between two reads of the upstream's response.
    pub(crate) upstream_timeout: Duration,
    /// Segments at the start of the path that the upstream does not get.
    pub(crate) stripped_segments: usize,
    pub(crate) request_edits: RequestEdits,
    pub(crate) response_edits: HeaderEdits,
    pub(crate) counters: RouteCounters,
}

/// Where a route forwards requests to.
#[derive(Debug)]
pub(crate) struct RouteUpstream {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) counters: UpstreamCounters,
}

/// The snapshot that new requests and connections get. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct CurrentSnapshot(Arc<ArcSwap<Snapshot>>);

impl Snapshot {
    /// Starts the upstreams and binds the routes to them. An upstream that has not changed stays, with its servers.
    pub(crate) async fn build(
        options: GatewayOptions,
        materials: &mut TlsMaterials,
        metrics: &Metrics,
        previous: Option<&Snapshot>,
    ) -> Result<NextSnapshot, StartError> {
        let starting = options.upstreams.into_iter().map(|upstream| {
            let material = materials.take_upstream(&upstream.name);
            start_upstream(upstream, material, previous)
        });
        let (mut upstreams, mut read) = (HashMap::new(), Vec::new());
        for (name, upstream, material) in try_join_all(starting).await? {
            read.extend(material.map(|material| (Arc::clone(&upstream), material)));
            upstreams.insert(name, upstream);
        }
        check_upstreams(&options.routes, &upstreams)?;
        // Without an error from here on: the series of a counter exist as soon as it is made.
        let route_upstream = |name: &str| {
            let upstream = Arc::clone(upstreams.get(name)?);
            Some(RouteUpstream { upstream, counters: metrics.upstream_counters(name) })
        };
        let backend = |route: &RouteOptions| {
            Ok::<_, Infallible>(Backend {
                upstream: route_upstream(&route.upstream),
                upstream_timeout: route.upstream_timeout.unwrap_or(options.limits.upstream_timeout),
                stripped_segments: route.stripped_segments,
                request_edits: RequestEdits::new(&route.request_headers),
                response_edits: route.response_headers.clone(),
                counters: metrics.route_counters(&route.name()),
            })
        };
        let Ok(routes) = Routes::new(options.routes, backend);
        let policy = Policy {
            routes,
            trusted_proxies: options.trusted_proxies,
            max_body_bytes: options.limits.max_body_bytes,
            max_requests_per_client: options.limits.max_requests_per_client,
        };
        let snapshot = Self {
            policy,
            sanitizer: HeaderSanitizer::new(options.strip, options.pass_headers),
            limits: options.limits,
            trace: options.trace,
            upstreams,
        };
        Ok(NextSnapshot { snapshot, read })
    }
}

impl NextSnapshot {
    /// Begins its use.
    pub(crate) fn enter_use(self, metrics: &Metrics, clock: &Arc<dyn Clock>) -> Snapshot {
        for (upstream, material) in self.read {
            upstream.take_over(material);
        }
        for upstream in self.snapshot.upstreams.values() {
            upstream.enter_use(&metrics.upstreams, clock);
        }
        self.snapshot
    }
}

/// Reports a route without its upstream.
fn check_upstreams(routes: &[RouteOptions], upstreams: &HashMap<String, Arc<Upstream>>) -> Result<(), StartError> {
    let lost = routes.iter().find(|route| route.respond.is_none() && !upstreams.contains_key(&route.upstream));
    lost.map_or(Ok(()), |route| Err(StartError::UnknownUpstream(route.upstream.clone())))
}

/// Returns an upstream by its name. One that stays does not have yet what was read of its files.
async fn start_upstream(
    options: UpstreamOptions,
    material: Option<UpstreamMaterial>,
    previous: Option<&Snapshot>,
) -> Result<(String, Arc<Upstream>, Option<UpstreamMaterial>), StartError> {
    let name = options.name.clone();
    let stays = previous.and_then(|previous| previous.upstreams.get(&name)).filter(|before| before.has(&options));
    match stays {
        Some(upstream) => Ok((name, Arc::clone(upstream), material)),
        None => Ok((name, Arc::new(Upstream::start(options, material).await?), None)),
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
