//! One project: its usage, keys and settings, on one page.

use axum::extract::{Path, Query, State};
use gatepost_control_plane::{
    ChangeLimits, EventCursor, EventFilter, Failure, KeyScope, Patch, ProjectChange, ScanTime, UsageReportRequest,
};
use gatepost_domain::change::Topic;
use gatepost_domain::record::{Project, Status};
use gatepost_store::{MAX_COUNTED, SortOrder, UsageGrouping, Versioned};
use maud::{Markup, html};
use serde::Deserialize;

use super::project_states::ProjectStates;
use super::{access_keys, found_changes, keys, notified_webhooks, webhooks};
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFault, FormFaults, NO_FAULTS};
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::parts::fence::{self, Effect};
use crate::dashboard::parts::field::{Entries, Field};
use crate::dashboard::parts::{badge, change_table, confirm, copy, empty, facts, number, time};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::usage::{self, UsagePeriod};
use crate::dashboard::visitor::Visitor;

/// Keys on the page of a project: the newest ones.
const NEWEST_KEYS: u32 = 10;
/// Changes on the page of a project: the newest ones, and what is read for them.
const NEWEST_CHANGES: ChangeLimits = ChangeLimits { changes: 10, entries: 1000, time: ScanTime::Unlimited };
const NAME: Field = Field::text("name", "Name", "").required();

#[derive(Debug, Default, Deserialize)]
pub(crate) struct ProjectQuery {
    usage: Option<String>,
}

pub(crate) async fn show(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<ProjectQuery>,
) -> PageResult {
    let project = state.control_plane.project(&visitor.context(), &id).await?;
    let form = settings_form(&project);
    let period = UsagePeriod::parse(query.usage.as_deref())?;
    let content = sections(&state, &visitor, &project, period, Entries { form: &form, faults: &NO_FAULTS }).await?;
    Ok(answer::html_page(project_page(&visitor, &project.record, &project.record.name, content)))
}

/// Renames a project.
pub(crate) async fn rename(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: Form,
) -> PageResult {
    let change = ProjectChange { name: Patch::Value(form.text("name").to_owned()), ..ProjectChange::default() };
    let context = visitor.context_at(form.version());
    match state.control_plane.update_project(&context, &id, &change).await {
        Ok(_) => Ok(answer::see_other(&format!("/projects/{id}#settings"))),
        Err(failure) => {
            let faults = FormFaults::of(failure)?;
            let project = state.control_plane.project(&visitor.context(), &id).await?;
            let entries = Entries { form: &form, faults: &faults };
            let content = sections(&state, &visitor, &project, UsagePeriod::default(), entries).await?;
            Ok(answer::faulty_form(project_page(&visitor, &project.record, &project.record.name, content)))
        }
    }
}

pub(crate) async fn confirm_delete(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> PageResult {
    require_delete(&visitor)?;
    let project = state.control_plane.project(&visitor.context(), &id).await?;
    Ok(answer::html_page(delete_page(&state, &visitor, &project.record, &Form::default(), None).await?))
}

/// Deletes a project after its name was typed, and waits until gateways refuse its keys.
pub(crate) async fn delete(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: Form,
) -> PageResult {
    require_delete(&visitor)?;
    let project = state.control_plane.project(&visitor.context(), &id).await?;
    if let Some(fault) = confirm::check(&form, &[&project.record.name]) {
        return Ok(answer::faulty_form(delete_page(&state, &visitor, &project.record, &form, Some(&fault)).await?));
    }
    let deleted = state.control_plane.deactivate_project(&visitor.context(), &id).await?;
    let fence = fence::wait(&state, &visitor, deleted.position).await?;
    let title = "Project deleted";
    let content = html! {
        h1 { (title) }
        p { "All keys of " strong { (project.record.name) } " are revoked." }
        (fence::region(&fence, Effect::RefuseKeys, state.control_plane.now()))
        p { a.button.primary href={ (ROOT) "/projects" } { "Back to the projects" } }
    };
    Ok(answer::html_page(project_page(&visitor, &deleted.record, title, content)))
}

fn require_delete(visitor: &Visitor) -> Result<(), Failure> {
    visitor.caller().require_write()?;
    visitor.caller().require_account_scope()
}

/// Returns a page of a project, below the list of projects.
pub(crate) fn project_page(visitor: &Visitor, project: &Project, title: &str, content: Markup) -> Markup {
    let trail = match visitor.sees_account() {
        true => vec![("/projects".to_owned(), "Projects".to_owned())],
        false => Vec::new(),
    };
    let page = Page { title, section: Section::Projects, trail, project: Some(project), content };
    layout::page(visitor, page)
}

async fn sections(
    state: &DashboardState,
    visitor: &Visitor,
    project: &Versioned<Project>,
    period: UsagePeriod,
    settings: Entries<'_>,
) -> Result<Markup, Failure> {
    let record = &project.record;
    let path = format!("{ROOT}/projects/{}", record.id);
    Ok(html! {
        div.heading {
            h1 {
                (record.name) " " (badge::env(record.env))
                @if record.status == Status::Inactive { " " (badge::state(badge::Tone::Bad, "Deleted")) }
            }
            (copy::id(record.id.as_str()))
        }
        nav.in-page aria-label="On this page" {
            a href="#usage" { "Usage" }
            a href="#keys" { "API keys" }
            a href="#webhooks" { "Webhooks" }
            a href="#changes" { "Changes" }
            a href="#settings" { "Settings" }
        }
        section aria-labelledby="usage-heading" {
            h2 #usage-heading { "Usage" }
            (usage_section(state, visitor, record, period).await?)
        }
        section #keys aria-labelledby="keys-heading" {
            div.heading {
                h2 #keys-heading { "API keys" }
                @if visitor.may_write() && record.status == Status::Active {
                    a.button.primary href={ (path) "/keys/new" } { "+ Create Key" }
                }
            }
            (keys_section(state, visitor, record).await?)
        }
        (webhooks::section(state, visitor, record).await?)
        (access_keys::section(state, visitor, record).await?)
        section #changes aria-labelledby="changes-heading" {
            h2 #changes-heading { "Changes" }
            (changes_section(state, visitor, record).await?)
        }
        section #settings aria-labelledby="settings-heading" {
            h2 #settings-heading { "Settings" }
            (settings_section(state, visitor, project, settings))
        }
    })
}

async fn usage_section(
    state: &DashboardState,
    visitor: &Visitor,
    project: &Project,
    period: UsagePeriod,
) -> Result<Markup, Failure> {
    let now = state.control_plane.now();
    let request = UsageReportRequest {
        project: Some(project.id.to_string()),
        grouping: Some(period.grouping().as_str().to_owned()),
        from: Some(period.start(now).to_string()),
        to: None,
    };
    let (_, totals) = state.control_plane.totals(&visitor.context(), UsageGrouping::Project, &request).await?;
    Ok(usage::chart(period, &totals, now, &format!("{ROOT}/projects/{}", project.id)))
}

async fn keys_section(state: &DashboardState, visitor: &Visitor, project: &Project) -> Result<Markup, Failure> {
    let context = visitor.context();
    let scope = KeyScope::Project(project.id.to_string());
    let list = state.control_plane.key_list(&context, &scope, SortOrder::NewestFirst).await?;
    let _permit = state.control_plane.acquire_list_permit(&context).await?;
    let page = state.control_plane.keys_page(&list, "", NEWEST_KEYS).await?;
    let path = format!("{ROOT}/projects/{}/keys", project.id);
    Ok(html! {
        @if page.items.is_empty() && project.status == Status::Inactive {
            (empty::state("No key", html! { p { "The project was deleted before it had one." } }))
        } @else if page.items.is_empty() {
            (empty::state("No key yet", html! {
                p { "A key lets a caller through the gateway. Create one here, or over the API:" }
                pre tabindex="0" { code { (create_command(project)) } }
            }))
        } @else {
            (keys::search_form(&path, ""))
            (keys::table(state, &page.items, &ProjectStates::of_one(project)).await?)
            @if page.next.is_some() {
                p { a href=(path) { "All keys" } span.hint { " " (key_count(state, project).await?) } }
            }
        }
    })
}

/// Says how many keys a project has.
async fn key_count(state: &DashboardState, project: &Project) -> Result<String, Failure> {
    let count = state.control_plane.api_key_count(project).await?;
    let or_more = if count == MAX_COUNTED { " or more" } else { "" };
    Ok(format!("{}{or_more}, with those that are revoked", number::grouped(count.into())))
}

/// Shows the newest changes of a project.
async fn changes_section(state: &DashboardState, visitor: &Visitor, project: &Project) -> Result<Markup, Failure> {
    let filter = EventFilter::of_project(project.id.clone());
    let found = found_changes::read(state, visitor, &filter, &EventCursor::END, None, NEWEST_CHANGES).await?;
    let all = format!("{ROOT}/projects/{}/changes", project.id);
    Ok(html! {
        @if found.changes.is_empty() {
            p.hint { "No change of this project is among the newest changes." }
        } @else {
            (change_table::table(&found.changes, &found.actors, state.control_plane.now()))
        }
        @if found.next.is_some() { p { a href=(all) { "All changes" } } }
    })
}

fn create_command(project: &Project) -> String {
    format!(
        "curl -X POST $GATEPOST_ADMIN_URL/api-keys -H \"x-api-key: $GATEPOST_ACCESS_KEY\" \\\n  -d '{{\"projectId\": \
         \"{}\", \"name\": \"first\"}}'",
        project.id
    )
}

fn settings_form(project: &Versioned<Project>) -> Form {
    Form::with([("name", project.record.name.clone()), ("version", project.position.version.as_u64().to_string())])
}

fn settings_section(
    state: &DashboardState,
    visitor: &Visitor,
    project: &Versioned<Project>,
    entries: Entries<'_>,
) -> Markup {
    let (record, now) = (&project.record, state.control_plane.now());
    let path = format!("{ROOT}/projects/{}", record.id);
    let may_change = visitor.may_write() && record.status == Status::Active;
    html! {
        (facts::list(vec![
            ("Environment", badge::env(record.env)),
            ("Created", time::relative(record.stamps.created_at, now)),
            ("Changed", time::relative(record.stamps.updated_at, now)),
        ]))
        @if may_change {
            form.inline method="post" action=(path) {
                (entries.summary(&[NAME]))
                (entries.field(&NAME))
                input type="hidden" name="version" value=(project.position.version.as_u64());
                button { "Rename" }
            }
        }
        @if may_change && visitor.sees_account() {
            p { a.button.danger href={ (path) "/delete" } { "Delete project…" } }
        }
    }
}

async fn delete_page(
    state: &DashboardState,
    visitor: &Visitor,
    project: &Project,
    form: &Form,
    fault: Option<&FormFault>,
) -> Result<Markup, Failure> {
    let title = format!("Delete {}?", project.name);
    let content = html! {
        h1 { (title) }
        p { "All keys of the project are revoked at once, and neither it nor they can be brought back. Its history stays in the audit trail." }
        (notified_webhooks::sentence(state, visitor, project, Topic::ProjectUpdated).await?)
        form.stack.card method="post" action={ (ROOT) "/projects/" (project.id) "/delete" } {
            (confirm::field(&[&project.name], html! { "Type the name of the project: " strong { (project.name) } }, form, fault))
            div.actions {
                button.danger { "Delete the project and revoke its keys" }
                a.button href={ (ROOT) "/projects/" (project.id) } { "Cancel" }
            }
        }
    };
    Ok(layout::project_page(visitor, project, &title, content))
}
