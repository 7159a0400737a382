//! The attempts of a delivery, from the first to the last that may come.

use gatepost_control_plane::DeliveryDetails;
use gatepost_domain::time::Timestamp;
use gatepost_store::{AttemptRecord, AttemptResponse, RecordedOutcome};
use maud::{Markup, html};

use crate::dashboard::answer;
use crate::dashboard::parts::badge::{self, Tone};
use crate::dashboard::parts::{number, time};

/// Shows the attempts that are kept, and the times of those to come.
pub(crate) fn attempts(details: &DeliveryDetails, now: Timestamp) -> Markup {
    let made = details.view.delivery.attempts;
    html! {
        @if details.history.is_empty() && details.upcoming.is_empty() {
            p.hint { "No attempt is known. Failed ones are kept for 7 days." }
        } @else {
            ol.timeline {
                @for attempt in &details.history { li { (past(attempt, now)) } }
                @for (number, at) in (made + 1..).zip(&details.upcoming) {
                    li.upcoming { strong { (number) } " " span.hint { "due " (time::relative(*at, now)) } }
                }
            }
            @if details.upcoming.len() > 1 {
                p.hint { "Later attempts are made only if those before them fail. The times are the earliest ones." }
            }
        }
    }
}

fn past(attempt: &AttemptRecord, now: Timestamp) -> Markup {
    let result = match attempt.status {
        Some(status) => status.to_string(),
        None => "No response".to_owned(),
    };
    let tone = match attempt.outcome {
        RecordedOutcome::Delivered => Tone::Good,
        RecordedOutcome::Failed => Tone::Warning,
        RecordedOutcome::Gone => Tone::Bad,
    };
    html! {
        p {
            strong { (attempt.number.number()) } " " (badge::state(tone, &result))
            " in " (number::duration(attempt.duration)) " · " (time::relative(attempt.at, now))
        }
        @if let Some(error) = &attempt.error { p { (answer::capitalized(error)) "." } }
        @if let Some(advice) = attempt.error_class.as_deref().and_then(advice) { p.hint { (advice) } }
        @if let Some(response) = &attempt.response { (shown_response(response)) }
    }
}

/// Returns what to look at after an error of a class.
fn advice(class: &str) -> Option<&'static str> {
    match class {
        "dns" => Some("Check the name of the host, and that it can be resolved where webhooks are sent from."),
        "refused" => {
            Some("Nothing accepts connections there. Check that the receiver runs, and its port and firewall.")
        }
        "reset" => Some("The receiver, or something before it, closed the connection before it responded."),
        "tls" => Some("Check that the certificate is valid for this host and of an authority that is trusted here."),
        "timeout" => Some("A receiver has 15 s to respond: let it respond first, and work afterwards."),
        "blocked" => Some("The address of the host is not allowed for webhooks."),
        "status" => {
            Some("Only a status of 2xx counts as delivered. A receiver that answers 401 may have another secret.")
        }
        _ => None,
    }
}

fn shown_response(response: &AttemptResponse) -> Markup {
    html! {
        details.more {
            summary { "Response" }
            pre tabindex="0" {
                code {
                    @for (name, value) in &response.headers { (name) ": " (value) "\n" }
                    @if let Some(excerpt) = &response.excerpt { "\n" (excerpt) }
                }
            }
            p.hint { "Some headers, and the first 1 KiB of the body. Whatever it repeats of secrets is replaced by …" }
        }
    }
}
