//! Limits that a webhook sets on its own deliveries: how many at a time, and how many requests per second.

use std::time::Duration;

use gatepost_domain::id::WebhookId;
use gatepost_domain::record::{DeliverySettings, MaxInFlight, RatePerSecond};
use gatepost_domain::window::{LeaseGrant, UnusedLease};
use gatepost_runtime::error_chain;
use gatepost_store::{CellStore, Result};
use tokio::time::Instant;

use crate::options::IN_FLIGHT_CAP;

/// Minimum time until a webhook at its rate is tried again.
const MIN_PACE: Duration = Duration::from_millis(1);

/// Limits on the deliveries of one webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SendLimits {
    max_in_flight: Option<MaxInFlight>,
    pub(crate) rate: Option<RatePerSecond>,
}

impl SendLimits {
    pub(crate) fn of(settings: &DeliverySettings) -> Self {
        Self { max_in_flight: settings.max_in_flight, rate: settings.rate }
    }

    /// Returns the maximum number of concurrent deliveries, over all processes.
    pub(crate) fn in_flight_cap(self) -> u32 {
        self.max_in_flight.map_or(IN_FLIGHT_CAP, MaxInFlight::get)
    }
}

/// Requests that a webhook with a rate may be sent now.
///
/// They are leased from a window in the store, the same operation that enforces the rate limits of keys. So all
/// deliverers on a store keep the rate together, and no queue operation knows of rates. A window is a tenth of a second
/// for fast webhooks, which spreads their requests. What is leased and not used, because fewer deliveries were due, is
/// returned. If a process dies in between, less is sent, never more.
#[derive(Debug)]
pub(crate) struct RateTokens {
    /// Number of requests.
    pub(crate) count: u32,
    /// Time until which there are no more. `None` if there may be more at once.
    pub(crate) exhausted_until: Option<Instant>,
    grant: LeaseGrant,
    rate: RatePerSecond,
}

impl RateTokens {
    /// Leases up to `wanted` requests.
    pub(crate) async fn lease(
        store: &CellStore,
        webhook: &WebhookId,
        rate: RatePerSecond,
        wanted: u32,
    ) -> Result<Self> {
        let grant = store.lease_allowance(webhook.as_str(), rate.limit(), u64::from(wanted)).await?;
        // Measured after the reply, so the real window ends earlier.
        let window_ends_at = Instant::now() + grant.resets_in.max(MIN_PACE);
        Ok(Self {
            count: u32::try_from(grant.granted).unwrap_or(wanted),
            exhausted_until: (grant.left_for_others == 0).then_some(window_ends_at),
            grant,
            rate,
        })
    }

    /// Returns the requests that are not sent. If that fails, they are lost to their window.
    pub(crate) async fn give_back(self, store: &CellStore, webhook: &WebhookId, count: u32) {
        let unused =
            UnusedLease { generation: self.rate.limit().generation, reset: self.grant.reset, count: u64::from(count) };
        if let Err(error) = store.return_allowance(webhook.as_str(), unused).await {
            tracing::debug!(
                error = %error_chain(&error),
                webhook = webhook.as_str(),
                "returning unused requests failed, they are lost until their window ends"
            );
        }
    }
}
