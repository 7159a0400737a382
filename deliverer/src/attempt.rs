//! Record of an attempt: one line of JSON, without bodies, headers or secrets.

use gatepost_domain::id::EventId;
use gatepost_domain::retry_schedule::{Attempt, AttemptOutcome};
use serde::Serialize;

use crate::send::SendResult;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttemptRecord<'a> {
    event_id: &'a str,
    number: u32,
    at: String,
    outcome: &'static str,
    status: Option<u16>,
    error: Option<&'a str>,
    duration_ms: u64,
}

/// Returns the record of an attempt as a line of JSON.
pub(crate) fn to_json_line(event: &EventId, attempt: Attempt, sent: &SendResult) -> Vec<u8> {
    let record = AttemptRecord {
        event_id: event.as_str(),
        number: attempt.number(),
        at: sent.started_at.to_string(),
        outcome: outcome_label(&sent.outcome),
        status: sent.status,
        error: sent.error.as_deref(),
        duration_ms: u64::try_from(sent.elapsed.as_millis()).unwrap_or(u64::MAX),
    };
    serde_json::to_vec(&record).expect("a line is a struct with text keys")
}

/// Returns the label of an outcome in attempt records and metrics.
pub(crate) fn outcome_label(outcome: &AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Delivered => "delivered",
        AttemptOutcome::Failed { .. } => "failed",
        AttemptOutcome::Gone => "gone",
    }
}
