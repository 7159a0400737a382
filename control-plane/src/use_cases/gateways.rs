//! Gateways: their lag, and waiting until all have applied a change.

use std::time::Duration;

use gatepost_domain::id::AccountId;
use gatepost_domain::partition::Position;
use gatepost_domain::problem::ErrorCode;
use gatepost_runtime::error_chain;
use gatepost_store::RegisteredGateway;
use gatepost_store::Result as StoreResult;

use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;

/// The longest wait of a response for gateways.
pub const MAX_WAIT: Duration = Duration::from_secs(30);
/// Time that a response waits for a permit; then it reports what was reached.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause before gateways are read again: the first one, doubled up to the second one.
const POLL_INTERVALS: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(200)];

/// The number of known gateways that have applied a change. A gateway is known until it signs off or its lease expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PropagationStatus {
    pub applied: usize,
    pub known: usize,
}

/// A gateway, and the age of the oldest change that it has not applied.
#[derive(Debug)]
pub struct GatewayLag {
    pub gateway: RegisteredGateway,
    pub lag: Duration,
}

impl ControlPlane {
    pub async fn gateways(&self, context: &RequestContext) -> Result<Vec<GatewayLag>> {
        context.caller.require_account_scope()?;
        let mut gateways = Vec::new();
        for gateway in self.store.single_cell().gateways().await? {
            let next = self.store.single_cell().audit_feed().read(gateway.cursor, 1, Duration::ZERO).await?.entries;
            let lag = next.first().map(|entry| self.now().since(entry.version.timestamp())).unwrap_or_default();
            gateways.push(GatewayLag { gateway, lag });
        }
        Ok(gateways)
    }

    /// Waits until every known gateway has applied the change at a position, at most for `wait`, and returns what was reached. The wait ends
    /// early if another account has less than its share of these waits.
    pub async fn await_propagation(
        &self,
        account: &AccountId,
        position: Position,
        wait: Duration,
    ) -> Result<PropagationStatus> {
        let unknown = |error| {
            tracing::warn!(error = %error_chain(&error), "reading the gateways that have applied a change failed");
            let detail = "the change was committed, but which gateways have applied it is unknown; it is safe to repeat the request";
            Failure::refused(ErrorCode::StoreUnavailable, detail)
        };
        let wait = wait.min(MAX_WAIT);
        let waiting = async {
            let Some(permit) = self.limits.propagation_waits.acquire(account, wait.min(PERMIT_TIMEOUT)).await else {
                self.metrics.count_no_permit("waits");
                return None;
            };
            tokio::select! {
                reached = self.poll_until_propagated(position) => Some(reached),
                () = permit.preempted() => None,
            }
        };
        match tokio::time::timeout(wait, waiting).await {
            Ok(Some(reached)) => reached.map_err(unknown),
            Ok(None) | Err(_) => self.propagation_status(position).await.map_err(unknown),
        }
    }

    async fn poll_until_propagated(&self, position: Position) -> StoreResult<PropagationStatus> {
        let [mut pause, longest] = POLL_INTERVALS;
        loop {
            let status = self.propagation_status(position).await?;
            if status.applied == status.known {
                return Ok(status);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    async fn propagation_status(&self, position: Position) -> StoreResult<PropagationStatus> {
        let cell = position.cell;
        let gateways = self.store.cell(cell).gateways().await?;
        let has_applied = |gateway: &&RegisteredGateway| position.is_reached_by(cell, gateway.cursor) == Some(true);
        let applied = gateways.iter().filter(has_applied).count();
        Ok(PropagationStatus { applied, known: gateways.len() })
    }
}
