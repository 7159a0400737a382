//! Bodies of webhook requests, and the rule who may see key values in them.

use gatepost_domain::id::ProjectId;
use gatepost_domain::record::{KeyValues, Record, Role, Webhook};
use gatepost_store::Event;
use gatepost_webhook_client::PrivateNetworks;
use gatepost_wire::WebhookPayload;
use url::Url;

/// What the body contains where an event carries the value of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShownKey {
    /// The value.
    Value,
    /// The mask of the value.
    Mask,
    /// The id of the key.
    Id,
}

/// Returns the body of an event for one webhook. `shown` replaces the id of the key.
pub(crate) fn build(event: &Event, shown: Option<&str>) -> Vec<u8> {
    let payload = WebhookPayload::of_event(
        &event.id,
        event.action,
        event.at,
        &event.metadata.account,
        event.metadata.project.as_ref(),
        &event.record,
        shown,
    );
    serde_json::to_vec(&payload).expect("a payload is a struct with text keys")
}

/// Returns the mask of the key that an event is about; none for an event about something else.
pub(crate) fn mask(event: &Event) -> Option<&str> {
    match &event.record {
        Record::ApiKey(key) => Some(&key.mask),
        Record::AccessKey(key) => Some(&key.mask),
        Record::Account(_) | Record::Project(_) | Record::Webhook(_) => None,
    }
}

/// Returns what a webhook may see of a key value. It sees the value only if it asks for values, an admin set its URL,
/// the project of the event is in its scope, and the URL is https (or private networks are allowed).
pub(crate) fn shown_key(
    webhook: &Webhook,
    url: &Url,
    project: Option<&ProjectId>,
    private_networks: PrivateNetworks,
) -> ShownKey {
    let is_secure_transport = url.scheme() == "https" || private_networks == PrivateNetworks::Allowed;
    let is_in_scope = webhook.project.is_none() || webhook.project.as_ref() == project;
    let may_see_value = webhook.url_set_by == Role::Admin && is_in_scope && is_secure_transport;
    match (may_see_value, webhook.delivery.key_values) {
        (true, KeyValues::Sent) => ShownKey::Value,
        (true, KeyValues::Omitted) => ShownKey::Mask,
        (false, KeyValues::Sent | KeyValues::Omitted) => ShownKey::Id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatepost_domain::id::{AccountId, WebhookId};
    use gatepost_domain::record::{Actor, DeliverySettings, Sealed, Stamps, WebhookHealth, WebhookStatus, WebhookUrl};
    use gatepost_domain::time::Timestamp;

    fn project(text: &str) -> ProjectId {
        ProjectId::parse(text).unwrap()
    }

    fn webhook(made_by: Role, project: Option<ProjectId>) -> Webhook {
        Webhook {
            id: WebhookId::parse("wh_00w").unwrap(),
            account: AccountId::parse("acc_00a").unwrap(),
            project,
            name: "w".to_owned(),
            url: WebhookUrl::new(""),
            topics: vec![],
            method: "POST".to_owned(),
            custom_headers: vec![],
            status: WebhookStatus::Live,
            status_changed_at: None,
            url_set_by: made_by,
            secret: Sealed(vec![]),
            old_secrets: vec![],
            static_token: None,
            delivery: DeliverySettings::default(),
            health: WebhookHealth::default(),
            stamps: Stamps::new(Timestamp::from_ms(1), Actor::Operator),
        }
    }

    #[test]
    fn key_values_are_shown_only_to_admin_webhooks_in_scope_over_secure_transport() {
        let own = project("prj_00own");
        for made_by in [Role::Admin, Role::User, Role::Viewer] {
            for (scope, is_in_scope) in [(None, true), (Some(own.clone()), true), (Some(project("prj_00x")), false)] {
                for (url, private_networks, is_secure_transport) in [
                    ("https://example.com/", PrivateNetworks::Refused, true),
                    ("https://example.com/", PrivateNetworks::Allowed, true),
                    ("http://example.com/", PrivateNetworks::Allowed, true),
                    ("http://example.com/", PrivateNetworks::Refused, false),
                ] {
                    let may_see = made_by == Role::Admin && is_in_scope && is_secure_transport;
                    for (key_values, shown) in
                        [(KeyValues::Sent, ShownKey::Value), (KeyValues::Omitted, ShownKey::Mask)]
                    {
                        let expected = if may_see { shown } else { ShownKey::Id };
                        let mut webhook = webhook(made_by, scope.clone());
                        webhook.delivery.key_values = key_values;
                        let url = Url::parse(url).unwrap();
                        let found = shown_key(&webhook, &url, Some(&own), private_networks);
                        assert_eq!(found, expected, "{made_by:?} {scope:?} {url} {private_networks:?} {key_values:?}");
                    }
                }
            }
        }
    }
}
