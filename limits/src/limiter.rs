//! Taking tokens for a request, and leasing more of them from the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_domain::key_facts::KeyFacts;
use gatepost_domain::time::{Clock, Uptime};
use gatepost_domain::window::LeaseGrant;
use gatepost_runtime::{Task, error_chain, registered, spawn};
use gatepost_store::CellStore;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::time::Instant;

use crate::decision::{LimitDecision, OutagePolicy};
use crate::limit_state::{LeaseRequest, Listing, NamedUnusedLease, Now, WhenEmpty};
use crate::registry::{Meter, MeterRegistry};
use crate::returns::return_leases;

/// Maximum time that a request waits for a lease, including those requested before it arrived.
const MAX_LEASE_WAIT: Duration = Duration::from_secs(1);

/// Rate limiter and usage counters of one process. Clones share their state.
#[derive(Clone)]
pub struct RateLimiter(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: CellStore,
    pub(crate) clock: Arc<dyn Clock>,
    outage_policy: OutagePolicy,
    pub(crate) registry: MeterRegistry,
    /// Meters that may have tokens to return.
    pub(crate) meters_with_leases: Mutex<Vec<Arc<Meter>>>,
    leases: IntCounterVec,
}

impl std::fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RateLimiter")
    }
}

impl RateLimiter {
    /// Creates a rate limiter whose background tasks have yet to be started.
    pub(super) fn new(
        store: CellStore,
        clock: Arc<dyn Clock>,
        outage_policy: OutagePolicy,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let leases = Opts::new("gatepost_allowance_leases_total", "Token leases requested from the store, by outcome.");
        let leases = registered(registry, IntCounterVec::new(leases, &["outcome"]))?;
        for outcome in ["granted", "used-up", "failed"] {
            leases.with_label_values(&[outcome]);
        }
        let inner = Inner {
            store,
            clock,
            outage_policy,
            registry: MeterRegistry::default(),
            meters_with_leases: Mutex::default(),
            leases,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Returns the meter of a key. All its values share one.
    pub fn meter_for(&self, facts: &KeyFacts) -> Arc<Meter> {
        self.0.registry.meter_for(facts)
    }

    /// Takes a token from each limit of a key if that is possible without the store. A key without limits costs
    /// two comparisons.
    pub fn try_allow(&self, meter: &Arc<Meter>, facts: &KeyFacts) -> Option<LimitDecision> {
        if facts.rate_limit.is_none() && facts.quota.is_none() {
            return Some(LimitDecision::Allowed(None));
        }
        self.check(meter, facts, WhenEmpty::GiveUp)
    }

    /// Takes a token from each limit of a key. Waits up to 1 s for a lease from the store, then returns
    /// [`LimitDecision::Unavailable`].
    pub async fn allow(&self, meter: &Arc<Meter>, facts: &KeyFacts) -> LimitDecision {
        if facts.rate_limit.is_none() && facts.quota.is_none() {
            return LimitDecision::Allowed(None);
        }
        let deadline = Instant::now() + MAX_LEASE_WAIT;
        loop {
            let mut refilled = std::pin::pin!(meter.refilled());
            // Registered before the check, so that a lease that arrives right after it is not missed.
            refilled.as_mut().enable();
            if let Some(decision) = self.check(meter, facts, WhenEmpty::RequestLease) {
                return decision;
            }
            if tokio::time::timeout_at(deadline, refilled).await.is_err() {
                return LimitDecision::Unavailable;
            }
        }
    }

    /// Counts a use of a key. Takes no lock and allocates nothing.
    pub fn record_use(&self, meter: &Meter) {
        self.0.registry.record_use(meter);
    }

    fn check(&self, meter: &Arc<Meter>, facts: &KeyFacts, when_empty: WhenEmpty) -> Option<LimitDecision> {
        let now = Now { uptime: self.0.clock.uptime(), timestamp: self.0.clock.now() };
        let mut states = meter.lock();
        let unused = states.configure(facts, now.uptime);
        let decision = states.take(&now, self.0.outage_policy);
        let lease_requests = match (when_empty, &decision) {
            (WhenEmpty::GiveUp, None) => [None, None],
            (WhenEmpty::RequestLease | WhenEmpty::GiveUp, _) => states.lease_requests(&now, decision.as_ref()),
        };
        drop(states);
        self.return_unused(unused);
        for lease_request in lease_requests.into_iter().flatten() {
            self.request_lease(Arc::clone(meter), lease_request);
        }
        decision
    }

    /// Requests a lease in a task of its own, so that a client that disconnects does not cancel the request
    /// that others wait for.
    fn request_lease(&self, meter: Arc<Meter>, lease_request: LeaseRequest) {
        let pending_lease = PendingLease {
            rate_limiter: self.clone(),
            meter,
            lease_request,
            sent: self.0.clock.uptime(),
            allowance: None,
        };
        spawn(Task::LimitLease, pending_lease.run());
    }

    /// Returns tokens that were leased under a limit that has changed since.
    fn return_unused(&self, unused: [Option<NamedUnusedLease>; 2]) {
        let unused: Vec<NamedUnusedLease> = unused.into_iter().flatten().collect();
        if !unused.is_empty() {
            let inner = Arc::clone(&self.0);
            spawn(Task::LimitReturn, async move { return_leases(&inner.store, unused).await });
        }
    }

    pub(crate) fn lock_meters_with_leases(&self) -> MutexGuard<'_, Vec<Arc<Meter>>> {
        self.0.meters_with_leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lease request to the store. Waiting requests are notified however it ends, even by a panic.
struct PendingLease {
    rate_limiter: RateLimiter,
    meter: Arc<Meter>,
    lease_request: LeaseRequest,
    sent: Uptime,
    allowance: Option<LeaseGrant>,
}

impl PendingLease {
    async fn run(mut self) {
        let Inner { store, clock, leases, .. } = self.rate_limiter.0.as_ref();
        let name = self.lease_request.kind.meter_name(self.meter.key());
        let result =
            store.lease_allowance(&name, self.lease_request.kind.limit(clock.now()), self.lease_request.tokens).await;
        let outcome = match &result {
            Ok(allowance) if allowance.granted > 0 => "granted",
            Ok(_) => "used-up",
            Err(error) => {
                tracing::debug!(error = %error_chain(error), "leasing tokens failed, retrying in 1 s");
                "failed"
            }
        };
        leases.with_label_values(&[outcome]).inc();
        self.allowance = result.ok();
    }
}

impl Drop for PendingLease {
    fn drop(&mut self) {
        let Self { rate_limiter, meter, lease_request, sent, allowance } = self;
        let times = (*sent, rate_limiter.0.clock.uptime());
        let (listing, unused) = meter.lock().complete_lease(meter.key(), lease_request, allowance.as_ref(), times);
        rate_limiter.return_unused([unused, None]);
        meter.notify_refilled();
        if listing == Listing::Added {
            rate_limiter.lock_meters_with_leases().push(Arc::clone(meter));
        }
    }
}
