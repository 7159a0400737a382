//! Events as JSON: the body of a webhook request.

use gatepost_domain::change::{Action, Topic};
use gatepost_domain::id::{AccountId, EventId, ProjectId};
use gatepost_domain::record::Record;
use gatepost_domain::time::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::{AccessKeyBody, AccountBody, ApiKeyBody, ProjectBody, WebhookBody, text};

/// The body of a webhook request.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventBody {
    /// The event's id, the same as the header `webhook-id`.
    pub id: String,
    /// The topic.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened, on the store's clock.
    pub timestamp: String,
    /// In which account.
    pub account_id: String,
    /// In which project; null if in none.
    pub project_id: Option<String>,
    /// The resource after the change.
    pub data: Value,
}

/// The body of an event. `secret` is the key's value where the receiver may see it.
pub fn event_body(
    id: &EventId,
    action: Action,
    at: Timestamp,
    account: &AccountId,
    project: Option<&ProjectId>,
    record: &Record,
    secret: Option<&str>,
) -> EventBody {
    EventBody {
        id: id.to_string(),
        kind: action.topic().map_or(action.as_str(), Topic::as_str).to_owned(),
        timestamp: text(at),
        account_id: account.to_string(),
        project_id: project.map(ToString::to_string),
        data: resource(record, action, at, secret),
    }
}

fn resource(record: &Record, action: Action, at: Timestamp, secret: Option<&str>) -> Value {
    let json = match record {
        Record::Account(account) => serde_json::to_value(AccountBody::from(account)),
        Record::Project(project) => serde_json::to_value(ProjectBody::from(project)),
        Record::ApiKey(key) => {
            let first_used_at = (action == Action::ApiKeyFirstUsed).then_some(at);
            serde_json::to_value(ApiKeyBody::new(key, secret.unwrap_or(key.id.as_str()), first_used_at))
        }
        Record::AccessKey(key) => serde_json::to_value(AccessKeyBody::new(key, secret.unwrap_or(key.id.as_str()))),
        Record::Webhook(webhook) => serde_json::to_value(WebhookBody::new(webhook)),
    };
    json.expect("bodies are structs with text keys")
}
