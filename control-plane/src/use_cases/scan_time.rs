//! How long a list may search for what it selects, before it answers with what it has found so far.

use gatepost_domain::time::Uptime;

use crate::control_plane::ControlPlane;

/// Time that a list may search. Whatever it is, one part of the list is read, so that every response is a step further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanTime {
    /// Only the number of records that are read is limited.
    Unlimited,
    /// The time that a page of the dashboard may search, 25 ms by default.
    OfPage,
}

/// End of the time that a list may search; none if it is unlimited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScanDeadline(Option<Uptime>);

impl ScanDeadline {
    pub(crate) fn has_passed(self, now: Uptime) -> bool {
        self.0.is_some_and(|at| at <= now)
    }
}

impl ControlPlane {
    /// Returns the deadline of a search that begins now.
    pub(crate) fn scan_deadline(&self, time: ScanTime) -> ScanDeadline {
        match time {
            ScanTime::Unlimited => ScanDeadline(None),
            ScanTime::OfPage => ScanDeadline(Some(self.clock.uptime().plus(self.page_scan_time))),
        }
    }
}
