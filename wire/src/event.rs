//! Events as JSON: the body of a webhook request, and changes for people.

use std::net::IpAddr;

use gatepost_domain::change::{Action, Topic};
use gatepost_domain::id::{AccountId, EventId, ProjectId};
use gatepost_domain::record::{Actor, ApiKey, Record};
use gatepost_domain::sample_event::SampleEvent;
use gatepost_domain::shown_key::ShownKey;
use gatepost_domain::time::{Timestamp, Version};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::key::{AccessKeyResource, ApiKeyResource};
use crate::members::{actor_members, rfc3339};
use crate::resource::{AccountResource, ProjectResource, WebhookResource};

/// The body of a webhook request.
#[derive(Clone, Serialize)]
pub struct WebhookPayload {
    /// Event id, the same as the header `webhook-id`.
    pub id: String,
    /// Topic of the event.
    #[serde(rename = "type")]
    pub kind: String,
    /// Time of the change, on the store's clock (RFC 3339).
    pub timestamp: String,
    /// Absent in a ping, which is about no resource.
    #[serde(flatten)]
    pub owner: Option<ResourceOwner>,
    /// The resource after the change, or as it was before it was removed; an empty object in a ping.
    pub data: Value,
    /// Present, and true, if `data.key` is a mask: the webhook gets no values, or this one is no longer kept.
    #[serde(rename = "keyMasked", skip_serializing_if = "std::ops::Not::not")]
    pub is_key_masked: bool,
    /// Present, and true, in a sample that was sent as a test.
    #[serde(rename = "test", skip_serializing_if = "std::ops::Not::not")]
    pub is_test: bool,
}

/// What the body of an event contains as the value of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyMember<'a> {
    /// The id of the key.
    Id,
    /// The mask of the value.
    Mask(&'a str),
    /// The value.
    Value(&'a str),
}

impl<'a> KeyMember<'a> {
    fn text(self) -> Option<&'a str> {
        match self {
            KeyMember::Id => None,
            KeyMember::Mask(text) | KeyMember::Value(text) => Some(text),
        }
    }
}

/// Owner of the resource of an event.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceOwner {
    /// Account of the resource.
    pub account_id: String,
    /// Project of the resource; null for resources outside projects.
    pub project_id: Option<String>,
}

impl WebhookPayload {
    /// Builds the body for an event.
    pub fn of_event(
        id: &EventId,
        action: Action,
        at: Timestamp,
        account: &AccountId,
        project: Option<&ProjectId>,
        record: &Record,
        key: KeyMember<'_>,
    ) -> Self {
        let project_id = project.map(ToString::to_string);
        Self {
            id: id.to_string(),
            kind: event_type(action).to_owned(),
            timestamp: rfc3339(at),
            owner: Some(ResourceOwner { account_id: account.to_string(), project_id }),
            data: resource_json(record, action, at, key.text()),
            is_key_masked: matches!(key, KeyMember::Mask(_)),
            is_test: false,
        }
    }

    /// Builds the body for an event from its change, as `/events` returns it: the same as for a receiver that may not
    /// see the value of the key.
    pub fn of_change(change: ChangeResource) -> Self {
        Self {
            id: change.id,
            kind: change.kind,
            timestamp: change.timestamp,
            owner: Some(ResourceOwner { account_id: change.account_id, project_id: change.project_id }),
            data: change.data,
            is_key_masked: false,
            is_test: false,
        }
    }

    /// Builds the body of a sample event, which is marked as a test.
    pub fn of_sample(sample: &SampleEvent) -> Self {
        let project = sample.record_project();
        let (action, record) = (sample.action(), sample.record());
        let mask = sample.new_value().map(gatepost_domain::key::mask);
        let key = match (sample.shown_key, sample.new_value(), &mask) {
            (ShownKey::Value, Some(value), _) => KeyMember::Value(value),
            (ShownKey::Mask, _, Some(mask)) => KeyMember::Mask(mask),
            (ShownKey::Id | ShownKey::Mask | ShownKey::Value, _, _) => KeyMember::Id,
        };
        let body = Self::of_event(&sample.id, action, sample.at, &sample.account, project.as_ref(), &record, key);
        Self { is_test: true, ..body }
    }

    /// Builds the body of a ping, which tests an address before it becomes a webhook.
    pub fn of_ping(id: &EventId, at: Timestamp) -> Self {
        Self {
            id: id.to_string(),
            kind: "ping".to_owned(),
            timestamp: rfc3339(at),
            owner: None,
            data: Value::Object(Map::new()),
            is_key_masked: false,
            is_test: false,
        }
    }
}

/// A change, for people: who made it, when, what it did, and the resource before and after, without secrets.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChangeBody)]
pub struct ChangeResource {
    /// Position of the change among all changes, accepted by `after` and `Last-Event-ID`.
    #[schema(example = "1860000000000000000")]
    pub cursor: String,
    /// Event id, the same as in webhooks.
    #[schema(example = "evt_00aZ3kT9cQmX1pLr7vWn5sYd")]
    pub id: String,
    /// Topic, for changes that webhooks can subscribe to; otherwise a name of its own, such as
    /// `project.created`.
    #[serde(rename = "type")]
    #[schema(example = "api-key.created")]
    pub kind: String,
    /// Time of the change, on the store's clock (RFC 3339).
    #[schema(example = "2026-11-25T10:00:00.000Z")]
    pub timestamp: String,
    /// Account of the resource.
    pub account_id: String,
    /// Project of the resource; null for resources outside projects.
    pub project_id: Option<String>,
    /// Author of the change.
    pub actor: ActorMember,
    /// Id of the resource that changed.
    pub subject: String,
    /// The resource after the change, or as it was before it was removed.
    #[schema(value_type = Object)]
    pub data: Value,
    /// The resource before the change; null if it is new.
    #[schema(value_type = Option<Object>)]
    pub previous: Option<Value>,
}

/// Author of a change.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ActorBody)]
pub struct ActorMember {
    /// `ACCESS_KEY`, `API_KEY` (its own first use), `OPERATOR` (the command line) or `DELIVERER` (because attempts
    /// of a webhook failed, or succeed again).
    #[serde(rename = "type")]
    #[schema(example = "ACCESS_KEY")]
    pub kind: String,
    /// Id of the key or access key; null for the operator and the deliverer.
    pub id: Option<String>,
    /// Client address of the request; null if unknown.
    #[schema(example = "192.0.2.1")]
    pub address: Option<String>,
}

/// Returns the public name of a change: its topic if it has one, otherwise its action.
pub fn event_type(action: Action) -> &'static str {
    action.topic().map_or(action.as_str(), Topic::as_str)
}

/// Builds the public view of a change, or `None` for a change without a record.
pub fn change_resource(
    cursor: String,
    version: Version,
    id: &EventId,
    change: &ChangeView<'_>,
) -> Option<ChangeResource> {
    let at = version.timestamp();
    let (actor_id, actor_type) = actor_members(change.actor);
    let other_type = if *change.actor == Actor::Deliverer { "DELIVERER" } else { "OPERATOR" };
    let to_json = |record: &Record| resource_json(record, change.action, at, None);
    Some(ChangeResource {
        cursor,
        id: id.to_string(),
        kind: event_type(change.action).to_owned(),
        timestamp: rfc3339(at),
        account_id: change.account.to_string(),
        project_id: change.project.map(ToString::to_string),
        actor: ActorMember {
            kind: actor_type.unwrap_or_else(|| other_type.to_owned()),
            id: actor_id,
            address: change.address.map(|address| address.to_string()),
        },
        subject: change.subject.to_owned(),
        data: to_json(change.new.or(change.old)?),
        previous: change.old.map(to_json),
    })
}

/// Borrowed parts of a change, the input of [`change_resource`].
#[derive(Debug, Clone, Copy)]
pub struct ChangeView<'a> {
    /// Kind of write.
    pub action: Action,
    /// Author of the change.
    pub actor: &'a Actor,
    /// Client address of the request.
    pub address: Option<IpAddr>,
    /// Account of the resource.
    pub account: &'a AccountId,
    /// Project of the resource, if any.
    pub project: Option<&'a ProjectId>,
    /// Id of the record that changed.
    pub subject: &'a str,
    /// Record before the change.
    pub old: Option<&'a Record>,
    /// Record after the change.
    pub new: Option<&'a Record>,
}

fn resource_json(record: &Record, action: Action, at: Timestamp, secret: Option<&str>) -> Value {
    let json = match record {
        Record::Account(account) => serde_json::to_value(AccountResource::from(account)),
        Record::Project(project) => serde_json::to_value(ProjectResource::from(project)),
        Record::ApiKey(key) => return api_key_json(key, action, at, secret),
        Record::AccessKey(key) => serde_json::to_value(AccessKeyResource::new(key, secret.unwrap_or(key.id.as_str()))),
        Record::Webhook(webhook) => serde_json::to_value(WebhookResource::new(webhook, at)),
    };
    json.expect("bodies are structs with text keys")
}

/// Returns an API key as JSON. A change does not record whether the key was used before: only a new key surely
/// was not, and with its first use the time is known. Otherwise `firstUsedAt` is omitted, because null would
/// mean "never used".
fn api_key_json(key: &ApiKey, action: Action, at: Timestamp, secret: Option<&str>) -> Value {
    let first_used_at = (action == Action::ApiKeyFirstUsed).then_some(at);
    let body = ApiKeyResource::new(key, secret.unwrap_or(key.id.as_str()), first_used_at);
    let mut json = serde_json::to_value(body).expect("a body is a struct with text keys");
    let is_first_use_known = matches!(action, Action::ApiKeyCreated | Action::ApiKeyFirstUsed);
    if let (false, Value::Object(members)) = (is_first_use_known, &mut json) {
        members.remove("firstUsedAt");
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(topic: Topic) -> SampleEvent {
        let id = EventId::parse("evt_00e").unwrap();
        SampleEvent::without_account(id, topic, Timestamp::from_ms(1_800_000_000_000))
    }

    /// The body that a receiver gets which may not see the value of a key.
    fn event_body(event: &SampleEvent) -> WebhookPayload {
        let (action, project) = (event.action(), event.record_project());
        WebhookPayload::of_event(
            &event.id,
            action,
            event.at,
            &event.account,
            project.as_ref(),
            &event.record(),
            KeyMember::Id,
        )
    }

    /// The change of the event, as a client of `/events` reads it.
    fn change_read(event: &SampleEvent) -> ChangeResource {
        let (project, record) = (event.record_project(), event.record());
        let view = ChangeView {
            action: event.action(),
            actor: &Actor::Operator,
            address: None,
            account: &event.account,
            project: project.as_ref(),
            subject: "a",
            old: None,
            new: Some(&record),
        };
        let version = Version::ZERO.next(event.at);
        let change = change_resource(version.to_string(), version, &event.id, &view).unwrap();
        serde_json::from_str(&serde_json::to_string(&change).unwrap()).unwrap()
    }

    #[test]
    fn a_change_has_the_bytes_of_its_webhook() {
        for topic in Topic::ALL {
            let event = sample(*topic);
            let of_change = WebhookPayload::of_change(change_read(&event));
            assert_eq!(
                serde_json::to_string(&of_change).unwrap(),
                serde_json::to_string(&event_body(&event)).unwrap(),
                "{topic:?}"
            );
        }
    }

    #[test]
    fn a_sample_of_a_new_key_has_what_the_receiver_would_see() {
        let id = "key_00SampleSampleSampleSamp";
        for (shown_key, key, is_masked) in [
            (ShownKey::Value, "live_00SaSampleSampleSampleSampleSampleSampleSampleSampleSampleSample", None),
            (ShownKey::Mask, "live_00S…mple", Some(true)),
            (ShownKey::Id, id, None),
        ] {
            let body = |topic| {
                let event = SampleEvent { shown_key, ..sample(topic) };
                serde_json::to_value(WebhookPayload::of_sample(&event)).unwrap()
            };
            let created = body(Topic::ApiKeyCreated);
            assert_eq!(
                (&created["data"]["key"], &created["data"]["maskedKey"]),
                (&key.into(), &"live_00S…mple".into())
            );
            assert_eq!(created.get("keyMasked").and_then(Value::as_bool), is_masked);
            let updated = body(Topic::ApiKeyUpdated);
            assert_eq!((&updated["data"]["key"], updated.get("keyMasked")), (&id.into(), None));
        }
    }

    #[test]
    fn a_sample_differs_from_an_event_only_by_its_mark() {
        for topic in Topic::ALL {
            let event = sample(*topic);
            let mut marked = serde_json::to_value(WebhookPayload::of_sample(&event)).unwrap();
            assert_eq!(marked.as_object_mut().unwrap().remove("test"), Some(Value::Bool(true)));
            assert_eq!(marked, serde_json::to_value(event_body(&event)).unwrap(), "{topic:?}");
        }
    }
}
