//! Reading and counting webhooks.

use gatepost_domain::id::{ProjectId, WebhookId};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::Webhook;
use gatepost_store::Versioned;

use crate::caller::{Caller, Visibility};
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;
use crate::use_cases::pagination::{ListPage, PageRequest};

/// Webhooks of a project, and of an account outside its projects.
const MAX_WEBHOOKS: usize = 100;

/// The webhooks that a list selects.
#[derive(Debug, Default)]
pub struct WebhookFilter {
    pub account: Option<String>,
    pub scope: Option<WebhookScope>,
    pub topic: Option<String>,
}

/// A project, and which webhooks are selected by it.
#[derive(Debug)]
pub enum WebhookScope {
    /// Those of the project.
    Project(String),
    /// Those that receive events of the project: its own, and those of the whole account.
    EventsOf(String),
}

impl WebhookScope {
    fn has(&self, webhook: &Webhook) -> bool {
        let own = webhook.project.as_ref().map(ProjectId::as_str);
        match self {
            WebhookScope::Project(id) => own == Some(id),
            WebhookScope::EventsOf(id) => own.is_none_or(|own| own == id),
        }
    }
}

impl ControlPlane {
    /// Returns a part of the list of webhooks that the caller sees.
    pub async fn webhooks(
        &self,
        context: &RequestContext,
        filter: &WebhookFilter,
        page_request: &PageRequest,
    ) -> Result<ListPage<Webhook>> {
        let caller = &context.caller;
        caller.require_own_account(filter.account.as_deref())?;
        let matches = |webhook: &Webhook| {
            is_visible(caller, webhook)
                && filter.scope.as_ref().is_none_or(|scope| scope.has(webhook))
                && filter
                    .topic
                    .as_deref()
                    .is_none_or(|requested| webhook.topics.iter().any(|t| t.as_str() == requested))
        };
        let page = |after: String, limit| async move {
            self.store.home(caller.account.partition()).webhooks(&caller.account, &after, limit).await
        };
        self.read_list(context, "webhooks", page_request, page, matches).await
    }

    /// Reads a webhook that the caller sees.
    ///
    /// # Errors
    /// `not-found` if there is none.
    pub async fn webhook(&self, context: &RequestContext, id: &str) -> Result<Versioned<Webhook>> {
        let not_found = || Failure::refused(ErrorCode::NotFound, "there is no such webhook");
        let id = WebhookId::parse(id).map_err(|_| not_found())?;
        let found = self.store.home(id.partition()).webhook(&id).await?;
        found.filter(|found| is_visible(&context.caller, &found.record)).ok_or_else(not_found)
    }

    /// Refuses one webhook too many. Two concurrent requests may both pass: then there is one webhook more.
    pub(super) async fn check_webhook_limit(
        &self,
        context: &RequestContext,
        project: Option<&ProjectId>,
    ) -> Result<()> {
        let all = self.webhooks(context, &WebhookFilter::default(), &PageRequest::default()).await?;
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
