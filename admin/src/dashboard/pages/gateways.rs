//! The gateways: name, release, last heartbeat, lag and state.

use std::time::Duration;

use axum::extract::State;
use gatepost_control_plane::{Failure, GatewayLag};
use gatepost_domain::time::Timestamp;
use maud::{Markup, html};

use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::live::{self, Part, WithoutScript};
use crate::dashboard::parts::badge::{self, Tone};
use crate::dashboard::parts::table::Column::Text;
use crate::dashboard::parts::{copy, empty, facts, number, table, time};
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Time without a heartbeat after which a gateway is shown as silent: ten of its heartbeats.
const SILENT_AFTER: Duration = Duration::from_secs(5);
/// Lag from which a gateway is shown as behind.
const BEHIND_AFTER: Duration = Duration::from_secs(2);

pub(crate) async fn list(State(state): State<DashboardState>, visitor: Visitor) -> PageResult {
    let list = live_list(state, visitor.clone(), ()).await?;
    let content = html! {
        h1 { "Gateways" }
        p.hint { "A gateway is listed from its start until it stops, or until it refuses all requests because it cannot read changes." }
        (live::region("/gateways", &list, WithoutScript::Link))
    };
    let page = Page { title: "Gateways", section: Section::Gateways, trail: Vec::new(), project: None, content };
    Ok(answer::html_page(layout::page(&visitor, page)))
}

pub(crate) async fn live(State(state): State<DashboardState>, visitor: Visitor) -> PageResult {
    live::follow(state, visitor, (), live_list).await
}

async fn live_list(state: DashboardState, visitor: Visitor, (): ()) -> Result<Part, Failure> {
    let gateways = state.control_plane.gateways(&visitor.context()).await?;
    Ok(Part::open(html! {
        @if gateways.is_empty() {
            (empty::state("No gateway is registered", html! {
                p { "So no request passes with a key. A gateway in a process of its own is started by:" }
                pre tabindex="0" { code { "gatepost gateway --config gatepost.toml" } }
            }))
        } @else {
            (table(&gateways, state.control_plane.now()))
        }
    }))
}

fn table(gateways: &[GatewayLag], now: Timestamp) -> Markup {
    table::of(
        "Gateways",
        &[
            Text("Name"),
            Text("State"),
            Text("Lag"),
            Text("Last heard"),
            Text("Refuses all keys from, unless heard"),
            Text("Version"),
            Text("Gateway ID"),
        ],
        html! { @for gateway in gateways { (row(gateway, now)) } },
    )
}

fn row(GatewayLag { gateway, lag }: &GatewayLag, now: Timestamp) -> Markup {
    let label = gateway.label.as_ref();
    html! {
        tr id=(gateway.id) {
            th scope="row" { (label.map_or("A gateway of 0.1.0", |label| &label.name)) }
            td { (state_badge(gateway.last_heartbeat_at, gateway.lease_expires_at, *lag, now)) }
            td { @if lag.is_zero() { "none" } @else { (number::duration(*lag)) } }
            td { (facts::or_dash(gateway.last_heartbeat_at.map(|at| time::relative(at, now)))) }
            td { (time::relative(gateway.lease_expires_at, now)) }
            td { (facts::or_dash(label.map(|label| html! { (label.version) }))) }
            td { (copy::id(gateway.id.as_str())) }
        }
    }
}

fn state_badge(heard_at: Option<Timestamp>, refuses_at: Timestamp, lag: Duration, now: Timestamp) -> Markup {
    if refuses_at <= now {
        badge::state(Tone::Bad, "Refuses all keys")
    } else if heard_at.is_some_and(|at| now.since(at) > SILENT_AFTER) {
        badge::state(Tone::Warning, "Silent")
    } else if lag > BEHIND_AFTER {
        badge::state(Tone::Warning, "Behind")
    } else {
        badge::state(Tone::Good, "Live")
    }
}
