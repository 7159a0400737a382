//! The feed: this gateway's reading of the stream, its heartbeat, and the claims that wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_domain::change::{Invalidation, Propagation};
use gatepost_domain::id::EventId;
use gatepost_domain::time::{Clock, Version};
use gatepost_runtime::{Task, supervise_on};
use gatepost_store::ops::{CursorCheck, CursorState, FirstUseOutcome, Heartbeat};
use gatepost_store::{Recovery, Result, Store, StoreErrorKind, StreamEntry};
use prometheus::Registry;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::lease::Liveness;
use crate::rate_limiter::RateLimiter;
use crate::verifier::{Verifier, VerifyOptions};

/// How often a heartbeat is sent.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// The least time between two heartbeats, also when a change asks to be acknowledged at once.
const MIN_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(10);
/// How long the feed waits for a change before it asks again.
const FEED_WAIT: Duration = Duration::from_millis(500);
/// Entries of one reading.
const FEED_BATCH: u32 = 1000;
/// How long to wait after a failure of the store.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);
/// Claims that are tried again in one round.
const MAX_CLAIMS_PER_ROUND: usize = 100;

/// How far this gateway has come, and that somebody waits to hear it.
#[derive(Debug, Default)]
struct Progress {
    position: Mutex<StreamPosition>,
    /// Rung where the next heartbeat shall not wait for its time.
    acknowledge: Notify,
}

/// What the feed and the heartbeat must agree on.
#[derive(Debug, Clone, Default)]
struct StreamPosition {
    cursor: Version,
    event: Option<EventId>,
    /// Counts resets: a reading that began before one is thrown away.
    resets: u64,
}

/// A running verifier with the tasks that keep its cache true.
#[derive(Debug)]
pub struct ReplicaSync {
    verifier: Arc<Verifier>,
    tasks: JoinSet<()>,
    stop: watch::Sender<()>,
}

/// Registers a gateway with the store, lifts all floors to the last position, and begins to follow the
/// stream. Only then may it listen.
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
    /// What checks keys.
    pub fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.verifier)
    }

    /// Ends the reading and signs off. Call it after the last request.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.send_replace(());
        while self.tasks.join_next().await.is_some() {}
        retry_pending_claims(&self.verifier).await;
        // Connections that are still open are answered by the store from now on.
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

/// Reads the stream for ever.
async fn follow_stream(verifier: Arc<Verifier>, progress: Arc<Progress>) {
    loop {
        let from = progress.lock().clone();
        match verifier.store.read_feed_checked(from.cursor, from.event.clone(), FEED_BATCH, FEED_WAIT).await {
            Ok((entries, cursor_status)) => apply_entries(&verifier, &progress, &entries, cursor_status, &from),
            Err(error) => {
                verifier.metrics.count_store_error(&error);
                tracing::debug!(%error, "reading the feed failed");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// Lifts the floors of a reading, then moves the cursor.
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
        // Between the cursor and these entries lie others that were not read, or that are no more.
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

/// An entry that cannot be read still says what it makes worthless.
fn invalidation_of(entry: &StreamEntry) -> &Invalidation {
    match &entry.audit {
        Ok(audit_entry) => &audit_entry.invalidation,
        Err(undecodable) => &undecodable.invalidation,
    }
}

/// Somebody may wait for one that cannot be read, too.
fn propagation_of(entry: &StreamEntry) -> Propagation {
    entry.audit.as_ref().map_or(Propagation::Fenced, |audit_entry| audit_entry.propagation)
}

fn reset(verifier: &Verifier, position: &mut StreamPosition, last: Version) {
    if position.cursor > Version::ZERO {
        tracing::warn!(cursor = ?position.cursor, ?last, "the stream was rewound or trimmed: the cache begins anew");
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
            tracing::debug!(%error, "heartbeat failed");
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
        // It tells of a history that was left behind.
        return Ok(());
    }
    if is_cursor_lost(from.cursor, reply.cursor_check) {
        reset(verifier, &mut position, reply.cursor_check.last);
        progress.acknowledge.notify_one();
    }
    verifier.lease.renew(sent, reply.cursor_check.last, position.cursor);
    Ok(())
}

/// Whether the reading at `cursor` cannot be continued. The start of a process counts as well: it has
/// read nothing and begins at the last position.
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
        tracing::warn!("not live: the store does not answer, cached keys are accepted until max_stale");
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

/// Tries claims that the store did not answer, until it does not answer again.
async fn retry_pending_claims(verifier: &Verifier) {
    for claim in verifier.pending_claims.batch(MAX_CLAIMS_PER_ROUND) {
        match verifier.store.claim_first_use(&claim.facts, &claim.digest, claim.client).await {
            // The key may be one of those that a new master has lost.
            Ok(FirstUseOutcome::NotActive) if verifier.store.recovery() == Recovery::InProgress => {}
            Ok(result) => {
                if matches!(result, FirstUseOutcome::Won(_)) {
                    verifier.metrics.first_use.inc();
                }
                verifier.pending_claims.remove(&claim.facts.key);
            }
            Err(error) => {
                verifier.metrics.count_store_error(&error);
                tracing::debug!(%error, "claims of first use wait on");
                if error.kind() == StoreErrorKind::Unavailable {
                    return;
                }
            }
        }
    }
}
