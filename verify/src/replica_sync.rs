//! Replica sync: the reader of the stream, the heartbeat, and the retry of pending first-use claims.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_domain::change::{Invalidation, Propagation};
use gatepost_domain::id::EventId;
use gatepost_domain::time::{Clock, Version};
use gatepost_limits::RateLimiter;
use gatepost_runtime::{Task, error_chain, supervise_on};
use gatepost_store::{CursorCheck, CursorState, FirstUseOutcome, Heartbeat};
use gatepost_store::{Recovery, Result, Store, StoreErrorKind, StreamEntry};
use prometheus::Registry;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::lease::Liveness;
use crate::verifier::{Verifier, VerifyOptions};

/// Time between two heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// Minimum time between two heartbeats, even if a change must be acknowledged at once.
const MIN_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(10);
/// Maximum time that a read of the feed waits for a change.
const FEED_WAIT: Duration = Duration::from_millis(500);
/// Maximum number of entries per read.
const FEED_BATCH: u32 = 1000;
/// Delay before the feed is read again after a failure.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);
/// Maximum number of claims retried per round.
const MAX_CLAIMS_PER_ROUND: usize = 100;

/// Progress of this gateway, and a signal to report it.
#[derive(Debug, Default)]
struct Progress {
    position: Mutex<StreamPosition>,
    /// Notified when the next heartbeat should be sent at once.
    acknowledge: Notify,
}

/// Position shared by the feed and the heartbeat.
#[derive(Debug, Clone, Default)]
struct StreamPosition {
    cursor: Version,
    event: Option<EventId>,
    /// Number of resets. A read that started before the last one is discarded.
    resets: u64,
}

/// A running verifier with the tasks that keep its cache up to date.
#[derive(Debug)]
pub struct ReplicaSync {
    verifier: Arc<Verifier>,
    tasks: JoinSet<()>,
    stop: watch::Sender<()>,
}

/// Registers a gateway with the store, raises all watermarks to the last position, and starts to follow the
/// stream. The gateway may accept connections only after that.
///
/// # Errors
/// Fails if the metrics are already registered (`Refused`) or if the first heartbeat fails.
pub async fn start(
    store: Store,
    clock: Arc<dyn Clock>,
    options: &VerifyOptions,
    rate_limiter: RateLimiter,
    registry: &Registry,
) -> Result<ReplicaSync> {
    let verifier = Verifier::new(store, clock, options, rate_limiter, registry)
        .map_err(|error| StoreErrorKind::Refused.with(error))?;
    let verifier = Arc::new(verifier);
    let progress = Arc::new(Progress::default());
    send_heartbeat(&verifier, &progress).await?;
    let (stop, stopped) = watch::channel(());
    let mut tasks = JoinSet::new();
    let state = (Arc::clone(&verifier), progress, stopped);
    let (follower, heartbeats, claims) = (state.clone(), state.clone(), state);
    supervise_on(&mut tasks, Task::Sync, move || {
        let (verifier, progress, stopped) = follower.clone();
        run_until_stopped(stopped, follow_stream(verifier, progress))
    });
    supervise_on(&mut tasks, Task::Heartbeat, move || {
        let (verifier, progress, stopped) = heartbeats.clone();
        run_until_stopped(stopped, send_heartbeats(verifier, progress))
    });
    supervise_on(&mut tasks, Task::FirstUseSweep, move || {
        let (verifier, _, stopped) = claims.clone();
        run_until_stopped(stopped, retry_claims_forever(verifier))
    });
    Ok(ReplicaSync { verifier, tasks, stop })
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, StreamPosition> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReplicaSync {
    /// Returns the verifier, which checks the requests.
    pub fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.verifier)
    }

    /// Stops the sync and deregisters the gateway. To be called after the last request.
    ///
    /// # Errors
    /// Fails if the store does not respond. Changes then wait for this gateway until its lease has ended.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.send_replace(());
        while self.tasks.join_next().await.is_some() {}
        retry_pending_claims(&self.verifier).await;
        // Requests on connections that are still open go to the store from now on.
        self.verifier.lease.end();
        self.verifier.rate_limiter.stop().await;
        self.verifier.store.deregister_gateway(&self.verifier.gateway).await
    }
}

async fn run_until_stopped(mut stopped: watch::Receiver<()>, task: impl Future<Output = ()>) {
    tokio::select! {
        () = task => {}
        _ = stopped.changed() => {}
    }
}

/// Follows the stream forever.
async fn follow_stream(verifier: Arc<Verifier>, progress: Arc<Progress>) {
    loop {
        let from = progress.lock().clone();
        match verifier.store.read_feed_checked(from.cursor, from.event.clone(), FEED_BATCH, FEED_WAIT).await {
            Ok((entries, cursor_status)) => apply_entries(&verifier, &progress, &entries, cursor_status, &from),
            Err(error) => {
                verifier.metrics.count_store_error(&error);
                tracing::debug!(error = %error_chain(&error), "reading the feed failed, retrying in 200 ms");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// Raises the watermarks for the entries of a read, then moves the cursor.
fn apply_entries(
    verifier: &Verifier,
    progress: &Progress,
    entries: &[StreamEntry],
    cursor_status: CursorCheck,
    from: &StreamPosition,
) {
    let mut position = progress.lock();
    if position.resets != from.resets {
        return;
    }
    if is_cursor_lost(from.cursor, cursor_status) {
        // Entries between the cursor and this read were missed or no longer exist.
        reset(verifier, &mut position, cursor_status.last);
        progress.acknowledge.notify_one();
        return;
    }
    let Some(last) = entries.last() else { return };
    let now = verifier.clock.now();
    for entry in entries {
        verifier.recent_revocations.record(entry);
        verifier.watermarks.raise(invalidation_of(entry), entry.version);
        verifier.metrics.propagation_s.observe(now.since(entry.version.timestamp()).as_secs_f64());
    }
    position.cursor = last.version;
    position.event.clone_from(&last.event);
    verifier.watermarks.advance_cursor(position.cursor);
    verifier.lease.confirm_through(position.cursor);
    if entries.iter().any(|entry| propagation_of(entry) == Propagation::Fenced) {
        progress.acknowledge.notify_one();
    }
}

/// Returns what an entry invalidates. That is known even if the rest cannot be decoded.
fn invalidation_of(entry: &StreamEntry) -> &Invalidation {
    match &entry.audit {
        Ok(audit_entry) => &audit_entry.invalidation,
        Err(undecodable) => &undecodable.invalidation,
    }
}

/// Returns how an entry propagates. An undecodable entry counts as fenced because a response may wait for it.
fn propagation_of(entry: &StreamEntry) -> Propagation {
    entry.audit.as_ref().map_or(Propagation::Fenced, |audit_entry| audit_entry.propagation)
}

fn reset(verifier: &Verifier, position: &mut StreamPosition, last: Version) {
    if position.cursor > Version::ZERO {
        tracing::warn!(cursor = ?position.cursor, ?last, "the stream was rewound or trimmed, the cache is cleared");
    }
    *position = StreamPosition { cursor: last, event: None, resets: position.resets + 1 };
    verifier.lease.discard_pending();
    verifier.watermarks.reset(last);
    verifier.caches.clear();
}

async fn send_heartbeats(verifier: Arc<Verifier>, progress: Arc<Progress>) {
    let mut ticks = tokio::time::interval(HEARTBEAT_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut was_live = true;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = progress.acknowledge.notified() => {}
        }
        if let Err(error) = send_heartbeat(&verifier, &progress).await {
            verifier.metrics.count_store_error(&error);
            tracing::debug!(error = %error_chain(&error), "heartbeat failed, retrying in 500 ms");
        }
        was_live = report_liveness(&verifier, was_live);
        tokio::time::sleep(MIN_HEARTBEAT_INTERVAL).await;
    }
}

async fn send_heartbeat(verifier: &Verifier, progress: &Progress) -> Result<()> {
    let from = progress.lock().clone();
    let sent = verifier.clock.uptime();
    let heartbeat = Heartbeat {
        gateway: verifier.gateway.clone(),
        cursor: from.cursor,
        cursor_event: from.event.clone(),
        valid_for: verifier.lease.valid_for(),
    };
    let reply = verifier.store.heartbeat(heartbeat).await?;
    verifier.set_checksum(reply.checksum);
    let mut position = progress.lock();
    if position.resets != from.resets {
        // The reply belongs to a history that was reset in the meantime.
        return Ok(());
    }
    if is_cursor_lost(from.cursor, reply.cursor_check) {
        reset(verifier, &mut position, reply.cursor_check.last);
        progress.acknowledge.notify_one();
    }
    verifier.lease.renew(sent, reply.cursor_check.last, position.cursor);
    Ok(())
}

/// Returns whether reading cannot continue at `cursor`. That includes the start of a process, which has read
/// nothing and starts at the last position.
fn is_cursor_lost(cursor: Version, cursor_status: CursorCheck) -> bool {
    let is_start = cursor == Version::ZERO && cursor_status.last > Version::ZERO;
    is_start || cursor < cursor_status.trimmed_through || cursor_status.state == CursorState::Diverged
}

fn report_liveness(verifier: &Verifier, was_live: bool) -> bool {
    let now = verifier.clock.uptime();
    let is_live = verifier.lease.liveness(now) == Liveness::Live;
    verifier.metrics.live.set(i64::from(is_live));
    verifier.metrics.feed_lag_s.set(verifier.lease.age(now).as_secs_f64());
    verifier.metrics.cache_entries.set(i64::try_from(verifier.caches.len()).unwrap_or(i64::MAX));
    verifier.metrics.pending_claims.set(i64::try_from(verifier.pending_claims.len()).unwrap_or(i64::MAX));
    if was_live && !is_live {
        tracing::warn!(
            "not live: heartbeats failed for 2 s, retrying every 500 ms; cached keys are accepted until max_stale"
        );
    }
    if !was_live && is_live {
        tracing::info!("live again");
    }
    is_live
}

async fn retry_claims_forever(verifier: Arc<Verifier>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        retry_pending_claims(&verifier).await;
    }
}

/// Retries pending claims until the store fails to respond.
async fn retry_pending_claims(verifier: &Verifier) {
    for claim in verifier.pending_claims.batch(MAX_CLAIMS_PER_ROUND) {
        match verifier.store.claim_first_use(&claim.facts, &claim.digest, claim.client).await {
            Ok(outcome) => {
                // The key may be one that a new master has lost, so the claim stays pending.
                if outcome == FirstUseOutcome::NotActive && verifier.store.recovery() == Recovery::InProgress {
                    continue;
                }
                if matches!(outcome, FirstUseOutcome::Won(_)) {
                    verifier.metrics.first_use.inc();
                }
                verifier.pending_claims.remove(&claim.facts.key);
            }
            Err(error) => {
                verifier.metrics.count_store_error(&error);
                tracing::debug!(error = %error_chain(&error), "claiming a first use failed, retrying in 1 s");
                if error.kind() == StoreErrorKind::Unavailable {
                    return;
                }
            }
        }
    }
}
