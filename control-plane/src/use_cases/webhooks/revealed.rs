//! Webhooks with values that are stored sealed.

use gatepost_domain::key::Secret;
use gatepost_domain::record::{Status, Webhook};
use gatepost_store::Versioned;

/// A webhook with the secrets that only one response shows.
pub struct RevealedWebhook {
    /// The webhook, as it was if it was removed.
    pub webhook: Versioned<Webhook>,
    /// Inactive if the webhook was removed.
    pub activity: Status,
    /// The signing secret in the form that receivers configure.
    pub secret: Option<Secret>,
    /// The token that is sent as `theauthapi-signature`.
    pub static_token: Option<Secret>,
    /// Number of deliveries that can be recovered, if the change made a disabled webhook live.
    pub recoverable: Option<u64>,
}

impl RevealedWebhook {
    pub(super) fn without_secrets(webhook: Versioned<Webhook>) -> Self {
        Self { webhook, activity: Status::Active, secret: None, static_token: None, recoverable: None }
    }
}

/// The URL and the header values of a webhook, in which people put credentials.
pub struct WebhookValues {
    pub url: Secret,
    pub headers: Vec<(String, Secret)>,
}
