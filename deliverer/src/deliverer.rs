//! A deliverer's tasks, from start to stop.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::time::Clock;
use gatepost_runtime::{Task, supervise_on};
use gatepost_store::Store;
use prometheus::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::address::Guard;
use crate::metrics::Metrics;
use crate::options::{DelivererOptions, STOP_GRACE};
use crate::send::Sender;
use crate::settle::Settler;
use crate::shared::Shared;
use crate::shares::Shares;
use crate::{fan_out, housekeeping, work};

/// How long settling, and what the tasks are about, may take at a stop.
const SETTLE_DEADLINE: Duration = Duration::from_secs(5);

/// A running deliverer.
#[derive(Debug)]
pub struct Deliverer {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    shares: Shares,
}

/// Why a deliverer did not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the deliverer: {0}")]
pub struct NotStarted(Box<dyn std::error::Error + Send + Sync>);

impl Deliverer {
    /// Starts fan-out, work and housekeeping. Several deliverers may run on one store.
    pub fn start(
        store: Store,
        clock: Arc<dyn Clock>,
        options: DelivererOptions,
        registry: &Registry,
    ) -> Result<Self, NotStarted> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| NotStarted(error);
        let guard = Guard::new(options.private_networks);
        let (stop, stopped) = watch::channel(false);
        let shared = Shared {
            settler: Settler::start(store.clone()),
            store,
            options,
            sender: Sender::new(guard, clock).map_err(|error| failed(error.into()))?,
            metrics: Metrics::register(registry).map_err(|error| failed(error.into()))?,
            wake: Arc::default(),
            shares: Shares::new(),
            stopped,
        };
        let shares = shared.shares.clone();
        let mut tasks = JoinSet::new();
        let (of_fan_out, of_work) = (shared.clone(), shared.clone());
        supervise_on(&mut tasks, Task::FanOut, move || fan_out::run(of_fan_out.clone()));
        supervise_on(&mut tasks, Task::Dispatcher, move || work::run(of_work.clone()));
        supervise_on(&mut tasks, Task::Housekeeping, move || housekeeping::run(shared.clone()));
        Ok(Self { stop, tasks, shares })
    }

    /// Takes no further delivery, waits a while for those that are being sent, and gives the others back.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let ending = async {
            while self.tasks.join_next().await.is_some() {}
            self.shares.all_free().await;
        };
        // What cannot be given back comes back when its lease ends.
        drop(tokio::time::timeout(STOP_GRACE + SETTLE_DEADLINE, ending).await);
    }
}
