//! How the check of a request ended.

use gatepost_domain::permit::{Denial, Permit};
use gatepost_verify::Unavailable;

/// Why a request may go upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthorizedAs {
    /// Its key may.
    Key(Permit),
    /// It has none, where none is needed.
    Anonymous,
}

/// How a request ended, as far as authentication goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthOutcome {
    /// It ended before that was asked: a bad request, or no route.
    Rejected,
    /// A valid key.
    Permitted,
    /// No key, where none is needed.
    Anonymous,
    /// No valid key, or one that may not do this.
    Denied(Denial),
    /// It could not be told.
    Unavailable(Unavailable),
}

impl AuthOutcome {
    /// Every label there is, in the order of [`AuthOutcome::index`].
    pub(crate) const LABELS: [&'static str; 5] = ["rejected", "permitted", "anonymous", "denied", "unavailable"];

    /// Its label in metrics.
    pub(crate) fn label(self) -> &'static str {
        Self::LABELS[self.index()]
    }

    pub(crate) fn index(self) -> usize {
        match self {
            AuthOutcome::Rejected => 0,
            AuthOutcome::Permitted => 1,
            AuthOutcome::Anonymous => 2,
            AuthOutcome::Denied(_) => 3,
            AuthOutcome::Unavailable(_) => 4,
        }
    }

    /// Why, for the access log; empty where there is nothing to say.
    pub(crate) fn reason(self) -> Option<&'static str> {
        match self {
            AuthOutcome::Rejected | AuthOutcome::Permitted | AuthOutcome::Anonymous => None,
            AuthOutcome::Denied(denial) => Some(denial.as_str()),
            AuthOutcome::Unavailable(unavailable) => Some(unavailable.as_str()),
        }
    }
}
