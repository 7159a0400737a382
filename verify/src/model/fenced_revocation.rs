//! Fenced revocations: once one is acknowledged, no gateway accepts a request with the key.
//!
//! There are two gateways: the observed one, modelled step by step, and another one that the acknowledgement
//! waits for as well. One of them may be partitioned together with a stale replica of the store. A gateway that
//! is paused is one whose steps are not taken while time goes on. There are two versions of the key: before and
//! after the revocation.

use super::explore::{Model, explore};

/// Ticks for which a heartbeat keeps a gateway live, counted from when it was sent.
const LEASE: u8 = 2;
/// Last tick of the exploration.
const MAX_TICKS: u8 = 4;

/// Assumptions of the protocol. Each is necessary: without it the property is violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Assumptions {
    /// A heartbeat keeps a gateway live only if it is replicated.
    heartbeat_is_replicated: bool,
    /// An expired gateway rejects requests, whatever its replica of the store returns.
    expired_refuses: bool,
    /// An acknowledgement waits for a gateway that has not applied the change until its lease has ended.
    waits_for_lease: bool,
    /// Fetched and cached keys are checked against the watermark that the request read on arrival.
    watermarks: bool,
}

const ALL_ASSUMPTIONS: Assumptions =
    Assumptions { heartbeat_is_replicated: true, expired_refuses: true, waits_for_lease: true, watermarks: true };

/// Registration of a gateway in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct RegisteredGateway {
    has_applied: bool,
    lease_ends_at: u8,
}

/// Version of a key, before or after its revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum KeyVersion {
    Before,
    After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Heartbeat {
    Sent { at: u8, has_applied: bool },
    Answered { at: u8, last: KeyVersion },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Gateway {
    has_applied: bool,
    live_at: u8,
    heartbeat: Option<Heartbeat>,
    /// The gateway has read the revocation and not applied it yet.
    is_reading: bool,
    cache: KeyVersion,
    fetch: Option<KeyVersion>,
    request: Option<Request>,
}

/// A request that arrived after the acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Request {
    /// Watermark that the request read on arrival.
    watermark: KeyVersion,
    /// Whether the gateway's lease had expired.
    is_expired: bool,
}

/// Gateway that is partitioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Observed,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    assumptions: Assumptions,
    partitioned: Side,
    now: u8,
    is_revoked: bool,
    is_acknowledged: bool,
    observed: RegisteredGateway,
    other: RegisteredGateway,
    /// Whether the stale replica has the revocation. `None` before the partition.
    stale_replica: Option<bool>,
    gateway: Gateway,
    other_has_applied: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Tick,
    Revoke,
    Acknowledge,
    Partition,
    HeartbeatSent,
    HeartbeatStored,
    HeartbeatReceived,
    FeedRead,
    FeedApplied,
    Fetched,
    CacheFilled,
    RequestArrived,
    CacheHit,
    JoinFetch,
    OtherHeartbeat,
    OtherApplied,
}

impl State {
    fn new(assumptions: Assumptions, partitioned: Side) -> Self {
        let gateway = Gateway {
            has_applied: false,
            live_at: 0,
            heartbeat: None,
            is_reading: false,
            cache: KeyVersion::Before,
            fetch: None,
            request: None,
        };
        let registered = RegisteredGateway { has_applied: false, lease_ends_at: LEASE };
        Self {
            assumptions,
            partitioned,
            now: 0,
            is_revoked: false,
            is_acknowledged: false,
            observed: registered,
            other: registered,
            stale_replica: None,
            gateway,
            other_has_applied: false,
        }
    }

    fn is_partitioned(&self, side: Side) -> bool {
        self.stale_replica.is_some() && self.partitioned == side
    }

    /// Returns the version at the replica that a gateway reaches.
    fn version_at(&self, side: Side) -> KeyVersion {
        let is_revoked = if self.is_partitioned(side) { self.stale_replica == Some(true) } else { self.is_revoked };
        if is_revoked { KeyVersion::After } else { KeyVersion::Before }
    }

    /// Returns whether every gateway has applied the revocation or rejects requests because its lease has
    /// ended.
    fn may_acknowledge(&self) -> bool {
        let is_safe = |gateway: RegisteredGateway| {
            gateway.has_applied || !self.assumptions.waits_for_lease || gateway.lease_ends_at <= self.now
        };
        self.is_revoked && !self.is_acknowledged && is_safe(self.observed) && is_safe(self.other)
    }

    fn store_heartbeat(&mut self) {
        let Some(Heartbeat::Sent { at, has_applied }) = self.gateway.heartbeat else { return };
        let is_partitioned = self.is_partitioned(Side::Observed);
        if !is_partitioned {
            self.observed = RegisteredGateway { has_applied, lease_ends_at: self.now + LEASE };
        }
        let answered_heartbeat = Heartbeat::Answered { at, last: self.version_at(Side::Observed) };
        self.gateway.heartbeat =
            (!is_partitioned || !self.assumptions.heartbeat_is_replicated).then_some(answered_heartbeat);
    }

    /// Returns whether a heartbeat takes effect: its response has arrived and the feed has reached the returned
    /// position.
    fn may_receive_heartbeat(&self) -> bool {
        match self.gateway.heartbeat {
            Some(Heartbeat::Answered { last, .. }) => last == KeyVersion::Before || self.gateway.has_applied,
            Some(Heartbeat::Sent { .. }) | None => false,
        }
    }

    fn end_request(&mut self, version: KeyVersion) -> Result<(), String> {
        let Some(Request { watermark, is_expired }) = self.gateway.request.take() else { return Ok(()) };
        let is_fresh = !self.assumptions.watermarks || watermark == KeyVersion::Before || version == KeyVersion::After;
        let is_refused = is_expired && self.assumptions.expired_refuses;
        if is_fresh && !is_refused && version == KeyVersion::Before {
            return Err("the key was accepted after the acknowledgement".to_owned());
        }
        Ok(())
    }
}

impl Model for State {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let gateway = &self.gateway;
        let possible = [
            (self.now < MAX_TICKS, Step::Tick),
            (!self.is_revoked, Step::Revoke),
            (self.may_acknowledge(), Step::Acknowledge),
            (self.stale_replica.is_none(), Step::Partition),
            (gateway.heartbeat.is_none(), Step::HeartbeatSent),
            (matches!(gateway.heartbeat, Some(Heartbeat::Sent { .. })), Step::HeartbeatStored),
            (self.may_receive_heartbeat(), Step::HeartbeatReceived),
            (
                !gateway.is_reading && !gateway.has_applied && self.version_at(Side::Observed) == KeyVersion::After,
                Step::FeedRead,
            ),
            (gateway.is_reading, Step::FeedApplied),
            (gateway.fetch.is_none(), Step::Fetched),
            (gateway.fetch.is_some(), Step::CacheFilled),
            // Requests that arrive before the acknowledgement may be accepted.
            (self.is_acknowledged && gateway.request.is_none(), Step::RequestArrived),
            (gateway.request.is_some(), Step::CacheHit),
            (gateway.request.is_some() && gateway.fetch.is_some(), Step::JoinFetch),
            (!self.is_partitioned(Side::Other), Step::OtherHeartbeat),
            (self.version_at(Side::Other) == KeyVersion::After, Step::OtherApplied),
        ];
        possible.into_iter().filter_map(|(is_possible, step)| is_possible.then_some(step)).collect()
    }

    fn apply(&self, step: Step) -> Result<Self, String> {
        let mut state = *self;
        let gateway = &mut state.gateway;
        match step {
            Step::Tick => state.now += 1,
            Step::Revoke => state.is_revoked = true,
            Step::Acknowledge => state.is_acknowledged = true,
            Step::Partition => state.stale_replica = Some(self.is_revoked),
            Step::HeartbeatSent => {
                gateway.heartbeat = Some(Heartbeat::Sent { at: self.now, has_applied: gateway.has_applied })
            }
            Step::HeartbeatStored => state.store_heartbeat(),
            Step::HeartbeatReceived => {
                if let Some(Heartbeat::Answered { at, .. }) = gateway.heartbeat.take() {
                    gateway.live_at = gateway.live_at.max(at);
                }
            }
            Step::FeedRead => gateway.is_reading = true,
            Step::FeedApplied => (gateway.is_reading, gateway.has_applied) = (false, true),
            Step::Fetched => gateway.fetch = Some(self.version_at(Side::Observed)),
            Step::CacheFilled => gateway.cache = gateway.fetch.take().unwrap_or(gateway.cache),
            Step::RequestArrived => {
                let watermark = if gateway.has_applied { KeyVersion::After } else { KeyVersion::Before };
                gateway.request = Some(Request { watermark, is_expired: gateway.live_at + LEASE <= self.now });
            }
            Step::CacheHit => state.end_request(self.gateway.cache)?,
            Step::JoinFetch => state.end_request(self.gateway.fetch.unwrap_or(KeyVersion::After))?,
            Step::OtherHeartbeat => {
                state.other =
                    RegisteredGateway { has_applied: self.other_has_applied, lease_ends_at: self.now + LEASE };
            }
            Step::OtherApplied => state.other_has_applied = true,
        }
        Ok(state)
    }

    fn check_end(&self) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn no_request_is_accepted_after_a_fenced_revocation_is_acknowledged() {
    for partitioned in [Side::Observed, Side::Other] {
        let result = explore(State::new(ALL_ASSUMPTIONS, partitioned));
        let states = result.unwrap_or_else(|violation| panic!("{}: {:?}", violation.property, violation.steps));
        assert!(states > 10_000, "only {states} states were explored");
    }
}

#[test]
fn every_assumption_is_needed() {
    for assumptions in [
        Assumptions { heartbeat_is_replicated: false, ..ALL_ASSUMPTIONS },
        Assumptions { expired_refuses: false, ..ALL_ASSUMPTIONS },
        Assumptions { waits_for_lease: false, ..ALL_ASSUMPTIONS },
        Assumptions { watermarks: false, ..ALL_ASSUMPTIONS },
    ] {
        assert!(explore(State::new(assumptions, Side::Observed)).is_err(), "{assumptions:?}");
    }
}
