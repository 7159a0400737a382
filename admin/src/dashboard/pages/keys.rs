//! The keys of a project: list, filter and search.

use axum::extract::{Path, Query, State};
use gatepost_control_plane::{
    Failure, KeyFilter, KeyRef, KeyScope, LongResponse, NullableFilter, Rest, ScanTime, SearchRequest, Selection,
};
use gatepost_domain::id::ProjectId;
use gatepost_domain::key::Secret;
use gatepost_domain::record::{ApiKey, Project, Status};
use gatepost_store::{SortOrder, Versioned};
use maud::{Markup, html};
use serde::Deserialize;

use super::key_state::KeyState;
use super::project_states::ProjectStates;
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::Form;
use crate::dashboard::layout;
use crate::dashboard::parts::results::{SearchQuery, SearchedList, SearchedPart, SoFar};
use crate::dashboard::parts::table::Column::Text;
use crate::dashboard::parts::{empty, facts, number, pager, table, time};
use crate::dashboard::possible_value::looks_like_value;
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
    fn text(&self) -> &str {
        self.q.as_deref().map(str::trim).unwrap_or_default()
    }

    fn status(&self) -> &str {
        self.status.as_deref().unwrap_or_default()
    }

    /// Parses the state of the keys that are listed; none for all.
    ///
    /// # Errors
    /// `validation-error` if no state has the name.
    fn state(&self) -> Result<Option<KeyState>, Failure> {
        let name = match self.status() {
            "" => return Ok(None),
            name => name,
        };
        let found = KeyState::SELECTABLE.into_iter().find(|(own, _)| *own == name);
        found
            .map(|(_, state)| Some(state))
            .ok_or_else(|| Failure::invalid("status: must be active, expired or revoked"))
    }

    /// Returns the id of the customer whose keys are listed; empty for those of all. A search is over all.
    fn customer(&self) -> &str {
        self.customer.as_deref().filter(|_| self.text().is_empty()).unwrap_or_default()
    }

    /// Returns the path of the list below the dashboard, with what is selected.
    fn path(&self, project: &Project) -> String {
        let path = format!("/projects/{}/keys", project.id);
        pager::with_query(&path, [("q", self.text()), ("status", self.status()), ("customer", self.customer())])
    }

    fn is_narrowed(&self) -> bool {
        [self.text(), self.status(), self.customer()].into_iter().any(|text| !text.is_empty())
    }
}

/// Keys on a page, or on a part of one, and how to go on.
struct KeysPart {
    keys: Vec<Versioned<ApiKey>>,
    searched: usize,
    next: Option<String>,
}

impl KeysPart {
    fn searched_part(&self) -> SearchedPart {
        SearchedPart { found: self.keys.len(), searched: self.searched, next: self.next.clone() }
    }
}

pub(crate) async fn list(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<KeysQuery>,
    Query(search): Query<SearchQuery>,
) -> PageResult {
    let project = state.control_plane.project(&visitor.context(), &id).await?.record;
    let path = query.path(&project);
    let searched = searched_list(&path, search.before_page(query.after.is_none()));
    let found = read(&state, &visitor, &project, &query, searched.room()).await?;
    let content = content(&state, &visitor, &project, &query, &searched, &found).await?;
    Ok(answer::html_page(keys_page(&visitor, &project, content)))
}

/// Adds a part to a page whose search goes on.
pub(crate) async fn more(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<KeysQuery>,
    Query(search): Query<SearchQuery>,
) -> PageResult {
    let project = state.control_plane.project(&visitor.context(), &id).await?.record;
    let path = query.path(&project);
    let searched = searched_list(&path, search.before_part());
    let found = read(&state, &visitor, &project, &query, searched.room()).await?;
    let (rows, nothing) =
        (rows(&state, &found.keys, &ProjectStates::of_one(&project)).await?, nothing(&query, &project));
    Ok(answer::html_page(searched.added(&found.searched_part(), &rows, &nothing, None)))
}

fn searched_list(path: &str, before: SoFar) -> SearchedList<'_> {
    SearchedList { path, nouns: ["key", "keys"], page_size: PAGE_SIZE, before }
}

async fn read(
    state: &DashboardState,
    visitor: &Visitor,
    project: &Project,
    query: &KeysQuery,
    limit: usize,
) -> Result<KeysPart, Failure> {
    match query.text() {
        "" => read_list(state, visitor, project, query, limit).await,
        text => search_list(state, visitor, project, text, query.after.clone(), limit).await,
    }
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

async fn read_list(
    state: &DashboardState,
    visitor: &Visitor,
    project: &Project,
    query: &KeysQuery,
    limit: usize,
) -> Result<KeysPart, Failure> {
    let (control_plane, context) = (&state.control_plane, visitor.context());
    let wanted = query.state()?;
    let customer = Some(query.customer()).filter(|customer| !customer.is_empty());
    let custom_account_id = customer.map(|customer| NullableFilter::Text(customer.to_owned()));
    let filter = KeyFilter { custom_account_id, ..KeyFilter::default() };
    let now = control_plane.now();
    let is_selected = |key: &ApiKey| {
        let has_state = wanted.is_none_or(|wanted| wanted == KeyState::of(key, project.status, now));
        has_state && filter.matches(key)
    };
    let list =
        control_plane.key_list(&context, &KeyScope::Project(project.id.to_string()), SortOrder::NewestFirst).await?;
    let position = control_plane.decode_cursor(&list.name, query.after.as_deref())?;
    let mut selection = Selection::bounded(limit, position);
    let mut response = LongResponse::new(control_plane.clone(), context, list.requested_project.clone());
    response.select_keys(&list, &mut selection, ScanTime::OfPage, is_selected).await?;
    let searched = selection.searched();
    let page = control_plane.list_page(&list.name, selection)?;
    Ok(KeysPart { keys: page.items, searched, next: page.next })
}

async fn search_list(
    state: &DashboardState,
    visitor: &Visitor,
    project: &Project,
    text: &str,
    after: Option<String>,
    limit: usize,
) -> Result<KeysPart, Failure> {
    let request = SearchRequest {
        query: Some(Secret::new(text.to_owned())),
        scope: KeyScope::Project(project.id.to_string()),
        after,
        limit: Some(limit),
        time: ScanTime::OfPage,
    };
    let found = state.control_plane.clone().search_api_keys(visitor.context(), request).await?;
    let next = (found.rest == Rest::More).then_some(found.next);
    Ok(KeysPart { keys: found.keys, searched: found.searched, next })
}

async fn content(
    state: &DashboardState,
    visitor: &Visitor,
    project: &Project,
    query: &KeysQuery,
    searched: &SearchedList<'_>,
    found: &KeysPart,
) -> Result<Markup, Failure> {
    let path = format!("{ROOT}/projects/{}/keys", project.id);
    let table = table(state, &found.keys, &ProjectStates::of_one(project)).await?;
    Ok(html! {
        div.heading {
            h1 { "API keys" }
            @if visitor.may_write() && project.status == Status::Active {
                a.button.primary href={ (path) "/new" } { "+ Create Key" }
            }
        }
        (search_form(&path, query.text()))
        @if query.text().is_empty() { (status_choices(&path, query.status(), query.customer())) }
        @if !query.customer().is_empty() { (customer_line(visitor, project, query.customer())) }
        @if let Some(searching) = searched.searching(&found.searched_part(), &html! {}, &table) {
            (searching)
        } @else {
            @if found.keys.is_empty() { (nothing(query, project)) } @else { (table) }
            (pager::links(&format!("{ROOT}{}", searched.path), query.after.is_none(), found.next.as_deref()))
        }
    })
}

/// Says that no key is selected, and what to do next.
fn nothing(query: &KeysQuery, project: &Project) -> Markup {
    if query.is_narrowed() {
        let all = html! { p { a href={ (ROOT) "/projects/" (project.id) "/keys" } { "Show all keys" } } };
        return empty::state("No key matches", all);
    }
    empty::state("No key yet", html! { p { "A key lets a caller through the gateway." } })
}

fn status_choices(path: &str, status: &str, customer: &str) -> Markup {
    let states = KeyState::SELECTABLE.into_iter().map(|(value, state)| (value, state.word()));
    html! {
        nav.choices aria-label="State" {
            @for (value, name) in std::iter::once(("", "All")).chain(states) {
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

/// Shows keys of these projects, each with its last use.
pub(crate) async fn table(
    state: &DashboardState,
    keys: &[Versioned<ApiKey>],
    projects: &ProjectStates,
) -> Result<Markup, Failure> {
    let columns = ["Name", "Key", "State", "Customer and user", "Limits", "Last used", "Expires", "Created"].map(Text);
    Ok(table::of("API keys", &columns, rows(state, keys, projects).await?))
}

/// Returns the rows of the table.
pub(crate) async fn rows(
    state: &DashboardState,
    keys: &[Versioned<ApiKey>],
    projects: &ProjectStates,
) -> Result<Markup, Failure> {
    let (now, last_uses) = (state.control_plane.now(), state.control_plane.last_uses(keys).await?);
    Ok(html! {
        @for (found, last_use) in keys.iter().zip(last_uses) {
            @let key = &found.record;
            tr {
                th scope="row" { a href={ (ROOT) "/keys/" (key.id) } { (key.name) } }
                td { code { (key.mask) } }
                td { (KeyState::of(key, projects.of(Some(&key.project)), now).badge()) }
                td { (customer_and_user(key)) }
                td { (limits(key)) }
                td { (facts::or_dash(last_use.map(|at| time::relative(at, now)))) }
                td { (facts::or_dash(key.expires_at.map(|at| time::relative(at, now)))) }
                td { (time::relative(key.stamps.created_at, now)) }
            }
        }
    })
}

fn customer_and_user(key: &ApiKey) -> Markup {
    let customer = key.custom_account_id.as_ref();
    html! {
        (facts::or_dash(customer.map(|id| html! { a href=(customer_path(&key.project, id)) { (id) } })))
        @if let Some(user) = &key.custom_user_id { div.hint { (user) } }
    }
}

/// Shows the rate limit and the quota below each other.
fn limits(key: &ApiKey) -> Markup {
    html! {
        @if key.rate_limit.is_none() && key.quota.is_none() { (facts::or_dash(None)) }
        @if let Some(rate) = key.rate_limit { div { (number::grouped(rate.limit)) " in " (number::duration(rate.window)) } }
        @if let Some(quota) = key.quota { div { (number::grouped(quota.limit)) " a " (quota.period.as_str()) } }
    }
}

fn keys_page(visitor: &Visitor, project: &Project, content: Markup) -> Markup {
    layout::project_page(visitor, project, "API keys", content)
}
