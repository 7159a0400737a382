//! Webhooks.

use std::collections::BTreeMap;

use gatepost_deliverer::send::RESERVED_HEADERS;
use gatepost_deliverer::sign;
use gatepost_domain::change::{Action, Topic};
use gatepost_domain::id::{ProjectId, WebhookId};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{Stamps, Webhook, WebhookStatus};
use gatepost_store::{MAX_PAGE, Versioned, Write, os_rng};
use http::{HeaderName, HeaderValue};
use rand::Rng;
use url::Url;

use super::text;
use crate::ControlPlane;
use crate::caller::Caller;
use crate::commit::{Committed, MAX_TRIES, too_contended};
use crate::failure::{Failure, Result};

/// Webhooks of a project, and of an account without a project.
const MAX_WEBHOOKS: usize = 100;
/// Bytes of a webhook's URL.
const MAX_URL_BYTES: usize = 2048;
/// Headers that a webhook may have.
const MAX_HEADERS: usize = 20;
/// Bytes of one header's value.
const MAX_HEADER_BYTES: usize = 1024;
/// Bytes of a signing secret.
const SECRET_BYTES: usize = 32;
const METHODS: [&str; 5] = ["POST", "PUT", "PATCH", "GET", "DELETE"];

/// A webhook to be made.
#[derive(Debug)]
pub(crate) struct NewWebhook {
    pub(crate) name: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) topics: Vec<String>,
    pub(crate) method: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) status: Option<String>,
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
    pub(crate) async fn create_webhook(&self, caller: &Caller, new: NewWebhook) -> Result<(Webhook, String)> {
        caller.may_write()?;
        caller.check_account(new.account.as_deref())?;
        let project = match (new.project.as_deref(), &caller.project) {
            (None, None) => None,
            (named, _) => Some(self.active_project(caller, named).await?.id),
        };
        let url = self.checked_url(new.url).await?;
        self.check_room(caller, project.as_ref()).await?;
        let id = WebhookId::generate(&mut os_rng());
        let mut secret = zeroize::Zeroizing::new([0; SECRET_BYTES]);
        os_rng().fill_bytes(secret.as_mut_slice());
        let webhook = Webhook {
            secret: self.store.seal_webhook_secret(&id, secret.as_slice())?,
            id,
            account: caller.account.clone(),
            project,
            name: text::name(new.name)?,
            url,
            topics: topics(&new.topics)?,
            method: method(new.method)?,
            custom_headers: headers(new.headers)?,
            status: status(new.status.as_deref())?,
            made_by: caller.role,
            stamps: Stamps::new(self.now(), caller.actor()),
        };
        let writes = vec![Write::create(webhook.clone())];
        match self.commit(Action::WebhookCreated, &caller.actor(), writes, None).await? {
            Committed::At(_) => Ok((webhook, sign::secret_text(secret.as_slice()))),
            Committed::Stale => Err(too_contended()),
        }
    }

    /// The webhooks that the caller sees.
    pub(crate) async fn webhooks(&self, caller: &Caller, filter: &WebhookFilter) -> Result<Vec<Webhook>> {
        caller.check_account(filter.account.as_deref())?;
        let is_wanted = |webhook: &Webhook| {
            let project = webhook.project.as_ref().map(ProjectId::as_str);
            sees(caller, webhook)
                && filter.project.as_deref().is_none_or(|wanted| project == Some(wanted))
                && filter.topic.as_deref().is_none_or(|wanted| webhook.topics.iter().any(|t| t.as_str() == wanted))
        };
        let mut webhooks = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.store.webhooks(&caller.account, &after, MAX_PAGE).await?;
            webhooks.extend(page.items.into_iter().map(|found| found.record).filter(is_wanted));
            match page.next {
                Some(next) => after = next,
                None => return Ok(webhooks),
            }
        }
    }

    /// A webhook that the caller sees.
    pub(crate) async fn webhook(&self, caller: &Caller, id: &str) -> Result<Versioned<Webhook>> {
        let not_found = || Failure::refused(ErrorCode::NotFound, "there is no such webhook");
        let id = WebhookId::parse(id).map_err(|_| not_found())?;
        let found = self.store.webhook(&id).await?.filter(|found| sees(caller, &found.record));
        found.ok_or_else(not_found)
    }

    /// Removes a webhook; what waits in its queue is dropped.
    pub(crate) async fn delete_webhook(&self, caller: &Caller, id: &str) -> Result<()> {
        caller.may_write()?;
        for _ in 0..MAX_TRIES {
            let found = self.webhook(caller, id).await?;
            let webhook = found.record.id.clone();
            let writes = vec![Write::remove(found)];
            if let Committed::At(_) = self.commit(Action::WebhookDeleted, &caller.actor(), writes, None).await? {
                while self.store.drop_queue(&webhook).await? > 0 {}
                return Ok(());
            }
        }
        Err(too_contended())
    }

    async fn checked_url(&self, url: Option<String>) -> Result<String> {
        let text = url.ok_or_else(|| Failure::invalid("url: is missing"))?;
        if text.len() > MAX_URL_BYTES {
            return Err(Failure::invalid(format!("url: has more than {MAX_URL_BYTES} bytes")));
        }
        let url = Url::parse(&text).map_err(|error| Failure::invalid(format!("url: {error}")))?;
        let judged = self.guard.judge_resolved(&url).await;
        judged.map_err(|refused| Failure::refused(ErrorCode::WebhookAddressRefused, refused.to_string()))?;
        Ok(url.to_string())
    }

    async fn check_room(&self, caller: &Caller, project: Option<&ProjectId>) -> Result<()> {
        let all = self.webhooks(caller, &WebhookFilter::default()).await?;
        let count = all.iter().filter(|webhook| webhook.project.as_ref() == project).count();
        if count < MAX_WEBHOOKS {
            return Ok(());
        }
        let detail = format!("there are {MAX_WEBHOOKS} webhooks already: delete one first");
        Err(Failure::refused(ErrorCode::TooManyWebhooks, detail))
    }
}

fn sees(caller: &Caller, webhook: &Webhook) -> bool {
    let is_in_project = caller.project.is_none() || caller.project == webhook.project;
    webhook.account == caller.account && is_in_project
}

fn topics(names: &[String]) -> Result<Vec<Topic>> {
    if names.is_empty() {
        return Err(Failure::invalid("topics: at least one is needed"));
    }
    let mut topics = Vec::with_capacity(names.len());
    for name in names {
        let topic = Topic::parse(name).ok_or_else(|| {
            let known: Vec<&str> = Topic::ALL.iter().map(|topic| topic.as_str()).collect();
            Failure::invalid(format!("topics: {name:?} is not known; known are {}", known.join(", ")))
        })?;
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    Ok(topics)
}

fn method(method: Option<String>) -> Result<String> {
    let method = method.unwrap_or_else(|| "POST".to_owned()).to_uppercase();
    if METHODS.contains(&method.as_str()) {
        return Ok(method);
    }
    Err(Failure::invalid(format!("httpMethod: must be one of {}", METHODS.join(", "))))
}

fn headers(headers: BTreeMap<String, String>) -> Result<Vec<(String, String)>> {
    if headers.len() > MAX_HEADERS {
        return Err(Failure::invalid(format!("customHeaders: has more than {MAX_HEADERS} headers")));
    }
    for (name, value) in &headers {
        let lower = name.to_ascii_lowercase();
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(Failure::invalid(format!("customHeaders: {name:?} is no header name")));
        }
        if RESERVED_HEADERS.contains(&lower.as_str()) {
            return Err(Failure::invalid(format!("customHeaders: {name} is reserved")));
        }
        if value.len() > MAX_HEADER_BYTES || HeaderValue::from_str(value).is_err() {
            return Err(Failure::invalid(format!("customHeaders: the value of {name} is not valid")));
        }
    }
    Ok(headers.into_iter().collect())
}

fn status(status: Option<&str>) -> Result<WebhookStatus> {
    let Some(status) = status else { return Ok(WebhookStatus::Live) };
    WebhookStatus::parse(status).ok_or_else(|| Failure::invalid("status: must be live or paused"))
}
