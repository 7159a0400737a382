//! The two streams that a gateway reads: that of all changes until the store's format is raised, then that of
//! invalidations alone.
//!
//! The property: when the store records that a gateway has applied everything up to a position, then the gateway has
//! applied every invalidation up to there, and none that the store has lost. Changes may be lost once, with what
//! depends on them; entries may be trimmed once; replies arrive late.

use super::explore::{Model, explore};

/// Most changes that are committed.
const MAX_CHANGES: u8 = 3;
/// Most entries of a read.
const MAX_ENTRIES: usize = 1;

/// Rules of the protocol. Each is necessary: without it the property is violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Rules {
    /// A reader of the invalidation stream compares its cursor with the entry before the first that it reads.
    entries_are_linked: bool,
    /// The invalidation stream begins at the last change before it, not at the start of history.
    begins_at_last_change: bool,
    /// A gateway changes to the invalidation stream only when it has read the changes up to its end, as of that read.
    switch_waits: bool,
    /// A read that started before the gateway moved is discarded.
    stale_reads_are_discarded: bool,
    /// A gateway counts as having applied all changes only where its cursor is the end of the stream.
    only_the_end_counts: bool,
}

const ALL_RULES: Rules = Rules {
    entries_are_linked: true,
    begins_at_last_change: true,
    switch_waits: true,
    stale_reads_are_discarded: true,
    only_the_end_counts: true,
};

/// A change. No position is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Change {
    position: u8,
    invalidates: bool,
    /// End of the invalidation stream before the change.
    end_before: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Invalidation {
    position: u8,
    previous: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stream {
    Changes,
    Invalidations,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Store {
    changes: Vec<Change>,
    invalidations: Vec<Invalidation>,
    /// Position of the last invalidation. `None` before the format is raised.
    end: Option<u8>,
}

/// Result of a read or a heartbeat, which arrives later.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Reply {
    moves: u8,
    is_lost: bool,
    /// Positions that were read.
    entries: Vec<u8>,
    /// Stream and position at which a gateway starts over or goes on, and all that invalidates up to there.
    end: (Stream, u8, Vec<u8>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Gateway {
    stream: Stream,
    cursor: u8,
    moves: u8,
    /// Positions of the invalidations that cannot be missing in its cache.
    applied: Vec<u8>,
    read: Option<Reply>,
    heartbeat: Option<Reply>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    rules: Rules,
    store: Store,
    next_position: u8,
    can_lose: bool,
    can_trim: bool,
    gateway: Gateway,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Commit { invalidates: bool },
    RaiseFormat,
    LoseLastChange,
    TrimInvalidations,
    FeedRead,
    FeedApplied,
    HeartbeatStored,
    HeartbeatReceived,
}

impl Store {
    fn last(&self) -> u8 {
        self.changes.last().map_or(0, |change| change.position)
    }

    fn commit(&mut self, position: u8, invalidates: bool) {
        self.changes.push(Change { position, invalidates, end_before: self.end });
        if let Some(previous) = self.end.filter(|_| invalidates) {
            self.invalidations.push(Invalidation { position, previous });
            self.end = Some(position);
        }
    }

    fn lose_last_change(&mut self) {
        let Some(lost) = self.changes.pop() else { return };
        self.invalidations.pop_if(|entry| entry.position == lost.position);
        // If the format was raised after it, that is lost too.
        self.end = lost.end_before;
    }

    /// Returns the positions up to one whose changes invalidate something.
    fn invalidating(&self, to: u8) -> Vec<u8> {
        let changes = self.changes.iter().filter(|change| change.invalidates && change.position <= to);
        changes.map(|change| change.position).collect()
    }

    /// Returns the stream that should be read, its end, and what invalidates up to there.
    fn end(&self) -> (Stream, u8, Vec<u8>) {
        let (stream, position) =
            self.end.map_or((Stream::Changes, self.last()), |position| (Stream::Invalidations, position));
        (stream, position, self.invalidating(position))
    }

    /// Returns whether reading cannot continue at a cursor.
    fn is_lost(&self, stream: Stream, cursor: u8) -> bool {
        match stream {
            Stream::Changes => cursor != 0 && !self.changes.iter().any(|change| change.position == cursor),
            Stream::Invalidations => {
                let next = self.invalidations.iter().find(|entry| entry.position > cursor);
                Some(cursor) != next.map(|entry| entry.previous).or(self.end)
            }
        }
    }

    fn entries_after(&self, stream: Stream, cursor: u8) -> Vec<u8> {
        let positions: Vec<u8> = match stream {
            Stream::Changes => self.changes.iter().map(|change| change.position).collect(),
            Stream::Invalidations => self.invalidations.iter().map(|entry| entry.position).collect(),
        };
        positions.into_iter().filter(|position| *position > cursor).take(MAX_ENTRIES).collect()
    }
}

impl State {
    fn new(rules: Rules) -> Self {
        let gateway =
            Gateway { stream: Stream::Changes, cursor: 0, moves: 0, applied: vec![], read: None, heartbeat: None };
        let store = Store { changes: vec![], invalidations: vec![], end: None };
        Self { rules, store, next_position: 1, can_lose: true, can_trim: true, gateway }
    }

    fn read(&self) -> Reply {
        let (store, gateway) = (&self.store, &self.gateway);
        let entries = store.entries_after(gateway.stream, gateway.cursor);
        // Without an entry to compare, nothing is known. A script compares the cursor in the stream of changes.
        let compares = match gateway.stream {
            Stream::Changes => true,
            Stream::Invalidations => self.rules.entries_are_linked && !entries.is_empty(),
        };
        let is_lost = compares && store.is_lost(gateway.stream, gateway.cursor);
        Reply { moves: gateway.moves, is_lost, entries, end: store.end() }
    }

    fn apply_read(&mut self) {
        let Some(read) = self.gateway.read.take() else { return };
        if self.rules.stale_reads_are_discarded && read.moves != self.gateway.moves {
            return;
        }
        if read.is_lost {
            return self.gateway.start_over(read.end);
        }
        self.gateway.cursor = read.entries.last().copied().unwrap_or(self.gateway.cursor);
        self.gateway.applied.extend(read.entries.into_iter().filter(|position| is_invalidating(*position)));
        self.gateway.normalize();
        let (stream, position, _) = read.end;
        let is_read = !self.rules.switch_waits || self.gateway.cursor >= position;
        if self.gateway.stream == Stream::Changes && stream == Stream::Invalidations && is_read {
            self.gateway.move_to(stream, position);
        }
    }

    /// The store records how far the gateway is. Fails if the gateway is not.
    fn store_heartbeat(&mut self) -> Result<(), String> {
        let (store, gateway) = (&self.store, &self.gateway);
        let is_lost = store.is_lost(gateway.stream, gateway.cursor);
        let is_at_end = store.end == Some(gateway.cursor) || !self.rules.only_the_end_counts;
        let counts_as_all = gateway.stream == Stream::Invalidations && !is_lost && is_at_end;
        let recorded = if counts_as_all { store.last() } else { gateway.cursor };
        let missing = store.invalidating(recorded).into_iter().find(|position| !gateway.applied.contains(position));
        let lost = gateway.applied.iter().find(|position| !store.changes.iter().any(|one| one.position == **position));
        match (is_lost, missing, lost) {
            (false, Some(missing), _) => return Err(format!("{missing} is missing at {recorded}")),
            (false, None, Some(lost)) => return Err(format!("{lost} was lost, which is not noticed at {recorded}")),
            (false, None, None) | (true, ..) => {}
        }
        self.gateway.heartbeat = Some(Reply { moves: gateway.moves, is_lost, entries: vec![], end: store.end() });
        Ok(())
    }

    fn receive_heartbeat(&mut self) {
        let Some(reply) = self.gateway.heartbeat.take() else { return };
        if reply.is_lost && reply.moves == self.gateway.moves {
            self.gateway.start_over(reply.end);
        }
    }
}

/// In the model, the positions of changes that invalidate something are odd, so that lost ones are known too.
fn is_invalidating(position: u8) -> bool {
    position % 2 == 1
}

impl Gateway {
    fn move_to(&mut self, stream: Stream, cursor: u8) {
        (self.stream, self.cursor, self.moves) = (stream, cursor, self.moves + 1);
    }

    /// Nothing that was cached before is used again.
    fn start_over(&mut self, (stream, cursor, applied): (Stream, u8, Vec<u8>)) {
        self.move_to(stream, cursor);
        self.applied = applied;
    }

    fn normalize(&mut self) {
        self.applied.sort_unstable();
        self.applied.dedup();
    }
}

impl Model for State {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let possible = |is_possible: bool, step: Step| is_possible.then_some(step);
        let can_commit = self.next_position <= 2 * MAX_CHANGES;
        [
            possible(can_commit, Step::Commit { invalidates: true }),
            possible(can_commit, Step::Commit { invalidates: false }),
            possible(self.store.end.is_none(), Step::RaiseFormat),
            possible(self.can_lose && !self.store.changes.is_empty(), Step::LoseLastChange),
            possible(self.can_trim && !self.store.invalidations.is_empty(), Step::TrimInvalidations),
            possible(self.gateway.read.is_none(), Step::FeedRead),
            possible(self.gateway.read.is_some(), Step::FeedApplied),
            possible(self.gateway.heartbeat.is_none(), Step::HeartbeatStored),
            possible(self.gateway.heartbeat.is_some(), Step::HeartbeatReceived),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn apply(&self, step: Step) -> Result<Self, String> {
        let mut state = self.clone();
        match step {
            Step::Commit { invalidates } => {
                let position = state.next_position + u8::from(!invalidates);
                state.next_position += 2;
                state.store.commit(position, invalidates);
            }
            Step::RaiseFormat => {
                state.store.end = Some(if self.rules.begins_at_last_change { state.store.last() } else { 0 });
            }
            Step::LoseLastChange => {
                state.can_lose = false;
                state.store.lose_last_change();
            }
            Step::TrimInvalidations => {
                state.can_trim = false;
                state.store.invalidations.remove(0);
            }
            Step::FeedRead => state.gateway.read = Some(state.read()),
            Step::FeedApplied => state.apply_read(),
            Step::HeartbeatStored => state.store_heartbeat()?,
            Step::HeartbeatReceived => state.receive_heartbeat(),
        }
        Ok(state)
    }

    /// A gateway goes on for ever.
    fn check_end(&self) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn a_gateway_has_applied_what_the_store_records() {
    let states = explore(State::new(ALL_RULES)).unwrap_or_else(|violation| panic!("{violation:?}"));
    assert!(states > 10_000, "{states}");
}

#[test]
fn every_rule_of_the_streams_is_needed() {
    for rules in [
        Rules { entries_are_linked: false, ..ALL_RULES },
        Rules { begins_at_last_change: false, ..ALL_RULES },
        Rules { switch_waits: false, ..ALL_RULES },
        Rules { stale_reads_are_discarded: false, ..ALL_RULES },
        Rules { only_the_end_counts: false, ..ALL_RULES },
    ] {
        assert!(explore(State::new(rules)).is_err(), "{rules:?}");
    }
}
