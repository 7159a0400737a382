//! What this process has had acknowledged lately, and what of it waits to be repeated.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_domain::id::EventId;
use gatepost_domain::time::Version;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ops::{RawCommit, RawFirstUseClaim, ReplayStats, Urgency};

/// Ordinary changes and claims that are remembered; the oldest is forgotten first.
const MAX_ORDINARY: usize = 500;
/// Changes that shut something off, apart, so that no other pushes one out.
const MAX_URGENT: usize = 500;
/// For how long they are. What a replica or a file has not got by then, it will not get.
const RETENTION: Duration = Duration::from_secs(300);
/// For how long it is tried to repeat one.
const MAX_REPLAY_TIME: Duration = Duration::from_secs(300);
/// What may wait to be repeated: the rings of two failovers, one soon after the other.
const MAX_REPLAY_QUEUE: usize = 2 * (MAX_ORDINARY + MAX_URGENT);

#[derive(Default)]
pub(super) struct UnreplicatedLog {
    state: Mutex<State>,
    replayed: AtomicU64,
    conflicts: AtomicU64,
    expired: AtomicU64,
    /// Rung where something was acknowledged by a run that is not the master any more.
    pub(super) acknowledged_by_old_master: Notify,
}

#[derive(Default)]
struct State {
    ordinary: VecDeque<LoggedOp>,
    urgent: VecDeque<LoggedOp>,
    /// What a new master may lack, in the order in which it is to be repeated.
    replay_queue: Vec<LoggedOp>,
}

/// One act.
#[derive(Clone)]
pub(super) struct LoggedOp {
    pub(super) op: Op,
    /// The position at which it stood; not known where its answer was lost, and of a claim that came second.
    pub(super) version: Option<Version>,
    /// Since when it is remembered, and then, since when it waits.
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

    /// The names of the records that it is about.
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
    /// Remembers what is about to shut something off: its answer may be lost, and a repeated request then finds
    /// nothing left to write.
    pub(super) fn record_intent(&self, commit: Arc<RawCommit>) {
        let mut state = self.lock();
        state.urgent.retain(|logged| *logged.op.event() != commit.event);
        state.push(LoggedOp { op: Op::Commit(commit), version: None, logged_at: Instant::now() });
    }

    /// Forgets what was intended and then refused.
    pub(super) fn forget_intent(&self, event: &EventId) {
        self.lock().urgent.retain(|logged| logged.version.is_some() || logged.op.event() != event);
    }

    /// Remembers a change that stands at this position.
    pub(super) fn record_commit(&self, commit: Arc<RawCommit>, version: Version) {
        let mut state = self.lock();
        if commit.urgency == Urgency::Revocation {
            state.urgent.retain(|logged| *logged.op.event() != commit.event);
        }
        state.push(LoggedOp { op: Op::Commit(commit), version: Some(version), logged_at: Instant::now() });
    }

    /// Remembers a claim, also one that came second: it may have been the first, unheard.
    pub(super) fn record_claim(&self, claim: RawFirstUseClaim, version: Option<Version>) {
        self.lock().push(LoggedOp { op: Op::Claim(claim), version, logged_at: Instant::now() });
    }

    /// Remembers on what stands.
    pub(super) fn record(&self, logged: LoggedOp) {
        self.lock().push(LoggedOp { logged_at: Instant::now(), ..logged });
    }

    /// Lets all that is not too old wait to be repeated.
    pub(super) fn enqueue_all(&self) {
        let mut state = self.lock();
        let State { ordinary, urgent, replay_queue } = &mut *state;
        let recent = ordinary.drain(..).chain(urgent.drain(..)).filter(|logged| logged.logged_at.elapsed() < RETENTION);
        replay_queue.extend(recent.map(|logged| LoggedOp { logged_at: Instant::now(), ..logged }));
        sort_for_replay(replay_queue);
        // What shuts something off stands first, so that it is not what is given up.
        let excess = replay_queue.split_off(replay_queue.len().min(MAX_REPLAY_QUEUE));
        drop(state);
        excess.iter().for_each(|logged| self.give_up(logged, "too much waits"));
    }

    /// Takes out what waits, in order, without what has waited too long.
    pub(super) fn take_replay_queue(&self) -> Vec<LoggedOp> {
        let taken = std::mem::take(&mut self.lock().replay_queue);
        let (recent, expired): (Vec<_>, Vec<_>) =
            taken.into_iter().partition(|logged| logged.logged_at.elapsed() < MAX_REPLAY_TIME);
        expired.iter().for_each(|logged| self.give_up(logged, "it has waited too long"));
        recent
    }

    /// Lets wait again what could not be repeated.
    pub(super) fn requeue(&self, unfinished: Vec<LoggedOp>) {
        self.lock().replay_queue = unfinished;
    }

    pub(super) fn count_replayed(&self, op: &Op) {
        tracing::warn!(event = op.event().as_str(), "the store had lost this change; it was repeated");
        self.replayed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_conflict(&self, op: &Op) {
        tracing::warn!(event = op.event().as_str(), "the store had lost this change, and others came before it");
        self.conflicts.fetch_add(1, Ordering::Relaxed);
    }

    /// How often something was repeated, and how often that could not be.
    pub(super) fn replay_stats(&self) -> ReplayStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReplayStats {
            replayed: count(&self.replayed),
            conflicts: count(&self.conflicts),
            too_old: count(&self.expired),
        }
    }

    fn give_up(&self, logged: &LoggedOp, why: &'static str) {
        let event = logged.op.event().as_str();
        tracing::error!(event, why, "what the store may have lost is not repeated any more");
        self.expired.fetch_add(1, Ordering::Relaxed);
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

/// What shuts something off comes first, with what was done to the same records before; then the rest, oldest first.
/// Where the position is not known comes last: its record must be there.
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
    use crate::account_resources::IndexEntry;
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
