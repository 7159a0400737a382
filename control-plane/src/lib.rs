//! The control plane: use cases, and the admin REST API over them.

mod api;
mod brute_force;
mod caller;
mod commit;
mod failure;
mod fair_share;
mod json;
mod members;
mod metrics;
mod request_context;
mod server;
mod stored_response;
mod use_cases;

pub use api::openapi_json;
pub use caller::Caller;
pub use failure::Failure;
pub use json::parse as parse_json;
pub use members::UnknownMembers;
pub use server::{ControlPlaneServer, ListenOptions};
pub use use_cases::import::{ImportOptions, ImportOutcome, Importer, Notify, RunMode, UnknownRowMembers};
pub use use_cases::operator::{AccountOutcome, CreatedAccessKey, NewAccessKey};
pub use use_cases::purge::{PurgeReport, Tally};

use std::sync::Arc;

use gatepost_deliverer::send::Sender;
use gatepost_deliverer::{PrivateNetworks, SsrfGuard};
use gatepost_domain::id::AccountId;
use gatepost_domain::time::{Clock, Timestamp};
use gatepost_store::Store;
use gatepost_verify::{Gcra, RateLimiter};
use prometheus::Registry;
use tokio::sync::{Semaphore, watch};

use crate::brute_force::BruteForceLimiter;
use crate::fair_share::FairShare;
use crate::metrics::Metrics;
use crate::use_cases::webhooks::ping;

/// All use cases, over one store. Clones share it.
#[derive(Clone)]
pub struct ControlPlane {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ssrf_guard: SsrfGuard,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) rate_limiter: RateLimiter,
    /// For answers that wait for gateways.
    pub(crate) propagation_waits: FairShare,
    /// For pages of lists that are being read.
    pub(crate) list_reads: FairShare,
    /// For those of them that are worked on.
    pub(crate) list_permits: Arc<Semaphore>,
    pub(crate) brute_force: Arc<BruteForceLimiter>,
    pub(crate) sender: Sender,
    pub(crate) ping_limiter: Gcra<AccountId>,
    /// For answers that are kept for requests that are repeated.
    pub(crate) stored_response_limiter: Gcra<AccountId>,
    /// For what accounts make.
    pub(crate) creation_limiter: Gcra<AccountId>,
    /// For streams of events.
    pub(crate) event_streams: FairShare,
    /// True once the server stops, so that what would never end does.
    pub(crate) shutdown: watch::Sender<bool>,
    /// For pings that are being sent.
    pub(crate) concurrent_pings: FairShare,
    /// What becomes of a request whose body has members that are not known.
    pub(crate) unknown_members: UnknownMembers,
}

/// Why the use cases could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the admin API: {0}")]
pub struct BuildError(Box<dyn std::error::Error + Send + Sync>);

impl ControlPlane {
    /// The use cases over a store.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        private_networks: PrivateNetworks,
        rate_limiter: RateLimiter,
        registry: &Registry,
    ) -> Result<Self, BuildError> {
        let ssrf_guard = SsrfGuard::new(private_networks);
        Ok(Self {
            metrics: Arc::new(Metrics::register(registry).map_err(|error| BuildError(error.into()))?),
            sender: Sender::new(ssrf_guard, Arc::clone(&clock)).map_err(|error| BuildError(error.into()))?,
            propagation_waits: FairShare::new(use_cases::gateways::MAX_WAITS, 0),
            list_reads: FairShare::new(use_cases::lists::MAX_LIST_READS, use_cases::lists::RESERVED_LIST_READS),
            list_permits: Arc::new(Semaphore::new(use_cases::lists::max_list_permits())),
            brute_force: Arc::new(BruteForceLimiter::new(brute_force::FAILURES_PER_MINUTE)),
            ping_limiter: Gcra::new(ping::PING_INTERVAL, ping::PING_BURST, ping::MAX_ACCOUNTS),
            stored_response_limiter: Gcra::new(
                stored_response::RESPONSE_INTERVAL,
                stored_response::RESPONSE_BURST,
                stored_response::MAX_ACCOUNTS,
            ),
            creation_limiter: Gcra::new(commit::CREATION_INTERVAL, commit::CREATION_BURST, commit::MAX_ACCOUNTS),
            event_streams: FairShare::new(use_cases::events::MAX_STREAMS, 0),
            shutdown: watch::Sender::new(false),
            concurrent_pings: FairShare::new(ping::MAX_PINGS, ping::RESERVED_PINGS),
            unknown_members: UnknownMembers::default(),
            store,
            clock,
            ssrf_guard,
            rate_limiter,
        })
    }

    /// The same, where an address may send so many wrong access keys in a minute.
    #[must_use]
    pub fn with_auth_failures_per_minute(self, failures_per_minute: u32) -> Self {
        Self { brute_force: Arc::new(BruteForceLimiter::new(failures_per_minute)), ..self }
    }

    /// The same with another rule for request bodies with unknown members.
    #[must_use]
    pub fn with_unknown_members(self, unknown_members: UnknownMembers) -> Self {
        Self { unknown_members, ..self }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
