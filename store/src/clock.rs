//! Clock implementations: the system clock, and a manual one for tests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use gatepost_domain::time::{Clock, Timestamp, Uptime};

/// The system's wall clock and boot-time clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads wall time")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_ms(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    fn uptime(&self) -> Uptime {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let ms = time.tv_sec.unsigned_abs() * 1000 + time.tv_nsec.unsigned_abs() / 1_000_000;
        Uptime::from_ms(ms)
    }
}

/// Clock for tests. It does not advance on its own.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_ms: AtomicU64,
    uptime_ms: AtomicU64,
}

impl ManualClock {
    /// Returns a clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self { now_ms: AtomicU64::new(now.as_ms()), uptime_ms: AtomicU64::new(1_000_000) }
    }

    /// Advances wall time and uptime by `ms` milliseconds.
    pub fn advance_ms(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
        self.uptime_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.now_ms.load(Ordering::SeqCst))
    }

    fn uptime(&self) -> Uptime {
        Uptime::from_ms(self.uptime_ms.load(Ordering::SeqCst))
    }
}
