//! The steps of a check as a small model over the real floors. Every interleaving is walked.
//!
//! The property: a request that arrives after the end of a key was applied here is never accepted,
//! whatever it gets its answer from: a hit, a look-up of its own, or one that it joined.

use gatepost_domain::change::Scope;
use gatepost_domain::digest::Digest;
use gatepost_domain::id::ProjectId;
use gatepost_domain::time::Version;

use crate::floors::{Arrival, AsOf, Counts, Floors};

/// One step of one of the parties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The store ends the key.
    Revoke,
    /// The store loses its latest changes, and counts on from a lower position.
    Rewind,
    /// The feed reads the entries after its cursor.
    FeedRead,
    /// The feed lifts the floors of what it read, then moves its cursor.
    FeedApply,
    /// A heartbeat is answered by the store.
    BeatSent,
    /// Its answer is taken: a cursor that is not of this history begins anew.
    BeatTaken,
    /// A request arrives and reads its floors.
    Arrive(usize),
    /// A look-up begins.
    LookUpBegins,
    /// The store answers it.
    LookUpAnswered,
    /// Its answer is put into the cache.
    Fill,
    /// The request takes what the look-up brought, its own or one that it joined.
    Join(usize),
    /// The request takes what is in the cache.
    Hit(usize),
}

#[derive(Debug, Clone, Copy)]
struct Answer {
    as_of: AsOf,
    is_active: bool,
}

/// How the change that ends the key is scoped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    OfTheKey,
    OfItsProject,
}

struct World {
    floors: Floors,
    digest: Digest,
    project: ProjectId,
    ending: Ending,
    last: u64,
    revoked_at: Option<u64>,
    position: (u64, u64),
    reading: Option<(u64, Option<u64>)>,
    beat: Option<((u64, u64), u64)>,
    is_end_applied: bool,
    flight: Option<(u64, Option<Answer>)>,
    cache: Option<Answer>,
    arrivals: [Option<(Arrival, bool)>; 2],
}

const START: u64 = 10;
const REWOUND_TO: u64 = 5;

impl World {
    fn new(ending: Ending) -> Self {
        let floors = Floors::new(16);
        floors.reset(Version::from_u64(START));
        let as_of = AsOf { epoch: floors.epoch(), version: Version::from_u64(START) };
        Self {
            floors,
            digest: Digest::from_bytes([7; 32]),
            project: ProjectId::generate(&mut gatepost_store::os_rng()),
            ending,
            last: START,
            revoked_at: None,
            position: (START, 0),
            reading: None,
            beat: None,
            is_end_applied: false,
            flight: None,
            cache: Some(Answer { as_of, is_active: true }),
            arrivals: [None; 2],
        }
    }

    /// Takes a step; an error tells that the property is broken.
    fn take(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Revoke => {
                self.last += 1;
                self.revoked_at = Some(self.last);
            }
            Step::Rewind => self.last = REWOUND_TO,
            Step::FeedRead => {
                let entry = self.revoked_at.filter(|at| *at > self.position.0 && *at <= self.last);
                self.reading = Some((self.position.1, entry));
            }
            Step::FeedApply => self.apply(),
            Step::BeatSent => self.beat = Some((self.position, self.last)),
            Step::BeatTaken => self.begin_anew_if_lost(),
            Step::Arrive(request) => {
                self.arrivals[request] = Some((self.floors.arrive(&self.digest), self.is_end_applied));
            }
            Step::LookUpBegins => self.flight = Some((self.floors.epoch(), None)),
            Step::LookUpAnswered => self.answer(),
            Step::Fill => self.cache = self.flight.and_then(|(_, answer)| answer),
            Step::Join(request) => return self.judge(request, self.flight.and_then(|(_, answer)| answer)),
            Step::Hit(request) => return self.judge(request, self.cache),
        }
        Ok(())
    }

    fn apply(&mut self) {
        let Some((resets, Some(entry))) = self.reading.take() else { return };
        if resets != self.position.1 {
            return;
        }
        let scope = match self.ending {
            Ending::OfTheKey => Scope::Digests(vec![self.digest]),
            Ending::OfItsProject => Scope::Project(self.project.clone()),
        };
        self.floors.lift(&scope, Version::from_u64(entry));
        self.position.0 = entry;
        self.floors.advance(Version::from_u64(entry));
        self.is_end_applied = true;
    }

    fn begin_anew_if_lost(&mut self) {
        let Some(((cursor, resets), last)) = self.beat.take() else { return };
        if resets == self.position.1 && cursor > last {
            self.position = (last, resets + 1);
            self.floors.reset(Version::from_u64(last));
            self.is_end_applied = self.revoked_at.is_some_and(|at| at <= last);
        }
    }

    fn answer(&mut self) {
        let version = Version::from_u64(self.last);
        let is_active = self.revoked_at.is_none_or(|at| at > self.last);
        if let Some((epoch, answer)) = &mut self.flight {
            *answer = Some(Answer { as_of: AsOf { epoch: *epoch, version }, is_active });
        }
    }

    fn judge(&self, request: usize, answer: Option<Answer>) -> Result<(), String> {
        let (Some((arrival, came_after_the_end)), Some(answer)) = (self.arrivals[request], answer) else {
            return Ok(());
        };
        let counts = self.floors.judge(arrival, answer.as_of, Some(&self.project));
        if counts == Counts::Yes && answer.is_active && came_after_the_end {
            return Err(format!("request {request} was accepted on {answer:?} after the end was applied"));
        }
        Ok(())
    }
}

/// Walks every interleaving of the parties' steps; answers how many there were.
fn walk(ending: Ending, parties: &[&[Step]]) -> u64 {
    let mut next = vec![0; parties.len()];
    let mut taken = Vec::new();
    walk_on(ending, parties, &mut next, &mut taken)
}

fn walk_on(ending: Ending, parties: &[&[Step]], next: &mut [usize], taken: &mut Vec<Step>) -> u64 {
    let mut walked = 0;
    for party in 0..parties.len() {
        let Some(step) = parties[party].get(next[party]) else { continue };
        next[party] += 1;
        taken.push(*step);
        walked += walk_on(ending, parties, next, taken);
        taken.pop();
        next[party] -= 1;
    }
    if walked > 0 {
        return walked;
    }
    let mut world = World::new(ending);
    for step in taken.iter() {
        world.take(*step).unwrap_or_else(|broken| panic!("{broken}\nafter {taken:?}"));
    }
    1
}

const FEED: &[Step] = &[Step::FeedRead, Step::FeedApply];
const BEAT: &[Step] = &[Step::BeatSent, Step::BeatTaken];
const LOOK_UP: &[Step] = &[Step::LookUpBegins, Step::LookUpAnswered, Step::Fill];
const HITTER: &[Step] = &[Step::Arrive(0), Step::Hit(0)];
const JOINER: &[Step] = &[Step::Arrive(1), Step::Join(1)];

#[test]
fn no_interleaving_revives_a_key_that_was_shut_off() {
    for ending in [Ending::OfTheKey, Ending::OfItsProject] {
        let walked = walk(ending, &[&[Step::Revoke], FEED, LOOK_UP, HITTER, JOINER]);
        assert_eq!(walked, 75_600);
    }
}

#[test]
fn no_interleaving_with_a_rewound_history_revives_a_key() {
    for ending in [Ending::OfTheKey, Ending::OfItsProject] {
        let lost_and_ended: &[Step] = &[Step::Rewind, Step::Revoke];
        assert_eq!(walk(ending, &[lost_and_ended, BEAT, FEED, HITTER]), 2_520);
        assert_eq!(walk(ending, &[lost_and_ended, BEAT, FEED, LOOK_UP, JOINER]), 415_800);
        // The end is lost with the history, and comes again at a lower position.
        let ended_twice: &[Step] = &[Step::Revoke, Step::Rewind, Step::Revoke];
        let two_readings: &[Step] = &[Step::FeedRead, Step::FeedApply, Step::FeedRead, Step::FeedApply];
        assert_eq!(walk(ending, &[ended_twice, BEAT, two_readings, HITTER]), 69_300);
    }
}

#[test]
fn the_model_sees_a_key_that_is_revived() {
    // Without the floors a filled answer would outlive the end: the walk must be able to notice.
    let mut world = World::new(Ending::OfTheKey);
    for step in [Step::Revoke, Step::FeedRead, Step::FeedApply, Step::Arrive(0)] {
        assert_eq!(world.take(step), Ok(()));
    }
    world.floors = Floors::new(16);
    world.arrivals[0] = world.arrivals[0].map(|(_, came_after)| (world.floors.arrive(&world.digest), came_after));
    assert!(world.take(Step::Hit(0)).is_err());
}
