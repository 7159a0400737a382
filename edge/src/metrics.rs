//! Metrics of decisions. Handles are resolved once, so that a decision takes no lock.

use std::time::Duration;

use gatepost_runtime::registered;
use gatepost_verify::Source;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use crate::decision::AuthOutcome;

/// In seconds. Most cache hits take microseconds.
pub const DURATION_BUCKETS_S: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
    0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
const SOURCES: [Source; 4] = [Source::Cache, Source::Negative, Source::Store, Source::Text];

#[derive(Debug)]
pub(crate) struct Metrics {
    check_duration_s: [Histogram; SOURCES.len()],
    /// By outcome and source.
    checks: Vec<IntCounter>,
    pub(crate) refused_requests: IntCounter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let check_duration =
            HistogramOpts::new("gatepost_auth_duration_seconds", "The check of a key, by where its answer came from.")
                .buckets(DURATION_BUCKETS_S.to_vec());
        let check_duration = registered(registry, HistogramVec::new(check_duration, &["source"]))?;
        let checks = Opts::new("gatepost_auth_total", "Checks of keys by outcome and source.");
        let checks = registered(registry, IntCounterVec::new(checks, &["outcome", "source"]))?;
        let refused_requests = IntCounter::new(
            "gatepost_refused_requests_total",
            "Requests of clients behind trusted proxies that had as many in flight as they may.",
        );
        Ok(Self {
            check_duration_s: SOURCES.map(|source| check_duration.with_label_values(&[source.as_str()])),
            checks: counters(&checks),
            refused_requests: registered(registry, refused_requests)?,
        })
    }

    pub(crate) fn record_check(&self, outcome: AuthOutcome, source: Source, duration: Duration) {
        let source = SOURCES.iter().position(|one| *one == source).unwrap_or_default();
        self.check_duration_s[source].observe(duration.as_secs_f64());
        self.checks[outcome.index() * SOURCES.len() + source].inc();
    }
}

fn counters(checks: &IntCounterVec) -> Vec<IntCounter> {
    let mut counters = Vec::with_capacity(AuthOutcome::LABELS.len() * SOURCES.len());
    for outcome in AuthOutcome::LABELS {
        for source in SOURCES {
            counters.push(checks.with_label_values(&[outcome, source.as_str()]));
        }
    }
    counters
}
