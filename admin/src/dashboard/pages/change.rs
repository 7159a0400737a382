//! One change: who made it and from where, the resource before and after, its deliveries, and which gateways have applied
//! it.

use axum::extract::{Path, Query, State};
use gatepost_control_plane::{Failure, VisibleChange, WebhookDelivery};
use gatepost_domain::record::Project;
use maud::{Markup, html};
use serde::Deserialize;

use super::deliveries::{last_result, status_badge};
use crate::dashboard::action_words;
use crate::dashboard::actors::{self, ActorNames};
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::live::{self, Part};
use crate::dashboard::parts::facts::{Fact, or_dash};
use crate::dashboard::parts::fence::Effect;
use crate::dashboard::parts::table::Column::{Number, Text};
use crate::dashboard::parts::{change_table, changed_members, copy, diff, facts, fence, table, time};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;
use crate::http::changes::{no_such_change, parse_path_cursor, resource_of};

pub(crate) async fn show(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(cursor): Path<String>,
) -> PageResult {
    let context = visitor.context();
    let change = state.control_plane.change_at(&context, &parse_path_cursor(&cursor)?).await?;
    let resource = resource_of(&change).ok_or_else(no_such_change)?;
    let project = match &change.content.metadata.project {
        Some(project) => Some(state.control_plane.project(&context, project.as_str()).await?.record),
        None => None,
    };
    let fence = fence::observe(&state, &visitor, change.position()).await?;
    let after = change.content.new.as_ref().map(|_| &resource.data);
    let replaced = changed_members::replaced_value(&change).map(|what| format!("{}.", answer::capitalized(what)));
    let unchanged = replaced.unwrap_or_else(|| "No field of it was changed.".to_owned());
    let content = html! {
        h1 { (action_words::title(change.content.action)) }
        section.card aria-label="Facts" {
            (facts::list(change_facts(&state, &visitor, &change, project.as_ref()).await?))
        }
        section aria-labelledby="fields-heading" {
            h2 #fields-heading { "Before and after" }
            (diff::table(resource.previous.as_ref(), after, &unchanged))
        }
        section #deliveries aria-labelledby="deliveries-heading" {
            h2 #deliveries-heading { "Deliveries" }
            (deliveries(&state, &visitor, &change).await?)
        }
        section #gateways aria-labelledby="gateways-heading" {
            h2 #gateways-heading { "Gateways" }
            (fence::region(&fence, Effect::default(), state.control_plane.now()))
        }
    };
    Ok(answer::html_page(change_page(&visitor, &change, project.as_ref(), content)))
}

/// Query of the stream.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct FenceQuery {
    effect: Option<String>,
    known: Option<usize>,
}

/// Follows the gateways until all have applied a change.
pub(crate) async fn live(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(cursor): Path<String>,
    Query(query): Query<FenceQuery>,
) -> PageResult {
    live::follow(state, visitor, (cursor, query), live_fence).await
}

async fn live_fence(
    state: DashboardState,
    visitor: Visitor,
    (cursor, query): (String, FenceQuery),
) -> Result<Part, Failure> {
    let change = state.control_plane.change_at(&visitor.context(), &parse_path_cursor(&cursor)?).await?;
    let fence = fence::observe(&state, &visitor, change.position()).await?;
    let effect = Effect::parse(query.effect.as_deref());
    Ok(fence::part(&fence, effect, query.known.unwrap_or_default(), state.control_plane.now()))
}

async fn change_facts(
    state: &DashboardState,
    visitor: &Visitor,
    change: &VisibleChange,
    project: Option<&Project>,
) -> Result<Vec<Fact>, Failure> {
    let (metadata, at) = (&change.content.metadata, change.version.timestamp());
    let names = ActorNames::read(state, visitor, &[&metadata.actor]).await?;
    let by = actors::filter_text(&metadata.actor);
    Ok(vec![
        ("When", html! { (time::relative(at, state.control_plane.now())) " – " (time::exact(at)) }),
        (
            "By",
            html! { (names.label(&metadata.actor)) " " a href={ (ROOT) "/changes?actor=" (by) } { "all of its changes" } },
        ),
        ("From", or_dash(metadata.address.map(|address| html! { code { (address) } }))),
        ("Of", change_table::subject(change)),
        ("Its ID", copy::id(&metadata.subject)),
        (
            "Project",
            or_dash(project.map(|project| html! { a href={ (ROOT) "/projects/" (project.id) } { (project.name) } })),
        ),
        ("Event ID", copy::id(change.event.as_str())),
        ("Cursor", copy::text(&change.cursor().to_string(), "Copy the cursor")),
        ("History", html! { a href={ (ROOT) "/changes?subject=" (metadata.subject) } { "All changes of this" } }),
    ])
}

async fn deliveries(state: &DashboardState, visitor: &Visitor, change: &VisibleChange) -> Result<Markup, Failure> {
    let found = state.control_plane.deliveries_of_change(&visitor.context(), change).await?;
    let now = state.control_plane.now();
    Ok(html! {
        @if found.is_empty() {
            p.hint { (no_delivery(change)) }
        } @else {
            (table::of("Deliveries", &[Text("Webhook"), Text("State"), Text("Last result"), Number("Attempts"), Text("Next attempt")], html! {
                @for WebhookDelivery { webhook, view } in &found {
                    @let delivery = &view.delivery;
                    tr {
                        th scope="row" {
                            a href={ (ROOT) "/webhooks/" (webhook.id) "/deliveries/" (delivery.event_id) } { (webhook.name) }
                        }
                        td { (status_badge(view.status)) }
                        td.wrap { (or_dash(last_result(delivery))) }
                        td.number { (delivery.attempts) }
                        td { (or_dash(delivery.next_attempt_at.map(|at| time::relative(at, now)))) }
                    }
                }
            }))
        }
    })
}

fn no_delivery(change: &VisibleChange) -> &'static str {
    match change.content.action.topic() {
        Some(_) => "No delivery of this change is kept. It may be too old, or no webhook receives its event.",
        None => "Webhooks receive no event of changes of this kind.",
    }
}

fn change_page(visitor: &Visitor, change: &VisibleChange, project: Option<&Project>, content: Markup) -> Markup {
    let (section, trail) = match project {
        Some(project) => {
            let mut trail = layout::project_trail(visitor, project);
            trail.push((format!("/projects/{}/changes", project.id), "Changes".to_owned()));
            (Section::Projects, trail)
        }
        None => (Section::Changes, vec![("/changes".to_owned(), "Changes".to_owned())]),
    };
    let title = action_words::title(change.content.action);
    layout::page(visitor, Page { title, section, trail, project, content })
}
