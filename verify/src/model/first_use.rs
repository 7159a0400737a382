//! The claim of a first use: a key that a request passed with is told of, under one event id, although an
//! answer of the store may be lost, the store may be away, or a failover may lose a claim.
//!
//! The event id is made of the key's id, so there is only one; what is walked is that the event is there in
//! the end, and that a store that loses nothing has it once.

use super::explore::{Model, explore};

/// Faults that happen at most in one walk.
const FAULTS: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Claim {
    Sent,
    Answered,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Gateway {
    claim: Option<Claim>,
    /// Its cache says that the key was used.
    knows: bool,
    /// A request has passed.
    has_passed: bool,
    /// The claim waits to be tried again.
    is_pending: bool,
    /// It was answered, and remembers what: also where another one had won, or it won unheard itself before.
    remembers: bool,
    /// Another run of the store has answered: what is remembered is to be looked after.
    is_to_repeat: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    /// Whether acknowledged claims are repeated after a failover.
    repeats: bool,
    is_used: bool,
    /// Entries in the stream as it now is.
    entries: u8,
    has_lost: bool,
    faults: u8,
    gateways: [Gateway; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A request with the key arrives at a gateway that does not know of a use, or a pending claim is tried.
    Send(usize),
    /// The store performs the claim.
    Perform(usize),
    /// The store performs it, and its answer is lost.
    PerformUnheard(usize),
    /// The store is away.
    Fail(usize),
    /// The gateway takes the answer, or that there is none, and the request passes.
    Take(usize),
    /// A new master knows nothing of the use.
    FailOver,
    /// A gateway looks after what it remembers.
    Repeat(usize),
}

impl World {
    fn new(repeats: bool) -> Self {
        let gateways = [Gateway::default(); 2];
        Self { repeats, is_used: false, entries: 0, has_lost: false, faults: FAULTS, gateways }
    }

    fn perform(&mut self) {
        if !self.is_used {
            self.is_used = true;
            self.entries += 1;
        }
    }
}

impl Model for World {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (number, gateway) in self.gateways.iter().enumerate() {
            match gateway.claim {
                None if gateway.is_pending || !gateway.has_passed && !gateway.knows => steps.push(Step::Send(number)),
                None => {}
                Some(Claim::Sent) => {
                    steps.push(Step::Perform(number));
                    if self.faults > 0 {
                        steps.extend([Step::PerformUnheard(number), Step::Fail(number)]);
                    }
                }
                Some(Claim::Answered | Claim::Failed) => steps.push(Step::Take(number)),
            }
            if gateway.is_to_repeat {
                steps.push(Step::Repeat(number));
            }
        }
        if self.faults > 0 {
            steps.push(Step::FailOver);
        }
        steps
    }

    fn take(&self, step: Step) -> Result<Self, String> {
        let mut world = *self;
        match step {
            Step::Send(number) => world.gateways[number].claim = Some(Claim::Sent),
            Step::Perform(number) => {
                world.perform();
                world.gateways[number].claim = Some(Claim::Answered);
            }
            Step::PerformUnheard(number) => {
                world.faults -= 1;
                world.perform();
                world.gateways[number].claim = Some(Claim::Failed);
            }
            Step::Fail(number) => {
                world.faults -= 1;
                world.gateways[number].claim = Some(Claim::Failed);
            }
            Step::Take(number) => {
                let gateway = &mut world.gateways[number];
                gateway.has_passed = true;
                match gateway.claim.take() {
                    Some(Claim::Answered) => {
                        gateway.knows = true;
                        gateway.is_pending = false;
                        gateway.remembers = true;
                        // An answer of a run that is gone already is looked after at once.
                        gateway.is_to_repeat |= self.has_lost && self.repeats;
                    }
                    Some(Claim::Failed) => gateway.is_pending = true,
                    Some(Claim::Sent) | None => {}
                }
            }
            Step::FailOver => {
                world.faults -= 1;
                (world.is_used, world.entries, world.has_lost) = (false, 0, true);
                for gateway in &mut world.gateways {
                    gateway.is_to_repeat = gateway.remembers && self.repeats;
                }
            }
            Step::Repeat(number) => {
                world.perform();
                world.gateways[number].is_to_repeat = false;
            }
        }
        if world.entries > 1 {
            return Err("the stream has the first use twice".to_owned());
        }
        Ok(world)
    }

    fn check_end(&self) -> Result<(), String> {
        let has_passed = self.gateways.iter().any(|gateway| gateway.has_passed);
        if has_passed && self.entries != 1 {
            return Err("a request passed, and nobody is told of the first use".to_owned());
        }
        Ok(())
    }
}

#[test]
fn a_first_use_is_told_of_once_whatever_is_lost() {
    let states = explore(World::new(true)).unwrap_or_else(|broken| panic!("{}: {:?}", broken.what, broken.steps));
    assert!(states > 100, "only {states} states were walked");
}

#[test]
fn without_repetition_a_failover_loses_it() {
    assert!(explore(World::new(false)).is_err());
}
