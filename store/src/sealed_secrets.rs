//! What the envelope seals: the secrets of webhooks and events, each bound to its record and purpose.

use std::borrow::Cow;

use gatepost_domain::id::{EventId, WebhookId};
use gatepost_domain::key::Secret;
use gatepost_domain::record::{Record, Sealed, UserSecret, Webhook};
use gatepost_domain::time::Timestamp;

use zeroize::Zeroizing;

use crate::change::{Change, RecordWrite};
use crate::envelope::Envelope;
use crate::error::{Result, StoreErrorKind};
use crate::format::Format;
use crate::random::os_rng;

impl Envelope {
    /// Seals a webhook's signing secret.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if the secret is too long to encrypt.
    pub fn seal_webhook_secret(&self, webhook: &WebhookId, secret: &[u8]) -> Result<Sealed> {
        self.seal(webhook.as_str(), secret, &mut os_rng())
    }

    /// Opens a webhook's signing secret.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if it does not decrypt for this webhook.
    pub fn open_webhook_secret(&self, webhook: &WebhookId, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>> {
        self.unseal(webhook.as_str(), sealed)
    }

    /// Opens the secrets with which the requests of a webhook are signed: the current one, and the replaced ones that have
    /// not expired.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if one does not decrypt for this webhook.
    pub fn open_signing_secrets(&self, webhook: &Webhook, now: Timestamp) -> Result<Vec<Zeroizing<Vec<u8>>>> {
        let old = webhook.old_secrets.iter().filter(|old| now < old.until).map(|old| &old.secret);
        let all = std::iter::once(&webhook.secret).chain(old);
        all.map(|sealed| self.open_webhook_secret(&webhook.id, sealed)).collect()
    }

    /// Seals a webhook's `theauthapi-signature` token. It cannot be opened as a signing secret.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if the token is too long to encrypt.
    pub fn seal_static_token(&self, webhook: &WebhookId, token: &Secret) -> Result<Sealed> {
        self.seal(&static_token_aad(webhook), token.expose().as_bytes(), &mut os_rng())
    }

    /// Opens a webhook's `theauthapi-signature` token.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if it does not decrypt for this webhook.
    pub fn open_static_token(&self, webhook: &WebhookId, sealed: &Sealed) -> Result<Secret> {
        secret_from_utf8(&self.unseal(&static_token_aad(webhook), sealed)?)
    }

    /// Seals the seed of a webhook's Ed25519 key. It cannot be opened as a signing secret of another kind.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if the seed is too long to encrypt.
    pub fn seal_signing_key(&self, webhook: &WebhookId, seed: &[u8; 32]) -> Result<Sealed> {
        self.seal(&signing_key_aad(webhook), seed, &mut os_rng())
    }

    /// Opens the seeds of the Ed25519 keys with which the requests of a webhook are signed: the current one, and the
    /// replaced ones that have not expired.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if one does not decrypt for this webhook, or is no seed.
    pub fn open_signing_keys(&self, webhook: &Webhook, now: Timestamp) -> Result<Vec<Zeroizing<[u8; 32]>>> {
        let delivery = &webhook.delivery;
        let old = delivery.old_signing_keys.iter().filter(|old| now < old.until).map(|old| &old.secret);
        let all = delivery.signing_key.iter().map(|key| &key.secret).chain(old);
        all.map(|sealed| self.open_signing_key(&webhook.id, sealed)).collect()
    }

    fn open_signing_key(&self, webhook: &WebhookId, sealed: &Sealed) -> Result<Zeroizing<[u8; 32]>> {
        let seed = self.unseal(&signing_key_aad(webhook), sealed)?;
        let seed = seed.as_slice().try_into().map_err(|_| StoreErrorKind::Corrupt.with("a seed has 32 bytes"))?;
        Ok(Zeroizing::new(seed))
    }

    pub(crate) fn seal_event_secret(&self, event: &EventId, secret: &Secret) -> Result<Vec<u8>> {
        let sealed = self.seal(event.as_str(), secret.expose().as_bytes(), &mut os_rng())?;
        Ok(sealed.0)
    }

    pub(crate) fn open_event_secret(&self, event: &EventId, sealed: Vec<u8>) -> Result<Secret> {
        secret_from_utf8(&self.unseal(event.as_str(), &Sealed(sealed))?)
    }

    /// Returns the full URL of a webhook.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if it does not decrypt for this webhook.
    pub fn open_webhook_url(&self, webhook: &Webhook) -> Result<Secret> {
        self.open_user_secret(&url_aad(&webhook.id), &webhook.url.full)
    }

    /// Returns the custom headers of a webhook with their values.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if a value does not decrypt for this webhook.
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
            UserSecret::Sealed(sealed) => secret_from_utf8(&self.unseal(aad, sealed)?),
        }
    }

    fn seal_user_secret(&self, aad: &str, secret: &UserSecret) -> Result<UserSecret> {
        match secret {
            UserSecret::Plaintext(secret) => {
                let sealed = self.seal(aad, secret.expose().as_bytes(), &mut os_rng())?;
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

/// Associated data that binds a static token to its webhook.
fn static_token_aad(webhook: &WebhookId) -> String {
    format!("{webhook}/static-token")
}

/// Associated data that binds the seed of an Ed25519 key to its webhook.
fn signing_key_aad(webhook: &WebhookId) -> String {
    format!("{webhook}/ed25519")
}

/// Associated data that binds a URL to its webhook.
fn url_aad(webhook: &WebhookId) -> String {
    format!("{webhook}/url")
}

/// Associated data that binds a header value to its webhook and header name.
fn header_aad(webhook: &WebhookId, name: &str) -> String {
    format!("{webhook}/header/{}", name.to_ascii_lowercase())
}

fn secret_from_utf8(bytes: &[u8]) -> Result<Secret> {
    let text = String::from_utf8(bytes.to_vec()).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
    Ok(Secret::new(text))
}
