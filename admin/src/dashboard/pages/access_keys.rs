//! The access keys of the account: list, revoking and reactivating.

use axum::extract::{Path, Query, State};
use gatepost_control_plane::{AccessKeyFilter, AccessKeyRef, Failure, PageRequest};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{AccessKey, Actor, Project, Role, Status};
use gatepost_domain::time::Timestamp;
use maud::{Markup, html};

use super::project_states::ProjectStates;
use crate::dashboard::actors::ActorNames;
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFault};
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::parts::badge::{self, Tone};
use crate::dashboard::parts::pager::ListQuery;
use crate::dashboard::parts::table::Column::{Hidden, Text};
use crate::dashboard::parts::{confirm, empty, facts, pager, table, time};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Access keys on a page.
const PAGE_SIZE: usize = 100;

pub(crate) async fn list(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Query(query): Query<ListQuery>,
) -> PageResult {
    let is_first = query.is_first();
    let found = state
        .control_plane
        .access_keys(&visitor.context(), &AccessKeyFilter::default(), &query.request(PAGE_SIZE))
        .await?;
    let content = html! {
        div.heading {
            h1 { "Access keys" }
            @if visitor.may_administer() {
                a.button.primary href={ (ROOT) "/access-keys/new" } { "+ Create Access Key" }
            }
        }
        p.hint { "An access key opens this dashboard and the admin API. It does not pass the gateway: API keys do." }
        @if found.items.is_empty() {
            (empty::state("No access key here", html! { p { a href={ (ROOT) "/access-keys" } { "Show all access keys" } } }))
        } @else {
            (table(&state, &visitor, &found.items).await?)
        }
        (pager::links(&format!("{ROOT}/access-keys"), is_first, found.next.as_deref()))
    };
    Ok(answer::html_page(access_key_page(&visitor, "Access keys", content)))
}

/// Shows the access keys that see one project only, if there are any.
pub(crate) async fn section(state: &DashboardState, visitor: &Visitor, project: &Project) -> Result<Markup, Failure> {
    let filter = AccessKeyFilter { project: Some(project.id.to_string()), ..AccessKeyFilter::default() };
    let keys = state.control_plane.access_keys(&visitor.context(), &filter, &PageRequest::default()).await?.items;
    if keys.is_empty() {
        return Ok(html! {});
    }
    Ok(html! {
        section #access-keys aria-labelledby="access-keys-heading" {
            h2 #access-keys-heading { "Access keys of this project only" }
            (table(state, visitor, &keys).await?)
        }
    })
}

async fn table(state: &DashboardState, visitor: &Visitor, keys: &[AccessKey]) -> Result<Markup, Failure> {
    let makers: Vec<&Actor> = keys.iter().map(|key| &key.stamps.created_by).collect();
    let makers = ActorNames::read(state, visitor, &makers).await?;
    let projects =
        ProjectStates::read(state, visitor, keys.iter().filter_map(|key| key.project.clone()).collect()).await?;
    let now = state.control_plane.now();
    let mut columns =
        vec![Text("Name"), Text("Key"), Text("Role"), Text("Sees"), Text("State"), Text("Expires"), Text("Created")];
    if visitor.may_administer() {
        columns.push(Hidden("Actions"));
    }
    Ok(table::of("Access keys", &columns, html! { @for key in keys { (row(key, &makers, &projects, visitor, now)) } }))
}

fn row(key: &AccessKey, makers: &ActorNames, projects: &ProjectStates, visitor: &Visitor, now: Timestamp) -> Markup {
    let path = format!("{ROOT}/access-keys/{}", key.id);
    let project_status = projects.of(key.project.as_ref());
    html! {
        tr {
            th scope="row" {
                span title=(key.id) { (key.name) } @if is_own(visitor, key) { " " span.badge { "yours" } }
            }
            td { code { (key.mask) } }
            td { (layout::role_name(key.role)) }
            td {
                @match &key.project {
                    Some(id) => a href={ (ROOT) "/projects/" (id) } { (projects.project(id).map_or("one project", |project| &project.name)) },
                    None => "the account",
                }
            }
            td { (state_badge(key, project_status, now)) }
            td { (facts::or_dash(key.expires_at.map(|at| time::relative(at, now)))) }
            td.wrap { (time::relative(key.stamps.created_at, now)) " by " (makers.label(&key.stamps.created_by)) }
            @if visitor.may_administer() {
                td {
                    div.actions {
                        @match key.status {
                            Status::Active => a.button.danger href={ (path) "/revoke" } { "Revoke…" },
                            // In a deleted project nothing comes back.
                            Status::Inactive if project_status == Status::Inactive => {},
                            Status::Inactive => form method="post" action={ (path) "/reactivate" } {
                                button aria-label={ "Reactivate " (key.name) } { "Reactivate" }
                            },
                        }
                    }
                }
            }
        }
    }
}

fn state_badge(key: &AccessKey, project: Status, now: Timestamp) -> Markup {
    match key.status {
        Status::Inactive => badge::state(Tone::Bad, "Revoked"),
        Status::Active if project == Status::Inactive => badge::state(Tone::Bad, "Project deleted"),
        Status::Active if !key.is_usable(now) => badge::state(Tone::Warning, "Expired"),
        Status::Active => badge::state(Tone::Good, "Active"),
    }
}

fn is_own(visitor: &Visitor, key: &AccessKey) -> bool {
    visitor.caller().access_key == key.id
}

pub(crate) async fn confirm_revoke(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> PageResult {
    visitor.caller().require_admin()?;
    let key = state.control_plane.access_key(&visitor.context(), &key_ref(&id)?).await?.record;
    Ok(answer::html_page(revoke_page(&visitor, &key, &Form::default(), None)))
}

/// Revokes an access key after its name was typed. The page is the last one of the session if it is its own.
pub(crate) async fn revoke(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: Form,
) -> PageResult {
    visitor.caller().require_admin()?;
    let (context, key_ref) = (visitor.context(), key_ref(&id)?);
    let key = state.control_plane.access_key(&context, &key_ref).await?.record;
    if let Some(fault) = confirm::check(&form, &[&key.name]) {
        return Ok(answer::faulty_form(revoke_page(&visitor, &key, &form, Some(&fault))));
    }
    let revoked = state.control_plane.deactivate_access_key(&context, &key_ref).await?;
    let content = html! {
        h1 { "Access key revoked" }
        // No process caches access keys, so there is nothing to wait for.
        p.fence.done {
            strong { "Every control plane refuses " (revoked.record.name) " from now on." }
            " Access keys are read from the store at every request. Pages and event streams that it has opened end within 5 s."
        }
        @if is_own(&visitor, &key) {
            p.notice { "You were signed in with it, so your session has ended." }
            p { a.button.primary href={ (ROOT) "/sign-in" } { "Sign in with another one" } }
        } @else {
            p { a.button.primary href={ (ROOT) "/access-keys" } { "Back to the access keys" } }
        }
    };
    Ok(answer::html_page(access_key_page(&visitor, "Access key revoked", content)))
}

pub(crate) async fn reactivate(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> PageResult {
    state.control_plane.reactivate_access_key(&visitor.context(), &key_ref(&id)?).await?;
    Ok(answer::see_other("/access-keys"))
}

/// Parses the id of an access key. A value names no page.
fn key_ref(id: &str) -> Result<AccessKeyRef, Failure> {
    match AccessKeyRef::parse(id) {
        found @ AccessKeyRef::Id(_) => Ok(found),
        AccessKeyRef::Value(_) => Err(Failure::refused(ErrorCode::NotFound, "there is no such access key")),
    }
}

fn revoke_page(visitor: &Visitor, key: &AccessKey, form: &Form, fault: Option<&FormFault>) -> Markup {
    let label = html! { "Type the name " strong { (key.name) } };
    let title = format!("Revoke {}?", key.name);
    let content = html! {
        h1 { (title) }
        @if is_own(visitor, key) {
            p.fault-summary role="alert" {
                strong { "You are signed in with this access key." }
                " Revoking it ends this session, and you need another one to sign in again."
                @if key.role == Role::Admin { " Without another admin, only the command line can create one." }
            }
        }
        p { "The admin API refuses it at once, and the sessions that were started with it end. API keys that it created stay as they are. An admin can reactivate it." }
        form.stack.card method="post" action={ (ROOT) "/access-keys/" (key.id) "/revoke" } {
            (confirm::field(&[&key.name], label, form, fault))
            div.actions {
                button.danger { @if is_own(visitor, key) { "Revoke it and end this session" } @else { "Revoke the access key" } }
                a.button href={ (ROOT) "/access-keys" } { "Cancel" }
            }
        }
    };
    access_key_page(visitor, &title, content)
}

/// Returns a page about access keys.
pub(crate) fn access_key_page(visitor: &Visitor, title: &str, content: Markup) -> Markup {
    let trail = match title {
        "Access keys" => Vec::new(),
        _ => vec![("/access-keys".to_owned(), "Access keys".to_owned())],
    };
    layout::page(visitor, Page { title, section: Section::AccessKeys, trail, project: None, content })
}
