//! The audit trail: changes of the account or of a project, newest first, with filters.

use axum::extract::{Path, Query, State};
use gatepost_control_plane::{
    ChangeLimits, Continuity, EventCursor, EventFilter, Failure, ParseActorFilterError, Rest, VisibleChange,
};
use gatepost_domain::change::Action;
use gatepost_domain::record::Project;
use gatepost_domain::time::{ParseTimestampError, Timestamp};
use gatepost_wire::event_type;
use http::{HeaderMap, HeaderName};
use maud::{Markup, html};
use serde::Deserialize;

use crate::dashboard::action_words;
use crate::dashboard::actors::ActorNames;
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFault};
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::live::{self, Tail};
use crate::dashboard::parts::field::{Entries, Field};
use crate::dashboard::parts::{change_table, empty, pager};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;
use crate::http::changes::{parse_cursor, parse_type};

/// Changes on a page.
const PAGE_SIZE: usize = 50;
/// Names of the filters in the address, in the order of the form.
const FILTERS: [&str; 4] = ["type", "actor", "subject", "since"];
/// Sent by a browser that was cut off: the id of the last event that it has received.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACTOR: Field = Field::text("actor", "By", "An ID, OPERATOR or DELIVERER");
const SUBJECT: Field = Field::text("subject", "Of", "The ID of a key, project, webhook …");
const SINCE: Field = Field::text("since", "Since", "In UTC, such as 2027-01-31");

#[derive(Debug, Default, Deserialize)]
pub(crate) struct ChangesQuery {
    #[serde(rename = "type")]
    kind: Option<String>,
    actor: Option<String>,
    subject: Option<String>,
    since: Option<String>,
    after: Option<String>,
}

impl ChangesQuery {
    /// Returns the filters as the entries of their form.
    pub(super) fn to_form(&self) -> Form {
        let texts = [&self.kind, &self.actor, &self.subject, &self.since];
        Form::with(FILTERS.into_iter().zip(texts.map(|text| text.clone().unwrap_or_default())))
    }
}

/// Changes on a page, and how to go on.
pub(crate) struct ChangesPage {
    pub(crate) changes: Vec<VisibleChange>,
    pub(crate) next: Option<EventCursor>,
    continuity: Continuity,
    pub(crate) actors: ActorNames,
    /// A cursor that no change of the page is later than, and no selected change before it is newer than the page.
    newest: EventCursor,
}

pub(crate) async fn of_account(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Query(query): Query<ChangesQuery>,
) -> PageResult {
    list(&state, &visitor, None, &query).await
}

pub(crate) async fn of_project(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<ChangesQuery>,
) -> PageResult {
    let project = state.control_plane.project(&visitor.context(), &id).await?.record;
    list(&state, &visitor, Some(&project), &query).await
}

pub(crate) async fn live_of_account(
    State(state): State<DashboardState>,
    visitor: Visitor,
    headers: HeaderMap,
    Query(query): Query<ChangesQuery>,
) -> PageResult {
    live(state, visitor, &headers, None, &query).await
}

pub(crate) async fn live_of_project(
    State(state): State<DashboardState>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<ChangesQuery>,
) -> PageResult {
    live(state, visitor, &headers, Some(&id), &query).await
}

/// Streams the changes after a cursor, which a browser that was cut off sends in place of that of its page.
async fn live(
    state: DashboardState,
    visitor: Visitor,
    headers: &HeaderMap,
    project: Option<&str>,
    query: &ChangesQuery,
) -> PageResult {
    let selected = Selection::parse(&state, &visitor, project, &query.to_form()).await?;
    let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    let after = match (last, &query.after) {
        (Some(last), _) => parse_cursor("Last-Event-ID", last)?,
        (None, Some(after)) => parse_cursor("after", after)?,
        (None, None) => state.control_plane.newest_cursor().await?,
    };
    live::stream(state, visitor, Tail { filter: selected.filter, since: selected.since, after }).await
}

async fn list(
    state: &DashboardState,
    visitor: &Visitor,
    project: Option<&Project>,
    query: &ChangesQuery,
) -> PageResult {
    let form = query.to_form();
    match search(state, visitor, project, &form, query.after.as_deref()).await {
        Ok(found) => {
            let results = results(state, &form, &list_path(project), query.after.is_none(), &found);
            Ok(answer::html_page(page(visitor, project, Entries { form: &form, fault: None }, results)))
        }
        Err(failure) => {
            let fault = FormFault::of(failure)?;
            let entries = Entries { form: &form, fault: Some(&fault) };
            Ok(answer::faulty_form(page(visitor, project, entries, html! {})))
        }
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
        let actions = form.filled("type").map(|kind| parse_type(&kind)).transpose()?;
        let mut filter = EventFilter::new(&state.control_plane, &visitor.context(), actions, project).await?;
        let invalid_actor = |error: ParseActorFilterError| Failure::invalid(format!("actor: {error}"));
        filter.actor = form.filled("actor").map(|text| text.parse().map_err(invalid_actor)).transpose()?;
        filter.subject = form.filled("subject");
        let invalid_time = |error: ParseTimestampError| Failure::invalid(format!("since: {error}"));
        let since = form.filled("since").map(|text| Timestamp::parse(&text).map_err(invalid_time)).transpose()?;
        Ok(Self { filter, since })
    }
}

async fn search(
    state: &DashboardState,
    visitor: &Visitor,
    project: Option<&Project>,
    form: &Form,
    after: Option<&str>,
) -> Result<ChangesPage, Failure> {
    let project = project.map(|project| project.id.as_str());
    let Selection { filter, since } = Selection::parse(state, visitor, project, form).await?;
    let before = after.map(|after| parse_cursor("after", after)).transpose()?.unwrap_or(EventCursor::END);
    read(state, visitor, &filter, &before, since, ChangeLimits::of_page(PAGE_SIZE)).await
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
        (false, Rest::None) => None,
    };
    let newest = changes.first().map(VisibleChange::cursor).unwrap_or(EventCursor::START).later(newest);
    let actors: Vec<_> = changes.iter().map(|change| &change.content.metadata.actor).collect();
    let actors = ActorNames::read(state, visitor, &actors).await?;
    Ok(ChangesPage { changes, next, continuity: found.continuity, actors, newest })
}

/// Returns the path of a list below the dashboard.
fn list_path(project: Option<&Project>) -> String {
    match project {
        Some(project) => format!("/projects/{}/changes", project.id),
        None => "/changes".to_owned(),
    }
}

fn results(state: &DashboardState, form: &Form, path: &str, is_first: bool, found: &ChangesPage) -> Markup {
    let is_filtered = FILTERS.into_iter().any(|name| form.filled(name).is_some());
    let (next, now) = (found.next.as_ref().map(ToString::to_string), state.control_plane.now());
    let selected = pager::with_query(path, FILTERS.map(|name| (name, form.text(name))));
    let table = change_table::table(&found.changes, &found.actors, now);
    let none = html! {
        @if !found.changes.is_empty() {
        } @else if next.is_some() {
            (empty::state("Nothing found so far", html! { p { "Older changes have not been searched. Go on with " strong { "Next" } "." } }))
        } @else if is_filtered || !is_first {
            (empty::state("No change matches", html! { p { a href={ (ROOT) (path) } { "Show all changes" } } }))
        } @else {
            (empty::state("No change yet", html! { p { "Everything that is created, changed or revoked appears here, with who did it and from where." } }))
        }
    };
    html! {
        @if found.continuity != Continuity::Unbroken {
            p.notice role="status" { "Changes between the page before and this one are no longer kept." }
        }
        @if is_first {
            // The table is there, if without rows, so that rows can be added.
            (live::tail_region(&selected, &found.newest, now, &html! { (table) (none) }))
        } @else if found.changes.is_empty() {
            (none)
        } @else {
            (table)
        }
        (pager::links(&format!("{ROOT}{selected}"), is_first, next.as_deref()))
    }
}

fn page(visitor: &Visitor, project: Option<&Project>, entries: Entries<'_>, results: Markup) -> Markup {
    let file = format!("{ROOT}{}.csv", list_path(project));
    let file = pager::with_query(&file, FILTERS.map(|name| (name, entries.form.text(name))));
    let content = html! {
        div.heading {
            h1 { "Changes" }
            @if entries.fault.is_none() {
                a.button href=(file) title="A file for spreadsheets" { "CSV" }
            }
        }
        (filters(&format!("{ROOT}{}", list_path(project)), entries))
        (results)
    };
    let (section, trail) = match project {
        Some(project) => (Section::Projects, layout::project_trail(visitor, project)),
        None => (Section::Changes, Vec::new()),
    };
    layout::page(visitor, Page { title: "Changes", section, trail, project, content })
}

fn filters(path: &str, entries: Entries<'_>) -> Markup {
    let mut kinds: Vec<(&str, &str)> =
        Action::ALL.iter().map(|action| (event_type(*action), action_words::title(*action))).collect();
    // The actions of one type have one entry, with the words of the first.
    kinds.dedup_by_key(|(kind, _)| *kind);
    kinds.insert(0, ("", "Everything"));
    html! {
        form.filters method="get" action=(path) aria-label="Filter" {
            (entries.summary(&[ACTOR, SUBJECT, SINCE]))
            (entries.choice("type", "What", &kinds))
            (entries.field(&ACTOR))
            (entries.field(&SUBJECT))
            (entries.field(&SINCE))
            button { "Filter" }
        }
    }
}
