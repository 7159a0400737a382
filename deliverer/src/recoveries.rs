//! Recoveries: sends dead and dropped deliveries of webhooks again, in parts so small that live events are not delayed.
//!
//! A recovery is a job in the store, with a cursor. Each step enqueues some deliveries and moves the cursor in one
//! operation, so a deliverer may die at any time, and several may race: the store applies each step once.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::record::{Webhook, WebhookStatus};
use gatepost_runtime::error_chain;
use gatepost_store::{
    RecoveryPace, RecoveryStatus, RecoveryStepOutcome, Result, RunningRecovery, StoreErrorKind, Versioned,
};
use tokio::sync::watch;

use crate::context::{DelivererContext, sleep_unless_stopped};
use crate::send_limits::SendLimits;

/// Deliveries of a webhook that may be due or in flight while it recovers, as a multiple of its in-flight cap: enough to
/// have the next ones ready, and few enough that a new event is sent soon.
const OPEN_PER_CAP: u64 = 2;
/// Recoveries that are read at a time.
const PAGE: u32 = 100;
/// Interval of rounds while a recovery enqueues.
const BUSY_INTERVAL: Duration = Duration::from_millis(20);
/// Interval of rounds while all recoveries wait for room in their queues, or for a paused webhook.
const WAITING_INTERVAL: Duration = Duration::from_millis(100);
/// Interval at which new recoveries are looked for.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// Delay before the next round after a failure of the store.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// What a round or a step did. Later ones have a greater need for the next round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Activity {
    /// No recovery runs.
    Idle,
    /// Nothing can be enqueued now.
    Waiting,
    /// Deliveries were enqueued, or the cursor moved.
    Busy,
}

impl Activity {
    fn interval(self) -> Duration {
        match self {
            Activity::Idle => IDLE_INTERVAL,
            Activity::Waiting => WAITING_INTERVAL,
            Activity::Busy => BUSY_INTERVAL,
        }
    }
}

/// Advances recoveries until the deliverer is stopped.
pub(crate) async fn run(context: Arc<DelivererContext>) {
    let mut stopped = context.stopped.clone();
    while !*stopped.borrow() {
        let wait = match run_round(&context, &stopped).await {
            Ok(activity) => activity.interval(),
            Err(error) => {
                tracing::warn!(error = %error_chain(&error), "advancing recoveries failed, retrying in 5 s");
                PAUSE_AFTER_FAILURE
            }
        };
        sleep_unless_stopped(&mut stopped, wait).await;
    }
}

/// Runs one step of each recovery.
async fn run_round(context: &DelivererContext, stopped: &watch::Receiver<bool>) -> Result<Activity> {
    let (mut activity, mut after) = (Activity::Idle, None);
    while !*stopped.borrow() {
        let page = context.store.running_recoveries(after.as_ref(), PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (webhook, running) in page {
            let advanced = match running {
                Ok(running) => advance(context, &running).await,
                Err(error) => Err(error),
            };
            match advanced {
                Ok(step) => activity = activity.max(step),
                // It must not hold up the others.
                Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                    activity = activity.max(Activity::Waiting);
                    tracing::debug!(
                        error = %error_chain(&error),
                        webhook = webhook.as_str(),
                        "a recovery cannot be read, it stays where it is"
                    );
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(activity)
}

async fn advance(context: &DelivererContext, running: &RunningRecovery) -> Result<Activity> {
    let Some(webhook) = context.store.webhook(&running.webhook).await? else {
        cancel_of_removed(context, running).await?;
        return Ok(Activity::Busy);
    };
    let pace = pace_of(&webhook, context.options.max_pending);
    if webhook.record.status == WebhookStatus::Paused || running.open >= pace.max_open {
        return Ok(Activity::Waiting);
    }
    match context.store.run_recovery_step(running, pace).await? {
        RecoveryStepOutcome::Advanced { recovered, skipped, status } => {
            context.metrics.count_recovered(recovered, skipped);
            context.wake.notify_one();
            if status == RecoveryStatus::Finished {
                log_end(running, recovered, skipped);
            }
            Ok(Activity::Busy)
        }
        RecoveryStepOutcome::Conflict => Ok(Activity::Waiting),
    }
}

fn pace_of(webhook: &Versioned<Webhook>, max_pending: u64) -> RecoveryPace {
    let cap = SendLimits::of(&webhook.record.delivery).in_flight_cap();
    RecoveryPace { max_open: OPEN_PER_CAP * u64::from(cap), max_pending }
}

/// Ends a recovery that was created while its webhook was being removed.
async fn cancel_of_removed(context: &DelivererContext, running: &RunningRecovery) -> Result<()> {
    let webhook = &running.webhook;
    context.store.cancel_recovery(webhook, &running.job.id).await?;
    tracing::info!(webhook = webhook.as_str(), recovery = running.job.id.as_str(), "a recovery ended with its webhook");
    Ok(())
}

fn log_end(running: &RunningRecovery, recovered: u64, skipped: u64) {
    tracing::info!(
        webhook = running.webhook.as_str(),
        recovery = running.job.id.as_str(),
        recovered = running.job.recovered + recovered,
        skipped = running.job.skipped + skipped,
        "a recovery has finished"
    );
}
