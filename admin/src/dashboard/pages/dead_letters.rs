//! Deliveries of a webhook that were given up: why, and sending them again.

use axum::extract::{Path, Query, State};
use gatepost_control_plane::{
    DeliveryFilter, DeliveryLimits, DeliveryStatus, DeliveryView, ScanTime, reason_not_to_send,
};
use gatepost_domain::id::EventId;
use gatepost_domain::record::{Webhook, WebhookStatus};
use gatepost_domain::time::Timestamp;
use maud::{Markup, html};

use super::deliveries::{self, PAGE_SIZE, topic_name};
use super::delivery_filter::ListQuery;
use super::webhook_frame;
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{FormFault, FormFaults};
use crate::dashboard::parts::results::{SearchQuery, SoFar};
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
    Query(search): Query<SearchQuery>,
) -> PageResult {
    // Deliveries in other states are on a page of their own.
    if let Some(status) = query.selected_status().filter(|status| *status != DeliveryStatus::Dead) {
        return Ok(answer::see_other(&query.path(&format!("/webhooks/{id}/deliveries"), Some(status))));
    }
    let before = search.before_page(query.after.is_none());
    list_page(&state, &visitor, &id, &query, before, None).await
}

/// Adds a part to a page whose search goes on.
pub(crate) async fn more(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
    Query(search): Query<SearchQuery>,
) -> PageResult {
    let (filter, context) = (query.parse()?, visitor.context());
    let webhook = state.control_plane.webhook(&context, &id).await?.record;
    let path = format!("/webhooks/{}/dead-letters", webhook.id);
    let selected = query.path(&path, None);
    let list = deliveries::searched_list(&selected, search.before_part());
    let filter = DeliveryFilter { status: Some(DeliveryStatus::Dead), ..filter };
    let limits = DeliveryLimits { deliveries: list.room(), time: ScanTime::OfPage };
    let page = state.control_plane.deliveries(&context, &id, &filter, query.after.as_deref(), limits).await?;
    let rows = rows(&visitor, &webhook, &query, &page.deliveries, state.control_plane.now());
    let nothing = deliveries::nothing(&format!("{ROOT}{path}"), &query, &page);
    Ok(answer::html_page(list.added(&deliveries::searched_part(&page), &rows, &nothing, None)))
}

/// Sends a dead letter again with a fresh schedule, and goes back to the list.
pub(crate) async fn resend(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path((id, event)): Path<(String, String)>,
    Query(query): Query<ListQuery>,
) -> PageResult {
    match state.control_plane.resend_delivery(&visitor.context(), &id, &event).await {
        Ok(_) => {
            let list = query.path(&format!("/webhooks/{id}/dead-letters"), None);
            let separator = if list.contains('?') { '&' } else { '?' };
            Ok(answer::see_other(&format!("{list}{separator}sent={event}")))
        }
        Err(failure) => {
            let faults = FormFaults::of(failure)?;
            list_page(&state, &visitor, &id, &query, SearchQuery::default().before_page(true), Some(faults)).await
        }
    }
}

async fn list_page(
    state: &DashboardState,
    visitor: &Visitor,
    id: &str,
    query: &ListQuery,
    before: SoFar,
    refusal: Option<FormFaults>,
) -> PageResult {
    let found = webhook_frame::read(state, visitor, id).await?;
    let webhook = &found.webhook.record;
    let path = format!("{ROOT}/webhooks/{}", webhook.id);
    let list = format!("{path}/dead-letters");
    let is_refused = refusal.is_some();
    let (filter, faults) = match query.parse() {
        Ok(filter) => (filter, refusal.unwrap_or_default()),
        Err(failure) => (DeliveryFilter::default(), FormFaults::of(failure)?),
    };
    let filter = DeliveryFilter { status: Some(DeliveryStatus::Dead), ..filter };
    let (context, after) = (visitor.context(), query.after.as_deref());
    let limits = DeliveryLimits { deliveries: PAGE_SIZE, time: ScanTime::OfPage };
    let page = state.control_plane.deliveries(&context, id, &filter, after, limits).await?;
    let selected = query.path(&format!("/webhooks/{}/dead-letters", webhook.id), None);
    let searched = deliveries::searched_list(&selected, before);
    let table = table(visitor, webhook, query, &page.deliveries, state.control_plane.now());
    let content = html! {
        div.heading {
            h1 { "Dead letters" }
            @if may_send(visitor, webhook) && !page.deliveries.is_empty() {
                a.button.primary href={ (path) "/recover?status=dead" } { "Recover…" }
            }
        }
        p { "Deliveries that were given up: after the last attempt, after a response 410, or because the webhook was disabled. They are kept for 30 days, 10 000 of a webhook." }
        @if let Some(reason) = reason_not_to_send(webhook).filter(|_| visitor.may_write()) {
            p.notice role="note" { "They cannot be sent again now: " (reason) "." }
        }
        @if let Some(event) = query.sent.as_deref().and_then(|id| EventId::parse(id).ok()) { (sent_notice(webhook, &path, &event)) }
        @let (refused, wrong): (Vec<FormFault>, Vec<FormFault>) = faults.iter().cloned().partition(|fault| fault.field.is_empty());
        @for fault in &refused { div.fault-summary role="alert" { (fault.text) "." } }
        (deliveries::status_choices(&format!("{path}/deliveries"), &query.in_state(DeliveryStatus::Dead)))
        (query.form(&list, webhook, &wrong.into_iter().collect()))
        @if let Some(searching) = searched.searching(&deliveries::searched_part(&page), &html! {}, &table) {
            (searching)
        } @else {
            @if page.deliveries.is_empty() && after.is_none() && !query.is_narrowed() {
                (empty::state("No dead letter", html! { p { "Every delivery has arrived, or is still attempted." } }))
            } @else if page.deliveries.is_empty() {
                (deliveries::nothing(&list, query, &page))
            } @else {
                (table)
            }
            (deliveries::links(&query.path(&list, None), query, &page))
        }
    };
    let content = webhook_frame::webhook_page(visitor, &found, "Dead letters", content);
    Ok(if is_refused { answer::faulty_form(content) } else { answer::html_page(content) })
}

fn may_send(visitor: &Visitor, webhook: &Webhook) -> bool {
    visitor.may_write() && reason_not_to_send(webhook).is_none()
}

fn sent_notice(webhook: &Webhook, path: &str, event: &EventId) -> Markup {
    html! {
        p.notice role="status" {
            @match webhook.status {
                WebhookStatus::Live => "It is sent again: ",
                WebhookStatus::Paused => "It is sent again when the webhook is live: ",
            }
            a href={ (path) "/deliveries/" (event) } { "see its attempts" } "."
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
    let mut columns = vec![Text("Event"), Text("Reason"), Number("Attempts"), Text("Last attempt"), Text("Created")];
    if may_send(visitor, webhook) {
        columns.push(Hidden("Resend"));
    }
    table::of("Dead letters", &columns, rows(visitor, webhook, query, deliveries, now))
}

fn rows(
    visitor: &Visitor,
    webhook: &Webhook,
    query: &ListQuery,
    deliveries: &[DeliveryView],
    now: Timestamp,
) -> Markup {
    let path = format!("{ROOT}/webhooks/{}", webhook.id);
    let may_send = may_send(visitor, webhook);
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
                @if may_send {
                    td {
                        form method="post" action=(query.path(&format!("{path}/dead-letters/{event}/resend"), None)) {
                            button aria-label={ "Resend " (event) } { "Resend" }
                        }
                    }
                }
            }
        }
    }
}
