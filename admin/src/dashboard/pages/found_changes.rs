//! What a page of changes reads: the filters of its form, and the changes that they select.

use gatepost_control_plane::{
    ChangeLimits, Continuity, EventCursor, EventFilter, Failure, Rest, ScanTime, VisibleChange, both,
};
use gatepost_domain::record::Project;
use gatepost_domain::time::{ParseTimestampError, Timestamp};

use crate::dashboard::actors::{self, ActorNames};
use crate::dashboard::form::Form;
use crate::dashboard::parts::results::SearchedPart;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;
use crate::http::changes::{parse_cursor, parse_type};

/// Changes on a page, and how to go on.
pub(crate) struct ChangesPage {
    pub(crate) changes: Vec<VisibleChange>,
    pub(crate) next: Option<EventCursor>,
    pub(super) continuity: Continuity,
    pub(crate) actors: ActorNames,
    /// A cursor that no change of the page is later than, and no selected change before it is newer than the page.
    pub(super) newest: EventCursor,
    searched: usize,
}

impl ChangesPage {
    pub(super) fn searched_part(&self) -> SearchedPart {
        let next = self.next.as_ref().map(ToString::to_string);
        SearchedPart { found: self.changes.len(), searched: self.searched, next }
    }
}

/// What the filters select.
pub(super) struct Selection {
    pub(super) filter: EventFilter,
    pub(super) since: Option<Timestamp>,
}

impl Selection {
    pub(super) async fn parse(
        state: &DashboardState,
        visitor: &Visitor,
        project: Option<&str>,
        form: &Form,
    ) -> Result<Self, Failure> {
        let actions = form.filled("type").map(|kind| parse_type(&kind)).transpose();
        let actor = match form.filled("actor") {
            Some(text) => actors::parse_filter(state, visitor, &text).await.map(Some),
            None => Ok(None),
        };
        let invalid_time = |error: ParseTimestampError| Failure::invalid(format!("since: {error}"));
        let since = form.filled("since").map(|text| Timestamp::parse(&text).map_err(invalid_time)).transpose();
        let ((actions, actor), since) = both(both(actions, actor), since)?;
        let mut filter = EventFilter::new(&state.control_plane, &visitor.context(), actions, project).await?;
        filter.actor = actor;
        filter.subject = form.filled("subject");
        Ok(Self { filter, since })
    }
}

/// Searches for a page, as long as one may take.
pub(super) async fn search(
    state: &DashboardState,
    visitor: &Visitor,
    project: Option<&Project>,
    form: &Form,
    after: Option<&str>,
    limit: usize,
) -> Result<ChangesPage, Failure> {
    let project = project.map(|project| project.id.as_str());
    let Selection { filter, since } = Selection::parse(state, visitor, project, form).await?;
    let before = after.map(|after| parse_cursor("after", after)).transpose()?.unwrap_or(EventCursor::END);
    let limits = ChangeLimits { time: ScanTime::OfPage, ..ChangeLimits::of_page(limit) };
    read(state, visitor, &filter, &before, since, limits).await
}

/// Reads changes before a cursor, newest first.
pub(crate) async fn read(
    state: &DashboardState,
    visitor: &Visitor,
    filter: &EventFilter,
    before: &EventCursor,
    since: Option<Timestamp>,
    limits: ChangeLimits,
) -> Result<ChangesPage, Failure> {
    // Read first: what is committed meanwhile is either in the page, whose first change is then later, or after both.
    let newest = state.control_plane.newest_cursor().await?;
    // One more than is shown, so that the last page has no link to an empty one.
    let with_next = ChangeLimits { changes: limits.changes + 1, ..limits };
    let found = state.control_plane.changes_backwards(&visitor.context(), filter, before, since, with_next).await?;
    let mut changes = found.changes;
    let has_next = changes.len() > limits.changes;
    changes.truncate(limits.changes);
    let next = match (has_next, found.rest) {
        (true, _) => changes.last().map(VisibleChange::cursor),
        (false, Rest::More) => Some(found.next),
        (false, Rest::Nothing) => None,
    };
    let newest = changes.first().map(VisibleChange::cursor).unwrap_or(EventCursor::START).later(newest);
    let actors: Vec<_> = changes.iter().map(|change| &change.content.metadata.actor).collect();
    let actors = ActorNames::read(state, visitor, &actors).await?;
    Ok(ChangesPage { changes, next, continuity: found.continuity, actors, newest, searched: found.searched })
}
