//! The audit trail: changes of the account or of a project, newest first, with filters.

use axum::extract::{Path, Query, State};
use gatepost_control_plane::Continuity;
use gatepost_domain::change::Action;
use gatepost_domain::record::Project;
use gatepost_wire::event_type;
use http::{HeaderMap, HeaderName};
use maud::{Markup, html};
use serde::Deserialize;

use super::found_changes::{ChangesPage, Selection, search};
use crate::dashboard::action_words;
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFaults, NO_FAULTS};
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::live::{self, Tail};
use crate::dashboard::parts::field::{Entries, Field};
use crate::dashboard::parts::results::{SearchQuery, SearchedList, SoFar};
use crate::dashboard::parts::{change_table, empty, pager};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;
use crate::http::changes::parse_cursor;

/// Changes on a page.
const PAGE_SIZE: usize = 50;
/// Names of the filters in the address, in the order of the form.
const FILTERS: [&str; 4] = ["type", "actor", "subject", "since"];
/// Sent by a browser that was cut off: the id of the last event that it has received.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACTOR: Field = Field::text("actor", "By", "Name or ID of an access key, operator or deliverer");
const SUBJECT: Field = Field::text("subject", "Of (ID)", "The ID of a key, webhook, event …");
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

pub(crate) async fn of_account(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Query(query): Query<ChangesQuery>,
    Query(search): Query<SearchQuery>,
) -> PageResult {
    list(&state, &visitor, None, &query, &search).await
}

pub(crate) async fn of_project(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<ChangesQuery>,
    Query(search): Query<SearchQuery>,
) -> PageResult {
    let project = state.control_plane.project(&visitor.context(), &id).await?.record;
    list(&state, &visitor, Some(&project), &query, &search).await
}

pub(crate) async fn more_of_account(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Query(query): Query<ChangesQuery>,
    Query(search): Query<SearchQuery>,
) -> PageResult {
    more(&state, &visitor, None, &query, &search).await
}

pub(crate) async fn more_of_project(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<ChangesQuery>,
    Query(search): Query<SearchQuery>,
) -> PageResult {
    let project = state.control_plane.project(&visitor.context(), &id).await?.record;
    more(&state, &visitor, Some(&project), &query, &search).await
}

/// Adds a part to a page whose search goes on.
async fn more(
    state: &DashboardState,
    visitor: &Visitor,
    project: Option<&Project>,
    query: &ChangesQuery,
    search_query: &SearchQuery,
) -> PageResult {
    let form = query.to_form();
    let selected = selected_path(&form, project);
    let list = searched_list(&selected, search_query.before_part());
    let found = search(state, visitor, project, &form, query.after.as_deref(), list.room()).await?;
    let rows = html! {
        @if found.continuity != Continuity::Unbroken { (change_table::gap()) }
        (change_table::rows(&found.changes, &found.actors, state.control_plane.now()))
    };
    let nothing = nothing(&form, project, false);
    Ok(answer::html_page(list.added(&found.searched_part(), &rows, &nothing, None)))
}

fn searched_list(path: &str, before: SoFar) -> SearchedList<'_> {
    SearchedList { path, nouns: ["change", "changes"], page_size: PAGE_SIZE, before }
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
    search_query: &SearchQuery,
) -> PageResult {
    let form = query.to_form();
    let is_first = query.after.is_none();
    match search(state, visitor, project, &form, query.after.as_deref(), PAGE_SIZE).await {
        Ok(found) => {
            let results = results(state, &form, project, search_query.before_page(is_first), is_first, &found);
            Ok(answer::html_page(page(visitor, project, Entries { form: &form, faults: &NO_FAULTS }, results)))
        }
        Err(failure) => {
            let faults = FormFaults::of(failure)?;
            let entries = Entries { form: &form, faults: &faults };
            Ok(answer::faulty_form(page(visitor, project, entries, html! {})))
        }
    }
}

/// Returns the path of a list below the dashboard.
fn list_path(project: Option<&Project>) -> String {
    match project {
        Some(project) => format!("/projects/{}/changes", project.id),
        None => "/changes".to_owned(),
    }
}

/// Returns the path of a list below the dashboard, with what is selected.
fn selected_path(form: &Form, project: Option<&Project>) -> String {
    pager::with_query(&list_path(project), FILTERS.map(|name| (name, form.text(name))))
}

/// Says that no change is selected, and what to do next.
fn nothing(form: &Form, project: Option<&Project>, is_first: bool) -> Markup {
    let is_filtered = FILTERS.into_iter().any(|name| form.filled(name).is_some());
    if is_filtered || !is_first {
        let all = html! { p { a href={ (ROOT) (list_path(project)) } { "Show all changes" } } };
        return empty::state("No change matches", all);
    }
    let kinds = "Everything that is created, changed or revoked appears here, with who did it and from where.";
    empty::state("No change yet", html! { p { (kinds) } })
}

fn results(
    state: &DashboardState,
    form: &Form,
    project: Option<&Project>,
    before: SoFar,
    is_first: bool,
    found: &ChangesPage,
) -> Markup {
    let (selected, now) = (selected_path(form, project), state.control_plane.now());
    let table = change_table::table(&found.changes, &found.actors, now);
    // The table of the first page is there, if without rows, so that rows can be added at its top.
    let followed = |list: &Markup| live::tail_region(&selected, &found.newest, now, list);
    let searched_table = if is_first { followed(&table) } else { table.clone() };
    let part = found.searched_part();
    html! {
        @if found.continuity != Continuity::Unbroken {
            p.notice role="status" { "Changes between the page before and this one are no longer kept." }
        }
        @if let Some(searching) = searched_list(&selected, before).searching(&part, &html! {}, &searched_table) {
            (searching)
        } @else {
            @match (is_first, found.changes.is_empty()) {
                (true, true) => (followed(&html! { (table) (nothing(form, project, is_first)) })),
                (true, false) => (searched_table),
                (false, true) => (nothing(form, project, is_first)),
                (false, false) => (table),
            }
            (pager::links(&format!("{ROOT}{selected}"), is_first, part.next.as_deref()))
        }
    }
}

fn page(visitor: &Visitor, project: Option<&Project>, entries: Entries<'_>, results: Markup) -> Markup {
    let file = format!("{ROOT}{}.csv", list_path(project));
    let file = pager::with_query(&file, FILTERS.map(|name| (name, entries.form.text(name))));
    let content = html! {
        div.heading {
            h1 { "Changes" }
            @if entries.faults.is_empty() {
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
