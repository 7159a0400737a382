//! Passive health of a server: a failed connection ejects it for a while.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gatepost_domain::time::Uptime;

/// How long a server that refused or timed out a connection gets no requests.
const EJECTION_TIME: Duration = Duration::from_secs(2);

/// The time until which a server is ejected.
#[derive(Debug, Default)]
pub(crate) struct Ejection {
    /// Uptime in ms.
    until_ms: AtomicU64,
}

impl Ejection {
    pub(crate) fn start(&self, now: Uptime) {
        let until_ms = now.as_ms() + EJECTION_TIME.as_millis() as u64;
        self.until_ms.store(until_ms, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self, now: Uptime) -> bool {
        self.until_ms.load(Ordering::Relaxed) <= now.as_ms()
    }
}
