//! The tail of changes: each is sent once, with a cursor from which a browser goes on after its connection was cut.

use std::time::Duration;

use axum::response::sse::Event;
use gatepost_control_plane::{Continuity, EventCursor, EventFilter, Failure, VisibleChange};
use gatepost_domain::time::Timestamp;

use super::part::Outlook;
use super::stream::{News, Source};
use crate::dashboard::actors::ActorNames;
use crate::dashboard::parts::change_table;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// The changes after a cursor that a filter selects, as rows of a table.
pub(crate) struct Tail {
    pub(crate) filter: EventFilter,
    /// The changes are not older.
    pub(crate) since: Option<Timestamp>,
    pub(crate) after: EventCursor,
}

impl Source for Tail {
    const PAUSE: Duration = Duration::from_millis(250);

    async fn read(&mut self, state: &DashboardState, visitor: &Visitor) -> Result<News, Failure> {
        let (control_plane, context) = (&state.control_plane, visitor.context());
        if let Some(project) = &self.filter.project {
            // Without it, there would be no page.
            control_plane.project(&context, project.as_str()).await?;
        }
        let (mut changes, next, continuity) =
            control_plane.wait_for_changes(&context, &self.filter, &self.after).await?;
        changes.retain(|change| self.since.is_none_or(|since| change.version.timestamp() >= since));
        changes.reverse();
        let has_moved = next != self.after;
        let has_gap = has_moved && continuity != Continuity::Unbroken;
        self.after = next;
        let events = match (changes.is_empty(), has_gap, has_moved) {
            (true, false, false) => Vec::new(),
            // An id alone moves the cursor of the browser past changes that it does not show.
            (true, false, true) => vec![self.event()],
            _ => vec![self.event().data(rows(state, visitor, &changes, has_gap).await?)],
        };
        Ok(News { events, outlook: Outlook::Open })
    }
}

impl Tail {
    fn event(&self) -> Event {
        Event::default().id(self.after.to_string())
    }
}

/// Renders changes, newest first, and below them the gap before the oldest.
async fn rows(
    state: &DashboardState,
    visitor: &Visitor,
    changes: &[VisibleChange],
    has_gap: bool,
) -> Result<String, Failure> {
    let actors: Vec<_> = changes.iter().map(|change| &change.content.metadata.actor).collect();
    let actors = ActorNames::read(state, visitor, &actors).await?;
    let mut rows = change_table::rows(changes, &actors, state.control_plane.now()).into_string();
    if has_gap {
        rows.push_str(&change_table::gap().into_string());
    }
    Ok(rows)
}
