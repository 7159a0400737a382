//! Secrets that users give to webhooks: sealed when they are written, opened for those who send.

use std::borrow::Cow;

use gatepost_domain::id::WebhookId;
use gatepost_domain::key::Secret;
use gatepost_domain::record::{Record, UserSecret, Webhook};

use crate::change::{Change, RecordWrite};
use crate::error::Result;
use crate::format::Format;
use crate::store::{Store, os_rng, secret_from_utf8};

impl Store {
    /// The whole URL of a webhook.
    pub fn open_webhook_url(&self, webhook: &Webhook) -> Result<Secret> {
        self.open_user_secret(&url_aad(&webhook.id), &webhook.url.full)
    }

    /// The headers that a webhook's receiver wants, with their values.
    pub fn open_webhook_headers(&self, webhook: &Webhook) -> Result<Vec<(String, Secret)>> {
        let opened = webhook.custom_headers.iter().map(|(name, value)| {
            let value = self.open_user_secret(&header_aad(&webhook.id, name), value)?;
            Ok((name.clone(), value))
        });
        opened.collect()
    }

    fn open_user_secret(&self, aad: &str, secret: &UserSecret) -> Result<Secret> {
        match secret {
            UserSecret::Plaintext(secret) => Ok(secret.clone()),
            UserSecret::Sealed(sealed) => secret_from_utf8(&self.envelope.unseal(aad, sealed)?),
        }
    }

    fn seal_user_secret(&self, aad: &str, secret: &UserSecret) -> Result<UserSecret> {
        match secret {
            UserSecret::Plaintext(secret) => {
                let sealed = self.envelope.seal(aad, secret.expose().as_bytes(), &mut os_rng())?;
                Ok(UserSecret::Sealed(sealed))
            }
            UserSecret::Sealed(_) => Ok(secret.clone()),
        }
    }

    fn seal_webhook(&self, webhook: &Webhook) -> Result<Webhook> {
        let mut sealed = webhook.clone();
        sealed.url.full = self.seal_user_secret(&url_aad(&webhook.id), &webhook.url.full)?;
        for (name, value) in &mut sealed.custom_headers {
            *value = self.seal_user_secret(&header_aad(&webhook.id, name), value)?;
        }
        Ok(sealed)
    }

    /// A change as it is written in a format.
    pub(crate) fn seal_for_format<'a>(&self, change: &'a Change, format: Format) -> Result<Cow<'a, Change>> {
        if format < Format::SEALED_WEBHOOKS || !change.writes.iter().any(writes_plaintext_secrets) {
            return Ok(Cow::Borrowed(change));
        }
        let mut sealed = change.clone();
        for write in &mut sealed.writes {
            if let Some(Record::Webhook(webhook)) = &mut write.new {
                *webhook = self.seal_webhook(webhook)?;
            }
        }
        Ok(Cow::Owned(sealed))
    }
}

fn writes_plaintext_secrets(write: &RecordWrite) -> bool {
    match &write.new {
        Some(Record::Webhook(webhook)) => has_plaintext_secrets(webhook),
        Some(Record::Account(_) | Record::Project(_) | Record::ApiKey(_) | Record::AccessKey(_)) | None => false,
    }
}

/// Whether a webhook holds secrets in clear, as v0.1.0 wrote it.
pub(crate) fn has_plaintext_secrets(webhook: &Webhook) -> bool {
    let mut secrets = std::iter::once(&webhook.url.full).chain(webhook.custom_headers.iter().map(|(_, value)| value));
    secrets.any(|secret| matches!(secret, UserSecret::Plaintext(_)))
}

/// To whom a URL is bound.
fn url_aad(webhook: &WebhookId) -> String {
    format!("{webhook}/url")
}

/// To whom a header's value is bound.
fn header_aad(webhook: &WebhookId, name: &str) -> String {
    format!("{webhook}/header/{}", name.to_ascii_lowercase())
}
