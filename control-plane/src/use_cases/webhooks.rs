//! Webhooks: made, listed, removed.

mod change;
pub(crate) mod ping;
mod secrets;
mod validate;

use std::collections::BTreeMap;

use gatepost_deliverer::sign;
use gatepost_domain::change::Action;
use gatepost_domain::id::{ProjectId, WebhookId};
use gatepost_domain::key::{self, Secret};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{Sealed, Stamps, Status, UserSecret, Webhook, WebhookStatus, WebhookUrl};
use gatepost_store::{RecordWrite, Versioned, os_rng};
use rand::Rng;
use url::Url;
use zeroize::Zeroizing;

use super::lists::{ListPage, PageRequest};
use super::text;
use crate::ControlPlane;
use crate::caller::{Caller, Visibility};
use crate::commit::{Committed, MAX_TRIES, too_contended};
use crate::failure::{Failure, Result};
use crate::request_context;

pub(crate) use change::WebhookChange;
pub(crate) use validate::token_request as asked_token;

/// Webhooks of a project, and of an account without a project.
const MAX_WEBHOOKS: usize = 100;
/// Bytes of a webhook's URL.
const MAX_URL_BYTES: usize = 2048;
/// Bytes of a signing secret.
const SECRET_BYTES: usize = 32;

/// A webhook to be made.
pub(crate) struct NewWebhook {
    pub(crate) name: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) topics: Vec<String>,
    pub(crate) method: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) status: Option<String>,
    pub(crate) static_token: Option<TokenRequest>,
}

/// What is asked of the header `theauthapi-signature`.
#[derive(Debug, Clone)]
pub(crate) enum TokenRequest {
    /// It shall not be sent.
    Off,
    /// It shall be sent: with the token that there is, else with one that is drawn.
    On,
    /// It shall be sent with this token.
    Chosen(String),
}

/// A webhook with what is told only now.
pub(crate) struct RevealedWebhook {
    pub(crate) webhook: Webhook,
    /// Inactive if it was removed.
    pub(crate) activity: Status,
    /// The signing secret, as its receiver gets it.
    pub(crate) secret: Option<Secret>,
    /// What is sent as `theauthapi-signature`.
    pub(crate) static_token: Option<Secret>,
}

impl RevealedWebhook {
    fn without_secrets(webhook: Webhook) -> Self {
        Self { webhook, activity: Status::Active, secret: None, static_token: None }
    }
}

/// Which webhooks of a list are wanted.
#[derive(Debug, Default)]
pub(crate) struct WebhookFilter {
    pub(crate) account: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) topic: Option<String>,
}

impl ControlPlane {
    /// Makes a webhook, and answers it with its signing secret: the only time that it is told.
    pub(crate) async fn create_webhook(&self, caller: &Caller, new: NewWebhook) -> Result<RevealedWebhook> {
        caller.require_write()?;
        caller.require_own_account(new.account.as_deref())?;
        let project = match (new.project.as_deref(), &caller.project) {
            (None, None) => None,
            (named, _) => Some(self.active_project(caller, named).await?.id),
        };
        let url = new.url.as_deref().ok_or_else(|| Failure::invalid("url: is missing"))?;
        secrets::refuse_masked_url(url)?;
        let url = WebhookUrl::new(self.check_url(url).await?);
        self.check_webhook_limit(caller, project.as_ref()).await?;
        let id = WebhookId::generate(&mut os_rng());
        let secret = new_secret();
        let token = new.static_token.map(|request| self.resolve_static_token(&id, None, request)).transpose()?;
        let (static_token, revealed_token) = token.unwrap_or_default();
        let webhook = Webhook {
            secret: self.store.seal_webhook_secret(&id, secret.as_slice())?,
            old_secrets: Vec::new(),
            static_token,
            id,
            account: caller.account.clone(),
            project,
            name: text::parse_name(new.name)?,
            url,
            topics: validate::parse_topics(&new.topics)?,
            method: validate::parse_method(new.method.as_deref())?,
            custom_headers: unsealed_headers(validate::parse_headers(new.headers)?),
            status: new.status.as_deref().map_or(Ok(WebhookStatus::Live), validate::parse_status)?,
            status_changed_at: None,
            url_set_by: caller.role,
            stamps: Stamps::new(self.now(), caller.actor()),
        };
        let writes = vec![RecordWrite::create(webhook.clone())];
        match self.commit(Action::WebhookCreated, &caller.actor(), writes, None).await? {
            Committed::At(_) => {
                let secret = Some(Secret::new(sign::secret_text(secret.as_slice())));
                Ok(RevealedWebhook {
                    secret,
                    static_token: revealed_token,
                    ..RevealedWebhook::without_secrets(webhook)
                })
            }
            Committed::Stale => Err(too_contended()),
        }
    }

    /// A part of the list of webhooks that the caller sees.
    pub(crate) async fn webhooks(
        &self,
        caller: &Caller,
        filter: &WebhookFilter,
        page_request: &PageRequest,
    ) -> Result<ListPage<Webhook>> {
        caller.require_own_account(filter.account.as_deref())?;
        let matches = |webhook: &Webhook| {
            let project = webhook.project.as_ref().map(ProjectId::as_str);
            is_visible(caller, webhook)
                && filter.project.as_deref().is_none_or(|requested| project == Some(requested))
                && filter
                    .topic
                    .as_deref()
                    .is_none_or(|requested| webhook.topics.iter().any(|t| t.as_str() == requested))
        };
        let page = |after: String, limit| async move { self.store.webhooks(&caller.account, &after, limit).await };
        self.read_list(caller, "webhooks", page_request, page, matches).await
    }

    /// A webhook that the caller sees.
    pub(crate) async fn webhook(&self, caller: &Caller, id: &str) -> Result<Versioned<Webhook>> {
        let not_found = || Failure::refused(ErrorCode::NotFound, "there is no such webhook");
        let id = WebhookId::parse(id).map_err(|_| not_found())?;
        let found = self.store.webhook(&id).await?.filter(|found| is_visible(caller, &found.record));
        let found = found.ok_or_else(not_found)?;
        request_context::check_version(id.as_str(), found.version)?;
        Ok(found)
    }

    /// Removes a webhook, and returns it as it was; what waits in its queue is dropped.
    pub(crate) async fn delete_webhook(&self, caller: &Caller, id: &str) -> Result<Webhook> {
        caller.require_write()?;
        for _ in 0..MAX_TRIES {
            let found = self.webhook(caller, id).await?;
            let webhook = found.record.clone();
            let writes = vec![RecordWrite::remove(found)];
            if let Committed::At(_) = self.commit(Action::WebhookDeleted, &caller.actor(), writes, None).await? {
                // It is gone, whatever becomes of this: what is left in its queue is dropped by the deliverer.
                if let Err(error) = self.store.drop_queue(&webhook.id).await {
                    tracing::warn!(%error, webhook = webhook.id.as_str(), "the queue of a removed webhook is left");
                }
                return Ok(webhook);
            }
        }
        Err(too_contended())
    }

    /// A URL that the guard admits now.
    pub(super) async fn check_url(&self, text: &str) -> Result<Url> {
        if text.len() > MAX_URL_BYTES {
            return Err(Failure::invalid(format!("url: has more than {MAX_URL_BYTES} bytes")));
        }
        let url = Url::parse(text).map_err(|error| Failure::invalid(format!("url: {error}")))?;
        let checked = self.ssrf_guard.check_resolved(&url).await;
        checked.map_err(|refused| Failure::refused(ErrorCode::WebhookAddressRefused, refused.to_string()))?;
        Ok(url)
    }

    /// What is stored of a static token, and what is told of it: only one that was set now.
    fn resolve_static_token(
        &self,
        id: &WebhookId,
        stored: Option<Sealed>,
        request: TokenRequest,
    ) -> Result<(Option<Sealed>, Option<Secret>)> {
        let token = match (request, stored) {
            (TokenRequest::Off, _) => return Ok((None, None)),
            (TokenRequest::On, Some(before)) => return Ok((Some(before), None)),
            (TokenRequest::On, None) => key::generate_static_token(&mut os_rng()),
            (TokenRequest::Chosen(token), _) => validate::parse_static_token(token)?,
        };
        Ok((Some(self.store.seal_static_token(id, &token)?), Some(token)))
    }

    /// Two requests at the same time may both find the last place: then there is one webhook more.
    async fn check_webhook_limit(&self, caller: &Caller, project: Option<&ProjectId>) -> Result<()> {
        let all = self.webhooks(caller, &WebhookFilter::default(), &PageRequest::default()).await?;
        let count = all.items.iter().filter(|webhook| webhook.project.as_ref() == project).count();
        if count < MAX_WEBHOOKS {
            return Ok(());
        }
        let detail = format!("there are {MAX_WEBHOOKS} webhooks already: delete one first");
        Err(Failure::refused(ErrorCode::TooManyWebhooks, detail))
    }
}

fn is_visible(caller: &Caller, webhook: &Webhook) -> bool {
    caller.visibility_in_account(&webhook.account, webhook.project.as_ref()) == Visibility::Visible
}

fn unsealed_headers(headers: Vec<(String, Secret)>) -> Vec<(String, UserSecret)> {
    headers.into_iter().map(|(name, value)| (name, UserSecret::Plaintext(value))).collect()
}

fn new_secret() -> Zeroizing<[u8; SECRET_BYTES]> {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    os_rng().fill_bytes(secret.as_mut_slice());
    secret
}
