//! A small model of a check that uses the real watermarks. Every interleaving of its steps is explored.
//!
//! The property: a request that arrives after a revocation was applied here is never accepted, whether its key
//! comes from the cache, from its own fetch or from a fetch that it joined.

use gatepost_domain::change::Invalidation;
use gatepost_domain::digest::Digest;
use gatepost_domain::id::ProjectId;
use gatepost_domain::partition::{Cell, Layout, Partition};
use gatepost_domain::time::Version;

use crate::watermarks::{FetchOrigin, Freshness, InvalidationWatermarks, RequestSnapshot};

/// One step of one of the parties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The store revokes the key.
    Revoke,
    /// The store records a change that invalidates nothing and has no entry in the feed.
    FirstUse,
    /// The store loses its latest changes and continues from a lower position.
    Rewind,
    /// The store loses only what comes after the first position of the feed, and uses the positions again.
    LoseLatest,
    /// The feed reads the entries after its cursor.
    FeedRead,
    /// The feed raises the watermarks for the entries it read, then moves its cursor.
    FeedApply,
    /// The store responds to a heartbeat.
    HeartbeatSent,
    /// The response is received. A cursor that is not part of this history is reset.
    HeartbeatReceived,
    /// A request arrives and reads its watermarks.
    RequestArrived(usize),
    /// A fetch starts.
    FetchStarted,
    /// The store responds to the fetch.
    FetchAnswered,
    /// The fetched key is inserted into the cache.
    CacheFilled,
    /// The request uses the result of the fetch, its own or one that it joined.
    JoinFetch(usize),
    /// The request uses the cached key.
    CacheHit(usize),
}

#[derive(Debug, Clone, Copy)]
struct FetchedKey {
    freshness: Freshness,
    is_active: bool,
}

/// Scope of the change that revokes the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RevocationScope {
    Key,
    Project,
}

struct State {
    watermarks: InvalidationWatermarks,
    digest: Digest,
    project: ProjectId,
    scope: RevocationScope,
    last: u64,
    revoked_at: Option<u64>,
    cursor: (u64, u64),
    pending_read: Option<(u64, Option<u64>)>,
    heartbeat: Option<((u64, u64), u64)>,
    is_revocation_applied: bool,
    fetch: Option<(FetchOrigin, Option<FetchedKey>)>,
    cache: Option<FetchedKey>,
    requests: [Option<(RequestSnapshot, bool)>; 2],
}

const START: u64 = 10;
const REWOUND_TO: u64 = 5;

fn cell() -> Cell {
    Layout::SINGLE.cell(Partition::default())
}

impl State {
    fn new(scope: RevocationScope) -> Self {
        let watermarks = InvalidationWatermarks::new(16);
        watermarks.reset(Version::from_u64(START));
        let start = Version::from_u64(START);
        let origin = FetchOrigin { cell: cell(), epoch: watermarks.epoch(), cursor: start };
        Self {
            watermarks,
            digest: Digest::from_bytes([7; 32]),
            project: ProjectId::generate_in(Partition::default(), &mut gatepost_store::os_rng()),
            scope,
            last: START,
            revoked_at: None,
            cursor: (START, 0),
            pending_read: None,
            heartbeat: None,
            is_revocation_applied: false,
            fetch: None,
            cache: Some(FetchedKey { freshness: origin.freshness(start), is_active: true }),
            requests: [None; 2],
        }
    }

    /// Applies a step. Fails if it violates the property.
    fn apply_step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Revoke => {
                self.last += 1;
                self.revoked_at = Some(self.last);
            }
            Step::FirstUse => self.last += 1,
            Step::Rewind => self.last = REWOUND_TO,
            Step::LoseLatest => self.last = START,
            Step::FeedRead => {
                let entry = self.revoked_at.filter(|at| *at > self.cursor.0 && *at <= self.last);
                self.pending_read = Some((self.cursor.1, entry));
            }
            Step::FeedApply => self.apply_read(),
            Step::HeartbeatSent => self.heartbeat = Some((self.cursor, self.last)),
            Step::HeartbeatReceived => self.reset_if_cursor_lost(),
            Step::RequestArrived(request) => {
                self.requests[request] = Some((self.watermarks.snapshot(&self.digest), self.is_revocation_applied));
            }
            Step::FetchStarted => self.fetch = Some((self.fetch_origin(), None)),
            Step::FetchAnswered => self.answer_fetch(),
            Step::CacheFilled => self.cache = self.fetch.and_then(|(_, answer)| answer),
            Step::JoinFetch(request) => return self.check_request(request, self.fetch.and_then(|(_, answer)| answer)),
            Step::CacheHit(request) => return self.check_request(request, self.cache),
        }
        Ok(())
    }

    fn apply_read(&mut self) {
        let Some((resets, Some(entry))) = self.pending_read.take() else { return };
        if resets != self.cursor.1 {
            return;
        }
        let invalidation = match self.scope {
            RevocationScope::Key => Invalidation::Digests(vec![self.digest]),
            RevocationScope::Project => Invalidation::Project(self.project.clone()),
        };
        self.watermarks.raise(&invalidation, Version::from_u64(entry));
        self.cursor.0 = entry;
        self.watermarks.advance_cursor(Version::from_u64(entry));
        self.is_revocation_applied = true;
    }

    fn reset_if_cursor_lost(&mut self) {
        let Some(((cursor, resets), last)) = self.heartbeat.take() else { return };
        if resets == self.cursor.1 && cursor > last {
            self.cursor = (last, resets + 1);
            self.watermarks.reset(Version::from_u64(last));
            self.is_revocation_applied = self.revoked_at.is_some_and(|at| at <= last);
        }
    }

    fn answer_fetch(&mut self) {
        let is_active = self.revoked_at.is_none_or(|at| at > self.last);
        if let Some((origin, fetched)) = &mut self.fetch {
            *fetched = Some(FetchedKey { freshness: origin.freshness(Version::from_u64(self.last)), is_active });
        }
    }

    fn fetch_origin(&self) -> FetchOrigin {
        FetchOrigin { cell: cell(), epoch: self.watermarks.epoch(), cursor: Version::from_u64(self.cursor.0) }
    }

    fn check_request(&self, request: usize, fetched: Option<FetchedKey>) -> Result<(), String> {
        let (Some((snapshot, arrived_after_revocation)), Some(fetched)) = (self.requests[request], fetched) else {
            return Ok(());
        };
        let is_fresh = self.watermarks.is_fresh(snapshot, fetched.freshness, Some(&self.project));
        if is_fresh && fetched.is_active && arrived_after_revocation {
            return Err(format!("request {request} was accepted on {fetched:?} after the revocation was applied"));
        }
        Ok(())
    }
}

/// Explores every interleaving of the parties' steps. Returns their number.
fn explore_interleavings(scope: RevocationScope, parties: &[&[Step]]) -> u64 {
    let mut next = vec![0; parties.len()];
    let mut taken = Vec::new();
    explore_from(scope, parties, &mut next, &mut taken)
}

fn explore_from(scope: RevocationScope, parties: &[&[Step]], next: &mut [usize], taken: &mut Vec<Step>) -> u64 {
    let mut walked = 0;
    for party in 0..parties.len() {
        let Some(step) = parties[party].get(next[party]) else { continue };
        next[party] += 1;
        taken.push(*step);
        walked += explore_from(scope, parties, next, taken);
        taken.pop();
        next[party] -= 1;
    }
    if walked > 0 {
        return walked;
    }
    let mut state = State::new(scope);
    for step in taken.iter() {
        state.apply_step(*step).unwrap_or_else(|violation| panic!("{violation}\nafter {taken:?}"));
    }
    1
}

const FEED: &[Step] = &[Step::FeedRead, Step::FeedApply];
const HEARTBEAT: &[Step] = &[Step::HeartbeatSent, Step::HeartbeatReceived];
const FETCH: &[Step] = &[Step::FetchStarted, Step::FetchAnswered, Step::CacheFilled];
const CACHE_HIT_REQUEST: &[Step] = &[Step::RequestArrived(0), Step::CacheHit(0)];
const JOINING_REQUEST: &[Step] = &[Step::RequestArrived(1), Step::JoinFetch(1)];

#[test]
fn no_interleaving_revives_a_revoked_key() {
    for scope in [RevocationScope::Key, RevocationScope::Project] {
        let walked = explore_interleavings(scope, &[&[Step::Revoke], FEED, FETCH, CACHE_HIT_REQUEST, JOINING_REQUEST]);
        assert_eq!(walked, 75_600);
    }
}

#[test]
fn no_interleaving_with_a_rewound_history_revives_a_key() {
    for scope in [RevocationScope::Key, RevocationScope::Project] {
        let rewound_then_revoked: &[Step] = &[Step::Rewind, Step::Revoke];
        assert_eq!(explore_interleavings(scope, &[rewound_then_revoked, HEARTBEAT, FEED, CACHE_HIT_REQUEST]), 2_520);
        assert_eq!(
            explore_interleavings(scope, &[rewound_then_revoked, HEARTBEAT, FEED, FETCH, JOINING_REQUEST]),
            415_800
        );
        // The revocation is lost with the history and repeated at a lower position.
        let revoked_twice: &[Step] = &[Step::Revoke, Step::Rewind, Step::Revoke];
        let two_reads: &[Step] = &[Step::FeedRead, Step::FeedApply, Step::FeedRead, Step::FeedApply];
        assert_eq!(explore_interleavings(scope, &[revoked_twice, HEARTBEAT, two_reads, CACHE_HIT_REQUEST]), 69_300);
    }
}

#[test]
fn no_interleaving_with_positions_that_are_used_again_revives_a_key() {
    for scope in [RevocationScope::Key, RevocationScope::Project] {
        let lost_then_revoked: &[Step] = &[Step::FirstUse, Step::LoseLatest, Step::Revoke];
        let walked =
            explore_interleavings(scope, &[lost_then_revoked, FEED, FETCH, CACHE_HIT_REQUEST, JOINING_REQUEST]);
        assert_eq!(walked, 1_663_200);
    }
}

#[test]
fn the_model_detects_a_revived_key() {
    // Without watermarks a cached key would outlive its revocation. The exploration must be able to detect
    // that.
    let mut state = State::new(RevocationScope::Key);
    for step in [Step::Revoke, Step::FeedRead, Step::FeedApply, Step::RequestArrived(0)] {
        assert_eq!(state.apply_step(step), Ok(()));
    }
    state.watermarks = InvalidationWatermarks::new(16);
    state.requests[0] = state.requests[0]
        .map(|(_, arrived_after_revocation)| (state.watermarks.snapshot(&state.digest), arrived_after_revocation));
    assert!(state.apply_step(Step::CacheHit(0)).is_err());
}
