//! Lease of a delivery, which a worker extends while it sends.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_domain::id::{LeaseToken, WebhookId};
use gatepost_domain::record::{Webhook, WebhookState};
use gatepost_domain::retry_schedule::{RetrySchedule, STANDARD_SCHEDULE};
use gatepost_store::{CellStore, LeaseStatus, LeasedDelivery, Result, StoreError, StoreErrorKind};
use tokio::time::Instant;

use crate::options::{LEASE_DURATION, LEASE_EXTEND_INTERVAL};
use crate::receiver::LeasedWebhook;
use crate::send_limits::SendLimits;

/// The webhook of a delivery as read when the delivery was leased.
#[derive(Clone)]
pub(crate) enum WebhookSnapshot {
    Found(Arc<LeasedWebhook>),
    Deleted,
    /// The webhook cannot be decoded.
    Unreadable(StoreError),
}

impl WebhookSnapshot {
    /// # Errors
    /// That of reading the webhook, unless it was read and cannot be decoded.
    pub(crate) fn new(read: Result<Option<Webhook>>) -> Result<Self> {
        match read {
            Ok(Some(webhook)) => Ok(Self::Found(Arc::new(LeasedWebhook::new(webhook)))),
            Ok(None) => Ok(Self::Deleted),
            Err(error) if error.kind() == StoreErrorKind::Corrupt => Ok(Self::Unreadable(error)),
            Err(error) => Err(error),
        }
    }

    /// Returns the schedule on which its deliveries are retried.
    pub(crate) fn schedule(&self) -> &RetrySchedule {
        match self {
            WebhookSnapshot::Found(webhook) => webhook.record.delivery.schedule(),
            WebhookSnapshot::Deleted | WebhookSnapshot::Unreadable(_) => &STANDARD_SCHEDULE,
        }
    }

    /// Returns what decides how deliveries are leased for it. Deliveries of a disabled webhook do not wait. Without a
    /// readable webhook nothing is sent, so nothing is limited.
    pub(crate) fn last_read(&self) -> LastRead {
        match self {
            WebhookSnapshot::Found(webhook) => LastRead::of(&webhook.record),
            WebhookSnapshot::Deleted | WebhookSnapshot::Unreadable(_) => LastRead::default(),
        }
    }
}

/// What was last read about a webhook and decides how deliveries are leased for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LastRead {
    pub(crate) limits: SendLimits,
    pub(crate) is_paused: bool,
}

impl LastRead {
    pub(crate) fn of(webhook: &Webhook) -> Self {
        Self { limits: SendLimits::of(&webhook.delivery), is_paused: webhook.state() == WebhookState::Paused }
    }
}

pub(crate) struct DeliveryLease {
    pub(crate) webhook: WebhookId,
    pub(crate) webhook_snapshot: WebhookSnapshot,
    pub(crate) token: LeaseToken,
    pub(crate) leased: Arc<LeasedDelivery>,
    /// Time until which the lease is certainly held.
    pub(crate) deadline: LeaseDeadline,
}

/// End of a lease. It moves when the lease is extended.
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
    /// Runs a future, and extends the lease every 10 s until it completes.
    pub(crate) async fn extend_while<T>(&self, store: &CellStore, future: impl Future<Output = T>) -> T {
        let extend_forever = async || -> Infallible {
            loop {
                tokio::time::sleep(LEASE_EXTEND_INTERVAL).await;
                let deadline = Instant::now() + LEASE_DURATION;
                // A lost lease is detected when the delivery is settled.
                let held = store.extend_lease(&self.webhook, &self.leased.event_id, &self.token, LEASE_DURATION);
                // Boxed to keep the future of a delivery small: few take so long.
                let held = Box::pin(held).await;
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
