//! The invariants of deliveries, checked on what was observed from outside: the events of the admin API, the journals
//! of the receivers, and the lists of deliveries.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use gatepost_test_support::Receipt;
use tokio::time::Instant;

/// Time after its answer for which a delivery is still in flight: the deliverer reads the answer and settles it in a
/// batch, and the receiver cannot see when it has.
const SETTLE_TIME: Duration = Duration::from_millis(500);
/// Maximum time from the confirmation of an event, or from the end of the faults if that is later, to its first attempt
/// at a webhook that is healthy. A lease of a process that was killed ends after 30 s.
pub(super) const STARVED_AFTER: Duration = Duration::from_secs(60);

/// Event that the store has committed.
#[derive(Debug, Clone)]
pub(super) struct CommittedEvent {
    pub(super) id: String,
    /// Time at which the response confirmed it. `None` if the process died before.
    pub(super) confirmed_at: Option<Instant>,
}

/// What the admin API says about a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedDelivery {
    pub(super) status: String,
    /// Number of attempts in its history.
    pub(super) history: usize,
    /// Why it was given up, or why the last attempt failed.
    pub(super) error: String,
}

/// Whether a webhook must accept each event soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Healthy,
    /// Its receiver is the fault, so deliveries may wait.
    Faulty,
}

/// What was observed of one webhook.
#[derive(Debug, Clone)]
pub(super) struct WebhookEvidence {
    pub(super) name: String,
    pub(super) health: Health,
    /// Events that it subscribed to.
    pub(super) wanted: Vec<CommittedEvent>,
    pub(super) receipts: Vec<Receipt>,
    /// Deliveries that the receiver has not accepted, by event.
    pub(super) listed: HashMap<String, ListedDelivery>,
}

/// Death of a process, or another fault after which what was in flight may be repeated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crash {
    pub(super) from: Instant,
    pub(super) until: Instant,
}

/// Everything that was observed.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    pub(super) webhooks: Vec<WebhookEvidence>,
    pub(super) crashes: Vec<Crash>,
    /// End of faults that stop every delivery.
    pub(super) faults_ended_at: Option<Instant>,
    /// Connections to addresses that must not be contacted, by address.
    pub(super) forbidden_connections: Vec<(String, usize)>,
}

impl Evidence {
    /// Returns every violation of an invariant, as a sentence.
    pub(super) fn violations(&self) -> Vec<String> {
        let contacted = self.forbidden_connections.iter().filter(|(_, connections)| *connections > 0);
        let mut violations: Vec<String> = contacted
            .map(|(address, connections)| format!("{address} must not be contacted and got {connections} connections"))
            .collect();
        for webhook in &self.webhooks {
            violations.extend(webhook.lost());
            violations.extend(webhook.foreign());
            violations.extend(webhook.surplus_duplicates(&self.crashes));
            violations.extend(webhook.starved(self.faults_ended_at));
        }
        violations
    }

    /// Returns the number of repeated deliveries, and the number that the crashes may have repeated.
    pub(super) fn duplicates(&self) -> (usize, usize) {
        let repeated = self.webhooks.iter().map(|webhook| webhook.repeated().len()).sum();
        let in_flight = |crash: &Crash| -> usize {
            self.webhooks.iter().flat_map(|webhook| &webhook.receipts).filter(|receipt| crash.caught(receipt)).count()
        };
        (repeated, self.crashes.iter().map(in_flight).sum())
    }
}

impl Crash {
    /// Returns whether a delivery was in flight at the crash, as its receiver counts.
    fn caught(&self, receipt: &Receipt) -> bool {
        let has_started = receipt.arrived_at <= self.until + SETTLE_TIME;
        has_started && receipt.answered_at.is_none_or(|answered| answered + SETTLE_TIME >= self.from)
    }
}

impl WebhookEvidence {
    /// Reports events that the receiver has not accepted, and that are no dead letters with their history.
    pub(super) fn lost(&self) -> Vec<String> {
        let received: HashSet<&str> = self.receipts.iter().map(|receipt| receipt.webhook_id.as_str()).collect();
        let accepted: HashSet<&str> = self
            .receipts
            .iter()
            .filter(|receipt| is_success(receipt))
            .map(|receipt| receipt.webhook_id.as_str())
            .collect();
        let lost = self.wanted.iter().filter_map(|event| {
            let id = event.id.as_str();
            let fate = match (accepted.contains(id), received.contains(id), self.listed.get(id)) {
                (true, _, _) => return None,
                (false, _, Some(listed)) if listed.is_explained_dead_letter() => return None,
                (false, _, Some(listed)) if self.health == Health::Faulty && listed.is_waiting() => return None,
                (false, _, Some(listed)) => {
                    format!("is {} with {} attempts: {:?}", listed.status, listed.history, listed.error)
                }
                (false, true, None) => "was rejected and is not listed".to_owned(),
                (false, false, None) => "was never received and is not listed".to_owned(),
            };
            Some(format!("{}: {id} {fate}", self.name))
        });
        lost.collect()
    }

    /// Reports requests for events that the webhook did not subscribe to.
    fn foreign(&self) -> Vec<String> {
        let wanted: HashSet<&str> = self.wanted.iter().map(|event| event.id.as_str()).collect();
        let foreign = self.receipts.iter().filter(|receipt| !wanted.contains(receipt.webhook_id.as_str()));
        foreign.map(|receipt| format!("{}: {:?} is not an event for it", self.name, receipt.webhook_id)).collect()
    }

    /// Reports repetitions of deliveries that no crash caught in flight.
    fn surplus_duplicates(&self, crashes: &[Crash]) -> Vec<String> {
        let surplus = self.repeated().into_iter().filter(|(first, again)| {
            !crashes.iter().any(|crash| crash.caught(first) && crash.from <= again.arrived_at)
        });
        let describe = |(first, again): (&Receipt, &Receipt)| {
            let after = again.arrived_at - first.arrived_at;
            format!("{}: {} was sent again after {after:?} without a crash", self.name, first.webhook_id)
        };
        surplus.map(describe).collect()
    }

    /// Returns each delivery that was sent again although its receiver accepted it, or was about to, with the next one.
    /// After another answer, the next one is a retry.
    fn repeated(&self) -> Vec<(&Receipt, &Receipt)> {
        let mut last: HashMap<&str, &Receipt> = HashMap::new();
        let mut repeated = Vec::new();
        for receipt in &self.receipts {
            if let Some(earlier) = last.insert(&receipt.webhook_id, receipt).filter(|earlier| is_success(earlier)) {
                repeated.push((earlier, receipt));
            }
        }
        repeated
    }

    /// Reports events whose first attempt at a healthy webhook came too late.
    fn starved(&self, faults_ended_at: Option<Instant>) -> Vec<String> {
        if self.health == Health::Faulty {
            return Vec::new();
        }
        let mut first: HashMap<&str, Instant> = HashMap::new();
        for receipt in &self.receipts {
            first.entry(&receipt.webhook_id).or_insert(receipt.arrived_at);
        }
        let starved = self.wanted.iter().filter_map(|event| {
            let due = event.confirmed_at?.max(faults_ended_at.unwrap_or(event.confirmed_at?));
            let waited = first.get(event.id.as_str())?.saturating_duration_since(due);
            (waited > STARVED_AFTER).then(|| format!("{}: starved: {} waited for {waited:?}", self.name, event.id))
        });
        starved.collect()
    }
}

impl ListedDelivery {
    /// Returns whether it is a dead letter with its history. One that waited when its webhook was disabled has none.
    fn is_explained_dead_letter(&self) -> bool {
        self.status == "dead" && (self.history > 0 || self.error == "disabled")
    }

    fn is_waiting(&self) -> bool {
        matches!(self.status.as_str(), "failed" | "inFlight" | "pending")
    }
}

/// Returns whether the receiver accepted a delivery, or was about to.
pub(super) fn is_success(receipt: &Receipt) -> bool {
    (200..300).contains(&receipt.status)
}
