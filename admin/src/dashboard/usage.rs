//! Usage of a project or a key as bars: the hours of a day, or the days of a week or of 90 days.

use std::time::Duration;

use gatepost_control_plane::{Failure, Total};
use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::Grouping;
use maud::{Markup, html};

use super::parts::chart::{self, Bar};

/// A period that a chart shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum UsagePeriod {
    #[default]
    Day,
    Week,
    Quarter,
}

impl UsagePeriod {
    const ALL: [UsagePeriod; 3] = [UsagePeriod::Day, UsagePeriod::Week, UsagePeriod::Quarter];

    /// Parses the name in a query; a day by default.
    ///
    /// # Errors
    /// `validation-error` if no period has the name.
    pub(crate) fn parse(name: Option<&str>) -> Result<Self, Failure> {
        let Some(name) = name else { return Ok(Self::default()) };
        let found = Self::ALL.into_iter().find(|period| period.name() == name);
        found.ok_or_else(|| Failure::invalid("usage: must be 24h, 7d or 90d"))
    }

    fn name(self) -> &'static str {
        match self {
            UsagePeriod::Day => "24h",
            UsagePeriod::Week => "7d",
            UsagePeriod::Quarter => "90d",
        }
    }

    fn title(self) -> &'static str {
        match self {
            UsagePeriod::Day => "24 hours",
            UsagePeriod::Week => "7 days",
            UsagePeriod::Quarter => "90 days",
        }
    }

    /// Returns the path of a page with the period in its query.
    pub(crate) fn path(self, page: &str) -> String {
        format!("{page}?usage={}", self.name())
    }

    pub(crate) fn grouping(self) -> Grouping {
        match self {
            UsagePeriod::Day => Grouping::Hour,
            UsagePeriod::Week | UsagePeriod::Quarter => Grouping::Day,
        }
    }

    fn bars(self) -> u64 {
        match self {
            UsagePeriod::Day => 24,
            UsagePeriod::Week => 7,
            UsagePeriod::Quarter => 90,
        }
    }

    fn bar_length(self) -> Duration {
        match self.grouping() {
            Grouping::Hour => Duration::from_secs(3600),
            Grouping::Day | Grouping::Month => Duration::from_secs(24 * 3600),
        }
    }

    /// Returns the start of the first bar.
    pub(crate) fn start(self, now: Timestamp) -> Timestamp {
        let last = self.grouping().bucket_start(now).as_ms();
        let length = self.bar_length().as_millis() as u64;
        Timestamp::from_ms(last.saturating_sub((self.bars() - 1) * length))
    }
}

/// Draws totals, with links to the other periods. `path` is that of the page.
pub(crate) fn chart(period: UsagePeriod, totals: &[Total], now: Timestamp, path: &str) -> Markup {
    html! {
        div.usage #usage {
            nav.choices aria-label="Period" {
                @for choice in UsagePeriod::ALL {
                    a href={ (choice.path(path)) "#usage" } aria-current=[(choice == period).then_some("true")] {
                        (choice.title())
                    }
                }
            }
            (chart::bars("Requests that were let through", "requests", &bars(period, totals, now)))
        }
    }
}

/// Draws the totals of the last 24 hours for a row of a table; none without a use.
pub(crate) fn small_chart(totals: &[Total], now: Timestamp) -> Option<Markup> {
    let has_use = totals.iter().any(|total| total.count > 0);
    has_use.then(|| chart::small("Requests in 24 hours", "requests", &bars(UsagePeriod::Day, totals, now)))
}

fn bars(period: UsagePeriod, totals: &[Total], now: Timestamp) -> Vec<Bar> {
    let (start, length) = (period.start(now), period.bar_length());
    let bar = |index: u64| {
        let at = start.plus(length * u32::try_from(index).unwrap_or(u32::MAX));
        let value = totals.iter().filter(|total| total.start == at).map(|total| total.count).sum();
        Bar { label: label(at, period.grouping()), value }
    };
    (0..period.bars()).map(bar).collect()
}

/// Writes the day of a bar, and its hour in UTC if it is one of an hour.
fn label(at: Timestamp, grouping: Grouping) -> String {
    let text = at.to_string();
    let (day, time) = text.split_once('T').unwrap_or((&text, ""));
    match grouping {
        Grouping::Hour => format!("{day} {} UTC", time.get(..5).unwrap_or_default()),
        Grouping::Day | Grouping::Month => day.to_owned(),
    }
}
