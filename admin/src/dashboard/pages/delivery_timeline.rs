//! The attempts of a delivery, from the first to the last that may come.

use gatepost_control_plane::DeliveryDetails;
use gatepost_domain::time::Timestamp;
use gatepost_store::{AttemptRecord, AttemptResponse, RecordedOutcome};
use maud::{Markup, html};

use crate::dashboard::answer;
use crate::dashboard::parts::badge::{self, Tone};
use crate::dashboard::parts::{number, time};
use crate::http::webhook_requests::RESPONSE_OMITTED;

/// Shows the attempts that are kept, and the times of those to come.
pub(crate) fn attempts(details: &DeliveryDetails, now: Timestamp) -> Markup {
    // Later attempts continue the numbers of the history, also if an earlier schedule was longer.
    let known = details.history.last().map_or(0, |attempt| attempt.number.number());
    let made = known.max(details.view.delivery.attempts);
    html! {
        @if details.history.is_empty() && details.upcoming.is_empty() {
            p.hint { "No attempt is known. Failed ones are kept for 7 days." }
        } @else {
            ol.timeline {
                @for attempt in &details.history { li { (past(details, attempt, now)) } }
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

fn past(details: &DeliveryDetails, attempt: &AttemptRecord, now: Timestamp) -> Markup {
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
        @if let Some(advice) = advice(attempt) { p.hint { (advice) } }
        @if let Some(response) = &attempt.response { (shown_response(response)) }
        @if details.is_response_omitted(attempt) { p.hint { (answer::capitalized(RESPONSE_OMITTED)) "." } }
    }
}

/// Returns what to look at after a failure.
fn advice(attempt: &AttemptRecord) -> Option<&'static str> {
    match (attempt.error_class.as_deref()?, attempt.status) {
        ("dns", _) => Some("Check the name of the host, and that it can be resolved where webhooks are sent from."),
        ("refused", _) => {
            Some("Nothing accepts connections there. Check that the receiver runs, its port and its firewall.")
        }
        ("reset", _) => Some("The receiver, or a proxy before it, closed the connection before it responded."),
        ("tls", _) => {
            Some("Check that the certificate is valid for this host and of an authority that is trusted here.")
        }
        ("timeout", _) => Some("A receiver has 15 s to respond: let it respond first, and work afterwards."),
        ("blocked", _) => Some("The address of the host is not allowed for webhooks."),
        ("status", Some(401 | 403)) => Some("The receiver may verify signatures with another secret."),
        ("status", Some(300..=399)) => Some("Redirects are not followed: use the address that they lead to."),
        ("status", Some(404 | 405)) => Some("Check the path and the method of the endpoint."),
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
