//! The JSON in an idempotency slot, and the responses to changes in it.

use gatepost_control_plane::{ControlPlane, ResponseEncoder, Result};
use gatepost_domain::change::Action;
use gatepost_domain::key::Secret;
use gatepost_domain::record::Record;
use gatepost_store::Change;
use gatepost_wire::{AccessKeyResource, AccountResource, ApiKeyResource, ProjectResource, WebhookResource};
use serde::{Deserialize, Serialize};

use crate::api::respond::webhook_resource::unmasked_webhook_resource;

/// The content of a slot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredRecord {
    /// A digest of the request's method, path and body.
    pub(super) request: String,
    /// Absent while the request has not ended.
    pub(super) answer: Option<ResponseSnapshot>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ResponseSnapshot {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl StoredRecord {
    pub(super) fn in_flight(request_digest: &str) -> Self {
        Self { request: request_digest.to_owned(), answer: None }
    }

    pub(super) fn answered(request_digest: &str, response: ResponseSnapshot) -> Self {
        Self { request: request_digest.to_owned(), answer: Some(response) }
    }

    pub(super) fn encode(&self) -> Secret {
        Secret::new(serde_json::to_string(self).expect("it contains only strings and numbers"))
    }

    pub(super) fn decode(stored: &Secret) -> serde_json::Result<Self> {
        serde_json::from_str(stored.expose())
    }
}

/// Encodes the response to a change from its first record, as far as the record contains it.
pub(super) struct ChangeResponses(pub(super) ControlPlane);

impl ResponseEncoder for ChangeResponses {
    fn encode(&self, request_digest: &str, change: &Change) -> Result<Option<Secret>> {
        let Some(body) = self.body(change)? else { return Ok(None) };
        let status = if change.action == Action::WebhookUpdated { 200 } else { 201 };
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Ok(Some(StoredRecord::answered(request_digest, ResponseSnapshot { status, headers, body }).encode()))
    }
}

impl ChangeResponses {
    fn body(&self, change: &Change) -> Result<Option<String>> {
        let Some(record) = change.writes.first().and_then(|write| write.new.as_ref()) else { return Ok(None) };
        let shown = |id: &str| change.secret.as_ref().map_or(id.to_owned(), |secret| secret.expose().to_owned());
        let body = match record {
            Record::Account(account) => serde_json::to_string(&AccountResource::from(account)),
            Record::Project(project) => serde_json::to_string(&ProjectResource::from(project)),
            Record::ApiKey(key) => serde_json::to_string(&ApiKeyResource::new(key, &shown(key.id.as_str()), None)),
            Record::AccessKey(key) => serde_json::to_string(&AccessKeyResource::new(key, &shown(key.id.as_str()))),
            Record::Webhook(webhook) => {
                let secret = Some(self.0.webhook_secret(webhook)?.expose().to_owned());
                serde_json::to_string(&WebhookResource { secret, ..unmasked_webhook_resource(&self.0, webhook)? })
            }
        };
        Ok(Some(body.expect("bodies are structs with text keys")))
    }
}
