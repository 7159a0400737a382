//! Creating webhooks.

use std::collections::BTreeMap;

use gatepost_domain::change::Action;
use gatepost_domain::id::WebhookId;
use gatepost_domain::key::Secret;
use gatepost_domain::record::{
    DeliverySettings, Stamps, UserSecret, Webhook, WebhookHealth, WebhookStatus, WebhookUrl,
};
use gatepost_store::os_rng;
use gatepost_webhook_client::sign;

use super::delivery::DeliveryRequest;
use super::revealed::RevealedWebhook;
use super::secrets::new_secret;
use super::static_token::TokenRequest;
use super::{destination, validate};
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;
use crate::use_cases::text;

pub struct NewWebhook {
    pub name: Option<String>,
    pub account: Option<String>,
    pub project: Option<String>,
    pub url: Option<String>,
    pub topics: Vec<String>,
    pub method: Option<String>,
    pub headers: BTreeMap<String, String>,
    pub status: Option<String>,
    pub static_token: Option<TokenRequest>,
    pub delivery: DeliveryRequest,
}

impl ControlPlane {
    /// Creates a webhook, and returns it with its signing secret: the only time that the secret is shown.
    pub async fn create_webhook(&self, context: &RequestContext, new: NewWebhook) -> Result<RevealedWebhook> {
        let caller = &context.caller;
        caller.require_write()?;
        caller.require_own_account(new.account.as_deref())?;
        let project = match (new.project.as_deref(), &caller.project) {
            (None, None) => None,
            (named, _) => Some(self.active_project(context, named).await?.id),
        };
        let url = new.url.as_deref().ok_or_else(|| Failure::invalid("url: is missing"))?;
        destination::refuse_masked_url(url)?;
        let url = WebhookUrl::new(self.check_url(url).await?);
        self.check_webhook_limit(context, project.as_ref()).await?;
        let id = WebhookId::generate_in(caller.account.partition(), &mut os_rng());
        let secret = new_secret();
        let token = new.static_token.map(|request| self.resolve_static_token(&id, None, request)).transpose()?;
        let (static_token, revealed_token) = token.unwrap_or_default();
        let webhook = Webhook {
            secret: self.store.envelope().seal_webhook_secret(&id, secret.as_slice())?,
            old_secrets: Vec::new(),
            static_token,
            delivery: self.apply_delivery(&id, &DeliverySettings::default(), new.delivery)?,
            health: WebhookHealth::default(),
            id,
            account: caller.account.clone(),
            project,
            name: text::parse_name(new.name)?,
            url,
            topics: self.parse_subscription(&new.topics)?,
            method: validate::parse_method(new.method.as_deref())?,
            custom_headers: unsealed_headers(validate::parse_headers(new.headers)?),
            status: new.status.as_deref().map_or(Ok(WebhookStatus::Live), validate::parse_status)?,
            status_changed_at: None,
            url_set_by: caller.role,
            stamps: Stamps::new(self.now(), caller.actor()),
        };
        let webhook = self.create(context, Action::WebhookCreated, webhook, None, None).await?;
        let secret = Some(Secret::new(sign::secret_text(secret.as_slice())));
        Ok(RevealedWebhook { secret, static_token: revealed_token, ..RevealedWebhook::without_secrets(webhook) })
    }
}

fn unsealed_headers(headers: Vec<(String, Secret)>) -> Vec<(String, UserSecret)> {
    headers.into_iter().map(|(name, value)| (name, UserSecret::Plaintext(value))).collect()
}
