//! What is remembered of an attempt: one line of JSON, without bodies, headers or secrets.

use gatepost_domain::id::EventId;
use gatepost_domain::schedule::{Attempt, Outcome};
use serde::Serialize;

use crate::send::Sent;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    event_id: &'a str,
    number: u32,
    at: String,
    outcome: &'static str,
    status: Option<u16>,
    error: Option<&'a str>,
    duration_ms: u64,
}

/// The line of an attempt.
pub(crate) fn line(event: &EventId, attempt: Attempt, sent: &Sent) -> Vec<u8> {
    let line = Line {
        event_id: event.as_str(),
        number: attempt.number(),
        at: sent.at.to_string(),
        outcome: label(&sent.outcome),
        status: sent.status,
        error: sent.error.as_deref(),
        duration_ms: u64::try_from(sent.took.as_millis()).unwrap_or(u64::MAX),
    };
    serde_json::to_vec(&line).expect("a line is a struct with text keys")
}

/// The label of an outcome in lines and metrics.
pub(crate) fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Failed { .. } => "failed",
        Outcome::Gone => "gone",
    }
}
