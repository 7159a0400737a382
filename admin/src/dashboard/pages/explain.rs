//! Explaining a refusal: what a gateway would do with a request, and why, check by check.

use std::net::IpAddr;

use axum::extract::{Query, State};
use gatepost_control_plane::{Check, CheckResult, ExplainRequest, ExplainedOutcome, Explanation, Failure, both};
use gatepost_domain::key::Secret;
use maud::{Markup, html};
use serde::Deserialize;

use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFaults, NO_FAULTS, visible_project};
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::parts::badge::{self, Tone};
use crate::dashboard::parts::field::{Entries, Field, Input};
use crate::dashboard::parts::table;
use crate::dashboard::parts::table::Column::Text;
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

const KEY: Field = Field::text(
    "key",
    "Key",
    "The whole value that the caller sends. It is neither stored nor logged. Empty for a request without a key.",
)
.with_input(Input::Secret);
const METHOD: Field = Field::text("method", "Method", "");
const PATH: Field = Field::text("path", "Path", "With its query, if it has one.");
const HOST: Field = Field::text("host", "Host", "Such as api.example.com.");
const ORIGIN: Field = Field::text("origin", "Origin", "Of the web page that sends the request.");
const ADDRESS: Field = Field::text("ip", "Address of the caller", "Such as 192.0.2.7.");
const PROJECT: Field = Field::text("projectId", "Project that the route lists", "Its ID. Empty if it lists none.");
const ALL: [Field; 7] = [KEY, METHOD, PATH, HOST, ORIGIN, ADDRESS, PROJECT];

#[derive(Debug, Default, Deserialize)]
pub(crate) struct ExplainQuery {
    project: Option<String>,
}

pub(crate) async fn form(visitor: Visitor, Query(query): Query<ExplainQuery>) -> PageResult {
    let form = Form::with([
        ("method", "GET".to_owned()),
        ("path", "/".to_owned()),
        ("projectId", query.project.unwrap_or_default()),
    ]);
    Ok(answer::html_page(page(&visitor, &form, &NO_FAULTS, html! {})))
}

/// Explains a request. The key comes in the body, so that it appears in no address, history or log.
pub(crate) async fn explain(State(state): State<DashboardState>, visitor: Visitor, form: Form) -> PageResult {
    let shown = without_key(&form);
    match decide(&state, &visitor, &form).await {
        Ok(explanation) => Ok(answer::html_page(page(&visitor, &shown, &NO_FAULTS, result(&explanation)))),
        Err(failure) => {
            let faults = FormFaults::of(failure)?;
            Ok(answer::faulty_form(page(&visitor, &shown, &faults, html! {})))
        }
    }
}

async fn decide(state: &DashboardState, visitor: &Visitor, form: &Form) -> Result<Explanation, Failure> {
    let invalid = |_| Failure::invalid("ip: is not an IP address");
    let address = form.filled("ip").map(|text| text.parse::<IpAddr>().map_err(invalid)).transpose();
    let project = visible_project(state, visitor, form.filled("projectId")).await;
    let (address, project) = both(address, project)?;
    let request = ExplainRequest {
        key: form.filled("key").map(Secret::new),
        method: form.filled("method"),
        path: form.filled("path"),
        host: form.filled("host"),
        origin: form.filled("origin"),
        address: address.map(|address| address.to_canonical()),
        project,
    };
    state.control_plane.explain(&visitor.context(), &request).await
}

/// Returns the entries that the page shows again: all but the key.
fn without_key(form: &Form) -> Form {
    Form::with(ALL.into_iter().skip(1).map(|field| (field.name, form.text(field.name).to_owned())))
}

fn page(visitor: &Visitor, form: &Form, faults: &FormFaults, result: Markup) -> Markup {
    let entries = Entries { form, faults };
    let content = html! {
        h1 { "Explain a refusal" }
        p { "A gateway tells a caller no more than that a key is refused. Describe the request to see why. It does not count as a use of the key." }
        (result)
        form.stack.card method="post" action={ (ROOT) "/explain" } {
            (entries.summary(&ALL))
            (entries.field(&KEY))
            div.columns { (entries.field(&METHOD)) (entries.field(&PATH)) (entries.field(&HOST)) }
            div.columns { (entries.field(&ADDRESS)) (entries.field(&ORIGIN)) }
            (entries.field(&PROJECT))
            div.actions { button.primary { "Explain" } }
        }
    };
    layout::page(
        visitor,
        Page { title: "Explain a refusal", section: Section::Explain, trail: Vec::new(), project: None, content },
    )
}

fn result(explanation: &Explanation) -> Markup {
    html! {
        section aria-labelledby="result-heading" {
            h2 #result-heading { "Result" }
            (outcome(explanation.outcome))
            @if let Some(key) = &explanation.key {
                p { a href={ (ROOT) "/keys/" (key) } { "The page of the key" } }
            }
            (steps(explanation))
        }
    }
}

fn outcome(outcome: ExplainedOutcome) -> Markup {
    html! {
        @match outcome {
            ExplainedOutcome::Forwarded => p.fence.done role="status" {
                strong { "The request passes" } ", unless its route or a limit refuses it."
            },
            ExplainedOutcome::AnsweredByGateway => p.fence role="status" {
                strong { "The gateway itself responds" } ", with or without a key."
            },
            ExplainedOutcome::Refused(code, reason) => p.fence role="status" {
                strong { "The request is refused" } " with " (code.status()) " " code { (code.code()) }
                ". In the access log of the gateway the reason is " code { (reason.as_str()) } "."
            },
        }
    }
}

/// Shows the checks up to the one that decides, which is marked. Those after it are only named.
fn steps(explanation: &Explanation) -> Markup {
    let steps = &explanation.steps;
    let decisive = match explanation.outcome {
        ExplainedOutcome::Forwarded => None,
        ExplainedOutcome::AnsweredByGateway => Some(0),
        ExplainedOutcome::Refused(..) => steps.iter().position(|step| step.result == CheckResult::Refused),
    };
    let (reached, later) = steps.split_at(decisive.map_or(steps.len(), |index| index + 1));
    let later: Vec<&str> = later.iter().map(|step| check_name(step.check)).collect();
    html! {
        (table::of(
            "Checks",
            &[Text("Check"), Text("Result"), Text("Why")],
            html! {
                @for step in reached {
                    tr.differs[step.result == CheckResult::Refused] {
                        th scope="row" { (check_name(step.check)) }
                        td { (result_badge(step.result)) }
                        td.wrap { (step.sentence) }
                    }
                }
            },
        ))
        @if !later.is_empty() {
            details.more {
                summary { "Checks that were not reached" }
                p.hint { (later.join(", ")) "." }
            }
        }
    }
}

fn result_badge(result: CheckResult) -> Markup {
    match result {
        CheckResult::Passed => badge::state(Tone::Good, "Passed"),
        CheckResult::Refused => badge::state(Tone::Bad, "Refused"),
        CheckResult::NotChecked => badge::state(Tone::Quiet, "Not checked"),
    }
}

fn check_name(check: Check) -> &'static str {
    match check {
        Check::Request => "Request",
        Check::Route => "Route",
        Check::Credential => "Form of the key",
        Check::Key => "Key",
        Check::Revocation => "Revocation",
        Check::Expiry => "Expiry",
        Check::Project => "Project",
        Check::RouteProjects => "Projects of the route",
        Check::Environment => "Environment",
        Check::Permissions => "Permissions",
        Check::Address => "Address",
        Check::Origin => "Origin",
        Check::Limits => "Limits",
        Check::FirstUse => "First use",
    }
}
