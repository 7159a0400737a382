//! Which webhooks are notified of a revocation, said before it is confirmed.

use gatepost_control_plane::{Failure, PageRequest, WebhookFilter, WebhookScope};
use gatepost_domain::change::Topic;
use gatepost_domain::record::{Project, Webhook, WebhookStatus, WhenPaused};
use maud::{Markup, html};

use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Webhooks that are named. The others are counted.
const MAX_NAMED: usize = 5;

/// Names the webhooks that an event of a project is sent to.
pub(crate) async fn sentence(
    state: &DashboardState,
    visitor: &Visitor,
    project: &Project,
    topic: Topic,
) -> Result<Markup, Failure> {
    let scope = Some(WebhookScope::EventsOf(project.id.to_string()));
    let filter = WebhookFilter { scope, topic: Some(topic.as_str().to_owned()), ..WebhookFilter::default() };
    let all = state.control_plane.webhooks(&visitor.context(), &filter, &PageRequest::default()).await?.items;
    let notified: Vec<Webhook> = all.into_iter().filter(is_sent_events).collect();
    Ok(html! {
        p {
            @if notified.is_empty() {
                "No webhook is notified: none that is live subscribes to " code { (topic.as_str()) } "."
            } @else {
                "Notified webhooks (" code { (topic.as_str()) } "): " (names(project, &notified)) "."
            }
            @if !visitor.sees_account() { " Those of the whole account, which you do not see, may be notified too." }
        }
    })
}

/// Returns whether events are sent, now or when the webhook is live again.
fn is_sent_events(webhook: &Webhook) -> bool {
    match (webhook.status, webhook.delivery.when_paused) {
        (WebhookStatus::Live, _) | (WebhookStatus::Paused, WhenPaused::Keep) => true,
        (WebhookStatus::Paused, WhenPaused::Drop) => false,
    }
}

fn names(project: &Project, notified: &[Webhook]) -> Markup {
    let more = notified.len().saturating_sub(MAX_NAMED);
    html! {
        @for (index, webhook) in notified.iter().take(MAX_NAMED).enumerate() {
            @if index > 0 { ", " }
            a href={ (ROOT) "/webhooks/" (webhook.id) } { (webhook.name) }
            @if webhook.status == WebhookStatus::Paused { " (when it is live again)" }
        }
        @if more > 0 {
            " and " a href={ (ROOT) "/projects/" (project.id) "/webhooks" } { (more) " more" }
        }
    }
}
