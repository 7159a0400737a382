//! Numbers of a webhook, and the pause that its receiver asked for.

use gatepost_domain::record::{Webhook, WebhookStatus};
use gatepost_domain::time::Timestamp;
use gatepost_store::WebhookNumbers;

use crate::control_plane::ControlPlane;
use crate::failure::Result;
use crate::request_context::RequestContext;

/// Why nothing is sent to a live webhook for a while, for people.
pub const PAUSE_REASON: &str = "the receiver responded with 429 or 503 and Retry-After";

impl ControlPlane {
    /// Returns the numbers of a webhook that the caller sees.
    pub async fn webhook_numbers(&self, context: &RequestContext, webhook: &str) -> Result<WebhookNumbers> {
        let webhook = self.webhook(context, webhook).await?.record;
        self.numbers_of(&webhook).await
    }

    /// Returns the time until which the receiver of a webhook has paused it, if it has.
    pub async fn paused_until(&self, webhook: &Webhook) -> Result<Option<Timestamp>> {
        Ok(self.numbers_of(webhook).await?.held_until)
    }

    async fn numbers_of(&self, webhook: &Webhook) -> Result<WebhookNumbers> {
        let mut numbers = self.store.home(webhook.id.partition()).webhook_numbers(&webhook.id).await?;
        // A webhook that somebody paused is held too, for as long as they want.
        numbers.held_until = numbers.held_until.filter(|_| webhook.status == WebhookStatus::Live);
        Ok(numbers)
    }
}
