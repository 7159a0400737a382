//! Validation of the members of webhooks.

use std::collections::BTreeMap;

use gatepost_domain::change::Topic;
use gatepost_domain::key::Secret;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{UserSecret, WebhookStatus};
use gatepost_store::Format;
use gatepost_webhook_client::{is_header_name, is_header_value, is_reserved};

use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result, all};

/// Headers of a webhook.
const MAX_HEADERS: usize = 20;
/// Bytes of one header's value.
const MAX_HEADER_BYTES: usize = 1024;
const METHODS: [&str; 5] = ["POST", "PUT", "PATCH", "GET", "DELETE"];

impl ControlPlane {
    /// Parses the topics of a webhook. Programs of the first format cannot read webhooks with topics of webhooks.
    pub(super) fn parse_subscription(&self, names: &[String]) -> Result<Vec<Topic>> {
        let topics = parse_topics(names)?;
        let later = topics.iter().find(|topic| topic.is_of_webhooks());
        if let Some(later) = later
            && self.store.single_cell().format() < Format::SEALED_WEBHOOKS
        {
            let name = later.as_str();
            let detail = format!("topics: {name} needs a store in format 2: the operator runs gatepost store upgrade");
            return Err(Failure::refused(ErrorCode::Conflict, detail));
        }
        Ok(topics)
    }
}

/// Parses topics, each once.
pub(super) fn parse_topics(names: &[String]) -> Result<Vec<Topic>> {
    if names.is_empty() {
        return Err(Failure::invalid("topics: at least one is needed"));
    }
    let parsed: Vec<Topic> = all(names.iter().map(|name| parse_topic("topics", name)))?;
    let mut topics = Vec::with_capacity(parsed.len());
    for topic in parsed {
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    Ok(topics)
}

/// Parses the topic in a member.
pub(super) fn parse_topic(member: &str, name: &str) -> Result<Topic> {
    Topic::parse(name).ok_or_else(|| {
        let known: Vec<&str> = Topic::ALL.iter().map(|topic| topic.as_str()).collect();
        Failure::invalid(format!("{member}: {name:?} is not known; known are {}", known.join(", ")))
    })
}

/// Parses an HTTP method, in any case; `POST` by default.
pub(super) fn parse_method(method: Option<&str>) -> Result<String> {
    let method = method.unwrap_or("POST").to_uppercase();
    if METHODS.contains(&method.as_str()) {
        return Ok(method);
    }
    Err(Failure::invalid(format!("httpMethod: must be one of {}", METHODS.join(", "))))
}

/// Validates the headers of a new webhook: none of ours, and none of HTTP's.
pub(super) fn parse_headers(headers: BTreeMap<String, String>) -> Result<Vec<(String, Secret)>> {
    parse_changed_headers(headers, &[])
}

/// Validates the headers of an existing webhook: headers that a copy repeats are not checked again.
pub(super) fn parse_changed_headers(
    headers: BTreeMap<String, String>,
    stored: &[(String, Secret)],
) -> Result<Vec<(String, Secret)>> {
    if headers.len() > MAX_HEADERS {
        return Err(Failure::invalid(format!("customHeaders: has more than {MAX_HEADERS} headers")));
    }
    let is_own = |name: &str, value: &str| stored.iter().any(|own| own.0 == name && own.1.expose() == value);
    let new = headers.iter().filter(|(name, value)| !is_own(name, value));
    all::<(), ()>(new.map(|(name, value)| check_header(name, value)))?;
    Ok(headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect())
}

fn check_header(name: &str, value: &str) -> Result<()> {
    if !is_header_name(name) {
        return Err(Failure::invalid(format!("customHeaders: {name:?} is not a header name")));
    }
    if is_reserved(name) {
        return Err(Failure::invalid(format!("customHeaders: {name} is reserved")));
    }
    if value == UserSecret::MASK {
        return Err(Failure::invalid(format!("customHeaders: {name} is masked, and no value of it is stored")));
    }
    if value.len() > MAX_HEADER_BYTES {
        let detail = format!("customHeaders: the value of {name} has more than {MAX_HEADER_BYTES} bytes");
        return Err(Failure::invalid(detail));
    }
    if !is_header_value(value) {
        let detail = format!("customHeaders: the value of {name} has characters that no header value may have");
        return Err(Failure::invalid(detail));
    }
    Ok(())
}

/// Parses `live` or `paused`.
pub(super) fn parse_status(status: &str) -> Result<WebhookStatus> {
    WebhookStatus::parse(status).ok_or_else(|| Failure::invalid("status: must be live or paused"))
}
