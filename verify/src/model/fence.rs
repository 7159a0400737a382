//! The fence: after a fenced revocation was answered, no request that arrives at any gateway is accepted.
//!
//! Two gateways: one that is asked, step by step, and another one that the answer waits for as well. One of
//! them may be cut off together with an old copy of the store. A gateway that stops for a while is one whose
//! steps are not taken while the time goes on. Versions are two: before the revocation and after it.

use super::explore::{Model, explore};

/// Ticks for which a heartbeat lets a gateway accept, counted from when it was sent.
const PROMISE: u8 = 2;
/// The last tick that is walked.
const END: u8 = 4;

/// What the protocol rests on. Each must be needed: without it the property is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Rules {
    /// A heartbeat keeps a gateway live only if replicas have it.
    confirmed: bool,
    /// An expired gateway refuses, whatever its copy of the store says.
    expired_refuses: bool,
    /// A gateway that has not applied the change counts until its promise has passed.
    waits_for_promise: bool,
    /// Answers are judged by the floor that a request read on arrival.
    floors: bool,
}

const ALL: Rules = Rules { confirmed: true, expired_refuses: true, waits_for_promise: true, floors: true };

/// What the store knows of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Known {
    has_applied: bool,
    refuses_at: u8,
}

/// Whether an answer is as of before the revocation or after it, which is what it says of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum AsOf {
    Before,
    After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Beat {
    Sent { at: u8, has_applied: bool },
    Answered { at: u8, last: AsOf },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Gateway {
    has_applied: bool,
    live_at: u8,
    beat: Option<Beat>,
    /// It has read the revocation, and not yet applied it.
    is_reading: bool,
    cache: AsOf,
    flight: Option<AsOf>,
    request: Option<Request>,
}

/// A request that came after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Request {
    /// The floor that it read.
    floor: AsOf,
    /// Whether the gateway was expired.
    is_expired: bool,
}

/// Which gateway is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Asked,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    rules: Rules,
    cut_off: Side,
    now: u8,
    is_revoked: bool,
    is_answered: bool,
    asked: Known,
    other: Known,
    /// Whether the old copy has the revocation, once there is one.
    old: Option<bool>,
    gateway: Gateway,
    other_has_applied: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Tick,
    Revoke,
    Answer,
    CutOff,
    BeatSent,
    BeatStored,
    BeatTaken,
    FeedRead,
    FeedApplied,
    LookedUp,
    Filled,
    Arrive,
    Hit,
    Join,
    OtherBeats,
    OtherApplies,
}

impl World {
    fn new(rules: Rules, cut_off: Side) -> Self {
        let gateway = Gateway {
            has_applied: false,
            live_at: 0,
            beat: None,
            is_reading: false,
            cache: AsOf::Before,
            flight: None,
            request: None,
        };
        let known = Known { has_applied: false, refuses_at: PROMISE };
        Self {
            rules,
            cut_off,
            now: 0,
            is_revoked: false,
            is_answered: false,
            asked: known,
            other: known,
            old: None,
            gateway,
            other_has_applied: false,
        }
    }

    fn is_cut_off(&self, side: Side) -> bool {
        self.old.is_some() && self.cut_off == side
    }

    /// What the copy has that a gateway reaches.
    fn version_at(&self, side: Side) -> AsOf {
        let is_revoked = if self.is_cut_off(side) { self.old == Some(true) } else { self.is_revoked };
        if is_revoked { AsOf::After } else { AsOf::Before }
    }

    /// Whether every gateway has applied the revocation or must be refusing.
    fn may_answer(&self) -> bool {
        let is_past = |known: Known| known.has_applied || !self.rules.waits_for_promise || known.refuses_at <= self.now;
        self.is_revoked && !self.is_answered && is_past(self.asked) && is_past(self.other)
    }

    fn store_beat(&mut self) {
        let Some(Beat::Sent { at, has_applied }) = self.gateway.beat else { return };
        let is_cut_off = self.is_cut_off(Side::Asked);
        if !is_cut_off {
            self.asked = Known { has_applied, refuses_at: self.now + PROMISE };
        }
        let answered = Beat::Answered { at, last: self.version_at(Side::Asked) };
        self.gateway.beat = (!is_cut_off || !self.rules.confirmed).then_some(answered);
    }

    /// A heartbeat counts once the feed has reached the position that it was answered.
    fn takes_beat(&self) -> bool {
        match self.gateway.beat {
            Some(Beat::Answered { last, .. }) => last == AsOf::Before || self.gateway.has_applied,
            Some(Beat::Sent { .. }) | None => false,
        }
    }

    fn end_request(&mut self, answer: AsOf) -> Result<(), String> {
        let Some(Request { floor, is_expired }) = self.gateway.request.take() else { return Ok(()) };
        let counts = !self.rules.floors || floor == AsOf::Before || answer == AsOf::After;
        let is_refused = is_expired && self.rules.expired_refuses;
        if counts && !is_refused && answer == AsOf::Before {
            return Err("the key was accepted after the answer".to_owned());
        }
        Ok(())
    }
}

impl Model for World {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let gateway = &self.gateway;
        let possible = [
            (self.now < END, Step::Tick),
            (!self.is_revoked, Step::Revoke),
            (self.may_answer(), Step::Answer),
            (self.old.is_none(), Step::CutOff),
            (gateway.beat.is_none(), Step::BeatSent),
            (matches!(gateway.beat, Some(Beat::Sent { .. })), Step::BeatStored),
            (self.takes_beat(), Step::BeatTaken),
            (
                !gateway.is_reading && !gateway.has_applied && self.version_at(Side::Asked) == AsOf::After,
                Step::FeedRead,
            ),
            (gateway.is_reading, Step::FeedApplied),
            (gateway.flight.is_none(), Step::LookedUp),
            (gateway.flight.is_some(), Step::Filled),
            // What came before the answer may be accepted.
            (self.is_answered && gateway.request.is_none(), Step::Arrive),
            (gateway.request.is_some(), Step::Hit),
            (gateway.request.is_some() && gateway.flight.is_some(), Step::Join),
            (!self.is_cut_off(Side::Other), Step::OtherBeats),
            (self.version_at(Side::Other) == AsOf::After, Step::OtherApplies),
        ];
        possible.into_iter().filter_map(|(is_possible, step)| is_possible.then_some(step)).collect()
    }

    fn take(&self, step: Step) -> Result<Self, String> {
        let mut world = *self;
        let gateway = &mut world.gateway;
        match step {
            Step::Tick => world.now += 1,
            Step::Revoke => world.is_revoked = true,
            Step::Answer => world.is_answered = true,
            Step::CutOff => world.old = Some(self.is_revoked),
            Step::BeatSent => gateway.beat = Some(Beat::Sent { at: self.now, has_applied: gateway.has_applied }),
            Step::BeatStored => world.store_beat(),
            Step::BeatTaken => {
                if let Some(Beat::Answered { at, .. }) = gateway.beat.take() {
                    gateway.live_at = gateway.live_at.max(at);
                }
            }
            Step::FeedRead => gateway.is_reading = true,
            Step::FeedApplied => (gateway.is_reading, gateway.has_applied) = (false, true),
            Step::LookedUp => gateway.flight = Some(self.version_at(Side::Asked)),
            Step::Filled => gateway.cache = gateway.flight.take().unwrap_or(gateway.cache),
            Step::Arrive => {
                let floor = if gateway.has_applied { AsOf::After } else { AsOf::Before };
                gateway.request = Some(Request { floor, is_expired: gateway.live_at + PROMISE <= self.now });
            }
            Step::Hit => world.end_request(self.gateway.cache)?,
            Step::Join => world.end_request(self.gateway.flight.unwrap_or(AsOf::After))?,
            Step::OtherBeats => {
                world.other = Known { has_applied: self.other_has_applied, refuses_at: self.now + PROMISE };
            }
            Step::OtherApplies => world.other_has_applied = true,
        }
        Ok(world)
    }

    fn check_end(&self) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn nothing_is_accepted_after_a_fenced_revocation_was_answered() {
    for cut_off in [Side::Asked, Side::Other] {
        let walked = explore(World::new(ALL, cut_off));
        let states = walked.unwrap_or_else(|broken| panic!("{}: {:?}", broken.what, broken.steps));
        assert!(states > 10_000, "only {states} states were walked");
    }
}

#[test]
fn every_rule_is_needed() {
    for rules in [
        Rules { confirmed: false, ..ALL },
        Rules { expired_refuses: false, ..ALL },
        Rules { waits_for_promise: false, ..ALL },
        Rules { floors: false, ..ALL },
    ] {
        assert!(explore(World::new(rules, Side::Asked)).is_err(), "{rules:?}");
    }
}
