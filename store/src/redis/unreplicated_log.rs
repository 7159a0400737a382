//! Log of recently acknowledged operations of this process, and queue of those to replay after a failover.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_domain::id::EventId;
use gatepost_domain::time::Version;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ops::{RawCommit, RawFirstUseClaim, ReplayStats, Urgency};

/// Maximum number of logged ordinary changes and claims; the oldest are dropped first.
const MAX_ORDINARY: usize = 500;
/// Maximum number of logged revocations. They have their own ring, so that ordinary operations cannot evict them.
const MAX_URGENT: usize = 500;
/// Retention of logged operations. What a replica or a file does not have by then, it will not get.
const RETENTION: Duration = Duration::from_secs(300);
/// Maximum time during which a replay is retried.
const MAX_REPLAY_TIME: Duration = Duration::from_secs(300);
/// Maximum length of the replay queue: the rings of two failovers in quick succession.
const MAX_REPLAY_QUEUE: usize = 2 * (MAX_ORDINARY + MAX_URGENT);

#[derive(Default)]
pub(super) struct UnreplicatedLog {
    state: Mutex<State>,
    replayed: AtomicU64,
    conflicts: AtomicU64,
    given_up: AtomicU64,
    /// Signals that an operation was acknowledged by a run that is no longer the master.
    pub(super) acknowledged_by_old_master: Notify,
}

#[derive(Default)]
struct State {
    ordinary: VecDeque<LoggedOp>,
    urgent: VecDeque<LoggedOp>,
    /// Operations that a new master may lack, in replay order.
    replay_queue: Vec<LoggedOp>,
}

/// A logged operation.
#[derive(Clone)]
pub(super) struct LoggedOp {
    pub(super) op: Op,
    /// Position of the operation; `None` if its reply was lost, or for a claim that was not the first.
    pub(super) version: Option<Version>,
    /// Time of logging and, once in the replay queue, of queueing.
    logged_at: Instant,
}

#[derive(Clone)]
pub(super) enum Op {
    Commit(Arc<RawCommit>),
    Claim(RawFirstUseClaim),
}

impl Op {
    pub(super) fn event(&self) -> &EventId {
        match self {
            Op::Commit(commit) => &commit.event,
            Op::Claim(claim) => &claim.event,
        }
    }

    /// Returns the names of the affected records.
    pub(super) fn record_names(&self) -> Vec<&str> {
        match self {
            Op::Commit(commit) => commit.writes.iter().map(|write| write.name.0.as_str()).collect(),
            Op::Claim(claim) => vec![claim.key.as_str()],
        }
    }

    fn urgency(&self) -> Urgency {
        match self {
            Op::Commit(commit) => commit.urgency,
            Op::Claim(_) => Urgency::Ordinary,
        }
    }
}

impl UnreplicatedLog {
    /// Logs a revocation before it is sent: its reply may be lost, and a retried request then finds nothing left to
    /// write.
    pub(super) fn record_intent(&self, commit: Arc<RawCommit>) {
        let mut state = self.lock();
        state.urgent.retain(|logged| *logged.op.event() != commit.event);
        state.push(LoggedOp { op: Op::Commit(commit), version: None, logged_at: Instant::now() });
    }

    /// Removes the intent of a revocation that was refused.
    pub(super) fn forget_intent(&self, event: &EventId) {
        self.lock().urgent.retain(|logged| logged.version.is_some() || logged.op.event() != event);
    }

    /// Logs a change committed at this position.
    pub(super) fn record_commit(&self, commit: Arc<RawCommit>, version: Version) {
        let mut state = self.lock();
        if commit.urgency == Urgency::Revocation {
            state.urgent.retain(|logged| *logged.op.event() != commit.event);
        }
        state.push(LoggedOp { op: Op::Commit(commit), version: Some(version), logged_at: Instant::now() });
    }

    /// Logs a claim, even one that was not the first: an earlier one whose reply was lost may have been.
    pub(super) fn record_claim(&self, claim: RawFirstUseClaim, version: Option<Version>) {
        self.lock().push(LoggedOp { op: Op::Claim(claim), version, logged_at: Instant::now() });
    }

    /// Logs an operation again that was found to be present.
    pub(super) fn record(&self, logged: LoggedOp) {
        self.lock().push(LoggedOp { logged_at: Instant::now(), ..logged });
    }

    /// Moves recent entries to the replay queue.
    pub(super) fn enqueue_all(&self) {
        let mut state = self.lock();
        let State { ordinary, urgent, replay_queue } = &mut *state;
        let recent = ordinary.drain(..).chain(urgent.drain(..)).filter(|logged| logged.logged_at.elapsed() < RETENTION);
        replay_queue.extend(recent.map(|logged| LoggedOp { logged_at: Instant::now(), ..logged }));
        sort_for_replay(replay_queue);
        // Revocations are first in the queue, so that they are the last to be given up.
        let excess = replay_queue.split_off(replay_queue.len().min(MAX_REPLAY_QUEUE));
        drop(state);
        excess.iter().for_each(|logged| self.give_up(logged, "the replay queue is full"));
    }

    /// Takes the replay queue, in order, and gives up entries that have waited too long.
    pub(super) fn take_replay_queue(&self) -> Vec<LoggedOp> {
        let taken = std::mem::take(&mut self.lock().replay_queue);
        let (recent, expired): (Vec<_>, Vec<_>) =
            taken.into_iter().partition(|logged| logged.logged_at.elapsed() < MAX_REPLAY_TIME);
        expired.iter().for_each(|logged| self.give_up(logged, "it has waited too long"));
        recent
    }

    /// Puts operations that could not be replayed back into the queue.
    pub(super) fn requeue(&self, unfinished: Vec<LoggedOp>) {
        self.lock().replay_queue = unfinished;
    }

    pub(super) fn count_replayed(&self, op: &Op) {
        tracing::warn!(event = op.event().as_str(), "replayed a change that the store had lost");
        self.replayed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_conflict(&self, op: &Op) {
        tracing::warn!(event = op.event().as_str(), "a lost change was not replayed: the record has changed since");
        self.conflicts.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many operations were replayed, and how many could not be.
    pub(super) fn replay_stats(&self) -> ReplayStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReplayStats {
            replayed: count(&self.replayed),
            conflicts: count(&self.conflicts),
            given_up: count(&self.given_up),
        }
    }

    fn give_up(&self, logged: &LoggedOp, why: &'static str) {
        let event = logged.op.event().as_str();
        tracing::error!(event, why, "gave up replaying a change that the store may have lost");
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, logged: LoggedOp) {
        let (ring, max) = match logged.op.urgency() {
            Urgency::Revocation => (&mut self.urgent, MAX_URGENT),
            Urgency::Ordinary => (&mut self.ordinary, MAX_ORDINARY),
        };
        while ring.len() >= max {
            ring.pop_front();
        }
        ring.push_back(logged);
    }
}

/// Sorts revocations first, together with earlier operations on the same records; then the rest, oldest first.
/// Operations without a known position come last, because their record must exist.
fn sort_for_replay(replay_queue: &mut [LoggedOp]) {
    let urgent_ops = replay_queue.iter().filter(|logged| logged.op.urgency() == Urgency::Revocation);
    let urgent_records: HashSet<String> =
        urgent_ops.flat_map(|logged| logged.op.record_names()).map(str::to_owned).collect();
    replay_queue.sort_by_cached_key(|logged| {
        let is_urgent = logged.op.record_names().into_iter().any(|name| urgent_records.contains(name));
        (!is_urgent, logged.version.is_none(), logged.version)
    });
}

#[cfg(test)]
mod tests {
    use gatepost_domain::change::{Action, Invalidation, Propagation};

    use super::*;
    use crate::index::IndexEntry;
    use crate::ops::{DisablesChecksum, EntryPayload, IndexName, RawWrite, RecordName};

    fn change(event: &str, record: &str, urgency: Urgency) -> Arc<RawCommit> {
        let name = RecordName(record.to_owned());
        let entry = IndexEntry { index: IndexName(String::new()), member: String::new(), delta: 0 };
        Arc::new(RawCommit {
            event: EventId::parse(event).unwrap(),
            writes: vec![RawWrite {
                name,
                expected_version: None,
                expected_event: None,
                new: None,
                index_entry: entry,
            }],
            digests_set: vec![],
            digests_drop: vec![],
            index_set: vec![],
            index_drop: vec![],
            account: None,
            limits: None,
            payload: EntryPayload {
                action: Action::ApiKeyUpdated,
                invalidation: Invalidation::None,
                propagation: Propagation::Relaxed,
                metadata: vec![],
                image: vec![],
            },
            sealed: None,
            stored_responses: vec![],
            urgency,
            disables_checksum: DisablesChecksum::No,
            format: None,
        })
    }

    fn replay_order(log: &UnreplicatedLog) -> Vec<String> {
        log.enqueue_all();
        log.take_replay_queue().into_iter().map(|logged| logged.op.event().to_string()).collect()
    }

    #[test]
    fn urgent_ops_are_replayed_first_with_their_dependencies_and_are_not_evicted_by_ordinary_ones() {
        let log = UnreplicatedLog::default();
        log.record_intent(change("evt_00off", "key_1", Urgency::Revocation));
        log.record_commit(change("evt_00off", "key_1", Urgency::Revocation), Version::from_u64(3));
        for number in 0..MAX_ORDINARY as u64 + 10 {
            let event = format!("evt_00other{number}");
            log.record_commit(change(&event, "key_2", Urgency::Ordinary), Version::from_u64(10 + number));
        }
        log.record_commit(change("evt_00made", "key_1", Urgency::Ordinary), Version::from_u64(2));
        let order = replay_order(&log);
        assert_eq!(order[..3], ["evt_00made", "evt_00off", "evt_00other11"]);
        assert_eq!(order.len(), MAX_ORDINARY + 1);
    }

    #[test]
    fn intent_is_logged_unless_the_commit_is_refused() {
        let log = UnreplicatedLog::default();
        for event in ["evt_00refused", "evt_00unheard"] {
            log.record_intent(change(event, "key_1", Urgency::Revocation));
        }
        log.forget_intent(&EventId::parse("evt_00refused").unwrap());
        assert_eq!(replay_order(&log), ["evt_00unheard"]);
    }
}
