//! All projects, and creating one.

use axum::extract::{Query, State};
use gatepost_control_plane::{Failure, NewProject, ProjectFilter};
use gatepost_domain::record::{Project, Status};
use maud::{Markup, html};
use serde::Deserialize;

use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFaults, NO_FAULTS};
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::parts::badge::{self, Tone};
use crate::dashboard::parts::field::{Entries, Field};
use crate::dashboard::parts::pager::ListQuery;
use crate::dashboard::parts::table::Column::Text;
use crate::dashboard::parts::{copy, empty, pager, table, time};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Projects on a page.
const PAGE_SIZE: usize = 100;
const NAME: Field = Field::text("name", "Name", "Such as the name of your API.").required();

/// Name of the state of deleted projects in the address.
const DELETED: &str = "deleted";

#[derive(Debug, Default, Deserialize)]
pub(crate) struct ProjectsQuery {
    status: Option<String>,
}

impl ProjectsQuery {
    fn status(&self) -> Result<Status, Failure> {
        match self.status.as_deref().unwrap_or_default() {
            "" => Ok(Status::Active),
            DELETED => Ok(Status::Inactive),
            _ => Err(Failure::invalid("status: must be deleted, or empty for active projects")),
        }
    }
}

pub(crate) async fn list(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Query(query): Query<ListQuery>,
    Query(selection): Query<ProjectsQuery>,
) -> PageResult {
    let (is_first, status) = (query.is_first(), selection.status()?);
    let filter = ProjectFilter { account: None, status: Some(status) };
    let projects = state.control_plane.projects(&visitor.context(), &filter, &query.request(PAGE_SIZE)).await?;
    let may_create = visitor.may_write() && visitor.sees_account();
    let content = html! {
        div.heading {
            h1 { "Projects" }
            @if may_create { a.button.primary href={ (ROOT) "/projects/new" } { "+ Add Project" } }
        }
        (status_choices(status))
        @if projects.items.is_empty() && is_first && status == Status::Inactive {
            (empty::state("No deleted project", html! { p { a href={ (ROOT) "/projects" } { "Show the active ones" } } }))
        } @else if projects.items.is_empty() && is_first {
            (empty::state("No project yet", html! {
                p { "A project holds the API keys of one API, and the webhooks that hear of them." }
                @if may_create { p { a.button.primary href={ (ROOT) "/projects/new" } { "+ Add Project" } } }
            }))
        } @else {
            (table(&projects.items, &state))
            (pager::links(&list_path(status), is_first, projects.next.as_deref()))
        }
    };
    let page = Page { title: "Projects", section: Section::Projects, trail: Vec::new(), project: None, content };
    Ok(answer::html_page(layout::page(&visitor, page)))
}

fn list_path(status: Status) -> String {
    pager::with_query(&format!("{ROOT}/projects"), [("status", status_name(status))])
}

/// Returns the name of a state in the address; empty for the one that is shown without a choice.
fn status_name(status: Status) -> &'static str {
    match status {
        Status::Active => "",
        Status::Inactive => DELETED,
    }
}

fn status_choices(selected: Status) -> Markup {
    html! {
        nav.choices aria-label="State" {
            @for (status, name) in [(Status::Active, "Active"), (Status::Inactive, "Deleted")] {
                a href=(list_path(status)) aria-current=[(status == selected).then_some("true")] { (name) }
            }
        }
    }
}

fn table(projects: &[Project], state: &DashboardState) -> Markup {
    let now = state.control_plane.now();
    table::of(
        "Projects",
        &[Text("Name"), Text("Environment"), Text("Project ID"), Text("Created")],
        html! {
            @for project in projects {
                tr {
                    th scope="row" { (project_link(project)) }
                    td { (badge::env(project.env)) }
                    td { (copy::id(project.id.as_str())) }
                    td { (time::relative(project.stamps.created_at, now)) }
                }
            }
        },
    )
}

/// Links to a project, and says if it was deleted.
pub(crate) fn project_link(project: &Project) -> Markup {
    html! {
        a href={ (ROOT) "/projects/" (project.id) } { (project.name) }
        @if project.status == Status::Inactive { " " (badge::state(Tone::Bad, "Deleted")) }
    }
}

pub(crate) async fn new(visitor: Visitor) -> PageResult {
    let context = visitor.context();
    context.caller.require_write()?;
    context.caller.require_account_scope()?;
    Ok(answer::html_page(form_page(&visitor, &Form::with([("env", "live".to_owned())]), &NO_FAULTS)))
}

pub(crate) async fn create(State(state): State<DashboardState>, visitor: Visitor, form: Form) -> PageResult {
    let new = NewProject { name: form.filled("name"), account: None, env: form.filled("env") };
    match state.control_plane.create_project(&visitor.context(), new).await {
        Ok(project) => Ok(answer::see_other(&format!("/projects/{}", project.record.id))),
        Err(failure) => {
            let faults = FormFaults::of(failure)?;
            Ok(answer::faulty_form(form_page(&visitor, &form, &faults)))
        }
    }
}

fn form_page(visitor: &Visitor, form: &Form, faults: &FormFaults) -> Markup {
    let entries = Entries { form, faults };
    let content = html! {
        h1 { "Add a project" }
        form.stack.card method="post" action={ (ROOT) "/projects/new" } {
            (entries.summary(&[NAME]))
            (entries.field(&NAME))
            (entries.choice("env", "Environment", &[("live", "Live"), ("test", "Test")]))
            p.hint { "The keys of a test project begin with test_, and its pages carry the mark TEST DATA. The environment of a project cannot be changed." }
            div.actions {
                button.primary { "Add Project" }
                a.button href={ (ROOT) "/projects" } { "Cancel" }
            }
        }
    };
    let trail = vec![("/projects".to_owned(), "Projects".to_owned())];
    layout::page(visitor, Page { title: "Add a project", section: Section::Projects, trail, project: None, content })
}
