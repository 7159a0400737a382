//! The rule of who sees key values in the bodies of webhooks.

use crate::id::ProjectId;
use crate::record::{KeyValues, Role, Webhook};

/// What a body contains where an event creates the value of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownKey {
    /// The value.
    Value,
    /// The mask of the value.
    Mask,
    /// The id of the key.
    Id,
}

/// Whether a value can be read on its way to the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// It cannot, or does not leave the operator's network.
    Secure,
    /// It can.
    Plaintext,
}

impl ShownKey {
    /// Returns what a webhook sees of a new value in a project. It sees the value only if it asks for values, an admin
    /// set its URL, the project is in its scope, and the transport is secure.
    pub fn to(webhook: &Webhook, project: Option<&ProjectId>, transport: Transport) -> Self {
        let is_in_scope = webhook.project.is_none() || webhook.project.as_ref() == project;
        let may_see_value = webhook.url_set_by == Role::Admin && is_in_scope && transport == Transport::Secure;
        match (may_see_value, webhook.delivery.key_values) {
            (true, KeyValues::Sent) => ShownKey::Value,
            (true, KeyValues::Omitted) => ShownKey::Mask,
            (false, KeyValues::Sent | KeyValues::Omitted) => ShownKey::Id,
        }
    }
}
