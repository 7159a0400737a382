//! *Test Connection*: a request to the endpoint in a form, before it is saved.

use std::collections::BTreeMap;
use std::time::Duration;

use gatepost_control_plane::{Failure, PingRequest, PingResult, both};
use gatepost_domain::id::EventId;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::WebhookUrl;
use gatepost_domain::retry_schedule::AttemptOutcome;
use gatepost_store::os_rng;
use maud::{Markup, html};

use crate::dashboard::answer;
use crate::dashboard::form::Form;
use crate::dashboard::parts::number;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;
use crate::http::webhook_requests;

/// Anchor of the result.
pub(crate) const RESULT: &str = "#test-result";

/// Sends a request to the endpoint in a form, and shows what came of it, without path and query of the URL and without
/// values of headers.
///
/// # Errors
/// Refusals that are about an entry of the form, and those of the caller.
pub(crate) async fn test_connection(
    state: &DashboardState,
    visitor: &Visitor,
    form: &Form,
    headers: Result<BTreeMap<String, String>, Failure>,
) -> Result<Markup, Failure> {
    let headers = match headers {
        Ok(headers) => headers,
        Err(failure) => {
            let checked = state.control_plane.check_webhook_url(form.filled("url").as_deref()).await;
            both(checked, Err(failure))?.1
        }
    };
    let id = EventId::generate_in(visitor.caller().account.partition(), &mut os_rng());
    let body = webhook_requests::encode_ping(&id, state.control_plane.now());
    let method = form.filled("httpMethod").unwrap_or_else(|| "POST".to_owned());
    let command = command(&method, &id, headers.keys(), &body);
    let request = PingRequest { id, url: form.filled("url"), method: Some(method.clone()), headers, body };
    match state.control_plane.ping(&visitor.context(), request).await {
        Ok(result) => {
            let shown = format!("{method} {}", WebhookUrl::new(form.text("url")).masked);
            Ok(result_of_ping(&shown, &result, &command))
        }
        Err(failure) if may_try_again(&failure) => Ok(not_sent(&failure)),
        Err(failure) => Err(failure),
    }
}

/// Returns whether a failure says nothing about the form and passes by itself.
pub(crate) fn may_try_again(failure: &Failure) -> bool {
    match failure {
        Failure::Throttled(_) => true,
        Failure::Refused(problem) => problem.code == ErrorCode::Overloaded,
        Failure::LimitExceeded(..) | Failure::Store(_) => false,
    }
}

/// Shows that a test must wait. Ten may be sent at once, then one every six seconds.
pub(crate) fn not_sent(failure: &Failure) -> Markup {
    html! {
        div.fault-summary id=(&RESULT[1..]) role="status" tabindex="-1" {
            p { strong { "Not sent" } ": " (answer::words(failure)) "." }
        }
    }
}

fn result_of_ping(request: &str, result: &PingResult, command: &str) -> Markup {
    html! {
        (outcome(request, result.outcome, result.status, result.error.as_deref(), result.took))
        details.snippet {
            summary { "The request that was sent" }
            div.snippet-body { pre tabindex="0" { code { (command) } } }
        }
    }
}

/// Shows the outcome of a request that was sent as a test.
pub(crate) fn outcome(
    request: &str,
    outcome: AttemptOutcome,
    status: Option<u16>,
    error: Option<&str>,
    took: Duration,
) -> Markup {
    let is_delivered = outcome == AttemptOutcome::Delivered;
    let class = if is_delivered { "fence done" } else { "fault-summary" };
    html! {
        div class=(class) id=(&RESULT[1..]) role="status" tabindex="-1" {
            p {
                code { (request) } " → "
                strong { @match status { Some(status) => { (status) }, None => "no response" } }
                " in " (number::duration(took))
            }
            @if let Some(error) = error { p { (answer::capitalized(error)) "." } }
            @if is_delivered { p { "The receiver accepts requests." } }
        }
    }
}

/// Writes the request as a command. It contains no URL and no value of a header, in which people put credentials.
fn command<'a>(method: &str, id: &EventId, headers: impl Iterator<Item = &'a String>, body: &[u8]) -> String {
    let mut command = format!(
        "curl -X {method} \"$ENDPOINT\" \\\n  -H 'content-type: application/json' \\\n  -H 'webhook-id: {id}' \\\n"
    );
    for name in headers {
        // A name may have quotes (RFC 9110, 5.6.2), which a shell would read.
        command.push_str(&format!("  -H '{}: …' \\\n", name.replace('\'', r"'\''")));
    }
    command.push_str(&format!("  -d '{}'", String::from_utf8_lossy(body)));
    command
}
