//! One limit of a key as this process sees it: its slice, whether somebody asks for more, and what counts while the
//! store does not answer.

use std::time::Duration;

use gatepost_domain::id::KeyId;
use gatepost_domain::permit::{Denial, KeyFacts};
use gatepost_domain::record::{Quota, RateLimit};
use gatepost_domain::time::{Timestamp, Uptime};
use gatepost_domain::token_lease::{Holds, LimitStatus, TokenLease, TokenResult};
use gatepost_domain::window::{self, CounterWindow, Generation, LeaseGrant, Limit, UnusedLease, WindowKind};

use super::{LimitDecision, OutagePolicy};

/// How soon a store that has not answered is asked again.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Now, on both clocks.
pub(super) struct Now {
    pub(super) uptime: Uptime,
    pub(super) timestamp: Timestamp,
}

/// Whether a judgement that needs the store asks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenEmpty {
    RequestLease,
    GiveUp,
}

/// What is measured, and in which windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LimitKind {
    Rate(RateLimit, Generation),
    Quota(Quota, Generation),
}

/// What is to be given back to the store's meter of this name.
pub(super) type NamedUnusedLease = (String, UnusedLease);

/// A question to the store.
#[derive(Debug)]
pub(super) struct LeaseRequest {
    pub(super) kind: LimitKind,
    pub(super) tokens: u64,
}

/// Whether a meter has to be put on the list of those that hold something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    Added,
    Unchanged,
}

impl LimitKind {
    pub(super) fn limit(self, now: Timestamp) -> Limit {
        match self {
            LimitKind::Rate(rate, generation) => {
                Limit { max_requests: rate.limit, window_kind: WindowKind::FromFirstUse(rate.window), generation }
            }
            LimitKind::Quota(quota, generation) => {
                Limit { max_requests: quota.limit, window_kind: quota.period.window_kind(now), generation }
            }
        }
    }

    fn count(self) -> u64 {
        match self {
            LimitKind::Rate(rate, _) => rate.limit,
            LimitKind::Quota(quota, _) => quota.limit,
        }
    }

    fn generation(self) -> Generation {
        match self {
            LimitKind::Rate(_, generation) | LimitKind::Quota(_, generation) => generation,
        }
    }

    /// Whether both count in the same windows, with whatever number.
    fn shares_windows_with(self, other: Self) -> bool {
        match (self, other) {
            (LimitKind::Rate(one, of_one), LimitKind::Rate(two, of_two)) => {
                one.window == two.window && of_one == of_two
            }
            (LimitKind::Quota(one, of_one), LimitKind::Quota(two, of_two)) => {
                one.period == two.period && of_one == of_two
            }
            (LimitKind::Rate(..), LimitKind::Quota(..)) | (LimitKind::Quota(..), LimitKind::Rate(..)) => false,
        }
    }

    /// The name of the store's meter: it follows the key, whatever its value and its limit are.
    pub(super) fn meter_name(self, key: &KeyId) -> String {
        match self {
            LimitKind::Rate(..) => format!("rate:{key}"),
            LimitKind::Quota(quota, _) => format!("quota-{}:{key}", quota.period.as_str()),
        }
    }

    fn unused_lease(self, key: &KeyId, (reset, count): (Timestamp, u64)) -> NamedUnusedLease {
        (self.meter_name(key), UnusedLease { generation: self.generation(), reset, count })
    }

    fn denial(self) -> Denial {
        match self {
            LimitKind::Rate(..) => Denial::RateLimited,
            LimitKind::Quota(quota, _) => Denial::QuotaExceeded(quota.period),
        }
    }
}

/// The limits of a key.
#[derive(Debug, Default)]
pub(super) struct LimitStates {
    rate: Option<LimitState>,
    quota: Option<LimitState>,
    is_listed: bool,
}

#[derive(Debug)]
struct LimitState {
    kind: LimitKind,
    lease: TokenLease,
    is_lease_pending: bool,
    /// While the store does not answer: when it is asked again.
    retry_at: Option<Uptime>,
    /// The window that this process keeps alone meanwhile.
    local_window: Option<CounterWindow>,
}

/// Whether one limit lets a request pass.
enum Availability {
    Allowed,
    Exceeded(LimitStatus),
    StoreDown,
    NeedsLease,
}

impl LimitStates {
    /// Takes the limits of a key as they now are. A limit of other windows begins with nothing; where the number alone
    /// has changed, what is held is returned, to be given back to the window that goes on.
    pub(super) fn configure(&mut self, facts: &KeyFacts, now: Uptime) -> [Option<NamedUnusedLease>; 2] {
        let rate = facts.rate_limit.map(|rate| LimitKind::Rate(rate, facts.generations.rate_limit));
        let quota = facts.quota.map(|quota| LimitKind::Quota(quota, facts.generations.quota));
        [
            configure_limit(&mut self.rate, rate, &facts.key, now),
            configure_limit(&mut self.quota, quota, &facts.key, now),
        ]
    }

    /// Takes one request out of all limits, or out of none; none if the store must be asked.
    pub(super) fn take(&mut self, now: &Now, outage_policy: OutagePolicy) -> Option<LimitDecision> {
        let mut needs_lease = false;
        let mut is_down = false;
        for state in self.iter_mut() {
            match state.peek(now, outage_policy) {
                Availability::Allowed => {}
                Availability::Exceeded(status) => return Some(LimitDecision::Exceeded(state.kind.denial(), status)),
                Availability::StoreDown => is_down = true,
                Availability::NeedsLease => needs_lease = true,
            }
        }
        if is_down {
            return Some(LimitDecision::Unavailable);
        }
        if needs_lease {
            return None;
        }
        let statuses = self.iter_mut().map(|state| state.take(now, outage_policy));
        // The client is told of the rate limit, if there is one.
        Some(LimitDecision::Allowed(statuses.fold(None, Option::or)))
    }

    /// What to ask the store now: where a request waits for it, and where it has not answered for a while.
    pub(super) fn lease_requests(&mut self, now: &Now, decision: Option<&LimitDecision>) -> [Option<LeaseRequest>; 2] {
        let lease_request =
            |state: &mut Option<LimitState>| state.as_mut().and_then(|state| state.lease_request(now, decision));
        [lease_request(&mut self.rate), lease_request(&mut self.quota)]
    }

    /// Takes the store's answer; none if it has not answered. What was granted under a number that has changed since
    /// is returned, to be given back.
    pub(super) fn complete_lease(
        &mut self,
        key: &KeyId,
        lease_request: &LeaseRequest,
        allowance: Option<&LeaseGrant>,
        (sent, now): (Uptime, Uptime),
    ) -> (Listing, Option<NamedUnusedLease>) {
        let mut unused = None;
        for state in self.iter_mut().filter(|state| state.kind.shares_windows_with(lease_request.kind)) {
            if state.kind == lease_request.kind {
                state.complete_lease(allowance, sent, now);
            } else {
                state.is_lease_pending = false;
                let granted = allowance.filter(|allowance| allowance.granted > 0);
                unused = granted.map(|granted| lease_request.kind.unused_lease(key, (granted.reset, granted.granted)));
            }
        }
        let holds_some = self.holds(now) == Holds::Something;
        let is_new = holds_some && !std::mem::replace(&mut self.is_listed, true);
        (if is_new { Listing::Added } else { Listing::Unchanged }, unused)
    }

    /// What has lain unused. Whether the meter stays on the list is told by `holds`.
    pub(super) fn take_idle(&mut self, key: &KeyId, now: Uptime) -> Vec<NamedUnusedLease> {
        let unused = self.take_unused(key, |lease| lease.take_idle(now));
        self.is_listed = self.holds(now) == Holds::Something;
        unused
    }

    /// All that is held.
    pub(super) fn take_all(&mut self, key: &KeyId, now: Uptime) -> Vec<NamedUnusedLease> {
        self.is_listed = false;
        self.take_unused(key, |lease| lease.take_all(now))
    }

    pub(super) fn holds(&mut self, now: Uptime) -> Holds {
        let holds =
            self.iter_mut().any(|state| state.is_lease_pending || state.lease.has_unused(now) == Holds::Something);
        if holds { Holds::Something } else { Holds::Nothing }
    }

    fn take_unused(
        &mut self,
        key: &KeyId,
        take: impl Fn(&mut TokenLease) -> Option<(Timestamp, u64)>,
    ) -> Vec<NamedUnusedLease> {
        self.iter_mut()
            .filter_map(|state| take(&mut state.lease).map(|unused| state.kind.unused_lease(key, unused)))
            .collect()
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut LimitState> {
        self.rate.iter_mut().chain(self.quota.iter_mut())
    }
}

fn configure_limit(
    state: &mut Option<LimitState>,
    kind: Option<LimitKind>,
    key: &KeyId,
    now: Uptime,
) -> Option<NamedUnusedLease> {
    if state.as_ref().map(|state| state.kind) == kind {
        return None;
    }
    match (state, kind) {
        (Some(state), Some(kind)) if state.kind.shares_windows_with(kind) => {
            state.kind = kind;
            let unused = state.lease.set_limit(kind.count(), now)?;
            Some(kind.unused_lease(key, unused))
        }
        (state, kind) => {
            *state = kind.map(LimitState::new);
            None
        }
    }
}

impl LimitState {
    fn new(kind: LimitKind) -> Self {
        let lease = TokenLease::new(kind.count());
        Self { kind, lease, is_lease_pending: false, retry_at: None, local_window: None }
    }

    fn peek(&self, now: &Now, outage_policy: OutagePolicy) -> Availability {
        match (self.lease.peek(now.uptime), self.retry_at, outage_policy) {
            (TokenResult::Granted(_), _, _) | (_, Some(_), OutagePolicy::Open) => Availability::Allowed,
            (_, Some(_), OutagePolicy::Closed) => Availability::StoreDown,
            (_, Some(_), OutagePolicy::Local) => match self.lease_locally(now) {
                (_, allowance) if allowance.granted == 0 => Availability::Exceeded(self.limit_status(&allowance)),
                _ => Availability::Allowed,
            },
            (TokenResult::Exhausted(status), None, _) => Availability::Exceeded(status),
            (TokenResult::LeaseNeeded, None, _) => Availability::NeedsLease,
        }
    }

    /// Takes a request that passes.
    fn take(&mut self, now: &Now, outage_policy: OutagePolicy) -> Option<LimitStatus> {
        if let TokenResult::Granted(status) = self.lease.take(now.uptime) {
            return Some(status);
        }
        match outage_policy {
            OutagePolicy::Open | OutagePolicy::Closed => None,
            OutagePolicy::Local => {
                let (window, allowance) = self.lease_locally(now);
                self.local_window = Some(window);
                Some(self.limit_status(&allowance))
            }
        }
    }

    fn lease_request(&mut self, now: &Now, decision: Option<&LimitDecision>) -> Option<LeaseRequest> {
        let needs_lease = match self.retry_at {
            Some(retry_at) => retry_at <= now.uptime,
            None => decision.is_none() && self.lease.peek(now.uptime) == TokenResult::LeaseNeeded,
        };
        if !needs_lease || self.is_lease_pending {
            return None;
        }
        self.is_lease_pending = true;
        Some(LeaseRequest { kind: self.kind, tokens: self.lease.next_lease_size(now.uptime) })
    }

    fn complete_lease(&mut self, allowance: Option<&LeaseGrant>, sent: Uptime, now: Uptime) {
        self.is_lease_pending = false;
        match allowance {
            Some(allowance) => {
                self.lease.refill(allowance, sent);
                self.retry_at = None;
                self.local_window = None;
            }
            None => {
                let ms = now.as_ms() + RETRY_AFTER_FAILURE.as_millis() as u64;
                self.retry_at = Some(Uptime::from_ms(ms));
            }
        }
    }

    /// The limit as this process alone keeps it, from where the store's window stood.
    fn lease_locally(&self, now: &Now) -> (CounterWindow, LeaseGrant) {
        let limit = self.kind.limit(now.timestamp);
        let known = || {
            let (ends_at, leased) = self.lease.window_usage(now.uptime)?;
            Some(CounterWindow {
                ends_at,
                leased,
                generation: limit.generation,
                limit: limit.max_requests,
                length: limit.window_kind.length(),
            })
        };
        window::lease(self.local_window.or_else(known), limit, 1, now.timestamp)
    }

    fn limit_status(&self, allowance: &LeaseGrant) -> LimitStatus {
        LimitStatus {
            limit: self.kind.count(),
            remaining: allowance.left_for_others,
            reset: allowance.reset,
            resets_in: allowance.resets_in,
        }
    }
}
