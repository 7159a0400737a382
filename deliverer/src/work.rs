//! Work: due deliveries are leased, a bounded number at a time, and sent side by side.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gatepost_domain::id::{LeaseToken, WebhookId};
use gatepost_runtime::{Task, spawn_or};
use gatepost_store::act::LeaseRequest;
use gatepost_store::{Result, StoreErrorKind, os_rng};
use tokio::time::Instant;

use crate::delivery;
use crate::lease::{Addressee, Ends, Lease};
use crate::options::{IN_FLIGHT_CAP, LEASE};
use crate::shared::{Shared, pause};
use crate::shares::{Granted, Owner, Place};

/// Webhooks that one round looks at.
const WEBHOOKS_A_ROUND: u32 = 256;
/// Webhooks whose owner is remembered. Beyond, they are read anew.
const MAX_OWNERS: usize = 100_000;
/// Other deliverers may make something due without our knowing, so the queues are asked this often.
const POLL_EVERY: Duration = Duration::from_millis(200);
/// How long to wait after a failure of the store.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Works until the deliverer is stopped.
pub(crate) async fn run(shared: Shared) {
    let mut stopped = shared.stopped.clone();
    let mut work = Work { shared: shared.clone(), owners: HashMap::new(), skip: 0, leased: 0 };
    while !*stopped.borrow() {
        match work.round().await {
            Ok(Next::AtOnce) => {}
            Ok(Next::After(wait)) => {
                tokio::select! {
                    () = shared.wake.notified() => {}
                    () = pause(&mut stopped, wait) => {}
                }
            }
            Err(error) => {
                tracing::warn!(%error, "deliveries wait");
                pause(&mut stopped, PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// When the next round begins.
enum Next {
    AtOnce,
    After(Duration),
}

/// Rounds go through all due webhooks, so that those which get no place now do not hide the others.
struct Work {
    shared: Shared,
    /// A webhook never changes its owner.
    owners: HashMap<WebhookId, Owner>,
    /// Due webhooks that got nothing in the rounds since the one that began with the longest due.
    skip: u32,
    /// What those rounds have leased.
    leased: usize,
}

impl Work {
    async fn round(&mut self) -> Result<Next> {
        let shared = self.shared.clone();
        if shared.shares.free() == 0 {
            return Ok(Next::After(POLL_EVERY));
        }
        let due = shared.store.due_webhooks(self.skip, WEBHOOKS_A_ROUND).await?;
        let seen = u32::try_from(due.webhooks.len()).unwrap_or(WEBHOOKS_A_ROUND);
        let mut leases = Vec::new();
        for webhook in due.webhooks {
            let owner = self.owner(&webhook).await?;
            let granted = shared.shares.grant(&webhook, &owner);
            if !granted.places.is_empty() {
                leases.push(lease(&shared, webhook, granted));
            }
        }
        let served = u32::try_from(leases.len()).unwrap_or(WEBHOOKS_A_ROUND);
        for leased in join_all(leases).await {
            self.leased += leased?;
        }
        if seen == WEBHOOKS_A_ROUND {
            self.skip += seen - served;
            return Ok(Next::AtOnce);
        }
        self.skip = 0;
        match std::mem::take(&mut self.leased) {
            0 => Ok(Next::After(due.next_in.map_or(POLL_EVERY, |next| next.min(POLL_EVERY)))),
            _ => Ok(Next::AtOnce),
        }
    }

    /// Whose webhook it is.
    async fn owner(&mut self, webhook: &WebhookId) -> Result<Owner> {
        if let Some(owner) = self.owners.get(webhook) {
            return Ok(owner.clone());
        }
        let owner = match self.shared.store.webhook(webhook).await {
            Ok(Some(found)) => Owner::from(&found.record),
            Ok(None) => return Ok(Owner::default()),
            // Its deliveries will tell.
            Err(error) if error.kind() == StoreErrorKind::Corrupt => return Ok(Owner::default()),
            Err(error) => return Err(error),
        };
        if self.owners.len() >= MAX_OWNERS {
            self.owners.clear();
        }
        self.owners.insert(webhook.clone(), owner.clone());
        Ok(owner)
    }
}

/// Leases for places that are there, so that nothing is leased that would only wait here.
async fn lease(shared: &Shared, webhook: WebhookId, granted: Granted) -> Result<usize> {
    let token = LeaseToken::generate(&mut os_rng());
    let request = LeaseRequest {
        webhook: webhook.clone(),
        token: token.clone(),
        max: u32::try_from(granted.places.len()).unwrap_or(IN_FLIGHT_CAP),
        in_flight_cap: granted.in_flight_cap,
        lease: LEASE,
    };
    // Taken before the lease is asked for, which cannot end earlier.
    let ends = Instant::now() + LEASE;
    // What is leased is sent at once, so the webhook is read anew with the lease, for all of them.
    let (leased, addressee) = tokio::join!(shared.store.lease_deliveries(request), addressee(shared, &webhook));
    let (leased, addressee) = (leased?, addressee?);
    let count = leased.len();
    for (leased, place) in leased.into_iter().zip(granted.places) {
        let (webhook, addressee, token) = (webhook.clone(), addressee.clone(), token.clone());
        let lease = Arc::new(Lease { webhook, addressee, token, leased, ends: Ends::at(ends) });
        let delivering = delivery::deliver(shared.clone(), Arc::clone(&lease));
        let failing = delivery::fail(shared.clone(), lease);
        spawn_or(Task::Delivery, delivering, failing, Held { place: Some(place), shared: shared.clone() });
    }
    Ok(count)
}

async fn addressee(shared: &Shared, webhook: &WebhookId) -> Result<Addressee> {
    match shared.store.webhook(webhook).await {
        Ok(Some(found)) => Ok(Addressee::Known(Arc::new(found.record))),
        Ok(None) => Ok(Addressee::Gone),
        Err(error) if error.kind() == StoreErrorKind::Corrupt => Ok(Addressee::Unreadable(error.to_string())),
        Err(error) => Err(error),
    }
}

/// A place, until a delivery has ended. Then the work loop is woken.
struct Held {
    place: Option<Place>,
    shared: Shared,
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.place.take());
        self.shared.wake.notify_one();
    }
}
