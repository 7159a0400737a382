//! Search over all: projects, API keys and webhooks by ID or name, and a key by its whole value.

use axum::extract::{Query, State};
use gatepost_control_plane::{Failure, KeyRef, PageRequest, Rest, SearchRequest, WebhookFilter};
use gatepost_domain::id::{AccountId, EventId, KeyId, ProjectId, WebhookId};
use gatepost_domain::key::Secret;
use gatepost_domain::record::{ApiKey, Project, Webhook};
use gatepost_store::Versioned;
use maud::{Markup, html};
use serde::Deserialize;

use super::keys;
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::Form;
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::parts::table::Column::Text;
use crate::dashboard::parts::{badge, copy, empty, pager, search, table};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Results of each kind on the page.
const MAX_RESULTS: usize = 20;
/// Characters from which a word without spaces may be the value of a key, whatever its form.
const MIN_VALUE_CHARS: usize = 16;

#[derive(Debug, Default, Deserialize)]
pub(crate) struct SearchQuery {
    #[serde(default)]
    q: String,
}

/// What was found.
#[derive(Default)]
struct Found {
    projects: Vec<Project>,
    keys: Vec<Versioned<ApiKey>>,
    webhooks: Vec<Webhook>,
    /// Set if not all keys were searched, or not all results are shown.
    rest: Option<Rest>,
}

pub(crate) async fn show(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Query(query): Query<SearchQuery>,
) -> PageResult {
    results_page(&state, &visitor, query.q.trim()).await
}

/// Searches for a text that a form sent in its body. An ID or the value of a key leads to its page; a text that may be a
/// value is answered here, so that it never becomes part of an address.
pub(crate) async fn search(State(state): State<DashboardState>, visitor: Visitor, form: Form) -> PageResult {
    let text = form.text("q");
    if let Some(path) = path_of(&state, &visitor, text).await? {
        return Ok(answer::see_other(&path));
    }
    if may_be_value(text) {
        return results_page(&state, &visitor, text).await;
    }
    Ok(answer::see_other(&pager::with_query("/search", [("q", text)])))
}

/// Returns the page of what a text names exactly, if the visitor sees it.
async fn path_of(state: &DashboardState, visitor: &Visitor, text: &str) -> Result<Option<String>, Failure> {
    let (control_plane, context) = (&state.control_plane, visitor.context());
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

/// Returns whether a text may be the value of a key, which must not appear in an address.
fn may_be_value(text: &str) -> bool {
    let is_id = [ProjectId::PREFIX, KeyId::PREFIX, WebhookId::PREFIX, AccountId::PREFIX, EventId::PREFIX]
        .iter()
        .any(|prefix| text.starts_with(prefix));
    let is_long_word = text.chars().count() >= MIN_VALUE_CHARS && !text.contains(char::is_whitespace);
    keys::looks_like_value(text) || (is_long_word && !is_id)
}

async fn results_page(state: &DashboardState, visitor: &Visitor, text: &str) -> PageResult {
    let found = match text {
        "" => Found::default(),
        text => read(state, visitor, text).await?,
    };
    // A text that may be a value is not shown again either.
    let shown = if may_be_value(text) { "" } else { text };
    let content = html! {
        h1 { "Search" }
        (search::with_button(shown))
        @if text.is_empty() {
            (empty::state("Search all projects", html! {
                p { "By the name or ID of a project, an API key or a webhook, by your customer's ID, or by a whole key." }
            }))
        } @else {
            (results(state, &found).await?)
        }
    };
    let page = Page { title: "Search", section: Section::Search, trail: Vec::new(), project: None, content };
    Ok(answer::html_page(layout::page(visitor, page)))
}

async fn read(state: &DashboardState, visitor: &Visitor, text: &str) -> Result<Found, Failure> {
    let (control_plane, context) = (&state.control_plane, visitor.context());
    let needle = text.to_lowercase();
    let matches = |name: &str, id: &str| name.to_lowercase().contains(&needle) || id == text;
    let all = PageRequest::default();
    let projects = control_plane.projects(&context, None, &all).await?.items;
    let projects = projects.into_iter().filter(|project| matches(&project.name, project.id.as_str()));
    let webhooks = control_plane.webhooks(&context, &WebhookFilter::default(), &all).await?.items;
    let webhooks = webhooks.into_iter().filter(|webhook| matches(&webhook.name, webhook.id.as_str()));
    let request = SearchRequest {
        query: Some(Secret::new(text.to_owned())),
        project: None,
        after: None,
        limit: Some(MAX_RESULTS),
    };
    let keys = control_plane.clone().search_api_keys(context, request).await?;
    Ok(Found {
        projects: projects.take(MAX_RESULTS).collect(),
        webhooks: webhooks.take(MAX_RESULTS).collect(),
        keys: keys.keys,
        rest: Some(keys.rest),
    })
}

async fn results(state: &DashboardState, found: &Found) -> Result<Markup, Failure> {
    let is_empty = found.projects.is_empty() && found.keys.is_empty() && found.webhooks.is_empty();
    Ok(html! {
        @if is_empty {
            (empty::state("Nothing found", html! {
                p { "What you look for may belong to another account. The value of a key is found only as a whole." }
            }))
        }
        @if !found.projects.is_empty() {
            section aria-labelledby="projects-heading" {
                h2 #projects-heading { "Projects" }
                (project_table(&found.projects))
            }
        }
        @if !found.keys.is_empty() {
            section aria-labelledby="keys-heading" {
                h2 #keys-heading { "API keys" }
                (keys::table(state, &found.keys).await?)
            }
        }
        @if !found.webhooks.is_empty() {
            section aria-labelledby="webhooks-heading" {
                h2 #webhooks-heading { "Webhooks" }
                (webhook_table(&found.webhooks))
            }
        }
        @if found.rest == Some(Rest::More) {
            p.hint { "Not all keys have been searched or shown. The page of a project searches all of its keys, part by part." }
        }
    })
}

fn project_table(projects: &[Project]) -> Markup {
    table::of(
        "Projects",
        &[Text("Name"), Text("Environment"), Text("Project ID")],
        html! {
            @for project in projects {
                tr {
                    th scope="row" { a href={ (ROOT) "/projects/" (project.id) } { (project.name) } }
                    td { (badge::env(project.env)) }
                    td { (copy::id(project.id.as_str())) }
                }
            }
        },
    )
}

fn webhook_table(webhooks: &[Webhook]) -> Markup {
    table::of(
        "Webhooks",
        &[Text("Name"), Text("State"), Text("Webhook ID")],
        html! {
            @for webhook in webhooks {
                tr {
                    th scope="row" { a href={ (ROOT) "/webhooks/" (webhook.id) } { (webhook.name) } }
                    td { (webhook.state().as_str()) }
                    td { (copy::id(webhook.id.as_str())) }
                }
            }
        },
    )
}
