//! Changes as a file for spreadsheets: those that the filters of the list select, newest first.

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use futures::stream::{self, StreamExt};
use gatepost_control_plane::{ChangeLimits, EventCursor, Failure, Rest, ScanTime, VisibleChange};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::Actor;
use gatepost_runtime::error_chain;
use gatepost_wire::event_type;

use super::changes::ChangesQuery;
use super::found_changes::Selection;
use crate::dashboard::actors::{self, ActorNames};
use crate::dashboard::answer::PageResult;
use crate::dashboard::csv_file;
use crate::dashboard::parts::{change_table, changed_members};
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Changes in a file.
const MAX_CHANGES: usize = 10_000;
/// Entries of the stream that are read for a file.
const MAX_ENTRIES: usize = 200_000;
/// Changes, and entries, that are read at a time.
const BATCH: ChangeLimits = ChangeLimits { changes: 500, entries: 10_000, time: ScanTime::Unlimited };

const COLUMNS: [&str; 11] = [
    "time",
    "type",
    "subject",
    "name",
    "projectId",
    "actor",
    "actorName",
    "address",
    "cursor",
    "eventId",
    "changedMembers",
];
const NOT_COMPLETE: &str = "Not complete: there may be older changes. Use the filters, or GET /events.";

pub(crate) async fn of_account(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Query(query): Query<ChangesQuery>,
) -> PageResult {
    download(state, visitor, None, &query).await
}

pub(crate) async fn of_project(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<ChangesQuery>,
) -> PageResult {
    download(state, visitor, Some(&id), &query).await
}

/// Streams the file. Its first rows are read before, so that a failure is a page and not half a file.
async fn download(state: DashboardState, visitor: Visitor, project: Option<&str>, query: &ChangesQuery) -> PageResult {
    let selection = Selection::parse(&state, &visitor, project, &query.to_form()).await?;
    let before = Some(EventCursor::END);
    let mut file = ChangeFile { state, visitor, selection, before, changes: MAX_CHANGES, entries: MAX_ENTRIES };
    let mut head = vec![csv_file::head(&COLUMNS)];
    head.extend(file.next_rows().await?);
    let rest = stream::unfold(Some(file), |file| async move {
        let mut file = file?;
        match file.next_rows().await {
            Ok(rows) => Some((Ok(rows?), Some(file))),
            Err(failure) => {
                tracing::warn!(failure = %error_chain(&failure), "reading changes for a file failed: it is cut off");
                Some((Err(failure), None))
            }
        }
    });
    let parts = stream::iter(head.into_iter().map(Ok)).chain(rest);
    Ok(csv_file::respond("changes.csv", Body::from_stream(parts.map(|part| part.map(Bytes::from)))))
}

/// A file in progress.
struct ChangeFile {
    state: DashboardState,
    visitor: Visitor,
    selection: Selection,
    /// Where to go on; none at the end.
    before: Option<EventCursor>,
    /// Changes, and entries, that may still be read.
    changes: usize,
    entries: usize,
}

impl ChangeFile {
    /// Returns the next rows, which may be empty; none at the end. The session is judged again for each part.
    async fn next_rows(&mut self) -> Result<Option<String>, Failure> {
        let Some(before) = self.before.take() else { return Ok(None) };
        if self.changes == 0 || self.entries == 0 {
            return Ok(Some(csv_file::encode([[NOT_COMPLETE]])));
        }
        if !self.visitor.renew(&self.state).await? {
            return Err(ErrorCode::InvalidAccessKey.into());
        }
        let Selection { filter, since } = &self.selection;
        let limits = ChangeLimits { changes: BATCH.changes.min(self.changes), ..BATCH };
        let (control_plane, context) = (&self.state.control_plane, self.visitor.context());
        let found = control_plane.changes_backwards(&context, filter, &before, *since, limits).await?;
        self.changes -= found.changes.len();
        self.entries = self.entries.saturating_sub(BATCH.entries);
        self.before = (found.rest == Rest::More).then_some(found.next);
        let made_by: Vec<&Actor> = found.changes.iter().map(|change| &change.content.metadata.actor).collect();
        let names = ActorNames::read(&self.state, &self.visitor, &made_by).await?;
        Ok(Some(csv_file::encode(found.changes.iter().map(|change| row(change, &names)))))
    }
}

fn row(change: &VisibleChange, names: &ActorNames) -> [String; COLUMNS.len()] {
    let (content, metadata) = (&change.content, &change.content.metadata);
    let record = content.new.as_ref().or(content.old.as_ref());
    let optional = |text: Option<String>| text.unwrap_or_default();
    [
        change.version.timestamp().to_string(),
        event_type(content.action).to_owned(),
        metadata.subject.clone(),
        optional(record.map(|record| change_table::name_of(record).to_owned())),
        optional(metadata.project.as_ref().map(ToString::to_string)),
        actors::filter_text(&metadata.actor).to_owned(),
        optional(names.name(&metadata.actor).map(str::to_owned)),
        optional(metadata.address.map(|address| address.to_string())),
        change.cursor().to_string(),
        change.event.to_string(),
        changed_members::names(change).join(" "),
    ]
}
