//! First-use claims: if a request passed with a key, the first use is reported under one event id, although
//! replies of the store may be lost, the store may be unavailable, or a failover may lose a claim.
//!
//! The event id is derived from the key's id, so there is only one. The model checks that the event exists in
//! the end, and that a store that loses nothing has it once.

use super::explore::{Model, explore};

/// Maximum number of faults in one run.
const MAX_FAULTS: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Claim {
    Sent,
    Answered,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Gateway {
    claim: Option<Claim>,
    /// The cached key is marked as used.
    has_cached_use: bool,
    /// A request has passed.
    has_passed: bool,
    /// The claim waits for a retry.
    is_pending: bool,
    /// The claim was acknowledged and is in the unreplicated log, even if another gateway had won it or this
    /// one had won it before without receiving the reply.
    has_logged_claim: bool,
    /// A reply came from another run of the store, so the logged claim must be replayed.
    must_replay: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    /// Whether acknowledged claims are replayed after a failover.
    replays: bool,
    is_used: bool,
    /// Entries for the first use in the current stream.
    stream_entries: u8,
    has_failed_over: bool,
    faults: u8,
    gateways: [Gateway; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A request arrives at a gateway that does not know of a use, or a pending claim is retried.
    Send(usize),
    /// The store performs the claim.
    Perform(usize),
    /// The store performs the claim and its reply is lost.
    PerformReplyLost(usize),
    /// The store is unavailable.
    Fail(usize),
    /// The gateway receives the reply or the failure, and the request passes.
    Receive(usize),
    /// A failover to a new master that does not know of the use.
    FailOver,
    /// A gateway replays its logged claim.
    Replay(usize),
}

impl State {
    fn new(replays: bool) -> Self {
        let gateways = [Gateway::default(); 2];
        Self { replays, is_used: false, stream_entries: 0, has_failed_over: false, faults: MAX_FAULTS, gateways }
    }

    fn perform(&mut self) {
        if !self.is_used {
            self.is_used = true;
            self.stream_entries += 1;
        }
    }
}

impl Model for State {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (index, gateway) in self.gateways.iter().enumerate() {
            match gateway.claim {
                None if gateway.is_pending || !gateway.has_passed && !gateway.has_cached_use => {
                    steps.push(Step::Send(index))
                }
                None => {}
                Some(Claim::Sent) => {
                    steps.push(Step::Perform(index));
                    if self.faults > 0 {
                        steps.extend([Step::PerformReplyLost(index), Step::Fail(index)]);
                    }
                }
                Some(Claim::Answered | Claim::Failed) => steps.push(Step::Receive(index)),
            }
            if gateway.must_replay {
                steps.push(Step::Replay(index));
            }
        }
        if self.faults > 0 {
            steps.push(Step::FailOver);
        }
        steps
    }

    fn apply(&self, step: Step) -> Result<Self, String> {
        let mut state = *self;
        match step {
            Step::Send(index) => state.gateways[index].claim = Some(Claim::Sent),
            Step::Perform(index) => {
                state.perform();
                state.gateways[index].claim = Some(Claim::Answered);
            }
            Step::PerformReplyLost(index) => {
                state.faults -= 1;
                state.perform();
                state.gateways[index].claim = Some(Claim::Failed);
            }
            Step::Fail(index) => {
                state.faults -= 1;
                state.gateways[index].claim = Some(Claim::Failed);
            }
            Step::Receive(index) => {
                let gateway = &mut state.gateways[index];
                gateway.has_passed = true;
                match gateway.claim.take() {
                    Some(Claim::Answered) => {
                        gateway.has_cached_use = true;
                        gateway.is_pending = false;
                        gateway.has_logged_claim = true;
                        // A reply of a run that has ended already is replayed at once.
                        gateway.must_replay |= self.has_failed_over && self.replays;
                    }
                    Some(Claim::Failed) => gateway.is_pending = true,
                    Some(Claim::Sent) | None => {}
                }
            }
            Step::FailOver => {
                state.faults -= 1;
                (state.is_used, state.stream_entries, state.has_failed_over) = (false, 0, true);
                for gateway in &mut state.gateways {
                    gateway.must_replay = gateway.has_logged_claim && self.replays;
                }
            }
            Step::Replay(index) => {
                state.perform();
                state.gateways[index].must_replay = false;
            }
        }
        if state.stream_entries > 1 {
            return Err("the stream contains the first use twice".to_owned());
        }
        Ok(state)
    }

    fn check_end(&self) -> Result<(), String> {
        let has_passed = self.gateways.iter().any(|gateway| gateway.has_passed);
        if has_passed && self.stream_entries != 1 {
            return Err("a request passed and the first use was not reported".to_owned());
        }
        Ok(())
    }
}

#[test]
fn first_use_is_reported_once_whatever_is_lost() {
    let states =
        explore(State::new(true)).unwrap_or_else(|violation| panic!("{}: {:?}", violation.property, violation.steps));
    assert!(states > 100, "only {states} states were explored");
}

#[test]
fn without_replay_a_failover_loses_the_first_use() {
    assert!(explore(State::new(false)).is_err());
}
