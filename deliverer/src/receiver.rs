//! Where and with which secrets the messages of a webhook are sent.

use std::sync::OnceLock;

use gatepost_domain::key::Secret;
use gatepost_domain::record::Webhook;
use gatepost_domain::time::Timestamp;
use gatepost_store::{Envelope, Result};
use gatepost_webhook_client::SigningSecret;
use url::Url;

/// A webhook as read when its deliveries were leased, with its receiver once the first of them needs it.
pub(crate) struct LeasedWebhook {
    pub(crate) record: Webhook,
    receiver: OnceLock<Result<Receiver>>,
}

/// Address and secrets in plaintext, so it implements no `Debug`.
pub(crate) struct Receiver {
    /// `None` if the URL is malformed.
    pub(crate) url: Option<Url>,
    pub(crate) headers: Vec<(String, Secret)>,
    pub(crate) secrets: Vec<SigningSecret>,
    pub(crate) static_token: Option<Secret>,
}

impl LeasedWebhook {
    pub(crate) fn new(record: Webhook) -> Self {
        Self { record, receiver: OnceLock::new() }
    }

    /// Returns the receiver, with the secrets that are valid at the first call.
    ///
    /// # Errors
    /// [`Corrupt`](gatepost_store::StoreErrorKind::Corrupt) if a secret does not decrypt for this webhook.
    pub(crate) fn receiver(&self, envelope: &Envelope, now: Timestamp) -> Result<&Receiver> {
        let opened = self.receiver.get_or_init(|| Receiver::open(envelope, &self.record, now));
        opened.as_ref().map_err(Clone::clone)
    }
}

impl Receiver {
    fn open(envelope: &Envelope, webhook: &Webhook, now: Timestamp) -> Result<Self> {
        let token = webhook.static_token.as_ref();
        Ok(Self {
            url: Url::parse(envelope.open_webhook_url(webhook)?.expose()).ok(),
            headers: envelope.open_webhook_headers(webhook)?,
            secrets: SigningSecret::all(
                envelope.open_signing_secrets(webhook, now)?,
                envelope.open_signing_keys(webhook, now)?,
            ),
            static_token: token.map(|token| envelope.open_static_token(&webhook.id, token)).transpose()?,
        })
    }
}
