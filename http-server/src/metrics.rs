//! Metrics of a listener's connections.

use gatepost_runtime::registered;
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

/// Why the server closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// All slots were taken, and it had waited longest for its client.
    Evicted,
    /// It was new, and all others were busy.
    Refused,
    /// Its client took too long.
    TimedOut,
}

impl CloseReason {
    const ALL: [Self; 3] = [Self::Evicted, Self::Refused, Self::TimedOut];

    fn as_str(self) -> &'static str {
        match self {
            Self::Evicted => "for-another",
            Self::Refused => "refused",
            Self::TimedOut => "timed-out",
        }
    }
}

/// Metrics of one listener.
#[derive(Debug)]
pub(crate) struct Metrics {
    open: IntGauge,
    closed: IntCounterVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry, listener: &str) -> prometheus::Result<Self> {
        let options = |name: &str, help: &str| Opts::new(name, help).const_label("listener", listener);
        let open = options("gatepost_http_connections", "Open connections.");
        let open = registered(registry, IntGauge::with_opts(open))?;
        let closed = options("gatepost_http_closed_connections_total", "Connections closed by the server, by reason.");
        let closed = registered(registry, IntCounterVec::new(closed, &["reason"]))?;
        for reason in CloseReason::ALL {
            closed.with_label_values(&[reason.as_str()]);
        }
        Ok(Self { open, closed })
    }

    pub(crate) fn set_open(&self, connections: usize) {
        self.open.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }

    pub(crate) fn record_closed(&self, reason: CloseReason) {
        self.closed.with_label_values(&[reason.as_str()]).inc();
    }
}
