//! The destination of a webhook: its URL, and the project whose events it gets.

use gatepost_domain::id::ProjectId;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{KeyValues, Role, Webhook, WebhookUrl};
use url::Url;

use crate::caller::Caller;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;
use crate::use_cases::patch::Patch;

/// Bytes of a webhook's URL.
const MAX_URL_BYTES: usize = 2048;

/// A new destination; absent parts stay as they are.
pub(super) struct NewDestination {
    pub(super) url: Option<WebhookUrl>,
    pub(super) project: Option<Option<ProjectId>>,
}

impl ControlPlane {
    /// Validates the destination that a change asks for.
    pub(super) async fn check_new_destination(
        &self,
        context: &RequestContext,
        webhook: &Webhook,
        url: Option<&str>,
        project: &Patch<String>,
    ) -> Result<NewDestination> {
        let url = match url {
            Some(url) => self.parse_new_url(webhook, url).await?,
            None => None,
        };
        let current = webhook.project.as_ref().map(ProjectId::as_str);
        let project = match project {
            Patch::Absent => None,
            Patch::Null => Some(self.check_new_project(context, None, webhook).await?),
            Patch::Value(named) if Some(named.as_str()) == current => None,
            Patch::Value(named) => Some(self.check_new_project(context, Some(named), webhook).await?),
        };
        Ok(NewDestination { url, project })
    }

    /// Validates another project for a webhook, or none: then it gets the events of the whole account.
    async fn check_new_project(
        &self,
        context: &RequestContext,
        named: Option<&str>,
        webhook: &Webhook,
    ) -> Result<Option<ProjectId>> {
        let project = match named {
            Some(named) => Some(self.active_project(context, Some(named)).await?.id),
            None => {
                context.caller.require_account_scope()?;
                None
            }
        };
        if webhook.project != project {
            self.check_webhook_limit(context, project.as_ref()).await?;
        }
        Ok(project)
    }

    /// Returns the new URL of a webhook; none if it keeps its own, which may also be sent back masked.
    async fn parse_new_url(&self, webhook: &Webhook, text: &str) -> Result<Option<WebhookUrl>> {
        if text == webhook.url.masked {
            return Ok(None);
        }
        refuse_masked_url(text)?;
        let stored = self.store.envelope().open_webhook_url(webhook)?;
        if url::Url::parse(text).is_ok_and(|url| url.as_str() == stored.expose()) {
            return Ok(None);
        }
        Ok(Some(WebhookUrl::new(self.check_url(text).await?)))
    }

    /// Validates a URL, and resolves it with the SSRF guard.
    pub(super) async fn check_url(&self, text: &str) -> Result<Url> {
        if text.len() > MAX_URL_BYTES {
            return Err(Failure::invalid(format!("url: has more than {MAX_URL_BYTES} bytes")));
        }
        let url = Url::parse(text).map_err(|error| Failure::invalid(url_problem(error)))?;
        if url.fragment().is_some() {
            return Err(Failure::invalid("url: must not have a fragment (#…), which no request contains"));
        }
        let checked = self.ssrf_guard.check_resolved(&url).await;
        checked.map_err(|refused| Failure::refused(ErrorCode::WebhookAddressRefused, refused.to_string()))?;
        Ok(url)
    }
}

fn url_problem(error: url::ParseError) -> String {
    if error == url::ParseError::RelativeUrlWithoutBase {
        return "url: must be a whole URL with its scheme, such as https://example.com/hook".to_owned();
    }
    format!("url: {error}")
}

/// Refuses a masked URL, which is only valid in place of the URL that it masks.
pub(super) fn refuse_masked_url(text: &str) -> Result<()> {
    if text.contains(WebhookUrl::MASK) {
        return Err(Failure::invalid("url: is masked: send the whole URL, or leave it out to keep the stored one"));
    }
    Ok(())
}

/// Returns the role that chose the destination. Only admins choose where keys are sent in clear: after a change by
/// another role, the webhook gets ids in place of values. To stop omitting them is such a choice too.
pub(super) fn destination_chosen_by(caller: &Caller, old: &Webhook, new: &Webhook) -> Role {
    let asks_for_values = old.delivery.key_values == KeyValues::Omitted && new.delivery.key_values == KeyValues::Sent;
    let is_same_destination = old.url == new.url && old.project == new.project && !asks_for_values;
    if is_same_destination || caller.role == Role::Admin { old.url_set_by } else { caller.role }
}
