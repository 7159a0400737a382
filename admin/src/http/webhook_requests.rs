//! Requests of webhooks that the REST API and the dashboard both send or show.

use std::collections::BTreeMap;

use gatepost_control_plane::DeliveryDetails;
use gatepost_domain::id::EventId;
use gatepost_domain::record::UserSecret;
use gatepost_domain::sample_event::SampleEvent;
use gatepost_domain::shown_key::ShownKey;
use gatepost_domain::time::Timestamp;
use gatepost_store::Event;
use gatepost_wire::{KeyMember, WebhookPayload};
use serde_json::Value;

/// Why nothing of a response is kept.
pub(crate) const RESPONSE_OMITTED: &str =
    "nothing of a response is kept while webhooks.allow_private_networks is true: it could be of a private network";

/// The request of a delivery, without values.
pub(crate) struct RebuiltRequest {
    pub(crate) method: String,
    /// URL without path and query.
    pub(crate) url: String,
    /// Headers, with masked values where they may be secret.
    pub(crate) headers: BTreeMap<String, String>,
    /// Body, without the key's value.
    pub(crate) body: Value,
}

/// Encodes the body of a ping.
pub(crate) fn encode_ping(id: &EventId, now: Timestamp) -> Vec<u8> {
    encode(&WebhookPayload::of_ping(id, now))
}

/// Encodes a sample as the body of a webhook request.
pub(crate) fn encode_sample(sample: &SampleEvent) -> Vec<u8> {
    encode(&WebhookPayload::of_sample(sample))
}

fn encode(payload: &WebhookPayload) -> Vec<u8> {
    serde_json::to_vec(payload).expect("a payload is a struct with text keys")
}

/// Rebuilds the request of a delivery from its event.
pub(crate) fn rebuild_request(details: &DeliveryDetails, event: &Event) -> RebuiltRequest {
    let webhook = &details.webhook;
    let payload = WebhookPayload::of_event(
        &event.id,
        event.action,
        event.at,
        &event.metadata.account,
        event.metadata.project.as_ref(),
        &event.record,
        match details.shown_key() {
            // The mask stands for the value, so the body is not marked as one that has a mask.
            Some((ShownKey::Value, mask)) => KeyMember::Value(mask),
            Some((ShownKey::Mask, mask)) => KeyMember::Mask(mask),
            Some((ShownKey::Id, _)) | None => KeyMember::Id,
        },
    );
    let mask = || UserSecret::MASK.to_owned();
    let mut headers: BTreeMap<String, String> =
        webhook.custom_headers.iter().map(|(name, _)| (name.to_ascii_lowercase(), mask())).collect();
    headers.insert("content-type".to_owned(), "application/json".to_owned());
    headers.insert("webhook-id".to_owned(), event.id.to_string());
    headers.insert("webhook-timestamp".to_owned(), mask());
    headers.insert("webhook-signature".to_owned(), mask());
    RebuiltRequest {
        method: webhook.method.clone(),
        url: webhook.url.masked.clone(),
        headers,
        body: serde_json::to_value(payload).expect("a payload is a struct with text keys"),
    }
}
