//! Changes as the API and the dashboard show them.

use gatepost_control_plane::EventCursor;
use gatepost_control_plane::{Failure, ParseEventCursorError, VisibleChange};
use gatepost_domain::change::Action;
use gatepost_domain::problem::ErrorCode;
use gatepost_wire::{ChangeResource, ChangeView, change_resource, event_type};

/// Returns a change as a resource; none for a change without a record.
pub(crate) fn resource_of(change: &VisibleChange) -> Option<ChangeResource> {
    let audit = &change.content;
    let view = ChangeView {
        action: audit.action,
        actor: &audit.metadata.actor,
        address: audit.metadata.address,
        account: &audit.metadata.account,
        project: audit.metadata.project.as_ref(),
        subject: &audit.metadata.subject,
        old: audit.old.as_ref(),
        new: audit.new.as_ref(),
    };
    change_resource(change.cursor().to_string(), change.version, &change.event, &view)
}

/// Returns the actions of an event type: several actions may share one type.
///
/// # Errors
/// `validation` if there is no such type.
pub(crate) fn parse_type(kind: &str) -> Result<Vec<Action>, Failure> {
    let is_named = |action: &Action| event_type(*action) == kind || action.as_str() == kind;
    let actions: Vec<Action> = Action::ALL.iter().copied().filter(is_named).collect();
    if actions.is_empty() {
        let mut known: Vec<&str> = Action::ALL.iter().map(|action| event_type(*action)).collect();
        known.dedup();
        let detail = format!("type: {kind:?} is not known; known are {}", known.join(", "));
        return Err(Failure::invalid(detail));
    }
    Ok(actions)
}

/// Parses a cursor in a query.
///
/// # Errors
/// `validation` if it is no cursor.
pub(crate) fn parse_cursor(field: &str, text: &str) -> Result<EventCursor, Failure> {
    text.parse().map_err(|error: ParseEventCursorError| Failure::invalid(format!("{field}: {error}")))
}

/// Parses a cursor that names a change in a path.
///
/// # Errors
/// `not-found` if it is no cursor.
pub(crate) fn parse_path_cursor(text: &str) -> Result<EventCursor, Failure> {
    text.parse().map_err(|_: ParseEventCursorError| no_such_change())
}

pub(crate) fn no_such_change() -> Failure {
    Failure::refused(ErrorCode::NotFound, "there is no such change, or it is no longer kept")
}
