//! What a process asks of its parts again and again, for `/readyz` and `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use gatepost_ops::Readiness;
use gatepost_store::act::{QueueNumbers, Repeats};
use gatepost_store::{Format, Store, StoreErrorKind};
use gatepost_verify::{Liveness, Verifier};
use prometheus::{IntCounter, IntGauge, Registry};

use crate::config::Config;

/// How often.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Percent of `events.max_entries` at which it is warned that nobody reads them.
const WARN_AT_PERCENT: u64 = 80;

/// What an outage of the store does to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// The process can do nothing without it, and is not ready.
    Stops,
    /// Its cache goes on for a while and is a dependency of its own, so that the outage is a warning.
    Bridged,
}

/// Asks the store how it is.
pub(crate) struct StoreProbe {
    store: Store,
    readiness: Readiness,
    outage: Outage,
    max_entries: u64,
    repeated: IntCounter,
    lost: IntCounter,
    given_up: IntCounter,
    not_fanned_out: IntGauge,
    in_quarantine: IntGauge,
    full: IntGauge,
}

impl StoreProbe {
    pub(crate) fn new(
        store: Store,
        readiness: Readiness,
        outage: Outage,
        config: &Config,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let probe = Self {
            store,
            readiness,
            outage,
            max_entries: config.retention.max_entries,
            repeated: IntCounter::new(
                "gatepost_changes_repeated_total",
                "Acknowledged changes that the store had lost and this process wrote again.",
            )?,
            lost: IntCounter::new(
                "gatepost_changes_lost_total",
                "Acknowledged changes that the store had lost and that others came before.",
            )?,
            given_up: IntCounter::new(
                "gatepost_changes_given_up_total",
                "Acknowledged changes that the store may have lost and that could not be written again in time.",
            )?,
            not_fanned_out: IntGauge::new("gatepost_stream_not_fanned_out", "Entries after the fan-out cursor.")?,
            in_quarantine: IntGauge::new("gatepost_quarantine_entries", "Entries that could not be decoded and wait.")?,
            full: IntGauge::new("gatepost_store_full", "1 while the store's memory or disk takes no ordinary writes.")?,
        };
        registry.register(Box::new(probe.repeated.clone()))?;
        registry.register(Box::new(probe.lost.clone()))?;
        registry.register(Box::new(probe.given_up.clone()))?;
        registry.register(Box::new(probe.not_fanned_out.clone()))?;
        registry.register(Box::new(probe.in_quarantine.clone()))?;
        registry.register(Box::new(probe.full.clone()))?;
        Ok(probe)
    }

    /// Probes for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            match self.store.queue_numbers().await {
                Ok(numbers) => {
                    self.tell_store(None);
                    self.tell_numbers(&numbers);
                }
                Err(error) => self.tell_store(Some(error.kind())),
            }
            self.warn_of_format(self.store.read_format().await.unwrap_or(self.store.format()));
            self.tell_fullness(self.store.fullness().await.unwrap_or_default());
            self.tell_repeats(self.store.repeats().await.unwrap_or_default());
            tokio::time::sleep(PROBE_EVERY).await;
        }
    }

    fn tell_store(&self, failure: Option<StoreErrorKind>) {
        match self.outage {
            Outage::Stops => {
                self.readiness.set("store", failure.map_or(Ok(()), |kind| Err(kind.as_str().to_owned())));
            }
            Outage::Bridged => {
                let warning = failure.map(|kind| {
                    format!("store: {}; keys in the cache are accepted for gateway.max_stale_ms", kind.as_str())
                });
                self.readiness.warn("store", warning.into_iter().collect());
            }
        }
    }

    fn tell_numbers(&self, numbers: &QueueNumbers) {
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.not_fanned_out.set(gauge(numbers.not_fanned_out));
        self.in_quarantine.set(gauge(numbers.quarantined));
        let (waiting, max) = (numbers.not_fanned_out, self.max_entries);
        let is_near = waiting >= max.saturating_mul(WARN_AT_PERCENT) / 100;
        let waiting = is_near.then(|| {
            format!(
                "{waiting} events wait for a deliverer; at {max} the admin API makes nothing new: start a deliverer"
            )
        });
        self.readiness.warn("events", waiting.into_iter().collect());
        let quarantined = (numbers.quarantined > 0)
            .then(|| format!("{} events could not be decoded and are told to nobody", numbers.quarantined));
        self.readiness.warn("quarantine", quarantined.into_iter().collect());
    }

    fn warn_of_format(&self, format: Format) {
        let warning = (format < Format::LATEST).then(|| {
            format!(
                "the store is in format {format}, in which URLs and headers of webhooks stand in clear: run `gatepost \
                 store upgrade` when no process of an older release is left"
            )
        });
        self.readiness.warn("format", warning.into_iter().collect());
    }

    fn tell_fullness(&self, fullness: Option<String>) {
        self.full.set(i64::from(fullness.is_some()));
        self.readiness.warn("fullness", fullness.into_iter().collect());
    }

    fn tell_repeats(&self, repeats: Repeats) {
        self.repeated.inc_by(repeats.repeated.saturating_sub(self.repeated.get()));
        self.lost.inc_by(repeats.conflicts.saturating_sub(self.lost.get()));
        self.given_up.inc_by(repeats.too_old.saturating_sub(self.given_up.get()));
    }
}

/// Asks the gateway's cache whether it may still be used.
pub(crate) async fn cache(verifier: Arc<Verifier>, readiness: Readiness) {
    loop {
        let state = match verifier.liveness() {
            Liveness::Live | Liveness::Stale => Ok(()),
            Liveness::Expired => Err("older than max_stale".to_owned()),
        };
        readiness.set("cache", state);
        tokio::time::sleep(PROBE_EVERY).await;
    }
}
