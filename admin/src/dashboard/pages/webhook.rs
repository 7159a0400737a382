//! One webhook: its state with what to do, its numbers, settings and newest deliveries.

use axum::extract::{Path, State};
use gatepost_control_plane::{DeliveryFilter, DeliveryLimits, Failure, ScanTime, WebhookChange, reason_not_to_send};
use gatepost_domain::record::{KeyValues, Status, Webhook, WebhookState, WebhookStatus, WhenPaused};
use gatepost_domain::time::Timestamp;
use gatepost_store::WebhookNumbers;
use maud::{Markup, html};

use super::webhooks::{self, state_badge};
use super::{deliveries, recoveries, webhook_frame, webhook_pause};
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::live::{self, Part, WithoutScript};
use crate::dashboard::parts::facts::{Fact, or_dash};
use crate::dashboard::parts::{copy, empty, facts, number, time};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Deliveries on the page of a webhook: the newest ones.
const NEWEST_DELIVERIES: DeliveryLimits = DeliveryLimits { deliveries: 10, time: ScanTime::Unlimited };

pub(crate) async fn show(State(state): State<DashboardState>, visitor: Visitor, Path(id): Path<String>) -> PageResult {
    let found = webhook_frame::read(&state, &visitor, &id).await?;
    let webhook = &found.webhook.record;
    let part = live_part(state, visitor.clone(), id).await?;
    let content = live::region(&format!("/webhooks/{}", webhook.id), &part, WithoutScript::Link);
    Ok(answer::html_page(webhook_frame::webhook_page(&visitor, &found, &webhook.name, content)))
}

pub(crate) async fn live(state: State<DashboardState>, visitor: Visitor, Path(id): Path<String>) -> PageResult {
    live::follow(state.0, visitor, id, live_part).await
}

async fn live_part(state: DashboardState, visitor: Visitor, id: String) -> Result<Part, Failure> {
    let found = webhook_frame::read(&state, &visitor, &id).await?;
    let (webhook, project) = (&found.webhook.record, found.project_status());
    let now = state.control_plane.now();
    let numbers = state.control_plane.webhook_numbers(&visitor.context(), &id).await?;
    let path = format!("{ROOT}/webhooks/{}", webhook.id);
    Ok(Part::open(html! {
        div.heading {
            h1 { (webhook.name) " " (state_badge(webhook, project)) }
            @if visitor.may_write() { (actions(webhook, &path)) }
        }
        @if project == Status::Inactive {
            p.notice role="note" { "No event happens in a deleted project any more. What waits for its next attempt is still sent." }
        }
        (state_notice(webhook, now))
        (webhook_pause::notice(&visitor, webhook, numbers.held_until, now))
        (recovery_notice(&visitor, webhook, &numbers, &path))
        section.card aria-label="Numbers" { (facts::list(number_facts(&numbers, now, &path))) }
        section aria-labelledby="deliveries-heading" {
            div.heading {
                h2 #deliveries-heading { "Deliveries" }
                a href={ (path) "/deliveries" } { "All deliveries" }
            }
            (newest_deliveries(&state, &visitor, webhook).await?)
        }
        (recoveries::section(&state, &visitor, webhook).await?)
        section aria-labelledby="settings-heading" {
            h2 #settings-heading { "Settings" }
            div.card { (facts::list(settings(webhook, now))) }
        }
    }))
}

fn actions(webhook: &Webhook, path: &str) -> Markup {
    html! {
        div.actions {
            a.button href={ (path) "/test" } { "Send Test Event" }
            @match webhook.status {
                WebhookStatus::Live => form method="post" action={ (path) "/pause" } { button { "Pause" } },
                WebhookStatus::Paused => form method="post" action={ (path) "/resume" } { button { "Set Live" } },
            }
            a.button href={ (path) "/edit" } { "Edit" }
            a.button href={ (path) "/rotate-secret" } { "Rotate secret…" }
            a.button.danger href={ (path) "/delete" } { "Delete…" }
        }
    }
}

/// Says what a state means and what to do about it.
fn state_notice(webhook: &Webhook, now: Timestamp) -> Markup {
    let since = time::relative(webhook.state_since(), now);
    let reason = html! { @if let Some(reason) = webhook.state_reason() { ": " (reason) } };
    match webhook.state() {
        WebhookState::Live => html! {},
        WebhookState::Failing => html! {
            div.fence role="note" {
                p { strong { "The attempts fail" } ", since " (since) (reason) "." }
                p { "Events are still sent, and attempts are repeated on their schedule. Look at the newest deliveries for the cause. If it goes on for days, the webhook is disabled." }
            }
        },
        WebhookState::Paused => html! {
            div.notice role="note" {
                p { strong { "Paused" } " " (since) ". Nothing is sent." }
                p { (kept_events(webhook)) }
            }
        },
        WebhookState::Disabled => html! {
            div.fault-summary role="note" {
                p { strong { "Disabled because of failures" } " " (since) (reason) ". Nothing is sent." }
                p { "Mend the receiver, send a test event, set the webhook live, and then recover what was missed." }
            }
        },
    }
}

fn kept_events(webhook: &Webhook) -> &'static str {
    match webhook.delivery.when_paused {
        WhenPaused::Drop => "New events are dropped, and can be recovered for 7 days.",
        WhenPaused::Keep => "New events wait, and are sent when the webhook is live.",
    }
}

fn recovery_notice(visitor: &Visitor, webhook: &Webhook, numbers: &WebhookNumbers, path: &str) -> Markup {
    let missed = numbers.dead + numbers.dropped;
    let may_recover = visitor.may_write() && reason_not_to_send(webhook).is_none();
    html! {
        @if missed > 0 {
            div.notice role="note" {
                p {
                    (number::count(missed, "delivery was", "deliveries were")) " not made: "
                    a href={ (path) "/dead-letters" } { (number::count(numbers.dead, "dead letter", "dead letters")) }
                    " and "
                    a href={ (path) "/deliveries?status=dropped" } { (number::grouped(numbers.dropped)) " dropped" } "."
                }
                @if may_recover { p { a.button href={ (path) "/recover" } { "Recover…" } } }
            }
        }
    }
}

fn number_facts(numbers: &WebhookNumbers, now: Timestamp, path: &str) -> Vec<Fact> {
    let linked = |count: u64, status: &str| {
        html! { a href={ (path) "/deliveries?status=" (status) } { (number::grouped(count)) } }
    };
    vec![
        ("Delivered in 24 h", or_dash(webhooks::success(numbers))),
        ("Waiting", html! { (number::grouped(numbers.waiting)) }),
        ("In flight", linked(numbers.in_flight, "inFlight")),
        ("Oldest due", or_dash(numbers.oldest_due_at.map(|at| time::relative(at, now)))),
        ("Paused by the receiver until", or_dash(numbers.held_until.map(|until| time::relative(until, now)))),
        ("Dead letters", html! { a href={ (path) "/dead-letters" } { (number::grouped(numbers.dead)) } }),
        ("Dropped", linked(numbers.dropped, "dropped")),
    ]
}

async fn newest_deliveries(state: &DashboardState, visitor: &Visitor, webhook: &Webhook) -> Result<Markup, Failure> {
    let (context, filter) = (visitor.context(), DeliveryFilter::default());
    let page = state.control_plane.deliveries(&context, webhook.id.as_str(), &filter, None, NEWEST_DELIVERIES).await?;
    Ok(html! {
        @if page.deliveries.is_empty() {
            (empty::state("No delivery yet", html! {
                p { "Deliveries appear here as soon as an event happens." }
                @if visitor.may_write() {
                    p { a.button href={ (ROOT) "/webhooks/" (webhook.id) "/test" } { "Send Test Event" } }
                }
            }))
        } @else {
            (deliveries::table(webhook, &page.deliveries, state.control_plane.now()))
        }
    })
}

fn settings(webhook: &Webhook, now: Timestamp) -> Vec<Fact> {
    let delivery = &webhook.delivery;
    let topics = html! { @for topic in &webhook.topics { div { code { (topic.as_str()) } } } };
    let headers = webhook.custom_headers.iter().map(|(name, _)| format!("{name}: …"));
    let headers: Vec<String> = headers.collect();
    let old = webhook.old_secrets_until(now);
    let key = delivery.signing_key.as_ref().map(|key| copy::text(&key.public.to_string(), "Copy the public key"));
    vec![
        ("Endpoint", html! { (webhook.method) " " code { (webhook.url.masked) } }),
        ("Webhook ID", copy::id(webhook.id.as_str())),
        ("Events of", html! { @if webhook.project.is_some() { "this project" } @else { "the whole account" } }),
        ("Events", topics),
        ("Custom headers", or_dash((!headers.is_empty()).then(|| html! { (headers.join(", ")) }))),
        ("Signatures", html! { @if key.is_some() { "v1 and v1a" } @else { "v1" } }),
        ("Public key", or_dash(key)),
        ("Old secrets sign until", or_dash(old.map(|until| time::relative(until, now)))),
        ("theauthapi-signature", html! { @if webhook.static_token.is_some() { "sent" } @else { "not sent" } }),
        (
            "Key values",
            html! { @match delivery.key_values { KeyValues::Sent => "sent, if the endpoint may see them", KeyValues::Omitted => "masked" } },
        ),
        ("Attempts", html! { (delivery.schedule().to_seconds().len() + 1) }),
        ("Delays between them", html! { (delays(&delivery.schedule().to_seconds())) }),
        ("Requests at the same time", or_dash(delivery.max_in_flight.map(|count| html! { (count.get()) }))),
        ("Requests in a second", or_dash(delivery.rate.map(|rate| html! { (rate.get()) }))),
        (
            "Events while paused",
            html! { @match delivery.when_paused { WhenPaused::Drop => "are dropped", WhenPaused::Keep => "wait" } },
        ),
        ("Created", time::relative(webhook.stamps.created_at, now)),
        ("Changed", time::relative(webhook.stamps.updated_at, now)),
    ]
}

/// Returns delays as people write them.
fn delays(seconds: &[u64]) -> String {
    let text = |seconds: &u64| match *seconds {
        days if days % 86_400 == 0 => format!("{} d", days / 86_400),
        hours if hours % 3600 == 0 => format!("{} h", hours / 3600),
        minutes if minutes % 60 == 0 => format!("{} min", minutes / 60),
        seconds => format!("{seconds} s"),
    };
    seconds.iter().map(text).collect::<Vec<_>>().join(", ")
}

pub(crate) async fn pause(state: State<DashboardState>, visitor: Visitor, id: Path<String>) -> PageResult {
    set_status(state, visitor, id, WebhookStatus::Paused).await
}

pub(crate) async fn resume(state: State<DashboardState>, visitor: Visitor, id: Path<String>) -> PageResult {
    set_status(state, visitor, id, WebhookStatus::Live).await
}

async fn set_status(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    status: WebhookStatus,
) -> PageResult {
    let change = WebhookChange { status: Some(status.as_str().to_owned()), ..WebhookChange::default() };
    state.control_plane.update_webhook(&visitor.context(), &id, change).await?;
    Ok(answer::see_other(&format!("/webhooks/{id}")))
}
