//! Metrics of a deliverer.

use gatepost_domain::record::Condition;
use gatepost_runtime::registered;
use gatepost_store::QueueStats;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Buckets for the duration of an attempt, in seconds.
const ATTEMPT_BUCKETS_S: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0];
/// Buckets for the time from an event to its delivery, in seconds.
const EVENT_BUCKETS_S: &[f64] =
    &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0];

/// Metrics of a deliverer, registered once.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) deliveries: IntCounterVec,
    pub(crate) delivery_duration_s: Histogram,
    pub(crate) event_to_delivery_s: Histogram,
    pub(crate) quarantined: IntCounter,
    pub(crate) overflowed: IntCounter,
    pub(crate) unreadable: IntCounter,
    conditions: IntCounterVec,
    recovery: IntCounterVec,
    queue: IntGaugeVec,
    oldest_due_s: Gauge,
    dead_letters: IntGauge,
    dead_dropped: IntGauge,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            registered(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
        };
        let counter = |name: &str, help: &str| registered(registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help));
        let deliveries = Opts::new(
            "gatepost_deliveries_total",
            "Ends of attempts and of deliveries without one: failed ones are retried, dropped ones had no webhook.",
        );
        let deliveries = registered(registry, IntCounterVec::new(deliveries, &["outcome"]))?;
        for outcome in ["delivered", "failed", "gone", "dead", "dropped"] {
            deliveries.with_label_values(&[outcome]);
        }
        let conditions = Opts::new(
            "gatepost_webhook_conditions_total",
            "Changes of the condition of webhooks, by the new one: failing, disabled, or working again.",
        );
        let conditions = registered(registry, IntCounterVec::new(conditions, &["condition"]))?;
        for condition in [Condition::Working, Condition::Failing, Condition::Disabled] {
            conditions.with_label_values(&[condition.as_str()]);
        }
        let recovery =
            Opts::new("gatepost_recovery_deliveries_total", "Deliveries that recoveries enqueued, or had to skip.");
        let recovery = registered(registry, IntCounterVec::new(recovery, &["outcome"]))?;
        for outcome in ["recovered", "skipped"] {
            recovery.with_label_values(&[outcome]);
        }
        let queue = Opts::new("gatepost_delivery_queue", "Deliveries by state.");
        let oldest_due_s = Gauge::new("gatepost_oldest_due_seconds", "Age in seconds of the longest overdue delivery.");
        Ok(Self {
            deliveries,
            delivery_duration_s: histogram(
                "gatepost_delivery_duration_seconds",
                "Duration of attempts in seconds.",
                ATTEMPT_BUCKETS_S,
            )?,
            event_to_delivery_s: histogram(
                "gatepost_event_to_delivery_seconds",
                "Seconds from an event to its delivery.",
                EVENT_BUCKETS_S,
            )?,
            quarantined: counter("gatepost_quarantined_total", "Stream entries that could not be decoded.")?,
            overflowed: counter(
                "gatepost_overflowed_total",
                "Deliveries that became dead letters because their queue was full.",
            )?,
            unreadable: counter(
                "gatepost_unreadable_webhooks_total",
                "Webhooks that could not be decoded during fan-out and received no events.",
            )?,
            conditions,
            recovery,
            queue: registered(registry, IntGaugeVec::new(queue, &["state"]))?,
            oldest_due_s: registered(registry, oldest_due_s)?,
            dead_letters: gauge("gatepost_dead_letters", "Dead letters in the store.")?,
            dead_dropped: gauge(
                "gatepost_dead_letters_dropped",
                "Dead letters dropped since the store was created because their webhook had too many.",
            )?,
        })
    }

    pub(crate) fn count_outcome(&self, outcome: &str) {
        self.deliveries.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn count_condition(&self, condition: Condition) {
        self.conditions.with_label_values(&[condition.as_str()]).inc();
    }

    pub(crate) fn count_recovered(&self, recovered: u64, skipped: u64) {
        self.recovery.with_label_values(&["recovered"]).inc_by(recovered);
        self.recovery.with_label_values(&["skipped"]).inc_by(skipped);
    }

    pub(crate) fn set_queue_gauges(&self, queue_stats: &QueueStats) {
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.queue.with_label_values(&["pending"]).set(gauge(queue_stats.pending));
        self.queue.with_label_values(&["leased"]).set(gauge(queue_stats.leased));
        self.oldest_due_s.set(queue_stats.max_overdue.as_secs_f64());
        self.dead_letters.set(gauge(queue_stats.dead_letters));
        self.dead_dropped.set(gauge(queue_stats.dead_letters_dropped));
    }
}
