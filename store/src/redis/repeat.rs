//! Repeating what a new master of Redis has lost, and telling when all has come to rest.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use gatepost_domain::time::Version;
use gatepost_runtime::{Task, supervise};
use tokio::time::Instant;

use crate::act::{Claim, CommitAnswer, CursorState, RawClaim, RawCommit, RawRecord, RawWrite, RecordName, Urgency};
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::forced;
use crate::options::{COMMIT_DEADLINE, LOOKUP_DEADLINE, Settled};

use super::link::RunId;
use super::remembered::{Act, Kept};
use super::{Arguments, Inner, Redis, scripts};

/// Between two tries, and how often it is looked whether another run has become the master.
const PAUSE: Duration = Duration::from_secs(1);
/// How long after the last sign of unrest the store is settled: other processes must have noticed, and repeated.
const GRACE: Duration = Duration::from_secs(5);
/// How often a change is made anew while others write the same record.
const MAX_BASES: u32 = 4;

/// How far this process has come with the run that is the master.
struct Progress {
    /// The number of the run that was seen last.
    run: u64,
    /// The last sign of unrest.
    restless_at: Instant,
}

/// How a repetition ended.
enum Repeated {
    /// It was not lost.
    Stands,
    /// It was, and stands now at this position, as this act.
    Now(Version, Act),
    /// Others came before it.
    Superseded,
    /// Nobody was told of it, or it is told by what stands.
    Needless,
    /// What it is about is not there: whoever made that must repeat it first.
    TooEarly,
}

/// Whether anything could not be repeated that should be.
#[derive(PartialEq, Eq)]
enum Pass {
    Ended,
    HeldUp,
}

/// On what a change is to be made anew.
enum Base {
    Found(Box<RawCommit>),
    None(Repeated),
}

/// Repeats what is lost whenever another run of a server has become the master, until the store is dropped.
pub(super) fn watch(redis: &Redis) {
    let inner = Arc::downgrade(&redis.inner);
    supervise(Task::FailoverReplay, move || watch_until_dropped(Weak::clone(&inner)));
}

async fn watch_until_dropped(inner: Weak<Inner>) {
    let Some((mut runs, run)) = inner.upgrade().map(|inner| (inner.connections.runs(), inner.settled_run())) else {
        return;
    };
    runs.mark_unchanged();
    let mut progress = Progress { run, restless_at: Instant::now() };
    while let Some(inner) = inner.upgrade() {
        let redis = Redis { inner };
        tokio::select! {
            changed = runs.changed() => if changed.is_err() { return },
            () = redis.inner.remembered.too_late.notified() => redis.inner.remembered.gather(),
            // Also so that this task does not keep the store from being dropped.
            () = tokio::time::sleep(PAUSE) => {}
        }
        redis.look_after(&mut progress).await;
    }
}

impl Redis {
    /// Whether what this process and others have had acknowledged stands again.
    pub(crate) fn settled(&self) -> Settled {
        let is_settled = self.inner.connections.run_count() == self.inner.settled_run();
        if is_settled { Settled::Yes } else { Settled::No }
    }

    /// Sees to it that what a run has acknowledged is looked after if it is not the master any more.
    pub(super) fn acknowledged_by(&self, run: &RunId) {
        if self.inner.connections.runs().borrow().as_ref() != Some(run) {
            self.inner.remembered.too_late.notify_one();
        }
    }

    async fn look_after(&self, progress: &mut Progress) {
        let run = self.inner.connections.run_count();
        if run != progress.run {
            *progress = Progress { run, restless_at: Instant::now() };
            self.inner.remembered.gather();
        }
        let pass = self.repeat_waiting().await;
        if self.settled() == Settled::Yes {
            return;
        }
        // While nothing can be written, others cannot repeat either.
        if pass == Pass::HeldUp || self.probe_writing().await.is_err() {
            progress.restless_at = Instant::now();
        }
        if progress.restless_at.elapsed() >= GRACE {
            self.inner.settle(progress.run);
        }
    }

    async fn probe_writing(&self) -> Result<()> {
        self.act(&scripts::PROBE_WRITING, LOOKUP_DEADLINE, Arguments::default()).await.map(drop)
    }

    async fn repeat_waiting(&self) -> Pass {
        let remembered = &self.inner.remembered;
        let mut waiting = remembered.take_waiting().into_iter();
        let (mut left, mut held_up) = (Vec::new(), HashSet::new());
        while let Some(kept) = waiting.next() {
            // What was done later to the same record would be done to another one now.
            if kept.act.names().into_iter().any(|name| held_up.contains(name)) {
                left.push(kept);
                continue;
            }
            match self.repeat_if_lost(&kept).await {
                Ok(Repeated::TooEarly) => left.push(kept),
                Ok(ended) => self.ended(kept, ended),
                Err(error) => {
                    tracing::warn!(%error, event = kept.act.event().as_str(), "what may be lost cannot be repeated now");
                    held_up.extend(kept.act.names().into_iter().map(str::to_owned));
                    left.push(kept);
                    if concerns_all(&error) {
                        left.extend(waiting.by_ref());
                    }
                }
            }
        }
        remembered.wait_on(left);
        if held_up.is_empty() { Pass::Ended } else { Pass::HeldUp }
    }

    fn ended(&self, kept: Kept, ended: Repeated) {
        let remembered = &self.inner.remembered;
        match ended {
            Repeated::Stands => remembered.keep(kept),
            Repeated::Now(version, act) => {
                remembered.count_repeated(&act);
                match act {
                    Act::Commit(commit) => remembered.commit(commit, version),
                    Act::Claim(claim) => remembered.claim(claim, Some(version)),
                }
            }
            Repeated::Superseded => remembered.count_conflict(&kept.act),
            Repeated::Needless | Repeated::TooEarly => {}
        }
    }

    async fn repeat_if_lost(&self, kept: &Kept) -> Result<Repeated> {
        if let Some(version) = kept.version
            && self.judge_cursor(version, Some(kept.act.event().clone())).await?.state != CursorState::Foreign
        {
            return Ok(Repeated::Stands);
        }
        match &kept.act {
            Act::Commit(commit) => self.repeat_commit(commit, kept.version).await,
            Act::Claim(claim) => self.repeat_claim(claim, kept.version).await,
        }
    }

    async fn repeat_commit(&self, lost: &RawCommit, version: Option<Version>) -> Result<Repeated> {
        for _ in 0..MAX_BASES {
            let names = lost.writes.iter().map(|write| write.name.clone()).collect();
            let standing = self.records(names).await?;
            let commit = match base(lost, version, &standing)? {
                Base::Found(commit) => *commit,
                Base::None(ended) => return Ok(ended),
            };
            let until = Instant::now() + COMMIT_DEADLINE;
            let (written, run) = self.write(&commit).await?;
            // In whatever format it was: `gatepost store upgrade` finds it again.
            let Ok(answer) = written else { return Ok(Repeated::TooEarly) };
            match answer {
                CommitAnswer::Committed(version) | CommitAnswer::Repeated(version) => {
                    self.inner.connections.confirm(&run, until).await?;
                    return Ok(Repeated::Now(version, Act::Commit(Arc::new(commit))));
                }
                CommitAnswer::Stale => {}
                CommitAnswer::DigestTaken => return Ok(Repeated::Superseded),
                CommitAnswer::StreamFull | CommitAnswer::OverBound(..) => {
                    return Err(StoreErrorKind::Full.with("the stream is full"));
                }
            }
        }
        Ok(Repeated::TooEarly)
    }

    async fn repeat_claim(&self, claim: &RawClaim, version: Option<Version>) -> Result<Repeated> {
        match self.claim(claim).await?.0 {
            Claim::Won(version) => Ok(Repeated::Now(version, Act::Claim(claim.clone()))),
            // It came second, and the first is still there.
            Claim::Already(_) if version.is_none() => Ok(Repeated::Needless),
            Claim::Already(_) => Ok(Repeated::Superseded),
            Claim::NotActive => {
                let name = RecordName(claim.key.to_string());
                let key = self.records(vec![name]).await?.into_iter().next().flatten();
                Ok(if key.is_some() { Repeated::Superseded } else { Repeated::TooEarly })
            }
        }
    }
}

/// Whether an error says nothing about the one change: the next one would meet it too.
fn concerns_all(error: &StoreError) -> bool {
    match error.kind() {
        StoreErrorKind::Unavailable | StoreErrorKind::WrongStore => true,
        StoreErrorKind::Unconfirmed | StoreErrorKind::Full | StoreErrorKind::Corrupt | StoreErrorKind::Refused => false,
    }
}

/// The same change over what is there now. Only one that shuts something off goes before what came in between,
/// and that only if somebody may rely on it.
fn base(lost: &RawCommit, version: Option<Version>, standing: &[Option<RawRecord>]) -> Result<Base> {
    let is_same = |(write, record): (&RawWrite, &Option<RawRecord>)| {
        record.as_ref().map(|record| &record.event) == write.expect_event.as_ref()
    };
    let subject = standing.first().and_then(Option::as_ref);
    let stands = subject.is_some_and(|record| record.event == lost.event);
    if stands || lost.writes.iter().zip(standing).all(is_same) {
        let expects = standing.iter().map(|record| record.as_ref().map(|record| record.version));
        let writes = lost.writes.iter().zip(expects).map(|(write, expect)| RawWrite { expect, ..write.clone() });
        return Ok(Base::Found(Box::new(RawCommit {
            writes: writes.collect(),
            format: None,
            bounds: None,
            ..lost.clone()
        })));
    }
    match (lost.urgency, version, subject) {
        (Urgency::ShutsOff, None, _) => Ok(Base::None(Repeated::Needless)),
        (Urgency::ShutsOff | Urgency::Ordinary, _, None) => Ok(Base::None(Repeated::TooEarly)),
        (Urgency::ShutsOff, Some(_), Some(record)) => {
            let forced = forced::shut_off(lost, record)?;
            Ok(forced.map_or(Base::None(Repeated::Superseded), |forced| Base::Found(Box::new(forced))))
        }
        (Urgency::Ordinary, _, Some(_)) => Ok(Base::None(Repeated::Superseded)),
    }
}
