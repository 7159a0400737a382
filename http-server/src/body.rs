//! Bodies of requests and responses: a request body has a deadline, and the end of a response body is recorded.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::activity::Activity;

/// Maximum time for a request body to arrive, counted from the end of the header, unless its handler extends it.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Error of a request body that did not arrive in time.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the request body did not arrive within {} s", BODY_DEADLINE.as_secs())]
pub struct BodyTimeout;

impl BodyTimeout {
    /// Returns whether an error was caused by this one.
    pub fn is_cause_of(error: &(dyn std::error::Error + 'static)) -> bool {
        std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<Self>())
    }
}

/// Deadline of a request's body, an extension of the request. A handler that expects a large body extends it.
#[derive(Debug, Clone, Default)]
pub struct BodyDeadline(Arc<OnceLock<Duration>>);

impl BodyDeadline {
    /// Gives the body this time, counted from the end of the header, before it is first read. Only the first call counts.
    pub fn extend(&self, time: Duration) {
        let _ = self.0.set(time);
    }

    fn time(&self) -> Duration {
        self.0.get().copied().unwrap_or(BODY_DEADLINE)
    }
}

/// A request body with its deadline.
pub(crate) struct RequestBody {
    inner: Incoming,
    activity: Arc<Activity>,
    arrived_at: Instant,
    deadline: BodyDeadline,
    /// Created only when the body is waited for: most bodies arrive together with the header.
    timer: Option<Pin<Box<Sleep>>>,
    has_ended: bool,
}

impl RequestBody {
    pub(crate) fn new(inner: Incoming, activity: Arc<Activity>, deadline: BodyDeadline) -> Self {
        Self { inner, activity, arrived_at: Instant::now(), deadline, timer: None, has_ended: false }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            self.activity.client_progressed();
            self.has_ended = frame.is_none();
            return Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)));
        }
        self.activity.mark_waiting();
        let deadline = self.arrived_at + self.deadline.time();
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Some(Err(BodyTimeout.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if !self.has_ended && !self.inner.is_end_stream() {
            self.activity.mark_body_unread();
        }
    }
}

/// A response body. It is dropped when it was sent completely or was given up.
pub(crate) struct ResponseBody {
    inner: Body,
    activity: Arc<Activity>,
}

impl ResponseBody {
    pub(crate) fn new(inner: Body, activity: Arc<Activity>) -> Self {
        Self { inner, activity }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.activity.response_ended();
    }
}
