//! A delivery that a worker holds, for as long as it prolongs its lease.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_domain::id::{LeaseToken, WebhookId};
use gatepost_domain::record::Webhook;
use gatepost_store::act::Held;
use gatepost_store::{Leased, Store};
use tokio::time::Instant;

use crate::options::{EXTEND_EVERY, LEASE};

/// The webhook of a delivery, as it was when the delivery was leased.
#[derive(Debug, Clone)]
pub(crate) enum Addressee {
    Known(Arc<Webhook>),
    Gone,
    /// It cannot be decoded, for this reason.
    Unreadable(String),
}

/// A delivery that is held.
pub(crate) struct Lease {
    pub(crate) webhook: WebhookId,
    pub(crate) addressee: Addressee,
    pub(crate) token: LeaseToken,
    pub(crate) leased: Leased,
    /// Until when it surely holds.
    pub(crate) ends: Ends,
}

/// The end of a lease, which moves while it is prolonged.
#[derive(Debug)]
pub(crate) struct Ends(Mutex<Instant>);

impl Ends {
    pub(crate) fn at(moment: Instant) -> Self {
        Self(Mutex::new(moment))
    }

    pub(crate) fn moment(&self) -> Instant {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Prolongs it for as long as something takes.
    pub(crate) async fn prolonged<T>(&self, store: &Store, work: impl Future<Output = T>) -> T {
        let prolong = async || -> Infallible {
            loop {
                tokio::time::sleep(EXTEND_EVERY).await;
                let ends = Instant::now() + LEASE;
                // One that is lost is noticed when the delivery is settled.
                let held = store.extend_lease(&self.webhook, &self.leased.event_id, &self.token, LEASE).await;
                if matches!(held, Ok(Held::Yes)) {
                    *self.ends.lock() = ends;
                }
            }
        };
        tokio::select! {
            done = work => done,
            never = prolong() => match never {},
        }
    }
}
