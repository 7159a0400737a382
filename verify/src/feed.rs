//! The feed: this gateway's reading of the stream, its heartbeat, and the claims that wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_domain::change::{Fence, Scope};
use gatepost_domain::id::EventId;
use gatepost_domain::time::{Clock, Version};
use gatepost_runtime::{Task, supervise_on};
use gatepost_store::act::{Claim, CursorState, Heartbeat, Judged};
use gatepost_store::{Entry, Result, Settled, Store, StoreErrorKind};
use prometheus::Registry;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::live::Liveness;
use crate::meters::Meters;
use crate::verifier::{Verifier, VerifyOptions};

/// How often a heartbeat is sent.
const HEARTBEAT_EVERY: Duration = Duration::from_millis(500);
/// The least time between two heartbeats, also when a change asks to be acknowledged at once.
const MIN_HEARTBEAT_GAP: Duration = Duration::from_millis(10);
/// How long the feed waits for a change before it asks again.
const FEED_WAIT: Duration = Duration::from_millis(500);
/// Entries of one reading.
const FEED_BATCH: u32 = 1000;
/// How long to wait after a failure of the store.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);
/// Claims that are tried again in one round.
const CLAIMS_A_ROUND: usize = 100;

/// How far this gateway has come, and that somebody waits to hear it.
#[derive(Debug, Default)]
struct Progress {
    position: Mutex<Position>,
    /// Rung where the next heartbeat shall not wait for its time.
    acknowledge: Notify,
}

/// What the feed and the heartbeat must agree on.
#[derive(Debug, Clone, Default)]
struct Position {
    cursor: Version,
    event: Option<EventId>,
    /// Counts resets: a reading that began before one is thrown away.
    resets: u64,
}

/// A running verifier with the tasks that keep its cache true.
#[derive(Debug)]
pub struct Feed {
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
    meters: Meters,
    registry: &Registry,
) -> Result<Feed> {
    let verifier =
        Verifier::new(store, clock, options, meters, registry).map_err(|error| StoreErrorKind::Refused.with(error))?;
    let verifier = Arc::new(verifier);
    let progress = Arc::new(Progress::default());
    beat(&verifier, &progress).await?;
    let (stop, stopped) = watch::channel(());
    let mut tasks = JoinSet::new();
    let state = (Arc::clone(&verifier), progress, stopped);
    let (read, beating, claims) = (state.clone(), state.clone(), state);
    supervise_on(&mut tasks, Task::Sync, move || {
        let (verifier, progress, stopped) = read.clone();
        until(stopped, follow(verifier, progress))
    });
    supervise_on(&mut tasks, Task::Heartbeat, move || {
        let (verifier, progress, stopped) = beating.clone();
        until(stopped, keep_beating(verifier, progress))
    });
    supervise_on(&mut tasks, Task::FirstUseSweep, move || {
        let (verifier, _, stopped) = claims.clone();
        until(stopped, repeat_claims(verifier))
    });
    Ok(Feed { verifier, tasks, stop })
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    /// What checks keys.
    pub fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.verifier)
    }

    /// Ends the reading and signs off. Call it after the last request.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.send_replace(());
        while self.tasks.join_next().await.is_some() {}
        repeat_some_claims(&self.verifier).await;
        // Connections that are still open are answered by the store from now on.
        self.verifier.live.end();
        self.verifier.meters.stop().await;
        self.verifier.store.sign_off(&self.verifier.gateway).await
    }
}

async fn until(mut stopped: watch::Receiver<()>, task: impl Future<Output = ()>) {
    tokio::select! {
        () = task => {}
        _ = stopped.changed() => {}
    }
}

/// Reads the stream for ever.
async fn follow(verifier: Arc<Verifier>, progress: Arc<Progress>) {
    loop {
        let from = progress.lock().clone();
        match verifier.store.follow(from.cursor, from.event.clone(), FEED_BATCH, FEED_WAIT).await {
            Ok((entries, judged)) => apply(&verifier, &progress, &entries, judged, &from),
            Err(error) => {
                verifier.metrics.store_error(&error);
                tracing::debug!(%error, "reading the feed failed");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// Lifts the floors of a reading, then moves the cursor.
fn apply(verifier: &Verifier, progress: &Progress, entries: &[Entry], judged: Judged, from: &Position) {
    let mut position = progress.lock();
    if position.resets != from.resets {
        return;
    }
    if is_lost(from.cursor, judged) {
        // Between the cursor and these entries lie others that were not read, or that are no more.
        reset(verifier, &mut position, judged.last);
        progress.acknowledge.notify_one();
        return;
    }
    let Some(last) = entries.last() else { return };
    let now = verifier.clock.now();
    for entry in entries {
        verifier.shut_off.hear(entry);
        verifier.floors.lift(scope(entry), entry.version);
        verifier.metrics.propagation_s.observe(now.since(entry.version.moment()).as_secs_f64());
    }
    position.cursor = last.version;
    position.event.clone_from(&last.event);
    verifier.floors.advance(position.cursor);
    verifier.live.reached(position.cursor);
    if entries.iter().any(|entry| fence(entry) == Fence::Up) {
        progress.acknowledge.notify_one();
    }
}

/// An entry that cannot be read still says what it makes worthless.
fn scope(entry: &Entry) -> &Scope {
    match &entry.told {
        Ok(told) => &told.scope,
        Err(undecodable) => &undecodable.scope,
    }
}

/// Somebody may wait for one that cannot be read, too.
fn fence(entry: &Entry) -> Fence {
    entry.told.as_ref().map_or(Fence::Up, |told| told.fence)
}

fn reset(verifier: &Verifier, position: &mut Position, last: Version) {
    if position.cursor > Version::ZERO {
        tracing::warn!(cursor = ?position.cursor, ?last, "the stream was rewound or trimmed: the cache begins anew");
    }
    *position = Position { cursor: last, event: None, resets: position.resets + 1 };
    verifier.live.forget();
    verifier.floors.reset(last);
    verifier.caches.clear();
}

async fn keep_beating(verifier: Arc<Verifier>, progress: Arc<Progress>) {
    let mut ticks = tokio::time::interval(HEARTBEAT_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut was_live = true;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = progress.acknowledge.notified() => {}
        }
        if let Err(error) = beat(&verifier, &progress).await {
            verifier.metrics.store_error(&error);
            tracing::debug!(%error, "heartbeat failed");
        }
        was_live = tell(&verifier, was_live);
        tokio::time::sleep(MIN_HEARTBEAT_GAP).await;
    }
}

async fn beat(verifier: &Verifier, progress: &Progress) -> Result<()> {
    let from = progress.lock().clone();
    let sent = verifier.clock.uptime();
    let heartbeat = Heartbeat {
        gateway: verifier.gateway.clone(),
        cursor: from.cursor,
        cursor_event: from.event.clone(),
        refuses_within: verifier.live.promise(),
    };
    let answer = verifier.store.heartbeat(heartbeat).await?;
    verifier.set_checksum(answer.checksum);
    let mut position = progress.lock();
    if position.resets != from.resets {
        // It tells of a history that was left behind.
        return Ok(());
    }
    if is_lost(from.cursor, answer.cursor) {
        reset(verifier, &mut position, answer.cursor.last);
        progress.acknowledge.notify_one();
    }
    verifier.live.beat(sent, answer.cursor.last, position.cursor);
    Ok(())
}

/// Whether the reading at `cursor` cannot be continued. The start of a process counts as well: it has
/// read nothing and begins at the last position.
fn is_lost(cursor: Version, judged: Judged) -> bool {
    let is_start = cursor == Version::ZERO && judged.last > Version::ZERO;
    is_start || cursor < judged.trimmed_through || judged.state == CursorState::Foreign
}

fn tell(verifier: &Verifier, was_live: bool) -> bool {
    let now = verifier.clock.uptime();
    let is_live = verifier.live.judge(now) == Liveness::Live;
    verifier.metrics.live.set(i64::from(is_live));
    verifier.metrics.feed_lag_s.set(verifier.live.age(now).as_secs_f64());
    verifier.metrics.cache_entries.set(i64::try_from(verifier.caches.len()).unwrap_or(i64::MAX));
    verifier.metrics.pending_claims.set(i64::try_from(verifier.pending.len()).unwrap_or(i64::MAX));
    if was_live && !is_live {
        tracing::warn!("not live: the store does not answer, cached keys are accepted until max_stale");
    }
    if !was_live && is_live {
        tracing::info!("live again");
    }
    is_live
}

async fn repeat_claims(verifier: Arc<Verifier>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        repeat_some_claims(&verifier).await;
    }
}

/// Tries claims that the store did not answer, until it does not answer again.
async fn repeat_some_claims(verifier: &Verifier) {
    for claim in verifier.pending.some(CLAIMS_A_ROUND) {
        match verifier.store.claim_first_use(&claim.facts, &claim.digest, claim.from).await {
            // The key may be one of those that a new master has lost.
            Ok(Claim::NotActive) if verifier.store.settled() == Settled::No => {}
            Ok(answer) => {
                if matches!(answer, Claim::Won(_)) {
                    verifier.metrics.first_use.inc();
                }
                verifier.pending.remove(&claim.facts.key);
            }
            Err(error) => {
                verifier.metrics.store_error(&error);
                tracing::debug!(%error, "claims of first use wait on");
                if error.kind() == StoreErrorKind::Unavailable {
                    return;
                }
            }
        }
    }
}
