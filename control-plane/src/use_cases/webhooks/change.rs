//! Updating webhooks and rotating their signing secrets.

use std::collections::BTreeMap;
use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::WebhookId;
use gatepost_domain::key::Secret;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{DeliverySettings, OldSecret, Sealed, Status, Webhook, WebhookState, WebhookStatus};
use gatepost_runtime::error_chain;
use gatepost_webhook_client::sign;

use super::delivery::DeliverySettingsPatch;
use super::destination::{NewDestination, destination_chosen_by};
use super::revealed::RevealedWebhook;
use super::secrets::new_secret;
use super::static_token::{TokenRequest, token_request};
use super::validate;
use crate::caller::Caller;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result, all, both};
use crate::request_context::RequestContext;
use crate::update::Edit;
use crate::use_cases::patch::Patch;
use crate::use_cases::text;
use crate::use_cases::update_rules::check_unchanged;

/// Time for which requests are also signed with the old secret, by default.
const DEFAULT_OVERLAP_S: u64 = 24 * 3600;
const MAX_OVERLAP_S: u64 = 7 * 24 * 3600;
/// Old secrets that sign at a time.
const MAX_OLD_SECRETS: usize = 4;

/// A change of a webhook; absent members stay as they are.
#[derive(Debug, Clone, Default)]
pub struct WebhookChange {
    /// Inactive removes the webhook, as deleting it does.
    pub activity: Option<Status>,
    pub account: Option<String>,
    pub name: Option<String>,
    /// Null for the whole account.
    pub project: Patch<String>,
    pub url: Option<String>,
    pub topics: Option<Vec<String>>,
    pub method: Option<String>,
    pub headers: Option<BTreeMap<String, String>>,
    pub status: Option<String>,
    /// The pause that the receiver asked for, as a copy of the webhook repeats it: it is left as it is.
    pub paused_until: Option<String>,
    pub is_token_sent: Option<bool>,
    pub token: Option<String>,
    pub delivery: DeliverySettingsPatch,
}

impl WebhookChange {
    /// Returns whether it ends the pause that the receiver asked for: it makes the webhook live, even if it is already.
    fn ends_pause(&self, changed: &Webhook) -> bool {
        self.status.is_some() && self.paused_until.is_none() && changed.status == WebhookStatus::Live
    }
}

impl ControlPlane {
    /// Updates a webhook, perhaps with a copy of the whole webhook: what the copy repeats is not validated again. A
    /// static token that is set now is returned, once.
    pub async fn update_webhook(
        &self,
        context: &RequestContext,
        id: &str,
        change: WebhookChange,
    ) -> Result<RevealedWebhook> {
        context.caller.require_write()?;
        let found = self.webhook(context, id).await?;
        context.precondition.check(found.position)?;
        let account = found.record.account.as_str();
        check_unchanged(&context.members, "accountId", change.account.as_deref(), account)?;
        if change.activity == Some(Status::Inactive) {
            let removed = self.delete_webhook(context, id).await?;
            return Ok(RevealedWebhook { activity: Status::Inactive, ..RevealedWebhook::without_secrets(removed) });
        }
        let destination = self.check_change(context, &found.record, &change).await?;
        let mut static_token = None;
        let edit = |found: &Webhook| {
            let (webhook, token) = self.apply_change(&context.caller, found, &change, &destination)?;
            static_token = token;
            Ok(if webhook == *found { Edit::Unchanged } else { Edit::replace(Action::WebhookUpdated, webhook) })
        };
        let webhook = self.update(context.into(), || self.webhook(context, id), edit).await?;
        let recoverable = self.forget_failures(&found.record, &webhook.record).await?;
        if change.ends_pause(&webhook.record) {
            self.store.home(webhook.record.id.partition()).end_hold(&webhook.record.id).await?;
        }
        Ok(RevealedWebhook { static_token, recoverable, ..RevealedWebhook::without_secrets(webhook) })
    }

    /// Checks a change of a webhook without making it.
    ///
    /// # Errors
    /// Those of [`ControlPlane::update_webhook`] that are about its members: all at once.
    pub async fn check_webhook_change(
        &self,
        context: &RequestContext,
        webhook: &Webhook,
        change: &WebhookChange,
    ) -> Result<()> {
        self.check_change(context, webhook, change).await.map(drop)
    }

    /// Validates all members of a change, and returns the destination that it asks for.
    async fn check_change(
        &self,
        context: &RequestContext,
        webhook: &Webhook,
        change: &WebhookChange,
    ) -> Result<NewDestination> {
        let (url, project) = (change.url.as_deref(), &change.project);
        let destination = self.check_new_destination(context, webhook, url, project).await;
        both(destination, self.apply_members(webhook, change)).map(|(destination, _)| destination)
    }

    /// Forgets the failures of a webhook that is live again or has another URL, and the time for which its receiver asked
    /// that nothing is sent. Returns how many deliveries can be recovered, if it was disabled.
    async fn forget_failures(&self, old: &Webhook, new: &Webhook) -> Result<Option<u64>> {
        let cell = self.store.home(new.id.partition());
        let is_resumed = old.status == WebhookStatus::Paused && new.status == WebhookStatus::Live;
        if !is_resumed && old.url == new.url {
            return Ok(None);
        }
        // The change is committed, and what is not forgotten ends by itself.
        if let Err(error) = cell.reset_failures(&new.id).await {
            tracing::warn!(error = %error_chain(&error), webhook = new.id.as_str(), "failures were not forgotten");
        }
        if !is_resumed || old.state() != WebhookState::Disabled {
            return Ok(None);
        }
        let numbers = cell.webhook_numbers(&new.id).await?;
        Ok(Some(numbers.dead + numbers.dropped))
    }

    /// Returns the webhook after a change, and the static token that the change sets.
    fn apply_change(
        &self,
        caller: &Caller,
        old: &Webhook,
        change: &WebhookChange,
        destination: &NewDestination,
    ) -> Result<(Webhook, Option<Secret>)> {
        let (mut webhook, static_token) = self.apply_members(old, change)?;
        if let Some(url) = &destination.url {
            webhook.url = url.clone();
        }
        if let Some(project) = &destination.project {
            webhook.project = project.clone();
        }
        webhook.url_set_by = destination_chosen_by(caller, old, &webhook);
        Ok((webhook, static_token))
    }

    fn apply_members(&self, old: &Webhook, change: &WebhookChange) -> Result<(Webhook, Option<Secret>)> {
        let status = change.status.as_deref().map(validate::parse_status).transpose();
        let mut webhook = match &status {
            Ok(Some(status)) => old.with_status(*status, self.now()),
            Ok(None) | Err(_) => old.clone(),
        };
        let mut token = (webhook.static_token.take(), None);
        let name = change.name.as_ref().map(|name| text::parse_name(Some(name.clone())));
        let topics = change.topics.as_ref().map(|topics| self.parse_subscription(topics));
        let method = change.method.as_ref().map(|method| validate::parse_method(Some(method)));
        let headers = change.headers.as_ref().map(|headers| self.merge_headers(old, headers.clone()));
        let delivery = self.apply_delivery(&old.id, &old.delivery, change.delivery.clone());
        let new_token = self.static_token_change(old, change).and_then(|request| {
            request.map(|request| self.resolve_static_token(&old.id, old.static_token.clone(), request)).transpose()
        });
        all::<(), ()>([
            set(&mut webhook.name, name),
            set(&mut webhook.topics, topics),
            set(&mut webhook.method, method),
            set(&mut webhook.custom_headers, headers),
            set(&mut webhook.delivery, Some(delivery)),
            set(&mut token, new_token.transpose()),
            status.map(drop),
        ])?;
        let (static_token, revealed_token) = token;
        Ok((Webhook { static_token, ..webhook }, revealed_token))
    }

    /// Returns what a change asks for the static token. The stored token is not a new one.
    fn static_token_change(&self, old: &Webhook, change: &WebhookChange) -> Result<Option<TokenRequest>> {
        let stored = match (&change.token, &old.static_token) {
            (Some(_), Some(sealed)) => Some(self.store.envelope().open_static_token(&old.id, sealed)?),
            (Some(_), None) | (None, _) => None,
        };
        let is_own = |token: &String| stored.as_ref().is_some_and(|own| own.expose() == token);
        let token = change.token.as_ref().filter(|token| !is_own(token));
        token_request(change.is_token_sent, token.cloned())
    }

    /// Generates a new signing secret and returns it, once, and a new key pair if there is one. Requests are signed with
    /// the old ones as well until the overlap ends; with an overlap of 0 no old secret signs any more.
    pub async fn rotate_webhook_secret(
        &self,
        context: &RequestContext,
        id: &str,
        overlap_s: Option<u64>,
    ) -> Result<RevealedWebhook> {
        context.caller.require_write()?;
        let overlap_s = overlap_s.unwrap_or(DEFAULT_OVERLAP_S);
        if overlap_s > MAX_OVERLAP_S {
            return Err(Failure::invalid(format!("overlapSeconds: must be at most {MAX_OVERLAP_S}")));
        }
        let mut secret = None;
        let edit = |found: &Webhook| {
            let new = new_secret();
            let overlap = Duration::from_secs(overlap_s);
            let rotated = Webhook {
                secret: self.store.envelope().seal_webhook_secret(&found.id, new.as_slice())?,
                old_secrets: self.old_secrets(&found.secret, &found.old_secrets, overlap)?,
                delivery: self.rotate_signing_key(&found.id, &found.delivery, overlap)?,
                ..found.clone()
            };
            secret = Some(Secret::new(sign::secret_text(new.as_slice())));
            Ok(Edit::replace(Action::WebhookUpdated, rotated))
        };
        let webhook = self.update(context.into(), || self.webhook(context, id), edit).await?;
        Ok(RevealedWebhook { secret, ..RevealedWebhook::without_secrets(webhook) })
    }

    fn rotate_signing_key(
        &self,
        id: &WebhookId,
        settings: &DeliverySettings,
        overlap: Duration,
    ) -> Result<DeliverySettings> {
        let Some(replaced) = &settings.signing_key else { return Ok(settings.clone()) };
        Ok(DeliverySettings {
            signing_key: Some(self.new_signing_key(id)?),
            old_signing_keys: self.old_secrets(&replaced.secret, &settings.old_signing_keys, overlap)?,
            ..settings.clone()
        })
    }

    /// Returns the secrets that still sign after a rotation.
    fn old_secrets(&self, replaced: &Sealed, old: &[OldSecret], overlap: Duration) -> Result<Vec<OldSecret>> {
        if overlap.is_zero() {
            return Ok(Vec::new());
        }
        let now = self.now();
        let still_valid = old.iter().filter(|old| now < old.until).cloned();
        let replaced = OldSecret { secret: replaced.clone(), until: now.plus(overlap) };
        let old: Vec<OldSecret> = std::iter::once(replaced).chain(still_valid).collect();
        if old.len() > MAX_OLD_SECRETS {
            let detail = format!("{MAX_OLD_SECRETS} old secrets still sign: wait, or rotate with overlapSeconds 0");
            return Err(Failure::refused(ErrorCode::Conflict, detail));
        }
        Ok(old)
    }
}

/// Sets a member that a change has, if it is valid.
fn set<T>(member: &mut T, new: Option<Result<T>>) -> Result<()> {
    new.transpose().map(|new| {
        if let Some(new) = new {
            *member = new;
        }
    })
}
