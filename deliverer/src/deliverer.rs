//! A deliverer's tasks, from start to stop.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::time::Clock;
use gatepost_runtime::{Task, supervise_on};
use gatepost_store::Store;
use prometheus::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::ack_batcher::AckBatcher;
use crate::context::DelivererContext;
use crate::fair_scheduler::FairScheduler;
use crate::metrics::Metrics;
use crate::options::{DelivererOptions, STOP_GRACE};
use crate::send::Sender;
use crate::ssrf_guard::SsrfGuard;
use crate::{dispatcher, fan_out, housekeeping};

/// How long settling, and what the tasks are about, may take at a stop.
const ACK_DEADLINE: Duration = Duration::from_secs(5);

/// A running deliverer.
#[derive(Debug)]
pub struct Deliverer {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    scheduler: FairScheduler,
}

/// Why a deliverer did not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the deliverer: {0}")]
pub struct StartError(Box<dyn std::error::Error + Send + Sync>);

impl Deliverer {
    /// Starts fan-out, work and housekeeping. Several deliverers may run on one store.
    pub fn start(
        store: Store,
        clock: Arc<dyn Clock>,
        options: DelivererOptions,
        registry: &Registry,
    ) -> Result<Self, StartError> {
        let start_error = |error: Box<dyn std::error::Error + Send + Sync>| StartError(error);
        let guard = SsrfGuard::new(options.private_networks);
        let (stop, stopped) = watch::channel(false);
        let context = DelivererContext {
            ack_batcher: AckBatcher::start(store.clone()),
            store,
            options,
            sender: Sender::new(guard, clock).map_err(|error| start_error(error.into()))?,
            metrics: Metrics::register(registry).map_err(|error| start_error(error.into()))?,
            wake: Arc::default(),
            scheduler: FairScheduler::new(),
            stopped,
        };
        let scheduler = context.scheduler.clone();
        let mut tasks = JoinSet::new();
        let (fan_out_context, dispatcher_context) = (context.clone(), context.clone());
        supervise_on(&mut tasks, Task::FanOut, move || fan_out::run(fan_out_context.clone()));
        supervise_on(&mut tasks, Task::Dispatcher, move || dispatcher::run(dispatcher_context.clone()));
        supervise_on(&mut tasks, Task::Housekeeping, move || housekeeping::run(context.clone()));
        Ok(Self { stop, tasks, scheduler })
    }

    /// Takes no further delivery, waits a while for those that are being sent, and gives the others back.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let drain = async {
            while self.tasks.join_next().await.is_some() {}
            self.scheduler.wait_until_idle().await;
        };
        // What cannot be given back comes back when its lease ends.
        drop(tokio::time::timeout(STOP_GRACE + ACK_DEADLINE, drain).await);
    }
}
