//! The keys of a project: list, filter and search.

use axum::extract::{Path, Query, State};
use gatepost_control_plane::{
    Failure, KeyFilter, KeyRef, LongResponse, NullableFilter, Rest, SearchRequest, Selection,
};
use gatepost_domain::id::ProjectId;
use gatepost_domain::key::{self, KeyFormat, Secret};
use gatepost_domain::record::{ApiKey, Project, Status};
use gatepost_store::{SortOrder, Versioned};
use maud::{Markup, html};
use serde::Deserialize;

use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::Form;
use crate::dashboard::layout;
use crate::dashboard::parts::badge::{self, Tone};
use crate::dashboard::parts::table::Column::Text;
use crate::dashboard::parts::{empty, facts, pager, table, time};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Keys on a page.
const PAGE_SIZE: usize = 50;

#[derive(Debug, Default, Deserialize)]
pub(crate) struct KeysQuery {
    q: Option<String>,
    status: Option<String>,
    customer: Option<String>,
    after: Option<String>,
}

impl KeysQuery {
    /// Returns the id of the customer whose keys are listed; empty for those of all.
    fn customer(&self) -> &str {
        self.customer.as_deref().unwrap_or_default()
    }
}

/// Keys on a page, and how to go on.
struct KeysPage {
    keys: Vec<Versioned<ApiKey>>,
    next: Option<String>,
}

pub(crate) async fn list(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<KeysQuery>,
) -> PageResult {
    let project = state.control_plane.project(&visitor.context(), &id).await?.record;
    let text = query.q.as_deref().map(str::trim).unwrap_or_default();
    let found = match text {
        "" => read_list(&state, &visitor, &project, &query).await?,
        text => search_list(&state, &visitor, &project, text, query.after.clone()).await?,
    };
    let content = content(&state, &visitor, &project, text, &query, &found).await?;
    Ok(answer::html_page(keys_page(&visitor, &project, content)))
}

/// Searches for a text. A value of a key leads to the key, and never becomes part of an address.
pub(crate) async fn search(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: Form,
) -> PageResult {
    let text = form.text("q");
    let project = state.control_plane.project(&visitor.context(), &id).await?.record;
    let by_value = KeyRef::Value(Secret::new(text.to_owned()));
    match state.control_plane.api_key(&visitor.context(), &by_value).await {
        Ok(found) if found.record.project == project.id => Ok(answer::see_other(&format!("/keys/{}", found.record.id))),
        Ok(_) | Err(Failure::Refused(_)) if looks_like_value(text) => {
            let content = html! {
                h1 { "API keys" }
                (search_form(&format!("{ROOT}/projects/{}/keys", project.id), ""))
                (empty::state("No key of this project has this value", html! {
                    p { "The value was neither stored nor logged. It may belong to another project, or have been replaced." }
                }))
            };
            Ok(answer::html_page(keys_page(&visitor, &project, content)))
        }
        Ok(_) | Err(Failure::Refused(_)) => {
            Ok(answer::see_other(&pager::with_query(&format!("/projects/{id}/keys"), [("q", text)])))
        }
        Err(failure) => Err(failure.into()),
    }
}

pub(crate) fn looks_like_value(text: &str) -> bool {
    let is_mask = text.contains('…') || text.contains("...");
    let begins_like_one = text.starts_with("live_") || text.starts_with("test_");
    key::key_format(text) == KeyFormat::Generated || (begins_like_one && !is_mask)
}

async fn read_list(
    state: &DashboardState,
    visitor: &Visitor,
    project: &Project,
    query: &KeysQuery,
) -> Result<KeysPage, Failure> {
    let (control_plane, context) = (&state.control_plane, visitor.context());
    let status = match query.status.as_deref() {
        Some("active") => Some(Status::Active),
        Some("revoked") => Some(Status::Inactive),
        Some(_) | None => None,
    };
    let customer = Some(query.customer()).filter(|customer| !customer.is_empty());
    let custom_account_id = customer.map(|customer| NullableFilter::Text(customer.to_owned()));
    let filter = KeyFilter { status, custom_account_id, ..KeyFilter::default() };
    let list = control_plane.key_list(&context, Some(project.id.as_str()), SortOrder::NewestFirst).await?;
    let position = control_plane.decode_cursor(&list.name, query.after.as_deref())?;
    let mut selection = Selection::bounded(PAGE_SIZE, position);
    let mut response = LongResponse::new(control_plane.clone(), context, list.requested_project.clone());
    response.select_keys(&list, &mut selection, |key| filter.matches(key)).await?;
    let page = control_plane.list_page(&list.name, selection)?;
    Ok(KeysPage { keys: page.items, next: page.next })
}

async fn search_list(
    state: &DashboardState,
    visitor: &Visitor,
    project: &Project,
    text: &str,
    after: Option<String>,
) -> Result<KeysPage, Failure> {
    let request = SearchRequest {
        query: Some(Secret::new(text.to_owned())),
        project: Some(project.id.to_string()),
        after,
        limit: Some(PAGE_SIZE),
    };
    let found = state.control_plane.clone().search_api_keys(visitor.context(), request).await?;
    let next = (found.rest == Rest::More).then_some(found.next);
    Ok(KeysPage { keys: found.keys, next })
}

async fn content(
    state: &DashboardState,
    visitor: &Visitor,
    project: &Project,
    text: &str,
    query: &KeysQuery,
    found: &KeysPage,
) -> Result<Markup, Failure> {
    let path = format!("{ROOT}/projects/{}/keys", project.id);
    let status = query.status.as_deref().unwrap_or_default();
    let customer = if text.is_empty() { query.customer() } else { "" };
    Ok(html! {
        div.heading {
            h1 { "API keys" }
            @if visitor.may_write() && project.status == Status::Active {
                a.button.primary href={ (path) "/new" } { "+ Create Key" }
            }
        }
        (search_form(&path, text))
        @if text.is_empty() { (status_choices(&path, status, customer)) }
        @if !customer.is_empty() { (customer_line(visitor, project, customer)) }
        @if !found.keys.is_empty() {
            (table(state, &found.keys).await?)
        } @else if found.next.is_some() {
            (empty::state("Nothing found so far", html! { p { "Not all keys have been searched. Go on with " strong { "Next" } "." } }))
        } @else if text.is_empty() && status.is_empty() && customer.is_empty() {
            (empty::state("No key yet", html! { p { "A key lets a caller through the gateway." } }))
        } @else {
            (empty::state("No key matches", html! { p { a href=(path) { "Show all keys" } } }))
        }
        (pager::links(&pager::with_query(&path, [("q", text), ("status", status), ("customer", customer)]), query.after.is_none(), found.next.as_deref()))
    })
}

fn status_choices(path: &str, status: &str, customer: &str) -> Markup {
    html! {
        nav.choices aria-label="State" {
            @for (value, name) in [("", "All"), ("active", "Active"), ("revoked", "Revoked")] {
                a href=(pager::with_query(path, [("status", value), ("customer", customer)])) aria-current=[(value == status).then_some("true")] { (name) }
            }
        }
    }
}

/// Says whose keys are listed, and links to revoking them.
fn customer_line(visitor: &Visitor, project: &Project, customer: &str) -> Markup {
    html! {
        div.heading {
            p {
                "Keys of the customer " code { (customer) } ". "
                a href={ (ROOT) "/projects/" (project.id) "/keys" } { "Show all keys" }
            }
            @if visitor.may_write() {
                a.button.danger href=(customer_revoke_path(&project.id, customer)) { "Revoke all keys of this customer…" }
            }
        }
    }
}

/// Returns the address of the list of a customer's keys.
pub(crate) fn customer_path(project: &ProjectId, customer: &str) -> String {
    pager::with_query(&format!("{ROOT}/projects/{project}/keys"), [("customer", customer)])
}

/// Returns the address of the form that revokes the keys of a customer.
pub(crate) fn customer_revoke_path(project: &ProjectId, customer: &str) -> String {
    pager::with_query(&format!("{ROOT}/projects/{project}/keys/revoke"), [("customer", customer)])
}

/// Shows the search field. It sends its text in a body, because the text may be the value of a key.
pub(crate) fn search_form(path: &str, text: &str) -> Markup {
    html! {
        form.search method="post" action=(path) role="search" {
            label.visually-hidden for="q" { "Search keys" }
            input #q name="q" type="search" value=(text) placeholder="Name, ID, mask, customer ID, or a whole key"
                autocomplete="off" spellcheck="false";
            button { "Search" }
        }
    }
}

/// Shows keys, each with its last use.
pub(crate) async fn table(state: &DashboardState, keys: &[Versioned<ApiKey>]) -> Result<Markup, Failure> {
    let (now, last_uses) = (state.control_plane.now(), state.control_plane.last_uses(keys).await?);
    Ok(html! {
        (table::of("API keys", &[Text("Name"), Text("Key"), Text("Customer"), Text("State"), Text("Last used"), Text("Created")], html! {
            @for (found, last_use) in keys.iter().zip(last_uses) {
                @let key = &found.record;
                tr {
                    th scope="row" { a href={ (ROOT) "/keys/" (key.id) } { (key.name) } }
                    td { code { (key.mask) } }
                    td {
                        (facts::or_dash(key.custom_account_id.as_ref().map(|customer| html! {
                            a href=(customer_path(&key.project, customer)) { (customer) }
                        })))
                    }
                    td { (state_badge(key, now)) }
                    td { (facts::or_dash(last_use.map(|at| time::relative(at, now)))) }
                    td { (time::relative(key.stamps.created_at, now)) }
                }
            }
        }))
    })
}

pub(crate) fn state_badge(key: &ApiKey, now: gatepost_domain::time::Timestamp) -> Markup {
    match key.status {
        Status::Inactive => badge::state(Tone::Bad, "Revoked"),
        Status::Active if key.expires_at.is_some_and(|at| at <= now) => badge::state(Tone::Warning, "Expired"),
        Status::Active => badge::state(Tone::Good, "Active"),
    }
}

fn keys_page(visitor: &Visitor, project: &Project, content: Markup) -> Markup {
    layout::project_page(visitor, project, "API keys", content)
}
