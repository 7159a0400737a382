//! The deliverer's tasks, from start to stop.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::time::Clock;
use gatepost_runtime::{Task, supervise_on};
use gatepost_store::CellStore;
use prometheus::Registry;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::ack_batcher::AckBatcher;
use crate::context::DelivererContext;
use crate::fair_scheduler::FairScheduler;
use crate::metrics::Metrics;
use crate::options::{DelivererOptions, STOP_GRACE};
use crate::{dispatcher, fan_out, housekeeping, recoveries, usage_roll_up};
use gatepost_webhook_client::SsrfGuard;
use gatepost_webhook_client::{LoadCertificatesError, Sender};

/// Time that settling and ending the tasks may take at a stop, in addition to [`STOP_GRACE`].
const ACK_DEADLINE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Deliverer {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    scheduler: FairScheduler,
}

/// Why a deliverer could not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the deliverer")]
pub enum StartError {
    /// The CA certificates cannot be loaded.
    Certificates(#[from] LoadCertificatesError),
    /// Its metrics are already registered.
    Metrics(#[from] prometheus::Error),
}

impl Deliverer {
    /// Starts fan-out, dispatcher, recoveries and housekeeping. Several deliverers may run on one store.
    ///
    /// # Errors
    /// Fails if the CA certificates of the system cannot be loaded, or if the metrics are already registered.
    pub fn start(
        store: CellStore,
        clock: Arc<dyn Clock>,
        options: DelivererOptions,
        registry: &Registry,
    ) -> Result<Self, StartError> {
        let guard = SsrfGuard::new(options.private_networks);
        let (stop, stopped) = watch::channel(false);
        let wake = Arc::new(Notify::new());
        let scheduler = FairScheduler::new(Arc::clone(&wake));
        let context = Arc::new(DelivererContext {
            ack_batcher: AckBatcher::start(store.clone(), scheduler.clone(), Arc::clone(&wake)),
            store,
            options,
            sender: Sender::new(guard, clock)?,
            metrics: Metrics::register(registry)?,
            wake,
            scheduler: scheduler.clone(),
            stopped,
        });
        let mut tasks = JoinSet::new();
        let [fan_out_context, dispatcher_context, recovery_context, roll_up_context] =
            std::array::from_fn(|_| Arc::clone(&context));
        supervise_on(&mut tasks, Task::FanOut, move || fan_out::run(Arc::clone(&fan_out_context)));
        supervise_on(&mut tasks, Task::Dispatcher, move || dispatcher::run(Arc::clone(&dispatcher_context)));
        supervise_on(&mut tasks, Task::WebhookRecovery, move || recoveries::run(Arc::clone(&recovery_context)));
        supervise_on(&mut tasks, Task::UsageRollUp, move || usage_roll_up::run(Arc::clone(&roll_up_context)));
        supervise_on(&mut tasks, Task::Housekeeping, move || housekeeping::run(Arc::clone(&context)));
        Ok(Self { stop, tasks, scheduler })
    }

    /// Stops leasing, waits up to 5 s for deliveries that are being sent, and releases the others, due at once.
    /// Returns after at most 10 s.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let drain = async {
            while self.tasks.join_next().await.is_some() {}
            self.scheduler.wait_until_idle().await;
        };
        // Deliveries that could not be released become due again when their leases end.
        let _ = tokio::time::timeout(STOP_GRACE + ACK_DEADLINE, drain).await;
    }
}
