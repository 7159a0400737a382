//! Repeating what a new master of Redis has lost, and telling when all has come to rest.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use gatepost_domain::time::Version;
use gatepost_runtime::{Task, supervise};
use tokio::time::Instant;

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::ops::{
    CommitOutcome, CursorState, FirstUseOutcome, RawCommit, RawFirstUseClaim, RawRecord, RawWrite, RecordName, Urgency,
};
use crate::options::{COMMIT_TIMEOUT, LOOKUP_TIMEOUT, Recovery};
use crate::rebase;

use super::master_connection::RunId;
use super::unreplicated_log::{LoggedOp, Op};
use super::{Arguments, Inner, Redis, scripts};

/// Between two tries, and how often it is looked whether another run has become the master.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long after the last sign of unrest the store is settled: other processes must have noticed, and repeated.
const RECOVERY_GRACE: Duration = Duration::from_secs(5);
/// How often a change is made anew while others write the same record.
const MAX_REBASES: u32 = 4;

/// How far this process has come with the run that is the master.
struct RecoveryProgress {
    /// The number of the run that was seen last.
    run: u64,
    /// The last sign of unrest.
    last_unstable_at: Instant,
}

/// How a repetition ended.
enum ReplayOutcome {
    /// It was not lost.
    NotLost,
    /// It was, and stands now at this position, as this act.
    Replayed(Version, Op),
    /// Others came before it.
    Superseded,
    /// Nobody was told of it, or it is told by what stands.
    Unneeded,
    /// What it is about is not there: whoever made that must repeat it first.
    MissingDependency,
}

/// Whether anything could not be repeated that should be.
#[derive(PartialEq, Eq)]
enum ReplayPass {
    Complete,
    Blocked,
}

/// On what a change is to be made anew.
enum Rebase {
    Onto(Box<RawCommit>),
    Impossible(ReplayOutcome),
}

/// Repeats what is lost whenever another run of a server has become the master, until the store is dropped.
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
        tokio::select! {
            changed = runs.changed() => if changed.is_err() { return },
            () = redis.inner.unreplicated_log.acknowledged_by_old_master.notified() => redis.inner.unreplicated_log.enqueue_all(),
            // Also so that this task does not keep the store from being dropped.
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
        redis.advance_recovery(&mut progress).await;
    }
}

impl Redis {
    /// Whether what this process and others have had acknowledged stands again.
    pub(crate) fn recovery(&self) -> Recovery {
        let is_complete = self.inner.connections.run_count() == self.inner.recovered_run();
        if is_complete { Recovery::Complete } else { Recovery::InProgress }
    }

    /// Sees to it that what a run has acknowledged is looked after if it is not the master any more.
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
        // While nothing can be written, others cannot repeat either.
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
            // What was done later to the same record would be done to another one now.
            if logged.op.record_names().into_iter().any(|name| blocked_records.contains(name)) {
                unfinished.push(logged);
                continue;
            }
            match self.replay_if_lost(&logged).await {
                Ok(ReplayOutcome::MissingDependency) => unfinished.push(logged),
                Ok(outcome) => self.record_outcome(logged, outcome),
                Err(error) => {
                    tracing::warn!(%error, event = logged.op.event().as_str(), "what may be lost cannot be repeated now");
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
            let commit = match rebase(lost, version, &current)? {
                Rebase::Onto(commit) => *commit,
                Rebase::Impossible(outcome) => return Ok(outcome),
            };
            let until = Instant::now() + COMMIT_TIMEOUT;
            let (result, run) = self.write_unlogged(&commit).await?;
            // In whatever format it was: `gatepost store upgrade` finds it again.
            let Ok(outcome) = result else { return Ok(ReplayOutcome::MissingDependency) };
            match outcome {
                CommitOutcome::Committed(version) | CommitOutcome::AlreadyCommitted(version) => {
                    self.inner.connections.confirm(&run, until).await?;
                    return Ok(ReplayOutcome::Replayed(version, Op::Commit(Arc::new(commit))));
                }
                CommitOutcome::VersionConflict => {}
                CommitOutcome::DigestTaken => return Ok(ReplayOutcome::Superseded),
                CommitOutcome::StreamFull | CommitOutcome::AccountLimitExceeded(..) => {
                    return Err(StoreErrorKind::Full.with("the stream is full"));
                }
            }
        }
        Ok(ReplayOutcome::MissingDependency)
    }

    async fn replay_claim(&self, claim: &RawFirstUseClaim, version: Option<Version>) -> Result<ReplayOutcome> {
        match self.claim_unlogged(claim).await?.0 {
            FirstUseOutcome::Won(version) => Ok(ReplayOutcome::Replayed(version, Op::Claim(claim.clone()))),
            // It came second, and the first is still there.
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

/// Whether an error says nothing about the one change: the next one would meet it too.
fn is_store_wide(error: &StoreError) -> bool {
    match error.kind() {
        StoreErrorKind::Unavailable | StoreErrorKind::WrongStore => true,
        StoreErrorKind::Unconfirmed | StoreErrorKind::Full | StoreErrorKind::Corrupt | StoreErrorKind::Refused => false,
    }
}

/// The same change over what is there now. Only one that shuts something off goes before what came in between,
/// and that only if somebody may rely on it.
fn rebase(lost: &RawCommit, version: Option<Version>, current: &[Option<RawRecord>]) -> Result<Rebase> {
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
            let rebased = rebase::rebase_revocation(lost, record)?;
            Ok(rebased.map_or(Rebase::Impossible(ReplayOutcome::Superseded), |rebased| Rebase::Onto(Box::new(rebased))))
        }
        (Urgency::Ordinary, _, Some(_)) => Ok(Rebase::Impossible(ReplayOutcome::Superseded)),
    }
}
