//! What the pages about one webhook share: reading it with its project, and the pages above.

use gatepost_control_plane::Failure;
use gatepost_domain::record::{Project, Status, Webhook};
use gatepost_store::Versioned;
use maud::Markup;

use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// A webhook and its project; none if it receives the events of the whole account.
pub(crate) struct WebhookAndProject {
    pub(crate) webhook: Versioned<Webhook>,
    pub(crate) project: Option<Project>,
}

impl WebhookAndProject {
    /// Returns the state of the project; that of an active one if the webhook receives the events of the whole account.
    pub(crate) fn project_status(&self) -> Status {
        self.project.as_ref().map_or(Status::Active, |project| project.status)
    }
}

/// Reads a webhook and its project.
pub(crate) async fn read(state: &DashboardState, visitor: &Visitor, id: &str) -> Result<WebhookAndProject, Failure> {
    let context = visitor.context();
    let webhook = state.control_plane.webhook(&context, id).await?;
    let project = match &webhook.record.project {
        Some(project) => Some(state.control_plane.project(&context, project.as_str()).await?.record),
        None => None,
    };
    Ok(WebhookAndProject { webhook, project })
}

/// Returns a page about a webhook. `title` is the name of the webhook on its own page.
pub(crate) fn webhook_page(visitor: &Visitor, of: &WebhookAndProject, title: &str, content: Markup) -> Markup {
    let webhook = &of.webhook.record;
    let mut trail = trail(visitor, of);
    if title != webhook.name {
        trail.push((format!("/webhooks/{}", webhook.id), webhook.name.clone()));
    }
    layout::page(visitor, Page { title, section: Section::Projects, trail, project: of.project.as_ref(), content })
}

/// Returns the pages above that of a webhook.
pub(crate) fn trail(visitor: &Visitor, of: &WebhookAndProject) -> Vec<(String, String)> {
    let Some(project) = &of.project else { return vec![("/projects".to_owned(), "Projects".to_owned())] };
    let mut trail = layout::project_trail(visitor, project);
    trail.push((format!("/projects/{}/webhooks", project.id), "Webhooks".to_owned()));
    trail
}
