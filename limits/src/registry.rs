//! Registry of the meters of all keys used recently in this process, one per key.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::key_facts::KeyFacts;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::limit_state::LimitStates;

/// Number of meters below which idle ones are not evicted.
const MIN_METERS_TO_EVICT: usize = 1024;
/// Number of words of dirty bits, 64 bits each. With more meters than bits, meters share bits.
const DIRTY_WORDS: usize = 1 << 15;

/// Meter of one key: its usage counter and the state of its limits.
#[derive(Debug)]
pub struct Meter {
    key: KeyId,
    project: ProjectId,
    /// Index in the registry, which selects the dirty bit.
    index: usize,
    /// Uses since the last flush to the store.
    used: AtomicU64,
    /// Limits of the key. Most keys have none and allocate nothing here.
    limits: OnceLock<Box<SharedLimitStates>>,
}

/// Limits of a key, and the notification of requests that wait for a lease.
#[derive(Debug, Default)]
struct SharedLimitStates {
    states: Mutex<LimitStates>,
    refilled: Notify,
}

/// Uses of a key that are not in the store yet.
#[derive(Debug)]
pub(super) struct Uses {
    pub(super) meter: Arc<Meter>,
    pub(super) count: u64,
}

impl Meter {
    pub(super) fn key(&self) -> &KeyId {
        &self.key
    }

    pub(super) fn project(&self) -> &ProjectId {
        &self.project
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, LimitStates> {
        self.limits().states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a future that completes when a lease request has ended.
    pub(super) fn refilled(&self) -> Notified<'_> {
        self.limits().refilled.notified()
    }

    pub(super) fn notify_refilled(&self) {
        self.limits().refilled.notify_waiters();
    }

    fn limits(&self) -> &SharedLimitStates {
        self.limits.get_or_init(Box::default)
    }
}

/// Meters by key. A request with a cached key does not access the registry: the cached key refers to its meter.
#[derive(Debug)]
pub(super) struct MeterRegistry {
    table: Mutex<MeterTable>,
    /// One bit per index: whether the meter was used since the last flush.
    dirty_bits: Box<[AtomicU64]>,
}

#[derive(Debug, Default)]
struct MeterTable {
    indices: HashMap<KeyId, usize>,
    meters: Vec<Option<Arc<Meter>>>,
    free_indices: Vec<usize>,
    /// Number of meters at which idle ones are evicted.
    evict_at: usize,
}

impl Default for MeterRegistry {
    fn default() -> Self {
        Self { table: Mutex::default(), dirty_bits: (0..DIRTY_WORDS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl MeterRegistry {
    pub(super) fn meter_for(&self, facts: &KeyFacts) -> Arc<Meter> {
        let mut table = self.lock();
        if let Some(meter) = table.indices.get(&facts.key).and_then(|index| table.meters[*index].as_ref()) {
            return Arc::clone(meter);
        }
        if table.indices.len() >= table.evict_at.max(MIN_METERS_TO_EVICT) {
            table.evict_idle();
        }
        table.insert(facts)
    }

    /// Counts a use. Costs at most two atomic operations and takes no lock.
    pub(super) fn record_use(&self, meter: &Meter) {
        if meter.used.fetch_add(1, Ordering::Relaxed) == 0 {
            self.mark_dirty(meter.index);
        }
    }

    /// Restores uses that could not be flushed to the store.
    pub(super) fn restore(&self, uses: &Uses) {
        uses.meter.used.fetch_add(uses.count, Ordering::Relaxed);
        self.mark_dirty(uses.meter.index);
    }

    /// Takes all uses since the last call.
    pub(super) fn drain(&self) -> Vec<Uses> {
        let mut dirty = Vec::new();
        for (word, bits) in self.dirty_bits.iter().enumerate() {
            if bits.load(Ordering::Relaxed) == 0 {
                continue;
            }
            // Bits before counters: a use in between is taken now, a later one sets its bit again.
            let bits = bits.swap(0, Ordering::AcqRel);
            dirty.extend((0..64).filter(|bit| bits >> bit & 1 == 1).map(|bit| word * 64 + bit));
        }
        let table = self.lock();
        let meters = dirty.into_iter().flat_map(|bit| table.meters.iter().skip(bit).step_by(DIRTY_WORDS * 64));
        let uses = meters.flatten().map(|meter| {
            let count = meter.used.swap(0, Ordering::AcqRel);
            Uses { meter: Arc::clone(meter), count }
        });
        uses.filter(|uses| uses.count > 0).collect()
    }

    fn mark_dirty(&self, index: usize) {
        let bit = index % (DIRTY_WORDS * 64);
        self.dirty_bits[bit / 64].fetch_or(1 << (bit % 64), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, MeterTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MeterTable {
    fn insert(&mut self, facts: &KeyFacts) -> Arc<Meter> {
        let index = self.free_indices.pop().unwrap_or_else(|| {
            self.meters.push(None);
            self.meters.len() - 1
        });
        let meter = Arc::new(Meter {
            key: facts.key.clone(),
            project: facts.project.clone(),
            index,
            used: AtomicU64::new(0),
            limits: OnceLock::new(),
        });
        self.meters[index] = Some(Arc::clone(&meter));
        self.indices.insert(facts.key.clone(), index);
        meter
    }

    /// Evicts unused meters. A meter that is in use by a cached key, a request or the list of leases has other
    /// owners.
    fn evict_idle(&mut self) {
        for (index, slot) in self.meters.iter_mut().enumerate() {
            let is_idle =
                |meter: &mut Arc<Meter>| Arc::strong_count(meter) == 1 && meter.used.load(Ordering::Acquire) == 0;
            if let Some(meter) = slot.take_if(is_idle) {
                self.indices.remove(&meter.key);
                self.free_indices.push(index);
            }
        }
        self.evict_at = self.indices.len() * 2;
    }
}
