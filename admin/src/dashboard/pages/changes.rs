//! The audit trail: changes of the account or of a project, newest first, with filters.

use axum::extract::{Path, Query, State};
use gatepost_control_plane::{
    ChangeLimits, Continuity, EventCursor, EventFilter, Failure, ParseActorFilterError, Rest, VisibleChange,
};
use gatepost_domain::change::Action;
use gatepost_domain::record::Project;
use gatepost_domain::time::{ParseTimestampError, Timestamp};
use gatepost_wire::event_type;
use maud::{Markup, html};
use serde::Deserialize;

use crate::dashboard::action_words;
use crate::dashboard::actors::ActorNames;
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFault};
use crate::dashboard::layout::{self, Page, Section};
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
    fn to_form(&self) -> Form {
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

async fn search(
    state: &DashboardState,
    visitor: &Visitor,
    project: Option<&Project>,
    form: &Form,
    after: Option<&str>,
) -> Result<ChangesPage, Failure> {
    let context = visitor.context();
    let actions = form.filled("type").map(|kind| parse_type(&kind)).transpose()?;
    let project = project.map(|project| project.id.as_str());
    let mut filter = EventFilter::new(&state.control_plane, &context, actions, project).await?;
    let invalid_actor = |error: ParseActorFilterError| Failure::invalid(format!("actor: {error}"));
    filter.actor = form.filled("actor").map(|text| text.parse().map_err(invalid_actor)).transpose()?;
    filter.subject = form.filled("subject");
    let invalid_time = |error: ParseTimestampError| Failure::invalid(format!("since: {error}"));
    let since = form.filled("since").map(|text| Timestamp::parse(&text).map_err(invalid_time)).transpose()?;
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
    let actors: Vec<_> = changes.iter().map(|change| &change.content.metadata.actor).collect();
    let actors = ActorNames::read(state, visitor, &actors).await?;
    Ok(ChangesPage { changes, next, continuity: found.continuity, actors })
}

fn list_path(project: Option<&Project>) -> String {
    match project {
        Some(project) => format!("{ROOT}/projects/{}/changes", project.id),
        None => format!("{ROOT}/changes"),
    }
}

fn results(state: &DashboardState, form: &Form, path: &str, is_first: bool, found: &ChangesPage) -> Markup {
    let is_filtered = FILTERS.into_iter().any(|name| form.filled(name).is_some());
    let next = found.next.as_ref().map(ToString::to_string);
    html! {
        @if found.continuity != Continuity::Unbroken {
            p.notice role="status" { "Changes between the page before and this one are no longer kept." }
        }
        @if !found.changes.is_empty() {
            (change_table::table(&found.changes, &found.actors, state.control_plane.now()))
        } @else if next.is_some() {
            (empty::state("Nothing found so far", html! { p { "Older changes have not been searched. Go on with " strong { "Next" } "." } }))
        } @else if is_filtered || !is_first {
            (empty::state("No change matches", html! { p { a href=(path) { "Show all changes" } } }))
        } @else {
            (empty::state("No change yet", html! { p { "Everything that is created, changed or revoked appears here, with who did it and from where." } }))
        }
        (pager::links(&pager::with_query(path, FILTERS.map(|name| (name, form.text(name)))), is_first, next.as_deref()))
    }
}

fn page(visitor: &Visitor, project: Option<&Project>, entries: Entries<'_>, results: Markup) -> Markup {
    let content = html! {
        h1 { "Changes" }
        (filters(&list_path(project), entries))
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
