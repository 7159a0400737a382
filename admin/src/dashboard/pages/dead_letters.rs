//! Deliveries of a webhook that were given up: why, and sending them again.

use axum::extract::{Path, Query, State};
use gatepost_control_plane::{DeliveryFilter, DeliveryStatus, DeliveryView};
use gatepost_domain::id::EventId;
use gatepost_domain::record::Webhook;
use gatepost_domain::time::Timestamp;
use maud::{Markup, html};

use super::deliveries::{self, PAGE_SIZE, topic_name};
use super::delivery_filter::ListQuery;
use super::webhook_frame;
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::FormFault;
use crate::dashboard::parts::table::Column::{Hidden, Number, Text};
use crate::dashboard::parts::{empty, facts, table, time};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

pub(crate) async fn list(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
) -> PageResult {
    list_page(&state, &visitor, &id, &query, None).await
}

/// Sends a dead letter again with a fresh schedule, and goes back to the list.
pub(crate) async fn retry(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path((id, event)): Path<(String, String)>,
    Query(query): Query<ListQuery>,
) -> PageResult {
    match state.control_plane.resend_delivery(&visitor.context(), &id, &event).await {
        Ok(()) => {
            let list = query.path(&format!("/webhooks/{id}/dead-letters"), None);
            let separator = if list.contains('?') { '&' } else { '?' };
            Ok(answer::see_other(&format!("{list}{separator}sent={event}")))
        }
        Err(failure) => {
            let fault = FormFault::of(failure)?;
            list_page(&state, &visitor, &id, &query, Some(fault)).await
        }
    }
}

async fn list_page(
    state: &DashboardState,
    visitor: &Visitor,
    id: &str,
    query: &ListQuery,
    refusal: Option<FormFault>,
) -> PageResult {
    let found = webhook_frame::read(state, visitor, id).await?;
    let webhook = &found.webhook.record;
    let path = format!("{ROOT}/webhooks/{}", webhook.id);
    let list = format!("{path}/dead-letters");
    let is_refused = refusal.is_some();
    let (filter, fault) = match query.parse() {
        Ok(filter) => (filter, refusal),
        Err(fault) => (DeliveryFilter::default(), Some(fault)),
    };
    let filter = DeliveryFilter { status: Some(DeliveryStatus::Dead), ..filter };
    let (context, after) = (visitor.context(), query.after.as_deref());
    let page = state.control_plane.deliveries(&context, id, &filter, after, PAGE_SIZE).await?;
    let content = html! {
        div.heading {
            h1 { "Dead letters" }
            @if visitor.may_write() && !page.deliveries.is_empty() {
                a.button.primary href={ (path) "/recover?status=dead" } { "Recover…" }
            }
        }
        p { "Deliveries that were given up: after the last attempt, after a response 410, or because the webhook was disabled. They are kept for 30 days, 10 000 of a webhook." }
        @if let Some(event) = query.sent.as_deref().and_then(|id| EventId::parse(id).ok()) { (sent_notice(&path, &event)) }
        @if let Some(fault) = fault.as_ref().filter(|fault| fault.field.is_empty()) {
            div.fault-summary role="alert" { (fault.text) "." }
        }
        (query.form(&list, webhook, fault.as_ref()))
        @if page.deliveries.is_empty() && after.is_none() && !query.is_narrowed() {
            (empty::state("No dead letter", html! { p { "Every delivery has arrived, or is still attempted." } }))
        } @else if page.deliveries.is_empty() {
            (deliveries::nothing(&list, query, &page))
        } @else {
            (table(visitor, webhook, query, &page.deliveries, state.control_plane.now()))
        }
        (deliveries::links(&query.path(&list, None), query, &page))
    };
    let content = webhook_frame::webhook_page(visitor, &found, "Dead letters", content);
    Ok(if is_refused { answer::faulty_form(content) } else { answer::html_page(content) })
}

fn sent_notice(path: &str, event: &EventId) -> Markup {
    html! {
        p.notice role="status" {
            "It is sent again: " a href={ (path) "/deliveries/" (event) } { "see its attempts" } "."
        }
    }
}

fn table(
    visitor: &Visitor,
    webhook: &Webhook,
    query: &ListQuery,
    deliveries: &[DeliveryView],
    now: Timestamp,
) -> Markup {
    let path = format!("{ROOT}/webhooks/{}", webhook.id);
    let may_retry = visitor.may_write();
    let mut columns = vec![Text("Event"), Text("Reason"), Number("Attempts"), Text("Last attempt"), Text("Created")];
    if may_retry {
        columns.push(Hidden("Send again"));
    }
    table::of(
        "Dead letters",
        &columns,
        html! {
            @for delivery in deliveries.iter().map(|view| &view.delivery) {
                @let event = &delivery.event_id;
                tr {
                    th scope="row" {
                        a href={ (path) "/deliveries/" (event) } { (topic_name(delivery)) }
                        div.hint { code { (event) } }
                    }
                    td.wrap { (facts::or_dash(delivery.reason.as_deref().map(|reason| html! { (answer::capitalized(reason)) }))) }
                    td.number { (delivery.attempts) }
                    td { (facts::or_dash(delivery.last_attempt.as_ref().map(|last| time::relative(last.at, now)))) }
                    td { (time::relative(delivery.created_at, now)) }
                    @if may_retry {
                        td {
                            form method="post" action=(query.path(&format!("{path}/dead-letters/{event}/retry"), None)) {
                                button aria-label={ "Retry " (event) } { "Retry" }
                            }
                        }
                    }
                }
            }
        },
    )
}
