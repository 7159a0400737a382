//! One delivery: its attempts, those to come, and its request.

use axum::extract::{Path, State};
use gatepost_control_plane::{DeliveryDetails, DeliveryStatus, Failure, reason_not_to_send};
use gatepost_domain::record::WebhookStatus;
use gatepost_domain::time::Timestamp;
use maud::{Markup, html};

use super::deliveries::{status_badge, topic_name};
use super::webhook_frame::{self, WebhookAndProject};
use super::{delivery_timeline, webhook_pause};
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFaults, NO_FAULTS};
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::live::{self, Part, WithoutScript};
use crate::dashboard::parts::facts::{Fact, or_dash};
use crate::dashboard::parts::field::Entries;
use crate::dashboard::parts::{copy, facts, time};
use crate::dashboard::root::ROOT;
use crate::dashboard::snippets;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;
use crate::http::webhook_requests::{self, RebuiltRequest};

/// A delivery that is due within this time is followed also by browsers without a script.
const SOON: std::time::Duration = std::time::Duration::from_secs(10);

pub(crate) async fn show(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path((id, event)): Path<(String, String)>,
) -> PageResult {
    Ok(answer::html_page(page(&state, &visitor, &id, &event, &NO_FAULTS).await?))
}

/// Sends a delivery again, and shows it.
pub(crate) async fn resend(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path((id, event)): Path<(String, String)>,
) -> PageResult {
    match state.control_plane.resend_delivery(&visitor.context(), &id, &event).await {
        Ok(_) => Ok(answer::see_other(&format!("/webhooks/{id}/deliveries/{event}"))),
        Err(failure) => {
            let faults = FormFaults::of(failure)?;
            Ok(answer::faulty_form(page(&state, &visitor, &id, &event, &faults).await?))
        }
    }
}

async fn page(
    state: &DashboardState,
    visitor: &Visitor,
    id: &str,
    event: &str,
    faults: &FormFaults,
) -> Result<Markup, Failure> {
    let found = webhook_frame::read(state, visitor, id).await?;
    let details = state.control_plane.delivery(&visitor.context(), id, event).await?;
    let (part, now) = (content(state, visitor, &details).await?, state.control_plane.now());
    let path = format!("/webhooks/{}/deliveries/{}", details.webhook.id, details.view.delivery.event_id);
    let without_script = if may_change_soon(&details, now) { WithoutScript::Reload } else { WithoutScript::Link };
    let content = html! {
        (Entries { form: &Form::default(), faults }.summary(&[]))
        (live::region(&path, &Part::open(part), without_script))
    };
    Ok(delivery_page(visitor, &found, topic_name(&details.view.delivery), content))
}

pub(crate) async fn live(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(ids): Path<(String, String)>,
) -> PageResult {
    live::follow(state, visitor, ids, live_delivery).await
}

async fn live_delivery(
    state: DashboardState,
    visitor: Visitor,
    (id, event): (String, String),
) -> Result<Part, Failure> {
    let details = state.control_plane.delivery(&visitor.context(), &id, &event).await?;
    Ok(Part::open(content(&state, &visitor, &details).await?))
}

async fn content(state: &DashboardState, visitor: &Visitor, details: &DeliveryDetails) -> Result<Markup, Failure> {
    let (delivery, now) = (&details.view.delivery, state.control_plane.now());
    let paused_until = state.control_plane.paused_until(&details.webhook).await?;
    let path = format!("{ROOT}/webhooks/{}/deliveries/{}", details.webhook.id, delivery.event_id);
    let request = details.event.as_ref().map(|event| webhook_requests::rebuild_request(details, event));
    let may_send = visitor.may_write() && can_be_sent(details);
    Ok(html! {
        div.heading {
            h1 { (topic_name(delivery)) " " (status_badge(details.view.status)) }
            @if may_send {
                form method="post" action={ (path) "/resend" } { button.primary { "Resend" } }
            }
        }
        p { (meaning(details)) @if may_send { " " strong { "Resend" } " " (effect_of_resend(details, paused_until)) } }
        @if let Some(reason) = reason_not_to_send(&details.webhook).filter(|_| visitor.may_write()) {
            p.hint { "It cannot be sent again now: " (reason) "." }
        }
        @if waits(details) { (webhook_pause::notice(visitor, &details.webhook, paused_until, now)) }
        section.card aria-label="Facts" { (facts::list(delivery_facts(details, now))) }
        section aria-labelledby="attempts-heading" {
            h2 #attempts-heading { "Attempts" }
            (delivery_timeline::attempts(details, now))
        }
        section aria-labelledby="request-heading" {
            h2 #request-heading { "Request" }
            @match request {
                Some(request) => (request_section(&request)),
                None => p.hint { "The event is no longer kept, so its request cannot be shown." },
            }
        }
    })
}

fn delivery_page(visitor: &Visitor, found: &WebhookAndProject, title: &str, content: Markup) -> Markup {
    let webhook = &found.webhook.record;
    let mut trail = webhook_frame::trail(visitor, found);
    trail.push((format!("/webhooks/{}", webhook.id), webhook.name.clone()));
    trail.push((format!("/webhooks/{}/deliveries", webhook.id), "Deliveries".to_owned()));
    layout::page(visitor, Page { title, section: Section::Projects, trail, project: found.project.as_ref(), content })
}

/// Returns whether a delivery waits for an attempt.
fn waits(details: &DeliveryDetails) -> bool {
    matches!(details.view.status, DeliveryStatus::Pending | DeliveryStatus::Failed)
}

/// Returns whether a delivery can be sent again now.
fn can_be_sent(details: &DeliveryDetails) -> bool {
    if reason_not_to_send(&details.webhook).is_some() {
        return false;
    }
    match details.view.status {
        DeliveryStatus::InFlight => false,
        DeliveryStatus::Delivered | DeliveryStatus::Dropped => details.event.is_some(),
        DeliveryStatus::Pending | DeliveryStatus::Failed | DeliveryStatus::Dead | DeliveryStatus::Paused => true,
    }
}

fn may_change_soon(details: &DeliveryDetails, now: Timestamp) -> bool {
    match details.view.status {
        DeliveryStatus::Pending | DeliveryStatus::InFlight => true,
        DeliveryStatus::Failed => details.view.delivery.next_attempt_at.is_some_and(|at| at <= now.plus(SOON)),
        DeliveryStatus::Delivered | DeliveryStatus::Dead | DeliveryStatus::Dropped | DeliveryStatus::Paused => false,
    }
}

/// Says what sending again does to a delivery, as the end of a sentence.
fn effect_of_resend(details: &DeliveryDetails, paused_until: Option<Timestamp>) -> &'static str {
    match details.view.status {
        _ if details.webhook.status == WebhookStatus::Paused => "makes an attempt as soon as the webhook is live.",
        _ if paused_until.is_some() => "makes an attempt as soon as the pause has ended.",
        DeliveryStatus::Pending | DeliveryStatus::Failed | DeliveryStatus::Paused | DeliveryStatus::InFlight => {
            "makes the next attempt at once."
        }
        DeliveryStatus::Delivered | DeliveryStatus::Dead | DeliveryStatus::Dropped => "starts with a fresh schedule.",
    }
}

/// Says what the state of a delivery means and what follows.
fn meaning(details: &DeliveryDetails) -> Markup {
    let reason = details.view.delivery.reason.as_deref();
    match details.view.status {
        DeliveryStatus::Pending => html! { "Waits for its first attempt." },
        DeliveryStatus::InFlight => html! { "Is being sent now." },
        DeliveryStatus::Delivered => html! { "The receiver has accepted it." },
        DeliveryStatus::Failed => html! { "Waits for its next attempt." },
        DeliveryStatus::Dead => html! {
            "Was given up" @if let Some(reason) = reason { ": " (reason) } ". It is kept for 30 days."
        },
        DeliveryStatus::Dropped => html! { "Was not sent, because the webhook was paused. It is kept for 7 days." },
        DeliveryStatus::Paused => html! { "Waits until the webhook is live again." },
    }
}

fn delivery_facts(details: &DeliveryDetails, now: Timestamp) -> Vec<Fact> {
    let delivery = &details.view.delivery;
    let relative = |at: Option<Timestamp>| or_dash(at.map(|at| time::relative(at, now)));
    let change = delivery.event_version.filter(|_| details.event.is_some());
    vec![
        ("Event ID", copy::id(delivery.event_id.as_str())),
        (
            "Change",
            or_dash(change.map(|version| html! { a href={ (ROOT) "/changes/" (version) } { "See what changed" } })),
        ),
        ("Created", time::relative(delivery.created_at, now)),
        ("Attempts", html! { (delivery.attempts) }),
        ("Last attempt", relative(delivery.last_attempt.as_ref().map(|last| last.at))),
        ("Next attempt", relative(delivery.next_attempt_at)),
    ]
}

fn request_section(request: &RebuiltRequest) -> Markup {
    let body = serde_json::to_string_pretty(&request.body).unwrap_or_default();
    let size = serde_json::to_vec(&request.body).map_or(0, |body| body.len());
    html! {
        p.hint { "Built again from the event. Values that may be secret are shown as … or as a mask." }
        pre tabindex="0" {
            code {
                (request.method) " " (request.url) "\n"
                @for (name, value) in &request.headers { (name) ": " (value) "\n" }
                "\n" (body)
            }
        }
        p.hint { "Body: " (size) " bytes with these masks." }
        details.more {
            summary { "How a receiver verifies it" }
            p { code { "webhook-signature" } " is " code { "v1," } " and the base64 of HMAC-SHA256 over " code { "webhook-id.webhook-timestamp.body" } ", with the bytes of the body as they were sent." }
            (snippets::verification())
        }
    }
}
