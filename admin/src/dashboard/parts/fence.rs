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
use crate::dashboard::live::{self, Outlook, Part, WithoutScript};
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

const COLUMNS: [Column<'_>; 4] =
    [Text("Gateway"), Text("State"), Text("Last heard"), Text("Refuses all keys from, unless heard")];

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

/// What gateways do once they have applied a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Effect {
    #[default]
    Apply,
    /// Accept only the current values of a key.
    AcceptValues,
    RefuseKey,
    RefuseKeys,
}

impl Effect {
    const ALL: [Effect; 4] = [Effect::Apply, Effect::AcceptValues, Effect::RefuseKey, Effect::RefuseKeys];

    /// Parses the name in a query; that they have applied it by default.
    pub(crate) fn parse(name: Option<&str>) -> Self {
        Self::ALL.into_iter().find(|effect| Some(effect.name()) == name).unwrap_or_default()
    }

    fn name(self) -> &'static str {
        match self {
            Effect::Apply => "apply",
            Effect::AcceptValues => "accept-values",
            Effect::RefuseKey => "refuse-key",
            Effect::RefuseKeys => "refuse-keys",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Effect::Apply => "have applied it",
            Effect::AcceptValues => "accept only the values below",
            Effect::RefuseKey => "refuse it",
            Effect::RefuseKeys => "refuse them",
        }
    }
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

/// Says what gateways do since a change, shows each gateway, and follows them until all have applied it.
pub(crate) fn region(fence: &Fence, effect: Effect, now: Timestamp) -> Markup {
    let path = format!("/changes/{}?effect={}&known={}", fence.position.version, effect.name(), fence.status.known);
    live::region(&path, &part(fence, effect, fence.status.known, now), WithoutScript::Link)
}

/// Says what gateways do since a change, of those that were known when somebody began to look.
pub(crate) fn part(fence: &Fence, effect: Effect, known_before: usize, now: Timestamp) -> Part {
    let PropagationStatus { applied, known } = fence.status;
    let markup = html! {
        div role="status" { (summary(fence, effect, now)) }
        @if known < known_before {
            p.hint {
                (number::count((known_before - known) as u64, "gateway is", "gateways are"))
                " not listed any more: stopped, or silent for so long that all keys are refused there."
            }
        }
        (table(fence, now))
    };
    Part { markup, outlook: if applied == known { Outlook::Final } else { Outlook::Open } }
}

fn summary(fence: &Fence, effect: Effect, now: Timestamp) -> Markup {
    let PropagationStatus { applied, known } = fence.status;
    let after = fence.waited.map(|waited| html! { " after " (number::duration(waited)) });
    let (words, after) = (effect.words(), after.unwrap_or_default());
    html! {
        @if known == 0 {
            p.fence { "No gateway is registered, so none accepts a key." }
        } @else if applied == known {
            p.fence.done { strong { (applied) "/" (known) " gateways " (words) } (after) "." }
        } @else {
            p.fence.late { strong { (applied) "/" (known) " gateways " (words) } (after) ". " (late_gateways(fence, now)) }
        }
    }
}

/// Says until when gateways that have not applied a change may accept keys.
fn late_gateways(fence: &Fence, now: Timestamp) -> Markup {
    let late = fence.gateways.iter().filter(|one| one.applied_after.is_none());
    html! {
        @match late.map(|one| one.gateway.lease_expires_at).max() {
            Some(at) => {
                "The others must refuse all keys by " time datetime=(at) title=(time::relative_text(at, now)) { (time::exact(at)) }
                ", unless they are heard before."
            }
            None => "The others must refuse all keys when their leases end, unless they are heard before.",
        }
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
        tr id=(gateway.id) {
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
