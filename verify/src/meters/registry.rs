//! The meters of all keys that this process has lately seen, one for each key.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::permit::KeyFacts;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::gauge::Gauges;

/// Meters below which nobody looks for those that are used no more.
const MIN_KEPT: usize = 1024;
/// Words of marks for meters that were used: 64 marks each. Meters beyond share marks.
const MARK_WORDS: usize = 1 << 15;

/// The meter of one key.
#[derive(Debug)]
pub struct Meter {
    key: KeyId,
    project: ProjectId,
    /// Its place in the registry, which names its mark.
    place: usize,
    /// Uses since they were last taken away to be added to the store's.
    used: AtomicU64,
    /// Most keys have no limits, and then none of this.
    limits: OnceLock<Box<Limits>>,
}

/// What only a key with limits needs.
#[derive(Debug, Default)]
struct Limits {
    gauges: Mutex<Gauges>,
    refilled: Notify,
}

/// Uses of a key that the store does not know of.
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

    pub(super) fn lock(&self) -> MutexGuard<'_, Gauges> {
        self.limits().gauges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rung when the store has answered.
    pub(super) fn refilled(&self) -> Notified<'_> {
        self.limits().refilled.notified()
    }

    pub(super) fn ring(&self) {
        self.limits().refilled.notify_waiters();
    }

    fn limits(&self) -> &Limits {
        self.limits.get_or_init(Box::default)
    }
}

/// Meters by key. Nobody is asked while a cached key passes: it brings its meter with it.
#[derive(Debug)]
pub(super) struct MeterRegistry {
    kept: Mutex<Kept>,
    /// A bit for each place whose meter was used since it was last looked at.
    marks: Box<[AtomicU64]>,
}

#[derive(Debug, Default)]
struct Kept {
    places: HashMap<KeyId, usize>,
    meters: Vec<Option<Arc<Meter>>>,
    free: Vec<usize>,
    /// With so many meters, those that nobody uses are forgotten.
    forget_at: usize,
}

impl Default for MeterRegistry {
    fn default() -> Self {
        Self { kept: Mutex::default(), marks: (0..MARK_WORDS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl MeterRegistry {
    pub(super) fn of(&self, facts: &KeyFacts) -> Arc<Meter> {
        let mut kept = self.lock();
        if let Some(meter) = kept.places.get(&facts.key).and_then(|place| kept.meters[*place].as_ref()) {
            return Arc::clone(meter);
        }
        if kept.places.len() >= kept.forget_at.max(MIN_KEPT) {
            kept.forget();
        }
        kept.make(facts)
    }

    /// Counts a use: two atomic operations at most, no lock.
    pub(super) fn count(&self, meter: &Meter) {
        if meter.used.fetch_add(1, Ordering::Relaxed) == 0 {
            self.mark(meter.place);
        }
    }

    /// Puts uses back that could not be added to the store's.
    pub(super) fn put_back(&self, uses: &Uses) {
        uses.meter.used.fetch_add(uses.count, Ordering::Relaxed);
        self.mark(uses.meter.place);
    }

    /// Takes away all uses since the last time.
    pub(super) fn take(&self) -> Vec<Uses> {
        let mut marked = Vec::new();
        for (word, bits) in self.marks.iter().enumerate() {
            if bits.load(Ordering::Relaxed) == 0 {
                continue;
            }
            // Before the uses: one that comes between is taken now, one that comes later marks anew.
            let bits = bits.swap(0, Ordering::AcqRel);
            marked.extend((0..64).filter(|bit| bits >> bit & 1 == 1).map(|bit| word * 64 + bit));
        }
        let kept = self.lock();
        let meters = marked.into_iter().flat_map(|mark| kept.meters.iter().skip(mark).step_by(MARK_WORDS * 64));
        let uses = meters.flatten().map(|meter| {
            let count = meter.used.swap(0, Ordering::AcqRel);
            Uses { meter: Arc::clone(meter), count }
        });
        uses.filter(|uses| uses.count > 0).collect()
    }

    fn mark(&self, place: usize) {
        let mark = place % (MARK_WORDS * 64);
        self.marks[mark / 64].fetch_or(1 << (mark % 64), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn make(&mut self, facts: &KeyFacts) -> Arc<Meter> {
        let place = self.free.pop().unwrap_or_else(|| {
            self.meters.push(None);
            self.meters.len() - 1
        });
        let meter = Arc::new(Meter {
            key: facts.key.clone(),
            project: facts.project.clone(),
            place,
            used: AtomicU64::new(0),
            limits: OnceLock::new(),
        });
        self.meters[place] = Some(Arc::clone(&meter));
        self.places.insert(facts.key.clone(), place);
        meter
    }

    /// One that is held by a cached key, a request or the list of those that hold something has more owners.
    fn forget(&mut self) {
        for (place, slot) in self.meters.iter_mut().enumerate() {
            let is_idle =
                |meter: &mut Arc<Meter>| Arc::strong_count(meter) == 1 && meter.used.load(Ordering::Acquire) == 0;
            if let Some(meter) = slot.take_if(is_idle) {
                self.places.remove(&meter.key);
                self.free.push(place);
            }
        }
        self.forget_at = self.places.len() * 2;
    }
}
