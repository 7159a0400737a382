//! Webhooks: changed, paused, and their secrets rotated.

use std::collections::BTreeMap;
use std::time::Duration;

use gatepost_deliverer::sign;
use gatepost_domain::change::Action;
use gatepost_domain::id::ProjectId;
use gatepost_domain::key::Secret;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{OldSecret, Role, Status, Webhook, WebhookUrl};
use gatepost_store::Write;

use super::{AskedToken, ToldWebhook, asked, new_secret};
use crate::ControlPlane;
use crate::caller::Caller;
use crate::commit::{Committed, MAX_TRIES, too_contended};
use crate::failure::{Failure, Result};
use crate::use_cases::copies::must_stay;
use crate::use_cases::given::Given;
use crate::use_cases::text;

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
    pub(crate) project: Given<String>,
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
struct NewPlace {
    url: Option<WebhookUrl>,
    project: Option<Option<ProjectId>>,
}

impl ControlPlane {
    /// Changes a webhook, perhaps by a copy of the whole webhook: what that repeats is not judged again. A static token
    /// that is set now is told, once.
    pub(crate) async fn update_webhook(&self, caller: &Caller, id: &str, change: WebhookChange) -> Result<ToldWebhook> {
        caller.may_write()?;
        let found = self.webhook(caller, id).await?;
        must_stay("accountId", change.account.as_deref(), found.record.account.as_str())?;
        if change.activity == Some(Status::Inactive) {
            let removed = self.delete_webhook(caller, id).await?;
            return Ok(ToldWebhook { activity: Status::Inactive, ..ToldWebhook::of(removed) });
        }
        let place = self.place_of_change(caller, &change, &found.record).await?;
        for _ in 0..MAX_TRIES {
            let found = self.webhook(caller, id).await?;
            let mut told = self.changed(&found.record, &change)?;
            if let Some(url) = &place.url {
                told.webhook.url = url.clone();
            }
            if let Some(project) = &place.project {
                told.webhook.project = project.clone();
            }
            if told.webhook.status != found.record.status {
                told.webhook.status_changed_at = Some(self.now());
            }
            told.webhook.made_by = who_chose(caller, &found.record, &told.webhook);
            if told.webhook == found.record {
                return Ok(told);
            }
            told.webhook.stamps = found.record.stamps.touched(self.now(), caller.actor());
            let writes = vec![Write::replace(found, told.webhook.clone())];
            if let Committed::At(_) = self.commit(Action::WebhookUpdated, &caller.actor(), writes, None).await? {
                return Ok(told);
            }
        }
        Err(too_contended())
    }

    /// Judges where a change wants events sent, and of which project.
    async fn place_of_change(&self, caller: &Caller, change: &WebhookChange, webhook: &Webhook) -> Result<NewPlace> {
        let url = match change.url.as_deref() {
            Some(url) => self.new_url(webhook, url).await?,
            None => None,
        };
        let own = webhook.project.as_ref().map(ProjectId::as_str);
        let project = match &change.project {
            Given::Absent => None,
            Given::Null => Some(self.project_of_change(caller, None, webhook).await?),
            Given::Value(named) if Some(named.as_str()) == own => None,
            Given::Value(named) => Some(self.project_of_change(caller, Some(named), webhook).await?),
        };
        Ok(NewPlace { url, project })
    }

    fn changed(&self, old: &Webhook, change: &WebhookChange) -> Result<ToldWebhook> {
        let mut webhook = old.clone();
        if let Some(name) = &change.name {
            webhook.name = text::name(Some(name.clone()))?;
        }
        if let Some(topics) = &change.topics {
            webhook.topics = asked::topics(topics)?;
        }
        if let Some(method) = &change.method {
            webhook.method = asked::method(Some(method))?;
        }
        if let Some(headers) = &change.headers {
            webhook.custom_headers = self.new_headers(old, headers.clone())?;
        }
        if let Some(status) = &change.status {
            webhook.status = asked::status(status)?;
        }
        let mut static_token = None;
        if let Some(asked) = self.asked_token(old, change)? {
            (webhook.static_token, static_token) = self.static_token(&old.id, old.static_token.clone(), asked)?;
        }
        Ok(ToldWebhook { static_token, ..ToldWebhook::of(webhook) })
    }

    /// Returns what a change asks of the static token. The token that the webhook has is no new one.
    fn asked_token(&self, old: &Webhook, change: &WebhookChange) -> Result<Option<AskedToken>> {
        let own = match (&change.token, &old.static_token) {
            (Some(_), Some(sealed)) => Some(self.store.open_static_token(&old.id, sealed)?),
            (Some(_), None) | (None, _) => None,
        };
        let is_own = |token: &String| own.as_ref().is_some_and(|own| own.expose() == token);
        let token = change.token.as_ref().filter(|token| !is_own(token));
        asked::token(change.is_token_sent, token.cloned())
    }

    /// Another project for a webhook, or none: then it gets the events of the whole account.
    async fn project_of_change(
        &self,
        caller: &Caller,
        named: Option<&str>,
        webhook: &Webhook,
    ) -> Result<Option<ProjectId>> {
        let project = match named {
            Some(named) => Some(self.active_project(caller, Some(named)).await?.id),
            None => {
                caller.sees_account()?;
                None
            }
        };
        if webhook.project != project {
            self.check_room(caller, project.as_ref()).await?;
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
    ) -> Result<ToldWebhook> {
        caller.may_write()?;
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
                stamps: found.record.stamps.touched(self.now(), caller.actor()),
                ..found.record.clone()
            };
            let writes = vec![Write::replace(found, rotated.clone())];
            if let Committed::At(_) = self.commit(Action::WebhookUpdated, &caller.actor(), writes, None).await? {
                let secret = Some(Secret::new(sign::secret_text(secret.as_slice())));
                return Ok(ToldWebhook { secret, ..ToldWebhook::of(rotated) });
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
fn who_chose(caller: &Caller, old: &Webhook, new: &Webhook) -> Role {
    let is_same_place = old.url == new.url && old.project == new.project;
    if is_same_place || caller.role == Role::Admin { old.made_by } else { caller.role }
}
