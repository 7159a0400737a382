//! Replay of acknowledged operations that a new master of Redis has lost, and detection of the end of recovery.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use gatepost_domain::time::Version;
use gatepost_runtime::{Task, error_chain, supervise};
use tokio::time::Instant;

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::ops::{
    CursorState, FirstUseOutcome, RawCommit, RawCommitOutcome, RawFirstUseClaim, RawRecord, RawWrite, RebaseRevocation,
    RecordName, Urgency,
};
use crate::options::{COMMIT_TIMEOUT, LOOKUP_TIMEOUT, Recovery};

use super::client::{Arguments, Inner, Redis};
use super::master_connection::RunId;
use super::scripts;
use super::unreplicated_log::{LoggedOp, Op};

/// Interval between replay attempts, and between checks for another master.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Time from the last sign of instability to the end of recovery: other processes must notice the failover and replay
/// within it.
const RECOVERY_GRACE: Duration = Duration::from_secs(5);
/// Maximum rebases of a change while others write the same record.
const MAX_REBASES: u32 = 4;

/// Recovery progress of this process for the current master run.
struct RecoveryProgress {
    /// Number of the run seen last.
    run: u64,
    /// Time of the last sign of instability.
    last_unstable_at: Instant,
}

/// Result of replaying one operation.
enum ReplayOutcome {
    /// The operation was not lost.
    NotLost,
    /// It was lost, and has been replayed at this position as this operation.
    Replayed(Version, Op),
    /// Others have changed the record since.
    Superseded,
    /// It was never acknowledged, or the current record already covers it.
    Unneeded,
    /// The record does not exist: the process that created it must replay that first.
    MissingDependency,
}

/// Whether a pass over the replay queue was blocked by errors.
#[derive(PartialEq, Eq)]
enum ReplayPass {
    Complete,
    Blocked,
}

/// Result of rebasing a lost change.
enum Rebase {
    Onto(Box<RawCommit>),
    Impossible(ReplayOutcome),
}

/// Starts the task that replays lost operations after each failover. It ends when the store is dropped.
pub(super) fn start(redis: &Redis) {
    let inner = Arc::downgrade(&redis.inner);
    supervise(Task::FailoverReplay, move || run_until_dropped(Weak::clone(&inner)));
}

async fn run_until_dropped(inner: Weak<Inner>) {
    let Some((mut runs, run)) =
        inner.upgrade().map(|inner| (inner.connections.subscribe_runs(), inner.recovered_run()))
    else {
        return;
    };
    runs.mark_unchanged();
    let mut progress = RecoveryProgress { run, last_unstable_at: Instant::now() };
    while let Some(inner) = inner.upgrade() {
        let redis = Redis { inner };
        let log = &redis.inner.unreplicated_log;
        tokio::select! {
            changed = runs.changed() => if changed.is_err() { return },
            () = log.acknowledged_by_old_master.notified() => log.enqueue_all(),
            // The timeout also releases the store regularly, so that this task does not prevent its drop.
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
        redis.advance_recovery(&mut progress).await;
    }
}

impl Redis {
    /// Returns whether the acknowledged operations of this and other processes are present again.
    pub(crate) fn recovery(&self) -> Recovery {
        let is_complete = self.inner.connections.run_count() == self.inner.recovered_run();
        if is_complete { Recovery::Complete } else { Recovery::InProgress }
    }

    /// Schedules a replay if the run that acknowledged an operation is no longer the master.
    pub(super) fn replay_unless_master(&self, run: &RunId) {
        if self.inner.connections.subscribe_runs().borrow().as_ref() != Some(run) {
            self.inner.unreplicated_log.acknowledged_by_old_master.notify_one();
        }
    }

    async fn advance_recovery(&self, progress: &mut RecoveryProgress) {
        let run = self.inner.connections.run_count();
        if run != progress.run {
            *progress = RecoveryProgress { run, last_unstable_at: Instant::now() };
            self.inner.unreplicated_log.enqueue_all();
        }
        let pass = self.replay_queued().await;
        if self.recovery() == Recovery::Complete {
            return;
        }
        // While nothing can be written, other processes cannot replay either.
        if pass == ReplayPass::Blocked || self.check_writable().await.is_err() {
            progress.last_unstable_at = Instant::now();
        }
        if progress.last_unstable_at.elapsed() >= RECOVERY_GRACE {
            self.inner.mark_recovered(progress.run);
        }
    }

    async fn check_writable(&self) -> Result<()> {
        self.run_script(&scripts::CHECK_WRITABLE, LOOKUP_TIMEOUT, Arguments::default()).await.map(drop)
    }

    async fn replay_queued(&self) -> ReplayPass {
        let log = &self.inner.unreplicated_log;
        let mut queued = log.take_replay_queue().into_iter();
        let (mut unfinished, mut blocked_records) = (Vec::new(), HashSet::new());
        while let Some(logged) = queued.next() {
            // A later change of the same record must not be replayed before the blocked one.
            if logged.op.record_names().into_iter().any(|name| blocked_records.contains(name)) {
                unfinished.push(logged);
                continue;
            }
            match self.replay_if_lost(&logged).await {
                Ok(ReplayOutcome::MissingDependency) => unfinished.push(logged),
                Ok(outcome) => self.record_outcome(logged, outcome),
                Err(error) => {
                    tracing::warn!(
                        error = %error_chain(&error),
                        event = logged.op.event().as_str(),
                        "replay failed, retrying in 1 s"
                    );
                    blocked_records.extend(logged.op.record_names().into_iter().map(str::to_owned));
                    unfinished.push(logged);
                    if is_store_wide(&error) {
                        unfinished.extend(queued.by_ref());
                    }
                }
            }
        }
        log.requeue(unfinished);
        if blocked_records.is_empty() { ReplayPass::Complete } else { ReplayPass::Blocked }
    }

    fn record_outcome(&self, logged: LoggedOp, outcome: ReplayOutcome) {
        let log = &self.inner.unreplicated_log;
        match outcome {
            ReplayOutcome::NotLost => log.record(logged),
            ReplayOutcome::Replayed(version, op) => {
                log.count_replayed(&op);
                match op {
                    Op::Commit(commit) => log.record_commit(commit, version),
                    Op::Claim(claim) => log.record_claim(claim, Some(version)),
                }
            }
            ReplayOutcome::Superseded => log.count_conflict(&logged.op),
            ReplayOutcome::Unneeded | ReplayOutcome::MissingDependency => {}
        }
    }

    async fn replay_if_lost(&self, logged: &LoggedOp) -> Result<ReplayOutcome> {
        if let Some(version) = logged.version
            && self.check_cursor(version, Some(logged.op.event().clone())).await?.state != CursorState::Diverged
        {
            return Ok(ReplayOutcome::NotLost);
        }
        match &logged.op {
            Op::Commit(commit) => self.replay_commit(commit, logged.version).await,
            Op::Claim(claim) => self.replay_claim(claim, logged.version).await,
        }
    }

    async fn replay_commit(&self, lost: &RawCommit, version: Option<Version>) -> Result<ReplayOutcome> {
        for _ in 0..MAX_REBASES {
            let names = lost.writes.iter().map(|write| write.name.clone()).collect();
            let current = self.records(names).await?;
            let commit = match rebase(lost, version, &current, &self.inner.rebase_revocation)? {
                Rebase::Onto(commit) => *commit,
                Rebase::Impossible(outcome) => return Ok(outcome),
            };
            let until = Instant::now() + COMMIT_TIMEOUT;
            let (result, run) = self.write_unlogged(&commit).await?;
            // A store in a later format also accepts it; `gatepost store upgrade` then finds and rewrites the record.
            let Ok(outcome) = result else { return Ok(ReplayOutcome::MissingDependency) };
            match outcome {
                RawCommitOutcome::Committed(version) | RawCommitOutcome::AlreadyCommitted(version) => {
                    self.inner.connections.confirm(&run, until).await?;
                    return Ok(ReplayOutcome::Replayed(version, Op::Commit(Arc::new(commit))));
                }
                RawCommitOutcome::VersionConflict => {}
                RawCommitOutcome::DigestTaken => return Ok(ReplayOutcome::Superseded),
                RawCommitOutcome::StreamFull | RawCommitOutcome::AccountLimitExceeded(..) => {
                    return Err(StoreErrorKind::Full.with("the stream is full"));
                }
            }
        }
        Ok(ReplayOutcome::MissingDependency)
    }

    async fn replay_claim(&self, claim: &RawFirstUseClaim, version: Option<Version>) -> Result<ReplayOutcome> {
        match self.claim_unlogged(claim).await?.0 {
            FirstUseOutcome::Won(version) => Ok(ReplayOutcome::Replayed(version, Op::Claim(claim.clone()))),
            // It was not the first claim, and the first one is still present.
            FirstUseOutcome::AlreadyUsed(_) if version.is_none() => Ok(ReplayOutcome::Unneeded),
            FirstUseOutcome::AlreadyUsed(_) => Ok(ReplayOutcome::Superseded),
            FirstUseOutcome::NotActive => {
                let name = RecordName(claim.key.to_string());
                let key = self.records(vec![name]).await?.into_iter().next().flatten();
                Ok(if key.is_some() { ReplayOutcome::Superseded } else { ReplayOutcome::MissingDependency })
            }
        }
    }
}

/// Returns whether the error concerns the whole store, so that the next operation would fail as well.
fn is_store_wide(error: &StoreError) -> bool {
    match error.kind() {
        StoreErrorKind::Unavailable | StoreErrorKind::WrongStore => true,
        StoreErrorKind::Unconfirmed | StoreErrorKind::Full | StoreErrorKind::Corrupt | StoreErrorKind::Refused => false,
    }
}

/// Rebases a lost change onto the current records. Only revocations override later writes, and only if this process
/// received their position, so that somebody may rely on them.
fn rebase(
    lost: &RawCommit,
    version: Option<Version>,
    current: &[Option<RawRecord>],
    rebase_revocation: &RebaseRevocation,
) -> Result<Rebase> {
    let is_same = |(write, record): (&RawWrite, &Option<RawRecord>)| {
        record.as_ref().map(|record| &record.event) == write.expected_event.as_ref()
    };
    let subject = current.first().and_then(Option::as_ref);
    let is_applied = subject.is_some_and(|record| record.event == lost.event);
    if is_applied || lost.writes.iter().zip(current).all(is_same) {
        let expects = current.iter().map(|record| record.as_ref().map(|record| record.version));
        let writes = lost
            .writes
            .iter()
            .zip(expects)
            .map(|(write, expect)| RawWrite { expected_version: expect, ..write.clone() });
        return Ok(Rebase::Onto(Box::new(RawCommit {
            writes: writes.collect(),
            format: None,
            limits: None,
            ..lost.clone()
        })));
    }
    match (lost.urgency, version, subject) {
        (Urgency::Revocation, None, _) => Ok(Rebase::Impossible(ReplayOutcome::Unneeded)),
        (Urgency::Revocation | Urgency::Ordinary, _, None) => Ok(Rebase::Impossible(ReplayOutcome::MissingDependency)),
        (Urgency::Revocation, Some(_), Some(record)) => {
            let rebased = rebase_revocation(lost, record)?;
            Ok(rebased.map_or(Rebase::Impossible(ReplayOutcome::Superseded), |rebased| Rebase::Onto(Box::new(rebased))))
        }
        (Urgency::Ordinary, _, Some(_)) => Ok(Rebase::Impossible(ReplayOutcome::Superseded)),
    }
}
