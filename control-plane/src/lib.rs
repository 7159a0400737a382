//! The control plane: use cases, and the admin REST API over them.

mod api;
mod caller;
mod commit;
mod failure;
mod metrics;
mod server;
mod use_cases;

pub use api::openapi_json;
pub use caller::Caller;
pub use failure::Failure;
pub use server::{ControlPlaneServer, NotStarted};
pub use use_cases::access_keys::{Created, NewAccessKey};

use std::sync::Arc;

use gatepost_deliverer::{Guard, PrivateNetworks};
use gatepost_domain::time::{Clock, Timestamp};
use gatepost_store::Store;
use prometheus::Registry;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;

/// All use cases, over one store. Clones share it.
#[derive(Clone)]
pub struct ControlPlane {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) guard: Guard,
    pub(crate) metrics: Arc<Metrics>,
    /// For answers that wait for gateways.
    pub(crate) waiting: Arc<Semaphore>,
}

impl ControlPlane {
    /// The use cases over a store.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        private_networks: PrivateNetworks,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let metrics = Arc::new(Metrics::register(registry)?);
        let waiting = Arc::new(Semaphore::new(use_cases::gateways::MAX_WAITING));
        Ok(Self { store, clock, guard: Guard::new(private_networks), metrics, waiting })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
