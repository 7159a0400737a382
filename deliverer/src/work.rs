//! Work: due deliveries are leased, a bounded number at a time, and sent side by side.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gatepost_domain::id::{LeaseToken, WebhookId};
use gatepost_store::act::LeaseRequest;
use gatepost_store::{Result, os_rng};
use tokio::sync::OwnedSemaphorePermit;

use crate::delivery::{self, Lease};
use crate::options::{IN_FLIGHT_CAP, LEASE};
use crate::shared::{Shared, pause};

/// Webhooks that one round looks at.
const WEBHOOKS_A_ROUND: u32 = 64;
/// Other deliverers may make something due without our knowing, so the queues are asked this often.
const POLL_EVERY: Duration = Duration::from_millis(200);
/// How long to wait after a failure of the store.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Works until the deliverer is stopped.
pub(crate) async fn run(shared: Shared) {
    let mut stopped = shared.stopped.clone();
    while !*stopped.borrow() {
        match round(&shared).await {
            Ok(Round { leased: 0, next_in }) => {
                let wait = next_in.map_or(POLL_EVERY, |next| next.min(POLL_EVERY));
                tokio::select! {
                    () = shared.wake.notified() => {}
                    () = pause(&mut stopped, wait) => {}
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "deliveries wait");
                pause(&mut stopped, PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

struct Round {
    leased: usize,
    next_in: Option<Duration>,
}

async fn round(shared: &Shared) -> Result<Round> {
    let due = shared.store.due_webhooks(WEBHOOKS_A_ROUND).await?;
    let leases = due.webhooks.into_iter().map(|webhook| lease(shared, webhook));
    let mut leased = 0;
    for of_webhook in join_all(leases).await {
        leased += of_webhook?;
    }
    Ok(Round { leased, next_in: due.next_in })
}

/// Takes places first, so that nothing is leased that would only wait here.
async fn lease(shared: &Shared, webhook: WebhookId) -> Result<usize> {
    let mut places = Vec::new();
    while places.len() < IN_FLIGHT_CAP as usize
        && let Ok(place) = Arc::clone(&shared.places).try_acquire_owned()
    {
        places.push(place);
    }
    if places.is_empty() {
        return Ok(0);
    }
    let token = LeaseToken::generate(&mut os_rng());
    let request = LeaseRequest {
        webhook: webhook.clone(),
        token: token.clone(),
        max: u32::try_from(places.len()).unwrap_or(IN_FLIGHT_CAP),
        in_flight_cap: IN_FLIGHT_CAP,
        lease: LEASE,
    };
    // What is leased is sent at once, so the webhook is read anew with the lease, for all of them.
    let (leased, record) = tokio::join!(shared.store.lease_deliveries(request), shared.store.webhook(&webhook));
    let (leased, record) = (leased?, record?.map(|found| Arc::new(found.record)));
    let count = leased.len();
    for (leased, place) in leased.into_iter().zip(places) {
        let lease = Lease { webhook: webhook.clone(), record: record.clone(), token: token.clone(), leased };
        let delivering = delivery::deliver(shared.clone(), lease);
        tokio::spawn(hold(shared.clone(), place, delivering));
    }
    Ok(count)
}

/// Keeps a place until a delivery has ended, then wakes the work loop.
async fn hold(shared: Shared, place: OwnedSemaphorePermit, delivering: impl Future<Output = ()>) {
    delivering.await;
    drop(place);
    shared.wake.notify_one();
}
