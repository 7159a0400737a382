//! The system, for its operator: readiness, queues, quarantine and version.

use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use gatepost_control_plane::{EventCursor, Failure, QuarantinePage, Rest, StoreView, SystemView};
use gatepost_domain::time::Timestamp;
use gatepost_store::{QueueStats, Recovery, StoreKind};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use maud::{Markup, html};
use serde::Deserialize;

use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::live::{self, Part, WithoutScript};
use crate::dashboard::parts::badge::{self, Tone};
use crate::dashboard::parts::facts::Fact;
use crate::dashboard::parts::table::Column::{Hidden, Number, Text};
use crate::dashboard::parts::{copy, empty, facts, number, pager, table, time};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;
use crate::http::changes::{parse_cursor, parse_path_cursor};

/// Entries of the quarantine on a page.
const PAGE_SIZE: usize = 50;

#[derive(Debug, Default, Deserialize)]
pub(crate) struct QuarantineQuery {
    after: Option<String>,
}

pub(crate) async fn show(State(state): State<DashboardState>, visitor: Visitor) -> PageResult {
    let numbers = live_numbers(state, visitor.clone(), ()).await?;
    let content = html! {
        h1 { "System" }
        (live::region("/system", &numbers, WithoutScript::Link))
    };
    let page = Page { title: "System", section: Section::System, trail: Vec::new(), project: None, content };
    Ok(answer::html_page(layout::page(&visitor, page)))
}

pub(crate) async fn live(State(state): State<DashboardState>, visitor: Visitor) -> PageResult {
    live::follow(state, visitor, (), live_numbers).await
}

async fn live_numbers(state: DashboardState, visitor: Visitor, (): ()) -> Result<Part, Failure> {
    let system = state.control_plane.system(&visitor.context()).await?;
    Ok(Part::open(html! {
        section.card aria-label="State" { (facts::list(state_facts(&system))) }
        @if !system.store.warnings.is_empty() {
            section aria-labelledby="warnings-heading" {
                h2 #warnings-heading { "Warnings" }
                @for warning in &system.store.warnings { p.fence { (warning) } }
            }
        }
        section aria-labelledby="queues-heading" {
            h2 #queues-heading { "Queues" }
            p.hint { "Webhook deliveries and events of all accounts." }
            div.card { (facts::list(queue_facts(&system.queue))) }
        }
        section aria-labelledby="quarantine-heading" {
            h2 #quarantine-heading { "Quarantine" }
            @if system.queue.quarantined == 0 {
                p { "Empty: every change could be read." }
            } @else {
                p {
                    (number::count(system.queue.quarantined, "change", "changes"))
                    " could not be read and " strong { "were not delivered" } ". "
                    a href={ (ROOT) "/system/quarantine" } { "Show the entries" }
                }
            }
        }
    }))
}

fn state_facts(system: &SystemView) -> Vec<Fact> {
    let store = &system.store;
    vec![
        ("Readiness", readiness(store)),
        ("Version", html! { (system.version) }),
        ("Store", html! { (store_name(store.kind)) ", format " (store.format.number()) }),
        ("Replayed after failovers", html! { (number::grouped(store.replays.replayed)) }),
        ("Lost in failovers", html! { (number::grouped(store.replays.conflicts + store.replays.given_up)) }),
    ]
}

/// Shows what `/readyz` of this process says about the store, which has just responded.
fn readiness(store: &StoreView) -> Markup {
    html! {
        @if let Some(reason) = &store.full_reason {
            (badge::state(Tone::Bad, "Takes no changes")) p.hint { (reason) }
        } @else if store.recovery == Recovery::InProgress {
            (badge::state(Tone::Warning, "Recovers from a failover"))
            p.hint { "Some keys may not be found for a moment." }
        } @else {
            (badge::state(Tone::Good, "Ready"))
        }
    }
}

fn store_name(kind: StoreKind) -> &'static str {
    match kind {
        StoreKind::Embedded => "embedded",
        StoreKind::Redis => "Redis",
    }
}

fn queue_facts(queue: &QueueStats) -> Vec<Fact> {
    let count = |number: u64| html! { (number::grouped(number)) };
    vec![
        ("Deliveries that wait", count(queue.pending)),
        ("Being sent", count(queue.leased)),
        (
            "Most overdue by",
            html! { @if queue.max_overdue.is_zero() { "nothing" } @else { (number::duration(queue.max_overdue)) } },
        ),
        ("Events not read yet", count(queue.fan_out_backlog)),
        ("Dead letters", count(queue.dead_letters)),
        ("Dead letters dropped", count(queue.dead_letters_dropped)),
    ]
}

pub(crate) async fn quarantine(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Query(query): Query<QuarantineQuery>,
) -> PageResult {
    let after = query.after.as_deref().map(|text| parse_cursor("after", text)).transpose()?;
    let is_first = after.is_none();
    let before = after.unwrap_or(EventCursor::END);
    let found = state.control_plane.quarantine(&visitor.context(), &before, PAGE_SIZE).await?;
    let next = (found.rest == Rest::More).then(|| found.next.to_string());
    let content = html! {
        h1 { "Quarantine" }
        p { "Changes that this version cannot read. They are not delivered to webhooks. A newer version may read them; keep the bytes for a report." }
        @if found.entries.is_empty() {
            (empty::state("Nothing is in quarantine", html! { p { a href={ (ROOT) "/system" } { "Back to the system" } } }))
        } @else {
            (table(&found, state.control_plane.now()))
        }
        (pager::links(&format!("{ROOT}/system/quarantine"), is_first, next.as_deref()))
    };
    let trail = vec![("/system".to_owned(), "System".to_owned())];
    let page = Page { title: "Quarantine", section: Section::System, trail, project: None, content };
    Ok(answer::html_page(layout::page(&visitor, page)))
}

fn table(page: &QuarantinePage, now: Timestamp) -> Markup {
    table::of(
        "Quarantine",
        &[Text("Cursor"), Text("Why"), Text("When"), Number("Bytes"), Hidden("Actions")],
        html! {
            @for entry in &page.entries {
                @let cursor = entry.cursor.to_string();
                tr {
                    th scope="row" { (copy::text(&cursor, "Copy the cursor")) }
                    td.wrap { (entry.reason) }
                    td { (time::relative(entry.at, now)) }
                    td.number { (number::grouped(entry.bytes as u64)) }
                    td {
                        a.button href={ (ROOT) "/system/quarantine/" (cursor) } aria-label={ "Download " (cursor) } {
                            "Download"
                        }
                    }
                }
            }
        },
    )
}

/// Returns the bytes of an entry as a file.
pub(crate) async fn download(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(cursor): Path<String>,
) -> PageResult {
    let cursor = parse_path_cursor(&cursor)?;
    let (_, bytes) = state.control_plane.quarantined_entry(&visitor.context(), &cursor).await?;
    let disposition = format!("attachment; filename=\"quarantine-{cursor}.bin\"");
    let headers = [(CONTENT_TYPE, "application/octet-stream".to_owned()), (CONTENT_DISPOSITION, disposition)];
    Ok((headers, bytes).into_response())
}
