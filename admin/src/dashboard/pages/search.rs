//! Search over all: projects, API keys and webhooks by ID or name, and a key by its whole value.

use axum::extract::{Query, State};
use gatepost_control_plane::{
    Failure, KeyRef, KeyScope, PageRequest, ProjectFilter, Rest, ScanTime, SearchRequest, SearchResults, WebhookFilter,
};
use gatepost_domain::id::{EventId, ProjectId, WebhookId};
use gatepost_domain::key::Secret;
use gatepost_domain::record::{ApiKey, Project, Webhook};
use gatepost_store::Versioned;
use maud::{Markup, html};
use serde::Deserialize;

use super::keys;
use super::project_states::ProjectStates;
use super::projects::project_link;
use super::webhooks::state_badge;
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::Form;
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::parts::results::{self, SearchedList, SearchedPart, SoFar};
use crate::dashboard::parts::table::Column::Text;
use crate::dashboard::parts::{badge, copy, empty, pager, search, table};
use crate::dashboard::possible_value::may_be_value;
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Results of each kind on the page.
const MAX_RESULTS: usize = 20;
#[derive(Debug, Default, Deserialize)]
pub(crate) struct SearchQuery {
    #[serde(default)]
    q: String,
    after: Option<String>,
}

/// What was found, and where the search for keys goes on.
#[derive(Default)]
struct Found {
    projects: Vec<Project>,
    webhooks: Vec<Webhook>,
    keys: Vec<Versioned<ApiKey>>,
    searched: usize,
    next: Option<String>,
}

impl Found {
    fn searched_part(&self) -> SearchedPart {
        SearchedPart { found: self.keys.len(), searched: self.searched, next: self.next.clone() }
    }

    fn key_projects(&self) -> impl Iterator<Item = ProjectId> {
        self.keys.iter().map(|found| found.record.project.clone())
    }

    fn add_keys(&mut self, results: SearchResults) {
        self.keys = results.keys;
        self.searched = results.searched;
        self.next = (results.rest == Rest::More).then_some(results.next);
    }
}

pub(crate) async fn show(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Query(query): Query<SearchQuery>,
    Query(search): Query<results::SearchQuery>,
) -> PageResult {
    let before = search.before_page(query.after.is_none());
    results_page(&state, &visitor, query.q.trim(), query.after, before).await
}

/// Adds keys to a page whose search goes on.
pub(crate) async fn more(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Query(query): Query<SearchQuery>,
    Query(search): Query<results::SearchQuery>,
) -> PageResult {
    let (text, mut found) = (query.q.trim(), Found::default());
    let path = path(text);
    let list = searched_list(&path, search.before_part());
    if !text.is_empty() {
        found.add_keys(search_keys(&state, &visitor, text, query.after, list.room()).await?);
    }
    let projects = ProjectStates::read(&state, &visitor, found.key_projects().collect()).await?;
    let rows = keys::rows(&state, &found.keys, &projects).await?;
    Ok(answer::html_page(list.added(&found.searched_part(), &rows, &nothing(), Some(&not_all()))))
}

fn path(text: &str) -> String {
    pager::with_query("/search", [("q", text)])
}

fn searched_list(path: &str, before: SoFar) -> SearchedList<'_> {
    SearchedList { path, nouns: ["key", "keys"], page_size: MAX_RESULTS, before }
}

/// Searches for a text that a form sent in its body. An ID or the value of a key leads to its page; a text that may be a
/// value is answered here, so that it never becomes part of an address.
pub(crate) async fn search(State(state): State<DashboardState>, visitor: Visitor, form: Form) -> PageResult {
    let text = form.text("q");
    if let Some(path) = path_of(&state, &visitor, text).await? {
        return Ok(answer::see_other(&path));
    }
    if may_be_value(text) {
        let before = results::SearchQuery::default().before_page(true);
        return results_page(&state, &visitor, text, None, before).await;
    }
    Ok(answer::see_other(&path(text)))
}

/// Returns the page of what a text names exactly, if the visitor sees it; for an event the search for its change.
async fn path_of(state: &DashboardState, visitor: &Visitor, text: &str) -> Result<Option<String>, Failure> {
    let (control_plane, context) = (&state.control_plane, visitor.context());
    if EventId::parse(text).is_ok() {
        return Ok(Some(pager::with_query("/changes", [("subject", text)])));
    }
    let found = if ProjectId::parse(text).is_ok() {
        control_plane.project(&context, text).await.map(|found| format!("/projects/{}", found.record.id))
    } else if WebhookId::parse(text).is_ok() {
        control_plane.webhook(&context, text).await.map(|found| format!("/webhooks/{}", found.record.id))
    } else {
        control_plane.api_key(&context, &KeyRef::parse(text)).await.map(|found| format!("/keys/{}", found.record.id))
    };
    match found {
        Ok(path) => Ok(Some(path)),
        Err(Failure::Refused(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}

async fn results_page(
    state: &DashboardState,
    visitor: &Visitor,
    text: &str,
    after: Option<String>,
    before: SoFar,
) -> PageResult {
    let path = path(text);
    let list = searched_list(&path, before);
    let found = match text {
        "" => Found::default(),
        text => read(state, visitor, text, after, list.room()).await?,
    };
    // A text that may be a value is not shown again either.
    let shown = if may_be_value(text) { "" } else { text };
    let content = html! {
        h1 { "Search" }
        (search::with_button(shown))
        @if text.is_empty() {
            (empty::state("Search all projects", html! {
                p { "By the name or ID of a project, an API key or a webhook, by your customer's ID, by the ID of an event, or by a \
                    whole key." }
            }))
        } @else {
            (results(state, visitor, &found, &list, shown).await?)
        }
    };
    let page = Page { title: "Search", section: Section::Search, trail: Vec::new(), project: None, content };
    Ok(answer::html_page(layout::page(visitor, page)))
}

async fn read(
    state: &DashboardState,
    visitor: &Visitor,
    text: &str,
    after: Option<String>,
    limit: usize,
) -> Result<Found, Failure> {
    let mut found = Found::default();
    // Projects and webhooks are on the first page.
    if after.is_none() {
        (found.projects, found.webhooks) = read_few(state, visitor, text).await?;
    }
    found.add_keys(search_keys(state, visitor, text, after, limit).await?);
    Ok(found)
}

/// Returns the projects and webhooks that a text finds. An account has few.
async fn read_few(
    state: &DashboardState,
    visitor: &Visitor,
    text: &str,
) -> Result<(Vec<Project>, Vec<Webhook>), Failure> {
    let (control_plane, context) = (&state.control_plane, visitor.context());
    let needle = text.to_lowercase();
    let few = PageRequest { limit: Some(MAX_RESULTS), ..PageRequest::default() };
    let filter = ProjectFilter { text: Some(text.to_owned()), ..ProjectFilter::default() };
    let projects = control_plane.projects(&context, &filter, &few).await?.items;
    let webhooks = control_plane.webhooks(&context, &WebhookFilter::default(), &PageRequest::default()).await?.items;
    let matches = |webhook: &Webhook| webhook.name.to_lowercase().contains(&needle) || webhook.id.as_str() == text;
    Ok((projects, webhooks.into_iter().filter(matches).take(MAX_RESULTS).collect()))
}

async fn search_keys(
    state: &DashboardState,
    visitor: &Visitor,
    text: &str,
    after: Option<String>,
    limit: usize,
) -> Result<SearchResults, Failure> {
    let query = Some(Secret::new(text.to_owned()));
    let request =
        SearchRequest { query, scope: KeyScope::AllProjects, after, limit: Some(limit), time: ScanTime::OfPage };
    state.control_plane.clone().search_api_keys(visitor.context(), request).await
}

/// `shown` is the text if it may be in addresses, or else empty: then the search cannot go on.
async fn results(
    state: &DashboardState,
    visitor: &Visitor,
    found: &Found,
    list: &SearchedList<'_>,
    shown: &str,
) -> Result<Markup, Failure> {
    let of_webhooks = found.webhooks.iter().filter_map(|webhook| webhook.project.clone());
    let states = ProjectStates::read(state, visitor, of_webhooks.chain(found.key_projects()).collect()).await?;
    let few = html! {
        @if !found.projects.is_empty() {
            section aria-labelledby="projects-heading" {
                h2 #projects-heading { "Projects" }
                (project_table(&found.projects))
            }
        }
        @if !found.webhooks.is_empty() {
            section aria-labelledby="webhooks-heading" {
                h2 #webhooks-heading { "Webhooks" }
                (webhook_table(&found.webhooks, &states))
            }
        }
    };
    let keys = html! {
        section aria-labelledby="keys-heading" {
            h2 #keys-heading { "API keys" }
            (keys::table(state, &found.keys, &states).await?)
        }
    };
    if !shown.is_empty()
        && let Some(searching) = list.searching(&found.searched_part(), &few, &keys)
    {
        return Ok(searching);
    }
    let is_empty = found.projects.is_empty() && found.keys.is_empty() && found.webhooks.is_empty();
    Ok(html! {
        (few)
        @if is_empty { (nothing()) }
        @if !found.keys.is_empty() { (keys) }
        @if found.next.is_some() { (not_all()) }
    })
}

fn nothing() -> Markup {
    let hint = "What you look for may belong to another account. The value of a key is found only as a whole.";
    empty::state("Nothing found", html! { p { (hint) } })
}

/// Says that there may be more keys.
fn not_all() -> Markup {
    html! {
        p.hint { "Not all keys have been searched or shown. The page of a project searches all of its keys." }
    }
}

fn project_table(projects: &[Project]) -> Markup {
    table::of(
        "Projects",
        &[Text("Name"), Text("Environment"), Text("Project ID")],
        html! {
            @for project in projects {
                tr {
                    th scope="row" { (project_link(project)) }
                    td { (badge::env(project.env)) }
                    td { (copy::id(project.id.as_str())) }
                }
            }
        },
    )
}

fn webhook_table(webhooks: &[Webhook], states: &ProjectStates) -> Markup {
    table::of(
        "Webhooks",
        &[Text("Name"), Text("State"), Text("Webhook ID")],
        html! {
            @for webhook in webhooks {
                tr {
                    th scope="row" { a href={ (ROOT) "/webhooks/" (webhook.id) } { (webhook.name) } }
                    td { (state_badge(webhook, states.of(webhook.project.as_ref()))) }
                    td { (copy::id(webhook.id.as_str())) }
                }
            }
        },
    )
}
