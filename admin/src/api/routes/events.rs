//! `/events`: all changes, page by page and as a stream.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream, StreamExt};
use gatepost_control_plane::{
    ChangeLimits, Continuity, ControlPlane, DEFAULT_CHANGES, EventCursor, EventFilter, Failure, FairSharePermit,
    LongResponse, MAX_CHANGES, ParseActorFilterError, RequestContext, Rest,
};
use gatepost_runtime::error_chain;
use gatepost_wire::ChangeResource;
use http::HeaderMap;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::api::extract::query::{PathId, QueryParams};
use crate::api::respond::problem::Result;
use crate::api::state::ApiState;
use crate::http::changes;

/// Time without an event after which a stream sends a comment.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Changes in order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChangesBody {
    /// The changes.
    events: Vec<ChangeResource>,
    /// Cursor to pass as `after` in the next request.
    #[schema(example = "1860000000000000000")]
    next: String,
    /// Whether more changes are available now.
    has_more: bool,
    /// `yes`: no change is missing between `after` and these. `trimmed`: changes in between were trimmed because of their
    /// age. `unknown`: there is no change at `after`, so continuity cannot be determined.
    #[schema(example = "yes")]
    continues: &'static str,
}

/// Lists changes, oldest first, or newest first with `order=desc`.
///
/// Each change contains the actor, action, time and client address, and the resource before and after,
/// without secrets. A response may contain fewer changes than `limit`, or none, without being the last.
#[utoipa::path(
    get, path = "/events", operation_id = "listEvents", tag = "events",
    params(
        ("order" = Option<String>, Query, description = "`asc` (default): oldest first; `desc`: newest first",
            example = "asc"),
        ("after" = Option<String>, Query, description = "`next` of the previous response in the same order; by default \
            the list starts at the oldest change retained, or at the newest", example = "0"),
        ("since" = Option<String>, Query, description = "Only changes since this time; in the order `asc`, unless a \
            cursor is given"),
        ("type" = Option<String>, Query, description = "Only changes of this type", example = "api-key.created"),
        ("projectId" = Option<String>, Query, description = "Only changes of this project"),
        ("actor" = Option<String>, Query, description = "Only changes by the access key or key with this id, or by \
            `ACCESS_KEY`, `API_KEY`, `OPERATOR` or `DELIVERER`", example = "OPERATOR"),
        ("subject" = Option<String>, Query, description = "Only changes of the resource with this id, or the one that is the event with this id",
            example = "key_00aZ3kT9cQmX1pLr7vWn5sYd"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000,
            description = "Maximum number of changes; by default 100", example = 100),
    ),
    responses((status = 200, body = ChangesBody), (status = 400), (status = 401), (status = 404), (status = 503))
)]
pub(crate) async fn list(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    query: QueryParams,
) -> Result<Json<ChangesBody>> {
    let filter = parse_list_filter(&control_plane, &context, &query).await?;
    let after = query.non_null("after").map(|text| changes::parse_cursor("after", &text)).transpose()?;
    let since = query.time("since")?;
    let limit = query.page_limit(MAX_CHANGES)?.unwrap_or(DEFAULT_CHANGES);
    let page = match query.non_null("order").as_deref() {
        Some("desc") => {
            let before = after.unwrap_or(EventCursor::END);
            control_plane.changes_backwards(&context, &filter, &before, since, ChangeLimits::of_page(limit)).await?
        }
        None | Some("asc") => {
            let start = match (after, since) {
                (Some(after), _) => after,
                (None, Some(since)) => control_plane.cursor_since(since).await?,
                (None, None) => EventCursor::START,
            };
            control_plane.changes(&context, &filter, &start, limit).await?
        }
        Some(_) => return Err(Failure::invalid("order: must be asc or desc").into()),
    };
    Ok(Json(ChangesBody {
        events: page.changes.iter().filter_map(changes::resource_of).collect(),
        next: page.next.to_string(),
        has_more: page.rest == Rest::More,
        continues: continuity_text(page.continuity),
    }))
}

/// Returns one change by its cursor.
#[utoipa::path(
    get, path = "/events/{cursor}", operation_id = "getEvent", tag = "events",
    params(("cursor" = String, Path, description = "`cursor` of the change", example = "1860000000000000000")),
    responses((status = 200, body = ChangeResource), (status = 401), (status = 404), (status = 503))
)]
pub(crate) async fn get(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(cursor): PathId,
) -> Result<Json<ChangeResource>> {
    let change = control_plane.change_at(&context, &changes::parse_path_cursor(&cursor)?).await?;
    Ok(Json(changes::resource_of(&change).ok_or_else(changes::no_such_change)?))
}

/// Streams changes as they happen (server-sent events).
///
/// The id of each event is its cursor, so a client that was disconnected resumes with `Last-Event-ID` or `after`.
/// Without either, the stream starts at `since`, or at the current time. An id without data moves the cursor past changes
/// that the stream does not send. An event named `gap` reports missing changes. While there are no changes, comments are
/// sent as heartbeats.
#[utoipa::path(
    get, path = "/events/stream", operation_id = "streamEvents", tag = "events",
    params(
        ("after" = Option<String>, Query, description = "Cursor of the last known change"),
        ("type" = Option<String>, Query, description = "Only changes of this type", example = "api-key.created"),
        ("projectId" = Option<String>, Query, description = "Only changes of this project"),
        ("since" = Option<String>, Query, description = "Only changes since this time, unless a cursor is given"),
        ("Last-Event-ID" = Option<String>, Header, description = "Cursor of the last known change"),
    ),
    responses(
        (status = 200, description = "Changes, each as a `ChangeBody` in JSON", body = String,
            content_type = "text/event-stream"),
        (status = 400), (status = 401), (status = 404), (status = 503)
    )
)]
pub(crate) async fn stream(
    State(state): State<ApiState>,
    context: RequestContext,
    headers: HeaderMap,
    query: QueryParams,
) -> Result<Sse<impl Stream<Item = std::result::Result<Event, Infallible>>>> {
    let ApiState { control_plane, shutdown, .. } = state;
    let filter = parse_filter(&control_plane, &context, &query).await?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    let after = match (last, query.non_null("after")) {
        (Some(last), _) => changes::parse_cursor("Last-Event-ID", last)?,
        (None, Some(after)) => changes::parse_cursor("after", &after)?,
        (None, None) => match query.time("since")? {
            Some(since) => control_plane.cursor_since(since).await?,
            None => control_plane.newest_cursor().await?,
        },
    };
    let permit = control_plane.acquire_event_stream(&context).await?;
    let response = LongResponse::new(control_plane, context, filter.project.clone());
    // Without it, a client that is disconnected before the first change would miss that change.
    let start = after.is_at_change().then(|| cursor_event(&after));
    let source = EventStream { response, filter, after, shutdown, permit };
    let batches = stream::unfold(Some(source), |source| async {
        let mut source = source?;
        match source.next_batch().await {
            Batch::Events(events) => Some((stream::iter(events.into_iter().map(Ok)), Some(source))),
            Batch::End => None,
        }
    });
    let events = stream::iter(start.map(Ok)).chain(batches.flatten());
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat")))
}

/// Event stream in progress.
struct EventStream {
    response: LongResponse,
    filter: EventFilter,
    after: EventCursor,
    shutdown: watch::Receiver<bool>,
    permit: FairSharePermit,
}

enum Batch {
    Events(Vec<Event>),
    End,
}

impl EventStream {
    /// Returns the next events. Ends the stream when the server stops, when the caller is no longer authorized, when
    /// another account has less than its fair share of streams, and when the store fails. A client then reconnects with
    /// its cursor.
    async fn next_batch(&mut self) -> Batch {
        if self.response.reauthorize().await.is_err() {
            return Batch::End;
        }
        let LongResponse { control_plane, context, .. } = &self.response;
        let read = tokio::select! {
            biased;
            _ = self.shutdown.wait_for(|stopping| *stopping) => return Batch::End,
            () = self.permit.preempted() => return Batch::End,
            read = control_plane.wait_for_changes(context, &self.filter, &self.after) => read,
        };
        match read {
            Ok((new_changes, next, continuity)) => {
                let has_moved = next != self.after;
                let gap = (continuity != Continuity::Unbroken && has_moved).then(|| gap_event(continuity));
                let is_last_sent = new_changes.last().is_some_and(|last| last.cursor() == next);
                let moved = (has_moved && !is_last_sent).then(|| cursor_event(&next));
                self.after = next;
                let sent = new_changes.iter().filter_map(changes::resource_of).map(|change| sse_event(&change));
                Batch::Events(gap.into_iter().chain(sent).chain(moved).collect())
            }
            Err(failure) => {
                tracing::warn!(failure = %error_chain(&failure), "reading events failed: the stream ends");
                Batch::End
            }
        }
    }
}

fn sse_event(change: &ChangeResource) -> Event {
    let json = serde_json::to_string(change).expect("a body is a struct with text keys");
    Event::default().id(&change.cursor).data(json)
}

/// An id without data, which moves the cursor of the client and is no event.
fn cursor_event(cursor: &EventCursor) -> Event {
    Event::default().id(cursor.to_string())
}

fn gap_event(continuity: Continuity) -> Event {
    Event::default().event("gap").data(format!("{{\"continues\":\"{}\"}}", continuity_text(continuity)))
}

fn continuity_text(continuity: Continuity) -> &'static str {
    match continuity {
        Continuity::Unbroken => "yes",
        Continuity::Trimmed => "trimmed",
        Continuity::Unknown => "unknown",
    }
}

/// Parses the filter of a list.
async fn parse_list_filter(
    control_plane: &ControlPlane,
    context: &RequestContext,
    query: &QueryParams,
) -> Result<EventFilter> {
    let mut filter = parse_filter(control_plane, context, query).await?;
    let invalid = |error: ParseActorFilterError| Failure::invalid(format!("actor: {error}"));
    filter.actor = query.non_null("actor").map(|text| text.parse().map_err(invalid)).transpose()?;
    filter.subject = query.non_null("subject");
    Ok(filter)
}

/// Parses the filter of a query that a list and a stream share.
async fn parse_filter(
    control_plane: &ControlPlane,
    context: &RequestContext,
    query: &QueryParams,
) -> Result<EventFilter> {
    let actions = query.non_null("type").map(|kind| changes::parse_type(&kind)).transpose()?;
    Ok(EventFilter::new(control_plane, context, actions, query.non_null("projectId").as_deref()).await?)
}
