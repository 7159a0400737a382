//! `/system`: what only the operator sees.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use gatepost_control_plane::{
    ControlPlane, DEFAULT_QUARANTINE_PAGE, EventCursor, MAX_QUARANTINE_PAGE, QuarantinedEntry, RequestContext, Rest,
    StoreView, SystemView,
};
use gatepost_store::{QueueStats, Recovery, StoreKind};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::extract::query::{PathId, QueryParams};
use crate::api::respond::problem::Result;
use crate::http::changes::{parse_cursor, parse_path_cursor};

/// State of the system.
#[derive(Serialize, ToSchema)]
pub(crate) struct SystemBody {
    /// Release of the process that responds.
    version: &'static str,
    store: SystemStore,
    queue: SystemQueue,
}

/// State of the store.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SystemStore {
    /// `embedded` or `redis`.
    #[schema(example = "redis")]
    kind: &'static str,
    /// Format in which records are written.
    #[schema(example = 2)]
    format: u32,
    /// Whether ordinary writes are accepted. Revocations and deletions are accepted longer.
    #[schema(example = true)]
    writable: bool,
    /// Why they are not; null if they are.
    #[schema(example = json!(null))]
    full_reason: Option<String>,
    /// Whether the store recovers from a failover, during which some keys are not found.
    #[schema(example = false)]
    recovering: bool,
    /// Settings that are allowed but unwise, one sentence each.
    #[schema(example = json!([]))]
    warnings: Vec<String>,
    /// Acknowledged changes that a failover had lost and this process has replayed.
    #[schema(example = 0)]
    replayed: u64,
    /// Acknowledged changes that were lost and could not be replayed by this process.
    #[schema(example = 0)]
    lost: u64,
}

/// Deliveries and events, of all accounts.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SystemQueue {
    /// Deliveries that wait.
    pending: u64,
    /// Deliveries that are being sent.
    in_flight: u64,
    /// Dead letters.
    dead: u64,
    /// Dead letters that were removed because their webhook had too many, over the lifetime of the store.
    #[schema(example = 0)]
    dead_dropped: u64,
    /// For how long the delivery that should have been sent first has been due, in milliseconds.
    #[schema(example = 12)]
    overdue_ms: u64,
    /// Events that no deliverer has read yet.
    #[schema(example = 0)]
    not_fanned_out: u64,
    /// Events in quarantine.
    #[schema(example = 0)]
    quarantined: u64,
}

/// Entries in quarantine, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QuarantineBody {
    entries: Vec<QuarantineEntryBody>,
    /// Cursor to pass as `after` in the next request; null if there are no more.
    #[schema(example = "1860000000000000000")]
    next: Option<String>,
    /// Whether there are more.
    has_more: bool,
}

/// A change that this release cannot decode. It is not delivered.
#[derive(Serialize, ToSchema)]
pub(crate) struct QuarantineEntryBody {
    /// Position of the change, accepted by `after`.
    cursor: String,
    /// Time of the change, on the store's clock.
    at: String,
    /// Why it cannot be decoded.
    #[schema(example = "its action is unknown")]
    reason: String,
    /// Size of the entry.
    #[schema(example = 812)]
    bytes: usize,
}

impl From<SystemView> for SystemBody {
    fn from(SystemView { version, store, queue }: SystemView) -> Self {
        Self { version, store: store.into(), queue: queue.into() }
    }
}

impl From<StoreView> for SystemStore {
    fn from(store: StoreView) -> Self {
        Self {
            kind: match store.kind {
                StoreKind::Embedded => "embedded",
                StoreKind::Redis => "redis",
            },
            format: store.format.number(),
            writable: store.full_reason.is_none(),
            full_reason: store.full_reason,
            recovering: store.recovery == Recovery::InProgress,
            warnings: store.warnings,
            replayed: store.replays.replayed,
            lost: store.replays.conflicts + store.replays.given_up,
        }
    }
}

impl From<QueueStats> for SystemQueue {
    fn from(queue: QueueStats) -> Self {
        Self {
            pending: queue.pending,
            in_flight: queue.leased,
            dead: queue.dead_letters,
            dead_dropped: queue.dead_letters_dropped,
            overdue_ms: u64::try_from(queue.max_overdue.as_millis()).unwrap_or(u64::MAX),
            not_fanned_out: queue.fan_out_backlog,
            quarantined: queue.quarantined,
        }
    }
}

impl From<QuarantinedEntry> for QuarantineEntryBody {
    fn from(entry: QuarantinedEntry) -> Self {
        let (cursor, at) = (entry.cursor.to_string(), entry.at.to_string());
        Self { cursor, at, reason: entry.reason, bytes: entry.bytes }
    }
}

/// Returns the state of the store and of the queues, of all accounts together.
///
/// Requires an admin of the first account in the store.
#[utoipa::path(
    get, path = "/system", operation_id = "getSystem", tag = "system",
    responses((status = 200, body = SystemBody), (status = 401), (status = 403), (status = 503))
)]
pub(crate) async fn get(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
) -> Result<Json<SystemBody>> {
    Ok(Json(control_plane.system(&context).await?.into()))
}

/// Lists changes that this release cannot decode, newest first.
///
/// Requires an admin of the first account in the store.
#[utoipa::path(
    get, path = "/system/quarantine", operation_id = "listQuarantine", tag = "system",
    params(
        ("after" = Option<String>, Query, description = "`next` of the previous response"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000,
            description = "Maximum number of entries; by default 100", example = 100),
    ),
    responses((status = 200, body = QuarantineBody), (status = 400), (status = 401), (status = 403), (status = 503))
)]
pub(crate) async fn quarantine(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    query: QueryParams,
) -> Result<Json<QuarantineBody>> {
    let after = query.non_null("after").map(|text| parse_cursor("after", &text)).transpose()?;
    let limit = query.page_limit(MAX_QUARANTINE_PAGE)?.unwrap_or(DEFAULT_QUARANTINE_PAGE);
    let page = control_plane.quarantine(&context, &after.unwrap_or(EventCursor::END), limit).await?;
    Ok(Json(QuarantineBody {
        entries: page.entries.into_iter().map(QuarantineEntryBody::from).collect(),
        next: (page.rest == Rest::More).then(|| page.next.to_string()),
        has_more: page.rest == Rest::More,
    }))
}

/// Returns the bytes of a change that this release cannot decode, as they are stored.
///
/// Requires an admin of the first account in the store. The bytes contain no values of keys.
#[utoipa::path(
    get, path = "/system/quarantine/{cursor}", operation_id = "getQuarantinedEntry", tag = "system",
    params(("cursor" = String, Path, description = "`cursor` of the entry", example = "1860000000000000000")),
    responses(
        (status = 200, description = "The bytes", body = String, content_type = "application/octet-stream"),
        (status = 401), (status = 403), (status = 404), (status = 503)
    )
)]
pub(crate) async fn quarantined_entry(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(cursor): PathId,
) -> Result<impl IntoResponse> {
    let cursor = parse_path_cursor(&cursor)?;
    let (_, bytes) = control_plane.quarantined_entry(&context, &cursor).await?;
    let disposition = format!("attachment; filename=\"quarantine-{cursor}.bin\"");
    let headers = [(CONTENT_TYPE, "application/octet-stream".to_owned()), (CONTENT_DISPOSITION, disposition)];
    Ok((headers, bytes))
}
