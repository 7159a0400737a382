//! Signing secrets, and the URL and header values of webhooks, in which people put credentials.

use std::collections::BTreeMap;

use gatepost_domain::key::Secret;
use gatepost_domain::record::{UserSecret, Webhook};
use gatepost_store::os_rng;
use gatepost_webhook_client::sign;
use rand::Rng;
use zeroize::Zeroizing;

use super::revealed::WebhookValues;
use super::validate;
use crate::control_plane::ControlPlane;
use crate::failure::Result;

/// Bytes of a signing secret.
const SECRET_BYTES: usize = 32;

impl ControlPlane {
    /// Opens the URL and the header values of a webhook. Viewers must not see them.
    ///
    /// # Errors
    /// If the store's master key does not open them.
    pub fn webhook_values(&self, webhook: &Webhook) -> Result<WebhookValues> {
        let headers = self.store.envelope().open_webhook_headers(webhook)?;
        Ok(WebhookValues { url: self.store.envelope().open_webhook_url(webhook)?, headers })
    }

    /// Opens the signing secret of a webhook, in the form that receivers configure.
    ///
    /// # Errors
    /// If the store's master key does not open it.
    pub fn webhook_secret(&self, webhook: &Webhook) -> Result<Secret> {
        let secret = self.store.envelope().open_webhook_secret(&webhook.id, &webhook.secret)?;
        Ok(Secret::new(sign::secret_text(&secret)))
    }

    /// Opens the token that a webhook sends as `theauthapi-signature`; none if it sends none.
    ///
    /// # Errors
    /// If the store's master key does not open it.
    pub fn webhook_static_token(&self, webhook: &Webhook) -> Result<Option<Secret>> {
        let token = webhook.static_token.as_ref();
        Ok(token.map(|token| self.store.envelope().open_static_token(&webhook.id, token)).transpose()?)
    }

    /// Returns the headers that replace those of a webhook. A masked value means the stored one.
    pub(super) fn merge_headers(
        &self,
        webhook: &Webhook,
        requested: BTreeMap<String, String>,
    ) -> Result<Vec<(String, UserSecret)>> {
        let stored = self.store.envelope().open_webhook_headers(webhook)?;
        let stored_header = |name: &str| {
            let index = stored.iter().position(|(stored_name, _)| stored_name.eq_ignore_ascii_case(name));
            index.map(|index| (&stored[index].1, &webhook.custom_headers[index].1))
        };
        let unmasked = requested.into_iter().map(|(name, value)| {
            let value = match stored_header(&name) {
                Some((stored, _)) if value == UserSecret::MASK => stored.expose().to_owned(),
                _ => value,
            };
            (name, value)
        });
        let checked = validate::parse_changed_headers(unmasked.collect(), &stored)?.into_iter().map(|(name, value)| {
            let unchanged = stored_header(&name).filter(|(stored, _)| stored.expose() == value.expose());
            let value = unchanged.map_or(UserSecret::Plaintext(value), |(_, stored)| stored.clone());
            (name, value)
        });
        Ok(checked.collect())
    }
}

pub(super) fn new_secret() -> Zeroizing<[u8; SECRET_BYTES]> {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    os_rng().fill_bytes(secret.as_mut_slice());
    secret
}
