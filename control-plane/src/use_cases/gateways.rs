//! Gateways: how far they have come, and waiting until all have applied a change.

use std::time::Duration;

use gatepost_domain::id::AccountId;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::time::Version;
use gatepost_store::Result as StoreResult;
use gatepost_store::act::KnownGateway;

use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::{Failure, Result};

/// The longest that an answer waits for gateways.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(30);
/// Answers that wait for gateways at a time in one process.
pub(crate) const MAX_WAITING: usize = 500;
/// How long one waits for its turn; then it tells what was reached.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait before the gateways are read again: at first, then ever longer up to the second.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(200)];

/// How many of the known gateways have applied a change. A gateway is known until it has signed off or
/// must be refusing everything by its own promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Propagation {
    pub(crate) applied: usize,
    pub(crate) known: usize,
}

/// A gateway, and for how long the oldest change that it has not applied has stood.
#[derive(Debug)]
pub(crate) struct GatewayLag {
    pub(crate) gateway: KnownGateway,
    pub(crate) lag: Duration,
}

impl ControlPlane {
    /// The known gateways.
    pub(crate) async fn gateways(&self, caller: &Caller) -> Result<Vec<GatewayLag>> {
        caller.sees_account()?;
        let mut gateways = Vec::new();
        for gateway in self.store.gateways().await? {
            let next = self.store.feed(gateway.cursor, 1, Duration::ZERO).await?;
            let lag = next.first().map(|entry| self.now().since(entry.version.moment())).unwrap_or_default();
            gateways.push(GatewayLag { gateway, lag });
        }
        Ok(gateways)
    }

    /// Waits until every known gateway has applied a version, at most so long, and tells what was reached. It waits less
    /// long where another account has less than its share of these waits.
    pub(crate) async fn await_propagation(
        &self,
        account: &AccountId,
        version: Version,
        wait: Duration,
    ) -> Result<Propagation> {
        let unknown = |error| {
            tracing::warn!(%error, "who has applied a change is not known");
            let detail = "the change was committed, but who has applied it is not known; to repeat the request is safe";
            Failure::refused(ErrorCode::StoreUnavailable, detail)
        };
        let wait = wait.min(MAX_WAIT);
        let waiting = async {
            let Some(place) = self.waiting.take(account, wait.min(PATIENCE)).await else {
                self.metrics.no_place("waits");
                return None;
            };
            tokio::select! {
                reached = self.until_propagated(version) => Some(reached),
                () = place.recalled() => None,
            }
        };
        match tokio::time::timeout(wait, waiting).await {
            Ok(Some(reached)) => reached.map_err(unknown),
            Ok(None) | Err(_) => self.propagation(version).await.map_err(unknown),
        }
    }

    async fn until_propagated(&self, version: Version) -> StoreResult<Propagation> {
        let [mut pause, longest] = PAUSES;
        loop {
            let reached = self.propagation(version).await?;
            if reached.applied == reached.known {
                return Ok(reached);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    async fn propagation(&self, version: Version) -> StoreResult<Propagation> {
        let gateways = self.store.gateways().await?;
        let applied = gateways.iter().filter(|gateway| version <= gateway.cursor).count();
        Ok(Propagation { applied, known: gateways.len() })
    }
}
