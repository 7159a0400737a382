//! The webhooks of a project: the section on its page, and the list of all.

use axum::extract::{Path, Query, State};
use futures::future::join_all;
use gatepost_control_plane::{Failure, PageRequest, WebhookFilter, WebhookScope};
use gatepost_domain::record::{Project, Status, Webhook, WebhookState};
use gatepost_store::WebhookNumbers;
use maud::{Markup, html};

use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::layout;
use crate::dashboard::parts::badge::{self, Tone};
use crate::dashboard::parts::pager::ListQuery;
use crate::dashboard::parts::table::Column::Text;
use crate::dashboard::parts::{empty, facts, number, pager, table, time};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Webhooks on a page of the list. The numbers of each are read.
const PAGE_SIZE: usize = 25;
/// Webhooks on the page of a project: the newest ones.
const NEWEST_WEBHOOKS: usize = 5;

pub(crate) async fn list(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
) -> PageResult {
    let project = state.control_plane.project(&visitor.context(), &id).await?.record;
    let is_first = query.is_first();
    let found =
        state.control_plane.webhooks(&visitor.context(), &events_of(&project), &query.request(PAGE_SIZE)).await?;
    let content = html! {
        div.heading { h1 { "Webhooks" } (create_button(&visitor, &project)) }
        @if found.items.is_empty() && is_first {
            (none_yet())
        } @else {
            (table(&state, &visitor, &project, &found.items).await)
            (pager::links(&format!("{ROOT}/projects/{}/webhooks", project.id), is_first, found.next.as_deref()))
        }
    };
    Ok(answer::html_page(layout::project_page(&visitor, &project, "Webhooks", content)))
}

/// Shows the newest webhooks on the page of a project.
pub(crate) async fn section(state: &DashboardState, visitor: &Visitor, project: &Project) -> Result<Markup, Failure> {
    let all = state.control_plane.webhooks(&visitor.context(), &events_of(project), &PageRequest::default()).await?;
    let newest: Vec<Webhook> = all.items.iter().rev().take(NEWEST_WEBHOOKS).cloned().collect();
    Ok(html! {
        section #webhooks aria-labelledby="webhooks-heading" {
            div.heading {
                h2 #webhooks-heading { "Webhooks" }
                (create_button(visitor, project))
            }
            p.hint { "Monitor real-time notifications on keys events in your project." }
            @if newest.is_empty() {
                (none_yet())
            } @else {
                (table(state, visitor, project, &newest).await)
                @if newest.len() < all.items.len() {
                    p { a href={ (ROOT) "/projects/" (project.id) "/webhooks" } { "All " (all.items.len()) " webhooks" } }
                }
            }
        }
    })
}

fn events_of(project: &Project) -> WebhookFilter {
    let scope = Some(WebhookScope::EventsOf(project.id.to_string()));
    WebhookFilter { scope, ..WebhookFilter::default() }
}

fn create_button(visitor: &Visitor, project: &Project) -> Markup {
    html! {
        @if visitor.may_write() && project.status == Status::Active {
            a.button.primary href={ (ROOT) "/projects/" (project.id) "/webhooks/new" } { "+ Create New Hook" }
        }
    }
}

fn none_yet() -> Markup {
    empty::state(
        "No webhook yet",
        html! { p { "Start listening to key events: a webhook tells your own systems of every key that is created, used for the first time, changed or revoked." } },
    )
}

async fn table(state: &DashboardState, visitor: &Visitor, project: &Project, webhooks: &[Webhook]) -> Markup {
    let (now, numbers) = (state.control_plane.now(), numbers_of(state, visitor, webhooks).await);
    table::of(
        "Webhooks",
        &[Text("Name"), Text("Endpoint"), Text("Type"), Text("Status"), Text("Delivered in 24 h"), Text("Created")],
        html! {
            @for (webhook, numbers) in webhooks.iter().zip(numbers) {
                tr {
                    th scope="row" {
                        a href={ (ROOT) "/webhooks/" (webhook.id) } { (webhook.name) }
                        @if webhook.project.is_none() { " " span.badge { "whole account" } }
                    }
                    td { code { (webhook.url.masked) } }
                    td { (webhook.method) }
                    td { (state_badge(webhook, webhook.project.as_ref().map_or(Status::Active, |_| project.status))) }
                    td { (facts::or_dash(numbers.and_then(|numbers| success(&numbers)))) }
                    td { (time::relative(webhook.stamps.created_at, now)) }
                }
            }
        },
    )
}

/// Reads the numbers of webhooks. One that has just been deleted, or cannot be read now, has none.
async fn numbers_of(state: &DashboardState, visitor: &Visitor, webhooks: &[Webhook]) -> Vec<Option<WebhookNumbers>> {
    let context = visitor.context();
    let numbers = webhooks.iter().map(|webhook| state.control_plane.webhook_numbers(&context, webhook.id.as_str()));
    join_all(numbers).await.into_iter().map(Result::ok).collect()
}

/// Shows how many attempts of the last 24 hours delivered; none without attempts.
pub(crate) fn success(numbers: &WebhookNumbers) -> Option<Markup> {
    let attempts = numbers.delivered_last_day + numbers.failed_last_day;
    let percent = (numbers.delivered_last_day * 100).checked_div(attempts)?;
    Some(html! { (percent) " % of " (number::count(attempts, "attempt", "attempts")) })
}

/// Shows the state of a webhook: no event happens in a deleted project.
pub(crate) fn state_badge(webhook: &Webhook, project: Status) -> Markup {
    if project == Status::Inactive {
        return badge::state(Tone::Bad, "Project deleted");
    }
    match webhook.state() {
        WebhookState::Live => badge::state(Tone::Good, "Live"),
        WebhookState::Failing => badge::state(Tone::Warning, "Failing"),
        WebhookState::Paused => badge::state(Tone::Quiet, "Paused"),
        WebhookState::Disabled => badge::state(Tone::Bad, "Disabled"),
    }
}
