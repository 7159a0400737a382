//! The meters of all keys that this process has lately seen, one for each key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_domain::id::KeyId;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::gauge::Gauges;

/// Meters below which nobody looks for those that are used no more.
const MIN_KEPT: usize = 1024;

/// The meter of one key.
#[derive(Debug)]
pub struct Meter {
    key: KeyId,
    gauges: Mutex<Gauges>,
    refilled: Notify,
}

impl Meter {
    fn new(key: KeyId) -> Self {
        Self { key, gauges: Mutex::default(), refilled: Notify::new() }
    }

    pub(super) fn key(&self) -> &KeyId {
        &self.key
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Gauges> {
        self.gauges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rung when the store has answered.
    pub(super) fn refilled(&self) -> Notified<'_> {
        self.refilled.notified()
    }

    pub(super) fn ring(&self) {
        self.refilled.notify_waiters();
    }
}

/// Meters by key. Nobody is asked while a cached key passes: it brings its meter with it.
#[derive(Debug, Default)]
pub(super) struct MeterRegistry(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    meters: HashMap<KeyId, Arc<Meter>>,
    /// With so many meters, those that nobody uses are forgotten.
    forget_at: usize,
}

impl MeterRegistry {
    pub(super) fn of(&self, key: &KeyId) -> Arc<Meter> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = kept.meters.get(key) {
            return Arc::clone(meter);
        }
        if kept.meters.len() >= kept.forget_at.max(MIN_KEPT) {
            // One that is held by a cached key, a request or the list of those that hold something has more owners.
            kept.meters.retain(|_, meter| Arc::strong_count(meter) > 1);
            kept.forget_at = kept.meters.len() * 2;
        }
        let meter = Arc::new(Meter::new(key.clone()));
        kept.meters.insert(key.clone(), Arc::clone(&meter));
        meter
    }
}
