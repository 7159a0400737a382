//! Meters: the rate limits and quotas of keys, on slices that are leased from the store, and the count of their uses.
//!
//! A request takes from the slice that this process holds, under a lock that is never held across an await. Only who
//! finds it empty asks the store, one request for all that wait; what lies unused is given back.

mod gauge;
mod registry;
mod sweep;
mod usage;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_domain::permit::{Denial, KeyFacts};
use gatepost_domain::slice::Reading;
use gatepost_domain::time::{Clock, Uptime};
use gatepost_domain::window::Allowance;
use gatepost_runtime::{Task, spawn};
use gatepost_store::Store;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::time::Instant;

pub use registry::Meter;

use gauge::{Asking, Moment, Order, Return};
use registry::MeterRegistry;

/// How long a request waits for a slice, with all that were before it.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// What happens to keys with a limit while the store does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenStoreIsDown {
    /// Requests pass.
    Open,
    /// They are answered 503.
    Closed,
    /// Each process applies the limit alone.
    Local,
}

/// Whether the limits of a key let a request pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metered {
    /// They do, and it was counted; with what the client is told, if the key has a limit.
    Passed(Option<Reading>),
    /// A limit is used up.
    Refused(Denial, Reading),
    /// It cannot be told now.
    Unavailable,
}

/// The meters of one process. Clones share them.
#[derive(Clone)]
pub struct Meters(Arc<Shared>);

struct Shared {
    store: Store,
    clock: Arc<dyn Clock>,
    when_store_is_down: WhenStoreIsDown,
    registry: MeterRegistry,
    /// Those that may hold something to give back.
    holding: Mutex<Vec<Arc<Meter>>>,
    leases: IntCounterVec,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meters")
    }
}

impl Meters {
    /// Begins to keep meters. What lies unused is given back until the last clone is dropped.
    pub fn start(
        store: Store,
        clock: Arc<dyn Clock>,
        when_store_is_down: WhenStoreIsDown,
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
        let shared = Shared {
            store,
            clock,
            when_store_is_down,
            registry: MeterRegistry::default(),
            holding: Mutex::default(),
            leases,
        };
        let meters = Self(Arc::new(shared));
        sweep::start(&meters);
        usage::start(&meters);
        Ok(meters)
    }

    /// The meter of a key, the same for all its values.
    pub fn of(&self, facts: &KeyFacts) -> Arc<Meter> {
        self.0.registry.of(facts)
    }

    /// Takes one request out of the limits of a key, if that can be told without the store. A key without limits
    /// costs two comparisons.
    pub(crate) fn try_allow(&self, meter: &Arc<Meter>, facts: &KeyFacts) -> Option<Metered> {
        if facts.rate_limit.is_none() && facts.quota.is_none() {
            return Some(Metered::Passed(None));
        }
        self.judge(meter, facts, Asking::Leave)
    }

    /// Takes one request out of the limits of a key.
    pub async fn allow(&self, meter: &Arc<Meter>, facts: &KeyFacts) -> Metered {
        if facts.rate_limit.is_none() && facts.quota.is_none() {
            return Metered::Passed(None);
        }
        let deadline = Instant::now() + MAX_WAIT;
        loop {
            let mut refilled = std::pin::pin!(meter.refilled());
            // Before the judgement, so that an answer that comes right after it is not missed.
            refilled.as_mut().enable();
            if let Some(metered) = self.judge(meter, facts, Asking::Begin) {
                return metered;
            }
            if tokio::time::timeout_at(deadline, refilled).await.is_err() {
                return Metered::Unavailable;
            }
        }
    }

    /// Counts a request that has passed. It takes no lock and allocates nothing.
    pub fn count(&self, meter: &Meter) {
        self.0.registry.count(meter);
    }

    /// Adds to the store all that was counted, and gives back all that is held. Call it after the last request.
    pub async fn stop(&self) {
        usage::add(&self.0).await;
        sweep::give_all_back(self).await;
    }

    fn judge(&self, meter: &Arc<Meter>, facts: &KeyFacts, asking: Asking) -> Option<Metered> {
        let moment = Moment { uptime: self.0.clock.uptime(), wall: self.0.clock.now() };
        let mut gauges = meter.lock();
        let returns = gauges.set_up(facts, moment.uptime);
        let metered = gauges.take(&moment, self.0.when_store_is_down);
        let orders = match (asking, &metered) {
            (Asking::Leave, None) => [None, None],
            (Asking::Begin | Asking::Leave, _) => gauges.orders(&moment, metered.as_ref()),
        };
        drop(gauges);
        self.give_back(returns);
        for order in orders.into_iter().flatten() {
            self.ask(Arc::clone(meter), order);
        }
        metered
    }

    /// Asks the store as a task of its own: a client that goes away takes nobody else's slice with it.
    fn ask(&self, meter: Arc<Meter>, order: Order) {
        let asked = Asked { meters: self.clone(), meter, order, sent: self.0.clock.uptime(), answer: None };
        spawn(Task::LimitLease, asked.run());
    }

    /// Gives back what was leased under a number that was changed since.
    fn give_back(&self, returns: [Option<Return>; 2]) {
        let returns: Vec<Return> = returns.into_iter().flatten().collect();
        if !returns.is_empty() {
            let shared = Arc::clone(&self.0);
            spawn(Task::LimitReturn, async move { sweep::give_back(&shared, returns).await });
        }
    }

    fn holding(&self) -> MutexGuard<'_, Vec<Arc<Meter>>> {
        self.0.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question to the store. However it ends, by a panic too, those who wait for the answer are told.
struct Asked {
    meters: Meters,
    meter: Arc<Meter>,
    order: Order,
    sent: Uptime,
    answer: Option<Allowance>,
}

impl Asked {
    async fn run(mut self) {
        let Shared { store, clock, leases, .. } = self.meters.0.as_ref();
        let name = self.order.measure.meter(self.meter.key());
        let answer = store.lease_allowance(&name, self.order.measure.limit(clock.now()), self.order.want).await;
        let outcome = match &answer {
            Ok(allowance) if allowance.granted > 0 => "granted",
            Ok(_) => "used-up",
            Err(error) => {
                tracing::debug!(%error, "a slice could not be leased");
                "failed"
            }
        };
        leases.with_label_values(&[outcome]).inc();
        self.answer = answer.ok();
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Self { meters, meter, order, sent, answer } = self;
        let times = (*sent, meters.0.clock.uptime());
        let (listed, unused) = meter.lock().answered(meter.key(), order, answer.as_ref(), times);
        meters.give_back([unused, None]);
        meter.ring();
        if listed == gauge::Listed::Now {
            meters.holding().push(Arc::clone(meter));
        }
    }
}
