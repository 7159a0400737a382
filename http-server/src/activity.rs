//! For whom a connection waits now: for the server, or for its client, and since when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Numbers moments in their order. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogicalClock(Arc<AtomicU64>);

impl LogicalClock {
    fn tick(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// What happens on a connection. Only its own task changes it; whoever looks for one to close reads it.
#[derive(Debug)]
pub(crate) struct Activity {
    clock: LogicalClock,
    /// The moment since which the client is waited for; 0 while the server is at work.
    waiting_since: AtomicU64,
    /// Whether a request is being answered, up to the end of the response's body.
    is_answering: AtomicBool,
    /// Whether a request's body was left before its end.
    has_unread_body: AtomicBool,
}

impl Activity {
    /// That of a new connection, whose first request has not come.
    pub(crate) fn new(clock: &LogicalClock) -> Arc<Self> {
        let activity = Self {
            clock: clock.clone(),
            waiting_since: AtomicU64::new(0),
            is_answering: AtomicBool::new(false),
            has_unread_body: AtomicBool::new(false),
        };
        activity.mark_waiting();
        Arc::new(activity)
    }

    /// The moment since which it waits for its client, if it does.
    pub(crate) fn waiting_since(&self) -> Option<u64> {
        Some(self.waiting_since.load(Ordering::Relaxed)).filter(|since| *since > 0)
    }

    /// The header of a request has come.
    pub(crate) fn request_started(&self) {
        self.is_answering.store(true, Ordering::Relaxed);
        self.clear_waiting();
    }

    /// The response's body has been handed out whole, or was given up.
    pub(crate) fn response_ended(&self) {
        self.is_answering.store(false, Ordering::Relaxed);
        self.mark_waiting();
    }

    /// More of the request's body must come, or some of the response must be read.
    pub(crate) fn mark_waiting(&self) {
        if self.waiting_since.load(Ordering::Relaxed) == 0 {
            self.waiting_since.store(self.clock.tick(), Ordering::Relaxed);
        }
    }

    /// The client has done what was waited for. Between requests it is waited for the next one.
    pub(crate) fn client_progressed(&self) {
        if self.is_answering.load(Ordering::Relaxed) {
            self.clear_waiting();
        }
    }

    /// A request's body is not read to its end: its rest may still come.
    pub(crate) fn mark_body_unread(&self) {
        self.has_unread_body.store(true, Ordering::Relaxed);
    }

    /// Whether something may come that nobody reads.
    pub(crate) fn has_unread_body(&self) -> bool {
        self.has_unread_body.load(Ordering::Relaxed)
    }

    fn clear_waiting(&self) {
        self.waiting_since.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_waits_for_its_client_unless_the_server_works() {
        let activity = Activity::new(&LogicalClock::default());
        let first = activity.waiting_since();
        assert!(first.is_some(), "the first request has not come");
        activity.request_started();
        assert_eq!(activity.waiting_since(), None);
        activity.mark_waiting();
        let body = activity.waiting_since();
        assert!(body > first);
        activity.mark_waiting();
        assert_eq!(activity.waiting_since(), body, "it is the same wait");
        activity.client_progressed();
        assert_eq!(activity.waiting_since(), None);
        activity.response_ended();
        let idle = activity.waiting_since();
        assert!(idle > body);
        activity.client_progressed();
        assert_eq!(activity.waiting_since(), idle, "it has not sent a request");
    }
}
