//! A delivery that a worker holds, for as long as it prolongs its lease.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_domain::id::{LeaseToken, WebhookId};
use gatepost_domain::record::Webhook;
use gatepost_store::ops::LeaseStatus;
use gatepost_store::{LeasedDelivery, Store};
use tokio::time::Instant;

use crate::options::{LEASE_DURATION, LEASE_EXTEND_INTERVAL};

/// The webhook of a delivery, as it was when the delivery was leased.
#[derive(Debug, Clone)]
pub(crate) enum WebhookSnapshot {
    Found(Arc<Webhook>),
    Deleted,
    /// It cannot be decoded, for this reason.
    Unreadable(String),
}

/// A delivery that is held.
pub(crate) struct DeliveryLease {
    pub(crate) webhook: WebhookId,
    pub(crate) webhook_snapshot: WebhookSnapshot,
    pub(crate) token: LeaseToken,
    pub(crate) leased: LeasedDelivery,
    /// Until when it surely holds.
    pub(crate) deadline: LeaseDeadline,
}

/// The end of a lease, which moves while it is prolonged.
#[derive(Debug)]
pub(crate) struct LeaseDeadline(Mutex<Instant>);

impl LeaseDeadline {
    pub(crate) fn new(instant: Instant) -> Self {
        Self(Mutex::new(instant))
    }

    pub(crate) fn instant(&self) -> Instant {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DeliveryLease {
    /// Prolongs it for as long as something takes.
    pub(crate) async fn extend_while<T>(&self, store: &Store, future: impl Future<Output = T>) -> T {
        let extend_forever = async || -> Infallible {
            loop {
                tokio::time::sleep(LEASE_EXTEND_INTERVAL).await;
                let deadline = Instant::now() + LEASE_DURATION;
                // One that is lost is noticed when the delivery is settled.
                let held = store.extend_lease(&self.webhook, &self.leased.event_id, &self.token, LEASE_DURATION).await;
                if matches!(held, Ok(LeaseStatus::Held)) {
                    *self.deadline.lock() = deadline;
                }
            }
        };
        tokio::select! {
            done = future => done,
            never = extend_forever() => match never {},
        }
    }
}
