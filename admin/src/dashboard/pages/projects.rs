//! All projects, and creating one.

use axum::extract::{Query, State};
use gatepost_control_plane::NewProject;
use gatepost_domain::record::Project;
use maud::{Markup, html};

use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFault};
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::parts::field::{Entries, Field};
use crate::dashboard::parts::pager::ListQuery;
use crate::dashboard::parts::table::Column::Text;
use crate::dashboard::parts::{badge, copy, empty, pager, table, time};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Projects on a page.
const PAGE_SIZE: usize = 100;
const NAME: Field = Field::text("name", "Name", "Such as the name of your API.").required();

pub(crate) async fn list(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Query(query): Query<ListQuery>,
) -> PageResult {
    let is_first = query.is_first();
    let projects = state.control_plane.projects(&visitor.context(), None, &query.request(PAGE_SIZE)).await?;
    let may_create = visitor.may_write() && visitor.sees_account();
    let content = html! {
        div.heading {
            h1 { "Projects" }
            @if may_create { a.button.primary href={ (ROOT) "/projects/new" } { "+ Add Project" } }
        }
        @if projects.items.is_empty() && is_first {
            (empty::state("No project yet", html! {
                p { "A project holds the API keys of one API, and the webhooks that hear of them." }
                @if may_create { p { a.button.primary href={ (ROOT) "/projects/new" } { "+ Add Project" } } }
            }))
        } @else {
            (table(&projects.items, &state))
            (pager::links(&format!("{ROOT}/projects"), is_first, projects.next.as_deref()))
        }
    };
    let page = Page { title: "Projects", section: Section::Projects, trail: Vec::new(), project: None, content };
    Ok(answer::html_page(layout::page(&visitor, page)))
}

fn table(projects: &[Project], state: &DashboardState) -> Markup {
    let now = state.control_plane.now();
    table::of(
        "Projects",
        &[Text("Name"), Text("Environment"), Text("Project ID"), Text("Created")],
        html! {
            @for project in projects {
                tr {
                    th scope="row" { a href={ (ROOT) "/projects/" (project.id) } { (project.name) } }
                    td { (badge::env(project.env)) }
                    td { (copy::id(project.id.as_str())) }
                    td { (time::relative(project.stamps.created_at, now)) }
                }
            }
        },
    )
}

pub(crate) async fn new(visitor: Visitor) -> PageResult {
    let context = visitor.context();
    context.caller.require_write()?;
    context.caller.require_account_scope()?;
    Ok(answer::html_page(form_page(&visitor, &Form::with([("env", "live".to_owned())]), None)))
}

pub(crate) async fn create(State(state): State<DashboardState>, visitor: Visitor, form: Form) -> PageResult {
    let new = NewProject { name: form.filled("name"), account: None, env: form.filled("env") };
    match state.control_plane.create_project(&visitor.context(), new).await {
        Ok(project) => Ok(answer::see_other(&format!("/projects/{}", project.record.id))),
        Err(failure) => {
            let fault = FormFault::of(failure)?;
            Ok(answer::faulty_form(form_page(&visitor, &form, Some(&fault))))
        }
    }
}

fn form_page(visitor: &Visitor, form: &Form, fault: Option<&FormFault>) -> Markup {
    let entries = Entries { form, fault };
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
