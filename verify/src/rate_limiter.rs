//! Meters: the rate limits and quotas of keys, on slices that are leased from the store, and the count of their uses.
//!
//! A request takes from the slice that this process holds, under a lock that is never held across an await. Only who
//! finds it empty asks the store, one request for all that wait; what lies unused is given back.

mod limit_state;
mod registry;
mod sweep;
mod usage;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_domain::permit::{Denial, KeyFacts};
use gatepost_domain::time::{Clock, Uptime};
use gatepost_domain::token_lease::LimitStatus;
use gatepost_domain::window::LeaseGrant;
use gatepost_runtime::{Task, spawn};
use gatepost_store::Store;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::time::Instant;

pub use registry::Meter;

use limit_state::{LeaseRequest, NamedUnusedLease, Now, WhenEmpty};
use registry::MeterRegistry;

/// How long a request waits for a slice, with all that were before it.
const MAX_LEASE_WAIT: Duration = Duration::from_secs(1);

/// What happens to keys with a limit while the store does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutagePolicy {
    /// Requests pass.
    Open,
    /// They are answered 503.
    Closed,
    /// Each process applies the limit alone.
    Local,
}

/// Whether the limits of a key let a request pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitDecision {
    /// They do, and it was counted; with what the client is told, if the key has a limit.
    Allowed(Option<LimitStatus>),
    /// A limit is used up.
    Exceeded(Denial, LimitStatus),
    /// It cannot be told now.
    Unavailable,
}

/// The meters of one process. Clones share them.
#[derive(Clone)]
pub struct RateLimiter(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    outage_policy: OutagePolicy,
    registry: MeterRegistry,
    /// Those that may hold something to give back.
    meters_with_leases: Mutex<Vec<Arc<Meter>>>,
    leases: IntCounterVec,
}

impl std::fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meters")
    }
}

impl RateLimiter {
    /// Begins to keep meters. What lies unused is given back until the last clone is dropped.
    pub fn start(
        store: Store,
        clock: Arc<dyn Clock>,
        outage_policy: OutagePolicy,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let leases = IntCounterVec::new(
            Opts::new("gatepost_allowance_leases_total", "Slices of limits that were asked for, by how that ended."),
            &["outcome"],
        )?;
        for outcome in ["granted", "used-up", "failed"] {
            leases.with_label_values(&[outcome]);
        }
        registry.register(Box::new(leases.clone()))?;
        let inner = Inner {
            store,
            clock,
            outage_policy,
            registry: MeterRegistry::default(),
            meters_with_leases: Mutex::default(),
            leases,
        };
        let rate_limiter = Self(Arc::new(inner));
        sweep::start(&rate_limiter);
        usage::start(&rate_limiter);
        Ok(rate_limiter)
    }

    /// The meter of a key, the same for all its values.
    pub fn meter_for(&self, facts: &KeyFacts) -> Arc<Meter> {
        self.0.registry.meter_for(facts)
    }

    /// Takes one request out of the limits of a key, if that can be told without the store. A key without limits
    /// costs two comparisons.
    pub(crate) fn try_allow(&self, meter: &Arc<Meter>, facts: &KeyFacts) -> Option<LimitDecision> {
        if facts.rate_limit.is_none() && facts.quota.is_none() {
            return Some(LimitDecision::Allowed(None));
        }
        self.check(meter, facts, WhenEmpty::GiveUp)
    }

    /// Takes one request out of the limits of a key.
    pub async fn allow(&self, meter: &Arc<Meter>, facts: &KeyFacts) -> LimitDecision {
        if facts.rate_limit.is_none() && facts.quota.is_none() {
            return LimitDecision::Allowed(None);
        }
        let deadline = Instant::now() + MAX_LEASE_WAIT;
        loop {
            let mut refilled = std::pin::pin!(meter.refilled());
            // Before the judgement, so that an answer that comes right after it is not missed.
            refilled.as_mut().enable();
            if let Some(decision) = self.check(meter, facts, WhenEmpty::RequestLease) {
                return decision;
            }
            if tokio::time::timeout_at(deadline, refilled).await.is_err() {
                return LimitDecision::Unavailable;
            }
        }
    }

    /// Counts a request that has passed. It takes no lock and allocates nothing.
    pub fn record_use(&self, meter: &Meter) {
        self.0.registry.record_use(meter);
    }

    /// Adds to the store all that was counted, and gives back all that is held. Call it after the last request.
    pub async fn stop(&self) {
        usage::flush(&self.0).await;
        sweep::return_all(self).await;
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

    /// Asks the store as a task of its own: a client that goes away takes nobody else's slice with it.
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

    /// Gives back what was leased under a number that was changed since.
    fn return_unused(&self, unused: [Option<NamedUnusedLease>; 2]) {
        let unused: Vec<NamedUnusedLease> = unused.into_iter().flatten().collect();
        if !unused.is_empty() {
            let inner = Arc::clone(&self.0);
            spawn(Task::LimitReturn, async move { sweep::return_leases(&inner, unused).await });
        }
    }

    fn lock_meters_with_leases(&self) -> MutexGuard<'_, Vec<Arc<Meter>>> {
        self.0.meters_with_leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question to the store. However it ends, by a panic too, those who wait for the answer are told.
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
                tracing::debug!(%error, "a slice could not be leased");
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
        if listing == limit_state::Listing::Added {
            rate_limiter.lock_meters_with_leases().push(Arc::clone(meter));
        }
    }
}
