//! What this process has had acknowledged lately, and its repetition where a new master has lost it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_domain::time::Version;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::act::{Claim, CommitAnswer, CursorState, RawClaim, RawCommit, RawWrite, Repeats, Urgency};
use crate::error::{Result, StoreErrorKind};

use super::Redis;
use super::link::RunId;

/// Acknowledged changes and claims that are remembered; the oldest is forgotten first.
const MAX_REMEMBERED: usize = 500;
/// For how long they are. What a replica or a file has not got by then, it will not get.
const MAX_AGE: Duration = Duration::from_secs(300);
/// How often one is tried again while the store does not answer, and the pause between two tries.
const MAX_TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);
/// How often a revocation is forced while others write the same record.
const MAX_FORCED: u32 = 3;

#[derive(Default)]
pub(super) struct Remembered {
    kept: Mutex<VecDeque<Kept>>,
    repeated: AtomicU64,
    conflicts: AtomicU64,
    /// Rung where something was acknowledged by a run that is not the master any more.
    too_late: Notify,
}

/// One act, the position at which it was acknowledged if that is known, and when.
#[derive(Clone)]
struct Kept {
    act: Act,
    version: Option<Version>,
    at: Instant,
}

#[derive(Clone)]
enum Act {
    Commit(Arc<RawCommit>),
    Claim(RawClaim),
}

impl Remembered {
    pub(super) fn commit(&self, commit: RawCommit, version: Version) {
        self.keep(Act::Commit(Arc::new(commit)), Some(version));
    }

    /// Remembers a claim, also one that came second: it may have been the first, unheard.
    pub(super) fn claim(&self, claim: RawClaim, version: Option<Version>) {
        self.keep(Act::Claim(claim), version);
    }

    /// How often something was repeated, and how often that was refused.
    pub(super) fn repeats(&self) -> Repeats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Repeats { repeated: count(&self.repeated), conflicts: count(&self.conflicts) }
    }

    fn keep(&self, act: Act, version: Option<Version>) {
        let mut kept = self.lock();
        while kept.len() >= MAX_REMEMBERED {
            kept.pop_front();
        }
        kept.push_back(Kept { act, version, at: Instant::now() });
    }

    /// Takes out all that is not too old, oldest first. What is repeated is remembered anew.
    fn take(&self) -> Vec<Kept> {
        let mut kept: Vec<Kept> = self.lock().drain(..).filter(|kept| kept.at.elapsed() < MAX_AGE).collect();
        // A claim whose position is not known comes last: its key must be there.
        kept.sort_by_key(|kept| (kept.version.is_none(), kept.version));
        kept
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Repeats what is lost whenever another run of a server has become the master, until the store is dropped.
pub(super) fn watch(redis: &Redis) {
    let mut runs = redis.inner.connections.runs();
    runs.mark_unchanged();
    let inner = Arc::downgrade(&redis.inner);
    tokio::spawn(async move {
        while let Some(inner) = inner.upgrade() {
            let redis = Redis { inner };
            tokio::select! {
                changed = runs.changed() => match changed {
                    Ok(()) => redis.repeat_lost().await,
                    Err(_) => return,
                },
                () = redis.inner.remembered.too_late.notified() => redis.repeat_lost().await,
                // So that this task does not keep the store from being dropped.
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    });
}

impl Redis {
    /// Sees to it that what a run has acknowledged is looked after if it is not the master any more.
    pub(super) fn acknowledged_by(&self, run: &RunId) {
        if self.inner.connections.runs().borrow().as_ref() != Some(run) {
            self.inner.remembered.too_late.notify_one();
        }
    }

    async fn repeat_lost(&self) {
        let mut moved = HashMap::new();
        let mut waiting = self.inner.remembered.take().into_iter();
        while let Some(kept) = waiting.next() {
            if let Err(error) = self.repeat_surely(&kept, &mut moved).await {
                tracing::error!(%error, "what the store may have lost cannot be repeated now");
                // The next run that becomes the master is asked again.
                let left = [kept].into_iter().chain(waiting);
                self.inner.remembered.lock().extend(left);
                return;
            }
        }
    }

    /// Tries again while the store does not answer.
    async fn repeat_surely(&self, kept: &Kept, moved: &mut HashMap<Version, Version>) -> Result<()> {
        let mut tries = 1;
        loop {
            match self.repeat_if_lost(kept, moved).await {
                Err(error) if tries < MAX_TRIES && error.kind() != StoreErrorKind::WrongStore => tries += 1,
                ended => return ended,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn repeat_if_lost(&self, kept: &Kept, moved: &mut HashMap<Version, Version>) -> Result<()> {
        let event = match &kept.act {
            Act::Commit(commit) => &commit.event,
            Act::Claim(claim) => &claim.event,
        };
        if let Some(version) = kept.version
            && self.judge_cursor(version, Some(event.clone())).await?.state != CursorState::Foreign
        {
            self.inner.remembered.keep(kept.act.clone(), kept.version);
            return Ok(());
        }
        let repeated = match &kept.act {
            Act::Commit(commit) => self.repeat_commit(commit, moved).await?,
            Act::Claim(claim) => self.repeat_claim(claim).await?,
        };
        match (repeated, kept.version) {
            (Some(version), before) => {
                tracing::warn!(event = event.as_str(), "the store had lost this change; it was repeated");
                self.inner.remembered.repeated.fetch_add(1, Ordering::Relaxed);
                moved.extend(before.map(|before| (before, version)));
            }
            (None, Some(_)) => {
                tracing::warn!(event = event.as_str(), "the store had lost this change, and others came before it");
                self.inner.remembered.conflicts.fetch_add(1, Ordering::Relaxed);
            }
            // A claim that came second, and the first is still there.
            (None, None) => {}
        }
        Ok(())
    }

    /// Answers the new version; none where another change of the same record stands there now.
    async fn repeat_commit(&self, lost: &RawCommit, moved: &HashMap<Version, Version>) -> Result<Option<Version>> {
        let mut commit = lost.clone();
        for write in &mut commit.writes {
            write.expect = write.expect.map(|version| moved.get(&version).copied().unwrap_or(version));
        }
        for _ in 0..=MAX_FORCED {
            match self.commit(commit.clone()).await? {
                CommitAnswer::Committed(version) | CommitAnswer::Repeated(version) => return Ok(Some(version)),
                CommitAnswer::Stale if commit.urgency == Urgency::ShutsOff => {
                    commit.writes = self.as_they_stand(commit.writes).await?;
                }
                CommitAnswer::Stale | CommitAnswer::DigestTaken | CommitAnswer::StreamFull => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The same writes over what is there now: a revocation goes before whatever came in between.
    async fn as_they_stand(&self, writes: Vec<RawWrite>) -> Result<Vec<RawWrite>> {
        let names = writes.iter().map(|write| write.name.clone()).collect();
        let records = self.records(names).await?;
        let expects = records.into_iter().map(|record| record.map(|record| record.version));
        Ok(writes.into_iter().zip(expects).map(|(write, expect)| RawWrite { expect, ..write }).collect())
    }

    async fn repeat_claim(&self, claim: &RawClaim) -> Result<Option<Version>> {
        match self.claim_first_use(claim.clone()).await? {
            Claim::Won(version) => Ok(Some(version)),
            Claim::Already(_) | Claim::NotActive => Ok(None),
        }
    }
}
