//! The deliveries of a webhook: list and filters.

use axum::extract::{Path, Query, State};
use gatepost_control_plane::{
    DeliveryFilter, DeliveryLimits, DeliveryPage, DeliveryStatus, DeliveryView, Failure, Rest, ScanTime,
};
use gatepost_domain::change::Topic;
use gatepost_domain::record::Webhook;
use gatepost_domain::time::Timestamp;
use gatepost_store::Delivery;
use maud::{Markup, html};

use super::delivery_filter::ListQuery;
use super::{webhook_frame, webhook_pause};
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::FormFaults;
use crate::dashboard::live::{self, Part, WithoutScript};
use crate::dashboard::parts::badge::{self, Tone};
use crate::dashboard::parts::results::{SearchQuery, SearchedList, SearchedPart, SoFar};
use crate::dashboard::parts::table::Column::{Number, Text};
use crate::dashboard::parts::{empty, facts, pager, table, time};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Deliveries on a page.
pub(crate) const PAGE_SIZE: usize = 50;

pub(crate) async fn list(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
    Query(search): Query<SearchQuery>,
) -> PageResult {
    let found = webhook_frame::read(&state, &visitor, &id).await?;
    let webhook = &found.webhook.record;
    let path = format!("{ROOT}/webhooks/{}/deliveries", webhook.id);
    let (filter, faults) = match query.parse() {
        Ok(filter) => (filter, FormFaults::default()),
        Err(failure) => {
            let filter = DeliveryFilter { status: query.selected_status(), ..DeliveryFilter::default() };
            (filter, FormFaults::of(failure)?)
        }
    };
    let choices = html! {
        h1 { "Deliveries" }
        (status_choices(&path, &query))
        (query.form(&path, webhook, &faults))
    };
    let followed = query.path(&format!("/webhooks/{}/deliveries", webhook.id), query.selected_status());
    let is_followed = query.after.is_none() && faults.is_empty();
    let list = searched_list(&followed, search.before_page(query.after.is_none()));
    let limits = DeliveryLimits { deliveries: PAGE_SIZE, time: ScanTime::OfPage };
    let (context, after) = (visitor.context(), query.after.as_deref());
    let page = state.control_plane.deliveries(&context, &id, &filter, after, limits).await?;
    let (paused_until, now) = (state.control_plane.paused_until(webhook).await?, state.control_plane.now());
    let (table, notice) =
        (table(webhook, &page.deliveries, now), webhook_pause::notice(&visitor, webhook, paused_until, now));
    let listed = html! { (notice) (list_markup(&path, &query, &page, &table)) };
    let content = html! {
        (choices)
        @if let Some(searching) = list.searching(&searched_part(&page), &html! {}, &table) {
            (notice)
            (searching)
        } @else if is_followed {
            (live::region(&followed, &Part::open(listed), WithoutScript::Link))
        } @else {
            (listed)
        }
    };
    Ok(answer::html_page(webhook_frame::webhook_page(&visitor, &found, "Deliveries", content)))
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
    let path = format!("/webhooks/{}/deliveries", webhook.id);
    let selected = query.path(&path, query.selected_status());
    let list = searched_list(&selected, search.before_part());
    let limits = DeliveryLimits { deliveries: list.room(), time: ScanTime::OfPage };
    let page = state.control_plane.deliveries(&context, &id, &filter, query.after.as_deref(), limits).await?;
    let rows = rows(&webhook, &page.deliveries, state.control_plane.now());
    let nothing = nothing(&format!("{ROOT}{path}"), &query, &page);
    Ok(answer::html_page(list.added(&searched_part(&page), &rows, &nothing, None)))
}

pub(crate) fn searched_list(path: &str, before: SoFar) -> SearchedList<'_> {
    SearchedList { path, nouns: ["delivery", "deliveries"], page_size: PAGE_SIZE, before }
}

pub(crate) fn searched_part(page: &DeliveryPage) -> SearchedPart {
    let next = page.next.clone().filter(|_| page.rest == Rest::More);
    SearchedPart { found: page.deliveries.len(), searched: page.searched, next }
}

pub(crate) async fn live(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(webhook): Path<String>,
    Query(query): Query<ListQuery>,
) -> PageResult {
    let filter = query.parse()?;
    live::follow(state, visitor, Listed { webhook, filter, query: query.at_start() }, live_list).await
}

/// A part of the deliveries of a webhook.
#[derive(Clone)]
struct Listed {
    webhook: String,
    filter: DeliveryFilter,
    query: ListQuery,
}

async fn live_list(state: DashboardState, visitor: Visitor, listed: Listed) -> Result<Part, Failure> {
    let (Listed { webhook, filter, query }, context) = (listed, visitor.context());
    let webhook = state.control_plane.webhook(&context, &webhook).await?.record;
    let (id, after) = (webhook.id.as_str(), query.after.as_deref());
    // The page is followed if its search has ended in time, and then shows the same however long the next one takes.
    let limits = DeliveryLimits { deliveries: PAGE_SIZE, time: ScanTime::Unlimited };
    let page = state.control_plane.deliveries(&context, id, &filter, after, limits).await?;
    let (paused_until, now) = (state.control_plane.paused_until(&webhook).await?, state.control_plane.now());
    let table = table(&webhook, &page.deliveries, now);
    Ok(Part::open(html! {
        (webhook_pause::notice(&visitor, &webhook, paused_until, now))
        (list_markup(&format!("{ROOT}/webhooks/{id}/deliveries"), &query, &page, &table))
    }))
}

fn list_markup(path: &str, query: &ListQuery, page: &DeliveryPage, table: &Markup) -> Markup {
    html! {
        @if page.deliveries.is_empty() { (nothing(path, query, page)) } @else { (table) }
        (links(&query.path(path, query.selected_status()), query, page))
    }
}

/// Links to the parts of a list of deliveries.
pub(crate) fn links(path: &str, query: &ListQuery, page: &DeliveryPage) -> Markup {
    let next = page.next.as_deref().filter(|_| page.rest == Rest::More);
    pager::links(path, query.after.is_none(), next)
}

/// Links to the deliveries in each state.
pub(crate) fn status_choices(path: &str, query: &ListQuery) -> Markup {
    let selected = query.selected_status();
    html! {
        nav.choices aria-label="State" {
            @for status in std::iter::once(None).chain(DeliveryStatus::ALL.into_iter().map(Some)) {
                a href=(query.path(path, status)) aria-current=[(status == selected).then_some("true")] {
                    (status.map_or("All", status_name))
                }
            }
        }
    }
}

/// Says that a part of a list is empty, and how to go on.
pub(crate) fn nothing(path: &str, query: &ListQuery, page: &DeliveryPage) -> Markup {
    let is_all = query.selected_status().is_none() && !query.is_narrowed();
    html! {
        @if page.rest == Rest::More {
            (empty::state("Nothing found so far", html! { p { "Not all deliveries have been searched. Go on with " strong { "Next" } "." } }))
        } @else if is_all {
            (empty::state("No delivery yet", html! { p { "Deliveries appear here as soon as an event happens. Delivered ones are kept for 7 days." } }))
        } @else {
            (empty::state("No delivery matches", html! { p { a href=(path) { "Show all deliveries" } } }))
        }
    }
}

/// Shows deliveries, each with its last result.
pub(crate) fn table(webhook: &Webhook, deliveries: &[DeliveryView], now: Timestamp) -> Markup {
    table::of(
        "Deliveries",
        &[Text("Event"), Text("State"), Text("Last result"), Number("Attempts"), Text("Next attempt"), Text("Created")],
        rows(webhook, deliveries, now),
    )
}

fn rows(webhook: &Webhook, deliveries: &[DeliveryView], now: Timestamp) -> Markup {
    html! {
        @for view in deliveries {
            @let delivery = &view.delivery;
            tr id=(delivery.event_id) {
                th scope="row" {
                    a href={ (ROOT) "/webhooks/" (webhook.id) "/deliveries/" (delivery.event_id) } { (topic_name(delivery)) }
                    div.hint { code { (delivery.event_id) } }
                }
                td { (status_badge(view.status)) }
                td.wrap { (facts::or_dash(last_result(delivery))) }
                td.number { (delivery.attempts) }
                td { (facts::or_dash(delivery.next_attempt_at.map(|at| time::relative(at, now)))) }
                td { (time::relative(delivery.created_at, now)) }
            }
        }
    }
}

/// Returns the topic of the event of a delivery.
pub(crate) fn topic_name(delivery: &Delivery) -> &'static str {
    delivery.action.and_then(|action| action.topic()).map_or("unknown event", Topic::as_str)
}

/// Returns how the last attempt of a delivery ended, or why it was given up.
pub(crate) fn last_result(delivery: &Delivery) -> Option<Markup> {
    let last = delivery.last_attempt.as_ref();
    let error = last.and_then(|last| last.error.as_deref()).or(delivery.reason.as_deref());
    let text = match (error, last.and_then(|last| last.status)) {
        (Some(error), _) => answer::capitalized(error),
        (None, Some(status)) => status.to_string(),
        (None, None) => return None,
    };
    Some(html! { (text) })
}

pub(crate) fn status_badge(status: DeliveryStatus) -> Markup {
    let tone = match status {
        DeliveryStatus::Delivered => Tone::Good,
        DeliveryStatus::Failed => Tone::Warning,
        DeliveryStatus::Dead => Tone::Bad,
        DeliveryStatus::Pending | DeliveryStatus::InFlight | DeliveryStatus::Dropped | DeliveryStatus::Paused => {
            Tone::Quiet
        }
    };
    badge::state(tone, status_name(status))
}

fn status_name(status: DeliveryStatus) -> &'static str {
    match status {
        DeliveryStatus::Pending => "Pending",
        DeliveryStatus::InFlight => "In flight",
        DeliveryStatus::Delivered => "Delivered",
        DeliveryStatus::Failed => "Retrying",
        DeliveryStatus::Dead => "Dead",
        DeliveryStatus::Dropped => "Dropped",
        DeliveryStatus::Paused => "Waits: paused",
    }
}
