//! All projects, and creating one.

use axum::extract::{Query, State};
use gatepost_control_plane::{Failure, ListPage, NewProject, PageRequest, ProjectFilter};
use gatepost_domain::key::Env;
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
use crate::dashboard::parts::{copy, empty, facts, pager, table, time};
use crate::dashboard::possible_value::may_be_value;
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::usage::{self, UsagePeriod};
use crate::dashboard::visitor::Visitor;

/// Projects on a page. The usage of each is read.
const PAGE_SIZE: usize = 50;
const NAME: Field = Field::text("name", "Name", "Such as the name of your API.").required();
const TEXT: Field = Field::text("q", "Name or ID", "");

/// Name of the state of deleted projects in the address.
const DELETED: &str = "deleted";

/// What selects projects, in the address or in the form.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ProjectsQuery {
    status: Option<String>,
    env: Option<String>,
    q: Option<String>,
}

/// The projects that are listed.
struct Selected {
    status: Status,
    env: Option<Env>,
    text: String,
}

impl ProjectsQuery {
    /// # Errors
    /// `validation-error` if there is no such state or environment.
    fn parse(&self) -> Result<Selected, Failure> {
        let status = match self.status.as_deref().unwrap_or_default() {
            "" => Status::Active,
            DELETED => Status::Inactive,
            _ => return Err(Failure::invalid("status: must be deleted, or empty for active projects")),
        };
        let env = match self.env.as_deref().unwrap_or_default() {
            "" => None,
            name => Some(Env::parse(name).ok_or_else(|| Failure::invalid("env: must be live or test"))?),
        };
        Ok(Selected { status, env, text: self.q.as_deref().unwrap_or_default().trim().to_owned() })
    }
}

impl Selected {
    fn is_narrowed(&self) -> bool {
        self.env.is_some() || !self.text.is_empty()
    }

    /// Returns the path of the list below the dashboard, with another state.
    fn path_with(&self, status: Status) -> String {
        let env = self.env.map(Env::as_str).unwrap_or_default();
        pager::with_query("/projects", [("status", status_name(status)), ("env", env), ("q", self.text.as_str())])
    }

    async fn read(
        &self,
        state: &DashboardState,
        visitor: &Visitor,
        page: PageRequest,
    ) -> Result<ListPage<Project>, Failure> {
        let text = Some(self.text.clone()).filter(|text| !text.is_empty());
        let filter = ProjectFilter { account: None, status: Some(self.status), env: self.env, text };
        state.control_plane.projects(&visitor.context(), &filter, &page).await
    }
}

pub(crate) async fn list(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Query(query): Query<ListQuery>,
    Query(selection): Query<ProjectsQuery>,
) -> PageResult {
    let (is_first, selected) = (query.is_first(), selection.parse()?);
    let projects = selected.read(&state, &visitor, query.request(PAGE_SIZE)).await?;
    Ok(answer::html_page(list_page(&state, &visitor, &selected, is_first, &projects).await?))
}

/// Leads to the selected projects. A text that may be the value of a key becomes part of the address only if the name of
/// a project has it.
pub(crate) async fn filter(State(state): State<DashboardState>, visitor: Visitor, form: Form) -> PageResult {
    let query = ProjectsQuery { status: form.filled("status"), env: form.filled("env"), q: form.filled("q") };
    let mut selected = query.parse()?;
    if may_be_value(&selected.text) {
        let found = selected.read(&state, &visitor, ListQuery::default().request(1)).await?;
        if found.items.is_empty() {
            selected.text.clear();
            let content = html! {
                h1 { "Projects" }
                (filters(&selected))
                (empty::state("No project matches", html! {
                    p { "The text may be a key, so it is not shown again. The search at the top of the page finds keys." }
                }))
            };
            return Ok(answer::html_page(projects_page(&visitor, content)));
        }
    }
    Ok(answer::see_other(&selected.path_with(selected.status)))
}

async fn list_page(
    state: &DashboardState,
    visitor: &Visitor,
    selected: &Selected,
    is_first: bool,
    projects: &ListPage<Project>,
) -> Result<Markup, Failure> {
    let may_create = visitor.may_write() && visitor.sees_account();
    let is_empty = projects.items.is_empty() && is_first;
    let content = html! {
        div.heading {
            h1 { "Projects" }
            @if may_create { a.button.primary href={ (ROOT) "/projects/new" } { "+ Add Project" } }
        }
        (status_choices(selected))
        @if !is_empty || selected.is_narrowed() { (filters(selected)) }
        @if is_empty {
            (nothing(selected, may_create))
        } @else {
            (table(state, &projects.items).await?)
            (pager::links(&format!("{ROOT}{}", selected.path_with(selected.status)), is_first, projects.next.as_deref()))
        }
    };
    Ok(projects_page(visitor, content))
}

fn projects_page(visitor: &Visitor, content: Markup) -> Markup {
    let page = Page { title: "Projects", section: Section::Projects, trail: Vec::new(), project: None, content };
    layout::page(visitor, page)
}

/// Says that no project is selected, and what to do next.
fn nothing(selected: &Selected, may_create: bool) -> Markup {
    let path = format!("{ROOT}/projects");
    match (selected.is_narrowed(), selected.status) {
        (true, _) => empty::state("No project matches", html! { p { a href=(path) { "Show all projects" } } }),
        (false, Status::Inactive) => {
            empty::state("No deleted project", html! { p { a href=(path) { "Show the active ones" } } })
        }
        (false, Status::Active) => empty::state(
            "No project yet",
            html! {
                p { "A project holds the API keys of one API, and the webhooks that hear of them." }
                @if may_create { p { a.button.primary href={ (path) "/new" } { "+ Add Project" } } }
            },
        ),
    }
}

/// Returns the name of a state in the address; empty for the one that is shown without a choice.
fn status_name(status: Status) -> &'static str {
    match status {
        Status::Active => "",
        Status::Inactive => DELETED,
    }
}

fn status_choices(selected: &Selected) -> Markup {
    html! {
        nav.choices aria-label="State" {
            @for (status, name) in [(Status::Active, "Active"), (Status::Inactive, "Deleted")] {
                a href={ (ROOT) (selected.path_with(status)) } aria-current=[(status == selected.status).then_some("true")] {
                    (name)
                }
            }
        }
    }
}

/// Shows the filters. They are sent in a body, because the text may be the value of a key.
fn filters(selected: &Selected) -> Markup {
    let env = selected.env.map(Env::as_str).unwrap_or_default();
    let form = Form::with([("q", selected.text.clone()), ("env", env.to_owned())]);
    let entries = Entries { form: &form, faults: &NO_FAULTS };
    html! {
        form.filters method="post" action={ (ROOT) "/projects" } aria-label="Filter" {
            (entries.field(&TEXT))
            (entries.choice("env", "Environment", &[("", "All"), ("live", "Live"), ("test", "Test")]))
            input type="hidden" name="status" value=(status_name(selected.status));
            button { "Filter" }
        }
    }
}

async fn table(state: &DashboardState, projects: &[Project]) -> Result<Markup, Failure> {
    let now = state.control_plane.now();
    let uses = state.control_plane.recent_uses(projects, UsagePeriod::Day.start(now)).await?;
    Ok(table::of(
        "Projects",
        &[Text("Name"), Text("Environment"), Text("Requests in 24 hours"), Text("Project ID"), Text("Created")],
        html! {
            @for (project, uses) in projects.iter().zip(uses) {
                tr {
                    th scope="row" { (project_link(project)) }
                    td { (badge::env(project.env)) }
                    td { (facts::or_dash(usage::small_chart(&uses, now))) }
                    td { (copy::id(project.id.as_str())) }
                    td { (time::relative(project.stamps.created_at, now)) }
                }
            }
        },
    ))
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
