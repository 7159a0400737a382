//! What is kept of the response to a failed attempt, so that a person can see why it failed.

use gatepost_domain::redact::redact_cow;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};

use crate::bounds::{MAX_CAPTURED_HEADER_BYTES, MAX_RESPONSE_BYTES, READ_BODY_DEADLINE};
use crate::redaction::{Redactor, TextEnd};

/// Headers that are captured. The others may contain anything, such as cookies.
const CAPTURED_HEADERS: [&str; 7] =
    ["content-type", "content-length", "date", "server", "retry-after", "x-request-id", "location"];

/// Response to a failed attempt, without secrets of the webhook or the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedResponse {
    /// Names in lower case, and values of at most [`MAX_CAPTURED_HEADER_BYTES`]. `location` is without query and
    /// fragment.
    pub headers: Vec<(String, String)>,
    /// Start of the body, at most [`MAX_EXCERPT_BYTES`](crate::MAX_EXCERPT_BYTES). `None` if there is no body, if it is not text, or if a secret
    /// in it cannot be replaced.
    pub excerpt: Option<String>,
}

impl CapturedResponse {
    pub(crate) fn new(headers: &HeaderMap, body: &BodyStart, redactor: &Redactor) -> Self {
        let excerpt = body.text(headers).and_then(|(text, end)| redact(redactor, text, end));
        Self { headers: captured_headers(headers, redactor), excerpt: excerpt.filter(|text| !text.is_empty()) }
    }
}

/// Start of a response body.
pub(crate) struct BodyStart {
    bytes: Vec<u8>,
    end: TextEnd,
}

impl BodyStart {
    /// Returns the body if it is text, without an incomplete character at its end.
    fn text(&self, headers: &HeaderMap) -> Option<(&str, TextEnd)> {
        if !is_text_type(headers) || self.bytes.contains(&0) {
            return None;
        }
        match std::str::from_utf8(&self.bytes) {
            Ok(text) => Some((text, self.end)),
            Err(error) if error.error_len().is_none() => {
                let text = std::str::from_utf8(&self.bytes[..error.valid_up_to()]).ok()?;
                Some((text, TextEnd::Cut))
            }
            Err(_) => None,
        }
    }
}

/// Reads the start of a response, so that the connection can be reused if the response is short, and keeps up to
/// `max_kept_bytes` of it. Takes at most 1 s.
pub(crate) async fn read_body(response: &mut Response, max_kept_bytes: usize) -> BodyStart {
    let mut body = BodyStart { bytes: Vec::new(), end: TextEnd::Cut };
    let read = async {
        let mut read_bytes = 0;
        while read_bytes < MAX_RESPONSE_BYTES {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    read_bytes += chunk.len();
                    let kept_bytes = chunk.len().min(max_kept_bytes - body.bytes.len());
                    body.bytes.extend_from_slice(&chunk[..kept_bytes]);
                }
                Ok(None) if read_bytes == body.bytes.len() => {
                    body.end = TextEnd::Whole;
                    break;
                }
                Ok(None) | Err(_) => break,
            }
        }
    };
    // Only the status decides about the attempt: a body that does not end changes nothing.
    let _ = tokio::time::timeout(READ_BODY_DEADLINE, read).await;
    body
}

/// Returns whether the media type is text, or missing.
fn is_text_type(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return true };
    let media_type =
        value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_named =
        matches!(media_type.as_str(), "application/json" | "application/xml" | "application/x-www-form-urlencoded");
    is_named || media_type.starts_with("text/") || media_type.ends_with("+json") || media_type.ends_with("+xml")
}

/// Returns the first value of each captured header. One that is not ASCII is left out.
fn captured_headers(headers: &HeaderMap, redactor: &Redactor) -> Vec<(String, String)> {
    let captured = CAPTURED_HEADERS.iter().filter_map(|name| {
        let value = headers.get(*name)?.to_str().ok()?;
        let value = if *name == LOCATION { value.split(['?', '#']).next().unwrap_or_default() } else { value };
        let (start, end) = match value.split_at_checked(MAX_CAPTURED_HEADER_BYTES) {
            Some((start, _)) => (start, TextEnd::Cut),
            None => (value, TextEnd::Whole),
        };
        Some(((*name).to_owned(), redact(redactor, start, end)?))
    });
    captured.collect()
}

/// Replaces the message's secrets, and what looks like another key of Gatepost.
fn redact(redactor: &Redactor, text: &str, end: TextEnd) -> Option<String> {
    redactor.redact(text, end).map(|text| redact_cow(text.into()).into_owned())
}
