//! Bodies of webhook requests.

use gatepost_domain::key::Secret;
use gatepost_domain::record::Webhook;
use gatepost_domain::shown_key::ShownKey;
use gatepost_store::Event;
use gatepost_webhook_client::PrivateNetworks;
use gatepost_wire::{KeyMember, WebhookPayload};
use url::Url;

/// Returns the body of an event for one webhook. `secret` is the value that the event created, if the webhook may see it
/// and it is still kept.
pub(crate) fn build(event: &Event, shown: ShownKey, secret: Option<&Secret>) -> Vec<u8> {
    let payload = WebhookPayload::of_event(
        &event.id,
        event.action,
        event.at,
        &event.metadata.account,
        event.metadata.project.as_ref(),
        &event.record,
        key_member(event, shown, secret),
    );
    serde_json::to_vec(&payload).expect("a payload is a struct with text keys")
}

fn key_member<'a>(event: &'a Event, shown: ShownKey, secret: Option<&'a Secret>) -> KeyMember<'a> {
    match (shown, secret) {
        (ShownKey::Id, _) => KeyMember::Id,
        (ShownKey::Value, Some(value)) => KeyMember::Value(value.expose()),
        (ShownKey::Value, None) | (ShownKey::Mask, _) => {
            event.mask_of_new_value().map_or(KeyMember::Id, KeyMember::Mask)
        }
    }
}

/// Returns what a webhook sees of the value that an event creates.
pub(crate) fn shown_key(webhook: &Webhook, url: &Url, event: &Event, private_networks: PrivateNetworks) -> ShownKey {
    ShownKey::to(webhook, event.metadata.project.as_ref(), private_networks.transport(url))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatepost_domain::id::{AccountId, ProjectId, WebhookId};
    use gatepost_domain::record::{
        Actor, DeliverySettings, KeyValues, Role, Sealed, Stamps, WebhookHealth, WebhookStatus, WebhookUrl,
    };
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
                        let found = ShownKey::to(&webhook, Some(&own), private_networks.transport(&url));
                        assert_eq!(found, expected, "{made_by:?} {scope:?} {url} {private_networks:?} {key_values:?}");
                    }
                }
            }
        }
    }
}
