//! Activity of a connection: whether it waits for the server or for its client, and since when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Clock that orders events by number. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogicalClock(Arc<AtomicU64>);

impl LogicalClock {
    fn tick(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Activity of a connection. Only the connection's own task writes it; the eviction of connections reads it.
#[derive(Debug)]
pub(crate) struct Activity {
    clock: LogicalClock,
    /// Logical time since which the server waits for the client; 0 while the server is busy.
    waiting_since: AtomicU64,
    /// Whether a request is being answered, until the end of the response body.
    is_answering: AtomicBool,
    /// Whether the body of a request was not read to its end.
    has_unread_body: AtomicBool,
}

impl Activity {
    /// Creates the activity of a new connection, which waits for its first request.
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

    /// Returns the logical time since which the server waits for the client, or `None` if the server is busy.
    pub(crate) fn waiting_since(&self) -> Option<u64> {
        Some(self.waiting_since.load(Ordering::Relaxed)).filter(|since| *since > 0)
    }

    /// Records that the header of a request has arrived.
    pub(crate) fn request_started(&self) {
        self.is_answering.store(true, Ordering::Relaxed);
        self.clear_waiting();
    }

    /// Records that the response body was sent completely, or was given up.
    pub(crate) fn response_ended(&self) {
        self.is_answering.store(false, Ordering::Relaxed);
        self.mark_waiting();
    }

    /// Records that the server waits: for more of the request body, or for the client to read the response.
    pub(crate) fn mark_waiting(&self) {
        if self.waiting_since.load(Ordering::Relaxed) == 0 {
            self.waiting_since.store(self.clock.tick(), Ordering::Relaxed);
        }
    }

    /// Records that the client has read or sent something. Between requests the server still waits for the next
    /// one.
    pub(crate) fn client_progressed(&self) {
        if self.is_answering.load(Ordering::Relaxed) {
            self.clear_waiting();
        }
    }

    /// Records that a request body was not read to its end, so the rest may still arrive.
    pub(crate) fn mark_body_unread(&self) {
        self.has_unread_body.store(true, Ordering::Relaxed);
    }

    /// Returns whether data may arrive that nobody reads.
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
        assert!(first.is_some(), "the first request has not arrived");
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
