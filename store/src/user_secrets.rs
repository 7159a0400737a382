//! Secrets that users configure on webhooks: sealed when written, opened when a delivery is sent.

use std::borrow::Cow;

use gatepost_domain::id::WebhookId;
use gatepost_domain::key::Secret;
use gatepost_domain::record::{Record, UserSecret, Webhook};

use crate::change::{Change, RecordWrite};
use crate::error::Result;
use crate::format::Format;
use crate::store::{Store, os_rng, secret_from_utf8};

impl Store {
    /// Returns the full URL of a webhook.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`](crate::StoreErrorKind::Corrupt) if it does not decrypt for this webhook.
    pub fn open_webhook_url(&self, webhook: &Webhook) -> Result<Secret> {
        self.open_user_secret(&url_aad(&webhook.id), &webhook.url.full)
    }

    /// Returns the custom headers of a webhook with their values.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`](crate::StoreErrorKind::Corrupt) if a value does not decrypt for this webhook.
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

    /// Returns the change as it is written in `format`: webhook secrets are sealed from format 2 on.
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

/// Returns whether a webhook contains plaintext secrets, as v0.1.0 wrote them.
pub(crate) fn has_plaintext_secrets(webhook: &Webhook) -> bool {
    let mut secrets = std::iter::once(&webhook.url.full).chain(webhook.custom_headers.iter().map(|(_, value)| value));
    secrets.any(|secret| matches!(secret, UserSecret::Plaintext(_)))
}

/// Associated data that binds a URL to its webhook.
fn url_aad(webhook: &WebhookId) -> String {
    format!("{webhook}/url")
}

/// Associated data that binds a header value to its webhook and header name.
fn header_aad(webhook: &WebhookId, name: &str) -> String {
    format!("{webhook}/header/{}", name.to_ascii_lowercase())
}
