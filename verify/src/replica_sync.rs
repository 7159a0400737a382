//! Replica sync: for each cell, the reader of the stream, the heartbeat, and the retry of pending first-use claims.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::change::Propagation;
use gatepost_domain::time::Clock;
use gatepost_limits::RateLimiter;
use gatepost_runtime::{Task, error_chain, supervise_on};
use gatepost_store::{
    CellStore, FirstUseOutcome, Heartbeat, InvalidationBatch, InvalidationEntry, Recovery, Result, StoreErrorKind,
};
use prometheus::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::lease::Liveness;
use crate::options::VerifyOptions;
use crate::replica::{Replica, StreamPosition};
use crate::verifier::Verifier;

/// Time between two heartbeats of the only gateway, and how much longer it is for each gateway: 750 ms of 100.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
const HEARTBEAT_STEP: Duration = Duration::from_micros(2500);
/// Minimum time between two heartbeats, even if a change must be acknowledged at once.
const MIN_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(10);
/// Maximum time that a read of the feed waits for a change.
const FEED_WAIT: Duration = Duration::from_secs(2);
/// Maximum number of entries per read.
const FEED_BATCH: u32 = 1000;
/// Delay before the feed is read again after a failure.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);
/// Number of entries of a read after which the next one follows at once.
const MAX_ENTRIES_WITHOUT_PAUSE: usize = 2;
/// Pause after a read of many entries, for each entry beyond these, and at most for each gateway.
const PAUSE_STEP: Duration = Duration::from_micros(500);
/// Gateways beyond these make no pause longer: reads are at most 50 ms apart, heartbeats 750 ms.
const MAX_COUNTED_GATEWAYS: u32 = 100;
/// Maximum number of claims retried per round.
const MAX_CLAIMS_PER_ROUND: usize = 100;

/// A running verifier with the tasks that keep its replicas up to date.
#[derive(Debug)]
pub struct ReplicaSync {
    verifier: Arc<Verifier>,
    tasks: JoinSet<()>,
    stop: watch::Sender<()>,
}

/// Registers a gateway with each cell of the store, raises all watermarks to the last position, and starts to follow
/// the streams. The gateway may accept connections only after that. `cells` are the cells in the order of their indexes:
/// one today.
///
/// # Errors
/// Fails if there is no cell or more than 255, if the metrics are already registered (`Refused` both), or if the first
/// heartbeat to a cell fails.
pub async fn start(
    cells: Vec<CellStore>,
    clock: Arc<dyn Clock>,
    options: &VerifyOptions,
    rate_limiter: RateLimiter,
    registry: &Registry,
) -> Result<ReplicaSync> {
    let verifier = Arc::new(Verifier::new(cells, clock, options, rate_limiter, registry)?);
    let (stop, stopped) = watch::channel(());
    let mut tasks = JoinSet::new();
    for replica in verifier.replicas() {
        send_heartbeat(replica).await?;
    }
    for replica in verifier.replicas() {
        spawn_tasks(replica, &mut tasks, &stopped);
    }
    Ok(ReplicaSync { verifier, tasks, stop })
}

fn spawn_tasks(replica: &Arc<Replica>, tasks: &mut JoinSet<()>, stopped: &watch::Receiver<()>) {
    let state = (Arc::clone(replica), stopped.clone());
    let (follower, heartbeats, claims) = (state.clone(), state.clone(), state);
    supervise_on(tasks, Task::Sync, move || {
        let (replica, stopped) = follower.clone();
        run_until_stopped(stopped, follow_stream(replica))
    });
    supervise_on(tasks, Task::Heartbeat, move || {
        let (replica, stopped) = heartbeats.clone();
        run_until_stopped(stopped, send_heartbeats(replica))
    });
    supervise_on(tasks, Task::FirstUseSweep, move || {
        let (replica, stopped) = claims.clone();
        run_until_stopped(stopped, retry_claims_forever(replica))
    });
}

impl ReplicaSync {
    /// Returns the verifier, which checks the requests.
    pub fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.verifier)
    }

    /// Stops the sync and deregisters the gateway. To be called after the last request.
    ///
    /// # Errors
    /// Fails if a cell does not respond. Changes there then wait for this gateway until its lease has ended.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.send_replace(());
        while self.tasks.join_next().await.is_some() {}
        for replica in self.verifier.replicas() {
            retry_pending_claims(replica).await;
            // Requests on connections that are still open go to the store from now on.
            replica.lease.end();
        }
        self.verifier.rate_limiter.stop().await;
        let mut result = Ok(());
        for replica in self.verifier.replicas() {
            result = result.and(replica.store.deregister_gateway(&replica.gateway).await);
        }
        result
    }
}

async fn run_until_stopped(mut stopped: watch::Receiver<()>, task: impl Future<Output = ()>) {
    tokio::select! {
        () = task => {}
        _ = stopped.changed() => {}
    }
}

/// Follows the stream forever.
async fn follow_stream(replica: Arc<Replica>) {
    loop {
        let from = replica.position().clone();
        match replica.store.invalidation_feed().read(&from.cursor, FEED_BATCH, FEED_WAIT).await {
            Ok(batch) => {
                apply_batch(&replica, &batch, &from);
                tokio::time::sleep(pause_after(batch.entries.len(), replica.gateways())).await;
            }
            Err(error) => {
                replica.metrics.count_store_error(&error);
                tracing::debug!(error = %error_chain(&error), "reading the feed failed, retrying in 200 ms");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// Returns the pause after a read with this many entries. While so many changes are made that several come at once, each
/// read costs the store less per change if more of them come together; the more gateways there are, the more that is
/// worth. A change that comes alone is read at once.
fn pause_after(entries: usize, gateways: u32) -> Duration {
    let excess = u32::try_from(entries.saturating_sub(MAX_ENTRIES_WITHOUT_PAUSE)).unwrap_or(u32::MAX);
    PAUSE_STEP * excess.min(gateways).min(MAX_COUNTED_GATEWAYS)
}

/// Applies the entries of a read, then moves the cursor.
fn apply_batch(replica: &Replica, batch: &InvalidationBatch, from: &StreamPosition) {
    let mut position = replica.position();
    let is_lost =
        |position: &mut StreamPosition| replica.reset_if_lost(position, from.cursor.version, &batch.cursor_check);
    if position.moves != from.moves || is_lost(&mut position) {
        return;
    }
    apply_entries(replica, &mut position, &batch.entries);
    replica.switch_stream(&mut position, &batch.cursor_check.end);
}

fn apply_entries(replica: &Replica, position: &mut StreamPosition, entries: &[InvalidationEntry]) {
    let Some(last) = entries.last() else { return };
    let now = replica.clock.now();
    for entry in entries {
        replica.recent_revocations.record(entry);
        replica.watermarks.raise(&entry.invalidation, entry.version);
        replica.metrics.propagation_s.observe(now.since(entry.version.timestamp()).as_secs_f64());
    }
    position.cursor.version = last.version;
    position.cursor.event.clone_from(&last.event);
    replica.watermarks.advance_cursor(last.version);
    replica.lease.confirm_through(last.version);
    if entries.iter().any(|entry| entry.propagation == Propagation::Fenced) {
        replica.heartbeat_due.notify_one();
    }
}

async fn send_heartbeats(replica: Arc<Replica>) {
    let mut was_live = true;
    loop {
        if let Err(error) = send_heartbeat(&replica).await {
            replica.metrics.count_store_error(&error);
            tracing::debug!(error = %error_chain(&error), "heartbeat failed, retrying");
        }
        was_live = log_liveness(&replica, was_live);
        let gateways = replica.gateways().min(MAX_COUNTED_GATEWAYS);
        let pause = MIN_HEARTBEAT_INTERVAL.max(PAUSE_STEP * gateways);
        tokio::time::sleep(pause).await;
        tokio::select! {
            () = tokio::time::sleep(HEARTBEAT_INTERVAL + HEARTBEAT_STEP * gateways - pause) => {}
            () = replica.heartbeat_due.notified() => {}
        }
    }
}

async fn send_heartbeat(replica: &Replica) -> Result<()> {
    let from = replica.position().clone();
    let sent = replica.clock.uptime();
    let heartbeat = Heartbeat {
        gateway: replica.gateway.clone(),
        cursor: from.cursor.clone(),
        valid_for: replica.lease.valid_for(),
        label: replica.label.clone(),
    };
    let reply = replica.store.heartbeat(heartbeat).await?;
    replica.set_checksum_policy(reply.checksum);
    replica.set_gateways(reply.gateways);
    let mut position = replica.position();
    if position.moves != from.moves {
        // The reply belongs to a position that was left in the meantime.
        return Ok(());
    }
    let check = &reply.cursor_check;
    replica.reset_if_lost(&mut position, from.cursor.version, check);
    replica.lease.renew(sent, check.end.version, position.cursor.version);
    Ok(())
}

/// Logs when the gateway stops being live or is live again. Returns whether it is.
fn log_liveness(replica: &Replica, was_live: bool) -> bool {
    let is_live = replica.liveness(replica.clock.uptime()) == Liveness::Live;
    if was_live && !is_live {
        tracing::warn!(
            "not live: for 2 s no heartbeat succeeded whose position the feed has reached, retrying; \
             cached keys are accepted until max_stale"
        );
    }
    if !was_live && is_live {
        tracing::info!("live again");
    }
    is_live
}

async fn retry_claims_forever(replica: Arc<Replica>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        retry_pending_claims(&replica).await;
    }
}

/// Retries pending claims until the store fails to respond.
async fn retry_pending_claims(replica: &Replica) {
    for claim in replica.pending_claims.batch(MAX_CLAIMS_PER_ROUND) {
        match replica.store.claim_first_use(&claim.facts, &claim.digest, claim.client).await {
            Ok(outcome) => {
                // The key may be one that a new master has lost, so the claim stays pending.
                if outcome == FirstUseOutcome::NotActive && replica.store.recovery() == Recovery::InProgress {
                    continue;
                }
                if matches!(outcome, FirstUseOutcome::Won(_)) {
                    replica.metrics.first_use.inc();
                }
                replica.pending_claims.remove(&claim.facts.key);
            }
            Err(error) => {
                replica.metrics.count_store_error(&error);
                tracing::debug!(error = %error_chain(&error), "claiming a first use failed, retrying in 1 s");
                if error.kind() == StoreErrorKind::Unavailable {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_pause_only_while_many_changes_come_and_longer_the_more_gateways_there_are() {
        let ms = |entries, gateways| pause_after(entries, gateways).as_secs_f64() * 1e3;
        assert_eq!([ms(0, 100), ms(1, 100), ms(2, 100)], [0.0; 3]);
        assert_eq!([ms(3, 100), ms(12, 100), ms(1000, 100), ms(1000, 5000)], [0.5, 5.0, 50.0, 50.0]);
        assert_eq!([ms(12, 1), ms(1000, 1), ms(1000, 10)], [0.5, 0.5, 5.0]);
    }
}
