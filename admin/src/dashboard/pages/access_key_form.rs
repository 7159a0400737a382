//! Creating an access key: role, project and expiry. Its value is shown once.

use axum::extract::State;
use gatepost_control_plane::{ACTIVE_PROJECTS, AccessKeyRef, AccessKeyRequest, Failure, ListPage, PageRequest, both};
use gatepost_domain::id::AccessKeyId;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{AccessKey, Project};
use maud::{Markup, html};

use super::access_keys::access_key_page;
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFaults, NO_FAULTS, visible_project};
use crate::dashboard::one_time::{self, Shown};
use crate::dashboard::parts::copy;
use crate::dashboard::parts::field::{Entries, Field};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Projects to choose from; the id of another one can be typed.
const MAX_CHOICES: usize = 200;
const NAME: Field = Field::text("name", "Name", "Of the person or the program that uses it.").required();
const EXPIRY: Field =
    Field::text("expiry", "Expires", "In UTC, such as 2027-01-31 or 2027-01-31T12:00:00Z. Empty for never.");
const PROJECT: Field = Field::text("projectId", "Only the project with this ID", "Empty for the whole account.");
const ROLES: [(&str, &str); 3] = [
    ("viewer", "viewer: reads, and changes nothing"),
    ("user", "user: also creates and changes projects, keys and webhooks"),
    ("admin", "admin: also manages access keys and the account"),
];

pub(crate) async fn new(State(state): State<DashboardState>, visitor: Visitor) -> PageResult {
    visitor.caller().require_admin()?;
    let form = Form::with([("role", "viewer".to_owned())]);
    Ok(answer::html_page(form_page(&state, &visitor, &form, &NO_FAULTS).await?))
}

/// Creates an access key, and shows its value once.
pub(crate) async fn create(State(state): State<DashboardState>, visitor: Visitor, form: Form) -> PageResult {
    visitor.caller().require_admin()?;
    let request = AccessKeyRequest {
        name: form.filled("name"),
        account: None,
        project: None,
        role: form.filled("role"),
        expiry: form.filled("expiry"),
    };
    let control_plane = &state.control_plane;
    let project = visible_project(&state, &visitor, form.filled("projectId")).await;
    let made = one_time::make_once(&state, visitor.context(), &form, |context| async move {
        let checked = control_plane.check_new_access_key(&context, &request);
        let (project, ()) = both(project, checked)?;
        let request = AccessKeyRequest { project, ..request };
        let created = control_plane.create_access_key_for(&context, request).await?;
        Ok(Shown { id: created.record.record.id.to_string(), secret: created.secret })
    });
    match made.await {
        Ok(shown) => {
            let id = AccessKeyId::parse(&shown.id).map_err(|_| Failure::from(ErrorCode::Internal))?;
            let key = control_plane.access_key(&visitor.context(), &AccessKeyRef::Id(id)).await?.record;
            Ok(answer::html_page(access_key_page(&visitor, "Access key created", created(&key, &shown))))
        }
        Err(failure) => {
            let faults = FormFaults::of(failure)?;
            Ok(answer::faulty_form(form_page(&state, &visitor, &form, &faults).await?))
        }
    }
}

fn created(key: &AccessKey, shown: &Shown) -> Markup {
    html! {
        h1 { "Access key created" }
        section.card.once aria-labelledby="once-heading" {
            h2 #once-heading { "Copy it now. It is not shown again." }
            output.value { (copy::text(shown.secret.expose(), "Copy the access key")) }
            p.hint { "Later you find the access key by its name " strong { (key.name) } ", its mask " code { (key.mask) } ", or its ID " code { (key.id) } "." }
        }
        p { a.button.primary href={ (ROOT) "/access-keys" } { "I have copied it" } }
    }
}

async fn form_page(
    state: &DashboardState,
    visitor: &Visitor,
    form: &Form,
    faults: &FormFaults,
) -> Result<Markup, Failure> {
    let entries = Entries { form, faults };
    let request = PageRequest { limit: Some(MAX_CHOICES), ..PageRequest::default() };
    let projects = state.control_plane.projects(&visitor.context(), &ACTIVE_PROJECTS, &request).await?;
    let content = html! {
        h1 { "Create an access key" }
        form.stack.card method="post" action={ (ROOT) "/access-keys/new" } {
            (entries.summary(if projects.next.is_some() { &[NAME, PROJECT, EXPIRY] } else { &[NAME, EXPIRY] }))
            (entries.field(&NAME))
            (entries.choice("role", "Role", &ROLES))
            (project_field(entries, visitor, &projects))
            (entries.field(&EXPIRY))
            (one_time::field(form))
            div.actions {
                button.primary { "Create Access Key" }
                a.button href={ (ROOT) "/access-keys" } { "Cancel" }
            }
        }
    };
    Ok(access_key_page(visitor, "Create an access key", content))
}

/// Shows a choice of projects, or a field for the id if there are many.
fn project_field(entries: Entries<'_>, visitor: &Visitor, projects: &ListPage<Project>) -> Markup {
    if !visitor.sees_account() {
        return html! { p.hint { "It sees the same project as the access key that you are signed in with." } };
    }
    if projects.next.is_some() {
        return entries.field(&PROJECT);
    }
    let mut choices = vec![("", "The whole account")];
    choices.extend(projects.items.iter().map(|project| (project.id.as_str(), project.name.as_str())));
    entries.choice(PROJECT.name, "Sees", &choices)
}
