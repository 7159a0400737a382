//! Events as JSON: the body of a webhook request, and changes for people.

use std::net::IpAddr;

use gatepost_domain::change::{Action, Topic};
use gatepost_domain::id::{AccountId, EventId, ProjectId};
use gatepost_domain::record::{Actor, ApiKey, Record};
use gatepost_domain::time::{Timestamp, Version};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{AccessKeyBody, AccountBody, ApiKeyBody, ProjectBody, WebhookBody, actor_members, rfc3339};

/// The body of a webhook request.
#[derive(Clone, Serialize)]
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
        kind: event_type(action).to_owned(),
        timestamp: rfc3339(at),
        account_id: account.to_string(),
        project_id: project.map(ToString::to_string),
        data: resource_json(record, action, at, secret),
    }
}

/// A change, for people: who, when, what, and the resource before and after, without secrets.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeBody {
    /// Where it stands among all changes: what `after` and `Last-Event-ID` take.
    #[schema(example = "1860000000000000000")]
    pub cursor: String,
    /// The event's id, the same as in webhooks.
    #[schema(example = "evt_00aZ3kT9cQmX1pLr7vWn5sYd")]
    pub id: String,
    /// The topic, for changes that webhooks may ask for; else a name of its own, such as `project.created`.
    #[serde(rename = "type")]
    #[schema(example = "api-key.created")]
    pub kind: String,
    /// When it happened, on the store's clock.
    #[schema(example = "2026-11-25T10:00:00.000Z")]
    pub timestamp: String,
    /// In which account.
    pub account_id: String,
    /// In which project; null if in none.
    pub project_id: Option<String>,
    /// Who did it.
    pub actor: ActorBody,
    /// The id of the resource that changed.
    pub subject: String,
    /// The resource after the change, or as it was when it was removed.
    #[schema(value_type = Object)]
    pub data: Value,
    /// The resource before the change; null if there was none.
    #[schema(value_type = Option<Object>)]
    pub previous: Option<Value>,
}

/// Who made a change.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActorBody {
    /// `ACCESS_KEY`, `API_KEY` (its own first use) or `OPERATOR` (the command line).
    #[serde(rename = "type")]
    #[schema(example = "ACCESS_KEY")]
    pub kind: String,
    /// Its id; null for the operator.
    pub id: Option<String>,
    /// From which address it was asked for; null where that is not known.
    #[schema(example = "192.0.2.1")]
    pub address: Option<String>,
}

/// The name of a change outside: that of its topic, if it has one.
pub fn event_type(action: Action) -> &'static str {
    action.topic().map_or(action.as_str(), Topic::as_str)
}

/// A change as people see it. None for one that has no record at all.
pub fn change_body(version: Version, id: &EventId, change: &ChangeView<'_>) -> Option<ChangeBody> {
    let at = version.timestamp();
    let (actor_id, actor_type) = actor_members(change.actor);
    let to_json = |record: &Record| resource_json(record, change.action, at, None);
    Some(ChangeBody {
        cursor: version.to_string(),
        id: id.to_string(),
        kind: event_type(change.action).to_owned(),
        timestamp: rfc3339(at),
        account_id: change.account.to_string(),
        project_id: change.project.map(ToString::to_string),
        actor: ActorBody {
            kind: actor_type.unwrap_or_else(|| "OPERATOR".to_owned()),
            id: actor_id,
            address: change.address.map(|address| address.to_string()),
        },
        subject: change.subject.to_owned(),
        data: to_json(change.new.or(change.old)?),
        previous: change.old.map(to_json),
    })
}

/// What a change tells.
#[derive(Debug, Clone, Copy)]
pub struct ChangeView<'a> {
    /// What it did.
    pub action: Action,
    /// Who did it.
    pub actor: &'a Actor,
    /// From where.
    pub address: Option<IpAddr>,
    /// In which account.
    pub account: &'a AccountId,
    /// In which project.
    pub project: Option<&'a ProjectId>,
    /// The id of the record that changed.
    pub subject: &'a str,
    /// The record before.
    pub old: Option<&'a Record>,
    /// The record after.
    pub new: Option<&'a Record>,
}

fn resource_json(record: &Record, action: Action, at: Timestamp, secret: Option<&str>) -> Value {
    let json = match record {
        Record::Account(account) => serde_json::to_value(AccountBody::from(account)),
        Record::Project(project) => serde_json::to_value(ProjectBody::from(project)),
        Record::ApiKey(key) => return api_key_json(key, action, at, secret),
        Record::AccessKey(key) => serde_json::to_value(AccessKeyBody::new(key, secret.unwrap_or(key.id.as_str()))),
        Record::Webhook(webhook) => serde_json::to_value(WebhookBody::new(webhook)),
    };
    json.expect("bodies are structs with text keys")
}

/// A change does not tell whether the key was used before: only a new key surely was not, and at its first use the
/// moment is known. Otherwise the member is left out, for null would say that it never was.
fn api_key_json(key: &ApiKey, action: Action, at: Timestamp, secret: Option<&str>) -> Value {
    let first_used_at = (action == Action::ApiKeyFirstUsed).then_some(at);
    let body = ApiKeyBody::new(key, secret.unwrap_or(key.id.as_str()), first_used_at);
    let mut json = serde_json::to_value(body).expect("a body is a struct with text keys");
    let is_first_use_known = matches!(action, Action::ApiKeyCreated | Action::ApiKeyFirstUsed);
    if let (false, Value::Object(members)) = (is_first_use_known, &mut json) {
        members.remove("firstUsedAt");
    }
    json
}
