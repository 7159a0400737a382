//! The control plane: use cases, and the admin REST API over them.

mod api;
mod caller;
mod commit;
mod failure;
mod guesses;
mod json;
mod kept;
mod members;
mod metrics;
mod request;
mod server;
mod shares;
mod use_cases;

pub use api::openapi_json;
pub use caller::Caller;
pub use failure::Failure;
pub use json::parse as parse_json;
pub use members::UnknownMembers;
pub use server::{ControlPlaneServer, ListenOptions};
pub use use_cases::import::{ImportOptions, Imported, Importer, Mode, Notice, UnknownInRows};
pub use use_cases::operator::{AccountWas, Created, NewAccessKey};
pub use use_cases::purge::{Purged, Tally};

use std::sync::Arc;

use gatepost_deliverer::send::Sender;
use gatepost_deliverer::{Guard, PrivateNetworks};
use gatepost_domain::id::AccountId;
use gatepost_domain::time::{Clock, Timestamp};
use gatepost_store::Store;
use gatepost_verify::{Meters, Pace};
use prometheus::Registry;
use tokio::sync::{Semaphore, watch};

use crate::guesses::Guesses;
use crate::metrics::Metrics;
use crate::shares::Shares;
use crate::use_cases::webhooks::ping;

/// All use cases, over one store. Clones share it.
#[derive(Clone)]
pub struct ControlPlane {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) guard: Guard,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) meters: Meters,
    /// For answers that wait for gateways.
    pub(crate) waiting: Shares,
    /// For pages of lists that are being read.
    pub(crate) lists: Shares,
    /// For those of them that are worked on.
    pub(crate) list_turns: Arc<Semaphore>,
    pub(crate) guesses: Arc<Guesses>,
    pub(crate) sender: Sender,
    pub(crate) pings: Pace<AccountId>,
    /// For answers that are kept for requests that are repeated.
    pub(crate) kept_answers: Pace<AccountId>,
    /// For what accounts make.
    pub(crate) creations: Pace<AccountId>,
    /// For streams of events.
    pub(crate) streaming: Shares,
    /// True once the server stops, so that what would never end does.
    pub(crate) stopping: watch::Sender<bool>,
    /// For pings that are being sent.
    pub(crate) pinging: Shares,
    /// What becomes of a request whose body has members that are not known.
    pub(crate) unknown_members: UnknownMembers,
}

/// Why the use cases could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the admin API: {0}")]
pub struct NotMade(Box<dyn std::error::Error + Send + Sync>);

impl ControlPlane {
    /// The use cases over a store.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        private_networks: PrivateNetworks,
        meters: Meters,
        registry: &Registry,
    ) -> Result<Self, NotMade> {
        let guard = Guard::new(private_networks);
        Ok(Self {
            metrics: Arc::new(Metrics::register(registry).map_err(|error| NotMade(error.into()))?),
            sender: Sender::new(guard, Arc::clone(&clock)).map_err(|error| NotMade(error.into()))?,
            waiting: Shares::new(use_cases::gateways::MAX_WAITING, 0),
            lists: Shares::new(use_cases::lists::MAX_LISTS, use_cases::lists::LISTS_KEPT),
            list_turns: Arc::new(Semaphore::new(use_cases::lists::turns())),
            guesses: Arc::new(Guesses::new(guesses::WRONG_A_MINUTE)),
            pings: Pace::new(ping::PING_EVERY, ping::PING_BURST, ping::MAX_ACCOUNTS),
            kept_answers: Pace::new(kept::EVERY, kept::BURST, kept::MAX_ACCOUNTS),
            creations: Pace::new(commit::CREATION_EVERY, commit::CREATION_BURST, commit::MAX_ACCOUNTS),
            streaming: Shares::new(use_cases::events::MAX_STREAMS, 0),
            stopping: watch::Sender::new(false),
            pinging: Shares::new(ping::MAX_PINGS, ping::PINGS_KEPT),
            unknown_members: UnknownMembers::default(),
            store,
            clock,
            guard,
            meters,
        })
    }

    /// The same, where an address may send so many wrong access keys in a minute.
    #[must_use]
    pub fn with_wrong_access_keys_a_minute(self, wrong_access_keys: u32) -> Self {
        Self { guesses: Arc::new(Guesses::new(wrong_access_keys)), ..self }
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
