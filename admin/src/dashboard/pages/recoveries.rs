//! Recoveries of a webhook: starting one, its progress, and cancelling it.

use std::time::Duration;

use axum::extract::{Path, Query, State};
use gatepost_control_plane::{Failure, RecoveryRequest, reason_not_to_send};
use gatepost_domain::record::{Webhook, WebhookStatus};
use gatepost_domain::time::Timestamp;
use gatepost_store::{RecoveredKinds, RecoveryJob, RecoveryStatus, WebhookNumbers};
use maud::{Markup, html};
use serde::Deserialize;

use super::webhook_frame::{self, WebhookAndProject};
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFaults, NO_FAULTS};
use crate::dashboard::live::{self, Outlook, Part, WithoutScript};
use crate::dashboard::parts::badge::{self, Tone};
use crate::dashboard::parts::facts::{self, or_dash};
use crate::dashboard::parts::field::{Entries, Field};
use crate::dashboard::parts::table::Column::Text;
use crate::dashboard::parts::{copy, number, table, time};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Where a recovery begins unless somebody chooses another time.
const DEFAULT_PERIOD: Duration = Duration::from_secs(24 * 3600);
const KINDS: [(&str, &str); 4] = [
    ("all", "Dead letters and dropped deliveries"),
    ("dead", "Dead letters"),
    ("dropped", "Dropped deliveries"),
    ("failed", "Deliveries that wait for their next attempt"),
];
const SINCE: Field = Field::text(
    "since",
    "Created since",
    "UTC, such as 2027-01-31 or 2027-01-31 12:00:00. Dead letters are kept for 30 days, dropped deliveries for 7.",
)
.required();
const UNTIL: Field = Field::text("until", "and before", "Empty for up to now.");

#[derive(Debug, Default, Deserialize)]
pub(crate) struct RecoverQuery {
    status: Option<String>,
}

pub(crate) async fn form(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<RecoverQuery>,
) -> PageResult {
    visitor.caller().require_write()?;
    let found = webhook_frame::read(&state, &visitor, &id).await?;
    let numbers = state.control_plane.webhook_numbers(&visitor.context(), &id).await?;
    let since = time::exact(state.control_plane.now().minus(DEFAULT_PERIOD));
    let kinds = query.status.filter(|name| RecoveredKinds::parse(name).is_some()).unwrap_or_else(|| "all".to_owned());
    let form = Form::with([("status", kinds), ("since", since.trim_end_matches(" UTC").to_owned())]);
    Ok(answer::html_page(form_page(&visitor, &found, &numbers, Entries { form: &form, faults: &NO_FAULTS })))
}

/// Starts a recovery, and leads to its progress.
pub(crate) async fn start(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: Form,
) -> PageResult {
    let topics: Vec<String> = form.all("topics").map(str::to_owned).collect();
    let request = RecoveryRequest {
        since: form.filled("since"),
        until: form.filled("until"),
        topics: Some(topics).filter(|topics| !topics.is_empty()),
        status: form.filled("status"),
    };
    match state.control_plane.start_recovery(&visitor.context(), &id, &request).await {
        Ok(job) => Ok(answer::see_other(&format!("/webhooks/{id}/recoveries/{}", job.id))),
        Err(failure) => {
            let faults = FormFaults::of(failure)?;
            let found = webhook_frame::read(&state, &visitor, &id).await?;
            let numbers = state.control_plane.webhook_numbers(&visitor.context(), &id).await?;
            let entries = Entries { form: &form, faults: &faults };
            Ok(answer::faulty_form(form_page(&visitor, &found, &numbers, entries)))
        }
    }
}

fn form_page(visitor: &Visitor, found: &WebhookAndProject, numbers: &WebhookNumbers, entries: Entries<'_>) -> Markup {
    let webhook = &found.webhook.record;
    let path = format!("{ROOT}/webhooks/{}", webhook.id);
    let title = format!("Recover deliveries of {}", webhook.name);
    let content = html! {
        h1 { (title) }
        p {
            "Deliveries that were not made are sent again, oldest first and paced, so that new events are not held up. There are "
            (number::count(numbers.dead, "dead letter", "dead letters")) " and " (number::grouped(numbers.dropped)) " dropped."
        }
        @if let Some(reason) = reason_not_to_send(webhook) {
            p.notice role="note" { "Nothing can be recovered now: " (reason) "." }
        } @else if webhook.status == WebhookStatus::Paused {
            (waits_notice())
        }
        form.stack.card method="post" action={ (path) "/recover" } {
            (entries.summary(&[SINCE, UNTIL]))
            (entries.choice("status", "What", &KINDS))
            div.columns { (entries.field(&SINCE)) (entries.field(&UNTIL)) }
            fieldset {
                legend { "Events " span.required { "(none chosen: all)" } }
                @for topic in &webhook.topics {
                    (entries.check("topics", topic.as_str(), html! { code { (topic.as_str()) } }, ""))
                }
            }
            div.actions {
                button.primary { "Recover" }
                a.button href=(path) { "Cancel" }
            }
        }
    };
    webhook_frame::webhook_page(visitor, found, &title, content)
}

fn waits_notice() -> Markup {
    html! { p.notice role="note" { "The webhook is paused or disabled: a recovery waits until it is live." } }
}

pub(crate) async fn show(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path((id, recovery)): Path<(String, String)>,
) -> PageResult {
    let found = webhook_frame::read(&state, &visitor, &id).await?;
    let path = format!("/webhooks/{}/recoveries/{recovery}", found.webhook.record.id);
    let part = live_job(state, visitor.clone(), (id, recovery)).await?;
    let content = live::region(&path, &part, WithoutScript::Reload);
    Ok(answer::html_page(webhook_frame::webhook_page(&visitor, &found, "Recovery", content)))
}

pub(crate) async fn live(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(ids): Path<(String, String)>,
) -> PageResult {
    live::follow(state, visitor, ids, live_job).await
}

async fn live_job(state: DashboardState, visitor: Visitor, (id, recovery): (String, String)) -> Result<Part, Failure> {
    let webhook = &state.control_plane.webhook(&visitor.context(), &id).await?.record;
    let job = state.control_plane.recovery_job(&visitor.context(), &id, &recovery).await?;
    let now = state.control_plane.now();
    let path = format!("{ROOT}/webhooks/{}/recoveries/{}", webhook.id, job.id);
    let markup = html! {
        div.heading {
            h1 { "Recovery " (status_badge(job.status)) }
            @if visitor.may_write() && job.is_running() {
                form method="post" action={ (path) "/cancel" } { button.danger { "Cancel the recovery" } }
            }
        }
        @if job.is_running() && webhook.status == WebhookStatus::Paused { (waits_notice()) }
        section.card aria-label="Progress" {
            p { (progress(&job)) }
            p { (progress_text(&job)) }
        }
        section.card aria-label="Facts" { (facts::list(job_facts(&job, now))) }
        @if job.status == RecoveryStatus::Finished {
            p.hint { "All are enqueued. The " a href={ (ROOT) "/webhooks/" (webhook.id) "/deliveries" } { "deliveries" } " show which have arrived." }
        }
    };
    Ok(Part { markup, outlook: if job.is_running() { Outlook::Open } else { Outlook::Final } })
}

/// Cancels a recovery. What is in the queue is sent nevertheless.
pub(crate) async fn cancel(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path((id, recovery)): Path<(String, String)>,
) -> PageResult {
    state.control_plane.cancel_recovery(&visitor.context(), &id, &recovery).await?;
    Ok(answer::see_other(&format!("/webhooks/{id}/recoveries/{recovery}")))
}

fn progress(job: &RecoveryJob) -> Markup {
    let done = job.recovered + job.skipped;
    // A recovery of nothing is done at once; `progress` needs a maximum above zero.
    let (value, max) = if job.total == 0 { (1, 1) } else { (done.min(job.total), job.total) };
    html! { progress value=(value) max=(max) aria-label="Deliveries that were enqueued" { (done) " of " (job.total) } }
}

fn progress_text(job: &RecoveryJob) -> Markup {
    html! {
        strong { (number::grouped(job.recovered)) " of " (number::grouped(job.total)) } " sent again"
        @if job.skipped > 0 { ", " (number::grouped(job.skipped)) " left out: their events are no longer kept, or somebody sent them meanwhile" }
        "."
    }
}

fn job_facts(job: &RecoveryJob, now: Timestamp) -> Vec<facts::Fact> {
    let filter = &job.filter;
    let topics = filter.topics.as_ref().map(|topics| {
        html! { @for topic in topics { div { code { (topic.as_str()) } } } }
    });
    vec![
        ("What", html! { (kinds_name(filter.kinds)) }),
        ("Created since", html! { (time::exact(filter.since)) }),
        ("and before", or_dash(filter.until.map(|until| html! { (time::exact(until)) }))),
        ("Events", topics.unwrap_or_else(|| html! { "all" })),
        ("Started", time::relative(job.created_at, now)),
        ("Ended", or_dash(job.finished_at.map(|at| time::relative(at, now)))),
        ("Recovery ID", copy::id(job.id.as_str())),
    ]
}

/// Shows the recoveries of a webhook that are kept; nothing if there is none.
pub(crate) async fn section(state: &DashboardState, visitor: &Visitor, webhook: &Webhook) -> Result<Markup, Failure> {
    let jobs = state.control_plane.recoveries(&visitor.context(), webhook.id.as_str()).await?;
    let (now, path) = (state.control_plane.now(), format!("{ROOT}/webhooks/{}/recoveries", webhook.id));
    Ok(html! {
        @if !jobs.is_empty() {
            section aria-labelledby="recoveries-heading" {
                h2 #recoveries-heading { "Recoveries" }
                (table::of("Recoveries", &[Text("Started"), Text("State"), Text("What"), Text("Progress")], html! {
                    @for job in &jobs {
                        tr {
                            th scope="row" { a href={ (path) "/" (job.id) } { (time::relative(job.created_at, now)) } }
                            td { (status_badge(job.status)) }
                            td { (kinds_name(job.filter.kinds)) }
                            td { (progress(job)) }
                        }
                    }
                }))
            }
        }
    })
}

fn kinds_name(kinds: RecoveredKinds) -> &'static str {
    KINDS.into_iter().find(|(name, _)| *name == kinds.as_str()).map_or("", |(_, words)| words)
}

fn status_badge(status: RecoveryStatus) -> Markup {
    match status {
        RecoveryStatus::Running => badge::state(Tone::Warning, "Running"),
        RecoveryStatus::Finished => badge::state(Tone::Good, "Finished"),
        RecoveryStatus::Cancelled => badge::state(Tone::Quiet, "Cancelled"),
    }
}
