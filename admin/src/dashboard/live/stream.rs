//! A stream in progress: it reads its source again and again, and ends with its session.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use gatepost_control_plane::{Failure, FairSharePermit};
use gatepost_runtime::error_chain;
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use tokio::time::{Instant, sleep, sleep_until};

use super::part::{END, Outlook, RELOAD};
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Time without an event after which a stream sends a comment.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Lifetime of a stream. Browsers then open a new one, which goes on where this one has ended.
const STREAM_LIFETIME: Duration = Duration::from_secs(600);
/// Maximum age of the last check of the session.
const SESSION_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Tells nginx not to hold events back.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What a stream sends.
pub(crate) trait Source: Send + 'static {
    /// Pause before each read but the first.
    const PAUSE: Duration;

    /// Returns what is new since the last read.
    ///
    /// # Errors
    /// Those that the page would have.
    fn read(&mut self, state: &DashboardState, visitor: &Visitor)
    -> impl Future<Output = Result<News, Failure>> + Send;
}

/// Events that a source has, and whether more may follow.
pub(crate) struct News {
    pub(super) events: Vec<Event>,
    pub(super) outlook: Outlook,
}

/// A stream in progress.
struct LiveStream<S> {
    state: DashboardState,
    visitor: Visitor,
    checked_at: Instant,
    source: S,
    permit: FairSharePermit,
    ends_at: Instant,
}

/// Streams what a source has.
///
/// # Errors
/// Those of its first read, and `overloaded` if there is no permit.
pub(crate) async fn stream<S: Source>(state: DashboardState, visitor: Visitor, mut source: S) -> PageResult {
    let permit = state.control_plane.acquire_page_stream(&visitor.context()).await?;
    let first = source.read(&state, &visitor).await?;
    let now = Instant::now();
    let live = LiveStream { state, visitor, checked_at: now, source, permit, ends_at: now + STREAM_LIFETIME };
    let (events, live) = live.go_on_after(first);
    let batches = stream::unfold(live, |live| async move { live?.next_batch().await });
    let events = stream::iter(events).chain(batches.flat_map(stream::iter)).map(Ok::<_, Infallible>);
    Ok(respond(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat"))))
}

fn respond(events: impl IntoResponse) -> Response {
    let mut response = events.into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

impl<S: Source> LiveStream<S> {
    /// Returns the next events, and the stream if it goes on; none at its end. It ends when the server stops, with its
    /// lifetime, its session and its permit, and when the store fails.
    async fn next_batch(mut self) -> Option<(Vec<Event>, Option<Self>)> {
        let (mut shutdown, ends_at) = (self.state.shutdown.clone(), self.ends_at);
        let read = tokio::select! {
            biased;
            _ = shutdown.wait_for(|stopping| *stopping) => return None,
            () = self.permit.preempted() => return None,
            () = sleep_until(ends_at) => return None,
            read = Self::read(&self.state, &mut self.visitor, &mut self.checked_at, &mut self.source) => read,
        };
        match read {
            Ok(Some(news)) => Some(self.go_on_after(news)),
            Ok(None) => Some((reload_and_end(), None)),
            Err(failure) => match answer::status_of(&failure) {
                StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Some((reload_and_end(), None)),
                _ => {
                    tracing::warn!(failure = %error_chain(&failure), "reading for a page failed: its stream ends");
                    None
                }
            },
        }
    }

    /// Reads what is new; none if the session has ended.
    async fn read(
        state: &DashboardState,
        visitor: &mut Visitor,
        checked_at: &mut Instant,
        source: &mut S,
    ) -> Result<Option<News>, Failure> {
        sleep(S::PAUSE).await;
        if checked_at.elapsed() >= SESSION_CHECK_INTERVAL {
            if !visitor.renew(state).await? {
                return Ok(None);
            }
            *checked_at = Instant::now();
        }
        source.read(state, visitor).await.map(Some)
    }

    fn go_on_after(self, news: News) -> (Vec<Event>, Option<Self>) {
        let News { mut events, outlook } = news;
        match outlook {
            Outlook::Open => (events, Some(self)),
            Outlook::Final => {
                events.push(named(END));
                (events, None)
            }
        }
    }
}

/// Returns the events after which a page is loaded again. The last one keeps it from connecting again until then.
fn reload_and_end() -> Vec<Event> {
    vec![named(RELOAD), named(END)]
}

/// Returns an event without content. Browsers ignore one without any data.
fn named(name: &str) -> Event {
    Event::default().event(name).data(name)
}
