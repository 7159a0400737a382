//! One key: what it is, its values, and what can be done with it.

use std::time::Duration;

use axum::extract::{Path, Query, State};
use gatepost_control_plane::{ChangeLimits, EventCursor, EventFilter, Failure, KeyRef, ScanTime};
use gatepost_domain::key::Secret;
use gatepost_domain::record::{ApiKey, Project, Status};
use gatepost_domain::time::Timestamp;
use gatepost_domain::window::Period;
use gatepost_store::Versioned;
use maud::{Markup, html};
use serde::Deserialize;

use super::found_changes;
use super::key_state::{self, KeyState};
use super::{key_values, keys, value_once};
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFaults, NO_FAULTS};
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::live::{self, Part, WithoutScript};
use crate::dashboard::one_time::{self, Shown};
use crate::dashboard::parts::facts::{Fact, or_dash};
use crate::dashboard::parts::fence::Effect;
use crate::dashboard::parts::field::Entries;
use crate::dashboard::parts::{change_table, copy, facts, fence, number, time};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::usage::{self, UsagePeriod};
use crate::dashboard::visitor::Visitor;

/// Overlaps of a rotation: seconds, and words.
const OVERLAPS: [(&str, &str); 7] = [
    ("0", "None: the old value is refused at once"),
    ("60", "1 minute"),
    ("3600", "1 hour"),
    ("86400", "1 day"),
    ("604800", "7 days"),
    ("2592000", "30 days"),
    ("7776000", "90 days"),
];

/// What the history of a key shows, and what is read for it.
const HISTORY: ChangeLimits = ChangeLimits { changes: 10, entries: 1000, time: ScanTime::Unlimited };
/// The most by which the clock of a process that creates keys may be ahead of the store's.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(600);

#[derive(Debug, Default, Deserialize)]
pub(crate) struct KeyQuery {
    usage: Option<String>,
}

/// A key and its project.
pub(crate) struct KeyAndProject {
    pub(crate) key: Versioned<ApiKey>,
    pub(crate) project: Project,
}

impl KeyAndProject {
    fn state(&self, now: Timestamp) -> KeyState {
        KeyState::of(&self.key.record, self.project.status, now)
    }
}

/// Reads a key by its id, and its project.
pub(crate) async fn read(state: &DashboardState, visitor: &Visitor, id: &str) -> Result<KeyAndProject, Failure> {
    let key_ref = key_ref(id)?;
    let key = state.control_plane.api_key(&visitor.context(), &key_ref).await?;
    let project = state.control_plane.project(&visitor.context(), key.record.project.as_str()).await?.record;
    Ok(KeyAndProject { key, project })
}

/// Parses the id of a key. A value names no page.
pub(crate) fn key_ref(id: &str) -> Result<KeyRef, Failure> {
    match KeyRef::parse(id) {
        found @ KeyRef::Id(_) => Ok(found),
        KeyRef::Value(_) => Err(gatepost_domain::problem::ErrorCode::InvalidClientKey.into()),
    }
}

/// Returns a page about a key.
pub(crate) fn key_page(visitor: &Visitor, of: &KeyAndProject, title: &str, content: Markup) -> Markup {
    let mut trail = layout::project_trail(visitor, &of.project);
    trail.push((format!("/projects/{}/keys", of.project.id), "API keys".to_owned()));
    if title != of.key.record.name {
        trail.push((format!("/keys/{}", of.key.record.id), of.key.record.name.clone()));
    }
    layout::page(visitor, Page { title, section: Section::Projects, trail, project: Some(&of.project), content })
}

pub(crate) async fn show(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<KeyQuery>,
) -> PageResult {
    let period = UsagePeriod::parse(query.usage.as_deref())?;
    let found = read(&state, &visitor, &id).await?;
    let key = &found.key.record;
    let part = live_part(state, visitor.clone(), (id, period)).await?;
    let content = live::region(&period.path(&format!("/keys/{}", key.id)), &part, WithoutScript::Link);
    Ok(answer::html_page(key_page(&visitor, &found, &key.name, content)))
}

pub(crate) async fn live(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<KeyQuery>,
) -> PageResult {
    live::follow(state, visitor, (id, UsagePeriod::parse(query.usage.as_deref())?), live_part).await
}

async fn live_part(
    state: DashboardState,
    visitor: Visitor,
    (id, period): (String, UsagePeriod),
) -> Result<Part, Failure> {
    let found = read(&state, &visitor, &id).await?;
    let (key, now) = (&found.key.record, state.control_plane.now());
    let key_state = found.state(now);
    let last_use = state.control_plane.last_use(key).await?;
    Ok(Part::open(html! {
        div.heading {
            h1 { (key.name) " " (key_state.badge()) }
            @if visitor.may_write() { (actions(&found)) }
        }
        section.card aria-label="Facts" { (facts::list(key_facts(&found.key, last_use, now))) }
        section aria-labelledby="usage-heading" {
            h2 #usage-heading { "Usage" }
            (usage_section(&state, &visitor, key, period).await?)
        }
        section aria-labelledby="values-heading" {
            h2 #values-heading { "Values" }
            (key_values::table(key, key_state, now))
        }
        section aria-labelledby="history-heading" {
            h2 #history-heading { "History" }
            (history_section(&state, &visitor, key).await?)
        }
        section aria-labelledby="metadata-heading" {
            h2 #metadata-heading { "Metadata" }
            pre tabindex="0" { code { (pretty_json(&key.metadata.0)) } }
        }
    }))
}

async fn usage_section(
    state: &DashboardState,
    visitor: &Visitor,
    key: &ApiKey,
    period: UsagePeriod,
) -> Result<Markup, Failure> {
    let (key_ref, now) = (KeyRef::Id(key.id.clone()), state.control_plane.now());
    let (context, start) = (visitor.context(), period.start(now));
    let used = state.control_plane.key_usage(&context, &key_ref, period.grouping(), Some(start), None).await?;
    Ok(usage::chart(period, &used.totals, now, &format!("{ROOT}/keys/{}", key.id)))
}

/// Shows the newest changes of a key.
async fn history_section(state: &DashboardState, visitor: &Visitor, key: &ApiKey) -> Result<Markup, Failure> {
    let filter = EventFilter::of_subject(key.project.clone(), key.id.to_string());
    let since = key.stamps.created_at.minus(MAX_CLOCK_SKEW);
    let found = found_changes::read(state, visitor, &filter, &EventCursor::END, Some(since), HISTORY).await?;
    let all = format!("{ROOT}/projects/{}/changes?subject={}", key.project, key.id);
    Ok(html! {
        @if found.changes.is_empty() {
            p.hint { "No change of this key is among the newest changes." }
        } @else {
            (change_table::table(&found.changes, &found.actors, state.control_plane.now()))
        }
        @if let Some(next) = found.next { p { a href={ (all) "&after=" (next) } { "Older changes of this key" } } }
    })
}

/// Shows what can be done with a key. In a deleted project it can only be revoked.
fn actions(found: &KeyAndProject) -> Markup {
    let path = format!("{ROOT}/keys/{}", found.key.record.id);
    let is_changeable = found.project.status == Status::Active;
    html! {
        div.actions {
            @match found.key.record.status {
                Status::Active => {
                    @if is_changeable {
                        a.button href={ (path) "/edit" } { "Edit" }
                        a.button href={ (path) "/rotate" } { "Rotate…" }
                    }
                    a.button.danger href={ (path) "/revoke" } { "Revoke…" }
                }
                Status::Inactive if is_changeable => {
                    form method="post" action={ (path) "/reactivate" } { button { "Reactivate" } }
                }
                Status::Inactive => {}
            }
        }
    }
}

fn key_facts(found: &Versioned<ApiKey>, last_use: Option<Timestamp>, now: Timestamp) -> Vec<Fact> {
    let key = &found.record;
    let relative = |at: Option<Timestamp>| or_dash(at.map(|at| time::relative(at, now)));
    let list = |items: &[String]| or_dash((!items.is_empty()).then(|| html! { (items.join(", ")) }));
    let networks: Vec<String> = key.allowed_ips.iter().map(ToString::to_string).collect();
    vec![
        ("Key", html! { code { (key.mask) } }),
        ("Key ID", copy::id(key.id.as_str())),
        (
            "Customer ID",
            or_dash(key.custom_account_id.as_ref().map(
                |id| html! { (copy::id(id)) " " a href=(keys::customer_path(&key.project, id)) { "all of its keys" } },
            )),
        ),
        ("User ID", or_dash(key.custom_user_id.as_ref().map(|id| copy::id(id)))),
        ("First used", relative(found.first_used_at)),
        ("Last used", relative(last_use)),
        ("Expires", relative(key.expires_at)),
        (
            "Rate limit",
            or_dash(key.rate_limit.map(|limit| {
                html! {
                    (number::count(limit.limit, "request", "requests")) " in " (number::duration(limit.window))
                }
            })),
        ),
        (
            "Quota",
            or_dash(key.quota.map(|quota| {
                html! {
                    (number::count(quota.limit, "request", "requests")) " a "
                    @match quota.period { Period::Day => "day", Period::Month => "month" }
                }
            })),
        ),
        ("Permissions", list(&key.permissions)),
        ("Allowed domains", list(&key.allowed_domains)),
        ("Allowed addresses", list(&networks)),
        ("Created", time::relative(key.stamps.created_at, now)),
        ("Changed", time::relative(key.stamps.updated_at, now)),
    ]
}

fn pretty_json(text: &str) -> String {
    let parsed = serde_json::from_str::<serde_json::Value>(text);
    parsed.and_then(|json| serde_json::to_string_pretty(&json)).unwrap_or_else(|_| text.to_owned())
}

pub(crate) async fn confirm_rotate(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> PageResult {
    visitor.caller().require_write()?;
    let found = read(&state, &visitor, &id).await?;
    key_state::require_rotatable(&found.key.record, &found.project)?;
    let form = Form::with([("overlap", "86400".to_owned())]);
    Ok(answer::html_page(rotate_page(&visitor, &found, &form, &NO_FAULTS, state.control_plane.now())))
}

/// Gives a key a new value, and shows it once.
pub(crate) async fn rotate(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: Form,
) -> PageResult {
    visitor.caller().require_write()?;
    let found = read(&state, &visitor, &id).await?;
    let control_plane = &state.control_plane;
    let overlap = form.number("overlap").map(Option::unwrap_or_default);
    let rotated = one_time::make_once(&state, visitor.context(), &form, |context| async move {
        let updated = control_plane.rotate_api_key(&context, &key_ref(&id)?, overlap?).await?;
        let secret = updated.value.unwrap_or_else(|| Secret::new(String::new()));
        Ok(Shown { id: updated.key.record.id.to_string(), secret })
    });
    match rotated.await {
        Ok(shown) => {
            let found = read(&state, &visitor, &shown.id).await?;
            let fence = fence::wait(&state, &visitor, found.key.position).await?;
            let (key, now) = (&found.key.record, state.control_plane.now());
            let effect = fence::region(&fence, Effect::AcceptValues, now);
            let values = key_values::table(key, found.state(now), now);
            let content = value_once::rotated(key, &shown, effect, key_state::expiry_warning(key, now), values);
            Ok(answer::html_page(key_page(&visitor, &found, "Key rotated", content)))
        }
        Err(failure) => {
            let faults = FormFaults::of(failure)?;
            Ok(answer::faulty_form(rotate_page(&visitor, &found, &form, &faults, state.control_plane.now())))
        }
    }
}

fn rotate_page(visitor: &Visitor, found: &KeyAndProject, form: &Form, faults: &FormFaults, now: Timestamp) -> Markup {
    let key = &found.key.record;
    let entries = Entries { form, faults };
    let title = format!("Rotate {}", key.name);
    let content = html! {
        h1 { (title) }
        p { "The key gets a new value, and keeps its ID, limits and history. During the overlap both values are accepted." }
        (key_state::expiry_warning(key, now))
        form.stack.card method="post" action={ (ROOT) "/keys/" (key.id) "/rotate" } {
            (entries.summary(&[]))
            (entries.choice("overlap", "Overlap", &OVERLAPS))
            (one_time::field(form))
            div.actions {
                button.primary { "Rotate" }
                a.button href={ (ROOT) "/keys/" (key.id) } { "Cancel" }
            }
        }
    };
    key_page(visitor, found, &title, content)
}

pub(crate) async fn reactivate(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> PageResult {
    state.control_plane.reactivate_api_key(&visitor.context(), &key_ref(&id)?).await?;
    Ok(answer::see_other(&format!("/keys/{id}")))
}
