//! Webhooks: changed, paused, and their secrets rotated.

use std::collections::BTreeMap;
use std::time::Duration;

use gatepost_deliverer::sign;
use gatepost_domain::change::Action;
use gatepost_domain::id::ProjectId;
use gatepost_domain::key::Secret;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{OldSecret, Role, Status, Webhook, WebhookUrl};
use gatepost_store::RecordWrite;

use super::{RevealedWebhook, TokenRequest, new_secret, validate};
use crate::ControlPlane;
use crate::caller::Caller;
use crate::commit::{Committed, MAX_TRIES, too_contended};
use crate::failure::{Failure, Result};
use crate::use_cases::patch::Patch;
use crate::use_cases::text;
use crate::use_cases::update_rules::check_unchanged;

/// For how long requests are signed with the old secret too, unless something else is asked for.
const DEFAULT_OVERLAP_S: u64 = 24 * 3600;
/// The longest that may be asked for.
const MAX_OVERLAP_S: u64 = 7 * 24 * 3600;
/// Old secrets that still sign at a time.
const MAX_OLD_SECRETS: usize = 4;

/// What shall change of a webhook; what is absent stays as it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct WebhookChange {
    /// Inactive removes the webhook, as deleting it does.
    pub(crate) activity: Option<Status>,
    pub(crate) account: Option<String>,
    pub(crate) name: Option<String>,
    /// Null for the whole account.
    pub(crate) project: Patch<String>,
    pub(crate) url: Option<String>,
    pub(crate) topics: Option<Vec<String>>,
    pub(crate) method: Option<String>,
    pub(crate) headers: Option<BTreeMap<String, String>>,
    pub(crate) status: Option<String>,
    /// Whether the static token is sent.
    pub(crate) is_token_sent: Option<bool>,
    pub(crate) token: Option<String>,
}

/// A new place of a webhook; what is absent stays as it is.
struct NewDestination {
    url: Option<WebhookUrl>,
    project: Option<Option<ProjectId>>,
}

impl ControlPlane {
    /// Changes a webhook, perhaps by a copy of the whole webhook: what that repeats is not judged again. A static token
    /// that is set now is told, once.
    pub(crate) async fn update_webhook(
        &self,
        caller: &Caller,
        id: &str,
        change: WebhookChange,
    ) -> Result<RevealedWebhook> {
        caller.require_write()?;
        let found = self.webhook(caller, id).await?;
        check_unchanged("accountId", change.account.as_deref(), found.record.account.as_str())?;
        if change.activity == Some(Status::Inactive) {
            let removed = self.delete_webhook(caller, id).await?;
            return Ok(RevealedWebhook { activity: Status::Inactive, ..RevealedWebhook::without_secrets(removed) });
        }
        let destination = self.check_new_destination(caller, &change, &found.record).await?;
        for _ in 0..MAX_TRIES {
            let found = self.webhook(caller, id).await?;
            let mut revealed = self.apply_change(&found.record, &change)?;
            if let Some(url) = &destination.url {
                revealed.webhook.url = url.clone();
            }
            if let Some(project) = &destination.project {
                revealed.webhook.project = project.clone();
            }
            if revealed.webhook.status != found.record.status {
                revealed.webhook.status_changed_at = Some(self.now());
            }
            revealed.webhook.url_set_by = destination_chosen_by(caller, &found.record, &revealed.webhook);
            if revealed.webhook == found.record {
                return Ok(revealed);
            }
            revealed.webhook.stamps = found.record.stamps.updated(self.now(), caller.actor());
            let writes = vec![RecordWrite::replace(found, revealed.webhook.clone())];
            if let Committed::At(_) = self.commit(Action::WebhookUpdated, &caller.actor(), writes, None).await? {
                return Ok(revealed);
            }
        }
        Err(too_contended())
    }

    /// Judges where a change wants events sent, and of which project.
    async fn check_new_destination(
        &self,
        caller: &Caller,
        change: &WebhookChange,
        webhook: &Webhook,
    ) -> Result<NewDestination> {
        let url = match change.url.as_deref() {
            Some(url) => self.parse_new_url(webhook, url).await?,
            None => None,
        };
        let current = webhook.project.as_ref().map(ProjectId::as_str);
        let project = match &change.project {
            Patch::Absent => None,
            Patch::Null => Some(self.check_new_project(caller, None, webhook).await?),
            Patch::Value(named) if Some(named.as_str()) == current => None,
            Patch::Value(named) => Some(self.check_new_project(caller, Some(named), webhook).await?),
        };
        Ok(NewDestination { url, project })
    }

    fn apply_change(&self, old: &Webhook, change: &WebhookChange) -> Result<RevealedWebhook> {
        let mut webhook = old.clone();
        if let Some(name) = &change.name {
            webhook.name = text::parse_name(Some(name.clone()))?;
        }
        if let Some(topics) = &change.topics {
            webhook.topics = validate::parse_topics(topics)?;
        }
        if let Some(method) = &change.method {
            webhook.method = validate::parse_method(Some(method))?;
        }
        if let Some(headers) = &change.headers {
            webhook.custom_headers = self.merge_headers(old, headers.clone())?;
        }
        if let Some(status) = &change.status {
            webhook.status = validate::parse_status(status)?;
        }
        let mut static_token = None;
        if let Some(request) = self.token_request(old, change)? {
            (webhook.static_token, static_token) =
                self.resolve_static_token(&old.id, old.static_token.clone(), request)?;
        }
        Ok(RevealedWebhook { static_token, ..RevealedWebhook::without_secrets(webhook) })
    }

    /// Returns what a change asks of the static token. The token that the webhook has is no new one.
    fn token_request(&self, old: &Webhook, change: &WebhookChange) -> Result<Option<TokenRequest>> {
        let stored = match (&change.token, &old.static_token) {
            (Some(_), Some(sealed)) => Some(self.store.open_static_token(&old.id, sealed)?),
            (Some(_), None) | (None, _) => None,
        };
        let is_own = |token: &String| stored.as_ref().is_some_and(|own| own.expose() == token);
        let token = change.token.as_ref().filter(|token| !is_own(token));
        validate::token_request(change.is_token_sent, token.cloned())
    }

    /// Another project for a webhook, or none: then it gets the events of the whole account.
    async fn check_new_project(
        &self,
        caller: &Caller,
        named: Option<&str>,
        webhook: &Webhook,
    ) -> Result<Option<ProjectId>> {
        let project = match named {
            Some(named) => Some(self.active_project(caller, Some(named)).await?.id),
            None => {
                caller.require_account_scope()?;
                None
            }
        };
        if webhook.project != project {
            self.check_webhook_limit(caller, project.as_ref()).await?;
        }
        Ok(project)
    }

    /// Draws a new signing secret and tells it, once. Requests are signed with the old one as well until the overlap
    /// is over; with an overlap of 0 no old secret signs any more.
    pub(crate) async fn rotate_webhook_secret(
        &self,
        caller: &Caller,
        id: &str,
        overlap_s: Option<u64>,
    ) -> Result<RevealedWebhook> {
        caller.require_write()?;
        let overlap_s = overlap_s.unwrap_or(DEFAULT_OVERLAP_S);
        if overlap_s > MAX_OVERLAP_S {
            return Err(Failure::invalid(format!("overlapSeconds: must be at most {MAX_OVERLAP_S}")));
        }
        for _ in 0..MAX_TRIES {
            let found = self.webhook(caller, id).await?;
            let secret = new_secret();
            let rotated = Webhook {
                secret: self.store.seal_webhook_secret(&found.record.id, secret.as_slice())?,
                old_secrets: self.old_secrets(&found.record, Duration::from_secs(overlap_s))?,
                stamps: found.record.stamps.updated(self.now(), caller.actor()),
                ..found.record.clone()
            };
            let writes = vec![RecordWrite::replace(found, rotated.clone())];
            if let Committed::At(_) = self.commit(Action::WebhookUpdated, &caller.actor(), writes, None).await? {
                let secret = Some(Secret::new(sign::secret_text(secret.as_slice())));
                return Ok(RevealedWebhook { secret, ..RevealedWebhook::without_secrets(rotated) });
            }
        }
        Err(too_contended())
    }

    fn old_secrets(&self, webhook: &Webhook, overlap: Duration) -> Result<Vec<OldSecret>> {
        if overlap.is_zero() {
            return Ok(Vec::new());
        }
        let now = self.now();
        let mut old = vec![OldSecret { secret: webhook.secret.clone(), until: now.plus(overlap) }];
        old.extend(webhook.old_secrets.iter().filter(|old| now < old.until).cloned());
        if old.len() > MAX_OLD_SECRETS {
            let detail = format!("{MAX_OLD_SECRETS} old secrets still sign: wait, or rotate with overlapSeconds 0");
            return Err(Failure::refused(ErrorCode::Conflict, detail));
        }
        Ok(old)
    }
}

/// Only an admin chooses where keys in clear are sent: whoever else changes that makes the webhook their own.
fn destination_chosen_by(caller: &Caller, old: &Webhook, new: &Webhook) -> Role {
    let is_same_destination = old.url == new.url && old.project == new.project;
    if is_same_destination || caller.role == Role::Admin { old.url_set_by } else { caller.role }
}
