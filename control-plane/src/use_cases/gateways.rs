//! Gateways: how far they have come, and waiting until all have applied a change.

use std::time::Duration;

use gatepost_domain::id::AccountId;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::time::Version;
use gatepost_store::Result as StoreResult;
use gatepost_store::ops::RegisteredGateway;

use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;

/// The longest that an answer waits for gateways.
pub const MAX_WAIT: Duration = Duration::from_secs(30);
/// How long one waits for its turn; then it tells what was reached.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait before the gateways are read again: at first, then ever longer up to the second.
const POLL_INTERVALS: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(200)];

/// How many of the known gateways have applied a change. A gateway is known until it has signed off or
/// must be refusing everything by its own promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PropagationStatus {
    pub applied: usize,
    pub known: usize,
}

/// A gateway, and for how long the oldest change that it has not applied has stood.
#[derive(Debug)]
pub struct GatewayLag {
    pub gateway: RegisteredGateway,
    pub lag: Duration,
}

impl ControlPlane {
    /// The known gateways.
    pub async fn gateways(&self, context: &RequestContext) -> Result<Vec<GatewayLag>> {
        context.caller.require_account_scope()?;
        let mut gateways = Vec::new();
        for gateway in self.store.gateways().await? {
            let next = self.store.read_feed(gateway.cursor, 1, Duration::ZERO).await?;
            let lag = next.first().map(|entry| self.now().since(entry.version.timestamp())).unwrap_or_default();
            gateways.push(GatewayLag { gateway, lag });
        }
        Ok(gateways)
    }

    /// Waits until every known gateway has applied a version, at most so long, and tells what was reached. It waits less
    /// long where another account has less than its share of these waits.
    pub async fn await_propagation(
        &self,
        account: &AccountId,
        version: Version,
        wait: Duration,
    ) -> Result<PropagationStatus> {
        let unknown = |error| {
            tracing::warn!(%error, "who has applied a change is not known");
            let detail = "the change was committed, but who has applied it is not known; to repeat the request is safe";
            Failure::refused(ErrorCode::StoreUnavailable, detail)
        };
        let wait = wait.min(MAX_WAIT);
        let waiting = async {
            let Some(permit) = self.limits.propagation_waits.acquire(account, wait.min(PERMIT_TIMEOUT)).await else {
                self.metrics.count_no_permit("waits");
                return None;
            };
            tokio::select! {
                reached = self.poll_until_propagated(version) => Some(reached),
                () = permit.preempted() => None,
            }
        };
        match tokio::time::timeout(wait, waiting).await {
            Ok(Some(reached)) => reached.map_err(unknown),
            Ok(None) | Err(_) => self.propagation_status(version).await.map_err(unknown),
        }
    }

    async fn poll_until_propagated(&self, version: Version) -> StoreResult<PropagationStatus> {
        let [mut pause, longest] = POLL_INTERVALS;
        loop {
            let status = self.propagation_status(version).await?;
            if status.applied == status.known {
                return Ok(status);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    async fn propagation_status(&self, version: Version) -> StoreResult<PropagationStatus> {
        let gateways = self.store.gateways().await?;
        let applied = gateways.iter().filter(|gateway| version <= gateway.cursor).count();
        Ok(PropagationStatus { applied, known: gateways.len() })
    }
}
