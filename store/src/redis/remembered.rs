//! What this process has had acknowledged lately, and what of it waits to be repeated.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_domain::id::EventId;
use gatepost_domain::time::Version;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::act::{RawClaim, RawCommit, Repeats, Urgency};

/// Ordinary changes and claims that are remembered; the oldest is forgotten first.
const MAX_ORDINARY: usize = 500;
/// Changes that shut something off, apart, so that no other pushes one out.
const MAX_SHUTTING_OFF: usize = 500;
/// For how long they are. What a replica or a file has not got by then, it will not get.
const MAX_AGE: Duration = Duration::from_secs(300);
/// For how long it is tried to repeat one.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// What may wait to be repeated: the rings of two failovers, one soon after the other.
const MAX_WAITING: usize = 2 * (MAX_ORDINARY + MAX_SHUTTING_OFF);

#[derive(Default)]
pub(super) struct Remembered {
    state: Mutex<State>,
    repeated: AtomicU64,
    conflicts: AtomicU64,
    too_old: AtomicU64,
    /// Rung where something was acknowledged by a run that is not the master any more.
    pub(super) too_late: Notify,
}

#[derive(Default)]
struct State {
    ordinary: VecDeque<Kept>,
    shutting_off: VecDeque<Kept>,
    /// What a new master may lack, in the order in which it is to be repeated.
    waiting: Vec<Kept>,
}

/// One act.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) act: Act,
    /// The position at which it stood; not known where its answer was lost, and of a claim that came second.
    pub(super) version: Option<Version>,
    /// Since when it is remembered, and then, since when it waits.
    since: Instant,
}

#[derive(Clone)]
pub(super) enum Act {
    Commit(Arc<RawCommit>),
    Claim(RawClaim),
}

impl Act {
    pub(super) fn event(&self) -> &EventId {
        match self {
            Act::Commit(commit) => &commit.event,
            Act::Claim(claim) => &claim.event,
        }
    }

    /// The names of the records that it is about.
    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Act::Commit(commit) => commit.writes.iter().map(|write| write.name.0.as_str()).collect(),
            Act::Claim(claim) => vec![claim.key.as_str()],
        }
    }

    fn urgency(&self) -> Urgency {
        match self {
            Act::Commit(commit) => commit.urgency,
            Act::Claim(_) => Urgency::Ordinary,
        }
    }
}

impl Remembered {
    /// Remembers what is about to shut something off: its answer may be lost, and a repeated request then finds
    /// nothing left to write.
    pub(super) fn intend(&self, commit: Arc<RawCommit>) {
        let mut state = self.lock();
        state.shutting_off.retain(|kept| *kept.act.event() != commit.event);
        state.keep(Kept { act: Act::Commit(commit), version: None, since: Instant::now() });
    }

    /// Forgets what was intended and then refused.
    pub(super) fn refused(&self, event: &EventId) {
        self.lock().shutting_off.retain(|kept| kept.version.is_some() || kept.act.event() != event);
    }

    /// Remembers a change that stands at this position.
    pub(super) fn commit(&self, commit: Arc<RawCommit>, version: Version) {
        let mut state = self.lock();
        if commit.urgency == Urgency::ShutsOff {
            state.shutting_off.retain(|kept| *kept.act.event() != commit.event);
        }
        state.keep(Kept { act: Act::Commit(commit), version: Some(version), since: Instant::now() });
    }

    /// Remembers a claim, also one that came second: it may have been the first, unheard.
    pub(super) fn claim(&self, claim: RawClaim, version: Option<Version>) {
        self.lock().keep(Kept { act: Act::Claim(claim), version, since: Instant::now() });
    }

    /// Remembers on what stands.
    pub(super) fn keep(&self, kept: Kept) {
        self.lock().keep(Kept { since: Instant::now(), ..kept });
    }

    /// Lets all that is not too old wait to be repeated.
    pub(super) fn gather(&self) {
        let mut state = self.lock();
        let State { ordinary, shutting_off, waiting } = &mut *state;
        let young = ordinary.drain(..).chain(shutting_off.drain(..)).filter(|kept| kept.since.elapsed() < MAX_AGE);
        waiting.extend(young.map(|kept| Kept { since: Instant::now(), ..kept }));
        order(waiting);
        // What shuts something off stands first, so that it is not what is given up.
        let excess = waiting.split_off(waiting.len().min(MAX_WAITING));
        drop(state);
        excess.iter().for_each(|kept| self.give_up(kept, "too much waits"));
    }

    /// Takes out what waits, in order, without what has waited too long.
    pub(super) fn take_waiting(&self) -> Vec<Kept> {
        let taken = std::mem::take(&mut self.lock().waiting);
        let (young, old): (Vec<_>, Vec<_>) = taken.into_iter().partition(|kept| kept.since.elapsed() < MAX_WAIT);
        old.iter().for_each(|kept| self.give_up(kept, "it has waited too long"));
        young
    }

    /// Lets wait again what could not be repeated.
    pub(super) fn wait_on(&self, left: Vec<Kept>) {
        self.lock().waiting = left;
    }

    pub(super) fn count_repeated(&self, act: &Act) {
        tracing::warn!(event = act.event().as_str(), "the store had lost this change; it was repeated");
        self.repeated.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_conflict(&self, act: &Act) {
        tracing::warn!(event = act.event().as_str(), "the store had lost this change, and others came before it");
        self.conflicts.fetch_add(1, Ordering::Relaxed);
    }

    /// How often something was repeated, and how often that could not be.
    pub(super) fn repeats(&self) -> Repeats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Repeats { repeated: count(&self.repeated), conflicts: count(&self.conflicts), too_old: count(&self.too_old) }
    }

    fn give_up(&self, kept: &Kept, why: &'static str) {
        let event = kept.act.event().as_str();
        tracing::error!(event, why, "what the store may have lost is not repeated any more");
        self.too_old.fetch_add(1, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, kept: Kept) {
        let (ring, max) = match kept.act.urgency() {
            Urgency::ShutsOff => (&mut self.shutting_off, MAX_SHUTTING_OFF),
            Urgency::Ordinary => (&mut self.ordinary, MAX_ORDINARY),
        };
        while ring.len() >= max {
            ring.pop_front();
        }
        ring.push_back(kept);
    }
}

/// What shuts something off comes first, with what was done to the same records before; then the rest, oldest first.
/// Where the position is not known comes last: its record must be there.
fn order(waiting: &mut [Kept]) {
    let shut_off = waiting.iter().filter(|kept| kept.act.urgency() == Urgency::ShutsOff);
    let urgent: HashSet<String> = shut_off.flat_map(|kept| kept.act.names()).map(str::to_owned).collect();
    waiting.sort_by_cached_key(|kept| {
        let is_urgent = kept.act.names().into_iter().any(|name| urgent.contains(name));
        (!is_urgent, kept.version.is_none(), kept.version)
    });
}

#[cfg(test)]
mod tests {
    use gatepost_domain::change::{Action, Fence, Scope};

    use super::*;
    use crate::act::{IndexName, Loosens, RawWrite, RecordName, Told};
    use crate::counts::IndexEntry;

    fn change(event: &str, record: &str, urgency: Urgency) -> Arc<RawCommit> {
        let name = RecordName(record.to_owned());
        let entry = IndexEntry { index: IndexName(String::new()), member: String::new(), delta: 0 };
        Arc::new(RawCommit {
            event: EventId::parse(event).unwrap(),
            writes: vec![RawWrite { name, expect: None, expect_event: None, new: None, entry }],
            digests_set: vec![],
            digests_drop: vec![],
            index_set: vec![],
            index_drop: vec![],
            account: None,
            bounds: None,
            told: Told {
                action: Action::ApiKeyUpdated,
                scope: Scope::None,
                fence: Fence::Down,
                head: vec![],
                image: vec![],
            },
            sealed: None,
            receipts: vec![],
            urgency,
            loosens_checksum: Loosens::No,
            format: None,
        })
    }

    fn waiting(remembered: &Remembered) -> Vec<String> {
        remembered.gather();
        remembered.take_waiting().into_iter().map(|kept| kept.act.event().to_string()).collect()
    }

    #[test]
    fn what_shuts_off_is_repeated_first_with_what_it_needs_and_no_other_change_pushes_it_out() {
        let remembered = Remembered::default();
        remembered.intend(change("evt_00off", "key_1", Urgency::ShutsOff));
        remembered.commit(change("evt_00off", "key_1", Urgency::ShutsOff), Version::from_u64(3));
        for number in 0..MAX_ORDINARY as u64 + 10 {
            let event = format!("evt_00other{number}");
            remembered.commit(change(&event, "key_2", Urgency::Ordinary), Version::from_u64(10 + number));
        }
        remembered.commit(change("evt_00made", "key_1", Urgency::Ordinary), Version::from_u64(2));
        let waiting = waiting(&remembered);
        assert_eq!(waiting[..3], ["evt_00made", "evt_00off", "evt_00other11"]);
        assert_eq!(waiting.len(), MAX_ORDINARY + 1);
    }

    #[test]
    fn what_was_intended_is_remembered_unless_it_was_refused() {
        let remembered = Remembered::default();
        for event in ["evt_00refused", "evt_00unheard"] {
            remembered.intend(change(event, "key_1", Urgency::ShutsOff));
        }
        remembered.refused(&EventId::parse("evt_00refused").unwrap());
        assert_eq!(waiting(&remembered), ["evt_00unheard"]);
    }
}
