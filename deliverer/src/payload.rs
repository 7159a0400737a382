//! Bodies of webhook requests, and the rule who may see key values in them.

use gatepost_domain::id::ProjectId;
use gatepost_domain::key::Secret;
use gatepost_domain::record::{Role, Webhook};
use gatepost_store::Event;
use gatepost_webhook_client::PrivateNetworks;
use gatepost_wire::WebhookPayload;
use url::Url;

/// Returns the body of an event for one webhook.
pub(crate) fn build(event: &Event, secret: Option<&Secret>) -> Vec<u8> {
    let payload = WebhookPayload::of_event(
        &event.id,
        event.action,
        event.at,
        &event.metadata.account,
        event.metadata.project.as_ref(),
        &event.record,
        secret.map(Secret::expose),
    );
    serde_json::to_vec(&payload).expect("a payload is a struct with text keys")
}

/// Returns whether a webhook may receive key values in plaintext: an admin set its URL, the project of the
/// event is in its scope, and the URL is https (or private networks are allowed).
pub(crate) fn may_see_values(
    webhook: &Webhook,
    url: &Url,
    project: Option<&ProjectId>,
    private_networks: PrivateNetworks,
) -> bool {
    let is_secure_transport = url.scheme() == "https" || private_networks == PrivateNetworks::Allowed;
    let is_in_scope = webhook.project.is_none() || webhook.project.as_ref() == project;
    webhook.url_set_by == Role::Admin && is_in_scope && is_secure_transport
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatepost_domain::id::{AccountId, WebhookId};
    use gatepost_domain::record::{Actor, Sealed, Stamps, WebhookStatus, WebhookUrl};
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
                    let may_see = may_see_values(
                        &webhook(made_by, scope.clone()),
                        &Url::parse(url).unwrap(),
                        Some(&own),
                        private_networks,
                    );
                    let expected = made_by == Role::Admin && is_in_scope && is_secure_transport;
                    assert_eq!(may_see, expected, "{made_by:?} {scope:?} {url} {private_networks:?}");
                }
            }
        }
    }
}
