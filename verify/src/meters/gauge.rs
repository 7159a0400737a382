//! One limit of a key as this process sees it: its slice, whether somebody asks for more, and what counts while the
//! store does not answer.

use std::time::Duration;

use gatepost_domain::id::KeyId;
use gatepost_domain::permit::{Denial, KeyFacts};
use gatepost_domain::record::{Quota, RateLimit};
use gatepost_domain::slice::{Holds, Reading, Slice, Taken};
use gatepost_domain::time::{Timestamp, Uptime};
use gatepost_domain::window::{self, Allowance, Generation, Limit, Span, Unused, Window};

use super::{Metered, WhenStoreIsDown};

/// How soon a store that has not answered is asked again.
const ASK_AGAIN_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Now, on both clocks.
pub(super) struct Moment {
    pub(super) uptime: Uptime,
    pub(super) wall: Timestamp,
}

/// Whether a judgement that needs the store asks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    Begin,
    Leave,
}

/// What is measured, and in which windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    Rate(RateLimit, Generation),
    Quota(Quota, Generation),
}

/// What is to be given back to the store's meter of this name.
pub(super) type Return = (String, Unused);

/// A question to the store.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) measure: Measure,
    pub(super) want: u64,
}

/// Whether a meter has to be put on the list of those that hold something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    Now,
    Before,
}

impl Measure {
    pub(super) fn limit(self, now: Timestamp) -> Limit {
        match self {
            Measure::Rate(rate, generation) => {
                Limit { count: rate.limit, span: Span::Rolling(rate.window), generation }
            }
            Measure::Quota(quota, generation) => Limit { count: quota.limit, span: quota.period.span(now), generation },
        }
    }

    fn count(self) -> u64 {
        match self {
            Measure::Rate(rate, _) => rate.limit,
            Measure::Quota(quota, _) => quota.limit,
        }
    }

    fn generation(self) -> Generation {
        match self {
            Measure::Rate(_, generation) | Measure::Quota(_, generation) => generation,
        }
    }

    /// Whether both count in the same windows, with whatever number.
    fn has_windows_of(self, other: Self) -> bool {
        match (self, other) {
            (Measure::Rate(one, of_one), Measure::Rate(two, of_two)) => one.window == two.window && of_one == of_two,
            (Measure::Quota(one, of_one), Measure::Quota(two, of_two)) => one.period == two.period && of_one == of_two,
            (Measure::Rate(..), Measure::Quota(..)) | (Measure::Quota(..), Measure::Rate(..)) => false,
        }
    }

    /// The name of the store's meter: it follows the key, whatever its value and its limit are.
    pub(super) fn meter(self, key: &KeyId) -> String {
        match self {
            Measure::Rate(..) => format!("rate:{key}"),
            Measure::Quota(quota, _) => format!("quota-{}:{key}", quota.period.as_str()),
        }
    }

    fn returns(self, key: &KeyId, (reset, count): (Timestamp, u64)) -> Return {
        (self.meter(key), Unused { generation: self.generation(), reset, count })
    }

    fn denial(self) -> Denial {
        match self {
            Measure::Rate(..) => Denial::RateLimited,
            Measure::Quota(quota, _) => Denial::QuotaUsedUp(quota.period),
        }
    }
}

/// The limits of a key.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    rate: Option<Gauge>,
    quota: Option<Gauge>,
    is_listed: bool,
}

#[derive(Debug)]
struct Gauge {
    measure: Measure,
    slice: Slice,
    is_asking: bool,
    /// While the store does not answer: when it is asked again.
    ask_at: Option<Uptime>,
    /// The window that this process keeps alone meanwhile.
    local: Option<Window>,
}

/// Whether one limit lets a request pass.
enum Peek {
    Passes,
    Refused(Reading),
    Down,
    Ask,
}

impl Gauges {
    /// Takes the limits of a key as they now are. A limit of other windows begins with nothing; where the number alone
    /// has changed, what is held is returned, to be given back to the window that goes on.
    pub(super) fn set_up(&mut self, facts: &KeyFacts, now: Uptime) -> [Option<Return>; 2] {
        let rate = facts.rate_limit.map(|rate| Measure::Rate(rate, facts.generations.rate_limit));
        let quota = facts.quota.map(|quota| Measure::Quota(quota, facts.generations.quota));
        [set_up(&mut self.rate, rate, &facts.key, now), set_up(&mut self.quota, quota, &facts.key, now)]
    }

    /// Takes one request out of all limits, or out of none; none if the store must be asked.
    pub(super) fn take(&mut self, moment: &Moment, when_down: WhenStoreIsDown) -> Option<Metered> {
        let mut must_ask = false;
        let mut is_down = false;
        for gauge in self.each() {
            match gauge.peek(moment, when_down) {
                Peek::Passes => {}
                Peek::Refused(reading) => return Some(Metered::Refused(gauge.measure.denial(), reading)),
                Peek::Down => is_down = true,
                Peek::Ask => must_ask = true,
            }
        }
        if is_down {
            return Some(Metered::Unavailable);
        }
        if must_ask {
            return None;
        }
        let readings = self.each().map(|gauge| gauge.take(moment, when_down));
        // The client is told of the rate limit, if there is one.
        Some(Metered::Passed(readings.fold(None, Option::or)))
    }

    /// What to ask the store now: where a request waits for it, and where it has not answered for a while.
    pub(super) fn orders(&mut self, moment: &Moment, metered: Option<&Metered>) -> [Option<Order>; 2] {
        let order = |gauge: &mut Option<Gauge>| gauge.as_mut().and_then(|gauge| gauge.order(moment, metered));
        [order(&mut self.rate), order(&mut self.quota)]
    }

    /// Takes the store's answer; none if it has not answered. What was granted under a number that has changed since
    /// is returned, to be given back.
    pub(super) fn answered(
        &mut self,
        key: &KeyId,
        order: &Order,
        allowance: Option<&Allowance>,
        (sent, now): (Uptime, Uptime),
    ) -> (Listed, Option<Return>) {
        let mut unused = None;
        for gauge in self.each().filter(|gauge| gauge.measure.has_windows_of(order.measure)) {
            if gauge.measure == order.measure {
                gauge.answered(allowance, sent, now);
            } else {
                gauge.is_asking = false;
                let granted = allowance.filter(|allowance| allowance.granted > 0);
                unused = granted.map(|granted| order.measure.returns(key, (granted.reset, granted.granted)));
            }
        }
        let holds_some = self.holds(now) == Holds::Something;
        let is_new = holds_some && !std::mem::replace(&mut self.is_listed, true);
        (if is_new { Listed::Now } else { Listed::Before }, unused)
    }

    /// What has lain unused. Whether the meter stays on the list is told by `holds`.
    pub(super) fn take_idle(&mut self, key: &KeyId, now: Uptime) -> Vec<Return> {
        let back = self.give_back(key, |slice| slice.take_idle(now));
        self.is_listed = self.holds(now) == Holds::Something;
        back
    }

    /// All that is held.
    pub(super) fn take_all(&mut self, key: &KeyId, now: Uptime) -> Vec<Return> {
        self.is_listed = false;
        self.give_back(key, |slice| slice.take_all(now))
    }

    pub(super) fn holds(&mut self, now: Uptime) -> Holds {
        let holds = self.each().any(|gauge| gauge.is_asking || gauge.slice.holds(now) == Holds::Something);
        if holds { Holds::Something } else { Holds::Nothing }
    }

    fn give_back(&mut self, key: &KeyId, take: impl Fn(&mut Slice) -> Option<(Timestamp, u64)>) -> Vec<Return> {
        self.each()
            .filter_map(|gauge| take(&mut gauge.slice).map(|unused| gauge.measure.returns(key, unused)))
            .collect()
    }

    fn each(&mut self) -> impl Iterator<Item = &mut Gauge> {
        self.rate.iter_mut().chain(self.quota.iter_mut())
    }
}

fn set_up(gauge: &mut Option<Gauge>, measure: Option<Measure>, key: &KeyId, now: Uptime) -> Option<Return> {
    if gauge.as_ref().map(|gauge| gauge.measure) == measure {
        return None;
    }
    match (gauge, measure) {
        (Some(gauge), Some(measure)) if gauge.measure.has_windows_of(measure) => {
            gauge.measure = measure;
            let unused = gauge.slice.change_limit(measure.count(), now)?;
            Some(measure.returns(key, unused))
        }
        (gauge, measure) => {
            *gauge = measure.map(Gauge::new);
            None
        }
    }
}

impl Gauge {
    fn new(measure: Measure) -> Self {
        let slice = Slice::new(measure.count());
        Self { measure, slice, is_asking: false, ask_at: None, local: None }
    }

    fn peek(&self, moment: &Moment, when_down: WhenStoreIsDown) -> Peek {
        match (self.slice.peek(moment.uptime), self.ask_at, when_down) {
            (Taken::Yes(_), _, _) | (_, Some(_), WhenStoreIsDown::Open) => Peek::Passes,
            (_, Some(_), WhenStoreIsDown::Closed) => Peek::Down,
            (_, Some(_), WhenStoreIsDown::Local) => match self.lease_alone(moment) {
                (_, allowance) if allowance.granted == 0 => Peek::Refused(self.told(&allowance)),
                _ => Peek::Passes,
            },
            (Taken::No(reading), None, _) => Peek::Refused(reading),
            (Taken::Ask, None, _) => Peek::Ask,
        }
    }

    /// Takes a request that passes.
    fn take(&mut self, moment: &Moment, when_down: WhenStoreIsDown) -> Option<Reading> {
        if let Taken::Yes(reading) = self.slice.take(moment.uptime) {
            return Some(reading);
        }
        match when_down {
            WhenStoreIsDown::Open | WhenStoreIsDown::Closed => None,
            WhenStoreIsDown::Local => {
                let (window, allowance) = self.lease_alone(moment);
                self.local = Some(window);
                Some(self.told(&allowance))
            }
        }
    }

    fn order(&mut self, moment: &Moment, metered: Option<&Metered>) -> Option<Order> {
        let must_ask = match self.ask_at {
            Some(ask_at) => ask_at <= moment.uptime,
            None => metered.is_none() && self.slice.peek(moment.uptime) == Taken::Ask,
        };
        if !must_ask || self.is_asking {
            return None;
        }
        self.is_asking = true;
        Some(Order { measure: self.measure, want: self.slice.want(moment.uptime) })
    }

    fn answered(&mut self, allowance: Option<&Allowance>, sent: Uptime, now: Uptime) {
        self.is_asking = false;
        match allowance {
            Some(allowance) => {
                self.slice.refill(allowance, sent);
                self.ask_at = None;
                self.local = None;
            }
            None => {
                let ms = now.as_ms() + ASK_AGAIN_AFTER_FAILURE.as_millis() as u64;
                self.ask_at = Some(Uptime::from_ms(ms));
            }
        }
    }

    /// The limit as this process alone keeps it, from where the store's window stood.
    fn lease_alone(&self, moment: &Moment) -> (Window, Allowance) {
        let limit = self.measure.limit(moment.wall);
        let known = || {
            let (ends_at, leased) = self.slice.known(moment.uptime)?;
            Some(Window {
                ends_at,
                leased,
                generation: limit.generation,
                limit: limit.count,
                length: limit.span.length(),
            })
        };
        window::lease(self.local.or_else(known), limit, 1, moment.wall)
    }

    fn told(&self, allowance: &Allowance) -> Reading {
        Reading {
            limit: self.measure.count(),
            remaining: allowance.left,
            reset: allowance.reset,
            wait: allowance.remaining,
        }
    }
}
