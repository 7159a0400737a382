//! URL and header values of webhooks, in which people put credentials: what callers see of them, and what a masked value
//! that is sent back means.

use std::collections::BTreeMap;

use gatepost_domain::key::Secret;
use gatepost_domain::record::{Role, UserSecret, Webhook, WebhookUrl};
use gatepost_wire::{MASKED_VALUE, WebhookBody};

use super::asked;
use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::{Failure, Result};

impl ControlPlane {
    /// A webhook as a caller sees it: viewers see masks.
    pub(crate) fn webhook_body(&self, caller: &Caller, webhook: &Webhook) -> Result<WebhookBody> {
        match caller.role {
            Role::Viewer => Ok(WebhookBody::new(webhook)),
            Role::User | Role::Admin => self.whole_webhook_body(webhook),
        }
    }

    /// A webhook with its URL and the values of its headers.
    pub(crate) fn whole_webhook_body(&self, webhook: &Webhook) -> Result<WebhookBody> {
        let shown = |secret: &Secret| secret.expose().to_owned();
        let headers = self.store.open_webhook_headers(webhook)?;
        Ok(WebhookBody {
            url: shown(&self.store.open_webhook_url(webhook)?),
            custom_headers: headers.iter().map(|(name, value)| (name.clone(), shown(value))).collect(),
            ..WebhookBody::new(webhook)
        })
    }

    /// The URL that a webhook shall get; none if it keeps its own, which may also be sent back masked.
    pub(super) async fn new_url(&self, webhook: &Webhook, text: &str) -> Result<Option<WebhookUrl>> {
        if text == webhook.url.masked {
            return Ok(None);
        }
        refuse_masked_url(text)?;
        let stored = self.store.open_webhook_url(webhook)?;
        if url::Url::parse(text).is_ok_and(|url| url.as_str() == stored.expose()) {
            return Ok(None);
        }
        Ok(Some(WebhookUrl::new(self.checked_url(text).await?)))
    }

    /// The headers that a webhook shall have in the place of those before. A masked value stands for the stored one.
    pub(super) fn new_headers(
        &self,
        webhook: &Webhook,
        given: BTreeMap<String, String>,
    ) -> Result<Vec<(String, UserSecret)>> {
        let stored = self.store.open_webhook_headers(webhook)?;
        let of_name = |wanted: &str| {
            let place = stored.iter().position(|(name, _)| name.eq_ignore_ascii_case(wanted));
            place.map(|place| (&stored[place].1, &webhook.custom_headers[place].1))
        };
        let whole = given.into_iter().map(|(name, value)| {
            let value = match of_name(&name) {
                Some((stored, _)) if value == MASKED_VALUE => stored.expose().to_owned(),
                _ => value,
            };
            (name, value)
        });
        let checked = asked::changed_headers(whole.collect(), &stored)?.into_iter().map(|(name, value)| {
            let kept = of_name(&name).filter(|(stored, _)| stored.expose() == value.expose());
            let value = kept.map_or(UserSecret::Clear(value), |(_, stored)| stored.clone());
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
