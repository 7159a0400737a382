//! Secrets that users give to webhooks: sealed when they are written, opened for those who send.

use std::borrow::Cow;

use gatepost_domain::id::WebhookId;
use gatepost_domain::key::Secret;
use gatepost_domain::record::{Record, UserSecret, Webhook};

use crate::change::{Change, Write};
use crate::error::Result;
use crate::format::Format;
use crate::store::{Store, os_rng, text};

impl Store {
    /// The whole URL of a webhook.
    pub fn open_webhook_url(&self, webhook: &Webhook) -> Result<Secret> {
        self.open_user_secret(&url_of(&webhook.id), &webhook.url.whole)
    }

    /// The headers that a webhook's receiver wants, with their values.
    pub fn open_webhook_headers(&self, webhook: &Webhook) -> Result<Vec<(String, Secret)>> {
        let opened = webhook.custom_headers.iter().map(|(name, value)| {
            let value = self.open_user_secret(&header_of(&webhook.id, name), value)?;
            Ok((name.clone(), value))
        });
        opened.collect()
    }

    fn open_user_secret(&self, owner: &str, secret: &UserSecret) -> Result<Secret> {
        match secret {
            UserSecret::Clear(secret) => Ok(secret.clone()),
            UserSecret::Sealed(sealed) => text(&self.envelope.unseal(owner, sealed)?),
        }
    }

    fn seal_user_secret(&self, owner: &str, secret: &UserSecret) -> Result<UserSecret> {
        match secret {
            UserSecret::Clear(secret) => {
                let sealed = self.envelope.seal(owner, secret.expose().as_bytes(), &mut os_rng())?;
                Ok(UserSecret::Sealed(sealed))
            }
            UserSecret::Sealed(_) => Ok(secret.clone()),
        }
    }

    fn seal_webhook(&self, webhook: &Webhook) -> Result<Webhook> {
        let mut sealed = webhook.clone();
        sealed.url.whole = self.seal_user_secret(&url_of(&webhook.id), &webhook.url.whole)?;
        for (name, value) in &mut sealed.custom_headers {
            *value = self.seal_user_secret(&header_of(&webhook.id, name), value)?;
        }
        Ok(sealed)
    }

    /// A change as it is written in a format.
    pub(crate) fn in_format<'a>(&self, change: &'a Change, format: Format) -> Result<Cow<'a, Change>> {
        if format < Format::SEALED_WEBHOOKS || !change.writes.iter().any(has_clear_secrets) {
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

fn has_clear_secrets(write: &Write) -> bool {
    match &write.new {
        Some(Record::Webhook(webhook)) => is_clear(webhook),
        Some(Record::Account(_) | Record::Project(_) | Record::ApiKey(_) | Record::AccessKey(_)) | None => false,
    }
}

/// Whether a webhook holds secrets in clear, as v0.1.0 wrote it.
pub(crate) fn is_clear(webhook: &Webhook) -> bool {
    let mut secrets = std::iter::once(&webhook.url.whole).chain(webhook.custom_headers.iter().map(|(_, value)| value));
    secrets.any(|secret| matches!(secret, UserSecret::Clear(_)))
}

/// To whom a URL is bound.
fn url_of(webhook: &WebhookId) -> String {
    format!("{webhook}/url")
}

/// To whom a header's value is bound.
fn header_of(webhook: &WebhookId, name: &str) -> String {
    format!("{webhook}/header/{}", name.to_ascii_lowercase())
}
