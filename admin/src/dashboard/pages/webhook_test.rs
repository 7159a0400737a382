//! Sending a test event to a webhook, signed as a delivery is.

use axum::extract::{Path, State};
use gatepost_control_plane::{Failure, WebhookTestResult};
use gatepost_domain::change::Topic;
use gatepost_domain::record::Webhook;
use maud::{Markup, html};

use super::webhook_frame::{self, WebhookAndProject};
use super::webhook_ping;
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFaults, NO_FAULTS};
use crate::dashboard::parts::copy;
use crate::dashboard::parts::field::Entries;
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;
use crate::http::webhook_requests;

pub(crate) async fn form(State(state): State<DashboardState>, visitor: Visitor, Path(id): Path<String>) -> PageResult {
    visitor.caller().require_write()?;
    let found = webhook_frame::read(&state, &visitor, &id).await?;
    let first = found.webhook.record.topics.first().map_or("", |topic| topic.as_str());
    let form = Form::with([("topic", first.to_owned())]);
    Ok(answer::html_page(test_page(&visitor, &found, Entries { form: &form, faults: &NO_FAULTS }, None)))
}

/// Sends a sample of the chosen event, once.
pub(crate) async fn send(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: Form,
) -> PageResult {
    let found = webhook_frame::read(&state, &visitor, &id).await?;
    let webhook = &found.webhook.record;
    let entries = Entries { form: &form, faults: &NO_FAULTS };
    let (context, topic) = (visitor.context(), form.text("topic"));
    let sent = state.control_plane.test_webhook(&context, &id, Some(topic), webhook_requests::encode_sample);
    match sent.await {
        Ok(result) => Ok(answer::html_page(test_page(&visitor, &found, entries, Some(result_of(webhook, &result))))),
        Err(failure) if webhook_ping::may_try_again(&failure) => {
            let result = webhook_ping::not_sent(&failure);
            Ok(answer::html_page(test_page(&visitor, &found, entries, Some(result))))
        }
        Err(failure) => Ok(faulty(&visitor, &found, &form, failure)?),
    }
}

fn faulty(visitor: &Visitor, found: &WebhookAndProject, form: &Form, failure: Failure) -> PageResult {
    let faults = FormFaults::of(failure)?;
    Ok(answer::faulty_form(test_page(visitor, found, Entries { form, faults: &faults }, None)))
}

fn result_of(webhook: &Webhook, result: &WebhookTestResult) -> Markup {
    let request = format!("{} {}", webhook.method, webhook.url.masked);
    html! {
        (webhook_ping::outcome(&request, result.outcome, result.status, result.error.as_deref(), result.took))
        p.hint { "Sent " code { (result.topic.as_str()) } " with " code { "webhook-id" } ": " (copy::id(result.id.as_str())) }
    }
}

fn test_page(visitor: &Visitor, found: &WebhookAndProject, entries: Entries<'_>, result: Option<Markup>) -> Markup {
    let webhook = &found.webhook.record;
    let path = format!("{ROOT}/webhooks/{}", webhook.id);
    let topics: Vec<(&str, &str)> = Topic::ALL.iter().map(|topic| (topic.as_str(), topic.as_str())).collect();
    let title = format!("Send a test event to {}", webhook.name);
    let content = html! {
        h1 { (title) }
        p { "A signed sample with " code { "\"test\": true" } " in its body, about records that do not exist. It is sent once, also while the webhook is paused." }
        form.stack.card method="post" action={ (path) "/test" (webhook_ping::RESULT) } {
            (entries.summary(&[]))
            (entries.choice("topic", "Event", &topics))
            @if let Some(result) = result { (result) }
            div.actions {
                button.primary { "Send Test Event" }
                a.button href=(path) { "Back to the webhook" }
            }
        }
    };
    webhook_frame::webhook_page(visitor, found, &title, content)
}
