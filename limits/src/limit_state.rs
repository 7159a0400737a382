//! State of one limit of a key in this process: its token lease, pending lease requests, and the local window
//! while the store does not respond.

use std::time::Duration;

use gatepost_domain::denial::Denial;
use gatepost_domain::id::KeyId;
use gatepost_domain::key_facts::KeyFacts;
use gatepost_domain::record::{Quota, RateLimit};
use gatepost_domain::time::{Timestamp, Uptime};
use gatepost_domain::token_lease::{LimitStatus, TokenLease, TokenResult};
use gatepost_domain::window::{self, CounterWindow, Generation, LeaseGrant, Limit, UnusedLease, WindowKind};

use crate::decision::{LimitDecision, OutagePolicy};

/// Delay before the store is asked again after a failed lease request.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Current time on both clocks.
pub(super) struct Now {
    pub(super) uptime: Uptime,
    pub(super) timestamp: Timestamp,
}

/// What a check does if it needs a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenEmpty {
    RequestLease,
    GiveUp,
}

/// Limit and generation, which together select the windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LimitKind {
    Rate(RateLimit, Generation),
    Quota(Quota, Generation),
}

/// Unused tokens with the name of the store's meter that they are returned to.
pub(super) type NamedUnusedLease = (String, UnusedLease);

/// A lease request to the store.
#[derive(Debug)]
pub(super) struct LeaseRequest {
    pub(super) kind: LimitKind,
    pub(super) tokens: u64,
}

/// Whether a meter must be added to the list of meters with leases.
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

    /// Returns whether both use the same windows, regardless of the number of requests.
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

    /// Returns the name of the store's meter: `rate:KEY`, `quota-day:KEY` or `quota-month:KEY`. It is
    /// independent of the key's values and of the limit.
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

/// Limits of a key.
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
    /// Time of the next lease request, while the store does not respond.
    retry_at: Option<Uptime>,
    /// Window that this process keeps on its own while the store does not respond.
    local_window: Option<CounterWindow>,
}

/// Whether a limit allows a request.
enum Availability {
    Allowed,
    Exceeded(LimitStatus),
    StoreDown,
    NeedsLease,
}

impl LimitStates {
    /// Applies the current limits of a key. A limit with other windows starts empty. If only the number of
    /// requests has changed, the tokens are handed to the caller, who returns them to the window, which
    /// continues.
    pub(super) fn configure(&mut self, facts: &KeyFacts, now: Uptime) -> [Option<NamedUnusedLease>; 2] {
        let rate = facts.rate_limit.map(|rate| LimitKind::Rate(rate, facts.generations.rate_limit));
        let quota = facts.quota.map(|quota| LimitKind::Quota(quota, facts.generations.quota));
        [
            configure_limit(&mut self.rate, rate, &facts.key, now),
            configure_limit(&mut self.quota, quota, &facts.key, now),
        ]
    }

    /// Takes one token from each limit, or none at all. Returns `None` if the store must be asked for a lease.
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
        // The client gets the status of the rate limit, if there is one.
        Some(LimitDecision::Allowed(statuses.fold(None, Option::or)))
    }

    /// Returns the lease requests to send: for limits that a request waits for, and for those whose retry is
    /// due.
    pub(super) fn lease_requests(&mut self, now: &Now, decision: Option<&LimitDecision>) -> [Option<LeaseRequest>; 2] {
        let lease_request =
            |state: &mut Option<LimitState>| state.as_mut().and_then(|state| state.lease_request(now, decision));
        [lease_request(&mut self.rate), lease_request(&mut self.quota)]
    }

    /// Applies the store's response, or `None` if the request failed. Tokens granted under a number of requests
    /// that has changed since are returned to the caller, to be returned to the store.
    pub(super) fn complete_lease(
        &mut self,
        key: &KeyId,
        lease_request: &LeaseRequest,
        grant: Option<&LeaseGrant>,
        (sent, now): (Uptime, Uptime),
    ) -> (Listing, Option<NamedUnusedLease>) {
        let mut unused = None;
        for state in self.iter_mut().filter(|state| state.kind.shares_windows_with(lease_request.kind)) {
            if state.kind == lease_request.kind {
                state.complete_lease(grant, sent, now);
            } else {
                state.is_lease_pending = false;
                let grant = grant.filter(|grant| grant.granted > 0);
                unused = grant.map(|grant| lease_request.kind.unused_lease(key, (grant.reset, grant.granted)));
            }
        }
        let is_new = self.has_leases(now) && !std::mem::replace(&mut self.is_listed, true);
        (if is_new { Listing::Added } else { Listing::Unchanged }, unused)
    }

    /// Takes the tokens that have been idle. Afterwards `has_leases` says whether the meter stays on the list.
    pub(super) fn take_idle(&mut self, key: &KeyId, now: Uptime) -> Vec<NamedUnusedLease> {
        let unused = self.take_unused(key, |lease| lease.take_idle(now));
        self.is_listed = self.has_leases(now);
        unused
    }

    /// Takes all tokens.
    pub(super) fn take_all(&mut self, key: &KeyId, now: Uptime) -> Vec<NamedUnusedLease> {
        self.is_listed = false;
        self.take_unused(key, |lease| lease.take_all(now))
    }

    /// Returns whether a limit has unused tokens or a pending lease request.
    pub(super) fn has_leases(&mut self, now: Uptime) -> bool {
        self.iter_mut().any(|state| state.is_lease_pending || state.lease.has_unused(now))
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

    /// Takes a token for a request that passes.
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

    /// Takes a token from the window that this process keeps on its own, starting from the last known state of
    /// the store's window.
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
