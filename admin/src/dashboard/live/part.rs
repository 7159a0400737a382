//! A part of a page, and the events that are about the page itself.

use maud::Markup;

/// Name of the event after which nothing follows. The browser closes the stream.
pub(super) const END: &str = "end";
/// Name of the event that makes the browser load the page again: the session has ended, or what the page shows is gone.
pub(super) const RELOAD: &str = "reload";

/// A part of a page, as it is now.
pub(crate) struct Part {
    pub(crate) markup: Markup,
    pub(crate) outlook: Outlook,
}

/// What is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// It may change at any time.
    Open,
    /// It stays as it is.
    Final,
}

impl Part {
    /// Returns a part that may change at any time.
    pub(crate) fn open(markup: Markup) -> Self {
        Self { markup, outlook: Outlook::Open }
    }
}
