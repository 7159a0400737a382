//! Gateways: their lag, and waiting until all have applied a change.

use std::collections::HashMap;
use std::time::Duration;

use gatepost_domain::id::{AccountId, GatewayId};
use gatepost_domain::partition::Position;
use gatepost_domain::problem::ErrorCode;
use gatepost_runtime::error_chain;
use gatepost_store::RegisteredGateway;
use gatepost_store::Result as StoreResult;
use tokio::time::Instant;

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

/// Propagation of a change, gateway by gateway.
#[derive(Debug)]
pub struct PropagationReport {
    /// Every known gateway, in the order of ids.
    pub gateways: Vec<GatewayPropagation>,
    /// Time from the start of the wait until the report.
    pub waited: Duration,
}

/// A gateway, and whether it has applied a change.
#[derive(Debug)]
pub struct GatewayPropagation {
    pub gateway: RegisteredGateway,
    /// Time from the start of the wait until the gateway was seen to have applied the change; absent if it was not.
    pub applied_after: Option<Duration>,
}

impl PropagationReport {
    pub fn status(&self) -> PropagationStatus {
        let applied = self.gateways.iter().filter(|one| one.applied_after.is_some()).count();
        PropagationStatus { applied, known: self.gateways.len() }
    }
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
        Ok(self.await_gateways(account, position, wait).await?.status())
    }

    /// Waits like [`ControlPlane::await_propagation`], and returns what each gateway has reached. Without a wait it
    /// returns what they have reached now.
    ///
    /// # Errors
    /// `forbidden` for callers that see one project only, as names of gateways are about the whole system.
    pub async fn propagation_report(
        &self,
        context: &RequestContext,
        position: Position,
        wait: Duration,
    ) -> Result<PropagationReport> {
        context.caller.require_account_scope()?;
        self.await_gateways(&context.caller.account, position, wait).await
    }

    async fn await_gateways(
        &self,
        account: &AccountId,
        position: Position,
        wait: Duration,
    ) -> Result<PropagationReport> {
        let unknown = |error| {
            tracing::warn!(error = %error_chain(&error), "reading the gateways that have applied a change failed");
            let detail = "the change was committed, but which gateways have applied it is unknown; it is safe to repeat the request";
            Failure::refused(ErrorCode::StoreUnavailable, detail)
        };
        let wait = wait.min(MAX_WAIT);
        let mut watch = PropagationWatch::new(position);
        let waiting = async {
            let Some(permit) = self.limits.propagation_waits.acquire(account, wait.min(PERMIT_TIMEOUT)).await else {
                self.metrics.count_no_permit("waits");
                return None;
            };
            tokio::select! {
                reached = self.poll_until_propagated(&mut watch) => Some(reached),
                () = permit.preempted() => None,
            }
        };
        match tokio::time::timeout(wait, waiting).await {
            Ok(Some(reached)) => reached.map_err(unknown),
            Ok(None) | Err(_) => self.observe_gateways(&mut watch).await.map_err(unknown),
        }
    }

    async fn poll_until_propagated(&self, watch: &mut PropagationWatch) -> StoreResult<PropagationReport> {
        let [mut pause, longest] = POLL_INTERVALS;
        loop {
            let report = self.observe_gateways(watch).await?;
            let status = report.status();
            if status.applied == status.known {
                return Ok(report);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    async fn observe_gateways(&self, watch: &mut PropagationWatch) -> StoreResult<PropagationReport> {
        Ok(watch.observe(self.store.cell(watch.position.cell).gateways().await?))
    }
}

/// A wait for gateways: when each was first seen to have applied the change.
struct PropagationWatch {
    position: Position,
    started: Instant,
    applied_after: HashMap<GatewayId, Duration>,
}

impl PropagationWatch {
    fn new(position: Position) -> Self {
        Self { position, started: Instant::now(), applied_after: HashMap::new() }
    }

    fn observe(&mut self, mut gateways: Vec<RegisteredGateway>) -> PropagationReport {
        let waited = self.started.elapsed();
        gateways.sort_by(|one, other| one.id.cmp(&other.id));
        let observed = gateways.into_iter().map(|gateway| {
            let has_applied = self.position.is_reached_by(self.position.cell, gateway.cursor) == Some(true);
            let applied_after = has_applied.then(|| *self.applied_after.entry(gateway.id.clone()).or_insert(waited));
            GatewayPropagation { gateway, applied_after }
        });
        PropagationReport { gateways: observed.collect(), waited }
    }
}
