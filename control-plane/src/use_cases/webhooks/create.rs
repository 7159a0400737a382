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

use super::delivery::DeliverySettingsPatch;
use super::revealed::RevealedWebhook;
use super::secrets::new_secret;
use super::static_token::TokenRequest;
use super::{destination, validate};
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result, both};
use crate::request_context::RequestContext;
use crate::use_cases::text;

#[derive(Clone)]
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
    pub delivery: DeliverySettingsPatch,
}

impl ControlPlane {
    /// Creates a webhook, and returns it with its signing secret: the only time that the secret is shown.
    pub async fn create_webhook(&self, context: &RequestContext, new: NewWebhook) -> Result<RevealedWebhook> {
        let (webhook, secret, static_token) = self.build_webhook(context, new).await?;
        self.check_webhook_limit(context, webhook.project.as_ref()).await?;
        let webhook = self.create(context, Action::WebhookCreated, webhook, None, None).await?;
        Ok(RevealedWebhook { secret: Some(secret), static_token, ..RevealedWebhook::without_secrets(webhook) })
    }

    /// Checks a webhook without creating it.
    ///
    /// # Errors
    /// Those of [`ControlPlane::create_webhook`] that are about its members: all at once.
    pub async fn check_new_webhook(&self, context: &RequestContext, new: NewWebhook) -> Result<()> {
        self.build_webhook(context, new).await.map(drop)
    }

    /// Builds a webhook that is not yet in the store, with its signing secret, and its token if it has one.
    async fn build_webhook(
        &self,
        context: &RequestContext,
        new: NewWebhook,
    ) -> Result<(Webhook, Secret, Option<Secret>)> {
        let caller = &context.caller;
        caller.require_write()?;
        caller.require_own_account(new.account.as_deref())?;
        let project = match (new.project.as_deref(), &caller.project) {
            (None, None) => None,
            (named, _) => Some(self.active_project(context, named).await?.id),
        };
        let id = WebhookId::generate_in(caller.account.partition(), &mut os_rng());
        let secret = new_secret();
        let token = new.static_token.map(|request| self.resolve_static_token(&id, None, request)).transpose();
        let delivery = self.apply_delivery(&id, &DeliverySettings::default(), new.delivery);
        let status = new.status.as_deref().map_or(Ok(WebhookStatus::Live), validate::parse_status);
        let headers = validate::parse_headers(new.headers);
        let method = validate::parse_method(new.method.as_deref());
        let topics = self.parse_subscription(&new.topics);
        let url = self.check_new_url(new.url.as_deref()).await;
        let destination = both(both(text::parse_name(new.name), url), both(method, headers));
        let settings = both(both(topics, status), both(token, delivery));
        let (((name, url), (method, headers)), ((topics, status), (token, delivery))) = both(destination, settings)?;
        let (static_token, revealed_token) = token.unwrap_or_default();
        let webhook = Webhook {
            secret: self.store.envelope().seal_webhook_secret(&id, secret.as_slice())?,
            old_secrets: Vec::new(),
            static_token,
            delivery,
            health: WebhookHealth::default(),
            id,
            account: caller.account.clone(),
            project,
            name,
            url,
            topics,
            method,
            custom_headers: unsealed_headers(headers),
            status,
            status_changed_at: None,
            url_set_by: caller.role,
            stamps: Stamps::new(self.now(), caller.actor()),
        };
        Ok((webhook, Secret::new(sign::secret_text(secret.as_slice())), revealed_token))
    }

    /// Checks the URL of a webhook.
    ///
    /// # Errors
    /// What is wrong with it, if it is no URL to which requests may be sent.
    pub async fn check_webhook_url(&self, url: Option<&str>) -> Result<()> {
        self.check_new_url(url).await.map(drop)
    }

    async fn check_new_url(&self, url: Option<&str>) -> Result<WebhookUrl> {
        let url = url.ok_or_else(|| Failure::invalid("url: is missing"))?;
        destination::refuse_masked_url(url)?;
        Ok(WebhookUrl::new(self.check_url(url).await?))
    }
}

fn unsealed_headers(headers: Vec<(String, Secret)>) -> Vec<(String, UserSecret)> {
    headers.into_iter().map(|(name, value)| (name, UserSecret::Plaintext(value))).collect()
}
