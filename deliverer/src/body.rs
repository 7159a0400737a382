//! Bodies of webhook requests, and who may see a key's value in them.

use gatepost_domain::key::Secret;
use gatepost_domain::record::{Role, Webhook};
use gatepost_store::Event;
use url::Url;

use crate::options::PrivateNetworks;

/// The body of an event for one webhook.
pub(crate) fn build(event: &Event, secret: Option<&Secret>) -> Vec<u8> {
    let body = gatepost_wire::event_body(
        &event.id,
        event.action,
        event.at,
        &event.head.account,
        event.head.project.as_ref(),
        &event.record,
        secret.map(Secret::expose),
    );
    serde_json::to_vec(&body).expect("a body is a struct with text keys")
}

/// Whether a webhook may see values in clear: one that an admin made, in the event's own scope, and
/// over https.
pub(crate) fn may_see_values(
    webhook: &Webhook,
    url: &Url,
    event: &Event,
    private_networks: PrivateNetworks,
) -> SeesValues {
    let is_private_line = url.scheme() == "https" || private_networks == PrivateNetworks::Allowed;
    let is_in_scope = webhook.project.is_none() || webhook.project == event.head.project;
    if webhook.made_by == Role::Admin && is_in_scope && is_private_line { SeesValues::Yes } else { SeesValues::No }
}

/// Whether a receiver sees a key's value or its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeesValues {
    Yes,
    No,
}
