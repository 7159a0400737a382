//! Which gateways have applied a change, and after which time.

use std::time::Duration;

use gatepost_control_plane::{Failure, GatewayPropagation, PropagationStatus};
use gatepost_domain::partition::Position;
use gatepost_domain::time::Timestamp;
use maud::{Markup, html};
use tokio::time::Instant;

use super::badge::{self, Tone};
use super::table::Column;
use super::table::Column::Text;
use super::{facts, number, table, time};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

const COLUMNS: [Column<'_>; 4] =
    [Text("Gateway"), Text("State"), Text("Last heard"), Text("Must refuse all keys, unless heard")];

/// The longest time for which a page waits for gateways.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// What gateways have applied of a change.
pub(crate) struct Fence {
    position: Position,
    status: PropagationStatus,
    /// How long the page has waited; absent if it shows only what was reached before.
    waited: Option<Duration>,
    /// Each gateway; none for visitors that see one project.
    gateways: Vec<GatewayPropagation>,
}

/// Waits up to 10 s until all gateways have applied a change.
pub(crate) async fn wait(state: &DashboardState, visitor: &Visitor, position: Position) -> Result<Fence, Failure> {
    let (started_at, fence) = (Instant::now(), read(state, visitor, position, MAX_WAIT).await?);
    Ok(Fence { waited: Some(started_at.elapsed()), ..fence })
}

/// Returns what gateways have applied of a change by now.
pub(crate) async fn observe(state: &DashboardState, visitor: &Visitor, position: Position) -> Result<Fence, Failure> {
    read(state, visitor, position, Duration::ZERO).await
}

async fn read(state: &DashboardState, visitor: &Visitor, position: Position, wait: Duration) -> Result<Fence, Failure> {
    let control_plane = &state.control_plane;
    if visitor.sees_account() {
        let report = control_plane.propagation_report(&visitor.context(), position, wait).await?;
        return Ok(Fence { position, status: report.status(), waited: None, gateways: report.gateways });
    }
    let status = control_plane.await_propagation(&visitor.caller().account, position, wait).await?;
    Ok(Fence { position, status, waited: None, gateways: Vec::new() })
}

/// Says what gateways do since a change that a page has waited for, such as `refuse it`, and shows each gateway.
pub(crate) fn after_wait(fence: &Fence, verb: &str, now: Timestamp) -> Markup {
    let PropagationStatus { applied, known } = fence.status;
    let waited = number::duration(fence.waited.unwrap_or_default());
    html! {
        @if known == 0 {
            p.fence { "No gateway is registered, so none accepts a key." }
        } @else if applied == known {
            p.fence.done { strong { (applied) "/" (known) " gateways " (verb) } " after " (waited) "." }
        } @else {
            p.fence.late {
                strong { (applied) "/" (known) " gateways " (verb) } " after " (waited) ". " (late_gateways()) " "
                a href={ (ROOT) "/changes/" (fence.position.version) "#gateways" } { "Look again" }
            }
        }
        (table(fence, now))
    }
}

/// Says how many gateways have applied a change by now, and shows each gateway.
pub(crate) fn by_now(fence: &Fence, now: Timestamp) -> Markup {
    let PropagationStatus { applied, known } = fence.status;
    html! {
        @if known == 0 {
            p.fence { "No gateway is registered." }
        } @else if applied == known {
            p.fence.done { strong { (applied) "/" (known) " gateways have applied it" } "." }
        } @else {
            p.fence.late { strong { (applied) "/" (known) " gateways have applied it" } ". " (late_gateways()) }
        }
        (table(fence, now))
    }
}

fn late_gateways() -> Markup {
    html! {
        "The others have not applied the change yet. A gateway that cannot read changes refuses all keys when its lease "
        "ends."
    }
}

fn table(fence: &Fence, now: Timestamp) -> Markup {
    html! {
        @if !fence.gateways.is_empty() {
            (table::of("Gateways", &COLUMNS, html! { @for one in &fence.gateways { (row(one, fence.waited, now)) } }))
        }
    }
}

fn row(one: &GatewayPropagation, waited: Option<Duration>, now: Timestamp) -> Markup {
    let gateway = &one.gateway;
    let name = gateway.label.as_ref().map_or(gateway.id.as_str(), |label| &label.name);
    html! {
        tr {
            th scope="row" { span title=(gateway.id.as_str()) { (name) } }
            td {
                @match one.applied_after {
                    Some(after) if waited.is_some() => {
                        (badge::state(Tone::Good, "Applied")) " after " (number::duration(after))
                    }
                    Some(_) => (badge::state(Tone::Good, "Applied")),
                    None => (badge::state(Tone::Warning, "Not applied yet")),
                }
            }
            td { (facts::or_dash(gateway.last_heartbeat_at.map(|at| time::relative(at, now)))) }
            td { (time::relative(gateway.lease_expires_at, now)) }
        }
    }
}
