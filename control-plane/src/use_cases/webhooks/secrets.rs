//! URL and header values of webhooks, in which people put credentials: what callers see of them, and what a masked value
//! that is sent back means.

use std::collections::BTreeMap;

use gatepost_domain::key::Secret;
use gatepost_domain::record::{Role, UserSecret, Webhook, WebhookUrl};
use gatepost_wire::{MASKED_VALUE, WebhookBody};

use super::validate;
use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::{Failure, Result};

impl ControlPlane {
    /// A webhook as a caller sees it: viewers see masks.
    pub(crate) fn webhook_body(&self, caller: &Caller, webhook: &Webhook) -> Result<WebhookBody> {
        match caller.role {
            Role::Viewer => Ok(WebhookBody::new(webhook)),
            Role::User | Role::Admin => self.unmasked_webhook_body(webhook),
        }
    }

    /// A webhook with its URL and the values of its headers.
    pub(crate) fn unmasked_webhook_body(&self, webhook: &Webhook) -> Result<WebhookBody> {
        let shown = |secret: &Secret| secret.expose().to_owned();
        let headers = self.store.open_webhook_headers(webhook)?;
        Ok(WebhookBody {
            url: shown(&self.store.open_webhook_url(webhook)?),
            custom_headers: headers.iter().map(|(name, value)| (name.clone(), shown(value))).collect(),
            ..WebhookBody::new(webhook)
        })
    }

    /// The URL that a webhook shall get; none if it keeps its own, which may also be sent back masked.
    pub(super) async fn parse_new_url(&self, webhook: &Webhook, text: &str) -> Result<Option<WebhookUrl>> {
        if text == webhook.url.masked {
            return Ok(None);
        }
        refuse_masked_url(text)?;
        let stored = self.store.open_webhook_url(webhook)?;
        if url::Url::parse(text).is_ok_and(|url| url.as_str() == stored.expose()) {
            return Ok(None);
        }
        Ok(Some(WebhookUrl::new(self.check_url(text).await?)))
    }

    /// The headers that a webhook shall have in the place of those before. A masked value stands for the stored one.
    pub(super) fn merge_headers(
        &self,
        webhook: &Webhook,
        requested: BTreeMap<String, String>,
    ) -> Result<Vec<(String, UserSecret)>> {
        let stored = self.store.open_webhook_headers(webhook)?;
        let stored_header = |name: &str| {
            let index = stored.iter().position(|(stored_name, _)| stored_name.eq_ignore_ascii_case(name));
            index.map(|index| (&stored[index].1, &webhook.custom_headers[index].1))
        };
        let unmasked = requested.into_iter().map(|(name, value)| {
            let value = match stored_header(&name) {
                Some((stored, _)) if value == MASKED_VALUE => stored.expose().to_owned(),
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

/// A masked URL is none, except in the place of the one that it masks.
pub(super) fn refuse_masked_url(text: &str) -> Result<()> {
    if text.contains(WebhookUrl::MASK) {
        return Err(Failure::invalid("url: is masked: send the whole URL, or leave it out to keep the stored one"));
    }
    Ok(())
}
