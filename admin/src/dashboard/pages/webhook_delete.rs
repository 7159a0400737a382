//! Deleting a webhook, after its name was typed.

use axum::extract::{Path, State};
use gatepost_control_plane::Failure;
use maud::{Markup, html};

use super::webhook_frame::{self, WebhookAndProject};
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFault};
use crate::dashboard::parts::confirm;
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

pub(crate) async fn confirm(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> PageResult {
    visitor.caller().require_write()?;
    let found = webhook_frame::read(&state, &visitor, &id).await?;
    Ok(answer::html_page(confirm_page(&state, &visitor, &found, &Form::default(), None).await?))
}

pub(crate) async fn delete(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: Form,
) -> PageResult {
    visitor.caller().require_write()?;
    let found = webhook_frame::read(&state, &visitor, &id).await?;
    if let Some(fault) = confirm::check(&form, &[&found.webhook.record.name]) {
        return Ok(answer::faulty_form(confirm_page(&state, &visitor, &found, &form, Some(&fault)).await?));
    }
    state.control_plane.delete_webhook(&visitor.context(), &id).await?;
    Ok(match &found.project {
        Some(project) => answer::see_other(&format!("/projects/{}#webhooks", project.id)),
        None => answer::see_other("/projects"),
    })
}

async fn confirm_page(
    state: &DashboardState,
    visitor: &Visitor,
    found: &WebhookAndProject,
    form: &Form,
    fault: Option<&FormFault>,
) -> Result<Markup, Failure> {
    let webhook = &found.webhook.record;
    let numbers = state.control_plane.webhook_numbers(&visitor.context(), webhook.id.as_str()).await?;
    let path = format!("{ROOT}/webhooks/{}", webhook.id);
    let title = format!("Delete {}?", webhook.name);
    let content = html! {
        h1 { (title) }
        p { "Nothing is sent to " code { (webhook.url.masked) } " any more. " (numbers.waiting) " waiting and " (numbers.dead) " dead deliveries are dropped with it, and cannot be brought back." }
        form.stack.card method="post" action={ (path) "/delete" } {
            (confirm::field(&[&webhook.name], html! { "Type the name of the webhook: " strong { (webhook.name) } }, form, fault))
            div.actions {
                button.danger { "Delete the webhook" }
                a.button href=(path) { "Cancel" }
            }
        }
    };
    Ok(webhook_frame::webhook_page(visitor, found, &title, content))
}
