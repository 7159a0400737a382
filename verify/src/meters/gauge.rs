//! One limit of a key as this process sees it: its slice, whether somebody asks for more, and what counts while the
//! store does not answer.

use std::time::Duration;

use gatepost_domain::id::KeyId;
use gatepost_domain::permit::{Denial, KeyFacts};
use gatepost_domain::record::{Quota, RateLimit};
use gatepost_domain::slice::{Holds, Reading, Slice, Taken};
use gatepost_domain::time::{Timestamp, Uptime};
use gatepost_domain::window::{self, Allowance, Span, Window};

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

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    Rate(RateLimit),
    Quota(Quota),
}

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
    pub(super) fn limit(self) -> u64 {
        match self {
            Measure::Rate(rate) => rate.limit,
            Measure::Quota(quota) => quota.limit,
        }
    }

    pub(super) fn span(self, now: Timestamp) -> Span {
        match self {
            Measure::Rate(rate) => Span::Rolling(rate.window),
            Measure::Quota(quota) => quota.period.span(now),
        }
    }

    /// The name of the store's meter: it follows the key, whatever its value and its limit are.
    pub(super) fn meter(self, key: &KeyId) -> String {
        match self {
            Measure::Rate(_) => format!("rate:{key}"),
            Measure::Quota(quota) => format!("quota-{}:{key}", quota.period.as_str()),
        }
    }

    fn denial(self) -> Denial {
        match self {
            Measure::Rate(_) => Denial::RateLimited,
            Measure::Quota(quota) => Denial::QuotaUsedUp(quota.period),
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
    /// Takes the limits of a key as they now are. A limit that changed begins with nothing.
    pub(super) fn set_up(&mut self, facts: &KeyFacts) {
        set_up(&mut self.rate, facts.rate_limit.map(Measure::Rate));
        set_up(&mut self.quota, facts.quota.map(Measure::Quota));
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

    /// Takes the store's answer; none if it has not answered.
    pub(super) fn answered(
        &mut self,
        order: &Order,
        allowance: Option<&Allowance>,
        sent: Uptime,
        now: Uptime,
    ) -> Listed {
        for gauge in self.each().filter(|gauge| gauge.measure == order.measure) {
            gauge.answered(allowance, sent, now);
        }
        let holds_some = self.holds(now) == Holds::Something;
        if holds_some && !std::mem::replace(&mut self.is_listed, true) { Listed::Now } else { Listed::Before }
    }

    /// What has lain unused: meter, window, how much. Whether the meter stays on the list is told by `holds`.
    pub(super) fn take_idle(&mut self, key: &KeyId, now: Uptime) -> Vec<(String, Timestamp, u64)> {
        let back = self.give_back(key, |slice| slice.take_idle(now));
        self.is_listed = self.holds(now) == Holds::Something;
        back
    }

    /// All that is held.
    pub(super) fn take_all(&mut self, key: &KeyId, now: Uptime) -> Vec<(String, Timestamp, u64)> {
        self.is_listed = false;
        self.give_back(key, |slice| slice.take_all(now))
    }

    pub(super) fn holds(&mut self, now: Uptime) -> Holds {
        let holds = self.each().any(|gauge| gauge.is_asking || gauge.slice.holds(now) == Holds::Something);
        if holds { Holds::Something } else { Holds::Nothing }
    }

    fn give_back(
        &mut self,
        key: &KeyId,
        take: impl Fn(&mut Slice) -> Option<(Timestamp, u64)>,
    ) -> Vec<(String, Timestamp, u64)> {
        let taken = self.each().filter_map(|gauge| {
            let (reset, count) = take(&mut gauge.slice)?;
            Some((gauge.measure.meter(key), reset, count))
        });
        taken.collect()
    }

    fn each(&mut self) -> impl Iterator<Item = &mut Gauge> {
        self.rate.iter_mut().chain(self.quota.iter_mut())
    }
}

fn set_up(gauge: &mut Option<Gauge>, measure: Option<Measure>) {
    if gauge.as_ref().map(|gauge| gauge.measure) != measure {
        *gauge = measure.map(Gauge::new);
    }
}

impl Gauge {
    fn new(measure: Measure) -> Self {
        let slice = Slice::new(measure.limit());
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
        let known = || self.slice.known(moment.uptime).map(|(ends_at, leased)| Window { ends_at, leased });
        let before = self.local.or_else(known);
        window::lease(before, self.measure.limit(), self.measure.span(moment.wall), 1, moment.wall)
    }

    fn told(&self, allowance: &Allowance) -> Reading {
        Reading {
            limit: self.measure.limit(),
            remaining: allowance.left,
            reset: allowance.reset,
            wait: allowance.remaining,
        }
    }
}
